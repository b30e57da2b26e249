# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Figures as people read them. Pure."""

from __future__ import annotations

import math
from typing import NamedTuple


class Scale(NamedTuple):
    """How many of the base unit one is, and what it is called after a figure."""

    factor: float
    suffix: str


_COUNTS = (Scale(1, ""), Scale(1e3, " k"), Scale(1e6, " M"), Scale(1e9, " G"))

# By Grafana's names. The first that a figure is not smaller than is taken, from the last one on.
UNITS = {
    "short": _COUNTS,
    "ops": tuple(Scale(factor, f"{suffix}/s") for factor, suffix in _COUNTS),
    "percentunit": (Scale(0.01, " %"),),
    "ms": (Scale(1e-3, " µs"), Scale(1, " ms"), Scale(1e3, " s")),
    "s": (
        Scale(1e-6, " µs"),
        Scale(1e-3, " ms"),
        Scale(1, " s"),
        Scale(60, " min"),
        Scale(3600, " h"),
        Scale(86400, " d"),
    ),
    "bytes": tuple(
        Scale(2.0 ** (10 * n), f" {name}B") for n, name in enumerate(("", "Ki", "Mi", "Gi", "Ti"))
    ),
    "Bps": tuple(Scale(10.0 ** (3 * n), f" {name}B/s") for n, name in enumerate(("", "k", "M", "G"))),
}


def scale(value: float, unit: str) -> Scale:
    """Return the scale that suits a figure."""
    scales = UNITS.get(unit, _COUNTS)
    base = next((one for one in scales if one.factor == 1), scales[0])
    if not value or not math.isfinite(value):
        return base
    # What would be rounded up to the next scale belongs there.
    return next((one for one in reversed(scales) if abs(value) * 1.0005 >= one.factor), scales[0])


def text(value: float, unit: str, chosen: Scale | None = None) -> str:
    """Return a figure with three digits that count, and its unit."""
    if not math.isfinite(value):
        return "-"
    factor, suffix = chosen or scale(value, unit)
    number = value / factor
    digits = 0 if not number or abs(number) >= 100 else max(0, 2 - math.floor(math.log10(abs(number))))
    shown = f"{number:,.{min(digits, 3)}f}"
    if "." in shown:
        shown = shown.rstrip("0").rstrip(".")
    return f"{shown.removeprefix('-') if float(shown.replace(',', '')) == 0 else shown}{suffix}"
