"""Figures as people read them."""

from __future__ import annotations

import math

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._report import units


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0, "short", "0"),
        (-0.0, "short", "0"),
        (7, "short", "7"),
        (0.123456, "short", "0.123"),
        (999.4, "short", "999"),
        (999.9, "short", "1 k"),
        (12345, "short", "12.3 k"),
        (2.1e9, "short", "2.1 G"),
        (-1500, "short", "-1.5 k"),
        (3421, "ops", "3.42 k/s"),
        (0.5, "ops", "0.5/s"),
        (0, "ops", "0/s"),
        (0.456, "percentunit", "45.6 %"),
        (1, "percentunit", "100 %"),
        (0, "percentunit", "0 %"),
        (2.5, "percentunit", "250 %"),
        (0, "s", "0 s"),
        (0.00035, "s", "350 µs"),
        (0.0125, "s", "12.5 ms"),
        (0.31, "ms", "310 µs"),
        (14.2, "ms", "14.2 ms"),
        (1154, "ms", "1.15 s"),
        (59, "s", "59 s"),
        (90, "s", "1.5 min"),
        (7200, "s", "2 h"),
        (200000, "s", "2.31 d"),
        (1023, "bytes", "1,023 B"),
        (1024, "bytes", "1 KiB"),
        (16 * 1024**3, "bytes", "16 GiB"),
        (1500, "Bps", "1.5 kB/s"),
        (math.nan, "s", "-"),
        (math.inf, "short", "-"),
        (5, "what Grafana may have", "5"),
    ],
)
def test_text(value: float, unit: str, expected: str) -> None:
    assert units.text(value, unit) == expected


@pytest.mark.parametrize(
    ("highest", "unit", "expected"),
    [
        (10, "short", [0, 2.5, 5, 7.5, 10]),
        (11, "short", [0, 5, 10, 15]),
        (0, "short", [0, 0.25, 0.5, 0.75, 1]),
        (1, "percentunit", [0, 0.25, 0.5, 0.75, 1]),
        (200, "s", [0, 60, 120, 180, 240]),
        (0.012, "s", [0, 0.005, 0.01, 0.015]),
        (4 * 1024**3, "bytes", [n * 1024**3 for n in range(5)]),
        (math.nan, "short", [0, 0.25, 0.5, 0.75, 1]),
    ],
)
def test_ticks(highest: float, unit: str, expected: list[float]) -> None:
    assert units.ticks(highest, unit) == pytest.approx(expected)


@pytest.mark.parametrize("highest", [1e-9, 0.3, 1, 7, 19.9999, 20, 123456, 3e12])
@pytest.mark.parametrize("unit", units.UNITS)
def test_an_axis_reaches_its_highest_value_in_few_steps(highest: float, unit: str) -> None:
    found = units.ticks(highest, unit)
    assert found[0] == 0
    assert found[-1] >= highest * (1 - 1e-6)
    assert 3 <= len(found) <= 7


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, 3600, [0, 900, 1800, 2700, 3600]),
        (100, 400, [120, 180, 240, 300, 360]),
        (0, 86400, [0, 21600, 43200, 64800, 86400]),
        (0, 10 * 86400, [n * 2 * 86400 for n in range(6)]),
    ],
)
def test_times(start: float, end: float, expected: list[float]) -> None:
    assert units.times(start, end) == expected


@pytest.mark.parametrize(
    ("lowest", "highest", "expected"),
    [
        (0.2, 6, [0.2, 0.5, 1, 2, 5, 10]),
        (1, 100, [1, 2, 5, 10, 20, 50, 100]),
        (0.2, 300, [0.1, 0.3, 1, 3, 10, 30, 100, 300]),
        (0.202, 2582, [0.1, 1, 10, 100, 1000, 10000]),
        # One figure lies between two ticks, too.
        (5, 5, [5, 10]),
    ],
)
def test_log_ticks(lowest: float, highest: float, expected: list[float]) -> None:
    assert units.log_ticks(lowest, highest) == pytest.approx(expected)
