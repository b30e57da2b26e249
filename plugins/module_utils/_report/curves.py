# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Curves over a number, such as that of clients, and bars; each figure with its range. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ansible_collections.pooled.postgres.plugins.module_utils._report import units
from ansible_collections.pooled.postgres.plugins.module_utils._report.chart import HEIGHT, WIDTH, frame
from ansible_collections.pooled.postgres.plugins.module_utils._report.markup import Html, element, joined

# Room at both ends of the level axis, as a share of it, so that no marker hangs over.
_ROOM = 0.03
# An axis over this much is logarithmic.
_FAR = 10.0
# So that figures on the level axis don't touch on a phone, as a share of the axis.
_APART = 0.11
_SHAPES = (
    "M-5 0A5 5 0 1 1 5 0A5 5 0 1 1-5 0Z",
    "M-4.5-4.5H4.5V4.5H-4.5Z",
    "M0-5.5L5.5 4.5H-5.5Z",
    "M0-6L6 0L0 6L-6 0Z",
    "M0 5.5L5.5-4.5H-5.5Z",
    "M-2-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z",
)
_CROSS = "M-4.5-4.5L4.5 4.5M4.5-4.5L-4.5 4.5"


@dataclass(frozen=True)
class Point:
    """A figure with its lowest and highest; or none, and why."""

    x: float
    y: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Curve:
    """Points with what they are called; the look is a number, for colour, dashes and marker."""

    name: str
    look: int
    points: Sequence[Point]


@dataclass(frozen=True)
class Axis:
    """Where figures lie on an axis, as a share of it."""

    lowest: float
    highest: float
    logarithmic: bool
    room: float = 0.0

    def share(self, value: float) -> float:
        """Return where a figure is, at the edge if it is beyond."""
        if self.highest <= self.lowest:
            return 0.5
        if self.logarithmic:
            part = math.log(max(value, 1e-12) / self.lowest) / math.log(self.highest / self.lowest)
        else:
            part = (value - self.lowest) / (self.highest - self.lowest)
        return self.room + (1 - 2 * self.room) * min(max(part, 0.0), 1.0)


def level(found: Iterable[float]) -> Axis:
    """Return the level axis for figures above 0: logarithmic where they span decades."""
    values = [value for value in found if value > 0]
    lowest, highest = min(values), max(values)
    return Axis(lowest, highest, highest / lowest >= _FAR, _ROOM)


def upright(found: Iterable[float], unit: str, from_0: bool = False) -> tuple[Axis, list[float]]:
    """Return the upright axis and its ticks: from 0 on, or logarithmic where that may be and has to."""
    values = [value for value in found if value > 0]
    lowest, highest = min(values, default=0.0), max(values, default=0.0)
    if lowest and not from_0 and highest / lowest >= _FAR:
        ticks = units.log_ticks(lowest, highest)
        return Axis(ticks[0], ticks[-1], True), ticks
    ticks = units.ticks(highest, unit)
    return Axis(0.0, ticks[-1], False), ticks


def figures_of(curves: Iterable[Curve]) -> list[float]:
    """Return every figure of curves, their ranges too."""
    return [
        value
        for curve in curves
        for point in curve.points
        for value in (point.y, point.low, point.high)
        if value is not None
    ]


def curves(
    title: str,
    found: Sequence[Curve],
    unit: str,
    *,
    over: str,
    about: str = "",
    reference: tuple[float, str] | None = None,
    also: Sequence[float] = (),
    from_0: bool = False,
) -> Html:
    """Return a figure of curves, with a marker for each point and a cross where there is no figure.

    Args:
        title: what is shown.
        found: the curves, with one point at least.
        unit: of the figures, one of ``units.UNITS``.
        over: what the level axis counts.
        about: what else there is to say.
        reference: a figure on the level axis to point out, with its name.
        also: further figures that the upright axis has to hold, so that two pictures have the same.
        from_0: whether the upright axis begins at 0 in any case.
    """
    across = level(point.x for curve in found for point in curve.points)
    axis, ticks = upright([*figures_of(found), *also], unit, from_0)
    scale = None if axis.logarithmic else units.scale(ticks[-1], unit)
    layers: list[Html] = []
    above: list[Html] = []
    if reference and across.lowest <= reference[0] <= across.highest:
        line, name = _reference(*reference, across)
        layers.append(line)
        above.append(name)
    for curve in found:
        layers.append(_line(curve, across, axis))
    for number, curve in enumerate(found):
        above += [
            _marker(curve, point, unit, across=across, axis=axis, number=number) for point in curve.points
        ]
    axes = [word for word, one in (("level", across), ("upright", axis)) if one.logarithmic]
    note = {0: "", 1: f"The {''.join(axes)} axis is logarithmic.", 2: "Both axes are logarithmic."}[len(axes)]
    return element(
        "figure",
        element("h4", title),
        frame(
            title,
            _in_words(found, unit, over),
            joined(*layers),
            up=[(axis.share(value), units.text(value, unit, scale) if value else "0") for value in ticks],
            across=_written(sorted({point.x for curve in found for point in curve.points}), across),
            over=above,
        ),
        element("div", key(found), element("p", over, class_="axis", aria_hidden="true"), class_="below"),
        element("figcaption", " ".join(part for part in (about, note) if part)),
    )


def key(found: Iterable[Curve]) -> Html:
    """Return what curves are called, each with its colour, dashes and marker."""
    return element(
        "ul", *(element("li", swatch(curve.look), " ", curve.name) for curve in found), class_="key"
    )


def swatch(look: int) -> Html:
    """Return a piece of a curve."""
    return element(
        "svg",
        element("path", class_=f"line {_look(look)}", d="M0 7H30"),
        element(
            "path", class_=f"shape c{look % 8}", d=_SHAPES[look % len(_SHAPES)], transform="translate(15 7)"
        ),
        class_="swatch",
        viewBox="0 0 30 14",
        aria_hidden="true",
    )


def _look(look: int) -> str:
    return f"c{look % 8} d{look % 4}"


def _shown(point: Point, unit: str) -> str:
    if point.y is None:
        return f"no figure{f' ({point.note})' if point.note else ''}"
    scale = units.scale(point.y, unit)
    bare = units.Scale(scale.factor, "")
    ends = [units.text(value, unit, bare) for value in (point.low, point.high) if value is not None]
    spread = f" ({' to '.join(ends)})" if len(set(ends)) == 2 else ""
    return f"{units.text(point.y, unit, scale)}{spread}{f', {point.note}' if point.note else ''}"


def _in_words(found: Iterable[Curve], unit: str, over: str) -> str:
    said = (
        f"{curve.name}: "
        + ", ".join(f"{_shown(point, unit)} at {point.x:,.0f} {over}" for point in curve.points)
        for curve in found
    )
    return "; ".join(said)


def _written(values: Sequence[float], axis: Axis) -> list[tuple[float, str]]:
    """Return what is written on the level axis: its ends, and what has room between."""
    chosen = {values[0], values[-1]}
    for value in values[1:-1]:
        if all(abs(axis.share(value) - axis.share(one)) >= _APART for one in chosen):
            chosen.add(value)
    return [
        (axis.share(value), f"{value:,.0f}" if value < 10_000 else units.text(value, "short"))
        for value in sorted(chosen)
    ]


def _reference(value: float, name: str, axis: Axis) -> tuple[Html, Html]:
    x = f"{axis.share(value) * WIDTH:.0f}"
    side = "left" if axis.share(value) < 0.5 else "right"
    place = axis.share(value) if side == "left" else 1 - axis.share(value)
    return (
        element("line", class_="reference", x1=x, x2=x, y1=0, y2=HEIGHT),
        element("span", name, class_="reference", style=f"{side}:{100 * place:.4g}%", aria_hidden="true"),
    )


def _line(curve: Curve, across: Axis, axis: Axis) -> Html:
    """Return a curve, with a hole where there is no figure, and the range of each point."""
    parts: list[list[str]] = [[]]
    ranges = []
    for point in curve.points:
        if point.y is None:
            parts.append([])
            continue
        x = f"{across.share(point.x) * WIDTH:.1f}"
        parts[-1].append(f"{x} {(1 - axis.share(point.y)) * HEIGHT:.1f}")
        if point.low is not None and point.high is not None:
            ends = [f"{(1 - axis.share(value)) * HEIGHT:.1f}" for value in (point.low, point.high)]
            ranges.append(f"M{x} {ends[0]}V{ends[1]}")
    path = "".join(f"M{'L'.join(part)}" for part in parts if len(part) > 1)
    return joined(
        *([element("path", class_=f"line {_look(curve.look)}", d=path)] if path else []),
        *([element("path", class_=f"range c{curve.look % 8}", d="".join(ranges))] if ranges else []),
    )


def _marker(curve: Curve, point: Point, unit: str, *, across: Axis, axis: Axis, number: int) -> Html:
    missing = point.y is None
    # Crosses of several curves at one place lie one above the other.
    height = f"{100 * axis.share(point.y):.4g}%" if point.y is not None else f"{4 + 8 * number}%"
    shape = (
        element("path", class_="cross", d=_CROSS)
        if missing
        else element("path", class_="shape", d=_SHAPES[curve.look % len(_SHAPES)])
    )
    return element(
        "svg",
        element("title", f"{curve.name}, {point.x:,.0f}: {_shown(point, unit)}"),
        shape,
        class_=f"marker c{curve.look % 8}",
        viewBox="-7 -7 14 14",
        style=f"left:{100 * across.share(point.x):.4g}%;bottom:{height}",
        aria_hidden="true",
    )


# ---------------------------------------------------------------------------------------------------- bars


@dataclass(frozen=True)
class Bar:
    """A figure of a case: what it is called, its look, and the figure with its range; or none, and why."""

    name: str
    look: int
    point: Point


def bars(title: str, cases: Sequence[tuple[str, Sequence[Bar]]], unit: str, about: str = "") -> Html:
    """Return a figure with some bars for each case, and a scale of its own for each."""
    rows: list[Html] = []
    for case, found in cases:
        points = [each.point for each in found]
        top = max((value for one in points for value in (one.y, one.high) if value is not None), default=0.0)
        rows += [element("p", case, class_="case")] if case else []
        rows += [_bar(each, top, unit) for each in found]
    return element(
        "figure",
        element("h4", title),
        element("div", *rows, class_="bars"),
        element("figcaption", about),
    )


def _bar(found: Bar, top: float, unit: str) -> Html:
    def x(value: float) -> str:
        return f"{value / top * WIDTH:.1f}" if top > 0 else "0"

    point = found.point
    drawn: list[Html] = []
    if point.y is not None:
        drawn.append(
            element("rect", class_=f"strip c{found.look % 8}", x=0, y=0, height=14, width=x(point.y))
        )
    if point.low is not None and point.high is not None and point.low != point.high:
        drawn.append(
            element(
                "path",
                class_="spread",
                d=f"M{x(point.low)} 7H{x(point.high)}M{x(point.low)} 3V11M{x(point.high)} 3V11",
            )
        )
    return element(
        "div",
        element("span", found.name, class_="name"),
        element("svg", *drawn, viewBox=f"0 0 {WIDTH} 14", preserveAspectRatio="none", aria_hidden="true"),
        element("span", _shown(point, unit), class_="value"),
        class_="bar",
    )
