"""Queries without data, and exceptions that are none."""

from __future__ import annotations

import math

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._report.coverage import coverage, has_data
from ansible_collections.pooled.postgres.plugins.module_utils._report.panels import Query, Series

FULL = [Series({}, [(1, 0.0)])]
EMPTY: list[Series] = []
ONE, TWO, THREE = (Query("d", panel, ref, "up") for panel, ref in (("P", "A"), ("P", "B"), ("Q", "A")))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], False),
        ([Series({}, [])], False),
        ([Series({}, [(1, math.nan), (2, math.inf)])], False),
        ([Series({}, [(1, math.nan)]), Series({}, [(1, 0.0)])], True),
    ],
)
def test_has_data(found: list[Series], expected: bool) -> None:
    assert has_data(found) == expected


@pytest.mark.parametrize(
    ("empty", "exceptions", "missing", "stale"),
    [
        ([], [], [], []),
        ([TWO], [], [TWO], []),
        ([TWO], [("P", "B")], [], []),
        ([TWO, THREE], [("P", "B")], [THREE], []),
        ([ONE, TWO], [("P", None)], [], []),
        # A panel as a whole is excused only where all of it is empty.
        ([TWO], [("P", None)], [], ["d: P (all): A has data"]),
        ([], [("Q", "A")], [], ["d: Q (A): A has data"]),
        ([], [("R", "A")], [], ["d: R (A): the query does not exist"]),
        ([], [("P", "C")], [], ["d: P (C): the query does not exist"]),
    ],
)
def test_coverage(
    empty: list[Query], exceptions: list[tuple[str, str | None]], missing: list[Query], stale: list[str]
) -> None:
    queries = [ONE, TWO, THREE]
    answers = {query: EMPTY if query in empty else FULL for query in queries}
    table = [
        {"dashboard": "d", "panel": panel, "reason": "-"} | ({"query": ref} if ref else {})
        for panel, ref in exceptions
    ]
    found = coverage(queries, answers, table)
    assert (list(found.missing), list(found.stale)) == (missing, stale)
    assert found.complete == (not missing and not stale)


def test_a_query_that_was_not_asked_has_no_data() -> None:
    assert coverage([ONE], {}, []).missing == [ONE]
