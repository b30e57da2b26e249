# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module as a process, as Ansible starts it, and a PostgreSQL server that lives as long as the tests."""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2
import pytest

MODULE = "ansible_collections.pooled.postgres.plugins.modules.pgbench"
START_TIME_LIMIT = 60.0  # seconds; a server on a busy machine


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until the condition holds; fail the test if it does not within that time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not after {seconds} s"
        time.sleep(0.02)


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Wait until a condition holds, and fail the test if it does not within ten seconds."""
    return wait_until


class Runner:
    """Starts the module as a process of its own."""

    def __init__(self, directory: Path) -> None:
        self.remote_tmp = directory / "remote_tmp"
        self.remote_tmp.mkdir(mode=0o700)
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(
        self,
        arguments: dict[str, Any],
        environment: dict[str, str] | None = None,
        stdout: int = subprocess.PIPE,
    ) -> subprocess.Popen[bytes]:
        """Start the module with these arguments and leave it running."""
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **(environment or {})},
        )
        self._processes.append(process)
        arguments = {"_ansible_remote_tmp": str(self.remote_tmp), **arguments}
        assert process.stdin is not None
        process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
        process.stdin.close()
        process.stdin = None
        return process

    def result(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        """Wait for the module and return its result."""
        stdout, stderr = process.communicate(timeout=60)
        assert not stderr, stderr.decode()
        result: dict[str, Any] = json.loads(stdout)
        return result

    def __call__(self, environment: dict[str, str] | None = None, **arguments: Any) -> dict[str, Any]:
        """Run the module to its end and return its result."""
        return self.result(self.start(arguments, environment))

    def leftovers(self) -> list[Path]:
        """Return the files that the module has made and not removed."""
        return [path for path in self.remote_tmp.rglob("*") if path.is_file()]

    def stop(self) -> None:
        """End what a failed test left running."""
        for process in self._processes:
            process.kill()
            process.communicate()


@pytest.fixture
def run_module(tmp_path: Path) -> Iterator[Runner]:
    """Run the module as a process of its own."""
    runner = Runner(tmp_path)
    yield runner
    runner.stop()


class Server(NamedTuple):
    """A server with the superuser ``postgres`` on its socket, and passwords on loopback."""

    socket: str
    port: int

    def query(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run statements as superuser and return the rows of the last."""
        connection = psycopg2.connect(host=self.socket, port=self.port, user="postgres", dbname=database)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def answers(self) -> bool:
        """Return whether the server lets its superuser in."""
        try:
            return self.query("SELECT 1") == [(1,)]
        except psycopg2.OperationalError:
            return False


def newest_binaries() -> Path | None:
    """Return the directory of the newest installed server."""
    found = list(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return max(found, key=lambda path: int(path.parts[-3])).parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def unprivileged() -> dict[str, Any]:
    """Return what makes subprocess leave root, as whom initdb and postgres refuse to run."""
    if os.geteuid() != 0:
        return {}
    name = "postgres" if "postgres" in {entry.pw_name for entry in pwd.getpwall()} else "nobody"
    return {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Start a throw-away server, which some tests drive out of connections: it has 20."""
    binaries = newest_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server is installed: initdb is neither in /usr/lib/postgresql nor on PATH")
    account = unprivileged()
    # Not below tmp_path, where its user may not go.
    with tempfile.TemporaryDirectory(prefix="pgbench-test-") as directory:
        if account:
            shutil.chown(directory, account["user"])
        data = Path(directory, "data")
        initdb = [
            str(binaries / "initdb"),
            "--no-sync",
            "--locale=C",
            "--encoding=UTF8",
            "--username=postgres",
        ]
        subprocess.run([*initdb, str(data)], check=True, capture_output=True, cwd=directory, **account)
        (data / "pg_hba.conf").write_text(
            "local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        )
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        settings = [
            "--listen_addresses=127.0.0.1",
            f"--port={port}",
            f"--unix_socket_directories={directory}",
            "--max_connections=20",
            "--fsync=off",
        ]
        log = Path(directory, "log")
        with log.open("w") as file:
            process = subprocess.Popen(
                [str(binaries / "postgres"), "-D", str(data), *settings],
                stdout=file,
                stderr=file,
                cwd=directory,
                **account,
            )
        try:
            started = Server(directory, port)
            wait_until(lambda: process.poll() is not None or started.answers(), START_TIME_LIMIT)
            assert process.poll() is None, log.read_text()
            yield started
        finally:
            process.send_signal(signal.SIGINT)  # a fast shutdown
            process.wait(START_TIME_LIMIT)


class Account(NamedTuple):
    """A role with a password, and a database of its own."""

    user: str
    password: str
    database: str
    port: int

    @property
    def login(self) -> dict[str, Any]:
        """The module's arguments to log in."""
        return {
            "login_host": "127.0.0.1",
            "login_port": self.port,
            "login_user": self.user,
            "login_password": self.password,
            "login_db": self.database,
        }


@pytest.fixture
def account(server: Server) -> Iterator[Account]:
    """Make a role with an empty database. The password has all that could be taken for something else."""
    name = f"bench_{secrets.token_hex(4)}"
    password = r"""pä:ss\w:örd $HOME %s '"#\\: €"""
    quoted = password.replace("'", "''")
    server.query(f"CREATE ROLE {name} LOGIN PASSWORD '{quoted}'")
    server.query(f"CREATE DATABASE {name} OWNER {name}")
    yield Account(name, password, name, server.port)
    server.query(f"DROP DATABASE {name} WITH (FORCE)")
    server.query(f"DROP ROLE {name}")
