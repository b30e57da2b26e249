# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The state of a target, and its lock."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._site import lock

from pooled_runner.cli import main
from pooled_runner.commands import perform
from pooled_runner.project import Project
from pooled_runner.request import Refusal, parse


def test_unwritable_state_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".state").touch()
    with pytest.raises(Refusal, match=r"Failed to create .*: File exists. Run as the owner"):
        Project(tmp_path).new_run("lab", "up")


def test_the_last_ten_runs_are_kept_and_private(tmp_path: Path) -> None:
    (tmp_path / ".state").mkdir(mode=0o755)
    made = [Project(tmp_path).new_run("lab", "up") for _ in range(13)]
    assert sorted(made[0].parent.iterdir()) == made[-10:]
    private = [tmp_path / ".state", tmp_path / ".state/lab", made[-1].parent, made[-1]]
    assert [oct(path.stat().st_mode & 0o777) for path in private] == ["0o700"] * 4


@pytest.fixture
def another() -> Iterator[subprocess.Popen[bytes]]:
    """Return another process."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


@pytest.mark.usefixtures("never_runs")
@pytest.mark.parametrize("verb", ["up", "bench", "advise", "down"])
def test_a_run_refuses_to_change_a_locked_target(
    verb: str, state: Path, another: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    lock.take(state, "lab", another.pid, ["ansible-playbook", "site.yml", "-e", "password=x"])
    assert main([verb, "--json"], Project(state.parents[1])) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error.startswith(
        f"Failed to lock lab: `ansible-playbook site.yml -e ...` (process {another.pid}) changes it since "
    )
    assert error.endswith(f"Wait until it ends, or stop it with `kill -INT {another.pid}`.")


@pytest.mark.parametrize("arguments", ["up --check", "down --check", "status"])
def test_a_run_that_changes_nothing_needs_no_lock(
    arguments: str, state: Path, another: subprocess.Popen[bytes], writes: Callable[..., None]
) -> None:
    lock.take(state, "lab", another.pid, ["ansible-playbook"])
    writes(state / "status.json", '{"healthy": true}')
    document, code = perform(parse(arguments.split()), Project(state.parents[1]))
    assert (document.get("error"), code) == (None, 0)


def test_a_run_releases_the_lock(state: Path, writes: Callable[..., None]) -> None:
    writes(state / "unused", "")
    perform(parse(["up"]), Project(state.parents[1]))
    assert (state / "lock").read_bytes() == b""
