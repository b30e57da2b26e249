"""What runs of a benchmark leave, made of what pgbench really printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._pgbench import model

FIXTURES = Path(__file__).parents[1] / "unit/plugins/module_utils/_pgbench/fixtures"


def outputs(version: str) -> dict[str, str]:
    """Return what a pgbench of that version really printed, by the run."""
    parts = (FIXTURES / f"output-{version}.txt").read_text().split("=== ")[1:]
    return dict(part.split("\n", 1) for part in parts)


def left_by(number: int, stdout: str) -> dict[str, Any]:
    """Return what a run that printed this leaves."""
    figures = model.parse_output(stdout)
    error = model.run_error(0, "", figures)
    result = model.run_result(model.Workload(clients=10, duration=1), figures, {}, error)
    measured = {"start": float(number), "end": number + 0.9, "cpu_seconds": 0.1, "processors": 2}
    sizes = {"number": number, "host": "load", "clients": 10, "jobs": 2}
    return {**sizes, **result, "measured": measured, "latencies": {}, "stdout": stdout}
