# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The document of a benchmark, from what each run left: ``latest.json``, schema 1. Pure."""

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
"""Version of the form of ``latest.json``."""

# From here on pgbench has no processor left to be quicker with: of its host's, or of those that its threads
# can use.
_SATURATED_HOST = 0.85
_SATURATED_THREADS = 0.95
# Less than any client takes: PgBouncer had the memory already, for it gives none back.
_LEAST_KB_PER_CLIENT = 1.0
# With fewer, what PgBouncer takes for itself is in the way.
_ENOUGH_CLIENTS = 100
# What PostgreSQL and PgBouncer say to one client too many.
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
        artefacts: what each run left on each load host: ``number`` of its item, ``host``, ``clients``,
            ``jobs``, and either ``error`` or the results of the module pgbench.
        rows: samples.
        complete: whether the whole plan was carried out.
    """
    by_number: dict[int, list[Mapping[str, Any]]] = {}
    for artefact in artefacts:
        by_number.setdefault(artefact["number"], []).append(artefact)
    hosts = len(begun["plan"]["from"])
    # Of a run that was broken off, some load hosts may have finished their part.
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


def run(
    item: Mapping[str, Any], artefacts: Sequence[Mapping[str, Any]], rows: Sequence[samples.Row]
) -> dict[str, Any]:
    """Return a row of ``runs``, from what each load host did of it.

    What they did is added up; latencies are those of all transactions together, which are known to three
    digits.
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
    """Return which share of the load hosts' processors pgbench took, and whether it was at its limit."""
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
    """Return for each case what its repeats say of each path, and how the paths compare."""
    grouped: dict[tuple[Any, ...], dict[str, list[Mapping[str, Any]]]] = {}
    for one in runs:
        case = tuple(one[name] for name in CASE)
        grouped.setdefault(case, {}).setdefault(one["path"], []).append(one)
    found = []
    for case, by_path in grouped.items():
        # As they are named everywhere, not as the first repeat happened to have them.
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
    # What a run did before it broke off says nothing of its speed.
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
    """Return what a connection costs: ``connect_ms`` by path, ``memory_kb_per_client``, ``most_clients``."""
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
    """Return the document as lines of text: the answer, what to mind, a row for each case, and errors."""
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
            "reconnecting: a connection for each transaction; the time to connect is in tps, not in p95"
        )
    repeats = max((side["tps"]["n"] for row in made["summary"] for side in row["paths"].values()), default=0)
    if repeats > 1:
        notes.append("tps: medians of the repeats, and how far the lowest and the highest are from it")
    return [*made["answer"], *caveats(made), "", *aligned(rows), *notes]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines of equal columns, the first of which is a heading."""
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
    """Return a median, and by how many percent the repeats differ from it."""
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
