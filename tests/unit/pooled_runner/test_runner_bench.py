# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""bench."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import api as benchmark
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import plans

from pooled_runner import execute
from pooled_runner.cli import main
from pooled_runner.commands import perform
from pooled_runner.project import Project
from pooled_runner.request import Request


@pytest.mark.usefixtures("never_runs")
def test_bench_without_a_lab_tells_how_to_start_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench"], Project(tmp_path)) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "no lab is up: run `make demo` or `python runner.py up --target lab`" in shown.err


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, '{"runs": [1]}', {"runs": [1]}),
        ('{"runs": [0]}', '{"runs": [1]}', {"runs": [1]}),
        ('{"runs": [0]}', None, None),
        (None, None, None),
        (None, "half a docu", None),
    ],
)
def test_bench_never_shows_earlier_results(
    before: str | None,
    after: str | None,
    expected: object,
    state: Path,
    writes: Callable[..., None],
) -> None:
    latest = state / "benchmark/latest.json"
    if before:
        latest.write_text(before)
    writes(latest, after)
    document, _code = perform(Request("bench"), Project(state.parents[1]))
    assert document["benchmark"] == expected


DONE: dict[str, Any] = {"verb": "", "ok": True, "error": None, "hosts": {}, "slowest": [], "failures": []}
BEGUN = {
    "plan": {"name": "quick", "from": ["load"], "cases": []},
    "system": {"time": "2026-11-23T05:00:00Z", "target": "lab"},
    "schedule": plans.schedule(plans.builtin("quick"), 100),
}


@pytest.mark.parametrize("collected", [False, True])
def test_an_interrupted_benchmark_keeps_its_results(
    collected: bool, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = []
    (state / "benchmark/current").mkdir()
    (state / "benchmark/current/of a killed benchmark").touch()

    def run(request: Request, project: Project) -> tuple[dict[str, Any], int]:
        requests.append(request.collect)
        if not request.collect:
            assert not (state / "benchmark/current").exists()
            benchmark.begin(state / "benchmark", BEGUN, state)
            left = {"number": 2, "host": "load", "clients": 50, "jobs": 2, "error": "gone"}
            benchmark.keep(state / "benchmark", left)
        elif collected:
            benchmark.finish(state / "benchmark", [], complete=False)
        return {**DONE, "error": "interrupted in the middle"}, 130

    monkeypatch.setattr(execute, "run", run)
    document, code = perform(Request("bench"), Project(state.parents[1]))
    assert code == 130
    assert requests == [False, True]
    assert document["error"] == ("interrupted; all its processes have ended; the results until then are kept")
    assert document["benchmark"]["complete"] is False
    assert [run["error"] for run in document["benchmark"]["runs"]] == ["gone"]
    assert not (state / "benchmark/current").exists()


def test_bench_keeps_the_results_of_a_killed_benchmark(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark.begin(state / "benchmark", BEGUN, state)
    benchmark.keep(state / "benchmark", {"number": 2, "host": "load", "clients": 50, "jobs": 2, "error": "x"})

    def run(_request: Request, _project: Project) -> tuple[dict[str, Any], int]:
        assert not (state / "benchmark/current").exists()
        return {**DONE, "error": "refused", "ok": False}, 1

    monkeypatch.setattr(execute, "run", run)
    document, _code = perform(Request("bench"), Project(state.parents[1]))
    # This run did not measure it.
    assert document["benchmark"] is None
    assert json.loads((state / "benchmark/latest.json").read_text())["complete"] is False


def result_of(tmp_path: Path, name: str, tps: float) -> str:
    spread = {"median": tps, "low": tps, "high": tps, "n": 3}
    case = {"script": "tpcb-like", "mode": "persistent", "protocol": "simple", "clients": 50}
    document = {
        "schema": 1,
        "plan": {"name": "quick"},
        "system": {"time": "2026-11-23T05:00:00Z", "target": "lab", "commit": None},
        "summary": [{**case, "paths": {"pooled": {"tps": spread}}}],
    }
    (tmp_path / name).write_text(json.dumps(document))
    return str(tmp_path / name)


@pytest.mark.usefixtures("never_runs")
def test_compare_needs_no_lab(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = [result_of(tmp_path, "a.json", 100), result_of(tmp_path, "b.json", 200)]
    assert main(["bench", "--compare", *results], Project(tmp_path)) == 0
    shown = capsys.readouterr().out
    assert "B is faster than A in 1 of 1 cases" in shown
    page = tmp_path / ".state/lab/benchmark/comparison.html"
    assert shown.endswith(f"Report: {page}\n")
    assert "B is faster than A in 1 of 1 cases" in page.read_text()
    assert "B is faster than A in 1 of 1 cases" in page.with_suffix(".md").read_text()
    assert main(["bench", "--json", "--compare", *results], Project(tmp_path)) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is True
    assert document["comparison"]["rows"][0]["verdict"] == "faster"


@pytest.mark.usefixtures("never_runs")
def test_compare_refuses_files_that_are_not_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old.json").write_text('{"schema": 1, "runs": []}')
    arguments = ["bench", "--compare", result_of(tmp_path, "a.json", 1), str(tmp_path / "old.json")]
    assert main(arguments, Project(tmp_path)) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "old.json: another version wrote it. Measure again" in shown.err
    assert shown.err.count("\n") == 1
