# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sample PgBouncer and PostgreSQL once a second in a background process.

It listens on an abstract Unix socket: the first connection of the same account gets all rows as JSON and ends
the process. It also ends after its time limit, and leaves no file.
"""

from __future__ import annotations

import json
import os
import re
import select
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import samples
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.errors import SamplesError
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.console import Console
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.errors import ConsoleError

_ADDRESS = "\0pooled.postgres.benchmark_samples"
_ANSWER_SECONDS = 10
_ALWAYS = (
    "default_pool_size",
    "max_client_conn",
    "max_db_connections",
    "pool_mode",
    "max_prepared_statements",
)
_TICKS = os.sysconf("SC_CLK_TCK")


class Poolers:
    """The consoles of all PgBouncer processes; a lost connection is opened again."""

    def __init__(self, directory: str, port: int) -> None:
        self._directory = Path(directory)
        self._port = port
        self._consoles: dict[Path, Console] = {}

    def run(self, command: str) -> list[dict[str, Any]]:
        """Return the rows of all processes. Raises ConsoleError if one does not answer, or without any."""
        folders = sorted(path.parent for path in self._directory.glob(f"*/.s.PGSQL.{self._port}"))
        if not folders:
            raise ConsoleError(
                f"Failed to reach PgBouncer's console: no socket for port {self._port} below"
                f" {self._directory}. Check that it runs: systemctl status 'pgbouncer*'"
            )
        rows = []
        for folder in folders:
            try:
                if folder not in self._consoles:
                    self._consoles[folder] = Console(str(folder), self._port)
                rows += self._consoles[folder].run(command, _ANSWER_SECONDS)
            except ConsoleError:
                self._consoles.pop(folder, None)
                raise
        return rows

    def processes(self) -> list[int]:
        """Return the ids of the connected processes."""
        return [console.process() for console in self._consoles.values()]


def look(poolers: Poolers) -> list[Any]:
    """Return a sample."""
    processes = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            processes[int(path.parent.name)] = samples.process(
                path.read_text(encoding="utf-8", errors="replace")
            )
    ours: list[Any] = [None] * 6
    cpu = memory = None
    with suppress(ConsoleError, OSError):
        ours = list(samples.totals(poolers.run("SHOW POOLS"), poolers.run("SHOW STATS")))
        pids = [pid for pid in poolers.processes() if pid in processes]
        cpu = sum(processes[pid].own for pid in pids) / _TICKS
        memory = sum(_memory(pid) for pid in pids)
    return [round(time.time(), 3), *ours, cpu, samples.server_ticks(processes) / _TICKS, memory]


def _memory(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
    return int(found[1]) if found else 0


def start(directory: str, port: int, seconds: int, interval: float) -> dict[str, Any]:
    """Start sampling, and return ``version``, ``settings`` and ``processes`` of PgBouncer.

    It replaces a sampling that still runs. The settings are those that differ from their defaults, and those
    of the pools. ``problem`` says why PgBouncer does not answer. Raises SamplesError.
    """
    stop()
    found: dict[str, Any] = {"version": None, "settings": {}, "processes": 0, "problem": None}
    try:
        poolers = Poolers(directory, port)
        found["version"] = str(poolers.run("SHOW VERSION")[0]["version"]).rpartition(" ")[2]
        found["settings"] = {
            row["key"]: row["value"]
            for row in poolers.run("SHOW CONFIG")
            if row["value"] != row.get("default") or row["key"] in _ALWAYS
        }
        found["processes"] = len(poolers.processes())
    except ConsoleError as error:
        found["problem"] = str(error)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(_ADDRESS)
        listener.listen()
    except OSError as error:
        raise SamplesError(
            f"Failed to start sampling: {error.strerror}. Stop the sampling of another account."
        ) from error
    if not os.fork():
        _detached(lambda: _sample(listener, Poolers(directory, port), seconds, interval))
    listener.close()
    return found


def _detached(work: Callable[[], None]) -> NoReturn:
    """Do the work in a session of its own, so that neither Ansible nor SSH waits for it."""
    code = 1
    try:
        os.setsid()
        os.chdir("/")
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nothing, descriptor)
        work()
        code = 0
    finally:
        os._exit(code)


def _sample(listener: socket.socket, poolers: Poolers, seconds: int, interval: float) -> None:
    began = time.monotonic()
    rows: list[list[Any]] = []
    while (now := time.monotonic()) - began < seconds:
        rows.append(look(poolers))
        # The time of a sample counts towards the interval.
        left = interval - (time.monotonic() - now)
        if select.select([listener], [], [], max(left, 0))[0] and _answered(listener, [*rows, look(poolers)]):
            return


def _answered(listener: socket.socket, rows: list[list[Any]]) -> bool:
    client = listener.accept()[0]
    with client:
        credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        if struct.unpack("3i", credentials)[1] not in (0, os.geteuid()):
            return False
        # The next sampling may start as soon as this one has answered.
        listener.close()
        client.settimeout(_ANSWER_SECONDS)
        client.sendall(json.dumps(rows).encode())
    return True


def stop() -> list[list[Any]] | None:
    """Stop the sampling and return its rows, None without one. Raises SamplesError."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ANSWER_SECONDS)
        try:
            connection.connect(_ADDRESS)
            received = b"".join(iter(lambda: connection.recv(65536), b""))
            rows: list[list[Any]] = json.loads(received)
        except (ConnectionRefusedError, ConnectionResetError):
            return None  # none runs, or it has just ended
        except (OSError, ValueError) as error:
            raise SamplesError(
                f"Failed to fetch the samples as user {os.geteuid()}: {error}."
                " Use the account that started them."
            ) from error
    return rows
