# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role and the function by which PgBouncer looks up users in PostgreSQL (``auth_query``). Pure."""

from __future__ import annotations

USER = "pgbouncer_auth"
QUERY = "SELECT uname, phash FROM pgbouncer.user_lookup($1)"

# Superusers, and users who bypass the rights of rows and tables, do not belong behind a pooler. Every name
# has its schema, since a client can influence the search_path (CVE-2025-12819). A user without a password,
# or with an expired one (CVE-2025-2291), returns no row: PgBouncer turns a NULL into the password "md5"
# (handle_auth_query_response of src/client.c) and admits any client that sends it.
_BODY = """
SELECT a.rolname::pg_catalog.text, a.rolpassword
FROM pg_catalog.pg_authid a
WHERE a.rolname OPERATOR(pg_catalog.=) i_name AND a.rolcanlogin AND a.rolpassword IS NOT NULL
  AND (a.rolvaliduntil IS NULL OR a.rolvaliduntil OPERATOR(pg_catalog.>) pg_catalog.now())
  AND NOT (a.rolsuper OR a.rolreplication OR a.rolbypassrls)
  AND a.rolname OPERATOR(pg_catalog.<>) 'pgbouncer_auth'
"""


def statements(connections: int) -> list[str]:
    """Return the SQL that creates role, schema and function in the current database.

    Args:
        connections: connections that PgBouncer uses for lookups; the role may open twice as many.
    """
    return [
        """DO $do$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pgbouncer_auth') THEN
    CREATE ROLE pgbouncer_auth;
  END IF;
END $do$""",
        "ALTER ROLE pgbouncer_auth LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION"
        " NOBYPASSRLS"
        f" CONNECTION LIMIT {2 * connections}",
        """DO $do$ DECLARE other name; BEGIN
  FOR other IN SELECT r.rolname FROM pg_catalog.pg_auth_members m
               JOIN pg_catalog.pg_roles u ON u.oid = m.member JOIN pg_catalog.pg_roles r ON r.oid = m.roleid
               WHERE u.rolname = 'pgbouncer_auth' LOOP
    EXECUTE 'REVOKE ' || quote_ident(other) || ' FROM pgbouncer_auth';
  END LOOP;
END $do$""",
        "CREATE SCHEMA IF NOT EXISTS pgbouncer",
        "ALTER SCHEMA pgbouncer OWNER TO CURRENT_USER",
        "REVOKE ALL ON SCHEMA pgbouncer FROM PUBLIC",
        "GRANT USAGE ON SCHEMA pgbouncer TO pgbouncer_auth",
        "DROP FUNCTION IF EXISTS pgbouncer.user_lookup(text)",
        f"""CREATE FUNCTION pgbouncer.user_lookup(IN i_name text, OUT uname text, OUT phash text)
RETURNS SETOF record LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body${_BODY}$body$""",
        "REVOKE ALL ON FUNCTION pgbouncer.user_lookup(text) FROM PUBLIC",
        "GRANT EXECUTE ON FUNCTION pgbouncer.user_lookup(text) TO pgbouncer_auth",
        """DO $do$ BEGIN
  EXECUTE 'GRANT CONNECT ON DATABASE ' || quote_ident(current_database()) || ' TO pgbouncer_auth';
END $do$""",
    ]


def check(connections: int) -> str:
    """Return the query that says whether the current database has all of that: one row, one boolean."""
    # Only a number is put in.
    return f"""SELECT EXISTS (
  SELECT FROM pg_roles r, pg_proc f
  JOIN pg_namespace n ON n.oid = f.pronamespace
  JOIN pg_roles fo ON fo.oid = f.proowner
  JOIN pg_roles so ON so.oid = n.nspowner
  WHERE r.rolname = 'pgbouncer_auth' AND r.rolcanlogin AND NOT r.rolinherit
    AND NOT (r.rolsuper OR r.rolcreatedb OR r.rolcreaterole OR r.rolreplication OR r.rolbypassrls)
    AND r.rolconnlimit = {2 * connections}
    AND NOT EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid)
    AND n.nspname = 'pgbouncer' AND so.rolsuper
    AND f.proname = 'user_lookup' AND pg_get_function_identity_arguments(f.oid) LIKE '%text%' AND fo.rolsuper
    AND f.prosecdef AND f.proconfig = ARRAY['search_path=pg_catalog, pg_temp']
    AND f.prosrc = $body${_BODY}$body$
    AND NOT EXISTS (SELECT FROM aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) g
                    WHERE g.grantee NOT IN (f.proowner, r.oid))
    AND NOT EXISTS (SELECT FROM aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) g
                    WHERE g.grantee NOT IN (n.nspowner, r.oid)
                       OR (g.grantee = r.oid AND g.privilege_type <> 'USAGE'))
    AND has_function_privilege(r.oid, f.oid, 'EXECUTE') AND has_schema_privilege(r.oid, n.oid, 'USAGE')
    AND has_database_privilege(r.oid, current_database(), 'CONNECT')
)"""  # noqa: S608
