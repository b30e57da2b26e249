# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Turn the role's inputs into PgBouncer's databases and users. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def database_options(
    databases: Iterable[Mapping[str, Any]], server: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return databases with the server that they are on, where they don't name their own.

    Options that are None count as not given. A name of PostgreSQL's that is PgBouncer's as well is written
    out; ``*`` has none, since it stands for all others.

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
    """Return the users with options of PgBouncer, without those of the userlist and the role."""
    others = {"password", "verifier", "databases"}
    options = [
        {name: value for name, value in user.items() if name not in others and value is not None}
        for user in users
    ]
    return [user for user in options if len(user) > 1]
