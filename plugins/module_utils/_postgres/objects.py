# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The statements that change roles, memberships, databases, extensions and users' rights to what is wanted.

Pure. Rights of postgres_grants are in ``grants``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import scram, userlist


@dataclass(frozen=True)
class Change:
    """A statement, and its lines before and after in the diff; an empty line means that nothing is there."""

    sql: str
    before: str = ""
    after: str = ""

    @property
    def text(self) -> str:
        """What the change does, in a few words."""
        if not self.before:
            return f"add {self.after}"
        return f"change {self.after}" if self.after else f"remove {self.before}"


@dataclass(frozen=True)
class Role:
    """A wanted role. ``password`` None leaves the password alone, ``connection_limit`` None the limit."""

    name: str
    login: bool = True
    password: str | None = field(default=None, repr=False)
    scram_iterations: int = scram.DEFAULT_ITERATIONS
    connection_limit: int | None = None
    member_of: tuple[str, ...] = ()
    databases: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoredRole:
    """A role as pg_authid holds it."""

    login: bool
    connection_limit: int
    verifier: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Lacking:
    """A right that a user lacks: ``kind`` is database, schema, table or sequence."""

    user: str
    kind: str
    name: str


def identifier(name: str) -> str:
    """Return a name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def identifiers(names: Iterable[str]) -> str:
    """Return names as SQL has them, with commas."""
    return ", ".join(map(identifier, names))


def literal(text: str) -> str:
    """Return a text as SQL has it with standard_conforming_strings, which every connection sets."""
    return "'" + text.replace("'", "''") + "'"


def password_verifier(
    password: str, name: str, current: str | None, encryption: str, iterations: int = scram.DEFAULT_ITERATIONS
) -> str:
    """Return the verifier to store for a password.

    Args:
        password: the password.
        name: the user's name; MD5 hashes it along.
        current: the stored verifier, if any.
        encryption: ``scram-sha-256`` or ``md5``.
        iterations: rounds of SCRAM's key derivation.

    Returns:
        ``current`` if it has that encryption and those rounds and fits the password, so that a second run
        changes nothing and PgBouncer's copy stays identical; else a new one.

    Raises:
        ValueError: another encryption, or a stored verifier that is malformed.
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


def role_changes(
    wanted: Iterable[Role], stored: Mapping[str, StoredRole], verifiers: Mapping[str, str]
) -> list[Change]:
    """Return the roles to create or alter. ``verifiers`` holds those of the roles with a password."""
    changes = []
    for role in wanted:
        current = stored.get(role.name)
        options = ["LOGIN" if role.login else "NOLOGIN"]
        if role.connection_limit is not None:
            options.append(f"CONNECTION LIMIT {role.connection_limit:d}")
        verifier = verifiers.get(role.name)
        new_password = verifier is not None and (current is None or current.verifier != verifier)
        if new_password:
            options.append(f"PASSWORD {literal(str(verifier))}")
        limit = role.connection_limit
        if limit is None:
            limit = current.connection_limit if current else -1
        if current and not new_password and (current.login, current.connection_limit) == (role.login, limit):
            continue
        verb = "ALTER" if current else "CREATE"
        changes.append(
            Change(
                f"{verb} ROLE {identifier(role.name)} {' '.join(options)}",
                _role_line(role.name, current.login, current.connection_limit, new_password and "differs")
                if current
                else "",
                _role_line(role.name, role.login, limit, new_password and "set"),
            )
        )
    return changes


def _role_line(name: str, login: bool, limit: int, password: str | bool) -> str:
    parts = ["login" if login else "no login"]
    parts += [f"connection limit {limit}"] if limit != -1 else []
    parts += [f"password {password}"] if password else []
    return f"role {name}: {', '.join(parts)}"


def membership_changes(wanted: Iterable[Role], stored: Iterable[tuple[str, str]]) -> list[Change]:
    """Return the memberships to add, a statement for each role.

    Args:
        wanted: roles with the names that they become members of.
        stored: pairs of a member and its role.
    """
    known = set(stored)
    members: dict[str, list[str]] = {}
    for role in wanted:
        for group in dict.fromkeys(role.member_of):
            if (role.name, group) not in known:
                members.setdefault(group, []).append(role.name)
    return [
        Change(
            f"GRANT {identifier(group)} TO {identifiers(names)}",
            after=f"members of {group}: {', '.join(names)}",
        )
        for group, names in members.items()
    ]


def database_changes(
    wanted: Iterable[Mapping[str, Any]],
    stored: Mapping[str, Mapping[str, Any]],
    encodings: Mapping[str, str],
) -> tuple[list[str], list[Change], list[Change]]:
    """Return problems, databases to create and databases to alter.

    Args:
        wanted: ``name``, and ``owner``, ``encoding``, ``lc_collate``, ``lc_ctype``, ``template``,
            ``connection_limit`` where given.
        stored: by name the same, without ``template``.
        encodings: PostgreSQL's name of each given encoding, empty for one that it does not have.
    """
    problems, created, altered = [], [], []
    for database in wanted:
        name = database["name"]
        encoding = database.get("encoding")
        if encoding and not encodings.get(encoding):
            problems.append(
                f"PostgreSQL has no encoding {encoding!r}. Correct the encoding of the database {name!r}"
            )
        current = stored.get(name)
        if current is None:
            created.append(_created(database))
            continue
        fixed = {
            "encoding": encodings.get(encoding or ""),
            **{key: database.get(key) for key in ("lc_collate", "lc_ctype")},
        }
        problems += [
            f"the database {name!r} has the {key} {current[key]!r}, which can't become {value!r}. "
            "Dump, drop and restore the database, or correct the input"
            for key, value in fixed.items()
            if value and value != current[key]
        ]
        altered += _altered(database, current)
    return problems, created, altered


def _created(database: Mapping[str, Any]) -> Change:
    options = {
        "OWNER": database.get("owner") and identifier(database["owner"]),
        "TEMPLATE": database.get("template") and identifier(database["template"]),
        "ENCODING": database.get("encoding") and literal(database["encoding"]),
        "LC_COLLATE": database.get("lc_collate") and literal(database["lc_collate"]),
        "LC_CTYPE": database.get("lc_ctype") and literal(database["lc_ctype"]),
    }
    limit = database.get("connection_limit")
    if limit is not None:
        options["CONNECTION LIMIT"] = f"{int(limit)}"
    words = "".join(f" {name} {value}" for name, value in options.items() if value)
    return Change(
        f"CREATE DATABASE {identifier(database['name'])}{words}", after=f"database {database['name']}{words}"
    )


def _altered(database: Mapping[str, Any], current: Mapping[str, Any]) -> list[Change]:
    name, owner, limit = database["name"], database.get("owner"), database.get("connection_limit")
    changes = []
    if owner and owner != current["owner"]:
        changes.append(
            Change(
                f"ALTER DATABASE {identifier(name)} OWNER TO {identifier(owner)}",
                f"database {name} OWNER {identifier(current['owner'])}",
                f"database {name} OWNER {identifier(owner)}",
            )
        )
    if limit is not None and int(limit) != current["connection_limit"]:
        changes.append(
            Change(
                f"ALTER DATABASE {identifier(name)} CONNECTION LIMIT {int(limit)}",
                f"database {name} CONNECTION LIMIT {current['connection_limit']}",
                f"database {name} CONNECTION LIMIT {int(limit)}",
            )
        )
    return changes


def extension_changes(
    database: str,
    wanted: Iterable[Mapping[str, Any]],
    installed: Mapping[str, str],
    available: Mapping[str, Mapping[str, Any]],
) -> tuple[list[str], list[Change]]:
    """Return problems and changes of the extensions in a database.

    Args:
        database: its name.
        wanted: ``name``, ``state``, and ``schema``, ``version``, ``cascade`` where given.
        installed: version by name.
        available: by name ``default`` (version), ``versions``, and ``updates``, the versions that the
            installed one can be updated to.
    """
    problems: list[str] = []
    changes: list[Change] = []
    for extension in wanted:
        name, version = extension["name"], extension.get("version")
        line = f"extension {name} in {database}"
        cascade = " CASCADE" if extension.get("cascade") else ""
        current = installed.get(name)
        if extension.get("state") == "absent":
            if current is not None:
                changes.append(Change(f"DROP EXTENSION {identifier(name)}{cascade}", f"{line}: {current}"))
            continue
        if current is not None and not version:
            continue
        known = available.get(name)
        if known is None:
            problems.append(f"the host has no extension {name!r}. Install the package that has it")
            continue
        target = known["default"] if version in (None, "latest") else version
        if current == target:
            continue
        if target not in (known["updates"] if current else known["versions"]):
            problems.append(
                f"the extension {name!r} of {database} has no way from {current or 'none'} to {target!r}."
                f" Choose one of {', '.join(sorted(known['versions']))}"
            )
            continue
        exact = f" VERSION {literal(target)}" if version not in (None, "latest") else ""
        if current:
            sql = f"ALTER EXTENSION {identifier(name)} UPDATE{exact.replace(' VERSION', ' TO')}"
        else:
            schema = extension.get("schema")
            place = f" SCHEMA {identifier(schema)}" if schema else ""
            # Without a schema, PostgreSQL takes the first of the search path.
            sql = (
                'SET LOCAL search_path TO "$user", public;\n'
                f"CREATE EXTENSION {identifier(name)}{place}{exact}{cascade};\n"
                "SET LOCAL search_path TO DEFAULT"
            )
        changes.append(Change(sql, f"{line}: {current}" if current else "", f"{line}: {target}"))
    return problems, changes


_ON = {
    "database": "DATABASE {}",
    "schema": "SCHEMA {}",
    "table": "TABLE public.{}",
    "sequence": "SEQUENCE public.{}",
}


def right_changes(database: str, lacking: Iterable[Lacking]) -> list[Change]:
    """Return what grants users all rights that they lack, a statement for each object and its users."""
    users: dict[tuple[str, str], list[str]] = {}
    for right in lacking:
        users.setdefault((right.kind, right.name), []).append(right.user)
    place = f" in {database}"
    return [
        Change(
            f"GRANT ALL ON {_ON[kind].format(identifier(name))} TO {identifiers(names)}",
            after=f"all on {kind} {name}{place if kind != 'database' else ''}: {', '.join(names)}",
        )
        for (kind, name), names in users.items()
    ]


def removal_changes(leaving: Sequence[str], depending: Iterable[tuple[str, str]]) -> dict[str, list[Change]]:
    """Return by database what removes users and the rights that they were granted; ``postgres`` comes last.

    Args:
        leaving: names of users who are stored, and are to be removed.
        depending: users, each with a database in which they hold rights, empty for those outside of any.
    """
    changes: dict[str, list[Change]] = {}
    pairs = dict.fromkeys((database or "postgres", user) for user, database in depending)
    for database, user in sorted(pairs):
        change = Change(f"DROP OWNED BY {identifier(user)}", f"rights of {user} in {database}")
        changes.setdefault(database, []).append(change)
    last = [
        *changes.pop("postgres", []),
        *(Change(f"DROP ROLE {identifier(user)}", f"role {user}") for user in leaving),
    ]
    return {**changes, "postgres": last} if last else changes


def owned_words(owned: Iterable[tuple[str, str, str]]) -> list[str]:
    """Return what users own, a clause for each user, with ten objects at most.

    Args:
        owned: user, database (empty for an object outside of any) and description of the object.
    """
    by_user: dict[str, list[str]] = {}
    for user, database, description in owned:
        place = f" in {database}" if database else ""
        by_user.setdefault(user, []).append(f"{description}{place}")
    words = []
    for name, descriptions in sorted(by_user.items()):
        more = f" and {len(descriptions) - 10} more" if len(descriptions) > 10 else ""
        words.append(f"{name} owns {', '.join(sorted(descriptions)[:10])}{more}")
    return words


def unknown_roles(references: Iterable[tuple[str, str]], known: Iterable[str]) -> list[str]:
    """Return a problem for each role that is referred to, and neither stored nor created.

    Args:
        references: name of a role, and where it is named.
        known: names of the roles that are stored or will be created.
    """
    there = {*known}
    return [
        f"the role {name!r} of {place} does not exist. Correct the name, or add it to postgres_roles"
        for name, place in dict.fromkeys(references)
        if name not in there
    ]


def diff(changes: Iterable[Change]) -> dict[str, str]:
    """Return the changes as Ansible's diff has them."""
    listed = list(changes)
    return {
        key: "".join(f"{line}\n" for change in listed if (line := getattr(change, key)))
        for key in ("before", "after")
    }
