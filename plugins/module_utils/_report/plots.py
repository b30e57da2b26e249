# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Charts as SVG: Vega-Lite specifications, rendered by vl-convert.

Colours are CSS variables of the page, so that one picture suits light, dark and paper. All legends are HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from ansible_collections.pooled.postgres.plugins.module_utils._report import units
from markupsafe import Markup

# As wide as a phone, in CSS pixels: on a wide screen two stand beside each other and grow.
WIDTH, HEIGHT = 400, 150
COLOURS = [f"var(--c{number})" for number in range(8)]
LIMIT = "var(--wrong)"
_DASHES = ([1, 0], [7, 4], [2, 4], [10, 3, 2, 3])
_SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
# The same shapes as text, for legends.
SIGNS = "●■▲◆▼✚"
# An axis that spans more than this is logarithmic.
_DECADE = 10
_CONFIG = {
    "aria": False,
    "background": None,
    "view": {"stroke": None},
    "axis": {"labelColor": "currentColor", "labelFontSize": 11, "titleColor": "currentColor", "titleFontSize": 11}
    | {"titleFontWeight": "normal", "gridColor": "var(--grid)", "domain": False, "ticks": False, "labelPadding": 5},
    "text": {"fontSize": 11, "color": "currentColor"},
}
_NEEDLESS = re.compile(
    r'<path class="(?:background|foreground)"[^>]*/>|<text[^>]*/>'
    r'| (?:class|role|aria-[a-z]+|pointer-events|font-family|xmlns:xlink|version|stroke-miterlimit|opacity="1)="[^"]*"'
)
_TAG = re.compile(r"<[^>]+>")
_LONG = re.compile(r"(\d+\.\d)\d+")


class Line(NamedTuple):
    """Values over time, in seconds since 1970."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    dashed: bool = False


class Point(NamedTuple):
    """A median with its range; ``y`` is None where the run failed."""

    x: float
    y: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""


class Curve(NamedTuple):
    """Points over a number such as that of clients; the look chooses colour, dashes and shape."""

    name: str
    look: int
    points: Sequence[Point]


def svg(spec: Mapping[str, Any], title: str) -> Markup:
    """Return a chart; without vl-convert, a sentence in its place."""
    try:
        import vl_convert  # noqa: PLC0415 - 80 MB that only a page needs
    except ImportError:
        return Markup('<p class="empty">No chart: install the Python package vl-convert-python.</p>')
    text = _NEEDLESS.sub("", vl_convert.vegalite_to_svg({"width": WIDTH, "config": _CONFIG, **spec}))
    head = Markup('<svg role="img" aria-label="{}" ').format(title)
    shorter = _TAG.sub(lambda tag: _LONG.sub(r"\1", tag[0]), text)
    return head + Markup(shorter.removeprefix("<svg "))


def _layer(values: Iterable[Mapping[str, Any]], mark: Any, encoding: Mapping[str, Any]) -> dict[str, Any]:
    return {"data": {"values": list(values)}, "mark": mark, "encoding": encoding}


def _upright(highest: float, unit: str, least: float | None = None) -> tuple[dict[str, Any], units.Scale]:
    """Return the upright axis and the scale of its figures: from 0, or from ``least`` on a logarithmic one."""
    chosen = units.scale(highest if least is None else 0, unit)
    label = f"datum.value ? datum.label + '{chosen.suffix}' : datum.label"
    axis: dict[str, Any] = {"title": None, "labelExpr": label, "minExtent": 52, "tickCount": 4}
    top = (highest or 1) / chosen.factor
    scale: dict[str, Any] = {"domain": [0, top], "nice": True}
    if least is not None:
        scale = {"domain": [least / chosen.factor, top], "nice": True, "type": "log"}
        axis["values"] = [10.0**power for power in range(-9, 15)]
    return {"type": "quantitative", "axis": axis, "scale": scale}, chosen


_COLOUR = {"color": {"field": "colour", "scale": None}}


# ---------------------------------------------------------------------------------------------- over time


def over_time(
    title: str,
    lines: Sequence[Line],
    unit: str,
    span: tuple[float, float],
    *,
    step: float,
    stacked: bool = False,
    highest: float | None = None,
    thresholds: Sequence[tuple[float, str]] = (),
    marks: Sequence[tuple[float, float]] = (),
    strips: Sequence[tuple[float, float, str]] = (),
) -> Markup:
    """Return lines over time.

    Args:
        title: what a screen reader says.
        lines: what to draw; a hole wider than 1.5 steps stays one.
        unit: of the values, one of ``units.UNITS``.
        span: the time to show, in seconds since 1970.
        step: seconds between two points.
        stacked: whether the values of all lines add up.
        highest: the end of the upright axis, if it is not the highest value.
        thresholds: values to draw a dashed line at, with its colour.
        marks: spans of time to shade.
        strips: spans of time to show along the upper edge, with their colours.
    """
    drawn = [(line, _filled(line, lines) if stacked else _with_holes(line.points, step)) for line in lines]
    sums: dict[float, float] = {}
    for number, (_line, points) in enumerate(drawn):
        for time, value in points:
            key = time if stacked else number * 1e12 + time
            sums[key] = sums.get(key, 0) + (value or 0)
    drawn_thresholds = [value for value, _colour in thresholds]
    upright, chosen = _upright(highest or max([*sums.values(), *drawn_thresholds], default=1), unit)
    length = span[1] - span[0]
    form = "%H:%M:%S" if length < 300 else "%H:%M" if length <= 86400 else "%d.%m. %H:%M"
    across = {"type": "temporal", "title": None, "scale": {"type": "utc", "domain": [1000 * one for one in span]}}
    across["axis"] = {"format": form, "tickCount": 4, "grid": False, "labelOverlap": True}
    layers = []
    bands = [(start, end, "var(--mark)") for start, end in marks]
    for found, place in ((bands, {}), (strips, {"y": {"value": -9}, "y2": {"value": -3}})):
        # A span of no length is seen, too.
        rows = [{"a": 1000 * a, "b": 1000 * max(b, a + length / WIDTH), "colour": colour} for a, b, colour in found]
        places = {"x": {**across, "field": "a"}, "x2": {"field": "b"}, **place}
        layers += [_layer(rows, "rect", {**places, **_COLOUR})] if rows else []
    for value, colour in thresholds:
        mark = {"type": "rule", "color": colour, "strokeDash": [2, 4]}
        layers.append(_layer([{"v": value / chosen.factor}], mark, {"y": {**upright, "field": "v"}}))
    rows = [
        {"t": 1000 * time, "v": None if value is None else value / chosen.factor, "n": number}
        | {"colour": line.colour, "dash": [8, 5] if line.dashed else [1, 0]}
        for number, (line, points) in enumerate(drawn)
        for time, value in points
    ]
    places = {"x": {**across, "field": "t"}, "y": {**upright, "field": "v", "stack": "zero" if stacked else None}}
    line_mark = {"type": "line", "strokeWidth": 2, "strokeCap": "round", "strokeJoin": "round"}
    mark = {"type": "area", "fillOpacity": 0.3, "line": line_mark} if stacked else line_mark
    dash = {} if stacked else {"strokeDash": {"field": "dash", "scale": None}}
    layers.append(_layer(rows, mark, {**places, **_COLOUR, **dash, "detail": {"field": "n"}}))
    return svg({"height": HEIGHT, "layer": layers}, title)


def _with_holes(points: Sequence[tuple[float, float]], step: float) -> list[tuple[float, float | None]]:
    found: list[tuple[float, float | None]] = list(points[:1])
    for (before, _value), point in pairwise(points):
        found += [((before + point[0]) / 2, None)] if point[0] - before > 1.5 * step else []
        found.append(point)
    return found


def _filled(line: Line, lines: Iterable[Line]) -> list[tuple[float, float | None]]:
    """Return a line with 0 wherever only others have a value, so that it can be stacked."""
    values = dict(line.points)
    return [(time, values.get(time, 0.0)) for time in sorted({time for one in lines for time, _v in one.points})]


# ------------------------------------------------------------------------------------------ over a number


def over_number(
    title: str,
    curves: Sequence[Curve],
    unit: str,
    *,
    over: str,
    reference: tuple[float, str] | None = None,
    also: Sequence[float] = (),
    from_0: bool = False,
) -> Markup:
    """Return curves with the range of each point, and a cross where a run failed.

    Args:
        title: what a screen reader says.
        curves: what to draw, each with at least one point above 0.
        unit: of the figures, one of ``units.UNITS``.
        over: what the level axis counts.
        reference: a place on the level axis to point out, with its name.
        also: more figures for the upright axis to hold, so that two charts have the same.
        from_0: whether the upright axis begins at 0 even if the figures span a decade.
    """
    places = sorted({point.x for curve in curves for point in curve.points})
    figures = [value for value in [*figures_of(curves), *also] if value > 0]
    lowest, highest = min(figures, default=0), max(figures, default=0)
    logarithmic = bool(lowest) and not from_0 and highest / lowest >= _DECADE
    upright, chosen = _upright(highest, unit, lowest if logarithmic else None)
    scale = {"type": "log" if places[-1] / places[0] >= _DECADE else "linear", "domain": [places[0], places[-1]]}
    level = {"type": "quantitative", "title": over, "scale": {**scale, "nice": False, "padding": 12, "zero": False}}
    level["axis"] = {"values": places, "labelOverlap": "greedy", "labelSeparation": 8, "grid": False, "format": ",d"}
    x = {**level, "field": "x"}
    layers = []
    if reference and places[0] <= reference[0] <= places[-1]:
        near_end = reference[0] > places[len(places) // 2]
        side = {"align": "right", "dx": -4} if near_end else {"align": "left", "dx": 4}
        row = [{"x": reference[0], "name": reference[1]}]
        layers.append(_layer(row, {"type": "rule", "color": "currentColor", "strokeDash": [2, 4]}, {"x": x}))
        text = {"x": x, "y": {"value": -6}, "text": {"field": "name"}}
        layers.append(_layer(row, {"type": "text", **side}, text))
    for number, curve in enumerate(curves):
        look = {"color": COLOURS[curve.look % 8]}
        rows: list[dict[str, Any]] = [
            {"x": point.x} | {name: _divided(getattr(point, name), chosen.factor) for name in ("y", "low", "high")}
            for point in curve.points
        ]
        line = {"type": "line", "strokeWidth": 2, "strokeDash": _DASHES[curve.look % 4], **look}
        layers.append(_layer(rows, line, {"x": x, "y": {**upright, "field": "y"}}))
        ranges = [row for row in rows if None not in (row["low"], row["high"])]
        between = {"x": x, "y": {**upright, "field": "low"}, "y2": {"field": "high"}}
        layers.append(_layer(ranges, {"type": "rule", "strokeWidth": 1.5, **look}, between))
        there = [row for row in rows if row["y"] is not None]
        shape = {"type": "point", "filled": True, "size": 55, "opacity": 1, "shape": _SHAPES[curve.look % 6], **look}
        layers.append(_layer(there, shape, {"x": x, "y": {**upright, "field": "y"}}))
        failed = [row for row in rows if row["y"] is None]
        cross = {"type": "text", "text": "✕", "fontWeight": "bold", **look}
        layers.append(_layer(failed, cross, {"x": x, "y": {"value": 20 + 14 * number}}))
    return svg({"height": HEIGHT, "layer": [one for one in layers if one["data"]["values"]]}, title)


def _divided(value: float | None, factor: float) -> float | None:
    return None if value is None else value / factor


def figures_of(curves: Iterable[Curve]) -> list[float]:
    """Return every figure of curves, with their ranges."""
    found = (value for curve in curves for point in curve.points for value in point[1:4])
    return [value for value in found if value is not None]


# ---------------------------------------------------------------------------------------------------- bars


def bars(title: str, cases: Mapping[str, Sequence[Curve]], unit: str) -> Markup:
    """Return horizontal bars, one for the single point of each curve, with a scale of its own for each case."""
    rows = []
    for case, curves in cases.items():
        top = max(figures_of(curves), default=0) or 1
        for curve in curves:
            [point] = curve.points
            shares = {name: _divided(getattr(point, name), top) for name in ("y", "low", "high")}
            end = max(shares["y"] or 0, shares["high"] or 0)
            rows.append({"case": case, "name": curve.name, "colour": COLOURS[curve.look % 8], **shares}
                        | {"end": end, "text": shown(point, unit)})
    y = {"field": "name", "type": "nominal", "title": None, "sort": None}
    y["axis"] = {"grid": False, "labelLimit": 130, "minExtent": 7 * max(len(row["name"]) for row in rows)}
    # The rest of the width is for the figures.
    x = {"type": "quantitative", "axis": None, "scale": {"domain": [0, 1.9], "nice": False}}
    layers = [
        {"mark": {"type": "bar", "height": 12}, "encoding": {"x": {**x, "field": "y"}, "y": y, **_COLOUR}},
        {"mark": {"type": "rule", "color": "currentColor", "strokeWidth": 1.5}}
        | {"encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y}},
        {"mark": {"type": "text", "align": "left", "dx": 5, "limit": 170}}
        | {"encoding": {"x": {**x, "field": "end"}, "y": y, "text": {"field": "text"}}},
    ]
    header = {"title": None, "labelOrient": "top", "labelAnchor": "start", "labelColor": "currentColor"}
    header |= {"labelFontSize": 11, "labelLimit": WIDTH, "labelPadding": 2}
    spec = {"height": {"step": 18}, "width": 290, "layer": layers}
    facet = {"row": {"field": "case", "type": "nominal", "sort": None, "header": header}}
    whole = {"facet": facet, "spec": spec, "spacing": 8, "resolve": {"scale": {"y": "independent"}}}
    return svg({"data": {"values": rows}, "width": None, **whole}, title)


def shown(point: Point, unit: str) -> str:
    """Return a figure with its range, or why there is none."""
    if point.y is None:
        return point.note or "no figure"
    chosen = units.scale(point.y, unit)
    bare = units.Scale(chosen.factor, "")
    ends = [units.text(value, unit, bare) for value in (point.low, point.high) if value is not None]
    return units.text(point.y, unit, chosen) + (f" ({' to '.join(ends)})" if len(set(ends)) == 2 else "")
