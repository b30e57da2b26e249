# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The command line, and the runs of ansible-playbook that it needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import plans

from pooled_runner import request
from pooled_runner.request import Refusal, Request


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
    assert request.parse(argv.split()) == expected


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "verb"),
        (["start"], "choose from"),
        (["up", "--target", "gcp"], "choose from"),
        (["up", "--targ", "lab"], "unrecognized"),
        (["up", "--tags", ""], "not a list of tags"),
        (["up", "--tags", "a,,b"], "not a list of tags"),
        (["up", "--tags", "a b"], "not a list of tags"),
        (["up", "--tags=--check"], "not a list of tags"),
        (["up", "-e", "password"], "NAME=VALUE"),
        (["report", "--since", "1"], "not a time such as 30m"),
        (["report", "--since", "0h"], "not a time such as 30m"),
        (["report", "--since=-1h"], "not a time such as 30m"),
        (["up", "-e", "=1"], "NAME=VALUE"),
        (["up", "-e", '{"half": '], "or a JSON object"),
        (["up", "--plan", "quick"], "--plan belongs to bench"),
        (["report", "--compare", "a.json", "b.json"], "--compare belongs to bench"),
        (["up", "--apply"], "--apply belongs to advise"),
        (["bench", "--compare", "a.json"], "expected 2 arguments"),
        (["up", "-e", "@/nowhere/vars.yml"], "file /nowhere/vars.yml does not exist"),
    ],
)
def test_parse_refuses(argv: list[str], says: str) -> None:
    with pytest.raises(Refusal, match=says):
        request.parse(argv)


def test_refusals_do_not_repeat_variables() -> None:
    with pytest.raises(Refusal) as refusal:
        request.parse(["up", "-e", "pa55word"])
    assert "pa55word" not in str(refusal.value)


def test_path_of_variables_is_relative_to_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vars.yml").touch()
    monkeypatch.chdir(tmp_path)
    assert request.parse(["up", "-e", "@vars.yml"]).extra_vars == [f"@{tmp_path}/vars.yml"]


def test_path_of_a_plan_is_relative_to_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert request.parse(["bench", "--plan", "own.yml"]).plan == f"{tmp_path}/own.yml"


def test_plans_are_the_builtin_ones() -> None:
    assert set(request.PLANS) == set(plans.BUILTIN)


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
    assert [" ".join(line) for line in request.command_lines(request_)] == expected
