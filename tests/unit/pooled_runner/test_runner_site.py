# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""up and down, and what every verb refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pooled_runner import commands, execute
from pooled_runner.cli import main
from pooled_runner.project import Project
from pooled_runner.request import Request

SECRET = "s3cr3t-of-the-cloud"


@pytest.mark.usefixtures("never_runs", "no_credentials")
@pytest.mark.parametrize("profile", [None, "nosuch"])
def test_aws_without_credentials_suggests_the_lab(
    profile: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if profile:
        monkeypatch.setenv("AWS_PROFILE", profile)
    assert main(["up", "--target", "aws", "--json"], Project(tmp_path)) == 2
    document = json.loads(capsys.readouterr().out)
    assert (document["verb"], document["target"], document["ok"]) == ("up", "aws", False)
    assert "aws configure" in document["error"]
    assert "--target lab" in document["error"]
    assert not (tmp_path / ".state").exists()


class Answer:
    """A terminal where somebody types one line, or (None) no terminal."""

    def __init__(self, line: str | None) -> None:
        self.line = line

    def isatty(self) -> bool:
        """Return whether this is a terminal."""
        return self.line is not None

    def readline(self) -> str:
        """Return the typed line."""
        return f"{self.line}\n"


@pytest.mark.usefixtures("never_runs", "no_credentials")
def test_down_on_aws_without_a_terminal_needs_yes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setattr(sys, "stdin", Answer(None))
    assert main(["down", "--target", "aws", "--json"], Project(tmp_path)) == 2
    shown = capsys.readouterr()
    assert "--yes" in json.loads(shown.out)["error"]
    assert SECRET not in shown.out + shown.err


def test_credentials_from_the_environment_are_enough(
    no_credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    commands.check_credentials()


@pytest.mark.parametrize(
    ("arguments", "answer", "runs"),
    [
        # A run in check mode shows first what would be removed.
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
def test_down_on_aws_shows_and_asks_before_it_removes(
    *,
    arguments: str,
    answer: str | None,
    runs: list[bool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen = []
    document = {"verb": "", "target": "", "ok": True, "hosts": {}, "slowest": [], "failures": [], "log": None}

    def run(request: Request, _project: Project) -> tuple[dict[str, Any], int]:
        seen.append(request.check)
        return {**document, "seconds": 0}, 0

    monkeypatch.setattr(sys, "stdin", Answer(answer))
    monkeypatch.setattr(commands, "check_credentials", lambda: None)
    monkeypatch.setattr(execute, "run", run)
    code = main(arguments.split(), Project(tmp_path))
    assert seen == runs
    said = capsys.readouterr().err
    if answer is not None:
        assert ("and the data volumes" if "--delete-data" in arguments else "but no data volume") in said
        assert code == (0 if answer == "yes" else 2)
        assert ("nothing was removed" in said) is (answer != "yes")


def test_down_on_aws_does_not_ask_if_the_check_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Answer("yes"))
    monkeypatch.setattr(commands, "check_credentials", lambda: None)
    seen = []

    def run(request: Request, _project: Project) -> tuple[dict[str, Any], int]:
        seen.append(request.check)
        return {}, 4

    monkeypatch.setattr(execute, "run", run)
    assert commands.perform(Request("down", "aws"), Project(tmp_path)) == ({}, 4)
    assert seen == [True]
