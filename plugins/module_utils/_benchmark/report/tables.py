# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tables of a benchmark's report, as text. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from statistics import fmean
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.report import words
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.report.words import (
    PERCENTILES,
    plain,
    text,
)
from ansible_collections.pooled.postgres.plugins.module_utils._report.render import Table

Row = Mapping[str, Any]
_SYSTEM = {
    "postgresql": "PostgreSQL",
    "pgbouncer": "PgBouncer",
    "pgbouncer_processes": "PgBouncer processes",
    "auth_type": "PgBouncer auth_type",
    "scale": "pgbench scale",
    "processors": "Processors of the database host",
    "memory_mb": "Memory of the database host, MB",
    "load_across_network": "Load across the network",
    "same_machine": "Load and database on one machine",
    "load_processors": "Processors of the load generator",
    "dirty": "Uncommitted changes",
}
_PLAN = {
    "name": "Plan",
    "seconds": "Seconds of a run",
    "repeats": "Repeats",
    "warmup_seconds": "Warm-up seconds",
}
_BUSY = {"database_cpu": "Database host", "load_cpu": "Load generator"}
_WORDS = {
    "faster": "B is faster",
    "slower": "B is slower",
    "only in a": "only in A",
    "only in b": "only in B",
}
_NOT_FIGURES = {"path", "verdict", "error", "raw output", "load", "outcome"}
_FROM_RUN = ("repeat", "jobs", "seconds", "transactions", "tps")
_LATENCIES = ("avg", "min", *PERCENTILES, "max")


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a table of figures; an error column only if there is an error."""
    rows = list(rows)
    if heads[-1] == "error" and all(row[-1] == "-" for row in rows):
        heads, rows = heads[:-1], [row[:-1] for row in rows]
    right = frozenset(number for number, head in enumerate(heads) if head not in _NOT_FIGURES)
    return Table(heads, rows, right, heads[-1] in ("error", "outcome"))


def results(rows: Iterable[Row]) -> Table:
    """Return the summary of cases of one group, a row for each path."""
    found = []
    for row in rows:
        for path in words.ordered(row["paths"]):
            one = row["paths"][path]
            against = [each for each in row["comparisons"] if each["path"] == path]
            ratios = [words.ratio(each["ratio"]) for each in against if each["ratio"] is not None]
            cells = [plain(row["clients"]), words.path_name(path), plain(one["tps"]["median"])]
            cells += [words.spread(one["tps"]), str(one["tps"]["n"])]
            cells += [plain(one["latency_ms"].get(name)) for name in PERCENTILES]
            cells += [plain(one.get("failed")), "; ".join(ratios) or "-"]
            found.append([*cells, "; ".join(each["verdict"] for each in against) or "-", text(one["error"])])
    heads = ["clients", "path", "tps", "range", "repeats", *(f"{name} ms" for name in PERCENTILES)]
    return _table([*heads, "failed", "ratio", "verdict", "error"], found)


def runs(found: Iterable[Row]) -> Table:
    """Return every run of one group."""
    heads = ["clients", "path", *_FROM_RUN, *(f"{name} ms" for name in _LATENCIES)]
    return _table(
        [*heads, "connect ms", "failed", "retried", "raw output", "error"],
        (
            [plain(run["clients"]), words.path_name(run["path"]), *(plain(run[name]) for name in _FROM_RUN)]
            + [plain(run["latency_ms"][name]) for name in _LATENCIES]
            + [plain(run[name]) for name in ("connect_ms", "failed", "retried")]
            + [text(run["raw"]), text(run["error"])]
            for run in found
        ),
    )


def inside(found: Iterable[Row]) -> Table:
    """Return what PgBouncer, PostgreSQL and pgbench did during every run of one group."""
    rows = []
    for run in found:
        seen, generator = run["inside"] or {}, run["generator"] or {}
        start = "-" if run["start"] is None else f"{datetime.fromtimestamp(run['start'], UTC):%H:%M:%S}"
        levels = [seen.get(name) or {} for name in ("clients_waiting", "servers_active")]
        rows.append(
            [plain(run["clients"]), words.path_name(run["path"]), plain(run["repeat"]), start]
            + [words.percent(generator.get("cpu")) + (" (its limit)" if generator.get("saturated") else "")]
            + [plain(one.get(name)) for one in levels for name in ("mean", "max")]
            + [plain(seen.get(name)) for name in ("wait_ms", "pgbouncer_cpu", "postgresql_cpu")]
            + [plain(seen.get("pgbouncer_memory_kb"))]
        )
    heads = ["clients", "path", "repeat", "start (UTC)", "pgbench CPU", "waiting, mean", "waiting, max"]
    heads += [
        "servers, mean",
        "servers, max",
        "wait ms",
        "PgBouncer cores",
        "PostgreSQL cores",
        "PgBouncer kB",
    ]
    return _table(heads, rows)


def beyond(document: Row) -> Table:
    """Return the cases with more clients than PostgreSQL's max_connections."""
    rows = []
    for row in words.beyond(document):
        for path in words.ordered(row["paths"]):
            one = row["paths"][path]
            key = (words.group(row), row["clients"], path)
            seen = [
                run["inside"]
                for run in document["runs"]
                if run["inside"] and (words.group(run), run["clients"], run["path"]) == key
            ]
            waiting = [each["clients_waiting"] for each in seen]
            cells = [key[0], plain(key[1]), words.path_name(path), plain(one["tps"]["median"])]
            cells += [plain(one["latency_ms"].get("p95")), _over(fmean, (each["mean"] for each in waiting))]
            cells.append(_over(max, (each["max"] for each in waiting)))
            cells.append(_over(fmean, (each["wait_ms"] for each in seen)))
            outcome = one["error"] or ("served" if one["tps"]["n"] else None)
            rows.append([*cells, plain(one.get("failed")), text(outcome)])
    heads = ["load", "clients", "path", "tps", "p95 ms", "waiting, mean", "waiting, max", "wait ms", "failed"]
    return _table([*heads, "outcome"], rows)


def _over(what: Callable[[list[float]], float], values: Iterable[float | None]) -> str:
    found = [value for value in values if value is not None]
    return plain(float(what(found)) if found else None)


def connections(document: Row) -> list[tuple[str, str]]:
    """Return what a connection costs, each figure with its name."""
    found = document["connections"]
    times = found["connect_ms"]
    rows = [
        (f"A connection, {words.path_name(path)}", f"{plain(times[path])} ms")
        for path in words.ordered(times)
    ]
    memory, most = found["memory_kb_per_client"], found["most_clients"]
    rows += [] if memory is None else [("PgBouncer memory for each client", f"{plain(memory)} kB")]
    return rows + ([] if most is None else [("Most clients in a run", plain(most))])


def system(document: Row) -> Table:
    """Return versions, hardware and the plan."""
    found, plan = document["system"], document["plan"]
    rows = [
        (
            _SYSTEM.get(name, name.replace("_", " ").capitalize()),
            words.moment(value) if name == "time" else text(value),
        )
        for name, value in found.items()
        if name not in ("settings", "background")
    ]
    busy = found.get("background") or {}
    rows += [
        (f"{called} busy before the first run", words.percent(busy.get(name)))
        for name, called in _BUSY.items()
    ]
    rows += [(called, text(plan.get(name))) for name, called in _PLAN.items()]
    return Table(("", "value"), [*rows, ("Paths", text(plan.get("paths")))], last_is_text=True)


def settings(document: Row) -> dict[str, Table]:
    """Return the settings of each service."""
    called = {"postgresql": "PostgreSQL", "pgbouncer": "PgBouncer"}
    return {
        called.get(name, name): Table(
            ("setting", "value"),
            [(key, text(value)) for key, value in sorted(one.items())],
            last_is_text=True,
        )
        for name, one in (document["system"].get("settings") or {}).items()
        if one
    }


def differences(comparison: Row) -> Table:
    """Return what differs between two benchmarks besides their figures."""
    rows = [[text(one[name]) for name in ("what", "a", "b")] for one in comparison["differences"]]
    return Table(("what", "A", "B"), rows, last_is_text=True)


def compared(rows: Iterable[Row]) -> Table:
    """Return the rows of a comparison that belong to one group."""
    nothing: Row = {"median": None, "low": None, "high": None, "n": 0}
    found: list[list[str]] = []
    for row in rows:
        sides = [row[name] or nothing for name in ("a", "b")]
        found.append(
            [plain(row["clients"]), words.path_name(row["path"])]
            + [cell for one in sides for cell in (plain(one["median"]), words.spread(one), str(one["n"]))]
            + [words.ratio(row["ratio"]), _WORDS.get(row["verdict"], text(row["verdict"]))]
        )
    heads = ["clients", "path", "A tps", "A range", "A repeats", "B tps", "B range", "B repeats", "B to A"]
    return _table([*heads, "verdict"], found)
