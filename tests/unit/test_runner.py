# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tests of runner.py: its pure parts by tables, and real runs of ansible-playbook on a small checkout."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import api as benchmark
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import plans
from ansible_collections.pooled.postgres.plugins.module_utils._report import api as report_api
from ansible_collections.pooled.postgres.plugins.module_utils._report.errors import ReportError

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import runner  # noqa: E402
from runner import Project, Refusal, Request, RunState  # noqa: E402

SECRET = "s3cr3t-of-the-cloud"
VARIABLE = "s3cr3t-of-a-variable"


# ------------------------------------------------------------------------------------------ the command line


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("up", Request("up", tags=[], extra_vars=[])),
        ("--json status", Request("status", json=True, tags=[], extra_vars=[])),
        ("bench --target lab -e a=1 -e b=2=3", Request("bench", tags=[], extra_vars=["a=1", "b=2=3"])),
        (
            "up --check --tags a,b --tags c:d",
            Request("up", check=True, tags=["a", "b", "c:d"], extra_vars=[]),
        ),
        ("down --target aws --yes", Request("down", "aws", yes=True, tags=[], extra_vars=[])),
        ("down --delete-data", Request("down", "lab", delete_data=True, tags=[], extra_vars=[])),
        ("report", Request("report", since=3600, tags=[], extra_vars=[])),
        ("bench --plan tutorial", Request("bench", plan="tutorial", tags=[], extra_vars=[])),
        ("bench --plan /my/own.yml", Request("bench", plan="/my/own.yml", tags=[], extra_vars=[])),
        (
            "bench --compare a.json b.json",
            Request("bench", compare=[Path("a.json"), Path("b.json")], tags=[], extra_vars=[]),
        ),
        ("advise --apply", Request("advise", apply=True, tags=[], extra_vars=[])),
        ('advise -e {"a":[1]}', Request("advise", tags=[], extra_vars=['{"a":[1]}'])),
        ("report --since 2d --target aws", Request("report", "aws", since=172800, tags=[], extra_vars=[])),
    ],
)
def test_parse(argv: str, expected: Request) -> None:
    assert runner.parse(argv.split()) == expected


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "verb"),
        (["start"], "choose from"),
        (["up", "--target", "gcp"], "choose from"),
        (["up", "--targ", "lab"], "unrecognized"),
        (["up", "--tags", ""], "list of tags"),
        (["up", "--tags", "a,,b"], "list of tags"),
        (["up", "--tags", "a b"], "list of tags"),
        (["up", "--tags=--check"], "list of tags"),
        (["up", "-e", "password"], "NAME=VALUE"),
        (["report", "--since", "1"], "no time such as 30m"),
        (["report", "--since", "0h"], "no time such as 30m"),
        (["report", "--since=-1h"], "no time such as 30m"),
        (["up", "-e", "=1"], "NAME=VALUE"),
        (["up", "-e", '{"half": '], "or a JSON object"),
        (["up", "--plan", "quick"], "--plan belongs to bench"),
        (["report", "--compare", "a.json", "b.json"], "--compare belongs to bench"),
        (["up", "--apply"], "--apply belongs to advise"),
        (["bench", "--compare", "a.json"], "expected 2 arguments"),
        (["up", "-e", "@/nowhere/vars.yml"], "no file /nowhere/vars.yml"),
    ],
)
def test_parse_refuses(argv: list[str], says: str) -> None:
    with pytest.raises(Refusal, match=says):
        runner.parse(argv)


def test_refused_variables_are_not_repeated() -> None:
    with pytest.raises(Refusal) as refusal:
        runner.parse(["up", "-e", "pa55word"])
    assert "pa55word" not in str(refusal.value)


def test_file_of_variables_is_meant_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vars.yml").touch()
    monkeypatch.chdir(tmp_path)
    assert runner.parse(["up", "-e", "@vars.yml"]).extra_vars == [f"@{tmp_path}/vars.yml"]


def test_file_of_a_plan_is_meant_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert runner.parse(["bench", "--plan", "own.yml"]).plan == f"{tmp_path}/own.yml"


def test_plans_are_those_that_there_are() -> None:
    assert set(runner.PLANS) == set(plans.BUILTIN)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (Request("up", "aws"), ["-i inventory/aws site.yml"]),
        (
            Request("up"),
            ["-i inventory/lab/hosts.yml playbooks/lab.yml", "-i inventory/lab site.yml --skip-tags lab"],
        ),
        (
            Request("up", check=True, tags=["a", "b"], extra_vars=["x=1", "@/v.yml"]),
            [
                "-i inventory/lab/hosts.yml -e x=1 -e @/v.yml --check --diff playbooks/lab.yml",
                "-i inventory/lab -e x=1 -e @/v.yml --check --diff --tags a,b site.yml --skip-tags lab",
            ],
        ),
        (Request("advise", "aws"), ["-i inventory/aws playbooks/advise.yml"]),
        (Request("bench", check=True), ["-i inventory/lab --check playbooks/benchmark.yml"]),
        (
            Request("bench", plan="standard"),
            ['-i inventory/lab -e {"benchmark_plan": "standard"} playbooks/benchmark.yml'],
        ),
        (
            Request("bench", plan="/my own.yml"),
            ['-i inventory/lab -e {"benchmark_plan_file": "/my own.yml"} playbooks/benchmark.yml'],
        ),
        (
            Request("bench", "aws", extra_vars=["x=1"], collect=True),
            ["-i inventory/aws -e x=1 -e benchmark_complete=false playbooks/benchmark_results.yml"],
        ),
        (Request("status", "aws", check=True), ["-i inventory/aws playbooks/status.yml"]),
        (Request("down", tags=["a"]), ["-i inventory/lab/hosts.yml --tags a playbooks/teardown.yml"]),
        (Request("down", "aws"), ["-i inventory/aws playbooks/teardown.yml"]),
    ],
)
def test_command_lines(request_: Request, expected: list[str]) -> None:
    assert [" ".join(line) for line in runner.command_lines(request_)] == expected


# ------------------------------------------------------------------------------------------------- refusals


@pytest.fixture
def never_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if a playbook is started."""
    monkeypatch.setattr(runner, "execute", lambda *_args: pytest.fail("a playbook was started"))


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide every place where botocore looks for credentials."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("BOTO_CONFIG", str(tmp_path / "boto"))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.usefixtures("never_runs", "no_credentials")
@pytest.mark.parametrize("profile", [None, "nosuch"])
def test_aws_without_credentials_points_to_the_lab(
    profile: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if profile:
        monkeypatch.setenv("AWS_PROFILE", profile)
    assert runner.main(["up", "--target", "aws", "--json"], Project(tmp_path)) == 2
    document = json.loads(capsys.readouterr().out)
    assert (document["verb"], document["target"], document["ok"]) == ("up", "aws", False)
    assert "aws configure" in document["error"]
    assert "--target lab" in document["error"]
    assert not (tmp_path / ".state").exists()


class Answer:
    """A terminal at which somebody types one line, or (None) no terminal."""

    def __init__(self, line: str | None) -> None:
        self.line = line

    def isatty(self) -> bool:
        """Tell whether there is a terminal."""
        return self.line is not None

    def readline(self) -> str:
        """Return what was typed."""
        return f"{self.line}\n"


@pytest.mark.usefixtures("never_runs", "no_credentials")
def test_down_on_aws_is_not_taken_lightly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setattr(sys, "stdin", Answer(None))
    assert runner.main(["down", "--target", "aws", "--json"], Project(tmp_path)) == 2
    shown = capsys.readouterr()
    assert "--yes" in json.loads(shown.out)["error"]
    assert SECRET not in shown.out + shown.err


def test_aws_with_credentials_goes_on(no_credentials: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    runner.check_credentials()


@pytest.mark.parametrize(
    ("arguments", "answer", "runs"),
    [
        # What would go is shown first, by a run in check mode.
        ("down --target aws", "yes", [True, False]),
        ("down --target aws --delete-data", "yes", [True, False]),
        ("down --target aws", "no", [True]),
        ("down --target aws", "", [True]),
        ("down --target aws --yes", None, [False]),
        ("down --target aws --check", None, [True]),
        ("down --target lab", None, [False]),
        ("up --target aws", None, [False]),
    ],
)
def test_what_goes_is_shown_and_confirmed(
    arguments: str,
    answer: str | None,
    runs: list[bool],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen = []
    document = {"verb": "", "target": "", "ok": True, "hosts": {}, "slowest": [], "failures": [], "log": None}

    def execute(request: Request, _project: Project) -> tuple[dict[str, Any], int]:
        seen.append(request.check)
        return {**document, "seconds": 0}, 0

    monkeypatch.setattr(sys, "stdin", Answer(answer))
    monkeypatch.setattr(runner, "check_credentials", lambda: None)
    monkeypatch.setattr(runner, "execute", execute)
    code = runner.main(arguments.split(), Project(Path("/nonexistent")))
    assert seen == runs
    said = capsys.readouterr().err
    if answer is not None:
        assert ("and the data volumes" if "--delete-data" in arguments else "but no data volume") in said
        assert code == (0 if answer == "yes" else 2)
        assert ("nothing was removed" in said) is (answer != "yes")


def test_what_cannot_be_shown_is_not_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Answer("yes"))
    monkeypatch.setattr(runner, "check_credentials", lambda: None)
    seen = []

    def execute(request: Request, _project: Project) -> tuple[dict[str, Any], int]:
        seen.append(request.check)
        return {}, 4

    monkeypatch.setattr(runner, "execute", execute)
    assert runner.perform(Request("down", "aws"), Project(tmp_path)) == ({}, 4)
    assert seen == [True]


@pytest.mark.usefixtures("never_runs")
def test_bench_of_nothing_says_how_to_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["bench"], Project(tmp_path)) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "no lab is up: run `make demo` or `python runner.py up --target lab`" in shown.err


@pytest.mark.usefixtures("never_runs")
def test_status_of_nothing_is_unhealthy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["status", "--json"], Project(tmp_path)) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["healthy"] is False
    assert "no lab is up" in document["error"]
    assert set(document) >= {"hosts", "services", "pools", "targets", "endpoints"}


DONE = {"verb": "", "ok": True, "error": None, "hosts": {}, "slowest": [], "failures": []}


def writes(monkeypatch: pytest.MonkeyPatch, path: Path, text: str | None, error: str | None = None) -> None:
    """Let the playbooks do nothing but write a file."""

    def execute(request: Request, project: Project) -> tuple[dict[str, Any], int]:
        if text is not None:
            path.write_text(text)
        return {**DONE, "error": error, "ok": not error}, int(bool(error))

    monkeypatch.setattr(runner, "execute", execute)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return the state of a lab that is up."""
    directory = tmp_path / ".state/lab"
    (directory / "benchmark").mkdir(parents=True)
    (directory / "outputs.json").write_text("{}")
    return directory


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
def test_bench_never_shows_older_figures(
    before: str | None,
    after: str | None,
    expected: object,
    state: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    latest = state / "benchmark/latest.json"
    if before:
        latest.write_text(before)
    writes(monkeypatch, latest, after)
    document, _code = runner.perform(Request("bench"), Project(state.parents[1]))
    assert document["benchmark"] == expected


BEGUN = {
    "plan": {"name": "quick", "from": ["load"], "cases": []},
    "system": {"time": "2026-11-23T05:00:00Z", "target": "lab"},
    "schedule": plans.schedule(plans.builtin("quick"), 100),
}


@pytest.mark.parametrize("collected", [False, True])
def test_bench_that_is_broken_off_keeps_what_it_has_measured(
    collected: bool, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = []
    (state / "benchmark/current").mkdir()
    (state / "benchmark/current/of one that was killed").touch()

    def execute(request: Request, project: Project) -> tuple[dict[str, Any], int]:
        requests.append(request.collect)
        if not request.collect:
            assert not (state / "benchmark/current").exists()
            benchmark.begin(state / "benchmark", BEGUN, state)
            left = {"number": 2, "host": "load", "clients": 50, "jobs": 2, "error": "gone"}
            benchmark.keep(state / "benchmark", left)
        elif collected:
            benchmark.finish(state / "benchmark", [], complete=False)
        return {**DONE, "error": "interrupted in the middle"}, 130

    monkeypatch.setattr(runner, "execute", execute)
    document, code = runner.perform(Request("bench"), Project(state.parents[1]))
    assert code == 130
    assert requests == [False, True]
    assert document["error"] == (
        "interrupted, and nothing of it is left running; what was measured until then is kept"
    )
    assert document["benchmark"]["complete"] is False
    assert [run["error"] for run in document["benchmark"]["runs"]] == ["gone"]
    assert not (state / "benchmark/current").exists()


def test_what_a_killed_benchmark_has_measured_is_kept_by_the_next(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark.begin(state / "benchmark", BEGUN, state)
    benchmark.keep(state / "benchmark", {"number": 2, "host": "load", "clients": 50, "jobs": 2, "error": "x"})

    def execute(_request: Request, _project: Project) -> tuple[dict[str, Any], int]:
        assert not (state / "benchmark/current").exists()
        return {**DONE, "error": "refused", "ok": False}, 1

    monkeypatch.setattr(runner, "execute", execute)
    document, _code = runner.perform(Request("bench"), Project(state.parents[1]))
    # It is nothing that this run has measured.
    assert document["benchmark"] is None
    assert json.loads((state / "benchmark/latest.json").read_text())["complete"] is False


@pytest.mark.parametrize("verb", ["bench", "advise"])
@pytest.mark.usefixtures("never_runs")
def test_a_target_is_measured_by_one_at_a_time(verb: str, state: Path) -> None:
    project = Project(state.parents[1])
    with (
        runner.measuring(Request("bench"), project),
        pytest.raises(runner.Refusal, match="lab is being measured by another run: wait for its end"),
    ):
        runner.perform(Request(verb), project)


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
def test_compare_needs_nothing_that_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = [result_of(tmp_path, "a.json", 100), result_of(tmp_path, "b.json", 200)]
    assert runner.main(["bench", "--compare", *results], Project(tmp_path)) == 0
    shown = capsys.readouterr().out
    assert "B is faster than A in 1 of 1 cases" in shown
    page = tmp_path / ".state/lab/benchmark/comparison.html"
    assert shown.endswith(f"Report: {page}\n")
    assert "B is faster than A in 1 of 1 cases" in page.read_text()
    assert "B is faster than A in 1 of 1 cases" in page.with_suffix(".md").read_text()
    assert runner.main(["bench", "--json", "--compare", *results], Project(tmp_path)) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is True
    assert document["comparison"]["rows"][0]["verdict"] == "faster"


@pytest.mark.usefixtures("never_runs")
def test_compare_refuses_what_is_no_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.json").write_text('{"schema": 1, "runs": []}')
    arguments = ["bench", "--compare", result_of(tmp_path, "a.json", 1), str(tmp_path / "old.json")]
    assert runner.main(arguments, Project(tmp_path)) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "old.json: another version wrote it. Measure again" in shown.err
    assert shown.err.count("\n") == 1


class Advised:
    """A lab whose playbooks do nothing but write what the advisor would, and note what ran."""

    def __init__(self, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.state = state
        self.ran: list[str] = []
        self.advice: dict[str, Any] = {"faster": True, "table": [], "answer": []}
        # Of the run by its number: how it ends, and whether it leaves PgBouncer with what was only tried.
        self.errors: dict[int, str] = {}
        self.unfinished: set[int] = set()
        self.runs: list[dict[str, Any]] = []
        (state.parents[1] / "inventory/lab/group_vars/all").mkdir(parents=True)
        monkeypatch.setattr(runner, "execute", self.execute)

    def execute(self, request: Request, _project: Project) -> tuple[dict[str, Any], int]:
        """Stand for a run of a playbook."""
        number = len(self.ran)
        self.ran.append(runner.command_lines(request)[0][-1] + " again" * bool(request.extra_vars))
        error = self.errors.get(number)
        if not error and "advise" in self.ran[-1]:
            (self.state / "benchmark/advice.json").write_text(json.dumps({**self.advice, "number": number}))
            (self.state / "benchmark/advised.yml").write_text("pgbouncer_default_pool_size: 8\n")
        if number in self.unfinished:
            self.marker.touch()
        if self.runs:
            present = {"default_pool_size": 20, "processes": 1}
            kept = json.dumps({"present": present, "runs": self.runs})
            (self.state / "benchmark/advise-runs.json").write_text(kept)
        return {**DONE, "error": error, "ok": not error}, int(bool(error))

    @property
    def tuned(self) -> Path:
        """The file that the inventory reads."""
        return self.state.parents[1] / "inventory/lab/group_vars/all/tuned.yml"

    @property
    def marker(self) -> Path:
        """The file that says that PgBouncer may have what was only tried."""
        return self.state / "benchmark/advise-unfinished"

    def run(self, *, apply: bool = False) -> tuple[dict[str, Any], int]:
        """Do what `runner.py advise` does."""
        return runner.perform(Request("advise", apply=apply), Project(self.state.parents[1]))


@pytest.fixture
def advised(state: Path, monkeypatch: pytest.MonkeyPatch) -> Advised:
    """Return a lab to be advised."""
    return Advised(state, monkeypatch)


def test_advice_is_to_be_reviewed(advised: Advised) -> None:
    document, code = advised.run()
    assert code == 0
    assert document["advice"]["faster"] is True
    assert advised.ran == ["playbooks/advise.yml"]
    assert not advised.tuned.exists()


def test_advice_is_applied_and_measured_again(advised: Advised) -> None:
    document, code = advised.run(apply=True)
    assert code == 0
    assert document["advice"]["number"] == 2
    assert advised.ran == ["playbooks/advise.yml", "playbooks/database.yml", "playbooks/advise.yml again"]
    assert advised.tuned.read_text() == "pgbouncer_default_pool_size: 8\n"


def test_nothing_is_applied_where_nothing_is_faster(advised: Advised) -> None:
    advised.advice["faster"] = False
    _document, code = advised.run(apply=True)
    assert code == 0
    assert advised.ran == ["playbooks/advise.yml"]
    assert not advised.tuned.exists()


def test_older_advice_is_not_applied(advised: Advised) -> None:
    (advised.state / "benchmark/advice.json").write_text(json.dumps(advised.advice))
    advised.errors = {0: "db: unreachable"}
    document, code = advised.run(apply=True)
    assert code == 1
    assert document["advice"] is None
    assert advised.ran == ["playbooks/advise.yml"]


def test_a_roll_out_that_fails_says_where_the_advice_is(advised: Advised) -> None:
    advised.errors = {1: "db: refused"}
    document, code = advised.run(apply=True)
    assert code == 1
    assert "db: refused; what is recommended is in" in document["error"]
    assert str(advised.state / "benchmark/advised.yml") in document["error"]
    # The next run of the site does not try it again.
    assert not advised.tuned.exists()


def test_a_roll_out_that_fails_leaves_what_an_earlier_one_rolled_out(advised: Advised) -> None:
    advised.tuned.write_text("pgbouncer_default_pool_size: 12\n")
    advised.errors = {1: "db: refused"}
    _document, code = advised.run(apply=True)
    assert code == 1
    assert advised.tuned.read_text() == "pgbouncer_default_pool_size: 12\n"


def test_what_was_measured_before_the_advisor_was_interrupted_is_shown(advised: Advised) -> None:
    kept = advised.state / "benchmark/advise-runs.json"
    advised.errors, advised.unfinished = {0: "interrupted"}, {0}
    advised.runs = [
        {"default_pool_size": size, "processes": 1, "tps": tps, "failed": 0, "p95": 2.5, "error": None}
        | {"server_connections": size}
        for size, tps in ((20, 900.0), (20, 1100.0), (8, 1200.0))
    ]
    document, code = advised.run(apply=True)
    assert (code, document["advice"]) == (1, None)
    assert [line.split()[:5] for line in document["measured"][:3]] == [
        ["pool", "processes", "tps", "lowest", "highest"],
        ["8", "1", "1,200", "1,200", "1,200"],
        ["20", "1", "1,000", "900", "1,100"],
    ]
    assert document["measured"][-2:] == [
        "This is of the 3 runs that ended. Nothing is recommended.",
        f"The runs are in {kept}.",
    ]
    shown = runner.report({**document, "verb": "advise", "target": "lab", "seconds": 1.0, "log": None}, "")
    assert set(document["measured"]) <= set(shown)


def test_what_an_earlier_advisor_measured_does_not_pass_for_this_one(advised: Advised) -> None:
    (advised.state / "benchmark/advise-runs.json").write_text(json.dumps({"present": {}, "runs": [{}]}))
    advised.errors = {0: "interrupted"}
    document, code = advised.run()
    assert code == 1
    assert "measured" not in document


def test_a_check_undoes_nothing(advised: Advised) -> None:
    advised.marker.touch()
    _document, code = runner.perform(Request("advise", check=True), Project(advised.state.parents[1]))
    assert code == 0
    assert advised.ran == ["playbooks/advise.yml"]
    assert advised.marker.exists()


@pytest.mark.parametrize(("target", "there"), [("lab", False), ("aws", True)])
def test_a_lab_that_is_no_more_leaves_no_advice(
    target: str, there: bool, advised: Advised, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "check_credentials", lambda: None)
    tuned = advised.tuned.parents[3] / target / "group_vars/all/tuned.yml"
    tuned.parent.mkdir(parents=True, exist_ok=True)
    tuned.touch()
    runner.perform(Request("down", target, yes=True), Project(advised.state.parents[1]))
    assert tuned.exists() == there


@pytest.mark.parametrize(
    ("errors", "says", "left"),
    [
        ({0: "interrupted"}, "interrupted; PgBouncer is as before", False),
        (
            {0: "interrupted", 1: "db: unreachable"},
            "interrupted; PgBouncer may still have a setting that was only tried (db: unreachable):"
            " run `ansible-playbook -i inventory/lab playbooks/database.yml`",
            True,
        ),
    ],
)
def test_what_was_only_tried_is_undone_when_a_run_ends_early(
    errors: dict[int, str], says: str, left: bool, advised: Advised
) -> None:
    advised.errors, advised.unfinished = errors, {0}
    document, code = advised.run(apply=True)
    assert code == 1
    assert document["error"] == says
    assert advised.ran == ["playbooks/advise.yml", "playbooks/database.yml"]
    assert advised.marker.exists() == left


@pytest.mark.parametrize(
    ("written", "error", "expected"),
    [
        ('{"healthy": true}', None, (True, 0)),
        ('{"healthy": false}', None, (False, 1)),
        ('{"healthy": "true"}', None, ("true", 1)),
        ('{"healthy": true}', "db: unreachable", (False, 1)),
        (None, None, (False, 1)),
        ("[]", None, (False, 1)),
    ],
)
def test_status_trusts_nothing_but_a_fresh_clean_bill(
    written: str | None,
    error: str | None,
    expected: tuple[object, int],
    state: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (state / "status.json").write_text('{"healthy": true, "old": true}')
    writes(monkeypatch, state / "status.json", written, error)
    document, code = runner.perform(Request("status"), Project(state.parents[1]))
    assert (document["healthy"], code) == expected
    assert "old" not in document
    assert not error or document["error"] == error


@pytest.mark.usefixtures("never_runs", "no_credentials")
@pytest.mark.parametrize("target", runner.TARGETS)
def test_report_of_nothing_says_how_to_start(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runner.main(["report", "--target", target], Project(tmp_path)) == 2
    assert f"python runner.py up --target {target}" in capsys.readouterr().err


@pytest.mark.usefixtures("never_runs", "no_credentials")
@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_path_of_the_page_is_told(
    fails: bool,
    as_json: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = Project(tmp_path)
    project.state("aws").mkdir(parents=True)
    (project.state("aws") / "outputs.json").write_text("{}")

    def write(root: Path, state: Path, target: str, since: int) -> Path:
        assert (root, state, target, since) == (tmp_path, project.state("aws"), "aws", 1800)
        if fails:
            raise ReportError("Prometheus does not answer")
        return state / "report.html"

    monkeypatch.setattr(report_api, "write", write)
    argv = ["report", "--target", "aws", "--since", "30m", *(["--json"] if as_json else [])]
    assert runner.main(argv, project) == int(fails)
    captured = capsys.readouterr()
    path = None if fails else str(project.state("aws") / "report.html")
    error = "Prometheus does not answer" if fails else None
    if as_json:
        expected = {"verb": "report", "target": "aws", "ok": not fails, "error": error, "path": path}
        assert json.loads(captured.out) == expected
    else:
        assert (captured.out, captured.err) == (("", f"runner.py: {error}\n") if fails else (f"{path}\n", ""))


@pytest.mark.usefixtures("never_runs")
def test_state_that_cant_be_kept(tmp_path: Path) -> None:
    (tmp_path / ".state").touch()
    with pytest.raises(Refusal, match="can't keep state"):
        Project(tmp_path).new_run("lab", "up")


def test_last_ten_runs_are_kept_and_private(tmp_path: Path) -> None:
    (tmp_path / ".state").mkdir(mode=0o755)
    made = [Project(tmp_path).new_run("lab", "up") for _ in range(13)]
    assert sorted(made[0].parent.iterdir()) == made[-10:]
    private = [tmp_path / ".state", tmp_path / ".state/lab", made[-1].parent, made[-1]]
    assert [oct(path.stat().st_mode & 0o777) for path in private] == ["0o700"] * 4


@pytest.mark.parametrize("has_environment", [True, False])
def test_outside_of_the_environment(has_environment: bool, tmp_path: Path) -> None:
    shutil.copy(ROOT / "runner.py", tmp_path)
    if has_environment:
        python = tmp_path / ".venv/bin/python"
        python.parent.mkdir(parents=True)
        python.write_text('#!/bin/sh\necho "again: $@"\n')
        python.chmod(0o755)
    bare = [sys.executable, "-I", "-S", str(tmp_path / "runner.py"), "up", "--json"]
    done = subprocess.run(bare, capture_output=True, text=True, check=False)
    if has_environment:
        assert done.stdout == f"again: {tmp_path}/runner.py up --json\n"
    else:
        assert done.returncode == 2
        assert "make env" in json.loads(done.stdout)["error"]
    assert done.stderr == ""


# --------------------------------------------------------------------------------------- messages and events


def failed_item(message: str) -> dict[str, Any]:
    """Return the result of one round of a loop."""
    return {"msg": message, "failed": True, "ansible_loop_var": "item"}


HIDDEN = {"censored": "the output has been hidden due to the fact that 'no_log: true' was specified"}


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"msg": "no such user", "invocation": {"module_args": {"password": "x"}}}, "no such user"),
        ({"msg": "non-zero return code", "stderr": "a\nb\n"}, "non-zero return code: b"),
        ({"msg": "failed: b", "stderr": "a\nb\n"}, "failed: b"),
        ({"msg": "MODULE FAILURE", "module_stderr": "Killed\n"}, "MODULE FAILURE: Killed"),
        ({"msg": ["one", "two"]}, "one\ntwo"),
        ({"msg": "red \x1b[31mtext\x1b[0m\r"}, "red text"),
        ({}, "no message"),
        (
            {
                "msg": "x",
                "results": [failed_item("y"), {"msg": "z", "ansible_loop_var": "item"}, failed_item("y")],
            },
            "y",
        ),
        ({"msg": "3 transactions failed", "results": [{"failed": 3}, 7]}, "3 transactions failed"),
        (HIDDEN, "hidden by no_log; look at the task, r.yml:3, and at the service's journal on the host"),
        (
            {"msg": "x", "results": [{"msg": "fine"}, HIDDEN]},
            "hidden by no_log; look at the task, r.yml:3, and at the service's journal on the host",
        ),
    ],
)
def test_failure_text(result: dict[str, Any], expected: str) -> None:
    assert runner.failure_text(result, "r.yml:3") == expected


START = datetime(2026, 1, 1, tzinfo=UTC)


def event(at: float, kind: str, stdout: str = "", /, **data: Any) -> dict[str, Any]:
    """Return an event as ansible-runner makes it."""
    created = (START + timedelta(seconds=at)).isoformat()
    return {"event": kind, "created": created, "stdout": stdout, "event_data": data}


def result(at: float, kind: str, host: str, stdout: str = "", /, **data: Any) -> dict[str, Any]:
    """Return the event of a host's result."""
    return event(at, f"runner_on_{kind}", stdout, host=host, **data)


def stats(at: float, **totals: dict[str, int]) -> dict[str, Any]:
    """Return a playbook's last event."""
    names = ("ok", "changed", "dark", "failures", "skipped", "processed")
    data: dict[str, Any] = {name: totals.get(name, {}) for name in names}
    return event(at, "playbook_on_stats", **data)


def fold(*events: dict[str, Any]) -> tuple[RunState, list[tuple[str, str]]]:
    """Return the state after these events, and what was said."""
    state = RunState(START)
    return state, [(notice.kind, notice.text) for one in events for notice in state.fold(one)]


def test_fold_tells_plays_and_tasks_with_times_and_counts() -> None:
    state, said = fold(
        event(0.5, "playbook_on_start"),
        event(1, "playbook_on_play_start", name="database"),
        event(2, "playbook_on_task_start", task="Ready", role="pooled.postgres.postgres"),
        event(2, "runner_on_start", host="db"),
        result(3, "ok", "db", res={"changed": True}),
        result(3, "skipped", "web"),
        event(4.5, "playbook_on_task_start", task="Done"),
        result(5, "ok", "db", res={"changed": False}),
        stats(6, ok={"db": 2}, changed={"db": 1}, skipped={"web": 1}, processed={"db": 1, "web": 1}),
    )
    assert said == [
        ("play", "database"),
        ("task", "postgres : Ready ... ok=1 changed=1 skipped=1"),
        ("task", "Done ... ok=1"),
        ("played", "    5.0s  database"),
    ]
    assert state.tasks == [(2.5, "postgres : Ready"), (1.5, "Done")]
    none = dict.fromkeys(runner.COUNTERS, 0)
    assert state.hosts() == {"db": {**none, "ok": 2, "changed": 1}, "web": {**none, "skipped": 1}}


def test_fold_shows_what_each_host_does() -> None:
    state, _said = fold(
        event(1, "playbook_on_task_start", task="Ready"),
        *(event(1, "runner_on_start", host=host) for host in "abcd"),
        result(2, "ok", "a", res={}),
        result(2, "ok", "b", res={"changed": True}),
        result(2, "failed", "c", res={"msg": "no"}),
    )
    assert state.doing == {"a": "ok", "b": "changed", "c": "failed", "d": "running"}


def test_fold_adds_up_playbooks_and_counts_by_events_until_totals_come() -> None:
    state, _said = fold(
        stats(1, ok={"db": 2}, processed={"db": 1}),
        event(2, "playbook_on_task_start", task="Ready"),
        result(3, "ok", "db", res={"changed": True}),
        result(3, "unreachable", "web", res={"msg": "timed out"}),
    )
    counts = state.hosts()
    assert (counts["db"]["ok"], counts["db"]["changed"], counts["web"]["unreachable"]) == (3, 1, 1)


def test_fold_reports_failures_at_once_and_forgets_ignored_and_rescued_ones() -> None:
    state, said = fold(
        event(1, "playbook_on_task_start", task="Try"),
        result(2, "failed", "db", res={"msg": "ignored"}, ignore_errors=True),
        result(2, "failed", "db", res={"msg": "rescued"}),
        result(2, "failed", "web", res={"msg": "rescued, too"}),
        event(3, "playbook_on_task_start", task="Go"),
        result(4, "failed", "db", res={"msg": "real"}, task_path="/r.yml:1"),
    )
    assert [text for kind, text in said if kind == "failure"] == [
        "db: Try: rescued",
        "web: Try: rescued, too",
        "db: Go: real",
    ]
    assert state.hosts()["db"] == {"ok": 1, "changed": 0, "unreachable": 0, "failed": 2, "skipped": 0}
    state.fold(stats(5, failures={"db": 1}, processed={"db": 1, "web": 1}))
    assert state.failures == [{"host": "db", "task": "Go", "message": "real"}]
    assert runner.what_went_wrong(state, 2, 0) == "db: Go: real"


def test_fold_shows_debug_messages_but_no_other_results() -> None:
    debug = {"resolved_action": "ansible.builtin.debug"}
    _state, said = fold(
        result(1, "ok", "db", res={"msg": ["one", "two"]}, **debug),
        event(1, "runner_item_on_ok", host="db", res={"msg": "three"}, **debug),
        result(1, "ok", "db", res={"msg": "All items completed", "results": []}, **debug),
        result(1, "ok", "db", res={"msg": "inner workings"}, resolved_action="ansible.builtin.apt"),
        event(1, "runner_on_file_diff", "--- before\r\n+++ after", host="db"),
    )
    assert said == [("message", "one\ntwo"), ("message", "three"), ("message", "--- before\n+++ after")]


def test_fold_shows_what_a_long_task_has_got_to() -> None:
    benchmark = {"resolved_action": "pooled.postgres.benchmark"}
    state, said = fold(
        event(1, "playbook_on_task_start", task="Load is run"),
        event(1, "runner_item_on_ok", host="db", res={"progress": "2/9 next; 4 s left"}, **benchmark),
        event(2, "runner_item_on_ok", host="web", res={"tps": 1}, **benchmark),
        event(2, "runner_item_on_ok", host="db", res={"progress": "of another"}, resolved_action="x.y.z"),
    )
    assert said[-1:] == [("message", "2/9 next; 4 s left")]
    assert state.progress == "2/9 next; 4 s left"
    state.fold(stats(3))
    assert state.progress == ""


def test_fold_shows_warnings_once() -> None:
    text = "[WARNING]: old thing\r\n[DEPRECATION WARNING]: going away\r\nok: [db]"
    _state, said = fold(event(1, "warning", "[WARNING]: old thing"), result(1, "ok", "db", text, res={}))
    assert said == [("warning", "warning: old thing"), ("warning", "deprecation warning: going away")]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            ["[ERROR]: YAML parsing failed", "Origin: site.yml:2:1", "", "2 x"],
            "YAML parsing failed (site.yml:2:1)",
        ),
        (["ERROR! no such thing"], "no such thing"),
        (["ERROR: Ansible requires the locale encoding to be UTF-8"], "Ansible requires the locale encoding"),
        (["usage: …", "ansible-playbook: error: unrecognized"], "unrecognized"),
        (["something"], "ansible-playbook ended with exit code 4"),
    ],
)
def test_why_without_a_failed_task(lines: list[str], expected: str) -> None:
    state, _said = fold(*(event(1, "verbose", line) for line in lines))
    assert (runner.what_went_wrong(state, 4, 0) or "").startswith(expected)


def test_events_of_an_unknown_kind_are_no_trouble() -> None:
    state, said = fold(event(1, "something_new"), {"created": START.isoformat(), "stdout": None})
    assert (said, state.hosts()) == ([], {})


# ---------------------------------------------------------------------------------------- one run, no Ansible


def plays(monkeypatch: pytest.MonkeyPatch, *runs: tuple[int, list[dict[str, Any]]]) -> list[list[str]]:
    """Let ansible-playbook end with these exit codes after these events; return what it is called with."""
    called: list[list[str]] = []

    def play(
        _root: Path, arguments: list[str], _interrupt: object, take: Callable[[Any], bool], *_: Any
    ) -> int:
        code, events = runs[len(called)]
        called.append(arguments)
        assert [take(one) for one in events] == [False] * len(events), "ansible-runner is to keep nothing"
        return code

    monkeypatch.setattr(runner, "play", play)
    return called


TASK = [event(1, "playbook_on_task_start", "TASK [Go]\r\nok", task="Go"), stats(2)]


@pytest.mark.parametrize(
    ("runs", "tags", "calls", "error"),
    [
        ([(0, TASK), (0, TASK)], [], 2, None),
        ([(4, [event(1, "verbose", "[ERROR]: no lab")])], [], 1, "no lab"),
        ([(0, TASK), (2, TASK)], [], 2, "ansible-playbook ended with exit code 2"),
        ([(0, TASK), (0, [stats(2)])], [], 2, None),
        ([(0, TASK), (0, [stats(2)])], ["x", "y"], 2, "no task has one of the tags x, y"),
        ([(0, TASK), (0, TASK)], ["x"], 2, None),
    ],
)
def test_execute(
    runs: list[tuple[int, list[dict[str, Any]]]],
    tags: list[str],
    calls: int,
    error: str | None,
    tmp_path: Path,
) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with pytest.MonkeyPatch.context() as patch:
        called = plays(patch, *runs)
        document, code = runner.execute(Request("up", tags=tags), Project(tmp_path))
    assert (len(called), document["error"], code) == (calls, error, int(error is not None))
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == handlers
    log = Path(document["log"])
    assert log.read_text().startswith("TASK [Go]\nok\n" if runs[0][1] is TASK else "[ERROR]: no lab\n")
    assert json.loads((log.parent / "result.json").read_text()) == document


# ------------------------------------------------------------------------------------------------ the report


def test_report() -> None:
    document = {
        "verb": "bench",
        "target": "lab",
        "ok": False,
        "error": "db: Go: no",
        "seconds": 12.34,
        "hosts": {
            "postgres-db-server": dict.fromkeys(runner.COUNTERS, 7),
            "db": dict.fromkeys(runner.COUNTERS, 10),
        },
        "slowest": [{"task": "postgres : Go", "seconds": 10.5}],
        "failures": [{"host": "db", "task": "Go", "message": "no\nand no"}],
        "endpoints": {"grafana": "http://10.0.1.10:3000"},
        "benchmark": {"schema": 1},
        "report": "/x/latest.html",
        "log": "/x/ansible.log",
    }
    assert runner.report(document, "a table\n") == [
        "host                ok  changed  unreachable  failed  skipped",
        "postgres-db-server   7        7            7       7        7",
        "db                  10       10           10      10       10",
        "",
        "Slowest tasks:",
        "    10.5 s  postgres : Go",
        "",
        "Failed: db: Go",
        "  no",
        "  and no",
        "",
        "Endpoints:",
        "  grafana  http://10.0.1.10:3000",
        "",
        "a table",
        "",
        "Report: /x/latest.html",
        "",
        "bench on lab after 12.3 s: FAILED: db: Go: no",
        "Log: /x/ansible.log",
    ]


def test_status_report() -> None:
    document = {
        "hosts": ["db", "mon"],
        "services": [{"host": "db", "name": "pgbouncer", "state": "running"}, {"host": "db", "name": "x"}],
        "pools": [],
        "endpoints": {"grafana": "http://x"},
        "healthy": True,
    }
    assert runner.status_report(document) == [
        "hosts: db, mon",
        "",
        "services:",
        "  host  name       state",
        "  db    pgbouncer  running",
        "  db    x",
        "",
        "pools: none",
        "",
        "endpoints:",
        "  grafana  http://x",
        "",
        "healthy",
    ]
    assert runner.status_report({**runner.NO_STATUS, "error": "why"})[-1] == "NOT HEALTHY: why"
    assert runner.status_report({"healthy": "no"}) == ["NOT HEALTHY"]


# ------------------------------------------------------------------------------------------------- real runs


INVENTORY = """
all:
  hosts:
    localhost:
      ansible_connection: local
      ansible_python_interpreter: "{{ ansible_playbook_python }}"
"""
PLAYBOOKS = {
    "ansible.cfg": "[defaults]\nhome = .state/ansible\n[connection]\npipelining = true\n",
    "inventory/lab/hosts.yml": INVENTORY,
    "inventory/aws/hosts.yml": INVENTORY,
    "made/latest.json": '{"schema": 1}',
    "made/latest.txt": "direct  pooled\n",
    "playbooks/lab.yml": """
- name: Lab
  hosts: all
  gather_facts: false
  tasks:
    - name: Environment is read
      ansible.builtin.setup:
        gather_subset: [env]
""",
    "site.yml": """
- name: Site
  hosts: all
  gather_facts: false
  tasks:
    - name: Endpoints are known
      ansible.builtin.copy:
        dest: "{{ playbook_dir }}/.state/{{ inventory_dir | basename }}/outputs.json"
        content: '{"endpoints": {"grafana": "http://127.0.0.1:3000"}}'
        mode: "0600"
    - name: Result is told
      ansible.builtin.debug:
        msg:
          - "first \\x1b[31mline"
          - "checks keys: {{ lookup('ansible.builtin.config', 'HOST_KEY_CHECKING') }}"
    - name: Secret is kept
      ansible.builtin.debug:
        msg: "{{ password | default('none') }}"
      no_log: true
""",
    "playbooks/benchmark.yml": """
- name: Benchmark
  hosts: all
  gather_facts: false
  tasks:
    - name: Figures are written
      ansible.builtin.command: cp -r {{ playbook_dir }}/../made/. {{ playbook_dir }}/../.state/lab/benchmark
      changed_when: false
""",
    "playbooks/teardown.yml": """
- name: Teardown
  hosts: all
  gather_facts: false
  tasks:
    - name: State is gone
      ansible.builtin.file: {path: "{{ playbook_dir }}/../.state/lab", state: absent}
    - name: Ansible goes on
      ansible.builtin.debug: {msg: gone}
""",
}
SAYING = """
- name: Site
  hosts: all
  gather_facts: false
  tasks:
    - name: Something is said
      ansible.builtin.debug: {msg: hello}
"""
FAILING = """
- name: Site
  hosts: all
  gather_facts: false
  tasks:
    - name: Service runs
      ansible.builtin.command: sh -c 'echo first >&2; echo port taken >&2; exit 3'
      changed_when: false
"""
SLEEPING = """
- name: Site
  hosts: all
  gather_facts: false
  tasks:
    - name: Environment is read
      ansible.builtin.setup:
        gather_subset: [env]
    - name: Service is started
      ansible.builtin.command: setsid -f sleep {detached}
      changed_when: false
    - name: Sleeps
      ansible.builtin.command: sh -c 'trap "" INT TERM HUP; while sleep 0.05; do sleep {asleep} & done'
      changed_when: false
"""
MAIN = """
import pathlib, runner, sys
sys.exit(runner.main(sys.argv[2:], runner.Project(pathlib.Path(sys.argv[1]))))
"""


class Checkout:
    """A checkout with small playbooks, and runner.py at work in it as a process of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root / "checkout"
        self.temporary = root / "tmp"
        self.temporary.mkdir()
        (root / "another.cfg").write_text(f"[defaults]\nhome = {root}/another\n")
        self.environment = {
            # Whoever runs it by hand has none of what `make` and molecule set.
            **{
                name: value
                for name, value in os.environ.items()
                if name not in ("FORCE_COLOR", "NO_COLOR") and not name.startswith("ANSIBLE_")
            },
            # Enough for target aws, whose playbooks here never leave this machine.
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "ANSIBLE_CONFIG": str(root / "another.cfg"),
            "ANSIBLE_FORCE_COLOR": "1",
            "PYTHONPATH": str(ROOT),
            "TERM": "xterm-256color",
            "TMPDIR": str(self.temporary),
        }
        for name, text in PLAYBOOKS.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        """Put a file into the checkout."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def start(self, *argv: str, **options: Any) -> subprocess.Popen[str]:
        """Start runner.py, away from the checkout."""
        command = [sys.executable, "-c", MAIN, str(self.root), *argv]
        pipes: dict[str, Any] = {
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            **options,
        }
        return subprocess.Popen(command, cwd=self.temporary, env=self.environment, **pipes)

    def run(self, *argv: str) -> tuple[int, str, str]:
        """Run runner.py to its end; return exit code, stdout and stderr."""
        process = self.start(*argv)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def kept(self) -> str:
        """Return the content of every file that a run left behind."""
        found = []
        for path in [*(self.root / ".state").rglob("*"), *self.temporary.rglob("*")]:
            with contextlib.suppress(IsADirectoryError, FileNotFoundError):
                found.append(f"{path}\n{path.read_text(errors='replace')}")
        return "\n".join(found)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """Return a fresh checkout."""
    return Checkout(tmp_path)


def test_up_shows_plain_progress_and_a_report(checkout: Checkout) -> None:
    code, out, err = checkout.run("up", "-e", f"password={VARIABLE}")
    assert code == 0, err
    assert "\x1b" not in out + err
    assert re.search(r"^\[ +\d+\.\d+s\] PLAY Site$", err, re.MULTILINE)
    assert re.search(r"^\[ +\d+\.\d+s\] Endpoints are known \.\.\. ok=1 changed=1$", err, re.MULTILINE)
    assert re.search(r"^\[ +\d+\.\d+s\]   first line\n +checks keys: True$", err, re.MULTILINE)
    assert re.search(r"^localhost +4 +1 +0 +0 +0$", out, re.MULTILINE)
    assert "grafana  http://127.0.0.1:3000" in out
    assert re.search(r"^up on lab after \d+\.\d s: ok$", out, re.MULTILINE)
    log = Path(out.rstrip().rpartition("Log: ")[2])
    assert "PLAY RECAP" in log.read_text()
    assert "\x1b" not in log.read_text()
    assert (checkout.root / ".state/ansible").is_dir(), "the checkout's ansible.cfg counts"
    assert sorted(path.name for path in log.parent.iterdir()) == ["ansible.log", "result.json"]
    assert {path.stat().st_mode & 0o777 for path in log.parent.iterdir()} == {0o600}
    assert not list(checkout.temporary.iterdir())
    for secret in (SECRET, VARIABLE):
        assert secret not in checkout.kept()
        assert secret not in out + err


def test_up_check_as_json(checkout: Checkout) -> None:
    code, out, err = checkout.run("--json", "up", "--target", "aws", "--check")
    document = json.loads(out)
    assert (code, document["ok"], document["check"], document["error"]) == (0, True, True, None), err
    assert (document["verb"], document["target"], document["changed"]) == ("up", "aws", True)
    counts = {"ok": 3, "changed": 1, "unreachable": 0, "failed": 0, "skipped": 0}
    assert document["hosts"] == {"localhost": counts}
    assert document["endpoints"] == {}
    assert not (checkout.root / ".state/aws/outputs.json").exists()
    assert "+{" in err.replace(" ", ""), "the difference is shown"
    assert len(document["slowest"]) == 3
    assert 0 < sum(one["seconds"] for one in document["slowest"]) <= document["seconds"]
    assert SECRET not in checkout.kept()


def test_a_failed_task_says_where_and_why(checkout: Checkout) -> None:
    checkout.write("site.yml", FAILING)
    code, out, err = checkout.run("up", "--json", "--target", "aws")
    document = json.loads(out)
    message = "non-zero return code: port taken"
    assert (code, document["ok"]) == (1, False)
    assert document["failures"] == [{"host": "localhost", "task": "Service runs", "message": message}]
    assert document["error"] == f"localhost: Service runs: {message}"
    assert f"FAILED localhost: Service runs: {message}" in err
    assert "fatal: [localhost]" in Path(document["log"]).read_text()


def test_a_broken_playbook_says_where(checkout: Checkout) -> None:
    checkout.write("site.yml", "- hosts: [\n")
    code, out, _err = checkout.run("up", "--target", "aws")
    assert code == 1
    assert "FAILED: YAML parsing failed" in out
    assert "site.yml:2:1)" in out


def test_bench_and_down(checkout: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    project = Project(checkout.root)
    checkout.write(".state/lab/outputs.json", "{}")

    assert runner.main(["bench"], project) == 0
    assert "\ndirect  pooled\n" in capsys.readouterr().out

    assert runner.main(["down", "--json"], project) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["ok"], document["log"]) == (True, None)
    assert not (checkout.root / ".state/lab").exists()


@pytest.mark.parametrize("no_color", [False, True])
def test_on_a_terminal_the_state_is_live(checkout: Checkout, no_color: bool) -> None:
    if no_color:
        checkout.environment["NO_COLOR"] = "1"
    checkout.write("site.yml", SAYING)
    ours, theirs = pty.openpty()
    process = checkout.start("up", "--json", "--target", "aws", stderr=theirs)
    os.close(theirs)
    shown = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        while chunk := read(terminal):
            shown += chunk
    out, _err = process.communicate(timeout=60)
    text = shown.decode()
    assert process.returncode == 0
    assert json.loads(out)["ok"]
    assert "Site: Something is said" in text
    assert re.search(r"localhost +\S*(running|ok)", text)
    assert re.search(r"\d+\.\ds  Site", text)
    assert "\x1b[2K" in text, "lines are rewritten"
    assert bool(re.search(r"\x1b\[(3\d|\d;3\d)m", text)) is not no_color


def read(terminal: Any) -> bytes:
    """Return what was shown, or nothing at the end (which Linux reports as an error)."""
    try:
        return bytes(terminal.read(4096))
    except OSError:
        return b""


def running(needle: str) -> list[int]:
    """Return the processes whose command line or directory contains this."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().decode(errors="replace")
            if needle in line or needle in str((process / "cwd").readlink()):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait for something to come true.

    Raises:
        TimeoutError: it did not.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.05)


@pytest.fixture
def sleeping(checkout: Checkout) -> Iterator[tuple[Checkout, str, str]]:
    """Return a checkout that leaves a service behind, then starts ever more processes and is deaf."""
    # Durations of a thousand seconds and more, told apart from anybody else's by their fractions.
    asleep, detached = (f"{1000 + number}.{uuid.uuid4().int % 10**9:09}" for number in range(2))
    checkout.write("site.yml", SLEEPING.format(asleep=asleep, detached=detached))
    yield checkout, asleep, detached
    while left := running(asleep) + running(detached):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_interrupt_leaves_no_orphan(sleeping: tuple[Checkout, str, str]) -> None:
    checkout, asleep, detached = sleeping
    process = checkout.start("up", "--target", "aws", "--json", "-e", f"password={VARIABLE}")
    until(lambda: running(asleep) and "TASK [Sleeps]" in checkout.kept())
    for secret in (SECRET, VARIABLE):
        assert secret not in checkout.kept(), "not even while it runs"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    document = json.loads(out)
    assert document["ok"] is False
    assert document["error"].startswith("interrupted in Site: Sleeps; ")
    assert "once more kills it" in err
    until(lambda: not running(asleep), 2)
    until(lambda: not running(str(checkout.root)) or running(str(checkout.root)) == running(detached), 2)
    assert running(detached), "what the playbook started for good lives on"
    assert not list(checkout.temporary.iterdir())


def test_second_interrupt_kills_at_once(sleeping: tuple[Checkout, str, str]) -> None:
    checkout, asleep, _detached = sleeping
    process = checkout.start("up", "--target", "aws", "--json")
    until(lambda: running(asleep))
    [playbook] = [pid for pid in running("ansible-playbook") if parent(pid) == process.pid]
    os.kill(playbook, signal.SIGSTOP)  # deaf
    process.send_signal(signal.SIGTERM)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=5)
    assert process.returncode == 143
    until(lambda: not running(asleep) and playbook not in running("ansible-playbook"), 2)


def parent(pid: int) -> int:
    """Return a process's parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
