"""Runs of ansible-playbook that lock a target."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[4]
BIN = Path(sys.executable).parent
USE = """
- ansible.builtin.import_playbook: {root}/playbooks/lock.yml
- ansible.builtin.import_playbook: {root}/playbooks/lock.yml
- name: Change the target
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Wait for the file
      ansible.builtin.wait_for: {{path: "{{{{ until }}}}", sleep: 1}}
    - name: Change the target
      ansible.builtin.file: {{path: "{{{{ pooled_state_dir }}}}/changed", state: touch, mode: "0600"}}
"""


class Target:
    """The state of a target, and runs of a playbook that changes it."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "lab"
        self.end = directory / "end"
        self.playbook = directory / "use.yml"
        self.playbook.write_text(USE.format(root=ROOT))
        self.environment = {
            k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "MOLECULE_"))
        }
        self.environment["ANSIBLE_HOME"] = str(directory / "ansible")
        self.runs: list[subprocess.Popen[str]] = []

    def command(self, *options: str) -> list[str]:
        """Return a command line."""
        variables = ["-e", f"pooled_state_dir={self.state}", "-e", f"until={self.end}"]
        inventory = ["-i", "inventory/aws/hosts.yml"]
        return [str(BIN / "ansible-playbook"), str(self.playbook), *inventory, *variables, *options]

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command in the checkout."""
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        process = subprocess.Popen(command, cwd=ROOT, env=self.environment, text=True, **pipes)
        self.runs.append(process)
        return process

    def locked(self) -> subprocess.Popen[str]:
        """Return a run that holds the lock, until `end` exists."""
        process = self.start(*self.command())
        deadline = time.monotonic() + 60
        while not (self.state / "lock").exists() or not (self.state / "lock").read_text():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return process


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    """Return a target, and end its runs."""
    found = Target(tmp_path)
    yield found
    for process in found.runs:
        process.kill()
        process.communicate()


def test_a_second_run_is_refused_before_it_changes_anything(target: Target) -> None:
    first = target.locked()
    os.kill(first.pid, signal.SIGSTOP)
    target.end.touch()
    second = target.start(*target.command("-e", "password=s3cr3t"))
    out = " ".join(second.communicate(timeout=60)[0].split())
    assert second.returncode == 2, out
    assert "Failed to lock lab: `ansible-playbook" in out
    assert f"(process {first.pid}) changes it since" in out
    assert f"or stop it with `kill -INT {first.pid}`." in out
    assert not (target.state / "changed").exists()
    os.kill(first.pid, signal.SIGCONT)
    assert first.wait(timeout=60) == 0
    assert (target.state / "changed").exists()
    assert "-e ..." in (target.state / "lock").read_text()


def test_check_mode_needs_no_lock(target: Target) -> None:
    target.locked()
    check = target.start(*target.command("--check", "-e", f"until={target.playbook}"))
    assert check.wait(timeout=60) == 0


def test_a_killed_run_leaves_no_lock(target: Target) -> None:
    first = target.locked()
    first.kill()
    first.wait()
    target.end.touch()
    second = target.start(*target.command())
    out = second.communicate(timeout=60)[0]
    assert second.returncode == 0, out


def test_a_run_shares_the_lock_of_the_process_that_started_it(target: Target) -> None:
    target.end.touch()
    program = (
        "import os, pathlib, subprocess, sys\n"
        "from ansible_collections.pooled.postgres.plugins.module_utils._site import lock\n"
        "lock.take(pathlib.Path(sys.argv[1]), 'lab', os.getpid())\n"
        "sys.exit(subprocess.run(sys.argv[2:]).returncode)\n"
    )
    parent = target.start(sys.executable, "-c", program, str(target.state), *target.command())
    out = parent.communicate(timeout=60)[0]
    assert parent.returncode == 0, out
