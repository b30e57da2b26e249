"""The answer: what is claimed of a benchmark, and what is not."""

from __future__ import annotations

from typing import Any

import benchmark_documents as documents
import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.report import answer

Row = dict[str, Any]


def side(tps: float | None, count: int = 3, error: str | None = None) -> dict[str, Any]:
    tps_ = {"median": tps, "low": tps, "high": tps, "n": 0 if tps is None else count}
    return {"tps": tps_, "latency_ms": {}, "error": error}


def row(
    clients: int, direct: float | None, pooled: float | None, verdict: str, pooled_error: str | None = None
) -> Row:
    """Return a row of a summary."""
    ratio = pooled / direct if direct and pooled else None
    paths = {
        "direct": side(direct, error=None if direct else "too many clients"),
        "pooled": side(pooled, error=pooled_error),
    }
    compared = {"path": "pooled", "against": "direct", "ratio": ratio, "verdict": verdict}
    case = {"script": "select-only", "mode": "persistent", "protocol": "simple", "clients": clients}
    return {**case, "paths": paths, "comparisons": [compared]}


def said(*rows: Row) -> list[str]:
    return answer.answer({"system": {"max_connections": 100}, "summary": list(rows)})


FASTER = row(20, 100, 1520, "faster")
SLOWER = row(50, 100, 69, "slower")
SAME = row(90, 100, 97, "no difference")
BEYOND = row(150, None, 80, "not measured")
FEW = row(10, 100, 124, "too few runs")
BROKEN = row(200, None, None, "not measured", "query_wait_timeout")


WON = "PgBouncer was faster in 1 of"
UP_TO = "(up to 15 x: select-only, 20 clients)"
DOWN_TO = "(down to 0.69 x: select-only, 50 clients)"
SERVED = "It served 150 clients, more than max_connections (100); direct connections failed."
UNKNOWN = "PgBouncer and direct connections cannot be compared: too few runs succeeded."


@pytest.mark.parametrize(
    ("rows", "first", "second"),
    [
        (
            [FASTER, SLOWER, SAME, BEYOND],
            f"{WON} 3 comparisons {UP_TO}. {SERVED}",
            f"It was slower in 1 of 3 comparisons {DOWN_TO}. "
            "In 1 comparison, the difference is within the spread of the repeats.",
        ),
        (
            [SLOWER, SLOWER],
            "PgBouncer was faster in none of 2 comparisons.",
            f"It was slower in 2 of 2 comparisons {DOWN_TO}.",
        ),
        (
            [SAME],
            "PgBouncer was faster in none of 1 comparison.",
            "It was slower in no comparison. "
            "In 1 comparison, the difference is within the spread of the repeats.",
        ),
        (
            [SLOWER, BEYOND],
            f"PgBouncer was faster in none of 1 comparison. {SERVED}",
            f"It was slower in 1 of 1 comparison {DOWN_TO}.",
        ),
        # A ratio of too few repeats is no claim.
        ([FEW], UNKNOWN, "1 case has too few repeats for a verdict (seen: 1.24 x)."),
        (
            [FASTER, BROKEN],
            f"{WON} 1 comparison {UP_TO}.",
            "It was slower in no comparison. It failed in 1 case (first: select-only, 200 clients).",
        ),
        (
            [FASTER, BROKEN, row(5, 10, None, "not measured", "no such database")],
            f"{WON} 1 comparison {UP_TO}.",
            "It was slower in no comparison. It failed in 2 cases (first: select-only, 5 clients).",
        ),
    ],
)
def test_what_is_won_and_then_what_is_not(rows: list[Row], first: str, second: str) -> None:
    assert said(*rows) == [first, second]


def test_more_clients_than_postgresql_takes_are_no_merit_where_it_took_them() -> None:
    (first, _second) = said(row(150, 100, 110, "faster"))
    assert "where direct connections failed" not in first


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"summary": []}, "No run gave a figure."),
        ({"summary": [BROKEN]}, "No run gave a figure."),
        (documents.only_direct(), "Only one side was measured (direct)."),
        (documents.interrupted(), "The benchmark was interrupted. So far: PgBouncer was"),
    ],
)
def test_what_is_not_there_is_not_claimed(document: dict[str, Any], words: str) -> None:
    assert answer.answer(document)[0].startswith(words)
    assert len(answer.answer(document)) <= 2


def test_without_the_path_over_tcp_another_pooled_one_is_spoken_of() -> None:
    found = documents.document()
    for one in found["summary"]:
        one["paths"].pop("pooled", None)
    assert answer.answer(found)[0].startswith("PgBouncer (pooled, Unix socket) was faster")


NOTHING: dict[str, Any] = {"system": {}, "plan": {}, "runs": [{}, {}]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"complete": False}, "The benchmark was interrupted after 2 runs."),
        ({"system": {"background": {"database_cpu": 0.23}}}, "The database host was 23 % busy"),
        ({"system": {"background": {"load_cpu": 0.5}}}, "The load generator was 50 % busy"),
        ({"system": {"load_across_network": False}}, "from the database host itself: no network"),
        ({"system": {"same_machine": True}}, "shared one machine"),
        ({"system": {"dirty": True}}, "uncommitted changes"),
        ({"plan": {"repeats": 1}}, "Each case ran 1 time: a verdict needs 3 repeats."),
        ({"plan": {"repeats": 2}}, "Each case ran 2 times"),
        ({"runs": [{"error": "x"}, {}]}, "1 of 2 runs failed; see the tables"),
        ({"runs": [{"failed": 3}, {"failed": None}]}, "3 transactions failed."),
        (
            {"runs": [{"generator": {"cpu": 0.93, "saturated": True}}, {"generator": None}]},
            "pgbench was at its limit in 1 of 2 runs (up to 93 % of its processors)",
        ),
    ],
)
def test_caveats(change: dict[str, Any], words: str) -> None:
    (found,) = answer.caveats({**NOTHING, **change})
    assert words in found


def test_no_caveats() -> None:
    fine = {"background": {"database_cpu": 0.02, "load_cpu": 0.03}, "load_across_network": True}
    assert answer.caveats({"complete": True, "plan": {"repeats": 3}, "system": fine, "runs": [{}]}) == []
