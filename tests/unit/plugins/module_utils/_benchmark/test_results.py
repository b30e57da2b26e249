"""The document of a benchmark, its answer and its table."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import plans, results

LATENCY = {"avg": 2.0, "min": 1.0, "p50": 2.0, "p95": 3.0, "p99": 4.0, "max": 5.0}
SYSTEM = {"time": "2026-11-23T05:00:00Z", "target": "lab", "commit": None}
Tps = list[float | None]
FEW: Tps = [100, 101, 102]
MANY: Tps = [300, 301, 302]
NONE: Tps = [None, None, None]


def artefact(number: int, tps: float | None = 100.0, **changes: Any) -> dict[str, Any]:
    """Return what a run left: ten seconds that ended at 20 times its number."""
    return {
        "number": number,
        "host": changes.get("host", "load"),
        "clients": 50,
        "jobs": changes.get("jobs", 2),
        "run": {
            "transactions": None if tps is None else int(10 * tps),
            "tps": tps,
            "failed": None if tps is None else 0,
            "latency_ms": LATENCY if tps else dict.fromkeys(LATENCY),
            "error": changes.get("error"),
        },
        "details": {"retried": None, "average_connection_ms": changes.get("connect")},
        "measured": {
            "start": 20.0 * number - 10,
            "end": 20.0 * number,
            "cpu_seconds": changes.get("cpu", 5.0),
            "processors": 2,
        },
        "latencies": changes.get("latencies", {}),
        "stdout": "pgbench\n",
    }


def begun(**changes: Any) -> dict[str, Any]:
    """Return the beginning of one case, with what differs from this of it and of the plan."""
    names = ("paths", "repeats", "from", "warmup_seconds")
    of_plan = {name: changes.pop(name) for name in names if name in changes}
    case = {"script": "select-only", "clients": 50, **changes}
    plan = {"from": ["load"], **plans.custom({"cases": [case], "warmup_seconds": 0, **of_plan}, "p")}
    return {"plan": plan, "schedule": plans.schedule(plan, 100), "system": SYSTEM}


def measured(direct: Tps, pooled: Tps, **changes: Any) -> dict[str, Any]:
    """Return the document of one case, whose paths had these repeats."""
    beginning = begun(**changes)
    left = []
    for item in beginning["schedule"]:
        tps = {"direct": direct, "pooled": pooled}[item["path"]][item["repeat"] - 1]
        left.append(artefact(item["number"], tps, error=None if tps else "too many clients"))
    return results.document(beginning, left, [], complete=True)


def test_a_document_has_what_the_design_promises() -> None:
    document = measured(FEW, MANY)
    assert " ".join(document) == "schema plan complete system runs summary connections samples answer"
    assert (document["schema"], len(document["runs"])) == (1, 6)
    assert document["runs"][0] == {
        "path": "direct",
        "mode": "persistent",
        "script": "select-only",
        "protocol": "simple",
        "clients": 50,
        "repeat": 1,
        "jobs": 2,
        "transactions": 1000,
        "seconds": 10.0,
        "start": 10.0,
        "end": 20.0,
        "tps": 100,
        "failed": 0,
        "retried": None,
        "latency_ms": LATENCY,
        "connect_ms": None,
        "error": None,
        "generator": {"cpu": 0.25, "saturated": False},
        "inside": None,
        "raw": "raw/0001.txt",
    }
    [row] = document["summary"]
    assert row["paths"]["pooled"] == {
        "tps": {"median": 301, "low": 300, "high": 302, "n": 3},
        "latency_ms": {"p50": 2.0, "p95": 3.0, "p99": 4.0},
        "failed": 0,
        "error": None,
    }
    ratio = {"ratio": 2.9802, "low": 2.9412, "high": 3.02}
    assert row["comparisons"] == [{"path": "pooled", "against": "direct", **ratio, "verdict": "faster"}]
    json.dumps(document)


def test_a_broken_off_benchmark_has_what_was_finished() -> None:
    document = results.document(begun(), [artefact(1), artefact(2)], [], complete=False)
    assert document["complete"] is False
    assert [run["path"] for run in document["runs"]] == ["direct", "pooled"]
    assert "The benchmark was interrupted after 2 runs." in results.table(document)
    assert document["summary"][0]["comparisons"][0]["verdict"] == "too few runs"


def test_a_warm_up_is_no_run() -> None:
    left = [artefact(number) for number in (1, 2, 3)]
    document = results.document(begun(warmup_seconds=2, repeats=1), left, [], complete=True)
    assert [run["raw"] for run in document["runs"]] == ["raw/0002.txt", "raw/0003.txt"]


def test_a_run_that_never_began_is_a_row() -> None:
    left = [{"number": 1, "host": "load", "clients": 50, "jobs": 2, "error": "Failed to find pgbench"}]
    [run] = results.document(begun(paths=["direct"], repeats=1), left, [], complete=True)["runs"]
    assert (run["error"], run["tps"], run["generator"]) == ("Failed to find pgbench", None, None)


def test_what_a_run_did_before_it_broke_off_is_no_speed() -> None:
    left = [artefact(1, 99.0, error="gone")]
    document = results.document(begun(paths=["direct"], repeats=1), left, [], complete=True)
    assert document["summary"][0]["paths"]["direct"]["tps"]["n"] == 0
    assert document["summary"][0]["paths"]["direct"]["error"] == "gone"


def test_load_hosts_are_added_up() -> None:
    beginning = begun(paths=["direct"], repeats=1, **{"from": ["a", "b"]})
    left = [
        artefact(1, 100.0, host="a", latencies={"1000": 90, "2000": 9}),
        artefact(1, 50.0, host="b", latencies={"2000": 50, "9000": 1}),
    ]
    [run] = results.document(beginning, left, [], complete=True)["runs"]
    assert (run["tps"], run["transactions"], run["jobs"]) == (150, 1500, 4)
    assert (run["latency_ms"]["p50"], run["latency_ms"]["max"]) == (1.0, 9.0)
    assert results.document(beginning, left[:1], [], complete=False)["runs"] == []


@pytest.mark.parametrize(
    ("cpu", "jobs", "saturated"),
    [(5.0, 2, False), (16.9, 2, False), (17.0, 2, True), (9.0, 1, False), (9.5, 1, True), (None, 2, None)],
)
def test_a_generator_at_its_limit(cpu: float | None, jobs: int, saturated: bool | None) -> None:
    found = results.generator([artefact(1, cpu=cpu, jobs=jobs)])
    assert (None if found is None else found["saturated"]) is saturated


@pytest.mark.parametrize(
    # Where it had the memory from before, nothing is said.
    ("before", "each"),
    [(7100, 5.0), (8100, None)],
)
def test_what_a_connection_costs(before: int, each: float | None) -> None:
    beginning = begun(clients=200, mode="reconnect", repeats=1)
    left = [artefact(1, connect=7.5), artefact(2, connect=0.5)]
    rows = [[when, 0, 0, 0, 0, 0, 0, 0.0, 0.0, kb] for when, kb in ((9.0, before), (35.0, 8100))]
    assert results.document(beginning, left, rows, complete=True)["connections"] == {
        "connect_ms": {"direct": 7.5, "pooled": 0.5},
        "memory_kb_per_client": each,
        "most_clients": 200,
    }


CASE = "select-only, 50 clients"


@pytest.mark.parametrize(("cpu", "saturated"), [(1.0, False), (19.0, True)])
def test_a_load_generator_at_its_limit_is_said(cpu: float, saturated: bool) -> None:
    document = results.document(begun(paths=["direct"], repeats=1), [artefact(1, cpu=cpu)], [], complete=True)
    said = "pgbench was at its limit in 1 of 1 run"
    assert any(line.startswith(said) for line in results.table(document)) is saturated


def _cells(document: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return the cells of the table's only row, and the notes below."""
    lines = results.table(document)
    start = next(number for number, line in enumerate(lines) if line.startswith("run "))
    return [cell.strip() for cell in lines[start + 2].split("  ") if cell.strip()], lines[start + 3 :]


@pytest.mark.parametrize(
    ("direct", "pooled", "cells"),
    [
        ([1000, 1000, 1100], MANY, ["1,000 +0/+10%", "301 -0/+0%", "0.30 x, slower", "3.0", "3.0", "0/0"]),
        ([1000.4], [2000], ["1,000", "2,000", "2.00 x, too few runs", "3.0", "3.0", "0/0"]),
        (NONE, MANY, ["refused", "301 -0/+0%", "-", "-", "3.0", "-/0"]),
    ],
)
def test_the_table(direct: Tps, pooled: Tps, cells: list[str]) -> None:
    row, notes = _cells(measured(direct, pooled, repeats=len(direct)))
    assert row == [CASE, *cells]
    assert (f"{CASE}, direct: too many clients" in notes) is (direct == NONE)
    assert notes[-1:] == [] if len(direct) == 1 else notes[-1].startswith("tps: median of")


def test_only_one_client_too_many_is_refused() -> None:
    left = [artefact(1, None, error="Connection refused"), artefact(2)]
    document = results.document(begun(repeats=1), left, [], complete=True)
    assert document["answer"][0].endswith("cannot be compared: too few runs succeeded.")
    assert _cells(document)[0][1:3] == ["failed", "100"]


def test_reconnecting_runs_say_what_their_latency_leaves_out() -> None:
    _, notes = _cells(measured(FEW, MANY, mode="reconnect"))
    assert "p95 does not" in notes[0]


def test_the_system_is_that_of_the_database_host() -> None:
    hosts = {
        "load": {"processors": 4, "busy": 0.2, "boot_id": "x", "system": {"kernel": "6.1"}},
        "db": {"processors": 2, "busy": 0.1, "boot_id": "x", "system": {"kernel": "6.12", "memory_mb": 512}},
    }
    settings = [
        {"name": "server_version", "value": "17.6 (Debian)"},
        {"name": "max_connections", "value": "100"},
    ]
    pooler = {"version": "1.24.1", "processes": 1, "settings": {"pool_mode": "transaction"}}
    given = {"time": "now", "target": "lab", "auth_type": "scram-sha-256"}
    found = results.system(
        given, {"from": ["load"], "scale": 50}, database="db", hosts=hosts, settings=settings, pooler=pooler
    )
    assert [found[name] for name in ("kernel", "memory_mb", "processors", "load_processors")] == [
        "6.12",
        512,
        2,
        4,
    ]
    assert [found[name] for name in ("load_across_network", "same_machine")] == [True, True]
    assert [found[name] for name in ("postgresql", "max_connections", "pgbouncer")] == ["17.6", 100, "1.24.1"]
    assert found["background"] == {"database_cpu": 0.1, "load_cpu": 0.2}
    assert found["settings"]["pgbouncer"] == {"pool_mode": "transaction"}
