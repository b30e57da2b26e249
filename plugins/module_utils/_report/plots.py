# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Charts as SVG: Vega-Lite specifications, rendered by vl-convert.

Colours are CSS variables of the page, so that one picture suits light, dark and paper. All legends are HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from ansible_collections.pooled.postgres.plugins.module_utils._report import units
from ansible_collections.pooled.postgres.plugins.module_utils._report.render import safe

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
_TEXT = {"labelColor": "currentColor", "labelFontSize": 11}
_AXIS = {**_TEXT, "titleColor": "currentColor", "titleFontSize": 11, "titleFontWeight": "normal"}
_AXIS |= {"gridColor": "var(--grid)", "domain": False, "ticks": False, "labelPadding": 5}
_CONFIG = {"aria": False, "background": None, "view": {"stroke": None}, "axis": _AXIS}
_CONFIG |= {
    "text": {"fontSize": 11, "color": "currentColor"},
    "line": {"strokeWidth": 2, "strokeCap": "round"},
}
_COLOUR = {"color": {"field": "colour", "scale": None}}
# Vega's SVG without what the page does not need: it becomes half as large.
_NEEDLESS = re.compile(
    r'<path class="(?:background|foreground)"[^>]*/>|<text[^>]*/>'
    r'| opacity="1"(?=[ />])'
    r'| (?:class|role|aria-[a-z]+|pointer-events|font-family|xmlns|xmlns:xlink|version)="[^"]*"'
)
_TAG = re.compile(r"<[^>]+>")
_DECIMALS = re.compile(r"(\d+\.\d)\d+")


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


def svg(spec: Mapping[str, Any], title: str) -> str:
    """Return a chart; without vl-convert, a sentence in its place."""
    try:
        import vl_convert  # noqa: PLC0415 - 80 MB that only a page needs
    except ImportError:
        return safe('<p class="empty">No chart: install the Python package vl-convert-python.</p>')
    text = _NEEDLESS.sub("", vl_convert.vegalite_to_svg({"width": WIDTH, "config": _CONFIG, **spec}))
    text = _TAG.sub(lambda tag: _DECIMALS.sub(r"\1", tag[0]), text)
    return safe(f'<svg role="img" aria-label="{escape(title)}" {text.removeprefix("<svg ")}')


def _layer(values: Sequence[Mapping[str, Any]], mark: Any, **encoding: Any) -> list[dict[str, Any]]:
    """Return a layer, or none if there are no values."""
    return [{"data": {"values": values}, "mark": mark, "encoding": encoding}] if values else []


def _upright(unit: str, chosen: units.Scale, **scale: Any) -> dict[str, Any]:
    """Return the upright axis of figures that were divided by the scale's factor."""
    label = f"datum.value ? datum.label + '{chosen.suffix}' : datum.label"
    axis: dict[str, Any] = {"title": None, "labelExpr": label, "minExtent": 52, "tickCount": 4}
    if scale.get("type") == "log":
        axis["values"] = [10.0**power for power in range(-9, 15)]
    return {"type": "quantitative", "axis": axis, "scale": {"nice": True, **scale}}


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
) -> str:
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
    piled = [line for line in lines if stacked and not line.dashed]
    others = [line for line in lines if line not in piled]
    tops = [_top([line]) for line in others] + [value for value, _colour in thresholds]
    top = highest or max([sum(_top([line]) for line in piled), *tops])
    chosen = units.scale(top, unit)
    domain = {"domain": [0, highest / chosen.factor]} if highest else {"domainMin": 0}
    y = _upright(unit, chosen, **domain)
    length = span[1] - span[0]
    form = "%H:%M:%S" if length < 300 else "%H:%M" if length <= 86400 else "%d.%m. %H:%M"
    axis = {"format": form, "tickCount": 4, "grid": False, "labelOverlap": True}
    x = {"type": "temporal", "title": None, "axis": axis}
    x["scale"] = {"type": "utc", "domain": [1000 * one for one in span]}
    layers = []
    shaded = [(start, end, "var(--mark)") for start, end in marks]
    for found, place in ((shaded, {}), (strips, {"y": {"value": -9}, "y2": {"value": -3}})):
        # At least a pixel wide.
        rows = [
            {"a": 1000 * a, "b": 1000 * max(b, a + length / WIDTH), "colour": look} for a, b, look in found
        ]
        layers += _layer(rows, {"type": "rect"}, x={**x, "field": "a"}, x2={"field": "b"}, **place, **_COLOUR)
    rows = [{"v": value / chosen.factor, "colour": look} for value, look in thresholds]
    layers += _layer(
        rows, {"type": "rule", "strokeDash": [2, 4]}, y={**y, "field": "v", "stack": None}, **_COLOUR
    )
    where = {"x": {**x, "field": "t"}, "detail": {"field": "n"}, **_COLOUR}
    area = {"type": "area", "fillOpacity": 0.3, "line": {"type": "line"}}
    pile = {**y, "field": "v", "stack": "zero", "impute": {"value": 0}}
    layers += _layer(_rows(piled, chosen.factor), area, **where, y=pile)
    dash = {"field": "dash", "scale": None}
    rows = _rows(others, chosen.factor, step)
    layers += _layer(rows, {"type": "line"}, **where, y={**y, "field": "v", "stack": None}, strokeDash=dash)
    return svg({"height": HEIGHT, "layer": layers}, title)


def _top(lines: Iterable[Line]) -> float:
    return max((value for line in lines for _time, value in line.points), default=0)


def _rows(lines: Iterable[Line], factor: float, step: float | None = None) -> list[dict[str, Any]]:
    """Return the points of lines; with a step, a wider gap becomes a hole."""
    rows = []
    for number, line in enumerate(lines):
        look = {"n": number, "colour": line.colour, "dash": [8, 5] if line.dashed else [1, 0]}
        before = None
        for time, value in line.points:
            if step and before is not None and time - before > 1.5 * step:
                rows.append({"t": 500 * (before + time), "v": None, **look})
            rows.append({"t": 1000 * time, "v": value / factor, **look})
            before = time
    return rows


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
) -> str:
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
    lowest, highest = min(figures, default=1), max(figures, default=1)
    logarithmic = not from_0 and highest / lowest >= _DECADE
    # A logarithmic axis has too many magnitudes for one of them to suit.
    factor, _suffix = chosen = units.scale(0 if logarithmic else highest, unit)
    y = _upright(unit, chosen, domain=[(lowest if logarithmic else 0) / factor, highest / factor])
    y = _upright(unit, chosen, type="log", **y["scale"]) if logarithmic else y
    kind = "log" if places[-1] / places[0] >= _DECADE else "linear"
    x: dict[str, Any] = {"field": "x", "type": "quantitative", "title": over}
    x["scale"] = {
        "type": kind,
        "domain": [places[0], places[-1]],
        "nice": False,
        "padding": 12,
        "zero": False,
    }
    x["axis"] = {
        "values": places,
        "labelOverlap": "greedy",
        "labelSeparation": 8,
        "grid": False,
        "format": ",d",
    }
    layers = []
    if reference and places[0] <= reference[0] <= places[-1]:
        side = (
            {"align": "right", "dx": -4}
            if reference[0] > places[len(places) // 2]
            else {"align": "left", "dx": 4}
        )
        row = [{"x": reference[0]}]
        layers += _layer(row, {"type": "rule", "color": "currentColor", "strokeDash": [2, 4]}, x=x)
        layers += _layer(row, {"type": "text", "text": reference[1], **side}, x=x, y={"value": -6})
    for number, curve in enumerate(curves):
        look = {"color": COLOURS[curve.look % 8]}
        rows: list[dict[str, Any]] = [
            {"x": point.x, "y": point.y / factor}
            | {"low": (point.low or point.y) / factor, "high": (point.high or point.y) / factor}
            for point in curve.points
            if point.y is not None
        ]
        failed = [{"x": point.x} for point in curve.points if point.y is None]
        middle, low = ({**y, "field": name} for name in ("y", "low"))
        # A failed run between two others leaves a hole.
        holes = [*rows, *({**one, "y": None} for one in failed)]
        holes.sort(key=lambda row: float(row["x"]))
        layers += _layer(
            holes, {"type": "line", "strokeDash": _DASHES[curve.look % 4], **look}, x=x, y=middle
        )
        layers += _layer(rows, {"type": "rule", "strokeWidth": 1.5, **look}, x=x, y=low, y2={"field": "high"})
        shape = {"type": "point", "filled": True, "size": 55, "opacity": 1, "shape": _SHAPES[curve.look % 6]}
        layers += _layer(rows, {**shape, **look}, x=x, y=middle)
        cross = {"type": "text", "text": "✕", "fontWeight": "bold", **look}
        layers += _layer(failed, cross, x=x, y={"value": 20 + 14 * number})
    return svg({"height": HEIGHT, "layer": layers}, title)


def figures_of(curves: Iterable[Curve]) -> list[float]:
    """Return every figure of curves, with their ranges."""
    found = (value for curve in curves for point in curve.points for value in point[1:4])
    return [value for value in found if value is not None]


# ---------------------------------------------------------------------------------------------------- bars


def bars(title: str, cases: Mapping[str, Sequence[Curve]], unit: str) -> str:
    """Return a bar for the single point of each curve; each case has its own scale."""
    rows: list[dict[str, Any]] = []
    for case, curves in cases.items():
        top = max(figures_of(curves), default=0) or 1
        for curve in curves:
            _x, *figures, _note = curve.points[0]
            y, low, high = (None if one is None else one / top for one in figures)
            rows.append(
                {"case": case, "name": curve.name, "colour": COLOURS[curve.look % 8], "y": y, "low": low}
                | {"high": high, "end": max(y or 0, high or 0), "text": shown(curve.points[0], unit)}
            )
    extent = 7 * max(len(row["name"]) for row in rows)
    axis = {"title": None, "grid": False, "minExtent": extent}
    y_axis = {"y": {"field": "name", "type": "nominal", "sort": None, "axis": axis}}
    # The figures stand in the right half.
    x = {"type": "quantitative", "axis": None, "scale": {"domain": [0, 1.9], "nice": False}}
    ends = {"x": {**x, "field": "low"}, "x2": {"field": "high"}}
    rule = {"type": "rule", "color": "currentColor", "strokeWidth": 1.5}
    text = {"x": {**x, "field": "end"}, "text": {"field": "text"}}
    layers = [
        {"mark": {"type": "bar", "height": 12}, "encoding": {"x": {**x, "field": "y"}, **y_axis, **_COLOUR}},
        {"mark": rule, "encoding": {**ends, **y_axis}},
        {"mark": {"type": "text", "align": "left", "dx": 5, "limit": 170}, "encoding": {**text, **y_axis}},
    ]
    header = {"title": None, "labelOrient": "top", "labelAnchor": "start", "labelLimit": WIDTH, **_TEXT}
    row = {"row": {"field": "case", "type": "nominal", "sort": None, "header": {**header, "labelPadding": 2}}}
    inner = {"height": {"step": 18}, "width": WIDTH - extent, "layer": layers}
    spec = {"facet": row, "spec": inner, "spacing": 8, "resolve": {"scale": {"y": "independent"}}}
    return svg({"width": None, "data": {"values": rows}, **spec}, title)


def shown(point: Point, unit: str) -> str:
    """Return a figure with its range, or why there is none."""
    if point.y is None:
        return point.note or "no figure"
    chosen = units.scale(point.y, unit)
    bare = units.Scale(chosen.factor, "")
    ends = [units.text(value, unit, bare) for value in (point.low, point.high) if value is not None]
    return units.text(point.y, unit, chosen) + (f" ({' to '.join(ends)})" if len(set(ends)) == 2 else "")
