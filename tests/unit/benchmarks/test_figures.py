# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Figures of the benchmarks: medians, ratios, changed re-runs, and the accounts of the large site."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from configure import accounts
from figures import Figure, Run, in_turns, table, unchanged

RECAP = """
TASK [pooled.postgres.pgbouncer : Configure PgBouncer] ****
ok: [a]
changed: [b]

TASK [Verify PgBouncer] ****
ok: [b]

PLAY RECAP ****
a : ok=3 changed=0 unreachable=0
b : ok=3 changed=1 unreachable=0

pooled.postgres.pgbouncer : Configure PgBouncer ------ 1.25s
Verify PgBouncer ------------------------------------- 2.50s
"""


def test_a_run_counts_changes_and_sorts_tasks() -> None:
    run = Run(9.0, RECAP)
    assert run.changed == 1
    assert run.tasks == [("Verify PgBouncer", 2.5), ("Configure PgBouncer", 1.25)]


def test_a_changed_re_run_is_refused_and_its_task_named() -> None:
    with pytest.raises(RuntimeError, match=r"changed something: .* : Configure PgBouncer$"):
        unchanged(Run(9.0, RECAP))


def test_an_unchanged_re_run_passes() -> None:
    run = Run(9.0, RECAP.replace("changed=1", "changed=0"))
    assert unchanged(run) is run


def test_bare_and_run_take_turns() -> None:
    durations: Iterator[float] = iter([1.0, 8.0, 3.0, 20.0, 2.0, 14.0])
    figure = Figure("again", 8, "setup")
    in_turns(figure, 3, lambda: Run(next(durations)), lambda: Run(next(durations)))
    assert (figure.seconds, figure.bare_seconds, figure.ratio) == (14.0, 2.0, 7.0)
    assert figure.reached
    assert figure.document()["ratio"] == 7.0


def test_the_table_has_ratios_or_seconds() -> None:
    missed = Figure("again", 5, "setup", [Run(12.0)], [Run(2.0)])
    alone = Figure("10,000 users", 60, runs=[Run(42.0)])
    assert table([missed, alone]).splitlines() == [
        "run           seconds  beside it  seconds   ratio  goal",
        "again            12.0  setup          2.0  6.00 x   5 x  missed",
        "10,000 users     42.0  -                -       -  60 s  ok",
    ]


def test_large_sites_begin_with_the_stats_user() -> None:
    found = accounts(databases=50, users=200)
    pooled, direct = found["pgbouncer_users"], found["postgres_users"]
    assert isinstance(pooled, list)
    assert isinstance(direct, list)
    assert pooled[0]["databases"] == []
    assert len(pooled) == len(direct) + 1 == 202
    assert {user["databases"][0] for user in direct} <= {*found["postgres_databases"]}  # type: ignore[misc]
