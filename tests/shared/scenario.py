"""The bare hosts of a running molecule scenario: playbooks, commands, queries and logins."""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from real_hosts import ROOT, Hosts, Run


class Scenario(Hosts):
    """The hosts of one scenario of this checkout."""

    def __init__(self, name: str) -> None:
        self.folder = ROOT / "molecule" / name
        super().__init__(ROOT / ".state/scenarios" / name)
        inventory = yaml.safe_load((self.folder / "inventory.yml").read_text())
        # Each scenario has one group.
        (self.group, members), *_ = inventory["all"]["children"].items()
        self.hosts: tuple[str, ...] = tuple(members["hosts"])

    def playbook(
        self,
        *arguments: str,
        playbook: Path | None = None,
        variables: Mapping[str, Any] | None = None,
        by_host: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Run:
        """Run a playbook, by default the scenario's. Variables go by a file, so that ``ps`` shows none.

        With ``by_host`` it runs on those hosts only, each with its own variables. Cases in one run are
        faster, because hosts run in parallel.
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
                own.write_text(json.dumps({self.group: {"hosts": by_host}}))
                command += [f"--inventory={own}", f"--limit={','.join(by_host)}"]
            return self.run(*command)

    def root(self, host: str, command: str, stdin: str | None = None) -> str:
        """Run a command as root, which must succeed, and return its output."""
        result = self.ssh(host, f"sudo sh -c {shlex.quote(command)}", stdin=stdin)
        assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
        return result.stdout.strip()

    def query(self, host: str, sql: str, database: str = "postgres") -> str:
        """Run SQL as PostgreSQL's superuser, which must succeed, and return its output."""
        result = self.psql(host, sql, database)
        assert result.returncode == 0, f"{sql}: {result.stderr}"
        return result.stdout.strip()

    def psql(self, host: str, sql: str, database: str = "postgres") -> Run:
        """Run SQL as PostgreSQL's superuser. The host has one cluster, so psql finds its port."""
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
        """Log in over loopback and return ``ok`` or the server's error.

        Port 0 stands for PostgreSQL's port. Options are libpq's.
        """
        return self.login_from(
            host,
            {
                "host": "127.0.0.1",
                "port": port or int(self.query(host, "SHOW port")),
                "user": user,
                "password": password,
                "dbname": database,
                **(options or {}),
            },
        )
