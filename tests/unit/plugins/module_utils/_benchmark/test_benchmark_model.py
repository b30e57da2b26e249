"""Runs of the benchmark, and their table."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import model


def _run(path: str, tps: float | None = 100.0, **changes: Any) -> dict[str, Any]:
    run: dict[str, Any] = {
        "path": path,
        "mode": "persistent",
        "script": "tpcb-like",
        "clients": 10,
        "jobs": 2,
        "transactions": 1000 if tps else None,
        "tps": tps,
        "failed": 0 if tps else None,
        "latency_ms": {"p95": 12.34 if tps else None},
        "error": None if tps else "too many clients",
    }
    return {**run, **changes}


def test_every_run_is_planned_on_every_path() -> None:
    assert model.plan([{"clients": 1}, {"clients": 2}], {"direct": 5432, "pooled": 6432}) == [
        {"clients": 1, "path": "direct", "port": 5432},
        {"clients": 1, "path": "pooled", "port": 6432},
        {"clients": 2, "path": "direct", "port": 5432},
        {"clients": 2, "path": "pooled", "port": 6432},
    ]


def test_results_carry_their_path() -> None:
    planned = [{"path": "direct"}, {"path": "pooled"}]
    assert model.results(planned, [{"run": {"tps": 1}}, {"run": {"tps": 2}}]) == [
        {"path": "direct", "tps": 1},
        {"path": "pooled", "tps": 2},
    ]


def test_results_that_are_not_as_many_as_planned_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        model.results([{"path": "direct"}], [])


def test_paths_stand_side_by_side_with_their_ratio() -> None:
    header, rule, row = model.table([_run("direct"), _run("pooled", 1234.5, failed=3)])
    assert header.split("  ")[0] == "run"
    assert set(rule) == {"-", " "}
    assert row.split() == ["tpcb-like,", "10", "clients", "100", "1,234", "12.35", "x", "12.3", "12.3", "0/3"]


def test_a_refused_run_is_a_row_and_its_error_a_note() -> None:
    lines = model.table([_run("direct", None), _run("pooled")])
    assert "refused" in lines[2]
    assert lines[2].split()[-1] == "-/0"
    assert lines[3] == "tpcb-like, 10 clients, direct: too many clients"


def test_a_run_of_one_path_only_has_no_ratio() -> None:
    assert model.table([_run("pooled")])[2].split()[3:6] == ["-", "100", "-"]


def test_a_run_that_is_made_twice_is_two_rows() -> None:
    assert len(model.table([_run("direct"), _run("pooled"), _run("direct"), _run("pooled")])) == 4


def test_reconnecting_runs_say_what_their_latency_leaves_out() -> None:
    lines = model.table([_run("direct", mode="reconnect"), _run("pooled", mode="reconnect")])
    assert "reconnecting" in lines[2]
    assert "not in p95" in lines[3]
