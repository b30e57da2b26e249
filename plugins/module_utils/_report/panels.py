# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Panels of a dashboard, their queries and variables. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._report.errors import ReportError

# The default of this collection's Prometheus.
SCRAPE_SECONDS = 15.0
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}

# Grafana answers these queries from Prometheus' labels instead of from series.
_LABEL_VALUES = re.compile(r"label_values\((.*),\s*(\w+)\)", re.DOTALL)
# Not $1, which belongs to label_replace.
_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{(\w+)(?::\w+)?\})")


@dataclass(frozen=True)
class Query:
    """An expression and its place: the dashboard's uid, the panel's title, the target's letter."""

    dashboard: str
    panel: str
    ref: str
    expr: str
    legend: str = ""
    instant: bool = False

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.panel} ({self.ref})"


@dataclass(frozen=True)
class Series:
    """Values over time, each with its seconds since 1970; a single one for an instant query."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Window:
    """Start and end in seconds since 1970, and the seconds between two points, and two scrapes."""

    start: float
    end: float
    step: float = SCRAPE_SECONDS
    scrape: float = SCRAPE_SECONDS

    @classmethod
    def of(cls, start: float, end: float, points: int = 240, scrape: float = SCRAPE_SECONDS) -> Window:
        """Return a window with about so many points, at most one for each scrape."""
        steps = max(1, round((end - start) / points / scrape))
        return cls(start, end, steps * scrape, scrape)


def scrape_seconds(targets: Iterable[Mapping[str, Any]]) -> float:
    """Return the longest scrape interval of the targets, in seconds."""

    def seconds(duration: str) -> float:
        return sum(
            float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwy])", duration)
        )

    return (
        max((seconds(target.get("scrapeInterval") or "") for target in targets), default=0) or SCRAPE_SECONDS
    )


Answers = Mapping[Query, Sequence[Series]]


@dataclass(frozen=True)
class Panel:
    """The part of a panel that a chart needs."""

    kind: str
    title: str
    description: str
    queries: Sequence[Query]
    unit: str = "short"
    steps: Sequence[tuple[float | None, str]] = ()
    highest: float | None = None
    stacked: bool = False
    wide: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Board:
    """A dashboard; its sections are its rows, the first without a title."""

    uid: str
    title: str
    description: str
    sections: Sequence[tuple[str, Sequence[Panel]]]
    marks: Sequence[Query]
    variables: Sequence[Query]

    def panels(self) -> Iterator[Panel]:
        """Return the panels of all sections."""
        for _title, panels in self.sections:
            yield from panels

    def queries(self) -> list[Query]:
        """Return every query, with those of variables and annotations."""
        return [*self.variables, *self.marks, *(query for panel in self.panels() for query in panel.queries)]


def read(document: Mapping[str, Any]) -> Board:
    """Parse a dashboard's JSON. Raises ReportError if a variable's query is unknown."""
    uid = document["uid"]
    sections: list[tuple[str, list[Panel]]] = [("", [])]
    for found in document.get("panels", []):
        if found["type"] == "row":
            sections.append((found["title"], [_panel(uid, one) for one in found.get("panels") or []]))
        else:
            sections[-1][1].append(_panel(uid, found))
    return Board(
        uid=uid,
        title=document["title"],
        description=document.get("description", ""),
        sections=[(title, panels) for title, panels in sections if panels],
        marks=[
            Query(uid, one["name"], "annotation", one["expr"], one.get("titleFormat", ""))
            for one in document.get("annotations", {}).get("list", [])
            if one.get("expr")
        ],
        variables=[_variable(uid, one) for one in document.get("templating", {}).get("list", [])],
    )


def _variable(uid: str, found: Mapping[str, Any]) -> Query:
    text = found["query"]["query"] if isinstance(found["query"], Mapping) else found["query"]
    match = _LABEL_VALUES.fullmatch(text)
    if not match:
        raise ReportError(
            f"Failed to read {uid}: the variable {found['name']} has {text!r}. Use label_values(…)."
        )
    return Query(uid, f"${found['name']}", "variable", f"count by ({match[2]}) ({match[1]})", "", True)


def _panel(uid: str, found: Mapping[str, Any]) -> Panel:
    defaults = found.get("fieldConfig", {}).get("defaults", {})
    custom = defaults.get("custom", {})
    drawn = custom.get("thresholdsStyle", {}).get("mode", "off") != "off" or found["type"] == "stat"
    steps = defaults.get("thresholds", {}).get("steps", []) if drawn else []
    return Panel(
        kind=found["type"],
        title=found["title"],
        description=found.get("description", ""),
        queries=[
            Query(
                uid,
                found["title"],
                one["refId"],
                one["expr"],
                one.get("legendFormat", ""),
                bool(one.get("instant")),
            )
            for one in found.get("targets", [])
        ],
        unit=defaults.get("unit", "short"),
        steps=[(step["value"], step["color"]) for step in steps],
        highest=defaults.get("max"),
        stacked=custom.get("stacking", {}).get("mode") == "normal",
        wide=found.get("gridPos", {}).get("w") == 24,
        options={
            "overrides": found.get("fieldConfig", {}).get("overrides", []),
            "transformations": found.get("transformations", []),
            "sortBy": found.get("options", {}).get("sortBy", []),
        },
    )


def override(panel: Panel, name: str) -> dict[str, Any]:
    """Return a panel's overrides for the series or column of that name, by property id."""
    found: dict[str, Any] = {}
    for one in panel.options.get("overrides", []):
        wanted = str(one["matcher"]["options"])
        pattern = re.escape(wanted) + "$" if one["matcher"]["id"] == "byName" else wanted.strip("/")
        if re.match(pattern, name):
            found |= {each["id"]: each["value"] for each in one["properties"]}
    return found


def fill(expr: str, window: Window, values: Mapping[str, str | Sequence[str]] | None = None) -> str:
    """Replace the variables of an expression like Grafana.

    Args:
        expr: PromQL with ``$name`` or ``${name}``.
        window: source of ``$__range``, ``$__interval`` and ``$__rate_interval``.
        values: one or several by name; a variable without any matches all.
    """
    # Grafana's $__rate_interval: at least four scrapes, so that a failed one leaves no hole.
    rate = max(window.step + window.scrape, 4 * window.scrape)
    own = {
        "__rate_interval": f"{rate:.0f}s",
        "__interval": f"{window.step:.0f}s",
        "__range": f"{window.end - window.start:.0f}s",
    }

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name in own:
            return own[name]
        given = (values or {}).get(name, [])
        several = [given] if isinstance(given, str) else list(given)
        # Escaped for the expression and for the string around it.
        return "|".join(re.escape(one).replace("\\", "\\\\") for one in several) or ".*"

    return _VARIABLE.sub(value, expr)


def name_of(query: Query, labels: Mapping[str, str]) -> str:
    """Return the name of a series, from the query's legend or its labels."""
    text = re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: labels.get(match[1], ""), query.legend).strip()
    return text or ", ".join(f"{key}={value}" for key, value in sorted(labels.items()) if key != "__name__")


def all_queries(boards: Iterable[Board]) -> list[Query]:
    """Return every query of every dashboard."""
    return [query for board in boards for query in board.queries()]
