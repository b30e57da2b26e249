"""Two benchmarks side by side, and files that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import api, compare, statistics
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.errors import ResultError
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.report import pages


def document(tps: dict[tuple[str, int], list[float]], **system: Any) -> dict[str, Any]:
    """Return a result by path and number of clients."""
    summary: dict[int, dict[str, Any]] = {}
    for (path, clients), values in tps.items():
        row = {"script": "select-only", "mode": "persistent", "protocol": "simple", "clients": clients}
        summary.setdefault(clients, {**row, "paths": {}})["paths"][path] = {"tps": statistics.spread(values)}
    return {
        "schema": 1,
        "plan": {"name": "quick", "seconds": 2, "repeats": 3, "scale": 50},
        "system": {"time": "2026-11-23T05:00:00Z", "target": "lab", "commit": "0123456789abcdef", **system},
        "summary": list(summary.values()),
    }


SLOW, FAST, SIMILAR = [100.0, 101.0, 102.0], [200.0, 201.0, 202.0], [101.0, 102.0, 103.0]
A, B = ("pooled", 50), ("pooled", 100)


@pytest.mark.parametrize(
    ("a", "b", "verdicts", "says"),
    [
        (
            {A: SLOW},
            {A: FAST},
            ["faster"],
            "B is faster than A in 1 of 1 cases (most: 1.99 x, select-only, 50",
        ),
        ({A: FAST}, {A: SLOW}, ["slower"], "B is slower than A in 1 of 1 cases"),
        ({A: SLOW}, {A: SIMILAR}, ["no difference"], "A and B differ in none of 1 cases"),
        ({A: SLOW}, {A: FAST[:2]}, ["too few runs"], "The benchmarks cannot be compared"),
        ({A: SLOW, B: SLOW}, {A: SLOW}, ["no difference", "only in a"], "A and B differ in none of 1"),
        ({A: SLOW}, {A: SLOW, B: SLOW}, ["no difference", "only in b"], "A and B differ in none of 1"),
        ({A: SLOW}, {A: []}, ["only in a"], "The benchmarks cannot be compared"),
        ({A: []}, {A: []}, [], "The benchmarks cannot be compared"),
        ({A: SLOW, B: FAST}, {A: FAST, B: SLOW}, ["faster", "slower"], "B is faster than A in 1 of 2 cases"),
    ],
)
def test_verdicts(a: Any, b: Any, verdicts: list[str], says: str) -> None:
    found = compare.compare(document(a), document(b))
    assert [row["verdict"] for row in found["rows"]] == verdicts
    assert says in found["answer"][0]
    assert compare.table(found)


def test_a_row_has_both_sides() -> None:
    [row] = compare.compare(document({A: SLOW}), document({A: FAST}))["rows"]
    assert row == {
        "script": "select-only",
        "mode": "persistent",
        "protocol": "simple",
        "clients": 50,
        "path": "pooled",
        "a": statistics.spread(SLOW),
        "b": statistics.spread(FAST),
        "ratio": 1.9901,
        "verdict": "faster",
    }


def test_what_was_not_as_it_should_be_is_said_of_the_side_that_it_was() -> None:
    busy = {"database_cpu": 0.98, "load_cpu": 0.02}
    found = compare.compare(document({A: SLOW}), document({A: FAST}, background=busy))
    said = "B: The database host was 98 % busy before the first run."
    assert found["caveats"] == [said]
    assert said in compare.table(found)
    assert said in pages.comparison_html(found)
    assert said in pages.comparison_markdown(found).replace("\\", "")


def test_what_was_different_before_is_said() -> None:
    a = document({A: SLOW}, memory_mb=100, settings={"pgbouncer": {"default_pool_size": "20"}})
    b = document({A: SLOW}, memory_mb=200, settings={"pgbouncer": {"default_pool_size": "40"}})
    b["system"]["time"] = "another"
    found = compare.compare(a, b)
    assert found["differences"] == [
        {"what": "memory_mb", "a": 100, "b": 200},
        {"what": "pgbouncer: default_pool_size", "a": "20", "b": "40"},
    ]
    assert found["a"] == {
        "time": "2026-11-23T05:00:00Z",
        "target": "lab",
        "plan": "quick",
        "commit": "0123456789abcdef",
    }
    assert any(line.split() == ["memory_mb", "100", "200"] for line in compare.table(found))


def test_a_script_of_one_s_own_that_has_changed_is_a_difference() -> None:
    sides = []
    for content in ("SELECT 1;", "SELECT 2;"):
        side = document({A: SLOW})
        side["plan"] |= {"name": "custom", "cases": [{"script": "orders.sql", "content": content}]}
        sides.append(side)
    assert compare.compare(*sides)["differences"] == [
        {"what": "plan: case 1: content", "a": "SELECT 1;", "b": "SELECT 2;"}
    ]


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (None, "No such file"),
        ("half a docu", "it is not JSON"),
        ("[]", "it is no result of `runner.py bench`"),
        ('{"runs": []}', "it is no result of `runner.py bench`"),
        # As this project wrote it before there were plans.
        ('{"schema": 1, "system": {}, "runs": []}', "another version wrote it"),
        ('{"schema": 2, "system": {}, "plan": {}, "summary": []}', "another version wrote it"),
        ('{"schema": 1, "system": {}, "plan": {}, "summary": []}', "it is damaged (KeyError('time'))"),
        ('{"schema": 1, "system": {}, "plan": {}, "summary": [1]}', "it is damaged"),
        (
            '{"schema": 1, "system": {"time": 1, "target": 1, "commit": 1, "settings": 1},'
            ' "plan": {"name": 1}, "summary": [{"paths": {}}]}',
            "it is damaged",
        ),
    ],
)
def test_files_that_are_no_results(written: str | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    if written is not None:
        path.write_text(written)
    with pytest.raises(ResultError) as refused:
        api.read_result(path)
    assert says in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_result_without_runs_is_none() -> None:
    with pytest.raises(ResultError, match="no run in it finished"):
        compare.check(document({}), "a.json")
