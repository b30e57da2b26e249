# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Spread of repeats, and the verdict on two of them. Pure; docs/benchmark.md explains the method."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

ENOUGH = 3
"""Repeats of each side that a verdict needs."""

FASTER, SLOWER, NO_DIFFERENCE = "faster", "slower", "no difference"
TOO_FEW, NOT_MEASURED = "too few runs", "not measured"


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return ``median``, ``low``, ``high`` and ``n``; without values the first three are None."""
    if not values:
        return {"median": None, "low": None, "high": None, "n": 0}
    return {"median": median(values), "low": min(values), "high": max(values), "n": len(values)}


def middle(values: Iterable[float | None]) -> float | None:
    """Return the median of the known values, None without any."""
    there = [value for value in values if value is not None]
    return median(there) if there else None


def difference(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return ``ratio``, ``low``, ``high`` and ``verdict`` of one spread against another.

    ``ratio`` is that of the medians; ``low`` and ``high`` pair the worst repeat of one side with the best of
    the other. A verdict of faster or slower needs ranges that do not overlap, and medians further apart than
    the wider range. Equal sides pass by chance in one of 23 cases with three repeats each, and in one of 500
    with five (simulated, normally distributed).
    """
    if not one["n"] or not other["n"]:
        return {"ratio": None, "low": None, "high": None, "verdict": NOT_MEASURED}
    result = {
        "ratio": _quotient(one["median"], other["median"]),
        "low": _quotient(one["low"], other["high"]),
        "high": _quotient(one["high"], other["low"]),
    }
    widest = max(side["high"] - side["low"] for side in (one, other))
    if min(one["n"], other["n"]) < ENOUGH:
        verdict = TOO_FEW
    elif abs(one["median"] - other["median"]) <= widest:
        verdict = NO_DIFFERENCE
    elif one["low"] > other["high"]:
        verdict = FASTER
    elif one["high"] < other["low"]:
        verdict = SLOWER
    else:
        verdict = NO_DIFFERENCE
    return {**result, "verdict": verdict}


def _quotient(one: float, other: float) -> float | None:
    return round(one / other, 4) if other else None
