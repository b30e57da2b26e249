# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""PgBouncer's userlist (``auth_file``): what is in it, what should be, and the difference.

Pure: nothing here reads or writes a file. The format is that of PgBouncer's ``src/loader.c``
(``load_auth_file``, ``find_quote``, ``copy_quoted``; the same from 1.16 to 1.25): two fields in double
quotes, a double quote inside a field doubled, no other escapes, ``;`` begins a comment line.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import scram
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.errors import InvalidInputError

MAX_NAME_BYTES = 127
"""``MAX_USERNAME`` less its terminator, in bytes as quoted. PgBouncer reads nothing after a longer name."""

MAX_VERIFIER_BYTES = 512
"""The most that PostgreSQL 18 stores (``MAX_ENCRYPTED_PASSWORD_LEN``). PgBouncer reads 995 and more."""

MD5 = "MD5"
SCRAM = "SCRAM-SHA-256"
PLAIN = "plain text"

_MD5 = re.compile(r"md5[0-9a-f]{32}")
_FIELD = r'"([^"]*(?:""[^"]*)*)"(?!")'
_COMMENT_OR_ENTRY = re.compile(r"[ \t\n\v\f\r]*(?:;[^\n]*|" + _FIELD + r'[^"]*' + _FIELD + r"[^\n]*)")
_BREAKING = re.compile(r"[\n\r\0]")
_PROBLEMS_SHOWN = 10


class User(NamedTuple):
    """A wanted user. ``secret`` is written as it is if ``ready``, else it is a password."""

    name: str
    secret: str
    ready: bool


class Changes(NamedTuple):
    """Names of users by what happens to them, each list sorted."""

    added: list[str]
    removed: list[str]
    updated: list[str]


def check_users(users: Sequence[Mapping[str, Any]]) -> list[User]:
    """Return the users of a task, sorted by name.

    ``users`` are dictionaries with the keys ``name``, ``password``, ``verifier`` and ``plain``; a value of
    None is one that was not given. Raises InvalidInputError, which names the first ten problems, if any
    cannot be written.
    """
    problems = []
    first_index: dict[str, int] = {}
    checked = []
    for index, given in enumerate(users):
        name, password, verifier = given["name"], given.get("password"), given.get("verifier")
        problem = _name_problem(name)
        if problem:
            problems.append(f"users[{index}]: {problem}")
            continue
        label = f'user "{name}" (users[{index}])'
        if first_index.setdefault(name, index) != index:
            problems.append(f"{label}: is already users[{first_index[name]}]; give each user once")
        problem = _secret_problem(password, verifier)
        if problem:
            problems.append(f"{label}: {problem}")
        ready = password is None or bool(given.get("plain"))
        checked.append(User(name, password or verifier or "", ready))
    if problems:
        shown = "; ".join(problems[:_PROBLEMS_SHOWN])
        more = len(problems) - _PROBLEMS_SHOWN
        raise InvalidInputError(f"Failed to accept users: {shown}{f'; and {more} more' if more > 0 else ''}")
    return sorted(checked)


def check_iterations(iterations: int) -> None:
    """Raise InvalidInputError if PostgreSQL could not have a verifier with so many PBKDF2 iterations."""
    if not 1 <= iterations <= scram.MAX_ITERATIONS:
        raise InvalidInputError(
            f"Failed to accept scram_iterations: {iterations} is not between 1 and {scram.MAX_ITERATIONS};"
            f" PostgreSQL's default is {scram.DEFAULT_ITERATIONS}"
        )


def parse(text: str) -> dict[str, str]:
    """Return what PgBouncer would read from a userlist: secrets by user name.

    Like PgBouncer it stops at the first thing that is neither an entry nor a comment, and lets the last
    entry of a name win.
    """
    entries = {}
    position = 0
    while match := _COMMENT_OR_ENTRY.match(text, position):
        if match[1] is not None:
            entries[_unquote(match[1])] = _unquote(match[2])
        position = match.end()
    return entries


def render(entries: Mapping[str, str]) -> str:
    """Return the text of a userlist, one line for each user, sorted by name."""
    return "".join(f"{quote(name)} {quote(entries[name])}\n" for name in sorted(entries))


def quote(value: str) -> str:
    """Return a value as a field of the userlist."""
    return '"' + value.replace('"', '""') + '"'


def kind(secret: str) -> str:
    """Say what PgBouncer takes a secret for: MD5, SCRAM or PLAIN (``get_password_type``, ``src/scram.c``)."""
    if _MD5.fullmatch(secret):
        return MD5
    try:
        scram.parse(secret)
    except ValueError:
        return PLAIN
    return SCRAM


def md5(name: str, password: str) -> str:
    """Return PostgreSQL's MD5 verifier: ``md5`` and the hash of password and user name, in this order."""
    return "md5" + hashlib.md5((password + name).encode(), usedforsecurity=False).hexdigest()


def wanted_entries(
    users: Iterable[User], current: Mapping[str, str], encryption: str, iterations: int
) -> dict[str, str]:
    """Return the secrets that the users should have, by name.

    ``encryption`` is ``md5`` or ``scram-sha-256`` and says, like ``iterations``, how passwords are stored;
    ready verifiers stay what they are. ``current`` is what the file holds: a SCRAM verifier there that fits
    both the password and the iterations is kept, since a new salt would part it from PostgreSQL's.
    """

    def entry(user: User) -> tuple[str, str]:
        if user.ready:
            return user.name, user.secret
        if encryption == "md5":
            return user.name, md5(user.name, user.secret)
        present = current.get(user.name, "")
        if _fits(present, user.secret, iterations):
            return user.name, present
        return user.name, scram.build(user.secret, iterations)

    # PBKDF2 releases the interpreter lock, so threads share the work of thousands of passwords.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return dict(pool.map(entry, users))


def compare(before: Mapping[str, str], after: Mapping[str, str]) -> Changes:
    """Return which users are added, removed and updated between two userlists."""
    return Changes(
        added=sorted(after.keys() - before.keys()),
        removed=sorted(before.keys() - after.keys()),
        updated=sorted(name for name in after.keys() & before.keys() if after[name] != before[name]),
    )


def outline(before: str | None, after: str) -> tuple[str, str]:
    """Return two userlists as texts for a diff: names and kinds, and never a secret.

    ``before`` is None without a file. The two differ if the userlists do.
    """
    old, new = parse(before or ""), parse(after)
    changes = compare(old, new)
    marks = {name: " (verifier changed)" for name in changes.updated if kind(old[name]) == kind(new[name])}
    old_outline = "" if before is None else _outline(old, {})
    if before is not None and before != after and not any(changes):
        old_outline += "; other comments, order or spacing\n"
    return old_outline, _outline(new, marks)


def _outline(entries: Mapping[str, str], marks: Mapping[str, str]) -> str:
    lines = [f"{quote(name)} {kind(entries[name])}{marks.get(name, '')}\n" for name in sorted(entries)]
    return "".join(lines) or "; no users\n"


def _unquote(field: str) -> str:
    return field.replace('""', '"')


def _fits(secret: str, password: str, iterations: int) -> bool:
    try:
        verifier = scram.parse(secret)
    except ValueError:
        return False
    return verifier.iterations == iterations and scram.verify(password, verifier)


def _name_problem(name: str) -> str | None:
    if not name:
        return "its name is empty; give the name of a role"
    if _BREAKING.search(name):
        return "its name has a line break or a NUL, which PgBouncer's userlist cannot hold; rename the role"
    if not _is_unicode(name):
        return "its name is not valid Unicode text; rename the role"
    size = len(quote(name).encode()) - 2
    if size > MAX_NAME_BYTES:
        return (
            f'its name, "{name[:20]}...", takes {size} bytes as quoted and PgBouncer reads at most'
            f" {MAX_NAME_BYTES}; rename the role"
        )
    return None


def _secret_problem(password: str | None, verifier: str | None) -> str | None:
    if password is not None and verifier is not None:
        return "it has both a password and a verifier; give one of them"
    if password is not None:
        return _password_problem(password)
    if verifier is not None:
        return _verifier_problem(verifier)
    return "it has neither a password nor a verifier; give one of them"


def _password_problem(password: str) -> str | None:
    if not password:
        return "its password is empty, which PostgreSQL never accepts; give a password or a verifier"
    if _BREAKING.search(password):
        return "its password has a line break or a NUL; choose one without"
    if not _is_unicode(password):
        return "its password is not valid Unicode text; choose another"
    if kind(password) != PLAIN:
        return "its password is a ready verifier, and PostgreSQL would take it as one; give it as verifier"
    return None


def _verifier_problem(verifier: str) -> str | None:
    if kind(verifier) == PLAIN:
        return (
            "its verifier is malformed; give md5 and 32 lower-case hexadecimal digits, or"
            " SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey> as in pg_authid.rolpassword"
        )
    if len(verifier) > MAX_VERIFIER_BYTES:
        return f"its verifier is {len(verifier)} bytes long and PostgreSQL takes at most {MAX_VERIFIER_BYTES}"
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
