# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a dashboard asks Prometheus: its panels, their queries, and what stands in for its variables. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._report.errors import ReportError

# What Prometheus does by default here, where it does not say.
SCRAPE_SECONDS = 15.0
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}

# The few queries that Grafana answers out of Prometheus' labels instead of asking it for series.
_LABEL_VALUES = re.compile(r"label_values\((.*),\s*(\w+)\)", re.DOTALL)
# Not $1, which is label_replace's.
_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{(\w+)(?::\w+)?\})")


@dataclass(frozen=True)
class Query:
    """One expression, and where it stands: the dashboard's uid, the panel's title, the target's letter."""

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
    """Values over time, each with its seconds since 1970; one alone where a moment was asked for."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Window:
    """The time that is looked at, in seconds since 1970, and the seconds between two points, or scrapes."""

    start: float
    end: float
    step: float = SCRAPE_SECONDS
    scrape: float = SCRAPE_SECONDS

    @classmethod
    def of(cls, start: float, end: float, points: int = 240, scrape: float = SCRAPE_SECONDS) -> Window:
        """Return the window with a step that gives about so many points, but none between two scrapes."""
        steps = max(1, round((end - start) / points / scrape))
        return cls(start, end, steps * scrape, scrape)


def scrape_seconds(targets: Iterable[Mapping[str, Any]]) -> float:
    """Return the seconds between two scrapes of the targets that Prometheus lists, the longest of them."""

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
    """What is read of a panel: enough to draw it."""

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
    """A dashboard: its sections are the rows, the first of which has no title."""

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
        """Return every query, those of variables and annotations too."""
        return [*self.variables, *self.marks, *(query for panel in self.panels() for query in panel.queries)]


def read(document: Mapping[str, Any]) -> Board:
    """Return what a dashboard's JSON says.

    Raises:
        ReportError: a variable's query is of a kind that is not known here.
    """
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
        raise ReportError(f"{uid}: the variable {found['name']} asks {text!r}; only label_values(…) is known")
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
    """Return the properties that a panel gives to the series or column of that name, by their ids."""
    found: dict[str, Any] = {}
    for one in panel.options.get("overrides", []):
        wanted = str(one["matcher"]["options"])
        pattern = re.escape(wanted) + "$" if one["matcher"]["id"] == "byName" else wanted.strip("/")
        if re.match(pattern, name):
            found |= {each["id"]: each["value"] for each in one["properties"]}
    return found


def fill(expr: str, window: Window, values: Mapping[str, str | Sequence[str]] | None = None) -> str:
    """Return an expression with its variables replaced, as Grafana does it.

    Args:
        expr: PromQL with ``$name`` or ``${name}``.
        window: what ``$__range``, ``$__interval`` and ``$__rate_interval`` are taken from.
        values: by name, one value or several; a variable without any stands for all.
    """
    # Grafana's $__rate_interval: four scrapes at least, so that one that fails leaves no hole.
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
        # Twice: once for the expression, once for the string that it stands in.
        return "|".join(re.escape(one).replace("\\", "\\\\") for one in several) or ".*"

    return _VARIABLE.sub(value, expr)


def name_of(query: Query, labels: Mapping[str, str]) -> str:
    """Return what a series is called, by the query's legend, or else by its labels."""
    text = re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: labels.get(match[1], ""), query.legend).strip()
    return text or ", ".join(f"{key}={value}" for key, value in sorted(labels.items()) if key != "__name__")


def all_queries(boards: Iterable[Board]) -> list[Query]:
    """Return every query of every dashboard."""
    return [query for board in boards for query in board.queries()]
