# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What becomes of the role's inputs: databases, users and the userlist. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


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
