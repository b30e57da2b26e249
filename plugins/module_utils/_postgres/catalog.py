# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A running server's roles, databases, extensions and rights: set-based queries, and statements in bulk.

Runs as the account that owns the data, which peer admits.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._postgres import api, grants, held, objects
from ansible_collections.pooled.postgres.plugins.module_utils._postgres.errors import ServerError

try:
    import psycopg2
except ImportError:
    psycopg2 = None

# Names resolve to the catalogue's, whatever users made; no log and no pg_stat_statements gets a verifier.
_OPTIONS = {
    "search_path": "pg_catalog",
    "standard_conforming_strings": "on",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_min_error_statement": "panic",
    "pg_stat_statements.track": "none",
}
_AT_ONCE = 1000


@dataclass(frozen=True)
class Stored:
    """What the cluster as a whole holds. ``memberships`` says whether a member may add others."""

    version: int
    roles: Mapping[str, objects.StoredRole]
    names: frozenset[str]
    memberships: Mapping[tuple[str, str], bool]
    databases: Mapping[str, Mapping[str, Any]]
    encodings: Mapping[str, str]


class Server:
    """The server that runs on a data directory. Raises ServerError where it can't be asked."""

    def __init__(self, data_directory: Path) -> None:
        if psycopg2 is None:
            raise ServerError(
                "Failed to connect to PostgreSQL: psycopg2 is missing. Install python3-psycopg2 on the host"
            )
        self.address = api.running(data_directory)

    @contextmanager
    def database(self, name: str, *, write: bool = False, autocommit: bool = False) -> Iterator[Any]:
        """Yield a cursor in a transaction, which is committed where ``write`` and nothing was raised."""
        if self.address is None:
            raise ServerError(
                "Failed to connect to PostgreSQL: no server runs. Look at systemctl status 'postgresql@*'"
            )
        port, directory = self.address
        options = " ".join(f"-c {key}={value}" for key, value in _OPTIONS.items())
        connection = None
        try:
            connection = psycopg2.connect(
                host=directory, port=port, user="postgres", dbname=name, options=options
            )
            connection.set_session(readonly=not write, autocommit=autocommit)
            with connection.cursor() as cursor:
                yield cursor
            if write and not autocommit:
                connection.commit()
        except psycopg2.Error as error:
            # The whole text could quote a statement.
            cause = getattr(error.diag, "message_primary", None) or str(error).strip()
            hint = getattr(error.diag, "message_detail", None)
            raise ServerError(
                f"Failed to {'change' if write else 'query'} the database {name}: {cause}"
                f"{f' ({hint})' if hint else ''}"
            ) from error
        finally:
            if connection is not None:
                connection.close()


def execute(cursor: Any, changes: Iterable[objects.Change]) -> None:
    """Execute changes, many at once."""
    statements = [change.sql for change in changes]
    for start in range(0, len(statements), _AT_ONCE):
        cursor.execute(";\n".join(statements[start : start + _AT_ONCE]))


def stored(cursor: Any, roles: Sequence[str], encodings: Sequence[str]) -> Stored:
    """Return what the cluster holds: of roles, those that are named."""
    cursor.execute(
        "SELECT rolname::text, rolcanlogin, rolconnlimit, rolpassword FROM pg_authid WHERE rolname = ANY(%s)",
        (list(roles),),
    )
    found = {name: objects.StoredRole(login, limit, verifier) for name, login, limit, verifier in cursor}
    cursor.execute("SELECT rolname::text FROM pg_roles")
    names = frozenset(name for (name,) in cursor)
    # Since 16 several roles may have granted a membership.
    cursor.execute(
        "SELECT pg_get_userbyid(member)::text, pg_get_userbyid(roleid)::text, bool_or(admin_option)"
        " FROM pg_auth_members GROUP BY member, roleid"
    )
    memberships = {(member, role): admin for member, role, admin in cursor}
    cursor.execute(
        "SELECT datname::text, pg_get_userbyid(datdba)::text, pg_encoding_to_char(encoding)::text,"
        " datcollate::text, datctype::text, datconnlimit FROM pg_database"
    )
    keys = ("owner", "encoding", "lc_collate", "lc_ctype", "connection_limit")
    databases = {name: dict(zip(keys, values)) for name, *values in cursor}  # noqa: B905
    cursor.execute(
        "SELECT n, pg_encoding_to_char(pg_char_to_encoding(n))::text FROM unnest(%s::text[]) AS n",
        (list(encodings),),
    )
    return Stored(
        cursor.connection.server_version, found, names, memberships, databases, dict(cursor.fetchall())
    )


# Many users have the rights directly. PostgreSQL checks only the others one by one, in a step of its own,
# because each check reads the whole access list.
_LACKING = """
WITH wanted AS MATERIALIZED (
  SELECT n.name, r.oid FROM unnest(%(users)s::text[]) AS n (name) LEFT JOIN pg_roles r ON r.rolname = n.name
), objects AS MATERIALIZED (
  SELECT 'database' AS kind, d.datname::text AS name, d.oid,
         coalesce(d.datacl, acldefault('d', d.datdba)) AS acl,
         ARRAY['CREATE', 'CONNECT', 'TEMPORARY'] AS rights
  FROM pg_database d WHERE d.datname = current_database()
  UNION ALL
  SELECT 'schema', n.nspname::text, n.oid, coalesce(n.nspacl, acldefault('n', n.nspowner)),
         ARRAY['USAGE', 'CREATE']
  FROM pg_namespace n WHERE n.nspname = 'public'
  UNION ALL
  SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, c.relname::text, c.oid,
         coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner)),
         CASE c.relkind WHEN 'S' THEN ARRAY['USAGE', 'SELECT', 'UPDATE']
           ELSE ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'] END
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    AND NOT EXISTS (SELECT FROM pg_depend d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
), direct AS MATERIALIZED (
  SELECT o.oid, a.grantee FROM objects o CROSS JOIN LATERAL aclexplode(o.acl) a
  WHERE a.privilege_type = ANY(o.rights)
  GROUP BY o.oid, o.rights, a.grantee HAVING count(DISTINCT a.privilege_type) = cardinality(o.rights)
), rest AS MATERIALIZED (
  SELECT w.name AS user_name, w.oid AS role, o.kind, o.name, o.oid, o.rights
  FROM wanted w CROSS JOIN objects o
  WHERE NOT EXISTS (SELECT FROM direct d WHERE d.oid = o.oid AND d.grantee = w.oid)
)
SELECT user_name, kind, name FROM rest
WHERE role IS NULL OR NOT (
  SELECT bool_and(CASE kind
    WHEN 'database' THEN has_database_privilege(role, oid, p)
    WHEN 'schema' THEN has_schema_privilege(role, oid, p)
    WHEN 'sequence' THEN has_sequence_privilege(role, oid, p)
    ELSE has_table_privilege(role, oid, p) END)
  FROM unnest(rights) AS p)
ORDER BY 2, 3, 1
"""


def lacking(cursor: Any, users: Sequence[str]) -> list[objects.Lacking]:
    """Return what users lack of all rights on the database, its schema public, its tables and sequences."""
    if not users:
        return []
    cursor.execute(_LACKING, {"users": list(users)})
    return [objects.Lacking(*row) for row in cursor]


def installed(cursor: Any) -> dict[str, str]:
    """Return the version of each extension of the database."""
    cursor.execute("SELECT extname::text, extversion FROM pg_extension")
    return dict(cursor.fetchall())


def available(cursor: Any, present: Mapping[str, str], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return what the host has of extensions: ``default``, ``versions``, and ``updates`` of present ones."""
    cursor.execute(
        "SELECT e.name::text, e.default_version, array_agg(v.version), array("
        "  SELECT u.target FROM pg_extension_update_paths(e.name) u"
        "  WHERE u.path IS NOT NULL AND u.source = %(present)s::json ->> e.name::text)"
        " FROM pg_available_extensions e JOIN pg_available_extension_versions v ON v.name = e.name"
        " WHERE e.name = ANY(%(names)s) GROUP BY 1, 2, e.name",
        {"present": json.dumps(present), "names": list(names)},
    )
    keys = ("default", "versions", "updates")
    return {name: dict(zip(keys, values)) for name, *values in cursor}  # noqa: B905


@dataclass(frozen=True)
class Rights:
    """What roles hold: on the objects of each grant by its number, and by default in each schema.

    ``missing`` are numbers of grants with the name of an object that is not there.
    """

    objects: Mapping[int, Sequence[grants.Held]]
    defaults: Mapping[str, Mapping[tuple[str, str], Mapping[str, Mapping[str, bool]]]]
    missing: Sequence[tuple[int, str]]


def rights(cursor: Any, entries: Sequence[grants.Grant]) -> Rights:
    """Return what the roles of grants hold in the database, a grant's number being its place."""
    requests = [item for number, grant in enumerate(entries) for item in held.requests(number, grant)]
    roles = sorted({role for grant in entries for role in grant.roles})
    found: dict[int, dict[str, dict[str, dict[str, bool]]]] = {}
    seen: set[tuple[int, str | None]] = set()
    if requests:
        query = held.held_query(item["type"] for item in requests)
        cursor.execute(query, {"wanted": json.dumps(requests), "roles": roles})
        for number, asked, name, grantee, privilege, grantable in cursor:
            seen.add((number, asked))
            item = found.setdefault(number, {}).setdefault(name, {})
            if privilege:
                item.setdefault(grantee, {})[privilege] = grantable
    missing = [
        (item["number"], item["name"])
        for item in requests
        if item["name"] is not None and (item["number"], item["name"]) not in seen
    ]
    return Rights(
        {number: [grants.Held(*pair) for pair in items.items()] for number, items in found.items()},
        _defaults(cursor, [grant for grant in entries if grant.type == "default_privs"]),
        missing,
    )


def _defaults(
    cursor: Any, entries: Sequence[grants.Grant]
) -> dict[str, dict[tuple[str, str], dict[str, dict[str, bool]]]]:
    found: dict[str, dict[tuple[str, str], dict[str, dict[str, bool]]]] = {}
    if not entries:
        return found
    cursor.execute(
        held.DEFAULTS_QUERY,
        {
            "targets": sorted({role for grant in entries for role in grant.target_roles or ("postgres",)}),
            "schemas": sorted({grant.schema for grant in entries if grant.schema}),
            "roles": sorted({role for grant in entries for role in grant.roles}),
        },
    )
    for schema, target, kind, grantee, privilege, grantable in cursor:
        by_grantee = found.setdefault(schema, {}).setdefault((target, kind), {})
        by_grantee.setdefault(grantee, {})[privilege] = grantable
    return found


# Default rights of what a user creates count as owned, but go with the user.
_DEPENDING = """
SELECT DISTINCT r.rolname::text, coalesce(d.datname, '')::text,
       s.deptype = 'o' AND s.classid <> 'pg_default_acl'::regclass
FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid LEFT JOIN pg_database d ON d.oid = s.dbid
WHERE s.refclassid = 'pg_authid'::regclass AND r.rolname = ANY(%(users)s)
"""
_OWNED = """
SELECT r.rolname::text, CASE WHEN s.dbid = 0 THEN '' ELSE current_database() END::text,
       pg_describe_object(s.classid, s.objid, s.objsubid)
FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid
WHERE s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o' AND r.rolname = ANY(%(users)s)
  AND s.classid <> 'pg_default_acl'::regclass
  AND (s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
       OR (s.dbid = 0 AND current_database() = 'postgres'))
"""


def depending(cursor: Any, users: Sequence[str]) -> list[tuple[str, str, bool]]:
    """Return users, each with a database in which it holds rights (empty: outside of any), and whether it
    owns something there.
    """
    cursor.execute(_DEPENDING, {"users": list(users)})
    return list(cursor.fetchall())


def owned(cursor: Any, users: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return what users own in the database: user, database and description of the object."""
    cursor.execute(_OWNED, {"users": list(users)})
    return list(cursor.fetchall())
