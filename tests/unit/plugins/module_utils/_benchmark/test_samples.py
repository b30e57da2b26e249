"""What is seen inside, and what it says of a run."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import samples

Process = samples.Process


def row(time: float, waiting: int | None = 0, wait: int = 0, transactions: int = 0, **more: Any) -> list[Any]:
    found = [time, 50, waiting, 20, 0, wait, transactions, more.get("pooler", 0.0), more.get("server", 0.0)]
    return [*found, more.get("memory", 9000)]


@pytest.mark.parametrize(
    ("stat", "expected"),
    [
        (
            "42 (postgres) S 1 42 42 0 -1 4194560 9 8 7 6 150 50 30 20 20 0 1 0 5",
            Process(1, "postgres", 200, 50),
        ),
        ("7 (a (b) c) R 42 7 7 0 -1 0 0 0 0 0 1 2 3 4 20", Process(42, "a (b) c", 3, 7)),
    ],
)
def test_process(stat: str, expected: Process) -> None:
    assert samples.process(stat) == expected


def test_processor_time_of_a_server_stays_when_a_backend_ends() -> None:
    before = {1: Process(0, "systemd", 9, 900), 2: Process(1, "postgres", 10, 5)}
    during = {**before, 3: Process(2, "postgres", 7, 0)}
    after = {**before, 2: Process(1, "postgres", 10, 12)}
    assert [samples.server_ticks(processes) for processes in (before, during, after)] == [15, 22, 22]


def test_totals_leave_the_console_out() -> None:
    pools = [
        {"database": "shop", "cl_active": 3, "cl_waiting": 1, "sv_active": 2, "sv_idle": 1},
        {"database": "shop", "cl_active": 4, "cl_waiting": 0, "sv_active": 1, "sv_idle": 0},
        {"database": "pgbouncer", "cl_active": 1, "cl_waiting": 0, "sv_active": 0, "sv_idle": 0},
    ]
    stats = [
        {"database": "shop", "total_wait_time": 70, "total_xact_count": 9},
        {"database": "pgbouncer", "total_wait_time": 1, "total_xact_count": 1},
    ]
    assert samples.totals(pools, stats) == [7, 1, 3, 1, 70, 9]


def test_a_run_gets_what_went_on_during_it() -> None:
    rows = [
        row(9.5),
        row(10.5, waiting=10, wait=1_000_000, transactions=1000, pooler=1.0, server=2.0, memory=9100),
        row(11.5, waiting=30, wait=3_000_000, transactions=2000, pooler=1.5, server=4.0, memory=9200),
        row(12.5, waiting=99, wait=3_000_000, transactions=2000, pooler=1.5, server=4.0),
    ]
    # From half-way between the first two rows to half-way between the last two.
    assert samples.during(rows, 10.0, 12.0) == {
        "clients_waiting": {"mean": 20.0, "max": 30},
        "servers_active": {"mean": 20.0, "max": 20},
        "wait_ms": round(2_500_000 / 1500 / 1000, 3),
        "pgbouncer_cpu": 0.5,
        "postgresql_cpu": 1.5,
        "pgbouncer_memory_kb": 9200,
    }


@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (20.0, 30.0), (11.0, 11.0)])
def test_nothing_is_said_of_what_was_not_seen(start: float, end: float) -> None:
    assert samples.during([row(10), row(11), row(12)], start, end) is None


def test_a_pooler_that_is_gone_leaves_gaps_and_one_that_is_back_counts_from_zero() -> None:
    gone = [10.0, *([None] * 7), 3.0, None]
    inside = samples.during([row(9, wait=10, transactions=5), gone, row(11)], 9, 11)
    assert inside is not None
    assert inside["clients_waiting"] == {"mean": 0.0, "max": 0}
    assert inside["wait_ms"] is None
    nothing = samples.during([gone, [11.0, *gone[1:]]], 9, 12)
    assert nothing is not None
    assert nothing["clients_waiting"] == {"mean": None, "max": None}
    assert nothing["pgbouncer_cpu"] is None
    assert nothing["postgresql_cpu"] == 0.0


def test_series_are_levels_and_cores() -> None:
    rows = [row(1, pooler=1.0, server=5.0), row(3, waiting=7, pooler=2.0, server=8.0), row(4, waiting=None)]
    assert samples.series(rows) == [[3, 50, 7, 20, 0, 0.5, 1.5], [4, 50, None, 20, 0, 0.0, 0.0]]


@pytest.mark.parametrize(("number", "most"), [(0, 0), (1, 0), (600, 599), (601, 300), (5000, 600)])
def test_series_are_thinned(number: int, most: int) -> None:
    assert len(samples.series([row(float(when)) for when in range(number)])) <= most
