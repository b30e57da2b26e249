"""What is read of a dashboard, and what its queries become."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._report import panels
from ansible_collections.pooled.postgres.plugins.module_utils._report.errors import ReportError
from ansible_collections.pooled.postgres.plugins.module_utils._report.panels import Query, Window

HOUR = Window(0, 3600)


@pytest.mark.parametrize(
    ("expr", "values", "expected"),
    [
        ("up", {}, "up"),
        ('up{host=~"$host"}', {}, 'up{host=~".*"}'),
        ('up{host=~"$host"}', {"host": "db"}, 'up{host=~"db"}'),
        ('up{host=~"${host}"}', {"host": ["a", "b"]}, 'up{host=~"a|b"}'),
        ('up{host=~"${host:regex}"}', {"host": "a.b"}, r'up{host=~"a\\.b"}'),
        # A name is not taken for the beginning of another one.
        ('x{a="$host_name"}', {"host": "db", "host_name": "n"}, 'x{a="n"}'),
        ('label_replace(x, "a", "$1", "b", "(.*)")', {}, 'label_replace(x, "a", "$1", "b", "(.*)")'),
        ("rate(x[$__rate_interval])", {}, "rate(x[60s])"),
        ("rate(x[$__interval])", {}, "rate(x[15s])"),
        ("increase(x[$__range])", {}, "increase(x[3600s])"),
    ],
)
def test_fill(expr: str, values: dict[str, str | list[str]], expected: str) -> None:
    assert panels.fill(expr, HOUR, values) == expected


def test_longer_steps_take_longer_rates() -> None:
    assert panels.fill("[$__rate_interval]", Window(0, 86400, 360)) == "[375s]"
    # Scrapes a minute apart: four of them.
    assert panels.fill("[$__rate_interval]", Window.of(0, 3600, scrape=60)) == "[240s]"
    assert Window.of(0, 3600, scrape=60).step == 60


@pytest.mark.parametrize(
    ("intervals", "seconds"),
    [([], 15), ([None], 15), (["5s", "1m30s"], 90), (["500ms"], 0.5), (["1h"], 3600)],
)
def test_prometheus_says_how_often_it_scrapes(intervals: list[str | None], seconds: float) -> None:
    assert panels.scrape_seconds([{"scrapeInterval": one} for one in intervals]) == seconds


@pytest.mark.parametrize(
    ("seconds", "step"), [(60, 15), (3600, 15), (6 * 3600, 90), (86400, 360), (7 * 86400, 2520)]
)
def test_step_of_a_window(seconds: int, step: int) -> None:
    assert Window.of(0, seconds).step == step


@pytest.mark.parametrize(
    ("legend", "labels", "expected"),
    [
        ("active", {"host": "db"}, "active"),
        ("{{host}}#{{ process }}", {"host": "db", "process": "2"}, "db#2"),
        ("{{database}} {{host}}", {"database": "shop"}, "shop"),
        ("{{host}}", {"job": "node"}, "job=node"),
        ("", {"__name__": "up", "job": "node", "host": "db"}, "host=db, job=node"),
    ],
)
def test_name_of(legend: str, labels: dict[str, str], expected: str) -> None:
    assert panels.name_of(Query("d", "p", "A", "up", legend), labels) == expected


def dashboard() -> dict[str, Any]:
    """Return a dashboard with one of everything."""
    target = {"refId": "A", "expr": "up", "legendFormat": "{{host}}"}
    return {
        "uid": "d",
        "title": "A board",
        "panels": [
            {
                "type": "stat",
                "title": "Down",
                "targets": [target | {"instant": True}],
                "fieldConfig": {"defaults": {"thresholds": {"steps": [{"value": None, "color": "green"}]}}},
            },
            {"type": "row", "title": "Open"},
            {
                "type": "timeseries",
                "title": "Lines",
                "targets": [target, {"refId": "B", "expr": "down"}],
                "fieldConfig": {
                    "defaults": {
                        "unit": "s",
                        "max": 1,
                        "custom": {"stacking": {"mode": "normal"}},
                        "thresholds": {"steps": [{"value": 1, "color": "red"}]},
                    },
                    "overrides": [
                        {
                            "matcher": {"id": "byRegexp", "options": "/^limit/"},
                            "properties": [{"id": "custom.lineStyle", "value": {"fill": "dash"}}],
                        },
                        {
                            "matcher": {"id": "byName", "options": "Size"},
                            "properties": [{"id": "unit", "value": "bytes"}],
                        },
                    ],
                },
            },
            {
                "type": "row",
                "title": "Folded",
                "panels": [{"type": "table", "title": "T", "targets": [target]}],
            },
            {"type": "row", "title": "Nothing in it"},
        ],
        "templating": {"list": [{"name": "host", "query": {"query": 'label_values(up{a="b"}, host)'}}]},
        "annotations": {"list": [{"name": "runs", "expr": "x > 0"}, {"name": "Grafana's own"}]},
    }


def test_read_finds_every_query_and_what_it_is_drawn_as() -> None:
    board = panels.read(dashboard())
    assert [(title, [panel.title for panel in found]) for title, found in board.sections] == [
        ("", ["Down"]),
        ("Open", ["Lines"]),
        ("Folded", ["T"]),
    ]
    assert [(str(query), query.expr, query.instant) for query in board.queries()] == [
        ("d: $host (variable)", 'count by (host) (up{a="b"})', True),
        ("d: runs (annotation)", "x > 0", False),
        ("d: Down (A)", "up", True),
        ("d: Lines (A)", "up", False),
        ("d: Lines (B)", "down", False),
        ("d: T (A)", "up", False),
    ]
    down, lines, _table = board.panels()
    assert (down.steps, down.unit, down.stacked) == ([(None, "green")], "short", False)
    # Thresholds that Grafana does not draw are none here.
    assert (lines.steps, lines.unit, lines.stacked, lines.highest) == ([], "s", True, 1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("limit, pool size", {"custom.lineStyle": {"fill": "dash"}}),
        ("no limit", {}),
        ("Size", {"unit": "bytes"}),
        ("Size of it", {}),
    ],
)
def test_override(name: str, expected: dict[str, Any]) -> None:
    _down, lines, _table = panels.read(dashboard()).panels()
    assert panels.override(lines, name) == expected


def test_a_variable_that_is_not_understood_is_refused() -> None:
    document = dashboard()
    document["templating"]["list"][0]["query"] = "query_result(up)"
    with pytest.raises(ReportError, match="host has 'query_result"):
        panels.read(document)
