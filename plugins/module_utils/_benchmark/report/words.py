# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values of a result document in words. Pure."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import plans
from ansible_collections.pooled.postgres.plugins.module_utils._report import units

PERCENTILES = ("p50", "p95", "p99")
_USUAL = ["direct", "pooled"]
# What a path is called. Its place here is its look in every chart.
PATHS = {"direct": "direct", "pooled": "pooled", "socket": "pooled, Unix socket", "tls": "pooled, TLS"}


def counted(count: float, what: str) -> str:
    """Return a number of things."""
    return f"{count:,.0f} {what}{'' if count == 1 else 's'}"


def plain(value: Any) -> str:
    """Return a figure for a table: three significant digits, and all of those before the point."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "-"
    return units.text(value, "short", units.Scale(1, ""))


def text(value: Any) -> str:
    """Return a value of any kind in one line."""
    if value is None or value in ("", [], ()):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(text(one) for one in value)
    if isinstance(value, Mapping):
        return json.dumps(value, sort_keys=True, default=str)
    if isinstance(value, float):
        return f"{value:g}"
    return " ".join(str(value).split()) or "-"


def moment(value: Any) -> str:
    """Return an ISO 8601 time as people read it, anything else as it is."""
    try:
        return f"{datetime.fromisoformat(str(value)).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return text(value)


def ratio(value: float | None) -> str:
    """Return how many times one is the other."""
    return "-" if value is None else f"{value:.2f} x" if value < 10 else f"{value:.0f} x"


def percent(value: float | None) -> str:
    """Return a share."""
    return "-" if value is None or not math.isfinite(value) else f"{100 * value:.0f} %"


def spread(tps: Mapping[str, Any]) -> str:
    """Return the range of the repeats."""
    return "-" if tps["low"] is None else f"{plain(tps['low'])} to {plain(tps['high'])}"


def ordered(paths: Iterable[str]) -> list[str]:
    """Return paths in the order in which they are shown, the known ones first."""
    known = list(PATHS)
    return sorted(set(paths), key=lambda one: (known.index(one) if one in PATHS else len(known), one))


def path_name(path: str) -> str:
    """Return what a path is called."""
    return PATHS.get(path, path)


def looks(document: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of each path's look, the same in all charts."""
    found = {run["path"] for run in document["runs"]} | {
        path for row in document["summary"] for path in row["paths"]
    }
    return {
        path: number
        for number, path in enumerate([*PATHS, *(one for one in ordered(found) if one not in PATHS)])
    }


def group(row: Mapping[str, Any]) -> str:
    """Return what a row of a summary, a comparison or a run is called without its clients."""
    return ", ".join(part for part in plans.label({**row, "clients": 0}).split(", ") if part != "0 clients")


def groups(rows: Iterable[Mapping[str, Any]], by_clients: bool = True) -> dict[str, list[Mapping[str, Any]]]:
    """Return rows that differ only by their clients and paths, by their common name."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(group(row), []).append(row)
    if by_clients:
        found = {name: sorted(one, key=lambda row: row["clients"]) for name, one in found.items()}
    return found


def beyond(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the cases with more clients than PostgreSQL's max_connections."""
    most = document["system"].get("max_connections")
    return [row for row in document["summary"] if most is not None and row["clients"] > most]


def title(document: Mapping[str, Any]) -> str:
    """Return the report's title."""
    return f"Benchmark of {document['system'].get('target')}: PostgreSQL with and without PgBouncer"


def about(document: Mapping[str, Any]) -> str:
    """Return when and how the benchmark ran, in a line."""
    system = document["system"]
    parts = [
        moment(system.get("time")),
        f"plan {document['plan']['name']}",
        counted(len(document["runs"]), "run"),
    ]
    parts += [f"load from {text(system['load_from'])}"] if system.get("load_from") else []
    parts += [f"{called} {system[key]}" for key, called in _PROGRAMS.items() if system.get(key)]
    return ", ".join(part for part in parts if part != "-")


_PROGRAMS = {"postgresql": "PostgreSQL", "pgbouncer": "PgBouncer"}


def side(comparison: Mapping[str, Any], name: str) -> str:
    """Return which benchmark is A, or B."""
    found = comparison[name]
    parts = [text(found.get("target")), moment(found.get("time"))]
    parts += [f"{key} {text(found[key])}" for key in ("plan", "commit") if found.get(key)]
    return f"{name.upper()}: {', '.join(part for part in parts if part != '-')}"


def command(document: Mapping[str, Any]) -> list[str]:
    """Return the commands that repeat the benchmark; a custom plan is in ``plan.json``."""
    system, plan = document["system"], document["plan"]
    own = plan["name"] == plans.CUSTOM
    bench = ["python", "runner.py", "bench", "--target", shlex.quote(text(system["target"]))]
    bench += ["--plan", "plan.json" if own else shlex.quote(text(plan["name"]))]
    if not own and plan.get("paths", _USUAL) != _USUAL:
        bench += ["-e", shlex.quote(json.dumps({"benchmark_paths": [text(path) for path in plan["paths"]]}))]
    lines = [f"git checkout {shlex.quote(text(system['commit']))}"] if system.get("commit") else []
    return [*lines, " ".join(bench)]


def own_plan(document: Mapping[str, Any]) -> str | None:
    """Return a custom plan as a file for ``--plan``; None for a built-in one."""
    plan = document["plan"]
    if plan["name"] != plans.CUSTOM:
        return None
    return json.dumps(
        {key: value for key, value in plan.items() if key != "name" and value is not None}, indent=2
    )
