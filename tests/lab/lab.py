"""The lab that molecule started, used as its users do."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from real_hosts import ROOT, Hosts, Run

STATE = ROOT / ".state/lab"


def wait(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until a condition holds; fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)


class Lab(Hosts):
    """The lab of this checkout."""

    root = ROOT
    database = "postgres-db-server"
    monitoring = "monitoring-server"

    def __init__(self) -> None:
        super().__init__(STATE)

    def playbook(
        self, name: str, *arguments: str, variables: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Run:
        """Run a playbook against the lab. Variables go through a file, so that ``ps`` shows none."""
        command = [
            str(Path(sys.executable).parent / "ansible-playbook"),
            name,
            "-i",
            "inventory/lab",
            *arguments,
        ]
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write(json.dumps(variables or {}))
            file.flush()
            return self.run(*command, "-e", f"@{file.name}", **kwargs)

    def runner(self, *arguments: str, **kwargs: Any) -> Run:
        """Run runner.py."""
        return self.run(sys.executable, "runner.py", *arguments, **kwargs)

    def facts(self) -> dict[str, Any]:
        """Return the outputs of the infrastructure."""
        loaded: dict[str, Any] = json.loads((STATE / "infrastructure.json").read_text())
        return loaded

    def password(self) -> str:
        """Return the generated password of the lab's user."""
        return (STATE / "secrets/myuser").read_text().strip()

    def kept_with(self, secrets: list[bytes]) -> list[Path]:
        """Return the files of this checkout that hold a secret, outside the folder of secrets."""
        # Another test searches the hosts' disks on the hosts.
        left_out = {STATE / "secrets", STATE / "volumes"}
        looked_at, found = 0, []
        for folder, folders, names in os.walk(ROOT / ".state"):
            folders[:] = [name for name in folders if Path(folder, name) not in left_out]
            for path in (Path(folder, name) for name in names):
                # Scenarios run beside this test and remove temporary files.
                with suppress(FileNotFoundError):
                    if path.is_file():
                        content = path.read_bytes()
                        looked_at += "runs" in path.parts
                        found += [path] * any(secret in content for secret in secrets)
        assert looked_at
        return found

    def login(
        self,
        port: int,
        password: str,
        user: str = "myuser",
        database: str = "mydb",
        client: str = monitoring,
    ) -> str:
        """Log in from a host and return ``ok`` or the server's error."""
        return self.login_from(
            client,
            {
                "host": self.facts()["private_addresses"][self.database],
                "port": port,
                "user": user,
                "password": password,
                "dbname": database,
            },
        )
