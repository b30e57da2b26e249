# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The dashboards as one HTML page. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ansible_collections.pooled.postgres.plugins.module_utils._report import plots, render, units
from ansible_collections.pooled.postgres.plugins.module_utils._report.coverage import has_data
from ansible_collections.pooled.postgres.plugins.module_utils._report.panels import (
    SCRAPE_SECONDS,
    Answers,
    Board,
    Panel,
    Query,
    Window,
    name_of,
    override,
)
from ansible_collections.pooled.postgres.plugins.module_utils._report.render import (
    Block,
    Item,
    Section,
    Table,
)

MOST_LINES = 8
# A limit this many times above everything else is left out of the picture.
FAR = 3.0
# How urgent a threshold's colour is, and its word.
_LEVELS = {"green": 0, "yellow": 1, "red": 2}
_WORDS = ("fine", "check", "wrong")
_COLOURS = {"green": "var(--fine)", "yellow": "var(--look)", "red": "var(--wrong)"}


@dataclass(frozen=True)
class Findings:
    """What Prometheus says besides the dashboards' queries."""

    targets: Sequence[Mapping[str, Any]]
    """Of ``/api/v1/targets``: ``labels``, ``health``, ``lastError``."""
    alerts: Sequence[Mapping[str, Any]] = ()
    """Of ``/api/v1/alerts``: ``labels``, ``annotations``, ``state``."""


class Figure(NamedTuple):
    """A panel with one figure, and how its thresholds rate it."""

    panel: Panel
    board: Board
    shown: str = "no data"
    level: int | None = None


def page(title: str, boards: Sequence[Board], answers: Answers, findings: Findings, window: Window) -> str:
    """Return the whole page.

    Args:
        title: what was looked at.
        boards: the dashboards, in their order.
        answers: what Prometheus returned to their queries.
        findings: its targets and alerts.
        window: the time of the charts; figures and tables show its end.
    """
    items = summary(boards, answers, findings)
    worst = max((item.level for item in items), default=0)
    count = sum(item.level == worst for item in items)
    things = f"{count} problem{'' if count == 1 else 's'}"
    verdict = ("All is well", f"{things} to check", things)[worst]
    up = sum(target["health"] == "up" for target in findings.targets)
    title_of_targets = (
        f"{up} of {len(findings.targets)} scrape target{'' if len(findings.targets) == 1 else 's'} up"
    )
    return render.html(
        title,
        _of_window(window),
        [verdict],
        items,
        [board_section(board, answers, window) for board in boards],
        level=worst,
        more=render.table(_targets(findings.targets), title_of_targets, folded=True),
    )


def _of_window(window: Window) -> str:
    start, end = (datetime.fromtimestamp(time, UTC) for time in (window.start, window.end))
    last = f"{end:%H:%M}" if start.date() == end.date() else f"{end:%Y-%m-%d %H:%M}"
    return f"{start:%Y-%m-%d %H:%M} to {last} UTC. Figures and tables show the end, charts the whole time."


def _figure(board: Board, panel: Panel, answers: Answers) -> Figure:
    last = [one.points[-1][1] for one in answers.get(panel.queries[0], ()) if one.points]
    value = next(filter(math.isfinite, last), None)
    if value is None:
        return Figure(panel, board)
    shown = units.text(value, panel.unit)
    if len(panel.steps) < 2:
        return Figure(panel, board, shown)
    colour = [name for start, name in panel.steps if start is None or value >= start][-1]
    return Figure(panel, board, shown, _LEVELS[colour])


def figures(boards: Iterable[Board], answers: Answers) -> list[Figure]:
    """Return every panel with one figure."""
    panels = ((board, panel) for board in boards for panel in board.panels())
    return [_figure(board, panel, answers) for board, panel in panels if panel.kind == "stat"]


def summary(boards: Sequence[Board], answers: Answers, findings: Findings) -> list[Item]:
    """Return what is wrong, the worst first."""
    found = [
        Item(
            2,
            f": {target.get('lastError') or 'not scraped yet'}",
            f"{_target_name(target)} is {target['health']}",
        )
        for target in findings.targets
        if target["health"] != "up"
    ]
    found += [_of_alert(alert) for alert in findings.alerts if alert["state"] == "firing"]
    seen = set()
    for one in figures(boards, answers):
        # Two dashboards may have the same figure.
        if one.level and (key := f"{one.panel.title}: {one.shown}") not in seen:
            seen.add(key)
            found.append(Item(one.level, f". {one.panel.description}", key, f"#{one.board.uid}"))
    return sorted(found, key=lambda item: -item.level)


def _of_alert(alert: Mapping[str, Any]) -> Item:
    labels, notes = alert["labels"], alert.get("annotations", {})
    name = labels["alertname"] + (f" on {labels['host']}" if labels.get("host") else "")
    text = notes.get("description") or notes.get("summary") or "firing"
    return Item(2 if labels.get("severity") == "critical" else 1, f": {text}", name)


def _job(labels: Mapping[str, str]) -> str:
    return labels["job"] + (f" #{labels['process']}" if "process" in labels else "")


def _target_name(target: Mapping[str, Any]) -> str:
    labels = target["labels"]
    return f"{_job(labels)} on {labels.get('host') or labels['instance']}"


def _targets(targets: Iterable[Mapping[str, Any]]) -> Table:
    pairs = ((target["labels"], target["health"]) for target in targets)
    rows = [(labels.get("host", ""), _job(labels), labels["instance"], health) for labels, health in pairs]
    return Table(("Host", "Job", "Address", "State"), sorted(rows))


# -------------------------------------------------------------------------------------------- a dashboard


def board_section(board: Board, answers: Answers, window: Window) -> Section:
    """Return a dashboard as a section of a page."""
    marks = [span for query in board.marks for span in spans(query, answers, window)]
    note = " Shaded: pgbench ran." if marks else ""
    blocks: list[Block] = [render.text(f"{board.description}{note}".strip())]
    for title, panels in board.sections:
        blocks += [{"kind": "heading", "text": title}] if title else []
        tiles = [_tile(_figure(board, panel, answers)) for panel in panels if panel.kind == "stat"]
        blocks += [{"kind": "tiles", "tiles": tiles}] if tiles else []
        others = [panel for panel in panels if panel.kind != "stat"]
        full = [one for one in others if any(has_data(answers.get(query, ())) for query in one.queries)]
        drawn = [
            _tabular(panel, answers) if panel.kind == "table" else chart(panel, answers, window, marks)
            for panel in full
        ]
        blocks += [render.figures(drawn)] if drawn else []
        empty = [panel.title for panel in others if panel not in full]
        blocks += [render.text(f"Without data: {', '.join(empty)}.")] if empty else []
    name = board.title.rpartition(": ")[2]
    name = name[:1].upper() + name[1:]
    return Section(name, name, blocks, board.uid)


def spans(query: Query, answers: Answers, window: Window) -> list[tuple[float, float]]:
    """Return when an annotation's query had a value, as spans of time.

    Values up to four scrapes apart are one span: between two transactions nothing is active for a moment.
    """
    hole = max(window.step * 1.5, 4 * SCRAPE_SECONDS)
    found: list[tuple[float, float]] = []
    for time in sorted({time for series in answers.get(query, ()) for time, _value in series.points}):
        if found and time - found[-1][1] <= hole:
            found[-1] = (found[-1][0], time)
        else:
            found.append((time, time))
    return found


def _tile(one: Figure) -> Block:
    state = "" if one.level is None else _WORDS[one.level]
    return {"title": one.panel.title, "value": one.shown, "level": one.level, "state": state} | {
        "about": one.panel.description
    }


def figure(title: str, picture: str, caption: str = "", **more: Any) -> Block:
    """Return a figure; ``more`` may be its ``key``, ``legend``, ``table`` and whether it is ``wide``."""
    nothing = {"key": (), "legend": (), "table": None, "wide": False}
    return nothing | {"title": title, "picture": picture, "caption": caption} | more


def chart(
    panel: Panel,
    answers: Answers,
    window: Window,
    marks: Sequence[tuple[float, float]] = (),
    *,
    colours: Sequence[str] = plots.COLOURS,
    strips: Sequence[tuple[float, float, str]] = (),
) -> Block:
    """Return a panel as a figure: its lines, with their last, mean and highest values.

    Args:
        panel: what to draw.
        answers: what Prometheus returned.
        window: the time to show.
        marks: spans of time to shade.
        colours: of the lines.
        strips: see ``plots.over_time``.
    """
    series: list[tuple[str, list[tuple[float, float]]]] = []
    for query in panel.queries:
        named = ((name_of(query, one.labels), one.points) for one in answers.get(query, ()))
        finite = [(name, [point for point in points if math.isfinite(point[1])]) for name, points in named]
        # By name, so that a host has the same colour in all charts.
        series += sorted((one for one in finite if one[1]), key=lambda one: one[0])
    limits = [one for one in series if "custom.lineStyle" in override(panel, one[0])]
    ordinary = [one for one in series if one not in limits]
    ranked = sorted(ordinary, key=lambda one: -_highest(one[1]))
    kept = [one for one in ordinary if one in ranked[:MOST_LINES]]
    lines = [plots.Line(*one, colours[number % len(colours)]) for number, one in enumerate(kept)]
    top = max((_highest(line.points) for line in lines), default=0.0)
    limit_lines = [plots.Line(*one, plots.LIMIT, True) for one in limits]
    near = [line for line in limit_lines if _highest(line.points) <= max(top * FAR, 1e-9)]
    steps = [(value, _COLOURS[colour]) for value, colour in panel.steps if value is not None]
    wanted = max([top, *(_highest(line.points) for line in near)])
    picture = plots.over_time(
        panel.title,
        [*lines, *near],
        panel.unit,
        (window.start, window.end),
        step=window.step,
        stacked=panel.stacked,
        highest=panel.highest,
        thresholds=[one for one in steps if one[0] <= (panel.highest or 2 * wanted)],
        marks=marks,
        strips=strips,
    )
    legend = []
    for line in [*lines, *limit_lines]:
        values = [value for _time, value in line.points]
        shown = [units.text(one, panel.unit) for one in (values[-1], sum(values) / len(values), max(values))]
        note = " (above the picture)" if line.dashed and line not in near else ""
        legend.append((line.colour, f"{line.name}{note}", shown))
    if hidden := ranked[MOST_LINES:]:
        highest = units.text(_highest(hidden[0][1]), panel.unit)
        legend.append(("", f"and {len(hidden)} more, none above {highest}", ["", "", ""]))
    said = [
        f"{_WORDS[_LEVELS[colour]]} from {units.text(value, panel.unit)}"
        for value, colour in panel.steps
        if value is not None
    ]
    dashed = f" Dashed: {', '.join(said)}." if said else ""
    return figure(panel.title, picture, f"{panel.description}{dashed}", legend=legend, wide=panel.wide)


def _highest(points: Iterable[tuple[float, float]]) -> float:
    return max(value for _time, value in points)


def _tabular(panel: Panel, answers: Answers) -> Block:
    """Return a table: queries with the same labels share a row, as in Grafana."""
    organised = next(one["options"] for one in panel.options["transformations"] if one["id"] == "organize")
    names: Mapping[str, str] = organised["renameByName"]
    values = [f"Value #{query.ref}" if len(panel.queries) > 1 else "Value" for query in panel.queries]
    rows: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    for query, value in zip(panel.queries, values, strict=True):
        for series in answers.get(query, ()):
            if series.points:
                row = rows.setdefault(tuple(sorted(series.labels.items())), {})
                row[value] = series.points[-1][1]
    body = []
    for labels, found in sorted(rows.items(), key=lambda pair: (-pair[1].get(values[0], -math.inf), pair[0])):
        cells = [dict(labels).get(name, "") for name in names if name not in values]
        for name in values:
            unit = str(override(panel, names[name]).get("unit", panel.unit))
            cells.append(units.text(found.get(name, math.nan), unit))
        body.append(cells)
    right = frozenset(range(len(names) - len(values), len(names)))
    return figure(panel.title, "", panel.description, table=Table([*names.values()], body, right), wide=True)
