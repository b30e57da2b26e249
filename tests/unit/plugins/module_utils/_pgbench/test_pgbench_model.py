# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pgbench prints, logs and complains of, and what it is told. See fixtures/README.md for the sources."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._pgbench import model
from ansible_collections.pooled.postgres.plugins.module_utils._pgbench.errors import (
    InvalidInputError,
    LogError,
)

VERSIONS = {"15": "15.18", "16": "16.2", "17": "17.11", "18": "18.6"}
TARGET = model.Target(host="10.0.2.10", port=6432, user="myuser", database="mydb", password="s3cret")


def captured(file: str) -> dict[str, str]:
    """Return the runs in a file of the fixtures by their names."""
    parts = re.split(r"(?m)^=== (.*)\n", (Path(__file__).parent / "fixtures" / file).read_text())
    return dict(zip(parts[1::2], parts[2::2], strict=True))


OUTPUTS = {version: captured(f"output-{version}.txt") for version in VERSIONS}
ERRORS = captured("errors.txt")
LOGS = {version: captured(f"log-{version}.txt") for version in ("15", "18")}

# --- Output ---------------------------------------------------------------------------------------------

# Read by eye from the fixtures.
FIGURES: list[tuple[str, str, dict[str, Any]]] = [
OUTPUT_TABLE
]


@pytest.mark.parametrize(("version", "run", "expected"), FIGURES, ids=lambda value: str(value)[:30])
def test_figures(version: str, run: str, expected: dict[str, Any]) -> None:
    figures = model.parse_output(OUTPUTS[version][run])
    assert {name: figures[name] for name in expected} == expected
