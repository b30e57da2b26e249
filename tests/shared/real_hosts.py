"""Hosts that molecule brought up, ways to use them as their users do, and what a run's recap says."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

Run = subprocess.CompletedProcess[str]

LOGIN = """
import json, sys, psycopg2
try:
    c = psycopg2.connect(**json.load(sys.stdin)); c.cursor().execute('SELECT 1'); print('ok')
except psycopg2.Error as e:
    print(str(e).strip())
"""


class Hosts:
    """Hosts of this checkout.

    Args:
        state: the directory of what is kept of them, their ``ssh_config`` among it.
    """

    def __init__(self, state: Path) -> None:
        self.state = state

    def run(self, *command: str, stdin: str | None = None, env: Mapping[str, str] | None = None) -> Run:
        """Run a command in the checkout and return it, whatever its exit code."""
        # Molecule sets variables for its own runs; a user has none of them.
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "MOLECULE_"))}
        return subprocess.run(
            command,
            cwd=ROOT,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
            env={**clean, **(env or {})},
        )

    def ssh(self, host: str, command: str, stdin: str | None = None) -> Run:
        """Run a command on a host over SSH, as who may do all with sudo."""
        return self.run("ssh", "-F", str(self.state / "ssh_config"), host, command, stdin=stdin)

    def python(self, host: str, script: str, inputs: Any, *, sudo: bool = False) -> Run:
        """Run a Python script on a host, with its inputs as JSON on stdin, where no ``ps`` shows them."""
        prefix = "sudo " if sudo else ""
        return self.ssh(host, f"{prefix}python3 -c {shlex.quote(script)}", stdin=json.dumps(inputs))

    def login_from(self, client: str, options: Mapping[str, Any]) -> str:
        """Log in from a host with libpq's options and return what the server says: ``ok``, or its error."""
        result = self.python(client, LOGIN, {"connect_timeout": 10, **options})
        return result.stdout.strip() or result.stderr


def recap(result: Run) -> dict[str, dict[str, int]]:
    """Return the counts of a playbook's recap by host."""
    lines = (
        line.split() for line in result.stdout.split("PLAY RECAP")[-1].splitlines() if "changed=" in line
    )
    return {
        host: {name: int(count) for name, count in (part.split("=") for part in counts)}
        for host, _colon, *counts in lines
    }


def changed_nothing(result: Run) -> bool:
    """Say whether a playbook's recap counts no change."""
    counts = recap(result).values()
    return bool(counts) and not any(count["changed"] for count in counts)


def words(result: Run) -> str:
    """Return all that a run said, on one line: Ansible wraps its warnings."""
    return " ".join((result.stdout + result.stderr).split())
