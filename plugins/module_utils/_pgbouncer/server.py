# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask the PostgreSQL behind PgBouncer, over its Unix socket as the account ``postgres``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import lookup, proof
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.errors import ServerError

try:
    import psycopg2
except ImportError:
    psycopg2 = None

_CONNECT_SECONDS = 10
_SUPERUSER = "postgres"

_LIMITS = """SELECT current_setting('max_connections')::int,
  current_setting('superuser_reserved_connections')::int
    + coalesce(current_setting('reserved_connections', true), '0')::int"""
_VERIFIERS = "SELECT rolname, rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL"


class Stored(NamedTuple):
    """What PostgreSQL holds: verifiers by role, ``max_connections``, and those that it reserves."""

    verifiers: dict[str, str]
    max_connections: int
    reserved: int


def stored(socket_directory: str, port: int) -> Stored:
    """Return what PostgreSQL holds. Raises ServerError."""
    with _connected(socket_directory, port, "postgres", _SUPERUSER) as connection:
        cursor = connection.cursor()
        cursor.execute(_VERIFIERS)
        verifiers = dict(cursor.fetchall())
        cursor.execute(_LIMITS)
        return Stored(verifiers, *cursor.fetchone())


def ensure_lookup(
    socket_directory: str, port: int, databases: Iterable[str], connections: int, *, check_mode: bool
) -> list[str]:
    """Create what looks up users, in each database in one transaction; return the databases that change.

    Raises ServerError.
    """
    changed = []
    for database in databases:
        with _connected(socket_directory, port, database, _SUPERUSER) as connection:
            cursor = connection.cursor()
            cursor.execute(lookup.check(connections))
            if cursor.fetchone()[0]:
                continue
            changed.append(database)
            if not check_mode:
                for statement in lookup.statements(connections):
                    cursor.execute(statement)
                connection.commit()
    return changed


def log_in(host: str, port: int, database: str, account: str, password: str) -> None:
    """Log in as the user that looks up others, from PgBouncer's account. Raises ServerError."""
    with _connected(host, port, database, account, user=lookup.USER, password=password):
        pass


@contextmanager
def _connected(
    host: str, port: int, database: str, account: str, *, user: str = "", password: str = ""
) -> Iterator[Any]:
    if psycopg2 is None:
        raise ServerError(
            "Failed to reach PostgreSQL: psycopg2 is missing. Install python3-psycopg2 on the host."
        )
    runs_as = proof.account(account)
    try:
        with proof.acting_as(runs_as):
            connection = psycopg2.connect(
                host=host,
                port=port,
                user=user or account,
                dbname=database,
                connect_timeout=_CONNECT_SECONDS,
                **({"password": password} if password else {}),
            )
        with closing(connection):
            yield connection
    except psycopg2.Error as error:
        cause = " ".join(str(error).split()).rstrip(".")
        raise ServerError(
            f"Failed to ask PostgreSQL at {host} port {port}, database {database!r}, as {user or account}:"
            f" {cause}."
        ) from error
