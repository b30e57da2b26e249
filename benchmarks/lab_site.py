# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The running lab: its playbooks, and logins that show whether a changed password is live."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from bare_hosts import ROOT, Site, command
from figures import Run

STATE = ROOT / ".state/lab"
# Both read the options of connections from the first line of stdin. HOLD keeps them open until the next line.
HOLD = """
import json, sys, psycopg2
held = [psycopg2.connect(**options) for options in json.loads(sys.stdin.readline())]
for connection in held:
    connection.autocommit = True
print("connected", flush=True)
sys.stdin.readline()
for connection in held:
    connection.cursor().execute("SELECT 1")
print("kept", flush=True)
"""
LOGIN = """
import json, sys, psycopg2
answers = []
for options in json.loads(sys.stdin.readline()):
    try:
        psycopg2.connect(**options).close()
        answers.append("ok")
    except psycopg2.OperationalError:
        answers.append("refused")
print(" ".join(answers))
"""


class Lab(Site):
    """The lab of this checkout."""

    def __init__(self) -> None:
        super().__init__("--inventory=inventory/lab")
        try:
            self.outputs: dict[str, Any] = json.loads((STATE / "outputs.json").read_text())
            self.setup()
        except (OSError, RuntimeError) as error:
            raise RuntimeError(
                f"the lab does not run. Run `make up`, or choose --part cold,many,10k. {error}"
            ) from error
        urls = [urlsplit(self.outputs["endpoints"][name]) for name in ("postgresql", "pgbouncer")]
        self.user = str(urls[0].username)
        self.ports = [
            {"host": url.hostname, "port": url.port, "user": self.user, "dbname": url.path[1:]}
            for url in urls
        ]
        self.generated = (STATE / "secrets" / self.user).read_text().strip()
        self.password = self.generated

    def status(self) -> Run:
        """Run ``runner.py status``."""
        return command(sys.executable, "runner.py", "status", "--target", "lab", "--json")

    def change_password(self) -> Run:
        """Change the user's password by ``--tags users``. Raises RuntimeError if it is not in effect."""
        old, self.password = self.password, secrets.token_urlsafe(24)
        with self._held_connections(old):
            run = self._roll_out({"pooled_user_password": self.password})
        found = [self._logins(password) for password in (self.password, old)]
        if found != ["ok ok", "refused refused"]:
            raise RuntimeError(f"logins on both ports with the new password: {found[0]}; old: {found[1]}")
        return run

    def restore_password(self) -> None:
        """Change the user's password back to the generated one."""
        if self.password != self.generated:
            self._roll_out({})
            self.password = self.generated

    def _roll_out(self, variables: dict[str, str]) -> Run:
        # By a file: `ps` shows arguments.
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write(json.dumps(variables))
            file.flush()
            run = self.playbook("site.yml", "--tags=users", f"--extra-vars=@{file.name}")
        if not run.changed:
            raise RuntimeError("--tags users did not change the password")
        return run

    def _python(self, script: str) -> subprocess.Popen[str]:
        ssh = ["ssh", "-F", str(STATE / "ssh_config"), self.outputs["monitoring"]]
        return subprocess.Popen(
            [*ssh, f"python3 -c '{script}'"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def _options(self, password: str) -> str:
        return json.dumps([{**port, "password": password} for port in self.ports]) + "\n"

    def _logins(self, password: str) -> str:
        with self._python(LOGIN) as client:
            return client.communicate(self._options(password))[0].strip()

    @contextmanager
    def _held_connections(self, password: str) -> Iterator[None]:
        """Hold a connection to each port. Raises RuntimeError if one is dropped meanwhile."""
        with self._python(HOLD) as client:
            if client.stdin is None or client.stdout is None:
                raise TypeError("both are pipes")
            client.stdin.write(self._options(password))
            client.stdin.flush()
            if client.stdout.readline() != "connected\n":
                raise RuntimeError("failed to log in with the present password")
            yield
            if client.communicate("\n")[0] != "kept\n":
                raise RuntimeError("the change of the password dropped a connection")
