"""The answer: what is claimed of a benchmark, and what is not."""

from __future__ import annotations

from typing import Any

import benchmark_documents as documents
import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.report import answer

Row = dict[str, Any]


def side(tps: float | None, count: int = 3, error: str | None = None) -> dict[str, Any]:
    return {"tps": {"median": tps, "low": tps, "high": tps, "n": count}, "latency_ms": {}, "error": error}


def row(
    clients: int, direct: float | None, pooled: float | None, verdict: str, pooled_error: str | None = None
) -> Row:
    """Return a row of a summary."""
    ratio = pooled / direct if direct and pooled else None
    return {
        "script": "select-only",
        "mode": "persistent",
        "protocol": "simple",
        "clients": clients,
        "paths": {
            "direct": side(direct, error=None if direct else "too many clients"),
            "pooled": side(pooled, error=pooled_error),
        },
        "comparisons": [{"path": "pooled", "against": "direct", "ratio": ratio, "verdict": verdict}],
    }


def said(*rows: Row, **more: Any) -> list[str]:
    return answer.answer({"system": {"max_connections": 100}, "summary": list(rows), **more})


FASTER = row(20, 100, 1520, "faster")
SLOWER = row(50, 100, 69, "slower")
SAME = row(90, 100, 97, "no difference")
BEYOND = row(150, None, 80, "not measured")
FEW = row(10, 100, 124, "too few runs")
BROKEN = row(200, None, None, "not measured", "query_wait_timeout")


WON = "PgBouncer was faster than direct connections in 1 of"
AT_BEST = "with 15 times the throughput at best (select-only, 20 clients)"
AT_WORST = "with 31 % less throughput at worst (select-only, 50 clients)"
SERVED = "it served 150 clients, more than max_connections (100), where direct connections failed"
UNKNOWN = "Whether PgBouncer is faster than direct connections can't be said from these runs."


@pytest.mark.parametrize(
    ("rows", "first", "second"),
    [
        (
            [FASTER, SLOWER, SAME, BEYOND],
            f"{WON} 3 comparisons, {AT_BEST}; {SERVED}.",
            f"It was slower in 1 of 3 comparisons, {AT_WORST}; "
            "in 1 no difference exceeds the spread of the repeats.",
        ),
        (
            [SLOWER, SLOWER],
            "PgBouncer gained nothing here: in none of 2 comparisons was it faster than direct connections.",
            f"It was slower in 2 of 2 comparisons, {AT_WORST}.",
        ),
        (
            [SAME],
            "PgBouncer gained nothing here: in none of 1 comparison was it faster than direct connections.",
            "It was slower in none; in 1 no difference exceeds the spread of the repeats.",
        ),
        (
            [SLOWER, BEYOND],
            f"PgBouncer gained no throughput that exceeds the spread, but {SERVED}.",
            f"It was slower in 1 of 1 comparison, {AT_WORST}.",
        ),
        # A ratio of too few repeats is no claim.
        ([FEW], UNKNOWN, "In 1 there were too few repeats to claim anything (seen: 1.24 x direct)."),
        (
            [FASTER, BROKEN],
            f"{WON} 1 comparison, {AT_BEST}.",
            "It was slower in none; it failed in 1 case itself (select-only, 200 clients).",
        ),
        (
            [BROKEN, row(5, 10, None, "not measured", "no such database")],
            UNKNOWN,
            "It failed in 2 cases itself (select-only, 5 clients).",
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
        ({}, "Nothing was measured"),
        (documents.nulls(documents.document()), "Nothing was measured"),
        ({"summary": [BROKEN]}, "Nothing was measured"),
        (documents.only_direct(), "Only one side was measured (direct)"),
        (documents.interrupted(), "The benchmark was interrupted; of what was finished: PgBouncer"),
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


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (15.24, "15 times the throughput"),
        (2.5, "2.5 times the throughput"),
        (1.24, "24 % more throughput"),
        (1.004, "a throughput less than 1 % away"),
        (0.69, "31 % less throughput"),
        (0.02, "98 % less throughput"),
    ],
)
def test_a_ratio_in_words(ratio: float, words: str) -> None:
    assert answer.more(ratio) == words


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"complete": False}, "The benchmark was interrupted: 2 runs are here, the rest is missing."),
        ({"system": {"background": {"database_cpu": 0.23}}}, "23 % of the processors of the database host"),
        ({"system": {"background": {"load_cpu": 0.5}}}, "50 % of the processors of the load generator"),
        ({"system": {"load_across_network": False}}, "no network is in these figures"),
        ({"system": {"same_machine": True}}, "shared one machine"),
        ({"system": {"dirty": True}}, "had changes"),
        ({"plan": {"repeats": 1}}, "Each run was made once"),
        ({"plan": {"repeats": 2}}, "Each run was made twice"),
        ({"runs": [{"error": "x"}, {}]}, "1 of 2 runs ended with an error"),
        ({"runs": [{"failed": 3}, {"failed": None}]}, "3 transactions failed."),
        (
            {"runs": [{"generator": {"cpu": 0.93, "saturated": True}}, {"generator": None}]},
            "In 1 of 2 runs the load generator was at its own limit (pgbench took up to 93 %",
        ),
    ],
)
def test_what_to_bear_in_mind(change: dict[str, Any], words: str) -> None:
    (found,) = answer.caveats({"runs": [{}, {}], **change})
    assert words in found


def test_nothing_to_bear_in_mind() -> None:
    fine = {"background": {"database_cpu": 0.02, "load_cpu": 0.03}, "load_across_network": True}
    assert answer.caveats({"complete": True, "plan": {"repeats": 3}, "system": fine, "runs": [{}]}) == []


def test_the_documents_own_answer_is_told() -> None:
    assert answer.said({"answer": ["It is so.", None, ""]}) == ["It is so."]
    assert answer.said({"answer": []}) == ["Nothing was measured: no run gave a figure."]
