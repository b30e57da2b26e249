# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the roles ask of their inputs before they touch a host. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import scram, userlist

# NAMEDATALEN - 1 of PostgreSQL (src/include/pg_config_manual.h); longer names are cut off silently.
MAX_NAME_BYTES = 63

# Services of a database host, by the units that run them.
_SERVICES = {"postgresql": r"postgresql@\d+-main\.service", "pgbouncer": r"pgbouncer@\d+\.service"}


class Budget(NamedTuple):
    """Server connections that pools may open and that PostgreSQL grants, with the sum in words."""

    needed: int
    granted: int
    arithmetic: str


def name_problem(name: str) -> str | None:
    """Return what keeps a name from being a user's or database's here, or None."""
    if not name:
        return "the name is empty"
    if re.search(r"[\"'\\\x00-\x1f\x7f]", name):
        return f"the name {name!r} has a quote, a backslash or a control character; leave them out"
    if len(name.encode()) > MAX_NAME_BYTES:
        return (
            f"the name {name!r} has more than {MAX_NAME_BYTES} bytes, all that PostgreSQL keeps; shorten it"
        )
    return None


def password_problem(password: str) -> str | None:
    """Return what keeps a password from working through PostgreSQL and PgBouncer alike, or None.

    Never quotes the password.
    """
    if not password:
        return "the password is empty; give one, best from a vault"
    if re.search(r"[\n\r\x00]", password):
        return "the password has a newline or a NUL, which no password file can hold; make another one"
    return None


def user_problems(users: Iterable[Mapping[str, Any]], databases: Sequence[str]) -> list[str]:
    """Return what is wrong with users and the databases they use, a sentence each.

    Args:
        users: dictionaries with ``name``, ``password`` or ``verifier``, and ``databases`` (names).
        databases: names of the databases that there will be.
    """
    problems = [problem for name in databases if (problem := name_problem(name))]
    seen: set[str] = set()
    for user in users:
        name = str(user["name"])
        found = [name_problem(name)]
        if not user.get("verifier"):
            found.append(password_problem(str(user.get("password") or "")))
        found += [
            f"the database {database!r} is none of those that are made ({', '.join(databases)})"
            for database in user.get("databases", [])
            if database not in databases
        ]
        if name in seen:
            found.append("it is named twice")
        seen.add(name)
        problems += [f"user {name!r}: {problem}" for problem in found if problem]
    return problems


def user_grants(users: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return what each user is granted: each of their databases, and its schema public. Without passwords."""
    return [
        {"user": user["name"], "database": database, "type": kind, "objs": objs}
        for user in users
        for database in user["databases"]
        for kind, objs in (("database", database), ("schema", "public"))
    ]


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


def pgbouncer_databases(
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


def pgbouncer_user_options(users: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the users who have options of PgBouncer's, without what is the userlist's and the role's."""
    others = {"password", "verifier", "databases"}
    options = [
        {name: value for name, value in user.items() if name not in others and value is not None}
        for user in users
    ]
    return [user for user in options if len(user) > 1]


def password_verifier(
    password: str, name: str, current: str | None, encryption: str, iterations: int = scram.DEFAULT_ITERATIONS
) -> str:
    """Return the verifier that a user's password should be stored as.

    Args:
        password: the password.
        name: the user's name; MD5 hashes it along.
        current: the verifier that PostgreSQL holds now, if any.
        encryption: ``scram-sha-256`` or ``md5``.
        iterations: rounds of SCRAM's key derivation.

    Returns:
        ``current`` where it is of that encryption, with those rounds, and fits the password, so that a
        second run changes nothing and PgBouncer's copy stays identical; else a new one.

    Raises:
        ValueError: another encryption.
    """
    if encryption == "md5":
        return userlist.md5(name, password)
    if encryption != "scram-sha-256":
        raise ValueError(f"{encryption!r} is neither scram-sha-256 nor md5")
    if current and userlist.kind(current) == userlist.SCRAM:
        verifier = scram.parse(current)
        if verifier.iterations == iterations and scram.verify(password, verifier):
            return current
    return scram.build(password, iterations)


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


def process_rows(results: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows that PgBouncer's processes show, in one list, each with the number of its ``process``.

    Args:
        results: of the module pgbouncer_console, one for each process, which is the loop's ``item``.
    """
    return [
        {"process": int(result["item"]), **row} for result in results for row in result.get("rows", [])
    ]


def site_status(outputs: Mapping[str, Any], found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what runs where, and whether all of it does.

    Args:
        outputs: ``hosts`` and ``endpoints`` of the site.
        found: by database host, its ``services`` and ``packages`` as Ansible's facts have them, and the
            rows of ``SHOW POOLS`` as ``pools``, each with its ``process``; empty for a host that did not answer.
    """
    services = []
    pools = []
    for host, facts in sorted(found.items()):
        units = facts.get("services", {})
        for name, pattern in _SERVICES.items():
            known = {unit: units[unit] for unit in sorted(units) if re.fullmatch(pattern, unit)}
            states = [unit.get("state", "unknown") for unit in known.values()] or ["unknown"]
            package = re.sub(r"^postgresql@(\d+)-.*", r"postgresql-\1", next(iter(known), "")).split("@")[0]
            versions = facts.get("packages", {}).get(package, [])
            services.append(
                {
                    "host": host,
                    "name": name,
                    # Of several processes the first that does not run.
                    "state": next((state for state in states if state != "running"), "running"),
                    "version": versions[0]["version"] if versions else None,
                }
            )
        pools += [{"host": host, **row} for row in facts.get("pools", [])]
    return {
        "hosts": outputs["hosts"],
        "services": services,
        "pools": pools,
        "targets": [],
        "endpoints": outputs["endpoints"],
        "healthy": bool(services) and all(service["state"] == "running" for service in services),
    }
