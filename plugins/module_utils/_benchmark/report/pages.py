# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A benchmark, and two compared, as an HTML page and as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import plans
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.report import tables, words
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.report.answer import caveats
from ansible_collections.pooled.postgres.plugins.module_utils._report import plots, render
from ansible_collections.pooled.postgres.plugins.module_utils._report.page import chart, figure
from ansible_collections.pooled.postgres.plugins.module_utils._report.panels import (
    Panel,
    Query,
    Series,
    Window,
)
from ansible_collections.pooled.postgres.plugins.module_utils._report.plots import Curve, Point
from ansible_collections.pooled.postgres.plugins.module_utils._report.render import Block, Item, Section

Row = Mapping[str, Any]
_TPS = "Transactions per second"
_RANGE = "A marker is the median of the repeats, the line through it their range."
# Not the colours of the paths.
_LINES = ("var(--c6)", "var(--c4)")
_NO_CONNECT = "Without the time to connect, which counts in transactions per second."


def html(document: Row, boards_html: str = "") -> str:
    """Return the page of a benchmark.

    Args:
        document: ``latest.json``.
        boards_html: dashboards of the same time, from ``_report.api.section``.
    """
    return render.html(*_page(document, boards_html, charts=True))


def markdown(document: Row) -> str:
    """Return the same as Markdown, without charts."""
    return render.markdown(*_page(document))


def comparison_html(comparison: Row) -> str:
    """Return the page of two benchmarks that ``compare.compare`` compared."""
    return render.html(*_comparison(comparison, charts=True))


def comparison_markdown(comparison: Row) -> str:
    """Return the same as Markdown, without charts."""
    return render.markdown(*_comparison(comparison))


_Page = tuple[str, str, Sequence[str], Sequence[Item], Sequence[Section]]


def _page(document: Row, boards_html: str = "", charts: bool = False) -> _Page:
    boards = [{"kind": "html", "html": render.safe(boards_html)}] if boards_html else []
    sections = [
        Section("Throughput", "Throughput and latency", _results(document) if charts else []),
        Section("Connections", "What a connection costs", _connections(document)),
        Section("Beyond max_connections", "Beyond max_connections", _beyond(document)),
        Section("Inside", "Inside PgBouncer and PostgreSQL", _inside(document) if charts else []),
        Section("Prometheus", "Prometheus", boards),
        Section("Figures", "All figures", _tables(document)),
        Section("System", "System", _system(document)),
        Section("Repeat", "Repeat the benchmark", _repeat(document)),
    ]
    items = [Item(1, one) for one in caveats(document)]
    return words.title(document), words.about(document), document["answer"], items, sections


def _comparison(comparison: Row, charts: bool = False) -> _Page:
    different = tables.differences(comparison)
    blocks: list[Block] = []
    for name, rows in words.groups(comparison["rows"]).items():
        blocks += [render.figures(_compared(rows), name)] if charts else []
        blocks.append(render.table(tables.compared(rows), "" if charts else name))
    same = render.text("Settings, versions and hardware are the same.")
    sections = [
        Section("Differences", "Differences", [render.table(different) if different.rows else same]),
        Section("Throughput", "Throughput", blocks or [render.text("The two have no case in common.")]),
    ]
    when = "; ".join(words.side(comparison, name) for name in ("a", "b"))
    items = [Item(1, one) for one in comparison.get("caveats", ())]
    return "Two benchmarks compared", when, comparison["answer"], items, sections


# ------------------------------------------------------------------------------------------------- charts


def _curves(rows: Sequence[Row], looks: Mapping[str, int], point: Callable[[Row, Row], Point]) -> list[Curve]:
    paths = words.ordered(path for row in rows for path in row["paths"])
    return [
        Curve(
            words.path_name(path),
            looks[path],
            [point(row, row["paths"][path]) for row in rows if path in row["paths"]],
        )
        for path in paths
    ]


def _tps(row: Row, side: Row) -> Point:
    tps = side["tps"]
    return Point(row["clients"], tps["median"], tps["low"], tps["high"], side.get("error") or "")


def _latency(name: str) -> Callable[[Row, Row], Point]:
    return lambda row, side: Point(row["clients"], side["latency_ms"].get(name))


def _key(curves: Iterable[Curve]) -> list[tuple[str, str, str]]:
    return [(plots.SIGNS[one.look % 6], plots.COLOURS[one.look % 8], one.name) for one in curves]


def _results(document: Row) -> list[Block]:
    looks, most = words.looks(document), document["system"].get("max_connections")
    blocks, singles = [], []
    for name, rows in words.groups(document["summary"]).items():
        if len({row["clients"] for row in rows}) > 1:
            blocks.append(render.figures(_of_group(rows, looks, most), name))
        else:
            singles += rows
    return blocks + (
        [render.figures(_of_single(singles, looks), "Single cases" if blocks else "")] if singles else []
    )


def _of_group(rows: Sequence[Row], looks: Mapping[str, int], most: float | None) -> list[Block]:
    """Return throughput and latencies over the clients."""
    how: dict[str, Any] = {
        "over": "clients",
        "reference": (most, f"max_connections {most}") if most else None,
    }
    curves = _curves(rows, looks, _tps)
    failed = any(point.y is None for curve in curves for point in curve.points)
    about = f"{_RANGE} A cross is a failed run." if failed else _RANGE
    picture = plots.over_number(_TPS, curves, "ops", from_0=True, **how)
    found = [figure(_TPS, picture, about, key=_key(curves))]
    latencies = {name: _curves(rows, looks, _latency(name)) for name in words.PERCENTILES}
    # All latencies share a scale, so that the percentiles can be compared.
    also = [value for one in latencies.values() for value in plots.figures_of(one)]
    note = _NO_CONNECT if rows[0]["mode"] == "reconnect" else ""
    for name, curves in latencies.items():
        there = [
            one._replace(points=kept)
            for one in curves
            if (kept := [point for point in one.points if point.y is not None])
        ]
        if there:
            title = f"Latency, {name}"
            picture = plots.over_number(title, there, "ms", also=also, **how)
            found.append(figure(title, picture, note, key=_key(there)))
    return found


def _of_single(rows: Sequence[Row], looks: Mapping[str, int]) -> list[Block]:
    """Return bars for cases that have one number of clients each."""
    note = _NO_CONNECT if any(row["mode"] == "reconnect" for row in rows) else ""
    found = []
    for title, unit, point, about in (
        (_TPS, "ops", _tps, "Median and range of the repeats."),
        *((f"Latency, {name}", "ms", _latency(name), note) for name in words.PERCENTILES),
    ):
        cases = {plans.label(row): _curves([row], looks, point) for row in rows}
        if any(plots.figures_of(curves) for curves in cases.values()):
            found.append(
                figure(title, plots.bars(title, cases, unit), f"Each case has its own scale. {about}".strip())
            )
    return found


def _inside(document: Row) -> list[Block]:
    """Return the samples over time, with a strip in the colour of each run's path."""
    rows, looks = document["samples"]["rows"], words.looks(document)
    if len(rows) < 2:
        return [render.text("There are no samples.")]
    times = [row[0] for row in rows]
    window = Window(times[0], times[-1], median(after - before for before, after in pairwise(times)))
    colours = {path: plots.COLOURS[look % 8] for path, look in looks.items()}
    strips = [
        (run["start"], run["end"], colours[run["path"]])
        for run in document["runs"]
        if run["start"] and run["end"] >= window.start and run["start"] <= window.end
    ]
    found = []
    for title, about, *columns in (
        (
            "Clients of PgBouncer",
            "Waiting clients have no server connection yet.",
            ("active", 1),
            ("waiting", 2),
        ),
        ("Server connections", "From PgBouncer to PostgreSQL.", ("active", 3), ("idle", 4)),
        ("Processor, in cores", "", ("PgBouncer", 5), ("PostgreSQL", 6)),
    ):
        answers = {
            Query("benchmark", title, name, name, name): [
                Series({}, [(row[0], row[column]) for row in rows if row[column] is not None])
            ]
            for name, column in columns
        }
        if any(series.points for [series] in answers.values()):
            panel = Panel("timeseries", title, about, [*answers])
            found.append(chart(panel, answers, window, colours=_LINES, strips=strips))
    used = {run["path"] for run in document["runs"]}
    key = [("▬", colours[path], words.path_name(path)) for path in words.ordered(used)]
    return [
        render.figures([{**one, "key": key} for one in found]),
        render.text("Strip: the path under load."),
    ]


def _compared(rows: Sequence[Row]) -> list[Block]:
    """Return A and B of one group, a chart for each path."""
    found = []
    for path in words.ordered(row["path"] for row in rows):
        own = [row for row in rows if row["path"] == path]
        title = f"{_TPS}, {words.path_name(path)}"
        sides = [
            Curve(name.upper(), look, [_tps(row, {"tps": row[name]}) for row in own if row[name]])
            for look, name in ((4, "a"), (5, "b"))
        ]
        sides = [one for one in sides if one.points]
        if len(own) > 1:
            picture = plots.over_number(title, sides, "ops", over="clients", from_0=True)
            found.append(figure(title, picture, _RANGE, key=_key(sides)))
        else:
            found.append(figure(title, plots.bars(title, {plans.label(own[0]): sides}, "ops")))
    return found


# ------------------------------------------------------------------------------------------- tables and text


def _connections(document: Row) -> list[Block]:
    found = tables.connections(document)
    tiles = [{"title": name, "value": value, "level": None, "about": ""} for name, value in found]
    if not found:
        return [render.text("Neither the time to connect nor the memory of a client was measured.")]
    return [{"kind": "tiles", "tiles": tiles}]


def _beyond(document: Row) -> list[Block]:
    most = document["system"].get("max_connections")
    found = tables.beyond(document)
    if not found.rows:
        return [render.text(f"No run had more clients than max_connections ({words.text(most)}).")]
    said = f"PostgreSQL accepts {most:,} connections (max_connections); PgBouncer queues the clients."
    return [render.text(said), render.table(found)]


def _tables(document: Row) -> list[Block]:
    blocks = []
    runs = words.groups(document["runs"], by_clients=False)
    for name, rows in words.groups(document["summary"]).items():
        blocks.append(render.table(tables.results(rows), name))
        for title, make in (("Each run", tables.runs), ("Inside each run", tables.inside)):
            blocks.append(render.table(make(runs.get(name, ())), title, folded=True))
    return blocks or [render.text("No run succeeded.")]


def _system(document: Row) -> list[Block]:
    found = {"Versions and hardware": tables.system(document)}
    found |= {f"Settings of {name}": one for name, one in tables.settings(document).items()}
    return [render.table(one, name) for name, one in found.items()]


def _repeat(document: Row) -> list[Block]:
    dirty = " The checkout had uncommitted changes." if document["system"].get("dirty") else ""
    plan = words.own_plan(document)
    blocks = [
        render.text(f"Run this in a checkout. The output of pgbench is in raw/ beside the result.{dirty}")
    ]
    blocks.append(render.code("\n".join(words.command(document)), "sh"))
    return blocks + ([render.text("The plan, plan.json:"), render.code(plan, "json")] if plan else [])
