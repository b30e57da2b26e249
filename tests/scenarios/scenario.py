"""The bare hosts that a molecule scenario brought up, and ways to use them as their users do."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]

Run = subprocess.CompletedProcess[str]


class Scenario:
    """The hosts of one scenario of this checkout."""

    def __init__(self, name: str) -> None:
        self.folder = ROOT / "molecule" / name
        self.state = ROOT / ".state/scenarios" / name
        inventory = yaml.safe_load((self.folder / "inventory.yml").read_text())
        self.hosts: tuple[str, ...] = tuple(inventory["all"]["children"]["database"]["hosts"])

    def run(self, *command: str, stdin: str | None = None) -> Run:
        """Run a command in the checkout and return it, whatever its exit code."""
        # Molecule sets variables for its own runs; a user has none of them.
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "MOLECULE_"))}
        return subprocess.run(
            command,
            cwd=ROOT,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            env=clean,
        )

    def playbook(
        self,
        *arguments: str,
        playbook: Path | None = None,
        variables: Mapping[str, Any] | None = None,
        by_host: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Run:
        """Run a playbook, the scenario's own by default; variables go by a file, so that ``ps`` has none.

        With ``by_host`` it runs on those hosts only, each with variables of its own: one run for several
        cases, for most of a run's time is spent on what all hosts do at once.
        """
        command = [
            str(Path(sys.executable).parent / "ansible-playbook"),
            str(playbook or self.folder / "converge.yml"),
            f"--inventory={ROOT / 'molecule/hosts/hosts.yml'}",
            f"--inventory={self.folder / 'inventory.yml'}",
            *arguments,
        ]
        with tempfile.TemporaryDirectory() as folder:
            given = Path(folder) / "variables.json"
            given.write_text(json.dumps(variables or {}))
            command.append(f"--extra-vars=@{given}")
            if by_host:
                # The last inventory wins.
                own = Path(folder) / "hosts.json"
                own.write_text(json.dumps({"database": {"hosts": by_host}}))
                command += [f"--inventory={own}", f"--limit={','.join(by_host)}"]
            return self.run(*command)

    def ssh(self, host: str, command: str, stdin: str | None = None) -> Run:
        """Run a command on a host as ``admin``, who may do all with sudo."""
        return self.run("ssh", "-F", str(self.state / "ssh_config"), host, command, stdin=stdin)

    def python(self, host: str, script: str, inputs: Any, *, sudo: bool = False) -> Run:
        """Run a Python script on a host, with its inputs as JSON on stdin, where no ``ps`` shows them."""
        prefix = "sudo " if sudo else ""
        return self.ssh(host, f"{prefix}python3 -c {shlex.quote(script)}", stdin=json.dumps(inputs))

    def root(self, host: str, command: str, stdin: str | None = None) -> str:
        """Return what a command of root's prints, which must succeed."""
        result = self.ssh(host, f"sudo sh -c {shlex.quote(command)}", stdin=stdin)
        assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
        return result.stdout.strip()

    def query(self, host: str, sql: str, database: str = "postgres") -> str:
        """Return what PostgreSQL answers its superuser, whose command must succeed."""
        result = self.psql(host, sql, database)
        assert result.returncode == 0, f"{sql}: {result.stderr}"
        return result.stdout.strip()

    def psql(self, host: str, sql: str, database: str = "postgres") -> Run:
        """Ask PostgreSQL as its superuser. The cluster is the only one, so psql finds its port."""
        return self.ssh(host, f"sudo -u postgres psql -XAtq -v ON_ERROR_STOP=1 -d {database}", stdin=sql)

    def login(
        self,
        host: str,
        password: str,
        user: str = "myuser",
        database: str = "mydb",
        port: int = 0,
        *,
        options: Mapping[str, str] | None = None,
    ) -> str:
        """Log in over loopback and return what the server says: ``ok``, or its error.

        ``port`` is PostgreSQL's where it is 0. Options are libpq's.
        """
        script = (
            "import json, sys, psycopg2\n"
            "try:\n"
            "    c = psycopg2.connect(**json.load(sys.stdin)); c.cursor().execute('SELECT 1'); print('ok')\n"
            "except psycopg2.Error as e:\n"
            "    print(str(e).strip())\n"
        )
        inputs = {
            "host": "127.0.0.1",
            "port": port or int(self.query(host, "SHOW port")),
            "user": user,
            "password": password,
            "dbname": database,
            "connect_timeout": 10,
            **(options or {}),
        }
        result = self.ssh(host, f"python3 -c {shlex.quote(script)}", stdin=json.dumps(inputs))
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
