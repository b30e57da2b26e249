# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The dashboards as one HTML page that needs no server, no network and no script. Pure."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._report import units
from ansible_collections.pooled.postgres.plugins.module_utils._report.chart import chart
from ansible_collections.pooled.postgres.plugins.module_utils._report.coverage import has_data
from ansible_collections.pooled.postgres.plugins.module_utils._report.markup import Html, element, joined
from ansible_collections.pooled.postgres.plugins.module_utils._report.panels import (
    SCRAPE_SECONDS,
    Answers,
    Board,
    Panel,
    Query,
    Window,
    override,
)
from ansible_collections.pooled.postgres.plugins.module_utils._report.style import STYLE

# What a threshold's colour says, in words, and how urgent it is.
_LEVELS = {"green": (0, "fine"), "yellow": (1, "to be looked at"), "red": (2, "wrong")}
_SIGNS = ("●", "▲", "✖")


@dataclass(frozen=True)
class Findings:
    """What Prometheus says besides the dashboards' queries."""

    targets: Sequence[Mapping[str, Any]]
    """Of ``/api/v1/targets``: ``labels``, ``health``, ``lastError``."""
    alerts: Sequence[Mapping[str, Any]] = ()
    """Of ``/api/v1/alerts``: ``labels``, ``annotations``, ``state``."""


@dataclass(frozen=True)
class Figure:
    """A panel with one figure: the figure, and what its thresholds make of it."""

    panel: Panel
    board: Board
    value: float | None = None
    level: int | None = None
    shown: str = field(default="no data")


def page(title: str, boards: Sequence[Board], answers: Answers, findings: Findings, window: Window) -> str:
    """Return the whole page.

    Args:
        title: what was looked at.
        boards: the dashboards, in their order.
        answers: what Prometheus returned to their queries.
        findings: its targets and alerts.
        window: the time that the charts are about; figures and tables are of its end.
    """
    sections = [board_section(board, answers, window) for board in boards]
    return whole(
        title,
        element("header", element("h1", title), element("p", _of_window(window), class_="when")),
        summary(boards, answers, findings),
        element("nav", *(element("a", _short(board), href=f"#{board.uid}") for board in boards)),
        element("main", *sections),
    )


def whole(title: str, *content: Html) -> str:
    """Return a page that brings its style, and loads nothing."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name_="color-scheme", content="light dark"),
        element("title", title),
        element("style", Html(STYLE)),
    )
    return f"<!doctype html>\n{element('html', head, element('body', *content), lang='en')}\n"


def _of_window(window: Window) -> str:
    start, end = (datetime.fromtimestamp(time, UTC) for time in (window.start, window.end))
    first = f"{start:%Y-%m-%d %H:%M}"
    last = f"{end:%H:%M}" if start.date() == end.date() else f"{end:%Y-%m-%d %H:%M}"
    return f"{first} to {last} UTC. Figures and tables are of the end, charts of all of it."


def _short(board: Board) -> str:
    name = board.title.rpartition(": ")[2]
    return name[:1].upper() + name[1:]


# ---------------------------------------------------------------------------------------------- what is up


def figures(boards: Iterable[Board], answers: Answers) -> list[Figure]:
    """Return every panel with one figure, what it shows, and whether that is fine."""
    return [
        _figure(board, panel, answers) for board in boards for panel in board.panels() if panel.kind == "stat"
    ]


def _figure(board: Board, panel: Panel, answers: Answers) -> Figure:
    found = answers.get(panel.queries[0], ())
    value = next(
        (one.points[-1][1] for one in found if one.points and math.isfinite(one.points[-1][1])), None
    )
    if value is None:
        return Figure(panel, board)
    shown = units.text(value, panel.unit)
    if len(panel.steps) < 2:
        return Figure(panel, board, value, None, shown)
    colour = [name for start, name in panel.steps if start is None or value >= start][-1]
    return Figure(panel, board, value, _LEVELS[colour][0], shown)


def summary(boards: Sequence[Board], answers: Answers, findings: Findings) -> Html:
    """Return in words what is up and what is not, the worst first."""
    said: list[tuple[int, Html]] = []
    for target in findings.targets:
        if target["health"] != "up":
            cause = target.get("lastError") or "not scraped yet"
            said.append(
                (2, joined(element("b", f"{_target_name(target)} is {target['health']}"), f": {cause}"))
            )
    for alert in findings.alerts:
        if alert["state"] == "firing":
            said.append(_of_alert(alert))
    seen = set()
    for one in figures(boards, answers):
        # The same figure may be on two dashboards.
        if one.level and (key := (one.panel.title, one.shown)) not in seen:
            seen.add(key)
            link = element("a", f"{one.panel.title}: {one.shown}", href=f"#{one.board.uid}")
            said.append((one.level, joined(link, f". {one.panel.description}")))
    said.sort(key=lambda pair: -pair[0])
    worst = max((level for level, _text in said), default=0)
    count = sum(level == worst for level, _text in said)
    verdict = {
        0: "All is well",
        1: f"{_counted(count, 'thing')} to be looked at",
        2: f"{_counted(count, 'thing')} {'is' if count == 1 else 'are'} wrong",
    }[worst]
    items = [element("li", _sign(level), " ", text, class_=f"level{level}") for level, text in said]
    up = sum(target["health"] == "up" for target in findings.targets)
    return element(
        "section",
        element("p", _sign(worst), f" {verdict}", class_=f"verdict level{worst}"),
        *([element("ul", *items)] if items else []),
        element(
            "details",
            element("summary", f"{up} of {_counted(len(findings.targets), 'scrape target')} up"),
            _targets(findings.targets),
        ),
        class_="summary",
    )


def _of_alert(alert: Mapping[str, Any]) -> tuple[int, Html]:
    labels, notes = alert["labels"], alert.get("annotations", {})
    level = 2 if labels.get("severity") == "critical" else 1
    where = labels.get("host", "")
    name = element("b", f"{labels['alertname']}{f' on {where}' if where else ''}")
    return level, joined(name, f": {notes.get('description') or notes.get('summary') or 'firing'}")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _sign(level: int) -> Html:
    return element("span", _SIGNS[level], class_="sign", aria_hidden="true")


def _target_name(target: Mapping[str, Any]) -> str:
    labels = target["labels"]
    process = f"#{labels['process']}" if "process" in labels else ""
    return f"{labels['job']} on {labels.get('host') or labels['instance']}{process}"


def _targets(targets: Iterable[Mapping[str, Any]]) -> Html:
    rows = [
        (
            target["labels"].get("host", ""),
            target["labels"]["job"]
            + (f" #{target['labels']['process']}" if "process" in target["labels"] else ""),
            target["labels"]["instance"],
            target["health"],
        )
        for target in targets
    ]
    return table(("Host", "Job", "Address", "State"), sorted(rows))


# -------------------------------------------------------------------------------------------- a dashboard


def board_section(board: Board, answers: Answers, window: Window) -> Html:
    """Return a dashboard as a section of a page, which has to bring ``style.STYLE``."""
    marks = [span for query in board.marks for span in spans(query, answers, window)]
    parts: list[Html] = []
    for title, panels in board.sections:
        tiles = [_tile(_figure(board, panel, answers)) for panel in panels if panel.kind == "stat"]
        shown = [
            _tabular(panel, answers) if panel.kind == "table" else chart(panel, answers, window, marks)
            for panel in panels
            if panel.kind != "stat" and any(has_data(answers.get(query, ())) for query in panel.queries)
        ]
        empty = [
            panel.title
            for panel in panels
            if panel.kind != "stat" and not any(has_data(answers.get(query, ())) for query in panel.queries)
        ]
        parts += [element("h3", title)] if title else []
        parts += [element("div", *tiles, class_="tiles")] if tiles else []
        parts += [element("div", *shown, class_="charts")] if shown else []
        parts += [element("p", f"Without data: {', '.join(empty)}.", class_="empty")] if empty else []
    note = "Shaded: pgbench ran. " if marks else ""
    return element(
        "section",
        element("h2", _short(board)),
        element("p", f"{board.description} {note}".strip(), class_="about"),
        *parts,
        id=board.uid,
        class_="board",
    )


def spans(query: Query, answers: Answers, window: Window) -> list[tuple[float, float]]:
    """Return when an annotation's query had a value, as spans of time.

    What is seen four scrapes apart is one span: between two transactions nothing is active for a moment.
    """
    hole = max(window.step * 1.5, 4 * SCRAPE_SECONDS)
    moments = sorted({time for series in answers.get(query, ()) for time, _value in series.points})
    found: list[tuple[float, float]] = []
    for time in moments:
        if found and time - found[-1][1] <= hole:
            found[-1] = (found[-1][0], time)
        else:
            found.append((time, time))
    return found


def _tile(one: Figure) -> Html:
    state = (
        []
        if one.level is None
        else [element("span", _sign(one.level), f" {_word(one.level)}", class_="state")]
    )
    return element(
        "div",
        element("h4", one.panel.title),
        element("p", one.shown, class_="value"),
        *state,
        class_=f"tile level{one.level}" if one.level is not None else "tile",
        title=one.panel.description,
    )


def _word(level: int) -> str:
    return next(word for number, word in _LEVELS.values() if number == level)


def _tabular(panel: Panel, answers: Answers) -> Html:
    """Return a table: its rows are put together from the queries by their labels, as Grafana does it."""
    organised = next(one["options"] for one in panel.options["transformations"] if one["id"] == "organize")
    names: Mapping[str, str] = organised["renameByName"]
    values = [f"Value #{query.ref}" if len(panel.queries) > 1 else "Value" for query in panel.queries]
    rows: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    for query, value in zip(panel.queries, values, strict=True):
        for series in answers.get(query, ()):
            if series.points:
                row = rows.setdefault(tuple(sorted(series.labels.items())), {})
                row[value] = series.points[-1][1]
    first = values[0]
    ordered = sorted(rows.items(), key=lambda pair: (-pair[1].get(first, -math.inf), pair[0]))
    body = []
    for labels, figures_ in ordered:
        known = dict(labels)
        cells = [known.get(name, "") for name in names if name not in values]
        for name in values:
            unit = str(override(panel, names[name]).get("unit", panel.unit))
            cells.append(units.text(figures_.get(name, math.nan), unit))
        body.append(cells)
    return element(
        "figure",
        element("h4", panel.title),
        table([*names.values()], body, range(len(names) - len(values), len(names))),
        element("figcaption", panel.description),
        class_="wide",
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], right: Container[int] = ()) -> Html:
    """Return a table; the columns of those numbers are figures, and stand to the right."""

    def cells(name: str, found: Sequence[str], **attributes: str) -> Iterable[Html]:
        return (
            element(name, text, class_="figure" if number in right else None, **attributes)
            for number, text in enumerate(found)
        )

    head = element("tr", *cells("th", heads, scope="col"))
    body = (element("tr", *cells("td", row)) for row in rows)
    inner = element("table", element("thead", head), element("tbody", *body))
    # A narrow screen scrolls the table, not the page.
    return element("div", inner, class_="scroll", tabindex="0")
