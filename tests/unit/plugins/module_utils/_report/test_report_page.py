"""The page: what it says in words, what it draws, and what it needs (nothing)."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._report import page, plots
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
        (0.8, "80 %", "check"),
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
        (0.9, ["up"], [], "1 problem to check"),
        (1.0, ["up"], [], "1 problem"),
        (0.1, ["up", "down"], [], "1 problem"),
        (1.0, ["down", "down"], [], "3 problems"),
        # What is wrong counts, whatever else is to be looked at.
        (0.9, ["down"], [], "1 problem"),
        (0.1, ["up"], [("warning", "firing")], "1 problem to check"),
        (0.1, ["up"], [("critical", "firing")], "1 problem"),
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


class Drawn:
    """A panel's figure, and what was given to be drawn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, panel: Panel, *found: Series) -> None:
        monkeypatch.setattr(plots, "over_time", self.draw)
        self.figure = page.chart(panel, {panel.queries[0]: list(found)}, WINDOW)

    def draw(self, _title: str, lines: list[plots.Line], *_: Any, **more: Any) -> str:
        self.lines, self.thresholds = lines, more["thresholds"]
        return ""


def test_a_line_says_its_last_mean_and_highest_value(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = Panel("timeseries", "Lines", "Why.", [query("Lines")], "s")
    points = [(WINDOW.start + n * 15, n / 240) for n in range(241)]
    drawn = Drawn(monkeypatch, panel, Series({"host": "db"}, [*points, (WINDOW.end, math.nan)]))
    assert drawn.lines == [("db", points, "var(--c0)", False)]
    assert drawn.figure["legend"] == [("var(--c0)", "db", ["1 s", "500 ms", "1 s"])]
    assert drawn.figure["caption"] == "Why."


@pytest.mark.parametrize(
    ("limit", "in_picture"), [(10.0, True), (30.0, True), (31.0, False), (1000.0, False)]
)
def test_a_far_limit_does_not_press_the_rest_down(
    monkeypatch: pytest.MonkeyPatch, limit: float, in_picture: bool
) -> None:
    rule = {
        "matcher": {"id": "byRegexp", "options": "/^limit/"},
        "properties": [{"id": "custom.lineStyle", "value": {"fill": "dash"}}],
    }
    panel = Panel("timeseries", "Lines", "", [query("Lines")], options={"overrides": [rule]})
    drawn = Drawn(monkeypatch, panel, series(10, host="used"), series(limit, host="limit, it"))
    assert [line.dashed for line in drawn.lines] == [False, True][: 1 + in_picture]
    # Its figure is there in any case.
    [_used, (_colour, name, _values)] = drawn.figure["legend"]
    assert name == ("limit, it" if in_picture else "limit, it (above the picture)")


@pytest.mark.parametrize(("value", "count"), [(0.1, 0), (0.5, 2), (0.9, 2)])
def test_thresholds_are_drawn_where_the_line_comes_near(
    monkeypatch: pytest.MonkeyPatch, value: float, count: int
) -> None:
    panel = Panel("timeseries", "Lines", "", [query("Lines")], "percentunit", STEPS)
    drawn = Drawn(monkeypatch, panel, series(value, host="db"))
    assert len(drawn.thresholds) == count
    assert drawn.figure["caption"].endswith("Dashed: check from 80 %, wrong from 100 %.")


def test_more_lines_than_can_be_told_apart_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = Panel("timeseries", "Lines", "", [query("Lines")])
    drawn = Drawn(monkeypatch, panel, *(series(float(n), host=f"h{n}") for n in range(1, 12)))
    assert len(drawn.lines) == 8
    assert drawn.figure["legend"][-1][1] == "and 3 more, none above 3"


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
    assert text.count("var(--mark)") >= 2
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
