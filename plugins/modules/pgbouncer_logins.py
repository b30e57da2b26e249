#!/usr/bin/python
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbouncer_logins
short_description: Verify that users can log in through PgBouncer
version_added: 0.2.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Logs in as each user and runs a query, several users at a time, and fails once with all failed logins.
options:
  host:
    description: Address of PgBouncer, or the directory of its Unix socket.
    type: str
    default: 127.0.0.1
  port:
    description: Port of PgBouncer.
    type: int
    default: 6432
  logins:
    description: The logins to try.
    type: list
    elements: dict
    required: true
    suboptions:
      user:
        description: Name of the user.
        type: str
        required: true
      password:
        description: Password of the user.
        type: str
        required: true
      database:
        description: The database to log in to.
        type: str
        required: true
      port:
        description: Port of this login, instead of O(port).
        type: int
  parallel:
    description: Most logins at a time.
    type: int
    default: 8
  timeout:
    description: Seconds that a login may take.
    type: int
    default: 20
extends_documentation_fragment: [pooled.postgres.attributes]
attributes:
  check_mode:
    support: full
    details: It changes nothing in any mode.
  diff_mode:
    support: none
    details: It changes nothing.
requirements: [psycopg2 on the host]
"""

EXAMPLES = r"""
- name: Verify logins through PgBouncer
  pooled.postgres.pgbouncer_logins:
    logins:
      - {user: shop, password: "{{ vault_shop_password }}", database: shop}
"""

RETURN = r"""
tried:
  description: Number of logins.
  returned: success
  type: int
  sample: 2
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    import psycopg2
except ImportError:
    psycopg2 = None

_SHOWN = 10


def refused(login: dict[str, Any], params: dict[str, Any]) -> str:
    """Log in and run a query; return why that failed, empty if it did not."""
    try:
        connection = psycopg2.connect(
            host=params["host"],
            port=login["port"] or params["port"],
            user=login["user"],
            password=login["password"],
            dbname=login["database"],
            connect_timeout=params["timeout"],
        )
        try:
            connection.cursor().execute("SELECT 1")
        finally:
            connection.close()
    except psycopg2.Error as error:
        return " ".join(str(error).split()).rstrip(".")
    return ""


def _port(login: dict[str, Any]) -> str:
    return f", port {login['port']}" if login.get("port") else ""


def failure(logins: list[dict[str, Any]], causes: list[str]) -> str:
    """Return one message for all failed logins, empty without one."""
    said = [
        f"{login['user']} (database {login['database']}{_port(login)}): {cause}"
        for login, cause in zip(logins, causes, strict=False)
        if cause
    ]
    if not said:
        return ""
    more = f"; and {len(said) - _SHOWN} more" if len(said) > _SHOWN else ""
    return (
        f"Failed to log in through PgBouncer as {len(said)} of {len(logins)} users:"
        f" {'; '.join(said[:_SHOWN])}{more}. Look at journalctl -u 'pgbouncer@*' on this host."
    )


def main() -> None:
    """Run the module."""
    login = {
        "user": {"type": "str", "required": True},
        "password": {"type": "str", "required": True, "no_log": True},
        "database": {"type": "str", "required": True},
        "port": {"type": "int"},
    }
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "default": "127.0.0.1"},
            "port": {"type": "int", "default": 6432},
            "logins": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "no_log": True,
                "options": login,
            },
            "parallel": {"type": "int", "default": 8},
            "timeout": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    logins = module.params["logins"]
    # Names are no secret, unless one is also a password.
    secrets = {one["password"] for one in logins}
    module.no_log_values = secrets - {one[name] for one in logins for name in ("user", "database")}
    invocation = {"module_args": {**module.params, "logins": f"{len(logins)} logins"}}
    if psycopg2 is None:
        module.fail_json(msg=missing_required_lib("psycopg2"), invocation=invocation)
    with ThreadPoolExecutor(max_workers=max(1, module.params["parallel"])) as pool:
        causes = list(pool.map(lambda one: refused(one, module.params), logins))
    said = failure(logins, causes)
    if said:
        module.fail_json(msg=said, invocation=invocation)
    module.exit_json(changed=False, tried=len(logins), invocation=invocation)


if __name__ == "__main__":
    main()
