"""Curves and bars: where they are drawn, and what they say."""

from __future__ import annotations

import re

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._report import curves
from ansible_collections.pooled.postgres.plugins.module_utils._report.curves import Bar, Curve, Point


def line(*points: Point, name: str = "direct", look: int = 0) -> Curve:
    return Curve(name, look, points)


def drawn(*found: Curve, unit: str = "ops", **more: object) -> str:
    return curves.curves("Speed", found, unit, over="clients", **more)  # type: ignore[arg-type]


def lines_of(text: str) -> list[str]:
    return re.findall(r'<path class="line [^"]*" d="(M[^"]*)"', text.partition("<ul")[0])


@pytest.mark.parametrize(
    ("values", "logarithmic", "middle"),
    [([1, 9], False, 5), ([10, 50, 90], False, 50), ([1, 10, 100], True, 10), ([1, 10_000], True, 100)],
)
def test_the_level_axis_is_logarithmic_over_decades(
    values: list[float], logarithmic: bool, middle: float
) -> None:
    axis = curves.level(values)
    assert axis.logarithmic is logarithmic
    assert axis.share(middle) == pytest.approx(0.5)
    # Markers at the ends have room.
    assert (axis.share(values[0]), axis.share(values[-1])) == pytest.approx((0.03, 0.97))


def test_a_single_place_is_in_the_middle() -> None:
    assert curves.level([50]).share(50) == 0.5


@pytest.mark.parametrize(
    ("values", "ticks", "logarithmic"),
    [
        ([100, 900], [0, 250, 500, 750, 1000], False),
        ([1, 100], [1, 2, 5, 10, 20, 50, 100], True),
        ([0, 0], [0, 0.25, 0.5, 0.75, 1], False),
        ([], [0, 0.25, 0.5, 0.75, 1], False),
    ],
)
def test_the_upright_axis_begins_at_0_unless_the_low_would_be_flat(
    values: list[float], ticks: list[float], logarithmic: bool
) -> None:
    axis, found = curves.upright(values, "short")
    assert found == pytest.approx(ticks)
    assert axis.logarithmic is logarithmic


def test_an_upright_axis_can_be_held_to_0() -> None:
    axis, ticks = curves.upright([1, 100], "short", from_0=True)
    assert (axis.logarithmic, ticks[0], ticks[-1]) == (False, 0, 100)


def test_a_curve_says_its_medians_and_ranges() -> None:
    text = drawn(line(Point(10, 50, 40, 60), Point(90, 100, 100, 100)))
    assert (
        "<title>Speed</title><desc>direct: 50/s (40 to 60) at 10 clients, 100/s at 90 clients</desc>" in text
    )
    assert lines_of(text) == ["M30.0 125.0L970.0 0.0"]
    assert '<path class="range c0" d="M30.0 150.0V100.0M970.0 0.0V0.0">' in text
    assert "<title>direct, 10: 50/s (40 to 60)</title>" in text
    assert "logarithmic" not in text


def test_where_there_is_no_figure_a_cross_says_why_and_the_curve_has_a_hole() -> None:
    text = drawn(
        line(
            Point(1, 50), Point(2, 60), Point(3, None, note="too many <clients>"), Point(4, 70), Point(5, 80)
        )
    )
    (path,) = lines_of(text)
    assert path.count("M") == 2
    assert text.count('class="cross"') == 1
    assert "direct, 3: no figure (too many &lt;clients&gt;)" in text
    assert "no figure (too many &lt;clients&gt;) at 3 clients" in text


def test_without_any_figure_there_are_crosses_alone() -> None:
    text = drawn(line(Point(1, None), Point(2, None)), line(Point(1, None), name="pooled", look=1))
    assert lines_of(text) == []
    assert text.count('class="cross"') == 3
    # Those at one place are not on top of each other.
    assert len(set(re.findall(r'style="left:3%;bottom:([^"]*)"', text))) == 2


def test_curves_differ_by_more_than_colour() -> None:
    text = drawn(*(line(Point(1, 5), Point(2, 6), name=str(look), look=look) for look in range(4)))
    assert len(set(re.findall(r'class="line c\d (d\d)"', text))) == 4
    assert len(set(re.findall(r'<path class="shape" d="([^"]*)"', text))) == 4


@pytest.mark.parametrize(("at", "side"), [(20, "left"), (90, "right"), (500, None)])
def test_a_reference_is_named_on_the_side_that_has_room(at: float, side: str | None) -> None:
    text = drawn(line(Point(10, 1), Point(100, 2)), reference=(at, "limit"))
    found = re.findall(r'<span class="reference" style="(\w+):', text)
    assert found == ([side] if side else [])
    assert ('<line class="reference"' in text) is bool(side)


def test_figures_on_the_level_axis_do_not_touch() -> None:
    text = drawn(line(*(Point(x, 1) for x in (1, 2, 90, 100, 110, 10_000))))
    assert re.findall(r"<span[^>]*>([^<]*)</span>", text.partition('class="moments"')[2]) == [
        "1",
        "90",
        "10 k",
    ]


def test_two_pictures_can_have_one_axis() -> None:
    text = drawn(line(Point(1, 1), Point(2, 2)), also=[8])
    assert lines_of(text) == ["M30.0 218.8L970.0 187.5"]


def test_bars_have_a_scale_for_each_case_and_say_what_is_not_there() -> None:
    text = curves.bars(
        "Speed",
        [
            (
                "a",
                [Bar("direct", 0, Point(0, 50, 40, 100)), Bar("pooled", 1, Point(0, None, note="refused"))],
            ),
            ("b", [Bar("direct", 0, Point(0, 5))]),
            ("c", [Bar("direct", 0, Point(0, 0))]),
        ],
        "ops",
        "About.",
    )
    assert re.findall(r'<rect[^>]* width="([^"]*)"', text) == ["500.0", "1000.0", "0"]
    assert 'd="M400.0 7H1000.0M400.0 3V11M1000.0 3V11"' in text
    values = re.findall(r'<span class="value">([^<]*)</span>', text)
    assert values == ["50/s (40 to 100)", "no figure (refused)", "5/s", "0/s"]
