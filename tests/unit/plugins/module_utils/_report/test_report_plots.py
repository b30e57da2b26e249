"""Charts: what is in the specification, and that the SVG suits any page."""

from __future__ import annotations

import re
import sys
from typing import Any
from xml.etree import ElementTree

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._report import plots
from ansible_collections.pooled.postgres.plugins.module_utils._report.plots import Curve, Line, Point

SPAN = (1_800_000_000.0, 1_800_003_600.0)


@pytest.fixture
def spec(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the specification of the chart that the test draws next."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(plots, "svg", lambda given, _title: found.update(given))
    return found


def curve(*points: Point, name: str = "direct", look: int = 0) -> Curve:
    return Curve(name, look, points)


def over_number(*found: Curve, **more: Any) -> None:
    plots.over_number("Speed", found, "ops", over="clients", **more)


def layers(spec: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return the layers with a kind of mark."""
    return [one for one in spec["layer"] if one["mark"]["type"] == kind]


def values(layer: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = layer["data"]["values"]
    return found


# ---------------------------------------------------------------------------------------------------- SVG


def test_the_svg_follows_the_page_and_loads_nothing() -> None:
    found = plots.over_number("<Speed>", [curve(Point(1, 50, 40, 60), Point(20, 100))], "ops", over="clients")
    root = ElementTree.fromstring(found)  # noqa: S314 - made by the line above
    assert (root.tag, root.get("role"), root.get("aria-label")) == (
        "svg",
        "img",
        "<Speed>",
    )
    assert "var(--c0)" in found
    assert "currentColor" in found
    assert "url(" not in found
    # An id of its own would be there twice on a page with two charts.
    assert not re.search(r"<script|<image|<use|href| id=", found)
    # The page chooses the width.
    assert root.get("viewBox")
    assert {"clients", "1", "20"} <= {text.strip() for text in root.itertext()}


def test_a_name_can_not_become_markup() -> None:
    evil = "<script>alert(1)</script>"
    found = plots.bars("Speed", {evil: [curve(Point(0, 5), name=evil)]}, "ops")
    assert "<script" not in found
    assert "alert(1)" in "".join(ElementTree.fromstring(found).itertext())  # noqa: S314


def test_a_page_without_the_library_has_a_sentence_for_a_chart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    assert "install the Python package vl-convert-python" in plots.svg({}, "Speed")


# ---------------------------------------------------------------------------------------------- over time


def over_time(*lines: Line, **more: Any) -> None:
    plots.over_time("Lines", lines, "s", SPAN, step=15, **more)


def line(*points: tuple[float, float], **more: Any) -> Line:
    return Line("db", [(SPAN[0] + time, value) for time, value in points], plots.COLOURS[0], **more)


def test_a_hole_stays_one(spec: dict[str, Any]) -> None:
    over_time(line((0, 1), (15, 2), (60, 3), (75, 4)))
    [drawn] = layers(spec, "line")
    assert [row["v"] for row in values(drawn)] == [1, 2, None, 3, 4]


def test_values_have_the_unit_of_the_highest(spec: dict[str, Any]) -> None:
    over_time(line((0, 0.004), (15, 0.002)))
    [drawn] = layers(spec, "line")
    assert [row["v"] for row in values(drawn)] == [4, 2]
    assert drawn["encoding"]["y"]["axis"]["labelExpr"].startswith("datum.value ? datum.label + ' ms'")


def test_stacked_lines_add_up(spec: dict[str, Any]) -> None:
    over_time(line((0, 1)), line((0, 3), (15, 3)), line((0, 9), dashed=True), stacked=True)
    [drawn] = layers(spec, "area")
    # But not with a limit.
    assert {row["v"] for row in values(drawn)} == {1, 3}
    assert [row["v"] for row in values(layers(spec, "line")[0])] == [9]
    assert drawn["encoding"]["y"]["stack"] == "zero"
    assert drawn["encoding"]["y"]["impute"] == {"value": 0}


def test_marks_strips_and_thresholds(spec: dict[str, Any]) -> None:
    shaded, strip = (SPAN[0], SPAN[0] + 60), (SPAN[0] + 60, SPAN[0] + 60, "var(--c3)")
    over_time(line((0, 1)), marks=[shaded], strips=[strip], thresholds=[(2.0, "var(--wrong)")])
    marks, strips = layers(spec, "rect")
    assert values(marks) == [{"a": 1000 * shaded[0], "b": 1000 * shaded[1], "colour": "var(--mark)"}]
    # A moment is seen, too.
    assert values(strips)[0]["b"] > values(strips)[0]["a"]
    [rule] = layers(spec, "rule")
    assert values(rule) == [{"v": 2, "colour": "var(--wrong)"}]


# ------------------------------------------------------------------------------------------ over a number


@pytest.mark.parametrize(
    ("places", "kind"),
    [([1, 9], "linear"), ([10, 90], "linear"), ([1, 10, 100], "log"), ([1, 10_000], "log")],
)
def test_the_level_axis_is_logarithmic_over_decades(
    spec: dict[str, Any], places: list[float], kind: str
) -> None:
    over_number(curve(*(Point(place, 1) for place in places)))
    x = layers(spec, "line")[0]["encoding"]["x"]
    assert x["scale"]["type"] == kind
    assert x["axis"]["values"] == places


@pytest.mark.parametrize(
    ("figures", "more", "domain", "kind"),
    [
        ([100, 900], {}, [0, 900], None),
        ([1, 100], {}, [1, 100], "log"),
        ([1, 100], {"from_0": True}, [0, 100], None),
        ([0, 0], {}, [0, 1], None),
        # Two charts can have one axis.
        ([5, 6], {"also": [8]}, [0, 8], None),
    ],
)
def test_the_upright_axis_begins_at_0_unless_the_figures_span_a_decade(
    spec: dict[str, Any], figures: list[float], more: dict[str, Any], domain: list[float], kind: str | None
) -> None:
    over_number(*(curve(Point(number, one)) for number, one in enumerate(figures, start=1)), **more)
    scale = layers(spec, "line")[0]["encoding"]["y"]["scale"]
    assert (scale["domain"], scale.get("type")) == (domain, kind)


def test_a_point_has_its_range(spec: dict[str, Any]) -> None:
    over_number(curve(Point(10, 50, 40, 60), Point(90, 100)))
    [rule] = layers(spec, "rule")
    assert [(row["low"], row["y"], row["high"]) for row in values(rule)] == [(40, 50, 60), (100, 100, 100)]


def test_a_failed_run_is_a_cross_and_a_hole(spec: dict[str, Any]) -> None:
    failed = [curve(Point(1, 50), Point(2, None), Point(3, 70)), curve(Point(2, None), name="pooled", look=1)]
    over_number(*failed)
    assert [row["y"] for row in values(layers(spec, "line")[0])] == [50, None, 70]
    crosses = layers(spec, "text")
    assert [values(one) for one in crosses] == [[{"x": 2}]] * 2
    # Two at one place are seen beside each other.
    assert len({one["encoding"]["y"]["value"] for one in crosses}) == 2


def test_without_any_figure_there_are_crosses_alone(spec: dict[str, Any]) -> None:
    over_number(curve(Point(1, None), Point(2, None)))
    assert layers(spec, "point") == []
    assert len(values(layers(spec, "text")[0])) == 2


def test_curves_differ_by_more_than_colour(spec: dict[str, Any]) -> None:
    over_number(*(curve(Point(1, 5), Point(2, 6), look=look) for look in range(4)))
    assert len({str(one["mark"]["strokeDash"]) for one in layers(spec, "line")}) == 4
    assert len({one["mark"]["shape"] for one in layers(spec, "point")}) == 4
    assert len(set(plots.SIGNS)) == len(plots.SIGNS)


@pytest.mark.parametrize(("at", "align"), [(20, "left"), (90, "right"), (500, None)])
def test_a_reference_is_named_on_the_side_with_room(
    spec: dict[str, Any], at: float, align: str | None
) -> None:
    over_number(curve(Point(10, 1), Point(50, 1), Point(100, 2)), reference=(at, "limit"))
    assert [one["mark"]["align"] for one in layers(spec, "text")] == ([align] if align else [])


# ---------------------------------------------------------------------------------------------------- bars


def test_bars_have_a_scale_for_each_case_and_say_what_failed(spec: dict[str, Any]) -> None:
    cases = {
        "a": [curve(Point(0, 50, 40, 100)), curve(Point(0, None, note="refused"), name="pooled", look=1)],
        "b": [curve(Point(0, 5))],
        "c": [curve(Point(0, 0))],
    }
    plots.bars("Speed", cases, "ops")
    rows = spec["data"]["values"]
    assert [(row["case"], row["y"], row["low"], row["high"]) for row in rows] == [
        ("a", 0.5, 0.4, 1.0),
        ("a", None, None, None),
        ("b", 1, None, None),
        ("c", 0, None, None),
    ]
    assert [row["text"] for row in rows] == ["50/s (40 to 100)", "refused", "5/s", "0/s"]
