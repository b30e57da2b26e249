# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""PgBouncer's console over its Unix socket.

A client on the socket with the effective user id of PgBouncer, as the user ``pgbouncer``, is its
administrator and needs no password (https://www.pgbouncer.org/usage.html#admin-console).
"""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, NamedTuple

from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.catalogue import nearest
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.errors import ConsoleError

try:
    import psycopg2
except ImportError:
    psycopg2 = None

_CONNECT_SECONDS = 10
_POLL_SECONDS = 0.1

# Each verb: what it needs behind it (database, maybe a database, a client, nothing).
NOTHING, MAYBE, DATABASE, CLIENT = "nothing", "maybe a database", "a database", "a client"
VERBS = {
    "DISABLE": DATABASE,
    "ENABLE": DATABASE,
    "KILL": DATABASE,
    "KILL_CLIENT": CLIENT,
    "PAUSE": MAYBE,
    "RECONNECT": MAYBE,
    "RELOAD": NOTHING,
    "RESUME": MAYBE,
    "SHUTDOWN WAIT_FOR_CLIENTS": NOTHING,
    "SUSPEND": NOTHING,
    "WAIT_CLOSE": MAYBE,
}

# What a database or all of PgBouncer is in, once a command has been carried out: column and value.
GOALS = {
    "DISABLE": ("disabled", True),
    "ENABLE": ("disabled", False),
    "PAUSE": ("paused", True),
    "RESUME": ("paused", False),
    "SUSPEND": ("suspended", True),
}

_SHOW = re.compile(r"SHOW(\s+[A-Z_]+)+", re.IGNORECASE)
_MAX_ARGUMENT_BYTES = 61  # admin_parse_query of src/admin.c keeps 63, quotes counted


class Statement(NamedTuple):
    """A command as the console reads it, and what it is about."""

    text: str
    verb: str
    database: str | None


def statement(command: str, database: str | None = None, client: str | None = None) -> Statement:
    """Return a command with its argument, quoted.

    Args:
        command: ``SHOW …``, or one of ``VERBS``, in any case.
        database: the database it is about, for verbs that take one.
        client: the id that SHOW CLIENTS has, for KILL_CLIENT.

    Raises:
        ConsoleError: it is no such command, or its argument is missing, too much or unfit.
    """
    words = " ".join(command.split())
    verb = words.upper()
    if _SHOW.fullmatch(words):
        if database is not None or client is not None:
            raise ConsoleError(f"Failed to run {words!r}: it takes neither a database nor a client")
        return Statement(words, "SHOW", None)
    if verb not in VERBS:
        known = ["SHOW", *VERBS]
        raise ConsoleError(
            f"Failed to run {words!r}: it is neither SHOW … nor one of {', '.join(VERBS)}"
            f"{nearest(verb, known)}"
        )
    needs = VERBS[verb]
    if needs == DATABASE and not database:
        raise ConsoleError(f"Failed to run {verb}: it needs a database; name it")
    if database and needs not in (DATABASE, MAYBE):
        raise ConsoleError(f"Failed to run {verb}: it takes no database; leave it out")
    if (needs == CLIENT) != (client is not None):
        wanted = "needs a client; give its id as in SHOW CLIENTS" if needs == CLIENT else "takes no client"
        raise ConsoleError(f"Failed to run {verb}: it {wanted}")
    if client is not None:
        if not re.fullmatch(r"[0-9]{1,20}", client):
            raise ConsoleError(
                f"Failed to run {verb}: {client!r} is no id of a client; take it from SHOW CLIENTS"
            )
        return Statement(f"{verb} {client}", verb, None)
    return Statement(f"{verb} {quote(database)}" if database else verb, verb, database or None)


def quote(name: str) -> str:
    """Return a database's name as an argument. Raises ConsoleError if the console cannot read it."""
    if '"' in name or re.search(r"[\x00-\x1f\x7f]", name) or len(name.encode()) > _MAX_ARGUMENT_BYTES:
        raise ConsoleError(
            f"Failed to quote the database {name!r}: the console reads at most {_MAX_ARGUMENT_BYTES} bytes"
            " without double quotes and control characters; rename it"
        )
    return f'"{name}"'


def reached(
    wanted: Statement, databases: Sequence[Mapping[str, Any]], state: Sequence[Mapping[str, Any]]
) -> bool:
    """Say whether a command has nothing left to do.

    Args:
        wanted: the command.
        databases: SHOW DATABASES.
        state: SHOW STATE.
    """
    if wanted.verb not in GOALS:
        return False
    column, goal = GOALS[wanted.verb]
    if wanted.database is not None:
        return any(row["name"] == wanted.database and bool(row[column]) is goal for row in databases)
    now = {row["key"]: row["value"] == "yes" for row in state}
    if wanted.verb == "RESUME":
        return bool(now["active"])
    return now[column] is goal


class Console:
    """A connection to the console; use it as a context."""

    def __init__(self, socket_directory: str, port: int) -> None:
        """Connect. Raises ConsoleError if psycopg2 is missing or PgBouncer does not answer."""
        self._place = f"{socket_directory} port {port}"
        if psycopg2 is None:
            raise ConsoleError(
                "Failed to reach PgBouncer's console: psycopg2 is missing; install python3-psycopg2 there"
            )
        try:
            self._connection = psycopg2.connect(
                host=socket_directory,
                port=port,
                user="pgbouncer",
                dbname="pgbouncer",
                connect_timeout=_CONNECT_SECONDS,
            )
        except psycopg2.Error as exc:
            raise ConsoleError(
                f"Failed to reach PgBouncer's console at {self._place}: {_told(exc)}."
                " Check whether it runs: systemctl status 'pgbouncer*'"
            ) from exc
        # The console knows no transactions.
        self._connection.autocommit = True

    def __enter__(self) -> Console:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._connection.close()

    def run(self, text: str, seconds: float | None = None) -> list[dict[str, Any]]:
        """Run a command and return its rows, each a dictionary by column; none where it has no rows.

        Raises ConsoleError if the console refuses it, or has not done it within so many seconds: it is
        cancelled then.
        """
        late = threading.Event()
        try:
            with self._connection.cursor() as cursor, self._cancelled_after(seconds, late):
                cursor.execute(text)
                if cursor.description is None:
                    return []
                columns = [column.name for column in cursor.description]
                return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
        except psycopg2.Error as exc:
            if late.is_set():
                raise ConsoleError(_late(text, seconds)) from exc
            raise ConsoleError(f"Failed to run {text!r}: {_told(exc)}") from exc

    def pause(self, wanted: Statement, seconds: float | None = None) -> None:
        """Run a PAUSE and return once the server connections are closed.

        PgBouncer's word is not enough: where a WAIT_CLOSE found nothing to wait for, the next PAUSE returns
        at once, tagged WAIT_CLOSE (tried with 1.24, whose ``db_wait_close`` stays set).

        Raises ConsoleError if the console refuses it, or it is not so within so many seconds.
        """
        deadline = time.monotonic() + (seconds or float("inf"))
        self.run(wanted.text, seconds)
        while any(wanted.database in (None, row["database"]) for row in self.run("SHOW SERVERS")):
            if time.monotonic() > deadline:
                self.run(wanted.text.replace("PAUSE", "RESUME", 1))
                raise ConsoleError(_late(wanted.text, seconds))
            time.sleep(_POLL_SECONDS)

    def process(self) -> int:
        """Return the id of the process that listens on the socket."""
        with socket.socket(fileno=os.dup(self._connection.fileno())) as copy:
            credentials = copy.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[0])

    def shutdown(self, wanted: Statement, seconds: float | None = None) -> bool:
        """Run a SHUTDOWN WAIT_FOR_CLIENTS, close the connection, and return whether PgBouncer ended in time.

        Otherwise SIGINT makes it end as soon as no transaction is in flight: it has closed its sockets, so no
        command reaches it any more.
        """
        ended = os.pidfd_open(self.process())
        try:
            # Where it ends at once, it does not answer.
            with suppress(ConsoleError):
                self.run(wanted.text)
            # We are a client ourselves.
            self._connection.close()
            poll = select.poll()
            poll.register(ended, select.POLLIN)
            if poll.poll(seconds * 1000 if seconds else None):
                return True
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(ended, signal.SIGINT)
            return False
        finally:
            os.close(ended)

    @contextmanager
    def _cancelled_after(self, seconds: float | None, late: threading.Event) -> Iterator[None]:
        def cancel() -> None:
            late.set()
            self._connection.cancel()

        timer = threading.Timer(seconds or 0, cancel)
        timer.daemon = True
        if seconds:
            timer.start()
        try:
            yield
        finally:
            timer.cancel()


def show(command: str, socket_directory: str, port: int) -> list[dict[str, Any]]:
    """Run a SHOW command and return its rows. Raises ConsoleError, see ``statement`` and ``Console``."""
    wanted = statement(command)
    if wanted.verb != "SHOW":
        raise ConsoleError(f"Failed to run {command!r}: only SHOW commands are run here")
    with Console(socket_directory, port) as console:
        return console.run(wanted.text)


def _late(text: str, seconds: float | None) -> str:
    return (
        f"Failed to run {text!r}: it was not done within {seconds or 0:g} s, and was cancelled;"
        " clients are still busy: look at SHOW CLIENTS, or give it more time"
    )


def _told(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
