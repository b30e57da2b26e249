"""What repeats say, and when two of them differ."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import statistics


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], {"median": None, "low": None, "high": None, "n": 0}),
        ([5.0], {"median": 5.0, "low": 5.0, "high": 5.0, "n": 1}),
        ([3.0, 1.0, 2.0], {"median": 2.0, "low": 1.0, "high": 3.0, "n": 3}),
        ([4.0, 1.0], {"median": 2.5, "low": 1.0, "high": 4.0, "n": 2}),
    ],
)
def test_spread(values: list[float], expected: dict[str, Any]) -> None:
    assert statistics.spread(values) == expected


@pytest.mark.parametrize(
    ("one", "other", "ratio", "verdict"),
    [
        ([20, 21, 22], [10, 11, 12], 1.9091, "faster"),
        ([10, 11, 12], [20, 21, 22], 0.5238, "slower"),
        # They touch, so nothing is claimed.
        ([12, 13, 14], [10, 11, 12], 1.1818, "no difference"),
        ([10, 20, 30], [11, 12, 13], 1.6667, "no difference"),
        # They don't touch, but each differs from itself by as much.
        ([20, 22, 30], [9, 14, 19], 1.5714, "no difference"),
        ([9, 14, 19], [20, 22, 30], 0.6364, "no difference"),
        ([20, 21], [10, 11, 12], 1.8636, "too few runs"),
        ([20, 21, 22], [10], 2.1, "too few runs"),
        ([], [10, 11, 12], None, "not measured"),
        ([10, 11, 12], [], None, "not measured"),
        ([1, 1, 1], [0, 0, 0], None, "faster"),
    ],
)
def test_a_difference_is_claimed_where_it_exceeds_the_spread(
    one: list[float], other: list[float], ratio: float | None, verdict: str
) -> None:
    found = statistics.difference(statistics.spread(one), statistics.spread(other))
    assert (found["ratio"], found["verdict"]) == (ratio, verdict)


def test_the_range_of_a_ratio_is_from_worst_to_best() -> None:
    found = statistics.difference(statistics.spread([20, 21, 22]), statistics.spread([10, 11, 20]))
    assert (found["low"], found["high"]) == (1.0, 2.2)


@pytest.mark.parametrize(("values", "expected"), [([], None), ([None], None), ([None, 2, 4], 3)])
def test_middle(values: list[float | None], expected: float | None) -> None:
    assert statistics.middle(values) == expected
