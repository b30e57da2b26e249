# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rights of postgres_grants: what entries want, and the statements that lead there.

Pure. The inputs are those of community.postgresql.postgresql_privs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._postgres.objects import (
    Change,
    identifier,
    identifiers,
)

_TABLE = frozenset(("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN"))
_SEQUENCE = frozenset(("USAGE", "SELECT", "UPDATE"))
_EXECUTE, _USAGE = frozenset(("EXECUTE",)), frozenset(("USAGE",))
_SCHEMA = frozenset(("CREATE", "USAGE"))
PRIVILEGES: Mapping[str, frozenset[str]] = {
    "table": _TABLE,
    "sequence": _SEQUENCE,
    "function": _EXECUTE,
    "procedure": _EXECUTE,
    "database": frozenset(("CREATE", "CONNECT", "TEMPORARY")),
    "schema": _SCHEMA,
    "language": _USAGE,
    "tablespace": frozenset(("CREATE",)),
    "foreign_data_wrapper": _USAGE,
    "foreign_server": _USAGE,
    "type": _USAGE,
    "parameter": frozenset(("SET", "ALTER SYSTEM")),
}
DEFAULT_PRIVILEGES: Mapping[str, frozenset[str]] = {
    "TABLES": _TABLE,
    "SEQUENCES": _SEQUENCE,
    "FUNCTIONS": _EXECUTE,
    "TYPES": _USAGE,
    "SCHEMAS": _SCHEMA,
}
_MAINTAIN_SINCE = 170000
_IN_SCHEMA = ("table", "sequence", "function", "procedure", "type")
_ALL_IN_SCHEMA = ("table", "sequence", "function", "procedure")
PUBLIC = "PUBLIC"
# The connection is always the superuser's.
_CURRENT = ("CURRENT_USER", "SESSION_USER", "CURRENT_ROLE")


@dataclass(frozen=True)
class Grant:
    """An entry of postgres_grants. ``objects`` None means all in the schema, ``privileges`` may be ALL."""

    database: str
    roles: tuple[str, ...]
    type: str
    objects: tuple[str, ...] | None
    schema: str | None
    privileges: frozenset[str]
    target_roles: tuple[str, ...]
    grant_option: bool | None
    present: bool


@dataclass(frozen=True)
class Held:
    """What an object's access list says: the privileges of each grantee, True for those with grant option.

    ``name`` is the object as the diff has it, for default privileges the role whose objects are meant.
    """

    name: str
    rights: Mapping[str, Mapping[str, bool]]


def _role(name: str) -> str:
    return PUBLIC if name.upper() == PUBLIC else "postgres" if name.upper() in _CURRENT else name


def parse(entry: Mapping[str, Any]) -> Grant:
    """Return an entry in its one form."""
    kind = entry.get("type") or "table"
    schema = entry.get("schema")
    objects: tuple[str, ...] | None = tuple(entry.get("objs") or ())
    if kind in _IN_SCHEMA:
        schema = schema or "public"
    elif kind == "default_privs":
        objects = tuple(name.upper() for name in objects or ())
        objects = tuple(DEFAULT_PRIVILEGES)[:-1] if objects == ("ALL_DEFAULT",) else objects
        none = schema == "not-specified" or objects == ("SCHEMAS",)
        schema = None if none else schema or "public"
    elif kind == "database":
        objects = objects or (entry["database"],)
    if kind in ("function", "procedure"):
        # The old modules separate a list by commas, and so the types of a signature by colons.
        objects = tuple(name.replace(":", ",") for name in objects or ())
    names = [str(name).upper().replace("_", " ") for name in entry.get("privs") or ()]
    aliases = {"TEMP": "TEMPORARY", "ALL PRIVILEGES": "ALL"}
    return Grant(
        database=entry["database"],
        roles=tuple(map(_role, map(str, entry["roles"]))),
        type=kind,
        objects=None if objects == ("ALL_IN_SCHEMA",) else objects,
        schema=schema,
        privileges=frozenset(aliases.get(name, name) for name in names),
        target_roles=tuple(entry.get("target_roles") or ()),
        grant_option=entry.get("grant_option"),
        present=entry.get("state", "present") != "absent",
    )


def problems(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what is wrong with entries of postgres_grants, as far as no server is needed to tell."""
    found = []
    for number, entry in enumerate(entries):
        kind, objs = entry.get("type") or "table", list(entry.get("objs") or ())
        grant = parse(entry)
        words: list[str] = []
        if kind not in (*PRIVILEGES, "default_privs", "group"):
            words.append(f"type {kind!r} is unknown")
        else:
            words += _object_problems(grant, kind, objs, entry.get("schema"))
            words += _privilege_problems(grant)
        found += [f"postgres_grants[{number}]: {word}. Correct the entry" for word in words]
    return found


def _object_problems(grant: Grant, kind: str, objs: Sequence[str], schema: str | None) -> list[str]:
    words = []
    if schema and kind not in (*_IN_SCHEMA, "default_privs"):
        words.append(f"type {kind} takes no schema")
    if not objs and kind != "database":
        words.append(f"type {kind} needs objs")
    if "ALL_IN_SCHEMA" in objs and (kind not in _ALL_IN_SCHEMA or len(objs) > 1):
        words.append("ALL_IN_SCHEMA stands alone, and is for tables, sequences, functions and procedures")
    if kind in ("function", "procedure") and grant.objects:
        words += [
            f"{name!r} is no signature, such as add(int:int)" for name in grant.objects if "(" not in name
        ]
    if kind == "default_privs":
        unknown = [name for name in grant.objects or () if name not in DEFAULT_PRIVILEGES]
        words += [f"objs {', '.join(unknown)} are none of {', '.join(DEFAULT_PRIVILEGES)}"] if unknown else []
    elif grant.target_roles:
        words.append("target_roles is for default_privs")
    return words


def _privilege_problems(grant: Grant) -> list[str]:
    if grant.type == "group":
        return ["type group takes no privs"] if grant.privileges else []
    if not grant.privileges:
        return [f"type {grant.type} needs privs"]
    kinds = (
        [DEFAULT_PRIVILEGES.get(name, frozenset()) for name in grant.objects or ()]
        if grant.type == "default_privs"
        else [PRIVILEGES[grant.type]]
    )
    unknown = sorted({name for kind in kinds for name in grant.privileges - kind - {"ALL"}})
    return [f"privs {', '.join(unknown)} do not fit type {grant.type}"] if unknown else []


def _expanded(privileges: frozenset[str], all_of: frozenset[str], version: int) -> frozenset[str]:
    return (all_of if "ALL" in privileges else privileges) - (
        {"MAINTAIN"} if version < _MAINTAIN_SINCE and "MAINTAIN" not in privileges else frozenset()
    )


def _quoted_roles(names: Iterable[str]) -> str:
    return ", ".join(name if name == PUBLIC else identifier(name) for name in names)


def signature(schema: str, name: str) -> str:
    """Return a function with the types of its arguments as SQL has it."""
    function, _bracket, rest = name.partition("(")
    return f"{identifier(schema)}.{identifier(function)}({rest}"


def on(grant: Grant) -> str:
    """Return the objects of a grant as GRANT and REVOKE have them after ON; not for defaults and groups."""
    words = grant.type.replace("_", " ").upper()
    schema = identifier(grant.schema or "")
    if grant.objects is None:
        return f"ALL {words}S IN SCHEMA {schema}"
    if grant.type in ("function", "procedure"):
        names = ", ".join(signature(grant.schema or "", name) for name in grant.objects)
    elif grant.type in _IN_SCHEMA:
        names = ", ".join(f"{schema}.{identifier(name)}" for name in grant.objects)
    else:
        names = identifiers(grant.objects)
    return f"{words} {names}"


def changes(grant: Grant, held: Sequence[Held], version: int) -> list[Change]:
    """Return what a grant changes, one Change or none; not for default privileges and groups.

    Args:
        grant: the entry.
        held: an item for each of its objects.
        version: of the server, as server_version_num.
    """
    wanted = _expanded(grant.privileges, PRIVILEGES[grant.type], version)
    statements, lines = [], {"before": [], "after": []}  # type: ignore[var-annotated]
    privileges = "ALL" if "ALL" in grant.privileges else ", ".join(sorted(grant.privileges))
    to = _quoted_roles(grant.roles)
    for item in held:
        for role in grant.roles:
            rights = item.rights.get(role, {})
            mine = {name for name in wanted if name in rights}
            where = f"on {grant.type.replace('_', ' ')} {item.name} in {grant.database}"
            if not grant.present:
                if mine:
                    statements.append(f"REVOKE {privileges} ON {on(grant)} FROM {to}")
                    lines["before"].append(f"{role}: {', '.join(sorted(mine))} {where}")
                continue
            passing = {name for name in mine if rights[name]}
            after = (
                wanted if grant.grant_option else passing - (wanted if grant.grant_option is False else set())
            )
            if mine == wanted and passing == after:
                continue
            option = " WITH GRANT OPTION" if grant.grant_option else ""
            if mine != wanted or grant.grant_option:
                statements.append(f"GRANT {privileges} ON {on(grant)} TO {to}{option}")
            if grant.grant_option is False and passing:
                statements.append(f"REVOKE GRANT OPTION FOR {privileges} ON {on(grant)} FROM {to}")
            if mine:
                lines["before"].append(f"{role}: {_words(mine, passing)} {where}")
            lines["after"].append(f"{role}: {_words(wanted, after)} {where}")
    return _one(statements, lines)


def _words(names: Iterable[str], passing: Iterable[str]) -> str:
    passed = {*passing}
    return ", ".join(f"{name} (grant option)" if name in passed else name for name in sorted(names))


def _one(statements: Iterable[str], lines: Mapping[str, Sequence[str]]) -> list[Change]:
    each = list(dict.fromkeys(statements))
    return [Change(";\n".join(each), *("\n".join(lines[key]) for key in ("before", "after")))] if each else []


def default_changes(
    grant: Grant, held: Mapping[tuple[str, str], Mapping[str, Mapping[str, bool]]], version: int
) -> list[Change]:
    """Return what an entry of type default_privs changes, one Change or none.

    Wanted privileges replace those that a role has by default on that kind of objects. ``absent`` takes away
    all of them, on tables, sequences, functions and types, whatever the objs.

    Args:
        grant: the entry.
        held: by role whose objects are meant and kind of objects (``TABLES``), the privileges of each
            grantee, True for those with grant option.
        version: of the server, as server_version_num.
    """
    kinds = (grant.objects or ()) if grant.present else tuple(DEFAULT_PRIVILEGES)[:-1]
    place = f" IN SCHEMA {identifier(grant.schema)}" if grant.schema else ""
    to = _quoted_roles(grant.roles)
    privileges = "ALL" if "ALL" in grant.privileges else ", ".join(sorted(grant.privileges))
    option = " WITH GRANT OPTION" if grant.grant_option else ""
    statements, lines = [], {"before": [], "after": []}  # type: ignore[var-annotated]
    for target in grant.target_roles or ("postgres",):
        head = f"ALTER DEFAULT PRIVILEGES FOR ROLE {identifier(target)}{place}"
        for kind in kinds:
            wanted = {}
            if grant.present:
                names = _expanded(grant.privileges, DEFAULT_PRIVILEGES[kind], version)
                wanted = dict.fromkeys(names, bool(grant.grant_option))
            rights = held.get((target, kind), {})
            differing = [role for role in grant.roles if dict(rights.get(role, {})) != wanted]
            if not differing:
                continue
            statements.append(f"{head} REVOKE ALL ON {kind} FROM {to}")
            if grant.present:
                statements.append(f"{head} GRANT {privileges} ON {kind} TO {to}{option}")
            schema = grant.schema or "any schema"
            where = f"by default on {kind.lower()} of {target} in {schema} of {grant.database}"
            for role in differing:
                for key, mine in (("before", rights.get(role, {})), ("after", wanted)):
                    if mine:
                        passing = [name for name, passes in mine.items() if passes]
                        lines[key].append(f"{role}: {_words(mine, passing)} {where}")
    return _one(statements, lines)


def group_changes(grant: Grant, stored: Mapping[tuple[str, str], bool]) -> list[Change]:
    """Return what an entry of type group changes: memberships, one Change or none.

    Args:
        grant: the entry; its objects are the roles that others become members of.
        stored: whether a member may add others, by member and role.
    """
    statements, lines = [], {"before": [], "after": []}  # type: ignore[var-annotated]
    groups, to = identifiers(grant.objects or ()), _quoted_roles(grant.roles)
    for group in grant.objects or ():
        for role in grant.roles:
            admin = stored.get((role, group))
            wanted = admin if grant.grant_option is None else grant.grant_option
            after = (wanted or False) if grant.present else None
            if admin == after:
                continue
            if not grant.present:
                statements.append(f"REVOKE {groups} FROM {to}")
            elif grant.grant_option or admin is None:
                option = " WITH ADMIN OPTION" if grant.grant_option else ""
                statements.append(f"GRANT {groups} TO {to}{option}")
            if grant.present and grant.grant_option is False and admin:
                statements.append(f"REVOKE ADMIN OPTION FOR {groups} FROM {to}")
            for key, value in (("before", admin), ("after", after)):
                if value is not None:
                    lines[key].append(f"{role}: member of {group}{' (admin option)' if value else ''}")
    return _one(statements, lines)
