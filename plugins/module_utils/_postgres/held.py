# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Queries for the rights that roles hold on the objects of grants, and by default. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._postgres import grants

# The catalogue that an object of each type is in: join, name, schema, owner, access list.
_SOURCES = {
    "table": (
        "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace",
        "c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname = w.schema"
        " AND (w.name IS NULL OR c.relname = w.name)",
        "n.nspname || '.' || c.relname",
        "c.relowner",
        "coalesce(c.relacl, acldefault('r', c.relowner))",
    ),
    "sequence": (
        "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace",
        "c.relkind = 'S' AND n.nspname = w.schema AND (w.name IS NULL OR c.relname = w.name)",
        "n.nspname || '.' || c.relname",
        "c.relowner",
        "coalesce(c.relacl, acldefault('s', c.relowner))",
    ),
    "function": (
        "pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace",
        "p.prokind <> 'p' AND n.nspname = w.schema AND (w.name IS NULL OR p.oid = to_regprocedure(w.name))",
        "p.oid::regprocedure::text",
        "p.proowner",
        "coalesce(p.proacl, acldefault('f', p.proowner))",
    ),
    "procedure": (
        "pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace",
        "p.prokind = 'p' AND n.nspname = w.schema AND (w.name IS NULL OR p.oid = to_regprocedure(w.name))",
        "p.oid::regprocedure::text",
        "p.proowner",
        "coalesce(p.proacl, acldefault('f', p.proowner))",
    ),
    "schema": (
        "pg_namespace n",
        "n.nspname = w.name",
        "n.nspname",
        "n.nspowner",
        "coalesce(n.nspacl, acldefault('n', n.nspowner))",
    ),
    "database": (
        "pg_database d",
        "d.datname = w.name",
        "d.datname",
        "d.datdba",
        "coalesce(d.datacl, acldefault('d', d.datdba))",
    ),
    "language": (
        "pg_language l",
        "l.lanname = w.name",
        "l.lanname",
        "l.lanowner",
        "coalesce(l.lanacl, acldefault('l', l.lanowner))",
    ),
    "tablespace": (
        "pg_tablespace t",
        "t.spcname = w.name",
        "t.spcname",
        "t.spcowner",
        "coalesce(t.spcacl, acldefault('t', t.spcowner))",
    ),
    "foreign_data_wrapper": (
        "pg_foreign_data_wrapper f",
        "f.fdwname = w.name",
        "f.fdwname",
        "f.fdwowner",
        "coalesce(f.fdwacl, acldefault('F', f.fdwowner))",
    ),
    "foreign_server": (
        "pg_foreign_server s",
        "s.srvname = w.name",
        "s.srvname",
        "s.srvowner",
        "coalesce(s.srvacl, acldefault('S', s.srvowner))",
    ),
    "type": (
        "pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace",
        "n.nspname = w.schema AND t.typname = w.name",
        "n.nspname || '.' || t.typname",
        "t.typowner",
        "coalesce(t.typacl, acldefault('T', t.typowner))",
    ),
    # The catalogue lacks parameters without grants.
    "parameter": (
        "LATERAL (SELECT a.paracl FROM (SELECT 1) one LEFT JOIN pg_parameter_acl a ON a.parname ="
        " lower(w.name)) p",
        "true",
        "w.name",
        "10::oid",
        "coalesce(p.paracl, acldefault('p', 10::oid))",
    ),
}


def held_query(types: Iterable[str]) -> str:
    """Return the query for what is held on objects.

    Its parameters are ``wanted``, the ``requests`` of all grants as JSON, and ``roles``. Its rows: number,
    requested name, object, grantee, privilege, grantable; an object without any such right has one row, with
    nulls. Only rights from the owner count, for a superuser grants and revokes as the owner.
    """
    kinds = {*types}
    parts = [
        # Constants only.
        f"SELECT w.number, w.name AS asked, {name}::text AS name, {owner} AS owner, {acl} AS acl"  # noqa: S608
        f" FROM wanted w JOIN {source} ON w.type = '{kind}' AND ({condition})"
        for kind, (source, condition, name, owner, acl) in _SOURCES.items()
        if kind in kinds
    ]
    return f"""
WITH wanted AS MATERIALIZED (
  SELECT * FROM json_to_recordset(%(wanted)s::json) AS w(number int, type text, schema text, name text)
), objects AS MATERIALIZED ({" UNION ALL ".join(parts)})
SELECT o.number, o.asked, o.name, a.grantee, a.privilege_type, a.is_grantable
FROM objects o LEFT JOIN LATERAL (
  SELECT coalesce(r.rolname::text, 'PUBLIC') AS grantee, e.privilege_type, e.is_grantable
  FROM aclexplode(o.acl) e LEFT JOIN pg_roles r ON r.oid = e.grantee
  WHERE e.grantor = o.owner AND (e.grantee = 0 OR r.rolname = ANY(%(roles)s))
) a ON true
ORDER BY 1, 3
"""  # noqa: S608


def requests(number: int, grant: grants.Grant) -> list[dict[str, Any]]:
    """Return what ``held_query`` is to look for, an item for each object of a grant."""
    if grant.type in ("default_privs", "group"):
        return []
    base = {"number": number, "type": grant.type, "schema": grant.schema}
    if grant.objects is None:
        return [{**base, "name": None}]
    if grant.type in ("function", "procedure"):
        return [{**base, "name": grants.signature(grant.schema or "", name)} for name in grant.objects]
    return [{**base, "name": name} for name in grant.objects]


# Without a row of its own, a role has PostgreSQL's defaults in all schemas, and nothing in a single one.
DEFAULTS_QUERY = """
SELECT coalesce(s.nspname::text, ''), t.rolname::text, k.kind, coalesce(g.rolname::text, 'PUBLIC'),
       a.privilege_type, a.is_grantable
FROM (SELECT oid, rolname FROM pg_roles WHERE rolname = ANY(%(targets)s)) t
CROSS JOIN (SELECT oid, nspname FROM pg_namespace WHERE nspname = ANY(%(schemas)s)
            UNION ALL SELECT 0, NULL) s
CROSS JOIN (VALUES ('TABLES', 'r', 'r'), ('SEQUENCES', 'S', 's'), ('FUNCTIONS', 'f', 'f'),
                   ('TYPES', 'T', 'T'), ('SCHEMAS', 'n', 'n')) AS k (kind, letter, acl_letter)
LEFT JOIN pg_default_acl d ON d.defaclrole = t.oid AND d.defaclnamespace = s.oid
                          AND d.defaclobjtype = k.letter::"char"
CROSS JOIN LATERAL aclexplode(
  coalesce(d.defaclacl, CASE s.oid WHEN 0 THEN acldefault(k.acl_letter::"char", t.oid) END)) a
LEFT JOIN pg_roles g ON g.oid = a.grantee
WHERE a.grantee = 0 OR g.rolname = ANY(%(roles)s)
"""
