# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tables of a benchmark's report, as text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import fmean
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.report import reading
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.report.reading import (
    PERCENTILES,
    Case,
    mapping,
    plain,
    text,
)

_SYSTEM = {
    "postgresql": "PostgreSQL",
    "pgbouncer": "PgBouncer",
    "pgbouncer_processes": "PgBouncer's processes",
    "pgbench": "pgbench",
    "max_connections": "max_connections",
    "auth_type": "Logins to PgBouncer (auth_type)",
    "scale": "Scale of pgbench's tables",
    "distribution": "Distribution",
    "kernel": "Kernel",
    "processor": "Processor",
    "processors": "Processors of the database host",
    "memory_mb": "Memory of the database host, MB",
    "load_from": "Load from",
    "load_across_network": "Load across the network",
    "same_machine": "Load and database on one machine",
    "load_processors": "Processors of the load generator",
    "target": "Target",
    "time": "Time",
    "commit": "Commit",
    "dirty": "Changes beside the commit",
}
_BACKGROUND = {
    "database_cpu": "Database host busy before the first run",
    "load_cpu": "Load generator busy before the first run",
}
_PLAN = {
    "name": "Plan",
    "seconds": "Seconds of a run",
    "repeats": "Repeats",
    "warmup_seconds": "Seconds of warm-up",
    "paths": "Paths",
}

_WORDS = {
    "faster": "B is faster",
    "slower": "B is slower",
    "only in a": "only in A",
    "only in b": "only in B",
}
TOLD = ("error", "outcome")
"""Columns of sentences; they stand last."""


@dataclass(frozen=True)
class Table:
    """What is in a table; the columns of those numbers are figures."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: frozenset[int] = frozenset()


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], words: Iterable[str]) -> Table:
    """Return a table of figures, but for the columns of these names; one for errors only if there are any."""
    plain_text = set(words)
    rows = [list(row) for row in rows]
    if heads[-1] == "error" and all(row[-1] == "-" for row in rows):
        heads, rows = heads[:-1], [row[:-1] for row in rows]
    return Table(
        heads,
        rows,
        frozenset(n for n, head in enumerate(heads) if head not in plain_text),
    )


def results(found: Iterable[Case]) -> Table:
    """Return what was measured in cases of one group, for each path."""
    rows = []
    for case in found:
        for path in reading.ordered(case.paths):
            one = case.paths[path]
            against = [each for each in case.comparisons if each.path == path]
            rows.append(
                [
                    plain(case.clients),
                    reading.path_name(path),
                    plain(one.tps.median),
                    reading.range_of(one.tps),
                    str(one.tps.count),
                    *(plain(one.latency_ms.get(name)) for name in PERCENTILES),
                    plain(one.failed),
                    "; ".join(
                        f"{reading.ratio(each.ratio)} {reading.path_name(each.against)}"
                        for each in against
                        if each.ratio is not None
                    )
                    or "-",
                    "; ".join(each.verdict for each in against) or "-",
                    one.error or "-",
                ]
            )
    heads = (
        "clients",
        "path",
        "tps",
        "range",
        "repeats",
        *(f"{name} ms" for name in PERCENTILES),
        "failed",
        "ratio",
        "verdict",
        "error",
    )
    return _table(heads, rows, ("path", "verdict", "error"))


def runs(found: Iterable[Mapping[str, Any]]) -> Table:
    """Return every run of one group."""
    latencies = ("avg", "min", *PERCENTILES, "max")
    rows = []
    for run in found:
        latency = mapping(run.get("latency_ms"))
        rows.append(
            [
                plain(run.get("clients")),
                reading.path_name(text(run.get("path"))),
                *(plain(run.get(name)) for name in ("repeat", "jobs", "seconds", "transactions", "tps")),
                *(plain(latency.get(name)) for name in latencies),
                *(plain(run.get(name)) for name in ("connect_ms", "failed", "retried")),
                text(run.get("raw")),
                text(run.get("error")),
            ]
        )
    heads = (
        *("clients", "path", "repeat", "jobs", "seconds", "transactions", "tps"),
        *(f"{name} ms" for name in latencies),
        *("connect ms", "failed", "retried", "raw output", "error"),
    )
    return _table(heads, rows, ("path", "raw output", "error"))


def inside(found: Iterable[Mapping[str, Any]]) -> Table:
    """Return what happened inside during every run of one group."""
    rows = []
    for run in found:
        seen, generator = mapping(run.get("inside")), mapping(run.get("generator"))
        waiting, servers = mapping(seen.get("clients_waiting")), mapping(seen.get("servers_active"))
        share = reading.number(generator.get("cpu"))
        limit = " (its limit)" if generator.get("saturated") else ""
        rows.append(
            [
                plain(run.get("clients")),
                reading.path_name(text(run.get("path"))),
                plain(run.get("repeat")),
                _clock(run.get("start")),
                "-" if share is None else f"{100 * share:.0f} %{limit}",
                plain(waiting.get("mean")),
                plain(waiting.get("max")),
                plain(servers.get("mean")),
                plain(servers.get("max")),
                *(plain(seen.get(name)) for name in ("wait_ms", "pgbouncer_cpu", "postgresql_cpu")),
                plain(seen.get("pgbouncer_memory_kb")),
            ]
        )
    heads = (
        *("clients", "path", "repeat", "start (UTC)", "pgbench's share of its processors"),
        *("clients waiting, mean", "clients waiting, max", "servers active, mean", "servers active, max"),
        *("wait ms", "PgBouncer, cores", "PostgreSQL, cores", "PgBouncer's memory, kB"),
    )
    return _table(heads, rows, ("path",))


def _clock(value: Any) -> str:
    found = reading.number(value)
    try:
        return "-" if found is None else f"{datetime.fromtimestamp(found, UTC):%H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return "-"


def beyond(document: Mapping[str, Any]) -> Table:
    """Return what became of more clients than PostgreSQL takes."""
    by_case: dict[tuple[str, int, str], list[Mapping[str, Any]]] = {}
    for run in reading.runs(document):
        case = reading.case_of(run)
        by_case.setdefault((case.group, case.clients, text(run.get("path"))), []).append(
            mapping(run.get("inside"))
        )
    rows = []
    for case in reading.beyond(document):
        for path in reading.ordered(case.paths):
            one = case.paths[path]
            seen = by_case.get((case.group, case.clients, path), [])
            waiting = [mapping(each.get("clients_waiting")) for each in seen]
            rows.append(
                [
                    case.group,
                    plain(case.clients),
                    reading.path_name(path),
                    plain(one.tps.median),
                    plain(one.latency_ms.get("p95")),
                    plain(_over(fmean, (each.get("mean") for each in waiting))),
                    plain(_over(max, (each.get("max") for each in waiting))),
                    plain(_over(fmean, (each.get("wait_ms") for each in seen))),
                    plain(one.failed),
                    one.error or ("-" if one.tps.median is None else "served"),
                ]
            )
    heads = (
        *("load", "clients", "path", "tps", "p95 ms", "waiting, mean", "waiting, max", "wait ms", "failed"),
        "outcome",
    )
    return _table(heads, rows, ("load", "path", "outcome"))


def _over(what: Any, values: Iterable[Any]) -> float | None:
    """Return the mean or the highest of the figures among values, None without any."""
    found = [one for value in values if (one := reading.number(value)) is not None]
    return float(what(found)) if found else None


def connections(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a connection costs, each with what it is called."""
    found = mapping(document.get("connections"))
    times = mapping(found.get("connect_ms"))
    rows = [
        (f"A connection, {reading.path_name(path)}", f"{plain(times[path])} ms")
        for path in reading.ordered(times)
        if reading.number(times[path]) is not None
    ]
    if reading.number(found.get("memory_kb_per_client")) is not None:
        rows.append(("PgBouncer's memory for each client", f"{plain(found['memory_kb_per_client'])} kB"))
    if reading.number(found.get("most_clients")) is not None:
        rows.append(("Most clients in a run", plain(found["most_clients"])))
    return rows


def system(document: Mapping[str, Any]) -> Table:
    """Return versions, hardware, and how it was measured."""
    found, plan = mapping(document.get("system")), mapping(document.get("plan"))
    background = mapping(found.get("background"))
    known = {name: found[name] for name in (*_SYSTEM, *found) if name in found}
    rows = [
        (_SYSTEM.get(name, name), reading.moment(value) if name == "time" else text(value))
        for name, value in known.items()
        if name not in ("settings", "background")
    ]
    for name, called in _BACKGROUND.items():
        share = reading.number(background.get(name))
        rows.append((called, "-" if share is None else f"{100 * share:.0f} %"))
    rows += [(called, text(plan.get(name))) for name, called in _PLAN.items()]
    return Table(("", "value"), rows)


def settings(document: Mapping[str, Any]) -> dict[str, Table]:
    """Return the settings of each service."""
    found = mapping(mapping(document.get("system")).get("settings"))
    called = {"postgresql": "PostgreSQL", "pgbouncer": "PgBouncer"}
    return {
        called.get(name, text(name)): Table(
            ("setting", "value"), [(text(key), text(value)) for key, value in sorted(mapping(one).items())]
        )
        for name, one in found.items()
        if mapping(one)
    }


# ----------------------------------------------------------------------------------------- two documents


def differences(comparison: Mapping[str, Any]) -> Table:
    """Return what was not the same when the two were measured."""
    rows = [
        [text(one.get(name)) for name in ("what", "a", "b")]
        for one in map(mapping, reading.listed(comparison.get("differences")))
    ]
    return Table(("what", "A", "B"), rows)


def compared(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Return the rows of a comparison that belong to one group."""
    found = []
    for row in rows:
        sides = [reading.spread(row.get(name)) for name in ("a", "b")]
        found.append(
            [
                plain(row.get("clients")),
                reading.path_name(text(row.get("path"))),
                *(
                    cell
                    for one in sides
                    for cell in (plain(one.median), reading.range_of(one), str(one.count))
                ),
                reading.ratio(row.get("ratio")),
                _WORDS.get(text(row.get("verdict")), text(row.get("verdict"))),
            ]
        )
    heads = (
        *("clients", "path", "A tps", "A range", "A repeats", "B tps", "B range", "B repeats", "B to A"),
        "verdict",
    )
    return _table(heads, found, ("path", "verdict"))
