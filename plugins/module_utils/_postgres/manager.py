# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Look at all objects of a server, find what differs, and change it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._postgres import catalog, grants, held, objects
from ansible_collections.pooled.postgres.plugins.module_utils._postgres.errors import InvalidInputError

SHARED = "postgres"
# From here on, speed matters more than a single transaction.
MANY = 1000


@dataclass(frozen=True)
class Wanted:
    """Roles, databases, extensions and rights that the server is to hold. ``entries`` are its grants."""

    roles: Sequence[objects.Role]
    encryption: str
    absent: Sequence[str]
    databases: Sequence[dict[str, Any]]
    extensions: Sequence[dict[str, Any]]
    entries: Sequence[grants.Grant]

    def users(self, database: str) -> list[str]:
        """Return the names of the users of a database."""
        return [role.name for role in self.roles if database in role.databases]

    def extensions_of(self, database: str) -> list[dict[str, Any]]:
        """Return the extensions of a database."""
        return [extension for extension in self.extensions if database in extension["databases"]]

    def entries_in(self, database: str) -> list[grants.Grant]:
        """Return the grants in a database; memberships belong to none."""
        return [grant for grant in self.entries if grant.database == database and grant.type != "group"]

    def places(self) -> list[str]:
        """Return the databases to look into, each once."""
        used = [name for role in self.roles for name in role.databases]
        used += [name for extension in self.extensions for name in extension["databases"]]
        return list(
            dict.fromkeys([*used, *(grant.database for grant in self.entries if grant.type != "group")])
        )


def wanted(params: Mapping[str, Any]) -> Wanted:
    """Return what the inputs ask for. Raises InvalidInputError on grants that can't be."""
    problems = grants.problems(params["grants"])
    refuse(problems)
    passwords = json.loads(params["passwords"])
    return Wanted(
        roles=[
            objects.Role(
                name=role["name"],
                login=role["login"],
                password=passwords.get(role["name"]),
                scram_iterations=role["scram_iterations"],
                connection_limit=role["connection_limit"],
                member_of=tuple(role["member_of"]),
                databases=tuple(role["databases"]),
            )
            for role in params["roles"]
        ],
        encryption=params["password_encryption"],
        absent=params["absent"],
        databases=params["databases"],
        extensions=params["extensions"],
        entries=[grants.parse(entry) for entry in params["grants"]],
    )


def refuse(problems: Sequence[str]) -> None:
    """Raise InvalidInputError with all problems, if there are some."""
    if problems:
        raise InvalidInputError(
            f"Failed to change the objects of PostgreSQL: {'; '.join(dict.fromkeys(problems))}."
            " Nothing was changed"
        )


def verifiers(wanted: Wanted, stored: catalog.Stored, check_mode: bool) -> dict[str, str]:
    """Return the verifier of each role with a password, the stored one where it fits.

    Check mode needs none of a new role.
    """

    def one(role: objects.Role) -> tuple[str, str]:
        current = stored.roles.get(role.name)
        if check_mode and (current is None or current.verifier is None):
            return role.name, ""
        verifier = objects.password_verifier(
            str(role.password),
            role.name,
            current.verifier if current else None,
            wanted.encryption,
            role.scram_iterations,
        )
        return role.name, verifier

    # The key derivation holds no lock of the interpreter, so threads use all cores.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        try:
            return dict(pool.map(one, [role for role in wanted.roles if role.password is not None]))
        except ValueError as error:
            raise InvalidInputError(f"Failed to compute a verifier: {error}") from error


def references(wanted: Wanted) -> list[tuple[str, str]]:
    """Return the roles that inputs refer to, each with the place."""
    found = [(group, f"the user {role.name}") for role in wanted.roles for group in role.member_of]
    found += [
        (database["owner"], f"the database {database['name']}")
        for database in wanted.databases
        if database.get("owner")
    ]
    for grant in wanted.entries:
        groups = grant.objects or () if grant.type == "group" else ()
        found += [
            (name, "postgres_grants")
            for name in (*grant.roles, *grant.target_roles, *groups)
            if name != grants.PUBLIC
        ]
    return found


def removals(server: catalog.Server, cursor: Any, leaving: Sequence[str]) -> dict[str, list[objects.Change]]:
    """Return by database what removes users. Raises InvalidInputError where one owns something."""
    if not leaving:
        return {}
    depending = catalog.depending(cursor, leaving)
    rows: list[tuple[str, str, str]] = []
    for database in sorted({database or SHARED for _user, database, owns in depending if owns}):
        with server.database(database) as look:
            rows += catalog.owned(look, leaving)
    words = objects.owned_words(rows)
    if words:
        raise InvalidInputError(
            f"Failed to remove users: {'; '.join(words)}. Nothing was changed. Give it to another role"
            " first, in"
            f" each of these databases: REASSIGN OWNED BY {objects.identifier(rows[0][0])} TO another role"
        )
    return objects.removal_changes(leaving, [(user, database) for user, database, _owns in depending])


def database_changes(
    cursor: Any, wanted: Wanted, database: str, *, apply: bool
) -> tuple[list[str], list[objects.Change]]:
    """Return problems and changes of what is in a database; with ``apply`` make the changes.

    Raises InvalidInputError on a problem of one that is to be changed.
    """
    extensions, entries = wanted.extensions_of(database), wanted.entries_in(database)
    problems, changes = extension_changes(cursor, database, extensions)
    if apply:
        refuse(problems)
        catalog.execute(cursor, changes)
    version = cursor.connection.server_version
    rights = catalog.rights(cursor, entries)
    if apply or not changes:
        # An extension that is yet to be created could bring the object.
        problems += [
            f"{entries[number].type} {name} does not exist in the database {database!r}, where"
            " postgres_grants has a right on it"
            for number, name in rights.missing
        ]
    given = objects.right_changes(database, catalog.lacking(cursor, wanted.users(database)))
    given += grant_changes(entries, rights, version)
    if apply:
        refuse(problems)
        catalog.execute(cursor, given)
    return problems, [*changes, *given]


def extension_changes(
    cursor: Any, database: str, extensions: Sequence[dict[str, Any]]
) -> tuple[list[str], list[objects.Change]]:
    """Return problems and changes of the extensions of a database."""
    if not extensions:
        return [], []
    installed = catalog.installed(cursor)
    asked = [item["name"] for item in extensions if item["version"] or item["name"] not in installed]
    available = catalog.available(cursor, installed, asked) if asked else {}
    return objects.extension_changes(database, extensions, installed, available)


def grant_changes(
    entries: Sequence[grants.Grant], rights: catalog.Rights, version: int
) -> list[objects.Change]:
    """Return what the grants of a database change."""
    changes = []
    for number, grant in enumerate(entries):
        if grant.type == "default_privs":
            held = rights.defaults.get(grant.schema or "", {})
            changes += grants.default_changes(grant, held, version)
        else:
            changes += grants.changes(grant, rights.objects.get(number, []), version)
    return changes


def foreseen(cursor: Any, wanted: Wanted, database: str) -> tuple[list[str], list[objects.Change]]:
    """Return problems and changes of a database that is yet to be created; the cursor is of another one."""
    # Every new database has plpgsql.
    extensions = [item for item in wanted.extensions_of(database) if item["name"] != "plpgsql"]
    available = catalog.available(cursor, {}, [item["name"] for item in extensions]) if extensions else {}
    problems, changes = objects.extension_changes(database, extensions, {}, available)
    # The owner of a database has its rights by that.
    owner = next((item["owner"] for item in wanted.databases if item["name"] == database), None)
    lacking = [
        objects.Lacking(user, kind, name)
        for kind, name in (("database", database), ("schema", "public"))
        for user in wanted.users(database)
        if user != owner
    ]
    changes += objects.right_changes(database, lacking)
    entries = wanted.entries_in(database)
    rights = catalog.Rights(
        {
            number: [grants.Held(item["name"] or "all", {}) for item in held.requests(number, grant)]
            for number, grant in enumerate(entries)
        },
        {},
        (),
    )
    return problems, changes + grant_changes(entries, rights, cursor.connection.server_version)


@dataclass(frozen=True)
class Plan:
    """All changes. ``inside`` are those within databases, the new ones among them."""

    removals: dict[str, list[objects.Change]]
    roles: list[objects.Change]
    shared: list[objects.Change]
    created: list[objects.Change]
    inside: dict[str, list[objects.Change]]

    def changes(self) -> list[objects.Change]:
        """Return all changes in their order."""
        parts: Iterable[list[objects.Change]] = (
            *self.removals.values(),
            self.roles,
            self.shared,
            self.created,
            *self.inside.values(),
        )
        return [change for part in parts for change in part]


def look(server: catalog.Server, wanted: Wanted, check_mode: bool) -> Plan:
    """Return what differs. Raises InvalidInputError with all problems."""
    with server.database(SHARED) as cursor:
        encodings = [item["encoding"] for item in wanted.databases if item.get("encoding")]
        stored = catalog.stored(cursor, [role.name for role in wanted.roles], encodings)
        removed = removals(server, cursor, [name for name in wanted.absent if name in stored.names])
        known = {*stored.names, *(role.name for role in wanted.roles)} - {*wanted.absent}
        problems, created, altered = objects.database_changes(
            wanted.databases, stored.databases, stored.encodings
        )
        problems += objects.unknown_roles(references(wanted), known)
        roles = objects.role_changes(wanted.roles, stored.roles, verifiers(wanted, stored, check_mode))
        shared = objects.membership_changes(wanted.roles, stored.memberships)
        for grant in wanted.entries:
            if grant.type == "group":
                shared += grants.group_changes(grant, stored.memberships)
        inside = {}
        new = {item["name"] for item in wanted.databases} - {*stored.databases}
        for database in wanted.places():
            if database in new:
                found, inside[database] = foreseen(cursor, wanted, database)
            elif database in stored.databases:
                with server.database(database) as own:
                    found, inside[database] = database_changes(own, wanted, database, apply=False)
            else:
                found = [f"the database {database!r} does not exist. Add it to postgres_databases"]
            problems += found
    refuse(problems)
    return Plan(removed, roles, [*shared, *altered], created, inside)


def create_many(server: catalog.Server, changes: Sequence[objects.Change]) -> None:
    """Change many roles on all cores, in a transaction for each part.

    PostgreSQL derives a key of each verifier, to refuse one of an empty password: 4 ms for 4096 rounds.
    """
    cores = len(os.sched_getaffinity(0))

    def change(part: int) -> None:
        with server.database(SHARED, write=True) as cursor:
            catalog.execute(cursor, changes[part::cores])

    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(change, range(cores)))


def make(server: catalog.Server, wanted: Wanted, plan: Plan) -> Plan:
    """Make the changes, and return them as they turned out."""
    for database, changes in plan.removals.items():
        if database != SHARED:
            with server.database(database, write=True) as cursor:
                catalog.execute(cursor, changes)
    shared = [*plan.removals.get(SHARED, []), *plan.roles, *plan.shared]
    if len(plan.roles) > MANY:
        create_many(server, plan.roles)
        shared = [*plan.removals.get(SHARED, []), *plan.shared]
    if shared:
        with server.database(SHARED, write=True) as cursor:
            catalog.execute(cursor, shared)
    if plan.created:
        with server.database(SHARED, write=True, autocommit=True) as cursor:
            for change in plan.created:
                cursor.execute(change.sql)
    inside = {}
    for database, changes in plan.inside.items():
        if changes:
            # Looked at once more, for what was created meanwhile has rights of its own.
            with server.database(database, write=True) as cursor:
                _problems, inside[database] = database_changes(cursor, wanted, database, apply=True)
    return Plan(plan.removals, plan.roles, plan.shared, plan.created, inside)


def ensure(params: Mapping[str, Any], check_mode: bool, warn: Callable[[str], None]) -> dict[str, Any]:
    """Apply the inputs of the module, or in check mode foresee that, and return its result.

    Raises PostgresError.
    """
    asked = wanted(params)
    server = catalog.Server(Path(params["data_directory"]))
    if server.address is None and check_mode:
        warn("PostgreSQL does not run, so check mode says nothing of its roles and databases.")
        return {"changed": False, "changes": []}
    plan = look(server, asked, check_mode)
    if plan.changes() and not check_mode:
        plan = make(server, asked, plan)
    changes = plan.changes()
    return {
        "changed": bool(changes),
        "changes": [change.text for change in changes],
        "diff": objects.diff(changes),
    }
