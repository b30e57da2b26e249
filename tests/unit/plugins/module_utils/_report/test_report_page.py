"""The page: what it says in words, what it draws, and what it needs (nothing)."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._report import page
from ansible_collections.pooled.postgres.plugins.module_utils._report.chart import chart
from ansible_collections.pooled.postgres.plugins.module_utils._report.markup import Html, element, joined
from ansible_collections.pooled.postgres.plugins.module_utils._report.page import Findings
from ansible_collections.pooled.postgres.plugins.module_utils._report.panels import (
    Board,
    Panel,
    Query,
    Series,
    Window,
)

WINDOW = Window(1_800_000_000, 1_800_003_600, 15)
UP = {"labels": {"job": "node", "host": "db", "instance": "192.0.2.1:9100"}, "health": "up", "lastError": ""}
STEPS = [(None, "green"), (0.8, "yellow"), (1.0, "red")]


def query(panel: str, ref: str = "A", legend: str = "{{host}}") -> Query:
    return Query("pooled-x", panel, ref, "up", legend)


def series(value: float, every: int = 15, **labels: str) -> Series:
    """Return a series that has the value all the time."""
    return Series(labels, [(WINDOW.start + n, value) for n in range(0, 3601, every)])


def board(*panels: Panel, marks: list[Query] | None = None) -> Board:
    return Board("pooled-x", "Pooled Postgres: pooling", "What is it?", [("", panels)], marks or [], [])


def whole(boards: list[Board], answers: dict[Query, list[Series]], **findings: Any) -> str:
    return page.page("Lab", boards, answers, Findings(**({"targets": [UP]} | findings)), WINDOW)


def unclosed(text: str) -> list[str]:
    """Return the elements that are not closed where they should be."""
    found: list[str] = []
    open_: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in ("meta", "br"):
                open_.append(tag)

        def handle_endtag(self, tag: str) -> None:
            if (last := open_.pop() if open_ else "") != tag:
                found.append(f"{last} before /{tag}")

    Reader().feed(text)
    return found + open_


def words(text: str) -> str:
    """Return what a reader reads."""
    found: list[str] = []

    class Reader(HTMLParser):
        quiet = False

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.quiet = tag == "style"

        def handle_data(self, data: str) -> None:
            if not self.quiet:
                found.append(data)

    Reader().feed(text)
    return re.sub(r"\s+", " ", " ".join(found))


# ------------------------------------------------------------------------------------------------- markup


def test_text_is_escaped_and_elements_are_not() -> None:
    found = element("p", "a<b", element("b", '"x" & y'), class_="z", data_it='"1"', hidden=None)
    assert found == '<p class="z" data-it="&quot;1&quot;">a&lt;b<b>"x" &amp; y</b></p>'
    assert joined("<", Html("<br>")) == "&lt;<br>"


def test_labels_and_errors_cannot_become_markup() -> None:
    evil = "<script>alert(1)</script>"
    panel = Panel("timeseries", "Lines", "", [query("Lines")])
    target = {"labels": {"job": evil, "instance": evil}, "health": "down", "lastError": evil}
    text = whole([board(panel)], {query("Lines"): [series(1, host=evil)]}, targets=[target])
    assert "<script" not in text
    assert "alert(1)" in words(text)


# -------------------------------------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("value", "shown", "state"),
    [
        (0.5, "50 %", "fine"),
        (0.8, "80 %", "to be looked at"),
        (1.0, "100 %", "wrong"),
        (math.nan, "no data", None),
        (None, "no data", None),
    ],
)
def test_a_figure_is_judged_by_its_thresholds(value: float | None, shown: str, state: str | None) -> None:
    panel = Panel("stat", "Use", "", [query("Use")], "percentunit", STEPS)
    found = [] if value is None else [Series({}, [(WINDOW.end, value)])]
    text = words(whole([board(panel)], {query("Use"): found}))
    tile = text.split("What is it?")[1]
    assert f"Use {shown}" in tile
    assert (state in tile) if state else "●" not in tile


def test_a_figure_without_thresholds_is_not_judged() -> None:
    panel = Panel("stat", "Rate", "", [query("Rate")], "ops", [(None, "green")])
    (found,) = page.figures([board(panel)], {query("Rate"): [series(5)]})
    assert (found.shown, found.level) == ("5/s", None)


@pytest.mark.parametrize(
    ("figure", "targets", "alerts", "verdict"),
    [
        (0.1, ["up"], [], "All is well"),
        (0.9, ["up"], [], "1 thing to be looked at"),
        (1.0, ["up"], [], "1 thing is wrong"),
        (0.1, ["up", "down"], [], "1 thing is wrong"),
        (1.0, ["down", "down"], [], "3 things are wrong"),
        # What is wrong counts, whatever else is to be looked at.
        (0.9, ["down"], [], "1 thing is wrong"),
        (0.1, ["up"], [("warning", "firing")], "1 thing to be looked at"),
        (0.1, ["up"], [("critical", "firing")], "1 thing is wrong"),
        (0.1, ["up"], [("critical", "pending")], "All is well"),
    ],
)
def test_the_verdict(figure: float, targets: list[str], alerts: list[tuple[str, str]], verdict: str) -> None:
    panel = Panel("stat", "Use", "", [query("Use")], "percentunit", STEPS)
    text = whole(
        [board(panel)],
        {query("Use"): [series(figure)]},
        targets=[UP | {"health": health, "lastError": "refused"} for health in targets],
        alerts=[
            {"labels": {"alertname": "A", "severity": severity}, "annotations": {}, "state": state}
            for severity, state in alerts
        ],
    )
    assert verdict in words(text).split("scrape target")[0]


def test_what_is_wrong_is_named_with_its_cause_the_worst_first() -> None:
    panel = Panel("stat", "Use", "Mind the gap.", [query("Use")], "percentunit", STEPS)
    down = UP | {"health": "down", "lastError": "connection refused"}
    alert = {
        "labels": {"alertname": "ClientsWaiting", "severity": "warning", "host": "db"},
        "annotations": {"summary": "short", "description": "long"},
        "state": "firing",
    }
    # The same figure on two dashboards is one thing to look at.
    text = words(whole([board(panel)] * 2, {query("Use"): [series(1)]}, targets=[down], alerts=[alert]))
    said = text[: text.index("0 of 1 scrape target up")]
    wanted = (
        "node on db is down : connection refused",
        "Use: 100 % . Mind the gap.",
        "ClientsWaiting on db : long",
    )
    places = [said.index(one) for one in wanted]
    assert places == sorted(places)
    assert said.count("Use: 100 %") == 1


# ------------------------------------------------------------------------------------------------- charts


def drawn(panel: Panel, *found: Series) -> str:
    return chart(panel, {panel.queries[0]: list(found)}, WINDOW)


def lines_of(text: str) -> list[str]:
    return re.findall(
        r'<path class="line [^"]*" d="(M[^"]*)"', re.sub(r'<svg class="swatch.*?</svg>', "", text)
    )


def test_a_line_goes_from_edge_to_edge_and_says_its_figures() -> None:
    panel = Panel("timeseries", "Lines", "Why.", [query("Lines")], "s")
    text = drawn(panel, Series({"host": "db"}, [(WINDOW.start + n * 15, n / 240) for n in range(241)]))
    (path,) = lines_of(text)
    assert path.startswith("M0 250.0L")
    assert path.endswith("L1000 0.0")
    # What a screen reader says.
    assert "<title>Lines</title><desc>db now 1 s, at most 1 s</desc>" in text
    assert words(text).strip().endswith("db 1 s 500 ms 1 s Why.")


def test_a_hole_stays_one() -> None:
    panel = Panel("timeseries", "Lines", "", [query("Lines")])
    whole_line = series(1, host="db").points
    (path,) = lines_of(drawn(panel, Series({"host": "db"}, [*whole_line[:50], *whole_line[60:]])))
    assert path.count("M") == 2
    (path,) = lines_of(drawn(panel, Series({"host": "db"}, [*whole_line[:50], whole_line[60]])))
    assert path.endswith("M250 0.0h.1")


def test_stacked_lines_add_up() -> None:
    panel = Panel("timeseries", "Lines", "", [query("Lines")], stacked=True)
    upper, lower = lines_of(drawn(panel, series(3, host="a"), series(1, host="b")))
    assert lower.startswith("M0 62.5")
    assert upper.startswith("M0 0.0")


@pytest.mark.parametrize(
    ("limit", "in_picture"), [(10.0, True), (30.0, True), (31.0, False), (1000.0, False)]
)
def test_a_far_limit_does_not_press_the_rest_down(limit: float, in_picture: bool) -> None:
    rule = {
        "matcher": {"id": "byRegexp", "options": "/^limit/"},
        "properties": [{"id": "custom.lineStyle", "value": {"fill": "dash"}}],
    }
    panel = Panel("timeseries", "Lines", "", [query("Lines")], options={"overrides": [rule]})
    text = drawn(panel, series(10, host="used"), series(limit, host="limit, it"))
    assert len(lines_of(text)) == 1 + in_picture
    assert ("above the picture" in text) != in_picture
    # Its figure is there in any case.
    assert "limit, it" in words(text)


@pytest.mark.parametrize(("value", "count"), [(0.1, 0), (0.5, 2), (0.9, 2)])
def test_thresholds_are_drawn_where_the_line_comes_near(value: float, count: int) -> None:
    panel = Panel("timeseries", "Lines", "", [query("Lines")], "percentunit", STEPS)
    text = drawn(panel, series(value, host="db"))
    assert text.count('class="threshold') == count
    assert "Dashed: to be looked at from 80 % on, wrong from 100 % on." in words(text)


def test_more_lines_than_can_be_told_apart_are_counted() -> None:
    panel = Panel("timeseries", "Lines", "", [query("Lines")])
    text = drawn(panel, *(series(float(n), host=f"h{n}") for n in range(1, 12)))
    assert len(lines_of(text)) == 8
    assert "and 3 more, none above 3" in words(text)


def test_marks_and_what_has_no_data() -> None:
    runs = Query("pooled-x", "runs", "annotation", "up")
    panels = [Panel("timeseries", title, "", [query(title)]) for title in ("Full", "Empty")]
    moments = [*range(600, 901, 15), 960, *range(1800, 1816, 15)]
    run = Series({}, [(WINDOW.start + n, 1.0) for n in moments])
    answers = {query("Full"): [series(1)], runs: [run]}
    assert page.spans(runs, answers, WINDOW) == [
        (WINDOW.start + 600, WINDOW.start + 960),
        (WINDOW.start + 1800, WINDOW.start + 1815),
    ]
    text = whole([board(*panels, marks=[runs])], answers)
    assert text.count('class="mark"') == 2
    assert "Shaded: pgbench ran." in words(text)
    assert "Without data: Empty." in words(text)
    assert text.count("<figure") == 1


def test_rows_of_a_table_are_put_together_by_their_labels() -> None:
    names = {"host": "Host", "Value #A": "Waiting", "Value #B": "Wait"}
    unit = {
        "matcher": {"id": "byName", "options": "Wait"},
        "properties": [{"id": "unit", "value": "s"}],
    }
    panel = Panel(
        "table",
        "Pools",
        "",
        [query("Pools", "A"), query("Pools", "B")],
        options={
            "overrides": [unit],
            "transformations": [{"id": "merge"}, {"id": "organize", "options": {"renameByName": names}}],
        },
    )
    answers = {
        query("Pools", "A"): [series(1, host="a", stack="x"), series(7, host="b", stack="x")],
        query("Pools", "B"): [series(0.5, host="a", stack="x")],
    }
    text = words(whole([board(panel)], answers))
    assert "Host Waiting Wait b 7 - a 1 500 ms" in text


# ----------------------------------------------------------------------------------------------- the whole


def test_the_page_needs_nothing_else() -> None:
    panel = Panel("timeseries", "Lines", "", [query("Lines")])
    text = whole([board(panel)], {query("Lines"): [series(1, host="db")]})
    assert text.startswith("<!doctype html>\n<html")
    assert unclosed(text) == []
    for wanted in ("<script", "http:", "https:", "url(", "@import", "src="):
        assert wanted not in text.replace("https://jfly", "")
    assert re.findall(r'href="([^"]*)"', text) == ["#pooled-x"]
    assert 'id="pooled-x"' in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert "2027-01-15 08:00 to 09:00 UTC" in words(text)
