# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The advisor: which pool sizes and how many PgBouncer processes to try, and what to make of it. Pure.

A point is what was measured with one setting. Of several repeats it has the median and the range; one setting
is called faster than another only where ``statistics.difference`` does.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import statistics
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import budget

NAMES = {
    "default_pool_size": "pgbouncer_default_pool_size",
    "processes": "pgbouncer_processes",
    "max_client_conn": "pgbouncer_max_client_conn",
    "max_connections": "pooled_max_connections",
}
"""What is advised, and the inventory's name for it."""

_SIZES = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
_WIDTH = 118


class Point(NamedTuple):
    """What was measured with one setting, in transactions a second and milliseconds, and what failed."""

    default_pool_size: int
    processes: int
    median: float
    low: float
    high: float
    runs: int
    p95: float | None
    server_connections: int | None
    error: str | None

    @property
    def words(self) -> str:
        """Name the setting."""
        return f"{self.default_pool_size} in {self.processes} process{'es' * (self.processes != 1)}"

    @property
    def measured(self) -> str:
        """Name the figures."""
        return f"{self.median:,.0f} a second ({self.low:,.0f} to {self.high:,.0f})"

    def against(self, other: Point) -> str:
        """Return the verdict of ``statistics.difference``."""
        mine, its = (
            {"median": one.median, "low": one.low, "high": one.high, "n": one.runs} for one in (self, other)
        )
        return str(statistics.difference(mine, its)["verdict"])


class Advice(NamedTuple):
    """What to set, why, and whether it is faster than the present setting."""

    faster: bool
    recommended: dict[str, int]
    reasons: dict[str, str]
    answer: list[str]
    arithmetic: str
    points: list[Point]


# --- What to measure --------------------------------------------------------------------------------------


def needed(site: Mapping[str, Any], pool_size: int) -> budget.Budget:
    """Return the connection budget with another ``default_pool_size``.

    Args:
        site: ``databases``, ``users``, ``limits``, ``server`` and ``lookup``; see ``budget.reckon``.
        pool_size: the pool size.
    """
    limits = {**site["limits"], "pool_size": pool_size}
    return budget.reckon(site["databases"], site["users"], limits, site["server"], site.get("lookup") or None)


def problems(
    inputs: Mapping[str, Any], site: Mapping[str, Any], present: Mapping[str, int], where: Mapping[str, str]
) -> list[str]:
    """Return what is wrong with what the sweep was asked for, a sentence each.

    Args:
        inputs: ``pool_sizes``, ``processes``, ``clients``, ``jobs``, ``seconds`` and ``repeats``.
        site: see ``needed``.
        present: the present ``default_pool_size`` and ``processes``.
        where: ``database`` and ``user`` that the load is on.
    """
    lists = [name for name in ("pool_sizes", "processes") if isinstance(inputs[name], list)]
    found = [
        f"advise_{name} is {inputs[name]!r}: give a list, such as -e '{{\"advise_{name}\": [1, 2]}}'"
        for name in ("pool_sizes", "processes")
        if name not in lists
    ]
    found += [
        f"advise_{name} has {value!r}: give whole numbers from 1"
        for name in lists
        for value in inputs[name]
        if not _whole(value)
    ]
    found += [
        f"advise_{name} is {inputs[name]!r}: give a whole number from {least}"
        for name, least in (("clients", 1), ("jobs", 1), ("seconds", 1), ("repeats", statistics.ENOUGH))
        if not _whole(inputs[name], least)
    ]
    for kind in ("database", "user"):
        for one in site[f"{kind}s"]:
            if one["name"] == where[kind] and one.get("pool_size") is not None:
                found.append(
                    f"{kind} {where[kind]} has its own pool_size ({one['pool_size']}), so that"
                    f" default_pool_size"
                    f" makes no difference to it: take that out of pgbouncer_{kind}s, or measure as another"
                )
    if not found:
        tried = _tried(inputs, present)
        found += [
            f"a default_pool_size of {size} does not fit: {reckoned.arithmetic}; leave it out of"
            f" advise_pool_sizes,"
            " or raise pooled_max_connections"
            for size in sorted({int(size) for size in inputs["pool_sizes"]})
            if not (reckoned := needed(site, size)).fits
        ]
        if len(tried) < 2:
            found.append(
                "only one setting is left to try: name others in advise_pool_sizes or advise_processes"
            )
    return found


def steps(
    inputs: Mapping[str, Any], site: Mapping[str, Any], present: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Return what to measure, in order: ``default_pool_size``, ``processes``, ``repeat``, ``switch``.

    Every repeat goes through all settings, each in the opposite direction of the one before, so that other
    work of the machine affects all settings. The present one is always among them. ``switch`` is true where
    the number of processes changes.
    """
    settings = [
        (processes, size)
        for processes, size in _tried(inputs, present)
        if needed(site, size).fits or size == int(present["default_pool_size"])
    ]
    found: list[dict[str, Any]] = []
    running = int(present["processes"])
    for repeat in range(int(inputs["repeats"])):
        for processes, size in settings if repeat % 2 == 0 else reversed(settings):
            found.append(
                {
                    "default_pool_size": size,
                    "processes": processes,
                    "repeat": repeat + 1,
                    "switch": processes != running,
                }
            )
            running = processes
    return found


def _tried(inputs: Mapping[str, Any], present: Mapping[str, int]) -> list[tuple[int, int]]:
    """Return processes and pool sizes to try, those first that take no change of the processes."""
    now = int(present["default_pool_size"]), int(present["processes"])
    clients = int(inputs["clients"])
    # A pool beyond the clients is the same as one that has a connection for each.
    sizes = {int(size) for size in inputs["pool_sizes"]} or {size for size in _SIZES if size < clients} | {
        clients
    }
    counts = {int(count) for count in inputs["processes"]} or {now[1]}
    # Each process has a part of the pool.
    pairs = {(count, size) for count in counts for size in sizes if size >= count} | {(now[1], now[0])}
    return sorted(pairs, key=lambda pair: (pair[0] != now[1], pair))


def _whole(value: Any, least: int = 1) -> bool:
    try:
        return int(str(value)) >= least
    except ValueError:
        return False


# --- What it shows ----------------------------------------------------------------------------------------


def run(
    step: Mapping[str, Any], measured: Mapping[str, Any], pools: Iterable[Mapping[str, Any]], database: str
) -> dict[str, Any]:
    """Return a run as ``points`` accepts it.

    Args:
        step: one of ``steps``.
        measured: what the module pgbench returned as ``run``.
        pools: rows of ``SHOW POOLS``, of all processes, just after the run.
        database: the one that the load was on.
    """
    opened = [
        int(value)
        for pool in pools
        if pool["database"] == database
        for name, value in pool.items()
        if name.startswith("sv_")
    ]
    return {
        "default_pool_size": step["default_pool_size"],
        "processes": step["processes"],
        "repeat": step["repeat"],
        "tps": measured["tps"],
        "failed": measured["failed"] or 0,
        "p95": measured["latency_ms"]["p95"],
        "server_connections": sum(opened),
        "error": measured["error"],
    }


def points(runs: Iterable[Mapping[str, Any]]) -> list[Point]:
    """Return what was measured by setting, in order of pool size.

    Args:
        runs: each with ``default_pool_size``, ``processes``, ``tps`` (None where it failed), ``failed``,
            ``p95``, ``server_connections`` and ``error``.
    """
    grouped: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
    for run in runs:
        grouped.setdefault((int(run["default_pool_size"]), int(run["processes"])), []).append(run)
    return [_point(*setting, grouped[setting]) for setting in sorted(grouped)]


def _point(size: int, processes: int, runs: Sequence[Mapping[str, Any]]) -> Point:
    good = [run for run in runs if run["tps"] is not None and not run["error"] and not run["failed"]]
    tps = statistics.spread([float(run["tps"]) for run in good] or [0.0])
    opened = [int(run["server_connections"]) for run in good if run["server_connections"] is not None]
    errors = [str(run["error"] or f"{run['failed']} transactions failed") for run in runs if run not in good]
    return Point(
        size,
        processes,
        tps["median"],
        tps["low"],
        tps["high"],
        len(good),
        statistics.middle(run["p95"] for run in good),
        max(opened, default=None),
        errors[0] if errors else None,
    )


def within(measured: Iterable[Point]) -> list[Point]:
    """Return the settings whose throughput is within the spread of the best; none with which a run failed."""
    sound = [point for point in measured if not point.error and point.runs]
    if not sound:
        return []
    best = max(sound, key=lambda point: point.median)
    return [point for point in sound if point.high >= best.low]


def knee(measured: Iterable[Point]) -> Point | None:
    """Return the smallest pool within the spread of the best, of equal ones that of fewer processes.

    None where nothing ran.
    """
    return min(within(measured), default=None)


def advise(
    measured: Sequence[Point], present: Mapping[str, int], site: Mapping[str, Any], clients: int
) -> Advice:
    """Return what to set, and why.

    Args:
        measured: what ``points`` returned.
        present: the present settings, by the keys of ``NAMES``.
        site: see ``needed``.
        clients: number of measured clients.

    Raises:
        ValueError: the measurements allow no advice; the text has the reason.
    """
    now = _present(measured, present)
    sound = [point for point in measured if not point.error]
    near = within(measured)
    best = max(near, key=lambda point: point.median)
    better = [point for point in near if point.against(now) == statistics.FASTER]
    choice = min(better, default=now)
    recommended = {name: int(present[name]) for name in NAMES}
    recommended |= {"default_pool_size": choice.default_pool_size, "processes": choice.processes}
    reckoned = needed(site, choice.default_pool_size)
    answer, why = _verdict(choice, now, best, knee(measured) or now)
    reasons = {"default_pool_size": why, "processes": _processes_reason(choice, now, measured)}
    recommended["max_client_conn"], reasons["max_client_conn"] = _clients(
        recommended["max_client_conn"], clients
    )
    recommended["max_connections"], reasons["max_connections"] = _connections(
        recommended["max_connections"], reckoned, site["server"]
    )
    return Advice(
        bool(better),
        recommended,
        reasons,
        answer + _at_the_edge(near, sound, site, clients),
        reckoned.arithmetic,
        list(measured),
    )


def _present(measured: Sequence[Point], present: Mapping[str, int]) -> Point:
    """Return the point of the present setting. Raises ValueError if nothing can be compared with it."""
    setting = int(present["default_pool_size"]), int(present["processes"])
    now = next((point for point in measured if point[:2] == setting), None)
    if now is None or now.error or now.runs < statistics.ENOUGH:
        cause = (
            now.error
            if now and now.error
            else f"{now.runs if now else 0} of {statistics.ENOUGH} runs of it were made"
        )
        raise ValueError(
            f"Failed to compare with the present default_pool_size of {setting[0]}: {cause}. Nothing"
            " is recommended"
        )
    few = [point for point in measured if not point.error and point.runs < statistics.ENOUGH]
    if few:
        raise ValueError(
            f"Failed to compare: a pool of {few[0].words} has {few[0].runs} of {statistics.ENOUGH} runs."
            " Nothing is recommended"
        )
    return now


def _verdict(choice: Point, now: Point, best: Point, smallest: Point) -> tuple[list[str], str]:
    """Return the answer, and the reason of the pool size."""
    if choice is not now:
        return (
            [
                f"A default_pool_size of {choice.words} beats the present {now.words}: {choice.measured} to"
                f" {now.measured}, {choice.median / now.median:.2f} x."
            ],
            f"The smallest pool within the spread of the best ({best.words}: {best.measured}) and faster"
            f" than the present {now.words} ({now.measured}): it did {choice.measured}.",
        )
    answer = [
        f"No tried setting beats the present default_pool_size of {now.words}, {now.measured}: the"
        f" best,"
        f" {best.words}, did {best.measured}, within the spread of the repeats."
        if best is not now
        else f"No tried setting beats the present default_pool_size of {now.words}, {now.measured}."
    ]
    if smallest.default_pool_size < now.default_pool_size:
        answer.append(
            f"A pool of {smallest.words} did as much ({smallest.measured}) with fewer server connections:"
            " use it if other work needs PostgreSQL's."
        )
    return answer, "Unchanged: no tried setting is faster by more than the spread."


def _processes_reason(choice: Point, now: Point, measured: Sequence[Point]) -> str:
    tried = sorted({point.processes for point in measured})
    if len(tried) == 1:
        return "Unchanged: no other number was tried."
    words = " and ".join(map(str, tried)) if len(tried) == 2 else ", ".join(map(str, tried))
    if choice.processes == now.processes:
        return f"Unchanged: of {words}, no other was faster by more than the spread."
    return f"Of {words}, the number of the pool above."


def _clients(present: int, clients: int) -> tuple[int, str]:
    if present >= 2 * clients:
        return present, (
            f"Unchanged: at least twice the {clients} measured clients. A client that waits for a server"
            " connection costs some kilobytes of PgBouncer's memory; one beyond the limit is refused."
        )
    return -(-2 * clients // 100) * 100, (
        f"Twice the {clients} measured clients: new ones wait while others still disconnect, and are not"
        " refused. Each costs some kilobytes of PgBouncer's memory."
    )


def _connections(present: int, reckoned: budget.Budget, server: Mapping[str, Any]) -> tuple[int, str]:
    if reckoned.needed is None or reckoned.fits:
        return present, f"Unchanged, and enough: {reckoned.arithmetic}."
    most = reckoned.needed + int(server["reserved"]) + int(server["others"])
    return -(
        -most // 10
    ) * 10, f"{reckoned.arithmetic}. It needs a restart of PostgreSQL (postgres_restart_allowed)."


def _at_the_edge(
    near: Sequence[Point], sound: Sequence[Point], site: Mapping[str, Any], clients: int
) -> list[str]:
    """Return a hint where only the largest pool is good enough, and a larger one might be better still."""
    largest = max(point.default_pool_size for point in sound)
    if min(near).default_pool_size < largest or largest >= clients or len(sound) < 2:
        return []
    reckoned = needed(site, 2 * largest)
    text = "The largest tried pool beats all others, and a larger one may be better still"
    if reckoned.fits:
        return [f"{text}: name some in advise_pool_sizes."]
    return [
        f"{text}, but {2 * largest} would not fit: {reckoned.arithmetic}. Raise pooled_max_connections,"
        f" and measure again."
    ]


# --- What to show ----------------------------------------------------------------------------------------


def so_far(runs: Sequence[Mapping[str, Any]], present: Mapping[str, int]) -> list[str]:
    """Return the measurements of a sweep without advice, as text; the runs as ``points`` accepts them."""
    ended = f"the {len(runs)} runs" if len(runs) > 1 else "the one run"
    answer = f"This is of {ended} that ended. Nothing is recommended."
    return [*table(points(runs), present, None), "", answer]


def table(
    measured: Sequence[Point], present: Mapping[str, int], chosen: Mapping[str, int] | None
) -> list[str]:
    """Return the points as lines of text; ``chosen`` is what is recommended, if anything is."""
    rows: list[tuple[str, ...]] = [("pool", "processes", "tps", "lowest", "highest", "p95 ms", "servers", "")]
    for point in measured:
        setting = point.default_pool_size, point.processes
        marks = [
            word
            for word, one in (("present", present), ("recommended", chosen))
            if one and setting == (one["default_pool_size"], one["processes"])
        ]
        rows.append(
            (
                str(point.default_pool_size),
                str(point.processes),
                *(f"{value:,.0f}" if point.runs else "-" for value in (point.median, point.low, point.high)),
                "-" if point.p95 is None else f"{point.p95:.1f}",
                "-" if point.server_connections is None else str(point.server_connections),
                point.error or ", ".join(marks),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [cell.rjust(width) for cell, width in zip(row[:-1], widths, strict=False)] + [row[-1]]
        ).rstrip()
        for row in rows
    ]


def inventory(advice: Advice, how: Mapping[str, Any]) -> str:
    """Return the advice as variables of an inventory, with the reasons as comments.

    Args:
        advice: what ``advise`` returned.
        how: ``time``, ``target``, ``script``, ``clients``, ``seconds`` and ``repeats`` of the measurement.
    """
    head = (
        f"What the advisor recommends for {how['target']}, measured {how['time']}: {how['script']},"
        f" {how['clients']} clients,"
        f" {how['repeats']} runs of {how['seconds']} s with each setting. One pool was busy; with several"
        f" at once, look at"
        " the sum of their connections."
    )
    lines = [*_comment(head), *(line for text in advice.answer for line in _comment(text))]
    for key, name in NAMES.items():
        lines += ["", *_comment(advice.reasons[key]), f"{name}: {json.dumps(advice.recommended[key])}"]
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def applied(before: Point, after: Point, wanted: Mapping[str, int], found: Mapping[str, int]) -> str:
    """Return what the measurement after the roll-out says, as a sentence.

    Args:
        before: the point of the earlier setting.
        after: the point of the present setting.
        wanted: what was recommended.
        found: what the inventory has now.
    """
    for key, name in NAMES.items():
        if int(found[key]) != int(wanted[key]):
            return (
                f"{name} is {found[key]} and not {wanted[key]}: another file of the inventory, or -e,"
                " overrides group_vars/all/tuned.yml; remove it there."
            )
    if after.error:
        return f"After the roll-out a run failed: {after.error}."
    words = f"after the roll-out {after.measured}, before {before.measured}"
    verdict = after.against(before)
    if verdict == statistics.FASTER:
        return f"It is faster: {words}, {after.median / before.median:.2f} x."
    if verdict == statistics.SLOWER:
        return f"It is slower: {words}. To go back, remove group_vars/all/tuned.yml and roll that out."
    return f"No difference: {words}, within the spread of the repeats."
