# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check that every query of the dashboards has data. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.pooled.postgres.plugins.module_utils._report.panels import Answers, Query, Series


@dataclass(frozen=True)
class Coverage:
    """Problems of the dashboards' queries; empty if all have data."""

    missing: Sequence[Query]
    """Queries without data and without an exception."""
    stale: Sequence[str]
    """Exceptions whose query has data or does not exist."""

    @property
    def complete(self) -> bool:
        """Whether there is no problem."""
        return not self.missing and not self.stale


def has_data(found: Iterable[Series]) -> bool:
    """Return whether there is a finite value."""
    return any(math.isfinite(value) for series in found for _time, value in series.points)


def coverage(queries: Iterable[Query], answers: Answers, exceptions: Iterable[Mapping[str, str]]) -> Coverage:
    """Return the queries without data, and the stale exceptions.

    Args:
        queries: of the dashboards.
        answers: what Prometheus returned to each.
        exceptions: each with ``dashboard`` (uid), ``panel`` (title), ``reason``, and ``query`` (letter) if
            it covers only one of the panel's queries.
    """
    empty = {query for query in queries if not has_data(answers.get(query, ()))}
    asked = list(answers)
    excused: set[Query] = set()
    stale = []
    for one in exceptions:
        about = [query for query in asked if _is_about(one, query)]
        what = f"{one['dashboard']}: {one['panel']} ({one.get('query', 'all')})"
        if not about:
            stale.append(f"{what}: the query does not exist")
        elif filled := [query.ref for query in about if query not in empty]:
            stale.append(f"{what}: {', '.join(filled)} has data")
        excused.update(about)
    return Coverage(sorted(empty - excused, key=str), stale)


def _is_about(exception: Mapping[str, str], query: Query) -> bool:
    return (
        exception["dashboard"] == query.dashboard
        and exception["panel"] == query.panel
        and exception.get("query", query.ref) == query.ref
    )
