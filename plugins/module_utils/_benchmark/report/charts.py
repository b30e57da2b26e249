# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The charts of a benchmark's report. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.report import reading
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.report.reading import (
    PERCENTILES,
    Case,
    Measured,
    Spread,
    mapping,
)
from ansible_collections.pooled.postgres.plugins.module_utils._report.chart import chart
from ansible_collections.pooled.postgres.plugins.module_utils._report.curves import (
    Bar,
    Curve,
    Point,
    bars,
    curves,
    figures_of,
    key,
)
from ansible_collections.pooled.postgres.plugins.module_utils._report.markup import Html, element
from ansible_collections.pooled.postgres.plugins.module_utils._report.panels import (
    Panel,
    Query,
    Series,
    Window,
)

_RANGE = "Each marker is the median of the repeats, its upright line the lowest to the highest of them."
_NO_CONNECT = "Without the time to connect, which is in the throughput."
_CLIENTS = "clients"
# Not the colours of the paths.
_LINES = ("c6 d1", "c4 d0")


def of_group(found: Sequence[Case], looks: Mapping[str, int], most: float | None) -> list[Html]:
    """Return throughput and latencies over clients, for cases that differ by their clients alone.

    Args:
        found: the cases, fewest clients first.
        looks: of each path.
        most: max_connections.
    """
    reference = None if most is None else (most, f"max_connections {most:,.0f}")
    about = _NO_CONNECT if found[0].mode == "reconnect" else ""
    drawn = [
        curves(
            "Transactions a second",
            _curves(found, looks, _tps),
            "ops",
            over=_CLIENTS,
            about=_missing(_RANGE, found),
            reference=reference,
            from_0=True,
        )
    ]
    latencies = {name: _curves(found, looks, _latency(name)) for name in PERCENTILES}
    # One scale for all three: they are to be compared with each other, too.
    shared = [value for one in latencies.values() for value in figures_of(one)]
    drawn += [
        curves(_called(name), one, "ms", over=_CLIENTS, about=about, reference=reference, also=shared)
        for name, one in latencies.items()
        if figures_of(one)
    ]
    return drawn


def of_single(found: Sequence[Case], looks: Mapping[str, int]) -> list[Html]:
    """Return throughput and latencies of cases that have one number of clients each."""

    def of(what: Callable[[Measured], Point]) -> list[tuple[str, list[Bar]]]:
        return [
            (
                case.name,
                [
                    Bar(reading.path_name(path), looks[path], what(case.paths[path]))
                    for path in reading.ordered(case.paths)
                ],
            )
            for case in found
        ]

    about = "Each case has a scale of its own."
    connect = f" {_NO_CONNECT}" if any(case.mode == "reconnect" for case in found) else ""
    drawn = [
        bars("Transactions a second", of(_point_of_tps), "ops", f"{about} Median, and range of the repeats.")
    ]
    return drawn + [
        bars(_called(name), of(_point_of_latency(name)), "ms", f"{about}{connect}")
        for name in PERCENTILES
        if any(one.latency_ms.get(name) is not None for case in found for one in case.paths.values())
    ]


def connecting(document: Mapping[str, Any], looks: Mapping[str, int]) -> Html | None:
    """Return what it takes to open a connection."""
    times = mapping(mapping(document.get("connections")).get("connect_ms"))
    found = [
        Bar(reading.path_name(path), looks.get(path, len(looks)), Point(0, reading.number(times[path])))
        for path in reading.ordered(times)
        if reading.number(times[path]) is not None
    ]
    return bars("Time to open a connection", [("", found)], "ms") if found else None


def inside(document: Mapping[str, Any], looks: Mapping[str, int]) -> list[Html]:
    """Return what happened inside over time, with the runs marked in the colours of their paths."""
    rows = list(reading.samples(document))
    if len(rows) < 2:
        return []
    times = [row[0] or 0.0 for row in rows]
    steps = [after - before for before, after in pairwise(times) if after > before]
    window = Window(times[0], max(times[-1], times[0] + 1), median(steps) if steps else 1.0)
    strips = []
    for run in reading.runs(document):
        start, end = (reading.number(run.get(name)) for name in ("start", "end"))
        path = reading.text(run.get("path"))
        if start is not None and end is not None and end >= window.start and start <= window.end:
            strips.append((start, end, f"c{looks.get(path, 0) % 8}"))
    charts = (
        ("Clients of PgBouncer", "Waiting clients have no server yet.", ("active", 1), ("waiting", 2)),
        ("Server connections", "Of PgBouncer, to PostgreSQL.", ("active", 3), ("idle", 4)),
        ("Processor, in cores", "", ("PgBouncer", 5), ("PostgreSQL", 6)),
    )
    drawn = []
    for title, about, *lines in charts:
        queries = [Query("benchmark", title, name, name, name) for name, _column in lines]
        answers = {
            query: [
                Series({}, [(row[0] or 0.0, value) for row in rows if (value := row[column]) is not None])
            ]
            for query, (_name, column) in zip(queries, lines, strict=True)
        }
        if any(series.points for found in answers.values() for series in found):
            panel = Panel("timeseries", title, about, queries, wide=True)
            drawn.append(chart(panel, answers, window, strips=strips, looks=_LINES))
    used = [path for path in looks if any(strip[2] == f"c{looks[path] % 8}" for strip in strips)]
    if drawn and used:
        names = [Curve(reading.path_name(path), looks[path], []) for path in used]
        drawn.insert(
            0,
            element(
                "div", "Above each picture, when pgbench ran over which path:", key(names), class_="wide"
            ),
        )
    return drawn


def compared(rows: Sequence[Mapping[str, Any]]) -> list[Html]:
    """Return A and B, for rows of a comparison that belong to one group: a picture for each path."""
    by_path: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_path.setdefault(reading.text(row.get("path")), []).append(row)
    drawn = []
    for path in reading.ordered(by_path):
        found = sorted(by_path[path], key=lambda row: reading.number(row.get("clients")) or 0)
        sides = [
            Curve(
                name.upper(),
                look,
                [
                    _point(reading.number(row.get("clients")) or 0, reading.spread(row.get(name)))
                    for row in found
                ],
            )
            for look, name in ((4, "a"), (5, "b"))
        ]
        title = f"Transactions a second, {reading.path_name(path)}"
        if len(found) > 1 and all(point.x > 0 for point in sides[0].points):
            drawn.append(curves(title, sides, "ops", over=_CLIENTS, about=_RANGE, from_0=True))
        else:
            cases = [
                (
                    reading.counted(reading.number(row.get("clients")) or 0, "client"),
                    [Bar(side.name, side.look, side.points[number]) for side in sides],
                )
                for number, row in enumerate(found)
            ]
            drawn.append(bars(title, cases, "ops"))
    return drawn


# ------------------------------------------------------------------------------------------------- points


def _called(percentile: str) -> str:
    return f"Latency, {percentile}"


def _curves(
    found: Iterable[Case], looks: Mapping[str, int], what: Callable[[Case, str], Point]
) -> list[Curve]:
    cases = list(found)
    return [
        Curve(
            reading.path_name(path), looks[path], [what(case, path) for case in cases if path in case.paths]
        )
        for path in reading.ordered(path for case in cases for path in case.paths)
    ]


def _tps(case: Case, path: str) -> Point:
    return _point(case.clients, case.paths[path].tps, case.paths[path].error)


def _latency(name: str) -> Callable[[Case, str], Point]:
    def of(case: Case, path: str) -> Point:
        return Point(case.clients, case.paths[path].latency_ms.get(name))

    return of


def _point(x: float, found: Spread, error: str | None = None) -> Point:
    return Point(x, found.median, found.low, found.high, error or "")


def _point_of_tps(found: Measured) -> Point:
    return _point(0, found.tps, found.error)


def _point_of_latency(name: str) -> Callable[[Measured], Point]:
    return lambda found: Point(0, found.latency_ms.get(name))


def _missing(about: str, found: Iterable[Case]) -> str:
    if any(one.tps.median is None for case in found for one in case.paths.values()):
        return f"{about} A cross: there is no figure, for the run ended with an error."
    return about
