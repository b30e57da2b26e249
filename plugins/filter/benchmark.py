# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters on benchmark runs and their results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import model


class FilterModule:
    """Filters of the benchmark."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "benchmark_plan": model.plan,
            "benchmark_results": model.results,
            "benchmark_table": model.table,
        }
