# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The document of a benchmark, made from the artefacts of its runs: ``latest.json``, schema 1. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import plans, samples, statistics
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.report.answer import answer, caveats
from ansible_collections.pooled.postgres.plugins.module_utils._pgbench.model import (
    LATENCY_FIGURES,
    latency_figures,
)

Document = dict[str, Any]

SCHEMA = 1
"""Version of ``latest.json``."""

# pgbench is the bottleneck above these shares of its host's processors, or of those that its threads can use.
_SATURATED_HOST = 0.85
_SATURATED_THREADS = 0.95
# Less than any client needs: PgBouncer had the memory from an earlier run, as it never frees any.
_LEAST_KB_PER_CLIENT = 1.0
# With fewer clients PgBouncer's own memory distorts the figure.
_ENOUGH_CLIENTS = 100
# Errors of PostgreSQL and PgBouncer for too many clients.
_REFUSED = re.compile(r"connection slots|too many clients|too many connections|no more connections allowed")
CASE = ("script", "mode", "protocol", "clients")


def document(
    begun: Mapping[str, Any],
    artefacts: Sequence[Mapping[str, Any]],
    rows: Sequence[samples.Row],
    *,
    complete: bool,
) -> Document:
    """Return the document.

    Args:
        begun: ``plan``, ``schedule`` (plans.schedule) and ``system``.
        artefacts: of each run on each load host: ``number`` of its item, ``host``, ``clients``, ``jobs``,
            and either ``error`` or the results of the module pgbench.
        rows: samples.
        complete: whether the whole plan ran.
    """
    by_number: dict[int, list[Mapping[str, Any]]] = {}
    for artefact in artefacts:
        by_number.setdefault(artefact["number"], []).append(artefact)
    hosts = len(begun["plan"]["from"])
    # An interrupted run may lack the part of some load hosts.
    runs = [
        run(item, by_number[item["number"]], rows)
        for item in begun["schedule"]
        if item["repeat"] and len(by_number.get(item["number"], ())) >= min(hosts, item["clients"])
    ]
    rated = summary(runs)
    made: Document = {
        "schema": SCHEMA,
        "plan": begun["plan"],
        "complete": complete,
        "system": begun["system"],
        "runs": runs,
        "summary": rated,
        "connections": connections(runs, rows),
        "samples": {"interval": 1, "rows": samples.series(rows)},
    }
    return {**made, "answer": answer(made)}


def system(
    given: Mapping[str, Any],
    plan: plans.Plan,
    *,
    database: str,
    hosts: Mapping[str, Mapping[str, Any]],
    settings: Sequence[Mapping[str, str]],
    pooler: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the ``system`` of a document.

    Args:
        given: ``time``, ``target`` and ``auth_type``.
        plan: with ``from``.
        database: the database host.
        hosts: by name, the results of the module pgbench with ``action: check``.
        settings: of PostgreSQL, each with ``name`` and ``value``.
        pooler: the result of the module benchmark_samples.
    """
    server = {one["name"]: one["value"] for one in settings}
    machine, loads = hosts[database], [hosts[name] for name in plan["from"]]
    return {
        "time": given["time"],
        "target": given["target"],
        "load_from": plan["from"],
        "load_across_network": database not in plan["from"],
        "same_machine": machine["boot_id"] in [one["boot_id"] for one in loads],
        "scale": plan["scale"],
        **machine["system"],
        "processors": machine["processors"],
        "load_processors": sum(one["processors"] for one in loads),
        "auth_type": given["auth_type"],
        "postgresql": server["server_version"].split(" ")[0],
        "pgbouncer": pooler["version"],
        "pgbouncer_processes": pooler["processes"],
        "max_connections": int(server["max_connections"]),
        "settings": {"postgresql": server, "pgbouncer": pooler["settings"]},
        "background": {"database_cpu": machine["busy"], "load_cpu": max(one["busy"] for one in loads)},
    }


def run(
    item: Mapping[str, Any], artefacts: Sequence[Mapping[str, Any]], rows: Sequence[samples.Row]
) -> dict[str, Any]:
    """Return a row of ``runs`` from the artefacts of its load hosts.

    Their figures add up. Percentiles are those of all transactions together, to three digits.
    """
    done = [artefact for artefact in artefacts if "run" in artefact]
    figures = [artefact["run"] for artefact in done]
    spans = [artefact["measured"] for artefact in done]
    errors = [artefact.get("error") or artefact["run"]["error"] for artefact in artefacts]
    start = min((span["start"] for span in spans), default=None)
    end = max((span["end"] for span in spans), default=None)
    if len(figures) == 1:
        latency = figures[0]["latency_ms"]
    else:
        together: Counter[int] = Counter()
        for artefact in done:
            together.update({int(value): count for value, count in artefact["latencies"].items()})
        latency = latency_figures(together) if together else dict.fromkeys(LATENCY_FIGURES)
    return {
        **{name: item[name] for name in ("path", "mode", "script", "protocol", "clients", "repeat")},
        "jobs": sum(artefact["jobs"] for artefact in artefacts),
        "transactions": _sum(one["transactions"] for one in figures),
        "seconds": None if start is None or end is None else round(end - start, 3),
        "start": start,
        "end": end,
        "tps": _sum(one["tps"] for one in figures),
        "failed": _sum(one["failed"] for one in figures),
        "retried": _sum(artefact["details"]["retried"] for artefact in done),
        "latency_ms": latency,
        "connect_ms": statistics.middle(artefact["details"]["average_connection_ms"] for artefact in done),
        "error": next((error for error in errors if error), None),
        "generator": generator(done),
        "inside": None if start is None or end is None else samples.during(rows, start, end),
        "raw": f"raw/{item['number']:04}.txt",
    }


def generator(done: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return pgbench's share of the load hosts' processors, and whether it was at its limit."""
    used = [(one, one["measured"]) for one in done if one["measured"]["cpu_seconds"] is not None]
    room = sum((span["end"] - span["start"]) * span["processors"] for _one, span in used)
    if not room:
        return None
    saturated = any(
        span["cpu_seconds"]
        >= (span["end"] - span["start"])
        * min(_SATURATED_HOST * span["processors"], _SATURATED_THREADS * one["jobs"])
        for one, span in used
    )
    return {"cpu": round(sum(span["cpu_seconds"] for _one, span in used) / room, 3), "saturated": saturated}


def _sum(values: Iterable[float | None]) -> Any:
    there = [value for value in values if value is not None]
    return sum(there) if there else None


def summary(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return for each case the figures of each path, and how the paths compare."""
    grouped: dict[tuple[Any, ...], dict[str, list[Mapping[str, Any]]]] = {}
    for one in runs:
        case = tuple(one[name] for name in CASE)
        grouped.setdefault(case, {}).setdefault(one["path"], []).append(one)
    found = []
    for case, by_path in grouped.items():
        # In the usual order, not in that of the first repeat.
        paths = {name: _rated(by_path[name]) for name in plans.PATHS if name in by_path}
        first, *others = paths
        found.append(
            {
                **dict(zip(CASE, case, strict=True)),
                "paths": paths,
                "comparisons": [
                    {
                        "path": other,
                        "against": first,
                        **statistics.difference(paths[other]["tps"], paths[first]["tps"]),
                    }
                    for other in others
                ],
            }
        )
    return found


def _rated(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    # The figures of a failed run say nothing about speed.
    good = [one for one in runs if one["tps"] is not None and not one["error"]]
    return {
        "tps": statistics.spread([one["tps"] for one in good]),
        "latency_ms": {
            name: statistics.middle(one["latency_ms"][name] for one in good) for name in ("p50", "p95", "p99")
        },
        "failed": sum(one["failed"] or 0 for one in runs),
        "error": next((one["error"] for one in runs if one["error"]), None),
    }


def connections(runs: Sequence[Mapping[str, Any]], rows: Sequence[samples.Row]) -> dict[str, Any]:
    """Return ``connect_ms`` by path, ``memory_kb_per_client`` and ``most_clients``."""
    times = {
        path: statistics.middle(one["connect_ms"] for one in runs if one["path"] == path)
        for path in plans.PATHS
    }
    pooled = [one for one in runs if one["path"] != "direct" and not one["error"] and one["tps"]]
    most = max(pooled, key=lambda one: one["clients"], default=None)
    memory = None
    before = next((row[-1] for row in rows if row[-1] is not None), None)
    if (
        most
        and most["clients"] >= _ENOUGH_CLIENTS
        and before is not None
        and most["inside"]
        and most["inside"]["pgbouncer_memory_kb"]
    ):
        each = (most["inside"]["pgbouncer_memory_kb"] - before) / most["clients"]
        memory = round(each, 1) if each >= _LEAST_KB_PER_CLIENT else None
    return {
        "connect_ms": {path: value for path, value in times.items() if value is not None},
        "memory_kb_per_client": memory,
        "most_clients": most["clients"] if most else None,
    }


# --- Words ----------------------------------------------------------------------------------------------


def _refused(path: Mapping[str, Any]) -> bool:
    return not path["tps"]["n"] and bool(_REFUSED.search(path["error"] or ""))


def table(made: Mapping[str, Any]) -> list[str]:
    """Return the document as lines of text: answer, caveats, a row for each case, and errors."""
    paths = [name for name in plans.PATHS if any(name in row["paths"] for row in made["summary"])]
    rows: list[list[str]] = [
        ["run", *(f"{name} tps" for name in paths), *(f"{name}/{paths[0]}" for name in paths[1:])]
        + [f"{name} p95 ms" for name in paths]
        + ["failed"]
    ]
    notes = []
    for row in made["summary"]:
        sides = [row["paths"].get(name) for name in paths]
        rated = {one["path"]: one for one in row["comparisons"]}
        rows.append(
            [plans.label(row)]
            + [_tps(side) for side in sides]
            + [_ratio(rated.get(name)) for name in paths[1:]]
            + [_milliseconds(side) for side in sides]
            + ["/".join(str(side["failed"]) if side and side["tps"]["n"] else "-" for side in sides)]
        )
        notes += [
            f"{plans.label(row)}, {name}: {side['error']}"
            for name, side in row["paths"].items()
            if side["error"]
        ]
    if any(row["mode"] == "reconnect" for row in made["summary"]):
        notes.append(
            "reconnecting: a connection for each transaction; tps includes the time to connect, p95 does not"
        )
    repeats = max((side["tps"]["n"] for row in made["summary"] for side in row["paths"].values()), default=0)
    if repeats > 1:
        notes.append("tps: median of the repeats, with the distance of the lowest and the highest")
    return [*made["answer"], *caveats(made), "", *aligned(rows), *notes]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as aligned lines; the first row is the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def _tps(side: Mapping[str, Any] | None) -> str:
    if side is None:
        return "-"
    tps = side["tps"]
    return in_words(tps) if tps["n"] else "refused" if _refused(side) else "failed"


def in_words(tps: Mapping[str, Any]) -> str:
    """Return a median, and the distance of the repeats from it in percent."""
    if tps["n"] < 2 or not tps["median"]:
        return f"{tps['median']:,.0f}"
    low, high = (100 * (tps[end] / tps["median"] - 1) for end in ("low", "high"))
    return f"{tps['median']:,.0f} {low:+.0f}/{high:+.0f}%"


def _ratio(one: Mapping[str, Any] | None) -> str:
    if one is None or one["ratio"] is None:
        return "-"
    return f"{one['ratio']:.2f} x, {one['verdict']}"


def _milliseconds(side: Mapping[str, Any] | None) -> str:
    value = side["latency_ms"]["p95"] if side else None
    return "-" if value is None else f"{value:,.1f}"
