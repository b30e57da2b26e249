"""What is kept of a benchmark on the controller: at once, in one piece, and its owner's."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import api, plans
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.errors import (
    BenchmarkError,
    PlanError,
)
from ansible_collections.pooled.postgres.plugins.module_utils._pgbench import model
from ansible_collections.pooled.postgres.plugins.module_utils._report import plots
from benchmark_runs import left_by, outputs


@pytest.fixture(autouse=True)
def _without_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "svg", lambda *_: "")


SYSTEM = {"time": "2026-11-23T05:00:00Z", "target": "lab"}


def begun(repeats: int) -> dict[str, Any]:
    given = {"cases": [{"script": "select-only", "clients": 10}], "paths": ["direct"], "warmup_seconds": 0}
    plan = {"from": ["load"], **plans.custom({**given, "repeats": repeats}, "p")}
    return {"plan": plan, "schedule": plans.schedule(plan, 100), "system": SYSTEM}


@pytest.mark.parametrize("version", ["15", "16", "17", "18"])
def test_figures_are_those_of_the_raw_output(version: str, tmp_path: Path) -> None:
    printed = list(outputs(version).values())
    api.begin(tmp_path, begun(len(printed)), tmp_path)
    for number, stdout in enumerate(printed, start=1):
        api.keep(tmp_path, left_by(number, stdout))
    api.finish(tmp_path, [], complete=True)
    document = json.loads((tmp_path / "latest.json").read_text())
    assert len(document["runs"]) == len(printed)
    for run, stdout in zip(document["runs"], printed, strict=True):
        raw = (tmp_path / run["raw"]).read_text()
        assert raw == stdout
        figures = model.parse_output(raw)
        for name in ("tps", "transactions", "failed", "retried"):
            assert run[name] == figures[name]


def test_all_forms_are_written_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    stdout = outputs("17")["tpcb_like"]
    api.begin(tmp_path, begun(1), tmp_path)
    api.keep(tmp_path, left_by(1, stdout))
    document = api.finish(tmp_path, [], complete=True)
    assert document is not None
    assert document == json.loads((tmp_path / "latest.json").read_text())
    assert "select-only, 10 clients" in (tmp_path / "latest.txt").read_text()
    assert document == api.read_result(tmp_path / "results/20261123T050000Z-custom.json")
    assert not (tmp_path / "current").exists()
    assert {path.stat().st_mode & 0o077 for path in tmp_path.rglob("*")} == {0}


def test_what_was_not_finished_waits_to_be_collected(tmp_path: Path) -> None:
    api.begin(tmp_path, begun(3), tmp_path)
    api.keep(tmp_path, left_by(1, outputs("17")["tpcb_like"]))
    assert not (tmp_path / "latest.json").exists()
    document = api.finish(tmp_path, [], complete=False)
    assert document is not None
    assert (document["complete"], len(document["runs"])) == (False, 1)


def test_a_benchmark_without_a_run_leaves_the_last_result_alone(tmp_path: Path) -> None:
    (tmp_path / "latest.json").write_text("the last")
    api.begin(tmp_path, begun(1), tmp_path)
    assert api.finish(tmp_path, [], complete=False) is None
    assert (tmp_path / "latest.json").read_text() == "the last"
    assert not (tmp_path / "current").exists()


def test_a_new_benchmark_forgets_what_one_that_was_killed_has_left(tmp_path: Path) -> None:
    api.begin(tmp_path, begun(3), tmp_path)
    api.keep(tmp_path, left_by(2, outputs("17")["tpcb_like"]))
    api.begin(tmp_path, begun(1), tmp_path)
    assert api.finish(tmp_path, [], complete=False) is None


def test_results_are_kept_but_not_for_ever(tmp_path: Path) -> None:
    for minute in range(api.KEPT_RESULTS + 2):
        beginning = begun(1)
        beginning["system"] = {**SYSTEM, "time": f"2026-11-23T05:{minute:02}:00Z"}
        api.begin(tmp_path, beginning, tmp_path)
        api.keep(tmp_path, left_by(1, outputs("17")["tpcb_like"]))
        api.finish(tmp_path, [], complete=True)
    kept = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert len(kept) == api.KEPT_RESULTS
    assert kept[0] == "20261123T050200Z-custom.json"


def test_the_commit_is_kept_with_the_result(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    git = ["git", "-C", str(checkout), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    checkout.mkdir()
    found = []
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *command], check=True)
    for _ in range(2):
        api.begin(tmp_path / "kept", begun(1), checkout)
        system = json.loads((tmp_path / "kept/current/begun.json").read_text())["system"]
        found.append((len(system["commit"]), system["dirty"]))
        (checkout / "changed").touch()
    assert found == [(40, False), (40, True)]
    api.begin(tmp_path / "kept", begun(1), tmp_path)
    assert json.loads((tmp_path / "kept/current/begun.json").read_text())["system"]["commit"] is None


def test_no_place_to_keep_anything(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BenchmarkError, match=r"Failed to write the benchmark to .*: Not a directory"):
        api.begin(tmp_path / "file", begun(1), tmp_path)
    with pytest.raises(
        BenchmarkError, match=r"Failed to write the run to .*: No such file or directory. Check"
    ):
        api.keep(tmp_path, left_by(1, "x"))
    with pytest.raises(BenchmarkError, match="Failed to find a running benchmark in"):
        api.finish(tmp_path, [], complete=True)


# --- Plans ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (None, "no such file. Give a file, or one of quick, standard, tutorial."),
        ("cases: [", "Failed to read the plan"),
        ("\ttabs", "Failed to read the plan"),
        ("cases: [{script: gone.sql, clients: 1}]", "Failed to read the script gone.sql of the plan"),
        ("cases: [{script: select-only, clients: 0}]", "`clients` must be a whole number"),
    ],
)
def test_files_that_are_no_plans(written: str | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.yml"
    if written is not None:
        path.write_text(written)
    with pytest.raises(PlanError) as refused:
        api.read_plan(str(path))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_scripts_are_found_beside_the_plan(tmp_path: Path) -> None:
    (tmp_path / "own.sql").write_text("SELECT :sku;")
    (tmp_path / "plan.yml").write_text(
        "cases: [{script: own.sql, clients: 1, variables: {sku: 7}}, {script: tpcb-like, clients: 2}]"
    )
    cases = plans.cases(api.read_plan(str(tmp_path / "plan.yml")), 100)
    assert [(case["script"], case["content"], case["variables"]) for case in cases] == [
        ("own.sql", "SELECT :sku;", {"sku": 7}),
        ("tpcb-like", None, {}),
    ]


# --- Several load hosts ---------------------------------------------------------------------------------


def test_load_hosts_begin_together(tmp_path: Path) -> None:
    api.begin(tmp_path, begun(1), tmp_path)
    late: dict[str, list[str]] = {}
    threads = [
        threading.Thread(target=lambda host=host: late.update({host: api.meet(tmp_path, 1, host, "ab", 10)}))
        for host in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert late == {"a": [], "b": []}
    assert api.meet(tmp_path, 2, "a", "ab", 0.1) == ["b"]
