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
