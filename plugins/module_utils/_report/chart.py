# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lines over time. Pure.

Written by hand, for the page needs what plotting libraries don't give: the picture holds lines only, and is
stretched to the width of the screen, while axes and legend are HTML text that stays readable there; its
colours are CSS variables, so that the same picture is right in light, in dark and on paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ansible_collections.pooled.postgres.plugins.module_utils._report import units
from ansible_collections.pooled.postgres.plugins.module_utils._report.markup import Html, element, joined
from ansible_collections.pooled.postgres.plugins.module_utils._report.panels import (
    Answers,
    Panel,
    Window,
    name_of,
    override,
)

LOOKS = ("c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7")
MOST_LINES = 8
# Of the picture, whatever is made of it on the screen.
WIDTH, HEIGHT = 1000, 250
STRIP = 12
# A limit this much above everything else would press the rest to the ground.
FAR = 3.0

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """A series with what it is called, and how it is drawn."""

    name: str
    points: Points
    is_limit: bool = False
    look: str = ""

    @property
    def last(self) -> float:
        return self.points[-1][1]

    @property
    def highest(self) -> float:
        return max(value for _time, value in self.points)

    @property
    def mean(self) -> float:
        return sum(value for _time, value in self.points) / len(self.points)


def lines(panel: Panel, answers: Answers) -> list[Line]:
    """Return what there is to draw, in the order of the queries; of one query, by name."""
    found: list[Line] = []
    for query in panel.queries:
        of_query = []
        for series in answers.get(query, ()):
            points = [(time, value) for time, value in series.points if math.isfinite(value)]
            name = name_of(query, series.labels)
            if points:
                of_query.append(Line(name, points, "custom.lineStyle" in override(panel, name)))
        # So a host has the same colour in all charts.
        found += sorted(of_query, key=lambda line: line.name)
    return found


def chart(
    panel: Panel,
    answers: Answers,
    window: Window,
    marks: Sequence[tuple[float, float]] = (),
    *,
    strips: Sequence[tuple[float, float, str]] = (),
    looks: Sequence[str] = LOOKS,
) -> Html:
    """Return a panel as a figure: its lines, what they are called, and their last, mean and highest values.

    Args:
        panel: what to draw.
        answers: what Prometheus returned.
        window: the time to show.
        marks: spans of time to point out, as pairs of their ends.
        strips: spans of time to tell apart, each with the class of its colour; along the upper edge.
        looks: the classes of the lines, one after the other.
    """
    found = lines(panel, answers)
    ordinary = [line for line in found if not line.is_limit]
    shown, hidden = _most_important(ordinary)
    drawn = [
        Line(line.name, line.points, look=looks[number % len(looks)]) for number, line in enumerate(shown)
    ]
    limits = [Line(line.name, line.points, True, "limit") for line in found if line.is_limit]
    layers = _stacked(drawn) if panel.stacked else [(line, None) for line in drawn]
    top = max((value for line, _below in layers for _time, value in line.points), default=0.0)
    visible = [line for line in limits if line.highest <= max(top * FAR, 1e-9)]
    wanted = max([top, *(line.highest for line in visible)])
    thresholds = [(value, colour) for value, colour in panel.steps if value is not None]
    wanted = max([wanted, *(value for value, _colour in thresholds if wanted * 2 >= value)])
    axis = units.ticks(panel.highest or wanted, panel.unit)
    picture = _picture(
        layers,
        limits=visible,
        thresholds=[one for one in thresholds if one[0] <= axis[-1]],
        top=axis[-1],
        window=window,
        marks=marks,
        strips=strips,
    )
    return element(
        "figure",
        element("h4", panel.title),
        _plot(panel, picture, axis, window, _in_words(panel, [*drawn, *limits])),
        _legend(panel, [*drawn, *limits], [line for line in limits if line not in visible], hidden),
        element("figcaption", panel.description, _of_thresholds(thresholds, panel.unit)),
        class_="wide" if panel.wide else None,
    )


def _most_important(found: Sequence[Line]) -> tuple[list[Line], list[Line]]:
    """Return as many lines as can be told apart, and the rest; the order stays."""
    ranked = sorted(found, key=lambda line: -line.highest)
    chosen = {id(line) for line in ranked[:MOST_LINES]}
    return [line for line in found if id(line) in chosen], ranked[MOST_LINES:]


def _stacked(found: Sequence[Line]) -> list[tuple[Line, Points | None]]:
    """Return each line on top of those before it, with the line below."""
    moments = sorted({time for line in found for time, _value in line.points})
    below = [(time, 0.0) for time in moments]
    layers: list[tuple[Line, Points | None]] = []
    for line in found:
        values = dict(line.points)
        above = [(time, base + values.get(time, 0.0)) for time, base in below]
        layers.append((Line(line.name, above, look=line.look), below))
        below = above
    return layers


def _picture(
    layers: Sequence[tuple[Line, Points | None]],
    *,
    limits: Sequence[Line],
    thresholds: Sequence[tuple[float, str]],
    top: float,
    window: Window,
    marks: Sequence[tuple[float, float]],
    strips: Sequence[tuple[float, float, str]],
) -> Html:
    def x(time: float) -> float:
        return min(max((time - window.start) / (window.end - window.start), 0.0), 1.0) * WIDTH

    def y(value: float) -> float:
        return (1 - min(max(value / top, 0.0), 1.0)) * HEIGHT

    def path(points: Points) -> str:
        parts: list[list[str]] = []
        before = -math.inf
        for time, value in points:
            if time - before > window.step * 1.5:
                # A hole stays one.
                parts.append([])
            parts[-1].append(f"{x(time):.0f} {y(value):.1f}")
            before = time
        # A point that stands alone is a dot.
        return "".join(f"M{'L'.join(part)}{'h.1' if len(part) == 1 else ''}" for part in parts)

    def span(start: float, end: float, look: str, upper: int, height: int) -> Html:
        width = f"{max(x(end) - x(start), 2):.1f}"
        return element("rect", class_=look, x=f"{x(start):.1f}", y=upper, width=width, height=height)

    drawn = [span(start, end, "mark", 0, HEIGHT) for start, end in marks]
    drawn += [span(start, end, f"strip {look}", -STRIP, STRIP) for start, end, look in strips]
    for line, below in reversed(layers):
        if below is not None:
            around = [*line.points, *reversed(below)]
            shape = "M" + "L".join(f"{x(time):.0f} {y(value):.1f}" for time, value in around) + "Z"
            drawn.append(element("path", class_=f"area {line.look}", d=shape))
    drawn += [
        element(
            "line", class_=f"threshold {colour}", x1=0, x2=WIDTH, y1=f"{y(value):.1f}", y2=f"{y(value):.1f}"
        )
        for value, colour in thresholds
    ]
    for line in [*(line for line, _below in reversed(layers)), *limits]:
        drawn.append(element("path", class_=f"line {line.look}", d=path(line.points)))
    return joined(*drawn)


def _plot(panel: Panel, picture: Html, axis: Sequence[float], window: Window, words: str) -> Html:
    scale = units.scale(axis[-1], panel.unit)
    length = window.end - window.start
    form = "%H:%M:%S" if length < 300 else "%H:%M" if length <= 86400 else "%d.%m. %H:%M"
    return frame(
        panel.title,
        words,
        picture,
        up=[(value / axis[-1], units.text(value, panel.unit, scale) if value else "0") for value in axis],
        across=[
            ((time - window.start) / length, f"{datetime.fromtimestamp(time, UTC):{form}}")
            for time in units.times(window.start, window.end)
        ],
    )


def frame(
    title: str,
    words: str,
    picture: Html,
    *,
    up: Sequence[tuple[float, str]],
    across: Sequence[tuple[float, str]],
    over: Sequence[Html] = (),
) -> Html:
    """Return a picture with its axes.

    Args:
        title: what a screen reader calls the picture.
        words: what it says about it.
        picture: what is in it, on ``WIDTH`` by ``HEIGHT``.
        up: where on the upright axis, as a share of it, what is written; each has a line across.
        across: the same of the level axis.
        over: what lies above the picture and is not stretched with it.
    """
    heights = [element("span", text, style=f"bottom:{100 * share:.4g}%") for share, text in up]
    moments = [
        # What would hang over the edge of the page ends there.
        element("span", text, style=f"left:{100 * share:.4g}%", class_="end" if share > 0.98 else None)
        for share, text in across
    ]
    grid = [
        element("line", class_="grid", x1=0, x2=WIDTH, y1=f"{y:.1f}", y2=f"{y:.1f}")
        for y in (HEIGHT * (1 - share) for share, _text in up)
    ]
    svg = element(
        "svg",
        element("title", title),
        element("desc", words),
        *grid,
        picture,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
    )
    return element(
        "div",
        element("div", *heights, class_="heights", aria_hidden="true"),
        element("div", svg, *over, class_="area-of-plot"),
        element("div", *moments, class_="moments", aria_hidden="true"),
        class_="plot",
    )


def _in_words(panel: Panel, found: Sequence[Line]) -> str:
    said = (
        f"{line.name} now {units.text(line.last, panel.unit)}, at most {units.text(line.highest, panel.unit)}"
        for line in found
    )
    return "; ".join(said)


def _legend(panel: Panel, found: Sequence[Line], above: Sequence[Line], hidden: Sequence[Line]) -> Html:
    rows = []
    for line in found:
        swatch = element(
            "svg",
            element("path", class_=f"line {line.look}", d="M0 4H22"),
            class_="swatch",
            viewBox="0 0 22 8",
            aria_hidden="true",
        )
        note = " (above the picture)" if line in above else ""
        figures = (line.last, line.mean, line.highest)
        cells = (element("td", units.text(value, panel.unit)) for value in figures)
        rows.append(element("tr", element("th", swatch, f"{line.name}{note}", scope="row"), *cells))
    if hidden:
        top = units.text(max(line.highest for line in hidden), panel.unit)
        text = f"and {len(hidden)} more, none above {top}"
        rows.append(element("tr", element("td", text, colspan=4, class_="more")))
    heads = (element("th", text, scope="col") for text in ("", "last", "mean", "max"))
    return element("table", element("thead", element("tr", *heads)), element("tbody", *rows), class_="legend")


def _of_thresholds(thresholds: Sequence[tuple[float, str]], unit: str) -> str:
    words = {"yellow": "to be looked at", "red": "wrong"}
    said = [f"{words.get(colour, colour)} from {units.text(value, unit)} on" for value, colour in thresholds]
    return f" Dashed: {', '.join(said)}." if said else ""
