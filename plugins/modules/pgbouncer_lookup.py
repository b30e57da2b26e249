#!/usr/bin/python
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbouncer_lookup
short_description: Let PgBouncer look up users in PostgreSQL
version_added: 0.2.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Creates the role C(pgbouncer_auth) and the function C(pgbouncer.user_lookup) for C(auth_query), if it
    reaches PostgreSQL over a Unix socket, and then logs in as that role from PgBouncer's account.
  - Elsewhere it only logs in. Create role and function there with the statements of
    C(tasks_from=auth_query_sql) of the role C(pooled.postgres.pgbouncer).
  - In each database with missing parts, it creates everything again in one transaction.
options:
  host:
    description: Directory of PostgreSQL's Unix socket, or its address.
    type: str
    default: /var/run/postgresql
  port:
    description: Port of PostgreSQL.
    type: int
    default: 5432
  databases:
    description: Databases that have the function.
    type: list
    elements: str
    default: [postgres]
  connections:
    description: Connections that PgBouncer uses for lookups. The role may open twice as many.
    type: int
    default: 4
  password:
    description: Password of C(pgbouncer_auth), if PgBouncer reaches PostgreSQL over TCP.
    type: str
    default: ""
  account:
    description: The system account that PgBouncer runs under.
    type: str
    default: pgbouncer
extends_documentation_fragment: [pooled.postgres.attributes]
attributes:
  check_mode:
    support: full
    details: The login is not tried.
  diff_mode:
    support: none
    details: It changes no text.
requirements: [psycopg2 on the host]
"""

EXAMPLES = r"""
- name: Let PgBouncer look up users
  pooled.postgres.pgbouncer_lookup:
    databases: [postgres]
  become: true
"""

RETURN = r"""
databases:
  description: Databases that changed.
  returned: success
  type: list
  elements: str
  sample: [postgres]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import lookup, server
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.errors import (
    PgbouncerError,
    ServerError,
)


def ensure(params: dict[str, Any], check_mode: bool) -> list[str]:
    """Create what is missing, log in, and return the databases that changed. Raises PgbouncerError."""
    peer = params["host"].startswith("/")
    changed: list[str] = []
    if peer:
        changed = server.ensure_lookup(
            params["host"], params["port"], params["databases"], params["connections"], check_mode=check_mode
        )
    if check_mode:
        return changed
    try:
        server.log_in(
            params["host"], params["port"], params["databases"][0], params["account"], params["password"]
        )
    except ServerError as error:
        account = params["account"]
        remedy = (
            f"PostgreSQL's pg_hba.conf needs the line 'local all {lookup.USER} peer map=pooled_lookup', and"
            f" pg_ident.conf 'pooled_lookup {account} {lookup.USER}'. The role postgres of this collection"
            f" writes both with postgres_lookup_user: {lookup.USER} and postgres_lookup_account: {account}."
            if peer
            else "Create the role, the schema and the function there, as docs/pgbouncer.md says, with"
            " the password of pgbouncer_auth_password, and let the role log in from this host."
        )
        raise ServerError(
            f"Failed to log in as {lookup.USER}, which looks up users. {error} {remedy}"
        ) from error
    return changed


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "default": "/var/run/postgresql"},
            "port": {"type": "int", "default": 5432},
            "databases": {"type": "list", "elements": "str", "default": ["postgres"]},
            "connections": {"type": "int", "default": 4},
            "password": {"type": "str", "default": "", "no_log": True},
            "account": {"type": "str", "default": "pgbouncer"},
        },
        supports_check_mode=True,
    )
    try:
        changed = ensure(module.params, module.check_mode)
    except PgbouncerError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(changed), databases=changed)


if __name__ == "__main__":
    main()
