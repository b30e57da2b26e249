# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Figures as people read them, and round ones for an axis. Pure."""

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


def ticks(highest: float, unit: str, about: int = 4) -> list[float]:
    """Return round figures from 0 up to the first that is not below ``highest``."""
    if not math.isfinite(highest) or highest <= 0:
        highest = 1.0
    factor = scale(highest, unit).factor
    rough = highest / factor / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(nice for nice in (1, 2, 2.5, 5, 10) if nice * power >= rough * 0.999) * power * factor
    count = math.ceil(highest / step - 1e-9)
    return [step * number for number in range(count + 1)]


def log_ticks(lowest: float, highest: float, most: int = 7) -> list[float]:
    """Return round figures of a logarithmic axis, from one not above ``lowest`` to one not below ``highest``.

    Both are above 0. Each power of ten, and 2 and 5 or 3 times it where those are ``most`` steps or fewer.
    """
    first, last = math.floor(math.log10(lowest)), math.ceil(math.log10(highest) + 1e-9)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        found = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        start = max(n for n, value in enumerate(found) if value <= lowest * 1.0001)
        end = min(n for n, value in enumerate(found) if n > start and value >= highest * 0.9999)
        if end - start <= most:
            break
    return found[start : end + 1]


_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_TIMES = (15, 30, *(n * _MINUTE for n in (1, 2, 5, 10, 15, 30)), *(n * _HOUR for n in (1, 2, 3, 6, 12)), _DAY)


def times(start: float, end: float, about: int = 5) -> list[float]:
    """Return round moments between two, all in seconds since 1970."""
    rough = (end - start) / about
    step = next((one for one in _TIMES if one >= rough), _DAY * max(1, math.ceil(rough / _DAY)))
    first = math.ceil(start / step) * step
    return [float(first + number * step) for number in range(int((end - first) // step) + 1)]
