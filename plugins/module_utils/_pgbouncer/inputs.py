# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What becomes of the role's inputs: databases, users, the userlist and the connection budget. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Budget(NamedTuple):
    """Server connections that pools may open and that PostgreSQL grants, with the sum in words."""

    needed: int
    granted: int
    arithmetic: str


def database_options(
    databases: Iterable[Mapping[str, Any]], server: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return databases with the server that they are on, where they don't name their own.

    Options that are None count as not given. A name of PostgreSQL's that is PgBouncer's as well is written
    out; for ``*`` there is none, as it stands for all others.

    Args:
        databases: dictionaries with ``name`` and PgBouncer's options.
        server: ``host`` and ``port``.
    """
    complete = []
    for database in databases:
        given = {name: value for name, value in database.items() if value is not None}
        named = {} if given.get("name") == "*" else {"dbname": given.get("name")}
        complete.append({**server, **named, **given})
    return complete


def user_options(users: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the users who have options of PgBouncer's, without what is the userlist's and the role's."""
    others = {"password", "verifier", "databases"}
    options = [
        {name: value for name, value in user.items() if name not in others and value is not None}
        for user in users
    ]
    return [user for user in options if len(user) > 1]


def userlist_entries(users: Iterable[Mapping[str, Any]], stored: Mapping[str, str]) -> list[dict[str, str]]:
    """Return PgBouncer's users with the verifier that PostgreSQL holds, where it holds one.

    Args:
        users: dictionaries with ``name`` and ``password`` or ``verifier``.
        stored: PostgreSQL's verifier by user.
    """
    entries = []
    for user in users:
        verifier = user.get("verifier") or stored.get(user["name"])
        entries.append(
            {"name": user["name"], "verifier": verifier}
            if verifier
            else {"name": user["name"], "password": user["password"]}
        )
    return entries


def pool_count(users: Iterable[Mapping[str, Any]], databases: int) -> int:
    """Return how many pools there can be: a pair of user and database each.

    Args:
        users: dictionaries, with the ``databases`` (names) that a user comes to; without, they come to all.
        databases: number of databases.
    """
    return sum(len(user["databases"]) if user.get("databases") else databases for user in users)


def connection_budget(
    *,
    pools: int,
    pool_size: int,
    reserve_pool_size: int,
    max_db_connections: int,
    databases: int,
    max_connections: int,
    reserved_connections: int,
) -> Budget:
    """Return how many server connections PgBouncer may open, and how many PostgreSQL has for it.

    Each pool may open ``pool_size`` connections, and ``reserve_pool_size`` more when clients wait.
    ``max_db_connections`` caps all pools of one database where it isn't 0
    (https://www.pgbouncer.org/config.html).

    Args:
        pools: number of pairs of database and user.
        pool_size: server connections of one pool.
        reserve_pool_size: further ones in need.
        max_db_connections: cap for each database; 0 means none.
        databases: number of databases.
        max_connections: PostgreSQL's setting.
        reserved_connections: those that PostgreSQL keeps for superusers and that others use.
    """
    each = pool_size + reserve_pool_size
    needed = pools * each
    words = f"{pools} pools x ({pool_size} + {reserve_pool_size} in reserve) = {needed}"
    if max_db_connections and databases * max_db_connections < needed:
        needed = databases * max_db_connections
        words += f", capped at {databases} databases x {max_db_connections} = {needed}"
    granted = max_connections - reserved_connections
    return Budget(
        needed,
        granted,
        f"{words}; PostgreSQL grants {max_connections} - {reserved_connections} reserved = {granted}",
    )
