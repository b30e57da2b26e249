# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Benchmark results: which runs there are to make, and how their figures are shown. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SCHEMA = 1
"""Version of the form of ``latest.json``."""

_COLUMNS = ("run", "direct tps", "pooled tps", "pooled/direct", "direct p95 ms", "pooled p95 ms", "failed")


def plan(runs: Iterable[Mapping[str, Any]], ports: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return every run over every path, a path's port in each.

    Args:
        runs: what to run: ``clients``, ``jobs``, ``transactions`` and whatever else a run is given.
        ports: port by path (``direct``, ``pooled``).
    """
    return [{**run, "path": path, "port": port} for run in runs for path, port in ports.items()]


def results(
    planned: Sequence[Mapping[str, Any]], measured: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the ``runs`` of ``latest.json``.

    Args:
        planned: what ``plan`` returned.
        measured: the module's results in the same order, with ``run`` in each.
    """
    return [{"path": item["path"], **result["run"]} for item, result in zip(planned, measured, strict=True)]


def table(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the runs as lines of text: direct and pooled side by side, their ratio, and the errors below.

    Args:
        runs: the ``runs`` of ``latest.json``.
    """
    notes: list[str] = []
    rows: list[tuple[str, ...]] = [_COLUMNS]
    reconnects = False
    for pair in _pairs(runs):
        sample = next(iter(pair.values()))
        label = f"{sample['script']}, {sample['clients']} clients"
        if sample["mode"] == "reconnect":
            label += ", reconnecting"
            reconnects = True
        sides = [pair.get(path) for path in ("direct", "pooled")]
        rows.append(
            (
                label,
                *(_tps(run, label, notes) for run in sides),
                _ratio(*sides),
                *(_p95(run) for run in sides),
                "/".join(_failed(run) for run in sides),
            )
        )
    if reconnects:
        notes.append(
            "reconnecting: a connection for each transaction; the time to connect is in tps, not in p95"
        )

    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return [*lines, *notes]


def _pairs(runs: Iterable[Mapping[str, Any]]) -> list[dict[str, Mapping[str, Any]]]:
    """Return the runs that differ by their path alone, by path, in the order of their first one."""
    pairs: dict[tuple[Any, ...], dict[str, Mapping[str, Any]]] = {}
    seen: Counter[tuple[Any, ...]] = Counter()
    for run in runs:
        what = (run["script"], run["clients"], run["jobs"], run["mode"])
        # The same run may be made more than once: its first time on one path belongs to that on the other.
        repeat = seen[what, run["path"]]
        seen[what, run["path"]] += 1
        pairs.setdefault((*what, repeat), {})[run["path"]] = run
    return list(pairs.values())


def _failed(run: Mapping[str, Any] | None) -> str:
    return "-" if run is None or run["tps"] is None else str(run["failed"] or 0)


def _tps(run: Mapping[str, Any] | None, label: str, notes: list[str]) -> str:
    if run is None:
        return "-"
    if run["error"]:
        notes.append(f"{label}, {run['path']}: {run['error']}")
    return "refused" if run["tps"] is None else f"{run['tps']:,.0f}"


def _p95(run: Mapping[str, Any] | None) -> str:
    p95 = run["latency_ms"]["p95"] if run else None
    return "-" if p95 is None else f"{p95:,.1f}"


def _ratio(direct: Mapping[str, Any] | None, pooled: Mapping[str, Any] | None) -> str:
    if not direct or not pooled or not direct["tps"] or not pooled["tps"]:
        return "-"
    return f"{pooled['tps'] / direct['tps']:.2f} x"
