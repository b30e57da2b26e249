"""The advisor: what to measure, the knee, and what is recommended and why."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import advisor

SITE: dict[str, Any] = {
    "databases": [{"name": "mydb"}, {"name": "benchmark"}],
    "users": [
        {"name": "myuser", "databases": ["mydb"]},
        {"name": "benchmark", "databases": ["benchmark"]},
        {"name": "stats", "databases": []},
    ],
    "limits": {"pool_size": 20, "reserve_pool_size": 0, "max_db_connections": 0, "max_user_connections": 0},
    "server": {"host": "", "port": 5432, "max_connections": 100, "reserved": 3, "others": 5},
}
PRESENT = {"default_pool_size": 20, "processes": 1, "max_client_conn": 1000, "max_connections": 100}
INPUTS: dict[str, Any] = {
    "pool_sizes": [],
    "processes": [],
    "clients": 50,
    "jobs": 2,
    "seconds": 5,
    "repeats": 3,
}
WHERE = {"database": "benchmark", "user": "benchmark"}
HOW = {
    "time": "2026-11-23",
    "target": "lab",
    "script": "select-only",
    "clients": 50,
    "seconds": 5,
    "repeats": 3,
}


def _runs(size: int, *tps: float | None, processes: int = 1, **changes: Any) -> list[dict[str, Any]]:
    return [
        {
            "default_pool_size": size,
            "processes": processes,
            "tps": value,
            "failed": 0,
            "p95": 2.5,
            "server_connections": size,
            "error": None if value is not None else "the pooler went away",
            **changes,
        }
        for value in tps
    ]


def _advise(*runs: list[dict[str, Any]], clients: int = 50, **present: int) -> advisor.Advice:
    measured = advisor.points([run for some in runs for run in some])
    return advisor.advise(measured, {**PRESENT, **present}, SITE, clients)


# ------------------------------------------------------------------------------------------ what to measure


def test_every_repeat_has_all_settings_in_turns_and_the_present_is_among_them() -> None:
    found = advisor.steps({**INPUTS, "pool_sizes": [4, "8"]}, SITE, PRESENT)
    assert [step["default_pool_size"] for step in found] == [4, 8, 20, 20, 8, 4, 4, 8, 20]
    assert [step["repeat"] for step in found] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert not any(step["switch"] for step in found)


def test_processes_change_as_rarely_as_can_be() -> None:
    found = advisor.steps({**INPUTS, "pool_sizes": [4], "processes": [1, 2]}, SITE, PRESENT)
    assert [(step["processes"], step["default_pool_size"]) for step in found[:6]] == [
        (1, 4), (1, 20), (2, 4), (2, 4), (1, 20), (1, 4)
    ]  # fmt: skip
    assert sum(step["switch"] for step in found) == 3


@pytest.mark.parametrize(
    ("inputs", "sizes"),
    [
        # 2 pools in 100 - 3 - 5.
        ({}, [2, 3, 4, 6, 8, 12, 16, 20, 24, 32]),
        # No more connections than clients.
        ({"clients": 10}, [2, 3, 4, 6, 8, 10, 20]),
        # A part for each process.
        ({"pool_sizes": [1, 2, 4], "processes": [3]}, [4, 20]),
    ],
)
def test_pools_that_are_tried_fit_and_make_sense(inputs: dict[str, Any], sizes: list[int]) -> None:
    found = advisor.steps({**INPUTS, **inputs}, SITE, PRESENT)
    assert sorted({step["default_pool_size"] for step in found}) == sizes


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"pool_sizes": [0]}, "advise_pool_sizes has 0: give whole numbers from 1"),
        ({"processes": ["two"]}, "advise_processes has 'two'"),
        (
            {"pool_sizes": "16"},
            r"advise_pool_sizes is '16': give a list, such as -e '{\"advise_pool_sizes\": \[1",
        ),
        ({"pool_sizes": 16}, "advise_pool_sizes is 16: give a list"),
        ({"jobs": 0}, "advise_jobs is 0: give a whole number from 1"),
        ({"clients": 0}, "advise_clients is 0: give a whole number from 1"),
        ({"seconds": "x"}, "advise_seconds is 'x'"),
        ({"repeats": 2}, "advise_repeats is 2: give a whole number from 3"),
        ({"pool_sizes": [47]}, "a default_pool_size of 47 does not fit: .*together 94.*= 92"),
        ({"pool_sizes": [20]}, "only one setting is left to try"),
    ],
)
def test_what_makes_no_sense_is_refused(inputs: dict[str, Any], says: str) -> None:
    [problem] = advisor.problems({**INPUTS, **inputs}, SITE, PRESENT, WHERE)
    assert re.search(says, problem)


@pytest.mark.parametrize("kind", ["database", "user"])
def test_a_pool_size_of_its_own_makes_the_sweep_pointless(kind: str) -> None:
    own = [{**one, "pool_size": 5} if one["name"] == "benchmark" else one for one in SITE[f"{kind}s"]]
    [problem] = advisor.problems(INPUTS, {**SITE, f"{kind}s": own}, PRESENT, WHERE)
    assert problem.startswith(f"{kind} benchmark has its own pool_size (5)")


def test_sound_inputs_have_no_problem() -> None:
    assert advisor.problems({**INPUTS, "pool_sizes": [4, 46]}, SITE, PRESENT, WHERE) == []


def test_a_run_has_what_was_measured_and_the_connections_of_its_database() -> None:
    step = {"default_pool_size": 8, "processes": 2, "repeat": 3, "switch": False}
    measured = {"tps": 100.5, "failed": None, "latency_ms": {"p95": 2.5}, "error": None}
    pools = [
        {"database": "benchmark", "user": "benchmark", "cl_active": 9, "sv_idle": 3, "sv_used": 1},
        {"database": "benchmark", "user": "benchmark", "cl_active": 9, "sv_idle": 4, "sv_used": 0},
        {"database": "mydb", "user": "myuser", "cl_active": 9, "sv_idle": 5, "sv_used": 0},
    ]
    assert advisor.run(step, measured, pools, "benchmark") == {
        "default_pool_size": 8,
        "processes": 2,
        "repeat": 3,
        "tps": 100.5,
        "failed": 0,
        "p95": 2.5,
        "server_connections": 8,
        "error": None,
    }


# ------------------------------------------------------------------------------------------------- the knee


@pytest.mark.parametrize(
    ("runs", "size"),
    [
        # The best by its median, where no other range reaches it.
        ([_runs(4, 100, 101, 102), _runs(8, 200, 201, 202), _runs(16, 150, 151, 152)], 8),
        # The smallest within the spread of the best.
        ([_runs(4, 180, 190, 196), _runs(8, 194, 195, 199), _runs(16, 195, 200, 205)], 4),
        ([_runs(4, 180, 190, 194), _runs(8, 194, 195, 199), _runs(16, 195, 200, 205)], 8),
        # Fewer processes, of equal pools.
        ([_runs(8, 99, 100, 101, processes=2), _runs(8, 99, 100, 101)], 8),
        # Not one with which a run failed.
        ([_runs(4, 900, 901, None), _runs(8, 100, 101, 102)], 8),
        ([_runs(4, 900, 901, 902, failed=1), _runs(8, 100, 101, 102)], 8),
    ],
)
def test_knee(runs: list[list[dict[str, Any]]], size: int) -> None:
    found = advisor.knee(advisor.points([run for some in runs for run in some]))
    assert found is not None
    assert (found.default_pool_size, found.processes) == (size, 1)


def test_without_a_run_there_is_no_knee() -> None:
    assert advisor.knee(advisor.points(_runs(4, None, None, None))) is None


# ------------------------------------------------------------------------------------------------ the advice


def test_a_smaller_pool_that_is_faster_is_recommended_with_its_reasons() -> None:
    found = _advise(_runs(4, 190, 195, 199), _runs(8, 198, 200, 204), _runs(20, 150, 155, 160))
    assert found.faster
    assert found.recommended == {**PRESENT, "default_pool_size": 4}
    assert found.answer == [
        "A default_pool_size of 4 in 1 process beats the present 20 in 1 process: 195 a second (190 to"
        " 199) to"
        " 155 a second (150 to 160), 1.26 x."
    ]
    assert "within the spread of the best (8 in 1 process" in found.reasons["default_pool_size"]
    assert "mydb: myuser x 4 = 4" in found.arithmetic
    assert found.arithmetic in found.reasons["max_connections"]


def test_one_within_the_spread_that_does_not_beat_the_present_is_passed_over() -> None:
    # 4 overlaps with the present, 8 does not.
    found = _advise(_runs(4, 155, 195, 199), _runs(8, 198, 200, 204), _runs(20, 150, 155, 160))
    assert found.recommended["default_pool_size"] == 8


def test_it_says_when_nothing_beats_the_present() -> None:
    found = _advise(_runs(8, 100, 110, 120), _runs(20, 115, 118, 130), _runs(32, 117, 119, 125))
    assert not found.faster
    assert found.recommended == PRESENT
    assert found.answer[0].startswith(
        "No tried setting beats the present default_pool_size of 20 in 1 process"
    )
    assert "within the spread of the repeats" in found.answer[0]
    assert "A pool of 8 in 1 process did as much" in found.answer[1]


def test_the_present_may_be_the_best() -> None:
    found = _advise(_runs(8, 100, 101, 102), _runs(20, 200, 201, 202))
    assert not found.faster
    assert "within" not in found.answer[0]


def test_more_processes_are_recommended_where_they_are_faster() -> None:
    found = _advise(_runs(20, 100, 101, 102), _runs(20, 200, 201, 202, processes=2))
    assert found.recommended["processes"] == 2
    assert found.reasons["processes"] == "Of 1 and 2, the number of the pool above."


def test_the_edge_of_what_fits_is_said() -> None:
    found = _advise(_runs(20, 100, 101, 102), _runs(46, 200, 201, 202), clients=200)
    assert "92 would not fit" in found.answer[1]
    assert "Raise pooled_max_connections" in found.answer[1]


def test_the_edge_of_what_was_tried_is_said() -> None:
    found = _advise(_runs(4, 200, 201, 202), _runs(20, 300, 301, 302), clients=200)
    assert "name some in advise_pool_sizes" in found.answer[1]


def test_the_largest_is_no_edge_where_a_smaller_one_does_as_much() -> None:
    found = _advise(_runs(4, 200, 201, 302), _runs(20, 300, 301, 302), clients=200)
    assert not any("larger" in text for text in found.answer)


@pytest.mark.parametrize(("clients", "limit"), [(50, 1000), (500, 1000), (501, 1100)])
def test_clients_have_room(clients: int, limit: int) -> None:
    found = _advise(_runs(8, 1, 2, 3), _runs(20, 1, 2, 3), clients=clients)
    assert found.recommended["max_client_conn"] == limit
    assert found.reasons["max_client_conn"]


def test_a_budget_that_does_not_fit_raises_max_connections() -> None:
    small = {**SITE, "server": {**SITE["server"], "max_connections": 45}}
    measured = advisor.points(_runs(8, 1, 2, 3) + _runs(20, 1, 2, 3))
    found = advisor.advise(measured, {**PRESENT, "max_connections": 45}, small, 50)
    assert found.recommended["max_connections"] == 50
    assert "restart" in found.reasons["max_connections"]


@pytest.mark.parametrize(
    ("runs", "says"),
    [
        ([_runs(8, 1, 2, 3)], "0 of 3 runs"),
        ([_runs(8, 1, 2, 3), _runs(20, 1, 2)], "2 of 3 runs"),
        ([_runs(8, 1, 2, 3), _runs(20, 1, 2, None)], "the pooler went away"),
        ([_runs(8, 1, 2), _runs(20, 1, 2, 3)], "a pool of 8 in 1 process has 2 of 3 runs"),
    ],
)
def test_too_little_is_no_ground_for_advice(runs: list[list[dict[str, Any]]], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        _advise(*runs)


def test_a_setting_that_failed_is_no_obstacle() -> None:
    found = _advise(_runs(4, None, None, None), _runs(8, 200, 201, 202), _runs(20, 100, 101, 102))
    assert found.recommended["default_pool_size"] == 8


# ---------------------------------------------------------------------------------------------- what is shown


def test_table_marks_what_there_is_and_what_is_recommended() -> None:
    found = _advise(_runs(4, None), _runs(8, 2000, 2001, 2002), _runs(20, 100, 101, 102))
    lines = advisor.table(found.points, PRESENT, found.recommended)
    assert lines[0].split() == ["pool", "processes", "tps", "lowest", "highest", "p95", "ms", "servers"]
    assert lines[1].split()[:4] == ["4", "1", "-", "-"]
    assert lines[1].endswith("the pooler went away")
    assert lines[2].split() == ["8", "1", "2,001", "2,000", "2,002", "2.5", "8", "recommended"]
    assert lines[3].endswith("present")


def test_inventory_is_yaml_with_reasons() -> None:
    found = _advise(_runs(8, 200, 201, 202), _runs(20, 100, 101, 102))
    text = advisor.inventory(found, HOW)
    assert yaml.safe_load(text) == {
        "pgbouncer_default_pool_size": 8,
        "pgbouncer_processes": 1,
        "pgbouncer_max_client_conn": 1000,
        "pooled_max_connections": 100,
    }
    assert max(map(len, text.splitlines())) <= 118
    assert "# A default_pool_size of 8 in 1 process beats" in text


@pytest.mark.parametrize(
    ("after", "found", "says"),
    [
        ((200, 201, 202), {}, "It is faster"),
        ((50, 51, 52), {}, "It is slower"),
        ((101, 102, 103), {}, "No difference"),
        ((200, None, 202), {}, "a run failed: the pooler went away"),
        ((200, 201, 202), {"default_pool_size": 20}, "pgbouncer_default_pool_size is 20 and not 8"),
    ],
)
def test_what_came_of_it(after: tuple[float | None, ...], found: dict[str, int], says: str) -> None:
    wanted = {**PRESENT, "default_pool_size": 8}
    [before] = advisor.points(_runs(20, 100, 101, 102))
    [then] = advisor.points(_runs(8, *after))
    assert says in advisor.applied(before, then, wanted, {**wanted, **found})
