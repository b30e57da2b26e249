# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A result document as the report reads it: whatever is missing, or no figure, is None. Pure."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import plans, statistics
from ansible_collections.pooled.postgres.plugins.module_utils._report import units

PERCENTILES = ("p50", "p95", "p99")
# What a path is called. Its place here is its look in every chart.
PATHS = {
    "direct": "direct",
    "pooled": "pooled",
    "socket": "pooled, Unix socket",
    "tls": "pooled, TLS",
}
FEWEST_REPEATS = statistics.ENOUGH
"""With fewer, the spread of a figure is not known, and nothing is claimed."""


@dataclass(frozen=True)
class Spread:
    """The median of some repeats, and their lowest and highest."""

    median: float | None = None
    low: float | None = None
    high: float | None = None
    count: int = 0


@dataclass(frozen=True)
class Measured:
    """What a case gave over one path."""

    tps: Spread = Spread()
    latency_ms: Mapping[str, float | None] = field(default_factory=dict)
    failed: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Comparison:
    """What one path made of a case, against another."""

    path: str
    against: str
    ratio: float | None
    low: float | None
    high: float | None
    verdict: str


@dataclass(frozen=True)
class Case:
    """A load, and what it gave over each path."""

    script: str
    mode: str
    protocol: str
    clients: int
    paths: Mapping[str, Measured] = field(default_factory=dict)
    comparisons: Sequence[Comparison] = ()

    @property
    def group(self) -> str:
        """What the case is called without its clients."""
        parts = [self.script]
        parts += ["a connection for each transaction"] if self.mode == "reconnect" else []
        parts += [f"{self.protocol} protocol"] if self.protocol not in ("simple", "-") else []
        return ", ".join(parts)

    @property
    def name(self) -> str:
        """What the case is called."""
        return f"{self.group}, {counted(self.clients, 'client')}"


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping, an empty one for whatever is none."""
    return value if isinstance(value, Mapping) else {}


def listed(value: Any) -> Sequence[Any]:
    """Return a list, an empty one for whatever is none."""
    return value if isinstance(value, list | tuple) else ()


def number(value: Any) -> float | None:
    """Return a figure, or None for whatever is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def counted(count: float, what: str) -> str:
    """Return a number of things."""
    return f"{count:,.0f} {what}{'' if count == 1 else 's'}"


def plain(value: Any) -> str:
    """Return a figure as a table has it: three digits that count, and all of those before the point."""
    found = number(value)
    return "-" if found is None else units.text(found, "short", units.Scale(1, ""))


def text(value: Any) -> str:
    """Return a value of any kind in one line."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(text(one) for one in value) or "-"
    if isinstance(value, Mapping):
        return json.dumps(value, sort_keys=True, default=str)
    if isinstance(value, float):
        return f"{value:g}"
    return " ".join(str(value).split()) or "-"


def moment(value: Any) -> str:
    """Return a time of ISO 8601 as people read it, or what else it is."""
    try:
        return f"{datetime.fromisoformat(str(value)).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return text(value)


def ratio(value: Any) -> str:
    """Return how many times one is the other."""
    found = number(value)
    return "-" if found is None else f"{found:.2f} x" if found < 10 else f"{found:.1f} x"


def spread(value: Any) -> Spread:
    """Return a median and its range out of ``{"median", "low", "high", "n"}``."""
    found = mapping(value)
    return Spread(
        median=number(found.get("median")),
        low=number(found.get("low")),
        high=number(found.get("high")),
        count=int(number(found.get("n")) or 0),
    )


def range_of(found: Spread) -> str:
    """Return the range of repeats."""
    if found.low is None or found.high is None:
        return "-"
    return f"{plain(found.low)} to {plain(found.high)}"


def ordered(paths: Iterable[str]) -> list[str]:
    """Return paths in the order in which they are shown, the known ones first."""
    known = list(PATHS)
    return sorted(set(paths), key=lambda one: (known.index(one) if one in PATHS else len(known), one))


def path_name(path: str) -> str:
    """Return what a path is called."""
    return PATHS.get(path, path)


def looks(document: Mapping[str, Any]) -> dict[str, int]:
    """Return the look of each path: the same in all charts, and in all documents for those that are known."""
    found = {path for case in cases(document) for path in case.paths}
    found |= {text(run.get("path")) for run in runs(document)}
    known = list(PATHS)
    others = [path for path in ordered(found) if path not in PATHS]
    return {path: index for index, path in enumerate([*known, *others])}


def runs(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the runs."""
    return [mapping(run) for run in listed(document.get("runs"))]


def case_of(found: Mapping[str, Any], paths: Any = None, comparisons: Any = None) -> Case:
    """Return the case of a summary's row, of a comparison's or of a run."""
    return Case(
        script=text(found.get("script")),
        mode=text(found.get("mode")),
        protocol=text(found.get("protocol")),
        clients=int(number(found.get("clients")) or 0),
        paths={path: _measured(mapping(one)) for path, one in mapping(paths).items()},
        comparisons=[_comparison(mapping(one)) for one in listed(comparisons)],
    )


def _measured(found: Mapping[str, Any]) -> Measured:
    latency = mapping(found.get("latency_ms"))
    return Measured(
        tps=spread(found.get("tps")),
        latency_ms={name: number(latency.get(name)) for name in PERCENTILES},
        failed=number(found.get("failed")),
        error=None if found.get("error") in (None, "") else text(found.get("error")),
    )


def _comparison(found: Mapping[str, Any]) -> Comparison:
    return Comparison(
        path=text(found.get("path")),
        against=text(found.get("against")),
        ratio=number(found.get("ratio")),
        low=number(found.get("low")),
        high=number(found.get("high")),
        verdict=text(found.get("verdict")),
    )


def cases(document: Mapping[str, Any]) -> list[Case]:
    """Return the cases of the summary."""
    return [
        case_of(row, row.get("paths"), row.get("comparisons"))
        for row in map(mapping, listed(document.get("summary")))
    ]


def groups(found: Iterable[Case]) -> dict[str, list[Case]]:
    """Return cases that differ by their clients alone, by what they have in common; fewest clients first."""
    by_group: dict[str, list[Case]] = {}
    for case in found:
        by_group.setdefault(case.group, []).append(case)
    return {name: sorted(one, key=lambda case: case.clients) for name, one in by_group.items()}


def limit(document: Mapping[str, Any]) -> float | None:
    """Return max_connections of PostgreSQL."""
    return number(mapping(document.get("system")).get("max_connections"))


def beyond(document: Mapping[str, Any]) -> list[Case]:
    """Return the cases with more clients than PostgreSQL takes."""
    most = limit(document)
    return [] if most is None else [case for case in cases(document) if case.clients > most]


def samples(document: Mapping[str, Any]) -> Iterator[list[float | None]]:
    """Return the rows of what happened inside: a time each, and six figures."""
    for row in listed(mapping(document.get("samples")).get("rows")):
        figures = [number(value) for value in listed(row)][:7]
        if figures and figures[0] is not None:
            yield [*figures, *([None] * (7 - len(figures)))]


def command(document: Mapping[str, Any]) -> list[str]:
    """Return the commands that repeat the benchmark; a plan of one's own is in ``plan.json``."""
    system, plan = mapping(document.get("system")), mapping(document.get("plan"))
    name = text(plan.get("name"))
    given = "plan.json" if name == plans.CUSTOM else name
    bench = ["python", "runner.py", "bench"]
    bench += [] if system.get("target") is None else ["--target", shlex.quote(text(system["target"]))]
    bench += [] if given == "-" else ["--plan", shlex.quote(given)]
    paths = [text(path) for path in listed(plan.get("paths"))]
    if name != plans.CUSTOM and paths not in ([], ["direct", "pooled"]):
        bench += ["-e", shlex.quote(json.dumps({"benchmark_paths": paths}))]
    lines = [] if not system.get("commit") else [f"git checkout {shlex.quote(text(system['commit']))}"]
    return [*lines, " ".join(bench)]


def own_plan(document: Mapping[str, Any]) -> str | None:
    """Return a plan of one's own as a file to give to ``--plan``; None for a built-in one."""
    plan = mapping(document.get("plan"))
    if plan.get("name") != plans.CUSTOM:
        return None
    given = {key: value for key, value in plan.items() if key != "name" and value is not None}
    return json.dumps(given, indent=2, default=str)


# ------------------------------------------------------------------------------------- what both forms say


def sentences(value: Any) -> list[str]:
    """Return the sentences of an answer."""
    return [text(one) for one in listed(value) if one]


def title(document: Mapping[str, Any]) -> str:
    """Return what the report is called."""
    target = text(mapping(document.get("system")).get("target"))
    return f"Benchmark{'' if target == '-' else f' of {target}'}: PostgreSQL with and without PgBouncer"


def about(document: Mapping[str, Any]) -> str:
    """Return when and how it was measured, in a line."""
    system, plan = mapping(document.get("system")), mapping(document.get("plan"))
    parts = [moment(system.get("time"))]
    parts += [f"plan {text(plan['name'])}"] if plan.get("name") else []
    parts += [counted(len(runs(document)), "run")]
    places = text(system.get("load_from"))
    parts += [] if set(places) <= set("-, ") else [f"load from {places}"]
    parts += [f"PostgreSQL {text(system['postgresql'])}"] if system.get("postgresql") else []
    parts += [f"PgBouncer {text(system['pgbouncer'])}"] if system.get("pgbouncer") else []
    return ", ".join(part for part in parts if part != "-")


def runs_by_group(document: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the runs by what their cases have in common, in the order in which they were made."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs(document):
        found.setdefault(case_of(run).group, []).append(run)
    return found


def compared_groups(comparison: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the rows of a comparison by what their cases have in common."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in map(mapping, listed(comparison.get("rows"))):
        found.setdefault(case_of(row).group, []).append(row)
    return found


def side(comparison: Mapping[str, Any], name: str) -> str:
    """Return which benchmark is A, or B."""
    found = mapping(comparison.get(name))
    parts = [text(found.get("target")), moment(found.get("time"))]
    parts += [
        f"{called} {text(found[key])}"
        for key, called in (("plan", "plan"), ("commit", "commit"))
        if found.get(key)
    ]
    return f"{name.upper()}: {', '.join(part for part in parts if part != '-') or 'unknown'}"


def of_limit(document: Mapping[str, Any]) -> str:
    """Return what is said about max_connections before the figures."""
    most = limit(document)
    if most is None:
        return "max_connections is not known."
    if not beyond(document):
        return f"No run had more clients than max_connections ({most:,.0f})."
    return (
        f"PostgreSQL takes {most:,.0f} connections (max_connections), and refuses the rest. "
        "PgBouncer lets clients wait until a server connection is free."
    )


def of_repeat(document: Mapping[str, Any]) -> str:
    """Return what is said before the commands."""
    dirty = mapping(document.get("system")).get("dirty")
    note = " The checkout had changes that the commit does not have." if dirty else ""
    return f"In a checkout; what pgbench printed is in raw/ beside the result.{note}"
