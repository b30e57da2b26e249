# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Problems of users and databases in the roles' inputs. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# NAMEDATALEN - 1 of PostgreSQL (src/include/pg_config_manual.h); longer names are cut off silently.
MAX_NAME_BYTES = 63


def name_problem(name: str) -> str | None:
    """Return why a name can't be that of a user or database, or None."""
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
    """Return why a password would not work with both PostgreSQL and PgBouncer, or None.

    The text never quotes the password.
    """
    if not password:
        return "the password is empty; give one, best from a vault"
    if re.search(r"[\n\r\x00]", password):
        return "the password has a newline or a NUL, which no password file can hold; make another one"
    return None


def user_problems(users: Iterable[Mapping[str, Any]], databases: Sequence[str]) -> list[str]:
    """Return the problems of users and their databases, one sentence each.

    Args:
        users: dictionaries with ``name``, ``password`` or ``verifier``, and ``databases`` (names).
        databases: names of the site's databases.
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
