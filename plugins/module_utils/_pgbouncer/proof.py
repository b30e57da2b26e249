# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Validate a configuration: start the installed PgBouncer with it, apart from the others, and ask it."""

from __future__ import annotations

import errno
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import config, console
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.catalogue import Version
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.errors import (
    ConsoleError,
    InvalidInputError,
    ProofError,
)

DEFAULT_PORT = 6432

REFUSED = "Failed to validate the PgBouncer configuration: "
"""How the message of a refusal begins."""

_POLL_SECONDS = 0.01
_FILE = "pgbouncer.ini"
_LOG = "log"


class Account(NamedTuple):
    """A system account, with the groups that it is in."""

    name: str
    uid: int
    gid: int
    groups: list[int]


class Shown(NamedTuple):
    """What an instance of PgBouncer shows: rows of SHOW CONFIG, SHOW DATABASES and SHOW USERS."""

    config: list[dict[str, Any]]
    databases: list[dict[str, Any]]
    users: list[dict[str, Any]]


class Running(NamedTuple):
    """A PgBouncer that runs: what it shows, and what the system says of its process.

    ``open_files`` is how many descriptors it may have, and ``replaced`` whether its binary is another by now.
    """

    shown: Shown
    open_files: int
    replaced: bool


def account(name: str) -> Account:
    """Return the account of that name.

    Raises InvalidInputError if this host has none, or the caller is neither root nor that account.
    """
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise InvalidInputError(
            f"Failed to find the account {name!r}: it does not exist. Install PgBouncer first, or give"
            f" another account."
        ) from None
    if os.geteuid() not in (0, entry.pw_uid):
        raise InvalidInputError(
            f"Failed to run PgBouncer as {name!r}: only root and that account can. Run the task with become."
        )
    return Account(name, entry.pw_uid, entry.pw_gid, os.getgrouplist(name, entry.pw_gid))


def version(binary: str) -> Version | None:
    """Return the version of the installed PgBouncer, or None if it is missing.

    Raises ProofError if the file exists and does not report its version.
    """
    if not Path(binary).exists():
        return None
    try:
        told = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ProofError(f"Failed to run {binary}: {error}; reinstall PgBouncer") from error
    match = re.match(r"PgBouncer (\d+)\.(\d+)", told)
    if match is None:
        raise ProofError(f"Failed to run {binary}: it does not tell its version; reinstall PgBouncer")
    return int(match[1]), int(match[2])


def shown(
    text: str,
    *,
    binary: str,
    runs_as: Account,
    port: int,
    seconds: float,
    files: Mapping[str, str] | None = None,
) -> Shown:
    """Start PgBouncer with a configuration and return what it shows.

    It runs in a scratch directory and listens only there. Files that the
    configuration names, such as the userlist and certificates, are the real ones.

    Args:
        text: the configuration, whose last section is ``[pgbouncer]``.
        binary: path of PgBouncer.
        runs_as: account that it runs under.
        port: what the configuration has as ``listen_port``, which names the socket.
        seconds: most that all of it may take.
        files: texts of files that are not written yet, by the setting that names them.

    Raises:
        ProofError: PgBouncer does not start with it, or complains of anything; the message is one sentence.
    """
    with _scratch(runs_as) as directory:
        file = directory / _FILE
        for name, content in (files or {}).items():
            _write(directory / name, content, runs_as)
        named = "".join(f"{name} = {directory / name}\n" for name in files or {})
        _write(file, text + named + _overrides(directory), runs_as)
        with _running(binary, file, runs_as, seconds) as process:
            found, trouble = None, None
            try:
                found = _ask(directory, port, runs_as, process, seconds)
            except ConsoleError as error:
                trouble = error
            alive = process.poll() is None
        log = (directory / _LOG).read_text(errors="replace").replace(str(file), _FILE)
    explanation = config.explain(log, text, runs_as.name)
    if explanation is not None:
        raise ProofError(f"{REFUSED}{explanation.cause}; {explanation.advice}")
    if found is None:
        end = f"it did not answer within {seconds:g} s" if alive or trouble is None else f"{trouble}"
        raise ProofError(f"{REFUSED}{end}; check whether {binary} works")
    return found


def overridden() -> dict[str, str]:
    """Return the settings that a proving instance has otherwise, with their values where none is set."""
    return {
        "disable_pqexec": "0",
        "listen_addr": "",
        "logfile": "",
        "pidfile": "",
        "syslog": "0",
        "unix_socket_dir": "",
    }


def running(socket_directory: str, port: int, runs_as: Account) -> Running | None:
    """Return the PgBouncer that listens there, or None if none answers.

    It shows nothing if it has ``disable_pqexec``, where its console drops a client that sends a command.
    """
    if not Path(socket_directory, f".s.PGSQL.{port}").exists():
        return None
    with acting_as(runs_as):
        try:
            connection = console.Console(socket_directory, port)
        except ConsoleError:
            return None
    with connection:
        process = connection.process()
        try:
            shows = _asked(connection)
        except ConsoleError:
            shows = Shown([], [], [])
    return Running(shows, *_process(process))


def place(text: str) -> tuple[str, int] | None:
    """Return socket directory and port that a configuration names, None where it names no directory."""
    settings = dict(re.findall(r"^(unix_socket_dir|listen_port)[ \t]*=[ \t]*(.*?)\s*$", text, re.MULTILINE))
    port = settings.get("listen_port", str(DEFAULT_PORT))
    if not settings.get("unix_socket_dir") or not port.isdecimal():
        return None
    return settings["unix_socket_dir"], int(port)


def path_problems(settings: Mapping[str, str], runs_as: Account) -> list[str]:
    """Return what keeps PgBouncer from the places that only the real one uses, a clause each.

    Directories under /run are left out, for the service may make them when it starts.
    """
    wanted = {
        name: directory
        for name in ("logfile", "pidfile", "unix_socket_dir")
        if (directory := _directory(name, settings.get(name, "")))
    }
    if not wanted:
        return []
    # Asked by the account itself: root may write anywhere.
    script = (
        "import os, sys\n"
        "print(*(os.path.isdir(path) + os.access(path, os.W_OK | os.X_OK) for path in sys.argv[1:]))"
    )
    told = subprocess.run(
        [sys.executable, "-c", script, *wanted.values()],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        **_identity(runs_as),
    ).stdout.split()
    states = {
        "0": "is no directory; create it or give another",
        "1": f"is not writable for {runs_as.name}; grant it the right",
    }
    return [
        f"setting {name}: {directory} {states[state]}"
        for (name, directory), state in zip(wanted.items(), told, strict=False)
        if state in states
    ]


def port_problems(settings: Mapping[str, str], binary: str) -> list[str]:
    """Return what keeps PgBouncer from the addresses that it shall listen on, a clause each.

    Where the same binary listens there already, that is no problem: it is the one to be replaced.
    """
    port = int(settings.get("listen_port", DEFAULT_PORT))
    problems = []
    for address in filter(None, (part.strip() for part in settings.get("listen_addr", "").split(","))):
        problem = _bind_problem(address, port)
        if problem is None:
            continue
        if problem == errno.EADDRINUSE:
            holders = _listeners(port)
            others = sorted(name for name, path in holders if path != os.path.realpath(binary))
            if holders and not others:
                continue
            problems.append(
                f"setting listen_port: {port} of {address} is taken by"
                f" {' and '.join(others) or 'another process'}; end that or give another port"
            )
        else:
            problems.append(
                f"setting listen_addr: {address} is no address of this host that can be listened on"
                f" ({os.strerror(problem) if problem > 0 else 'its name is not known'}); give another"
            )
    return problems


def _overrides(directory: Path) -> str:
    values = {**overridden(), "unix_socket_dir": str(directory)}
    return "".join(f"{name} = {value}\n" for name, value in values.items())


@contextmanager
def _scratch(runs_as: Account) -> Iterator[Path]:
    # In memory if possible, since a configuration may hold passwords.
    parent = "/run" if os.geteuid() == 0 and os.access("/run", os.W_OK) else None
    directory = Path(tempfile.mkdtemp(prefix="pgbouncer-proof-", dir=parent))
    try:
        if os.geteuid() == 0:
            os.chown(directory, runs_as.uid, runs_as.gid)
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _write(path: Path, text: str, runs_as: Account) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        if os.geteuid() == 0:
            os.fchown(descriptor, runs_as.uid, runs_as.gid)


@contextmanager
def _running(binary: str, file: Path, runs_as: Account, seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    with (file.parent / _LOG).open("wb") as log:
        try:
            process = subprocess.Popen(
                [binary, str(file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
                start_new_session=True,
                **_identity(runs_as),
            )
        except OSError as error:
            raise ProofError(f"Failed to run {binary}: {error.strerror}; reinstall PgBouncer") from error
    # A client that waits for an answer sees the end of the process instead.
    watchdog = threading.Timer(seconds, process.kill)
    watchdog.daemon = True
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        # Everything is in the scratch directory, so no orderly end is needed.
        process.kill()
        process.wait()


def _ask(
    directory: Path, port: int, runs_as: Account, process: subprocess.Popen[bytes], seconds: float
) -> Shown | None:
    deadline = time.monotonic() + seconds
    trouble = None
    while process.poll() is None and time.monotonic() < deadline:
        if (directory / f".s.PGSQL.{port}").exists():
            with acting_as(runs_as):
                try:
                    connection = console.Console(str(directory), port)
                except ConsoleError as error:
                    if error.__cause__ is None:  # nothing that passes: psycopg2 is missing
                        raise
                    # The socket's file is there from bind() on, and refuses until listen().
                    trouble = error
                else:
                    with connection:
                        return _asked(connection)
        time.sleep(_POLL_SECONDS)
    if trouble is not None:
        raise trouble
    return None


def _process(number: int) -> tuple[int, bool]:
    """Return how many descriptors a process may have, and whether its binary has been replaced."""
    limits = Path(f"/proc/{number}/limits").read_text()
    match = re.search(r"^Max open files +\d+ +(\d+)", limits, re.MULTILINE)
    try:
        binary = str(Path(f"/proc/{number}/exe").readlink())
    except OSError:  # of another account, which root alone may look at
        binary = ""
    return int(match[1]) if match else sys.maxsize, binary.endswith(" (deleted)")


def _asked(connection: console.Console) -> Shown:
    return Shown(*(connection.run(f"SHOW {what}") for what in ("CONFIG", "DATABASES", "USERS")))


@contextmanager
def acting_as(runs_as: Account) -> Iterator[None]:
    """Make the process that account's for a while: the console looks at its caller's effective user id."""
    if os.geteuid() != 0 or runs_as.uid == 0:
        yield
        return
    os.setegid(runs_as.gid)
    os.seteuid(runs_as.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def _identity(runs_as: Account) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    return {"user": runs_as.uid, "group": runs_as.gid, "extra_groups": runs_as.groups}


def _directory(name: str, path: str) -> str:
    if not path.startswith("/"):
        return ""
    directory = path if name == "unix_socket_dir" else str(Path(path).parent)
    return (
        "" if os.path.realpath(directory).startswith("/run/") and not Path(directory).exists() else directory
    )


def _bind_problem(address: str, port: int) -> int | None:
    """Return the error that listening there would end with, None for none, and -1 for an unknown name."""
    host = None if address == "*" else address
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        return -1
    for family, kind, protocol, _name, target in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(target)
                probe.listen(1)
        except OSError as error:
            # A host without IPv6 has * all the same.
            if host is None and error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                continue
            return error.errno
    return None


def _listeners(port: int) -> list[tuple[str, str]]:
    """Return name and binary of each process that listens on a TCP port, as far as the caller sees them."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = [line.split() for line in Path(table).read_text().splitlines()[1:]]
        except OSError:
            continue
        inodes |= {
            f"socket:[{row[9]}]"
            for row in rows
            if row[3] == "0A" and int(row[1].rsplit(":", 1)[1], 16) == port
        }
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(link.readlink()) in inodes for link in (process / "fd").iterdir()):
                name = (process / "comm").read_text().strip()
                found.append((f"{name} (process {process.name})", os.path.realpath(process / "exe")))
        except OSError:
            continue
    return found
