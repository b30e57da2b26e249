# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""advise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pooled_runner import commands, execute, tables
from pooled_runner.commands import perform
from pooled_runner.project import Project
from pooled_runner.request import Request, command_lines

DONE: dict[str, Any] = {"verb": "", "ok": True, "error": None, "hosts": {}, "slowest": [], "failures": []}


class Advised:
    """A lab whose playbooks only write what the advisor would write, and record their names."""

    def __init__(self, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.state = state
        self.ran: list[str] = []
        self.advice: dict[str, Any] = {"faster": True, "table": [], "answer": []}
        # By the number of the run: its error, and whether it leaves PgBouncer with a trial setting.
        self.errors: dict[int, str] = {}
        self.unfinished: set[int] = set()
        self.runs: list[dict[str, Any]] = []
        (state.parents[1] / "inventory/lab/group_vars/all").mkdir(parents=True)
        monkeypatch.setattr(execute, "run", self.playbook)

    def playbook(self, request: Request, _project: Project) -> tuple[dict[str, Any], int]:
        """Replace a run of a playbook."""
        number = len(self.ran)
        self.ran.append(command_lines(request)[0][-1] + " again" * bool(request.extra_vars))
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
        """The inventory's file of applied advice."""
        return self.state.parents[1] / "inventory/lab/group_vars/all/tuned.yml"

    @property
    def marker(self) -> Path:
        """The file that exists while PgBouncer may run with a trial setting."""
        return self.state / "benchmark/advise-unfinished"

    def run(self, *, apply: bool = False) -> tuple[dict[str, Any], int]:
        """Run `runner.py advise`."""
        return perform(Request("advise", apply=apply), Project(self.state.parents[1]))


@pytest.fixture
def advised(state: Path, monkeypatch: pytest.MonkeyPatch) -> Advised:
    """Return such a lab."""
    return Advised(state, monkeypatch)


def test_advise_alone_applies_nothing(advised: Advised) -> None:
    document, code = advised.run()
    assert code == 0
    assert document["advice"]["faster"] is True
    assert advised.ran == ["playbooks/advise.yml"]
    assert not advised.tuned.exists()


def test_apply_applies_the_advice_and_measures_again(advised: Advised) -> None:
    document, code = advised.run(apply=True)
    assert code == 0
    assert document["advice"]["number"] == 2
    assert advised.ran == ["playbooks/advise.yml", "playbooks/database.yml", "playbooks/advise.yml again"]
    assert advised.tuned.read_text() == "pgbouncer_default_pool_size: 8\n"


def test_apply_applies_nothing_if_no_setting_is_faster(advised: Advised) -> None:
    advised.advice["faster"] = False
    _document, code = advised.run(apply=True)
    assert code == 0
    assert advised.ran == ["playbooks/advise.yml"]
    assert not advised.tuned.exists()


def test_apply_ignores_earlier_advice(advised: Advised) -> None:
    (advised.state / "benchmark/advice.json").write_text(json.dumps(advised.advice))
    advised.errors = {0: "db: unreachable"}
    document, code = advised.run(apply=True)
    assert code == 1
    assert document["advice"] is None
    assert advised.ran == ["playbooks/advise.yml"]


def test_a_failed_apply_names_the_file_of_the_advice(advised: Advised) -> None:
    advised.errors = {1: "db: refused"}
    document, code = advised.run(apply=True)
    assert code == 1
    assert "db: refused; the advice in" in document["error"]
    assert str(advised.state / "benchmark/advised.yml") in document["error"]
    # The next run of the site must not apply it.
    assert not advised.tuned.exists()


def test_a_failed_apply_keeps_earlier_applied_advice(advised: Advised) -> None:
    advised.tuned.write_text("pgbouncer_default_pool_size: 12\n")
    advised.errors = {1: "db: refused"}
    _document, code = advised.run(apply=True)
    assert code == 1
    assert advised.tuned.read_text() == "pgbouncer_default_pool_size: 12\n"


def test_an_interrupted_advisor_shows_its_measurements(advised: Advised) -> None:
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
    shown = tables.report({**document, "verb": "advise", "target": "lab", "seconds": 1.0, "log": None}, "")
    assert set(document["measured"]) <= set(shown)


def test_an_interrupted_advisor_shows_no_earlier_measurements(advised: Advised) -> None:
    (advised.state / "benchmark/advise-runs.json").write_text(json.dumps({"present": {}, "runs": [{}]}))
    advised.errors = {0: "interrupted"}
    document, code = advised.run()
    assert code == 1
    assert "measured" not in document


def test_check_restores_nothing(advised: Advised) -> None:
    advised.marker.touch()
    _document, code = perform(Request("advise", check=True), Project(advised.state.parents[1]))
    assert code == 0
    assert advised.ran == ["playbooks/advise.yml"]
    assert advised.marker.exists()


@pytest.mark.parametrize(("target", "there"), [("lab", False), ("aws", True)])
def test_down_removes_the_advice_for_a_lab(
    target: str, there: bool, advised: Advised, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "check_credentials", lambda: None)
    tuned = advised.tuned.parents[3] / target / "group_vars/all/tuned.yml"
    tuned.parent.mkdir(parents=True, exist_ok=True)
    tuned.touch()
    perform(Request("down", target, yes=True), Project(advised.state.parents[1]))
    assert tuned.exists() == there


@pytest.mark.parametrize(
    ("errors", "says", "left"),
    [
        ({0: "interrupted"}, "interrupted; PgBouncer's settings are restored", False),
        (
            {0: "interrupted", 1: "db: unreachable"},
            "interrupted; PgBouncer may still run with a trial setting (db: unreachable):"
            " run `ansible-playbook -i inventory/lab playbooks/database.yml`",
            True,
        ),
    ],
)
def test_settings_are_restored_after_an_interrupted_run(
    errors: dict[int, str], says: str, left: bool, advised: Advised
) -> None:
    advised.errors, advised.unfinished = errors, {0}
    document, code = advised.run(apply=True)
    assert code == 1
    assert document["error"] == says
    assert advised.ran == ["playbooks/advise.yml", "playbooks/database.yml"]
    assert advised.marker.exists() == left
