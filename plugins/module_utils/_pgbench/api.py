# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run pgbench and read its tables."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.pooled.postgres.plugins.module_utils._pgbench import model
from ansible_collections.pooled.postgres.plugins.module_utils._pgbench.errors import (
    InterruptedRunError,
    InvalidInputError,
    LogError,
    PgbenchError,
)

try:
    import psycopg2
    from psycopg2 import extensions
except ImportError:
    psycopg2 = None

DEBIAN_PROGRAMS = Path("/usr/lib/postgresql")

_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_STDOUT = 1  # where the result goes
_LONGEST_WAIT = 1.0  # seconds


class _TimedOutError(Exception):
    """The timeout has passed."""


class _Session(NamedTuple):
    """A private directory, its environment, and the time limit."""

    directory: Path
    environment: dict[str, str]
    watch: _Watch


class _Completed(NamedTuple):
    returncode: int
    stdout: str
    stderr: str
    cpu_seconds: float


class _Watch:
    """Waits for file descriptors, until a timeout or until Ansible disconnects.

    When Ansible stops, it closes the SSH channel and sshd closes the module's standard output; the module
    gets no signal.
    """

    def __init__(self, timeout: float) -> None:
        self._deadline = time.monotonic() + timeout

    def ready(self, events: Mapping[int, int]) -> set[int]:
        """Return the descriptors with an event, or none after a second.

        Raises _TimedOutError or InterruptedRunError.
        """
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise _TimedOutError
        poller = select.poll()
        for descriptor, mask in events.items():
            poller.register(descriptor, mask)
        poller.register(_STDOUT, 0)  # POLLERR and POLLHUP are always reported
        ready = set(dict(poller.poll(min(remaining, _LONGEST_WAIT) * 1000)))
        if _STDOUT in ready:
            raise InterruptedRunError("Failed to run pgbench: Ansible disconnected")
        return ready


def find_executable(path: str | None) -> str:
    """Return ``path``, or without it pgbench of PATH or Debian's newest. Raises PgbenchError without any."""
    found = shutil.which(path or "pgbench")
    if found:
        return str(Path(found).absolute())
    if path:
        raise PgbenchError(f"Failed to find pgbench: {path} is not an executable file. Correct executable.")
    installed = {
        int(candidate.parts[-3]): candidate
        for candidate in DEBIAN_PROGRAMS.glob("*/bin/pgbench")
        if candidate.parts[-3].isdecimal()
    }
    if not installed:
        raise PgbenchError(
            f"Failed to find pgbench: it is neither on PATH nor in {DEBIAN_PROGRAMS}. "
            "Install the server's package, such as postgresql-17, or set executable."
        )
    return str(installed[max(installed)])


def check(
    clients: int, jobs: int, log_bytes: int, *, executable: str | None, directory: str
) -> dict[str, Any]:
    """Check the host's resources, and return ``processors``, ``busy``, ``boot_id`` and ``system``.

    ``log_bytes`` is the size of the log of transactions in ``directory``; ``busy`` is the share of the
    processors in use now. Raises PgbenchError if a resource is too small.
    """
    find_executable(executable)
    _file_limits(model.Workload(clients=clients, jobs=jobs).open_files)
    room = os.statvfs(directory)
    free = room.f_bavail * room.f_frsize
    if free < log_bytes:
        raise InvalidInputError(
            f"Failed to run pgbench: its log needs up to {log_bytes / 1e6:,.0f} MB in {directory}, "
            f"which has {free / 1e6:,.0f} MB free. Free space, or run for less time."
        )
    before = _processor_times()
    time.sleep(1)
    idle, everything = (after - was for after, was in zip(_processor_times(), before, strict=True))
    return {
        "processors": len(os.sched_getaffinity(0)),
        "busy": round(1 - idle / max(everything, 1), 3),
        # Two hosts that share a kernel, and so its processors, have the same.
        "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "system": _system(),
    }


def _system() -> dict[str, Any]:
    """Return what a result says about the host's hardware and system."""
    name = re.search(r'^PRETTY_NAME="?([^"\n]*)', Path("/etc/os-release").read_text(), re.MULTILINE)
    model_name = re.search(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "distribution": name[1] if name else None,
        "kernel": os.uname().release,
        "processor": model_name[1] if model_name else os.uname().machine,
        "memory_mb": int(memory[1]) // 1024 if memory else None,
    }


def _processor_times() -> tuple[int, int]:
    """Return the ticks that all processors were idle, and all their ticks (proc(5), /proc/stat)."""
    with Path("/proc/stat").open() as file:
        times = [int(number) for number in file.readline().split()[1:9]]
    return times[3] + times[4], sum(times)


def initialise(
    target: model.Target,
    scale: int,
    *,
    executable: str | None,
    timeout: int,
    directory: str,
    check_mode: bool = False,
) -> dict[str, Any]:
    """Create and fill pgbench's tables unless they have the ``scale``.

    ``timeout`` is in seconds, ``directory`` is for temporary files. The result has ``changed``, ``before``
    and ``after`` (``model.Tables``) and ``command`` (None if it did not run). Raises PgbenchError.
    """
    after = model.initialised_tables(scale)
    with _session(target, timeout, directory) as session:
        try:
            before = _read_tables(target, session)
            if before.are_ready_for(scale):
                return {"changed": False, "before": before, "after": after, "command": None}
            if check_mode:
                return {"changed": True, "before": before, "after": after, "command": None}
            command = [find_executable(executable), *model.initialise_arguments(target, scale)]
            completed = _execute(command, session)
        except _TimedOutError as error:
            raise PgbenchError(
                f"Failed to initialise {target}: it took over {timeout} s. Check for locks, or raise timeout."
            ) from error
    if completed.returncode != 0:
        raise PgbenchError(f"Failed to initialise {target}: {model.explain(completed.stderr)}")
    return {"changed": True, "before": before, "after": after, "command": shlex.join(command)}


def run(
    target: model.Target,
    workload: model.Workload,
    *,
    executable: str | None,
    timeout: int,
    directory: str,
) -> dict[str, Any]:
    """Run pgbench and return its result.

    A failed run is a result, too, with the cause in ``run["error"]``.

    Args:
        target: the login.
        workload: what to run.
        executable: path of pgbench, see ``find_executable``.
        timeout: in seconds.
        directory: for the log of transactions, about 35 bytes for each.

    Returns:
        ``run`` and ``details`` (``model.run_result``), ``command``, ``stdout``, ``warning``, ``measured``
        (``start`` and ``end`` in seconds since 1970, ``cpu_seconds`` of pgbench, None if it was killed, and
        ``processors`` of the host) and ``latencies`` (transactions by microseconds, to three digits).

    Raises:
        PgbenchError: pgbench could not start, or was interrupted.
    """
    command = [find_executable(executable), *model.run_arguments(target, workload)]
    latencies: Mapping[int, int] = {}
    stdout, warning = "", None
    cpu_seconds = None
    start = time.time()
    with _session(target, timeout, directory) as session:
        if workload.script_content is not None:
            script = workload.script_content.encode(errors="surrogateescape")
            (session.directory / model.SCRIPT_FILE).write_bytes(script)
        figures = model.parse_output("")
        try:
            completed = _execute(command, session, workload.open_files)
        except _TimedOutError:
            error: str | None = f"pgbench was killed after {timeout} s. Check for locks, or raise timeout"
        else:
            stdout = completed.stdout
            cpu_seconds = completed.cpu_seconds
            figures = model.parse_output(stdout)
            error = model.run_error(completed.returncode, completed.stderr, figures)
            warning = None if error else model.run_warning(completed.stderr)
        end = time.time()
        if figures["transactions"]:
            try:
                latencies = model.read_log(_lines(session.directory.glob(f"{model.LOG_PREFIX}.*")))
                error = error or model.log_error(workload, figures, sum(latencies.values()))
            except LogError as damage:
                error = error or str(damage)
    result = model.run_result(workload, figures, latencies, error)
    return {
        **result,
        "command": shlex.join(command),
        "stdout": stdout,
        "warning": warning,
        "measured": {
            "start": start,
            "end": end,
            "cpu_seconds": cpu_seconds,
            "processors": len(os.sched_getaffinity(0)),
        },
        "latencies": model.coarse(latencies),
    }


def _lines(paths: Iterable[Path]) -> Iterator[bytes]:
    for path in paths:
        with path.open("rb") as file:
            yield from file


@contextmanager
def _session(target: model.Target, timeout: float, parent: str) -> Iterator[_Session]:
    with _signals_as_exceptions(), _private_directory(parent) as directory:
        # Without the caller's environment: libpq's variables (PGHOSTADDR, PGSERVICE, PGOPTIONS …) and files
        # in the home directory (.pgpass, .pg_service.conf, .postgresql) could redirect the login.
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(directory),
            "LC_ALL": "C",
            "PGSSLMODE": target.ssl_mode,
        }
        if target.password is not None:
            path = directory / "passfile"
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(model.password_file(target.password))
            environment["PGPASSFILE"] = str(path)
        yield _Session(directory, environment, _Watch(timeout))


@contextmanager
def _private_directory(parent: str) -> Iterator[Path]:
    try:
        with tempfile.TemporaryDirectory(prefix="pgbench-", dir=parent) as directory:
            yield Path(directory)
    except OSError as error:
        raise PgbenchError(
            f"Failed to write files to {parent}: {error.strerror}. Check its free space."
        ) from error


@contextmanager
def _signals_as_exceptions() -> Iterator[None]:
    def interrupt(number: int, _frame: object) -> None:
        for each in _SIGNALS:  # a second signal must not disturb the cleanup
            signal.signal(each, signal.SIG_IGN)
        raise InterruptedRunError(f"Failed to run pgbench: stopped by {signal.Signals(number).name}")

    previous = {each: signal.signal(each, interrupt) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)


def _execute(command: list[str], session: _Session, open_files: int = 0) -> _Completed:
    """Run a command in the session's directory and environment, and kill its process group on an error.

    Raises _TimedOutError, InterruptedRunError, InvalidInputError if the limit of open files is too low, and
    PgbenchError if the command cannot start.
    """
    limits = _file_limits(open_files)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=session.directory,
            env=session.environment,
            start_new_session=True,  # no terminal to ask for a password on, and one group to kill
            preexec_fn=_child_setup(limits),  # noqa: PLW1509 - a module has one thread
        )
    except OSError as error:
        raise PgbenchError(f"Failed to start {command[0]}: {error.strerror}") from error
    with process:
        try:
            stdout, stderr = _collect(process, session.watch)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return _Completed(process.returncode, stdout, stderr, cpu_seconds)


def _collect(process: subprocess.Popen[bytes], watch: _Watch) -> tuple[str, str]:
    received = {pipe.fileno(): bytearray() for pipe in (process.stdout, process.stderr) if pipe}
    open_pipes = dict.fromkeys(received, select.POLLIN)
    while open_pipes:
        # Polled before the wait, so that all output of an ended process has arrived.
        ended = process.poll() is not None
        ready = watch.ready(open_pipes)
        if not ready and ended:
            break  # a background process of a script keeps the pipes open
        for descriptor in ready:
            data = os.read(descriptor, 65536)
            received[descriptor] += data
            if not data:
                del open_pipes[descriptor]
    stdout, stderr = (data.decode(errors="replace") for data in received.values())
    return stdout, stderr


def _file_limits(needed: int) -> tuple[int, int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise InvalidInputError(
            f"Failed to run pgbench: the clients need {needed} open files, and the limit is {hard}. "
            "Use fewer clients, or raise the hard limit (ulimit -Hn)."
        )
    # pgbench up to 17 fails at the soft limit, 1024 by default.
    return (soft if soft == resource.RLIM_INFINITY else max(soft, needed)), hard


def _child_setup(limits: tuple[int, int]) -> Callable[[], None]:
    libc = ctypes.CDLL(None)

    def setup() -> None:
        # The module cannot clean up after its own SIGKILL.
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    return setup


# --- The tables -----------------------------------------------------------------------------------------

_TABLES_QUERY = """
SELECT name, EXISTS (SELECT FROM pg_catalog.pg_index
                     WHERE indrelid = to_regclass(name) AND indisprimary AND indisvalid)
FROM unnest(%s) AS name
WHERE to_regclass(name) IS NOT NULL
"""


def _read_tables(target: model.Target, session: _Session) -> model.Tables:
    if psycopg2 is None:
        raise PgbenchError(
            f"Failed to read the tables of {target}: {sys.executable} has no psycopg2. "
            "Install it, in Debian from the package python3-psycopg2."
        )
    try:
        # Asynchronous, because libpq ignores signals while it waits, and has no timeout after the login.
        with _environment(session.environment):
            connection = psycopg2.connect(
                host=target.host or None,
                port=target.port,
                user=target.user,
                dbname=target.database,
                async_=True,
            )
        try:
            _settle(connection, session.watch)
            found = dict(_query(connection, session.watch, _TABLES_QUERY, (list(model.TABLES),)))
            scale = None
            if "pgbench_branches" in found:
                [(scale,)] = _query(connection, session.watch, "SELECT count(*) FROM pgbench_branches")
        finally:
            connection.close()
    except psycopg2.Error as error:
        raise PgbenchError(f"Failed to read the tables of {target}: {model.explain(str(error))}") from error
    return model.Tables(
        present=tuple(name for name in model.TABLES if name in found),
        keyed=tuple(name for name in model.TABLES if found.get(name)),
        scale=scale,
    )


def _query(
    connection: Any, watch: _Watch, query: str, arguments: tuple[Any, ...] = ()
) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, arguments)
        _settle(connection, watch)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def _settle(connection: Any, watch: _Watch) -> None:
    waits = {extensions.POLL_READ: select.POLLIN, extensions.POLL_WRITE: select.POLLOUT}
    while (state := connection.poll()) != extensions.POLL_OK:
        while not watch.ready({connection.fileno(): waits[state]}):
            pass


@contextmanager
def _environment(environment: Mapping[str, str]) -> Iterator[None]:
    saved = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)
