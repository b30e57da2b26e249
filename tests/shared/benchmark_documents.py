"""Result documents of benchmarks that never ran, with figures as they are seen on two cores."""

from __future__ import annotations

import copy
import math
from typing import Any

START = 1_795_500_000.0
LIMIT = 100
# By script, mode and clients: transactions a second over direct, pooled and the Unix socket.
_MEDIANS: dict[tuple[str, str, int], tuple[float | None, float | None, float | None]] = {
    ("select-only", "persistent", 1): (4210, 2790, 3320),
    ("select-only", "persistent", 5): (17400, 12900, 15100),
    ("select-only", "persistent", 20): (31800, 22400, 27900),
    ("select-only", "persistent", 50): (32900, 22800, 28300),
    ("select-only", "persistent", 70): (20400, 21900, 27100),
    ("select-only", "persistent", 150): (None, 21700, 26200),
    ("select-only", "persistent", 1000): (None, 20100, 24800),
    ("select-only", "persistent", 10000): (None, 18200, None),
    ("tpcb-like", "persistent", 10): (2980, 2290, 2610),
    ("tpcb-like", "persistent", 50): (3470, 3440, 2950),
    ("tpcb-like", "persistent", 150): (None, 2410, 2880),
    ("select-only", "reconnect", 20): (242, 3700, 4080),
}
_PATHS = ("direct", "pooled", "socket")
_ERROR = 'FATAL: sorry, too many clients already (connection to server at "10.0.2.10", port 5432)'


def document(repeats: int = 3) -> dict[str, Any]:
    """Return a finished benchmark of three paths."""
    runs: list[dict[str, Any]] = []
    now = START + 10
    for load, medians in _MEDIANS.items():
        for repeat in range(1, repeats + 1):
            sides = list(zip(_PATHS, medians, strict=True))
            for path, median in sides if repeat % 2 else reversed(sides):
                if path == "socket" and median is None:
                    continue
                runs.append(_run(load, path, median, repeat=repeat, now=now, number=len(runs) + 1))
                now += 6
    return {
        "schema": 1,
        "plan": {
            "name": "standard",
            "seconds": 5,
            "repeats": repeats,
            "scale": 50,
            "warmup_seconds": 2,
            "paths": list(_PATHS),
            "from": ["monitoring-server"],
            "cases": [],
        },
        "complete": True,
        "system": {
            "time": "2026-11-24T08:40:00Z",
            "commit": "3ba3482",
            "dirty": False,
            "target": "lab",
            "load_from": ["monitoring-server"],
            "load_across_network": True,
            "same_machine": True,
            "scale": 50,
            "distribution": "Debian 13.1",
            "kernel": "6.12.48+deb13-amd64",
            "processor": "AMD EPYC 7B13",
            "processors": 2,
            "memory_mb": 7961,
            "load_processors": 2,
            "auth_type": "scram-sha-256",
            "postgresql": "17.11",
            "pgbouncer": "1.24.1",
            "pgbench": "17.11",
            "max_connections": LIMIT,
            "settings": {
                "postgresql": {
                    "max_connections": "100",
                    "shared_buffers": "1990MB",
                    "synchronous_commit": "on",
                },
                "pgbouncer": {"default_pool_size": 20, "max_client_conn": 10000, "pool_mode": "transaction"},
            },
            "pgbouncer_processes": 1,
            "background": {"database_cpu": 0.02, "load_cpu": 0.03},
        },
        "runs": runs,
        "summary": _summary(runs),
        "connections": {
            "connect_ms": {"direct": 14.2, "pooled": 0.31, "socket": 0.29},
            "memory_kb_per_client": 6.12,
            "most_clients": 10000,
        },
        "samples": {"interval": 1, "rows": _rows(runs)},
        "answer": [],
    }


def _wave(number: int) -> float:
    """Return something between -1 and 1 that looks like chance and is not."""
    return math.sin(number * 12.9898)


def _run(
    load: tuple[str, str, int], path: str, median: float | None, *, repeat: int, now: float, number: int
) -> dict[str, Any]:
    script, mode, clients = load
    tps = None if median is None else round(median * (1 + 0.02 * (repeat - 2)), 3)
    average = None if tps is None else round(clients / tps * 1000, 3)

    def part(factor: float) -> float | None:
        return None if average is None else round(average * factor, 3)

    return {
        "path": path,
        "mode": mode,
        "script": script,
        "protocol": "simple",
        "clients": clients,
        "jobs": min(clients, 4),
        "transactions": 0 if tps is None else round(tps * 5),
        "seconds": 5.0 if tps else None,
        "repeat": repeat,
        "start": now,
        "end": now + 5,
        "tps": tps,
        "failed": 0,
        "retried": 0,
        "latency_ms": {
            "avg": average,
            "min": part(0.2),
            "p50": part(0.85),
            "p95": part(2.1),
            "p99": part(4.7),
            "max": part(11),
        },
        "connect_ms": None if tps is None else {"direct": 14.2, "pooled": 0.31}.get(path, 0.29),
        "error": _ERROR if tps is None else None,
        "generator": None
        if tps is None
        else {"cpu": round(0.6 + 0.05 * _wave(number), 3), "saturated": False},
        "inside": None if tps is None else _inside(path, clients, number),
        "raw": f"raw/{number:04}.txt",
    }


def _inside(path: str, clients: int, number: int) -> dict[str, Any]:
    pooled = path != "direct"
    waiting = max(0, clients - 20) if pooled else 0
    return {
        "clients_waiting": {"mean": round(waiting * 0.83, 1), "max": waiting},
        "servers_active": {"mean": 17.4 if pooled else 0.0, "max": 20 if pooled else 0},
        "wait_ms": round(waiting * 0.046, 3),
        "pgbouncer_cpu": round(0.71 + 0.04 * _wave(number), 3) if pooled else 0.0,
        "postgresql_cpu": round(0.62 + 0.05 * _wave(number + 1), 3),
        "pgbouncer_memory_kb": 9400 + 6 * clients if pooled else 9400,
    }


def _summary(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows: dict[tuple[str, str, int], dict[str, list[dict[str, Any]]]] = {}
    for run in runs:
        paths = rows.setdefault((run["script"], run["mode"], run["clients"]), {})
        paths.setdefault(run["path"], []).append(run)
    return [
        {
            "script": script,
            "mode": mode,
            "protocol": "simple",
            "clients": clients,
            "paths": {path: _side(found) for path, found in paths.items()},
            "comparisons": [
                _compare(path, _side(found)["tps"], _side(paths["direct"])["tps"])
                for path, found in paths.items()
                if path != "direct"
            ],
        }
        for (script, mode, clients), paths in rows.items()
    ]


def _side(found: list[dict[str, Any]]) -> dict[str, Any]:
    figures = sorted(run["tps"] for run in found if run["tps"] is not None)
    middle = sorted(found, key=lambda run: run["tps"] or 0)[len(found) // 2]
    tps = {
        "median": figures[len(figures) // 2] if figures else None,
        "low": figures[0] if figures else None,
        "high": figures[-1] if figures else None,
        "n": len(figures),
    }
    latency = {name: middle["latency_ms"][name] for name in ("p50", "p95", "p99")}
    return {"tps": tps, "latency_ms": latency, "failed": 0, "error": middle["error"]}


def _compare(path: str, ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"path": path, "against": "direct", "ratio": None, "low": None, "high": None}
    if not ours["n"] or not theirs["n"]:
        return found | {"verdict": "not measured"}
    found["ratio"] = round(ours["median"] / theirs["median"], 4)
    found["low"], found["high"] = (
        round(ours["low"] / theirs["high"], 4),
        round(ours["high"] / theirs["low"], 4),
    )
    if min(ours["n"], theirs["n"]) < 3:
        return found | {"verdict": "too few runs"}
    verdict = (
        "faster"
        if ours["low"] > theirs["high"]
        else "slower"
        if ours["high"] < theirs["low"]
        else "no difference"
    )
    return found | {"verdict": verdict}


def _rows(runs: list[dict[str, Any]]) -> list[list[float]]:
    rows = []
    for second in range(int(runs[-1]["end"] - START) + 5):
        now = START + second
        run = next((one for one in runs if one["start"] <= now < one["end"] and one["tps"]), None)
        if run is None:
            rows.append([now, 0, 0, 0, 12, 0.01, 0.02])
            continue
        wave = _wave(second)
        pooled = run["path"] != "direct"
        active = min(20, run["clients"]) if pooled else 0
        waiting = max(0, run["clients"] - 20) * (0.83 + 0.1 * wave) if pooled else 0
        rows.append(
            [
                now,
                active,
                round(waiting),
                active,
                20 - active,
                round(0.7 + 0.08 * wave, 3) if pooled else 0.01,
                round(0.62 + 0.1 * wave if pooled else 1.4 + 0.1 * wave, 3),
            ]
        )
    step = len(rows) // 600 + 1
    return rows[::step]


def only_direct() -> dict[str, Any]:
    """Return a benchmark of one path."""
    found = document()
    found["plan"]["paths"] = ["direct"]
    found["runs"] = [run for run in found["runs"] if run["path"] == "direct"]
    for row in found["summary"]:
        row["paths"] = {"direct": row["paths"]["direct"]}
        row["comparisons"] = []
    found["connections"]["connect_ms"] = {"direct": 14.2}
    found["connections"]["memory_kb_per_client"] = None
    return found


def interrupted() -> dict[str, Any]:
    """Return a benchmark that somebody stopped after the first cases."""
    found = document()
    found["complete"] = False
    found["runs"] = found["runs"][:25]
    found["summary"] = _summary(found["runs"])
    found["connections"] = {"connect_ms": {}, "memory_kb_per_client": None, "most_clients": None}
    found["samples"]["rows"] = [row for row in found["samples"]["rows"] if row[0] <= found["runs"][-1]["end"]]
    return found


def without_samples() -> dict[str, Any]:
    """Return a benchmark with only pgbench's figures."""
    found = document()
    found["samples"] = {"interval": 1, "rows": []}
    for run in found["runs"]:
        run["inside"] = run["generator"] = run["connect_ms"] = None
    return found


def nulls(value: Any) -> Any:
    """Return the same with null for whatever is no list or mapping."""
    if isinstance(value, dict):
        return {key: nulls(one) for key, one in value.items()}
    if isinstance(value, list):
        return [nulls(one) for one in value]
    return None


def hostile(text: str) -> dict[str, Any]:
    """Return a benchmark in which every name is the text."""
    found = document()

    def everywhere(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: everywhere(one) for key, one in value.items()}
        if isinstance(value, list):
            return [everywhere(one) for one in value]
        return text if isinstance(value, str) else value

    changed: dict[str, Any] = everywhere(copy.deepcopy(found))
    for row in changed["summary"]:
        row["paths"] = {text: next(iter(row["paths"].values())), "direct": row["paths"]["direct"]}
    changed["system"]["settings"] = {"postgresql": {text: text}, "pgbouncer": {text: text}}
    changed["connections"]["connect_ms"] = {text: 1.0}
    return changed


def comparison() -> dict[str, Any]:
    """Return two benchmarks put side by side."""
    rows: list[dict[str, Any]] = []
    for row in document()["summary"]:
        for path, side in row["paths"].items():
            before = side["tps"]
            load = {key: row[key] for key in ("script", "mode", "protocol", "clients")}
            if not before["n"]:
                continue
            factor = 1.24 if path != "direct" else 1.005
            after = {key: value if key == "n" else round(value * factor, 1) for key, value in before.items()}
            verdict = "no difference" if path == "direct" else "faster"
            rows.append({**load, "path": path, "a": before, "b": after, "ratio": factor, "verdict": verdict})
    rows[0] |= {"b": None, "ratio": None, "verdict": "only in a"}
    return {
        "a": {"time": "2026-11-23T08:00:00Z", "target": "lab", "plan": "standard", "commit": "3ba3482"},
        "b": {"time": "2026-11-24T08:40:00Z", "target": "lab", "plan": "standard", "commit": "79958df"},
        "differences": [
            {"what": "pgbouncer: default_pool_size", "a": 20, "b": 6},
            {"what": "kernel", "a": None, "b": "6.12.48"},
        ],
        "rows": rows,
        "answer": ["B is faster than A in 22 of 31 comparisons."],
    }
