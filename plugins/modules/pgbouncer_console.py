#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbouncer_console
short_description: Asks PgBouncer's console
version_added: 0.1.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Runs a C(SHOW) command on the console of PgBouncer and returns its rows as data.
  - Over the Unix socket, run as the account that PgBouncer runs under, no password is needed.
extends_documentation_fragment: [pooled.postgres.attributes]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: It changes nothing.
options:
  command:
    description: The command, one of PgBouncer's C(SHOW) commands.
    type: str
    required: true
  login_unix_socket:
    description: Directory of PgBouncer's Unix socket.
    type: path
    default: /var/run/postgresql
  login_port:
    description: Port that the socket is named after.
    type: int
    default: 6432
requirements: [psycopg2 on the host]
"""

EXAMPLES = r"""
- name: Pools are listed
  pooled.postgres.pgbouncer_console:
    command: SHOW POOLS
  become: true
  become_user: postgres
  register: pools
"""

RETURN = r"""
rows:
  description: The rows, each a dictionary by column.
  returned: success
  type: list
  elements: dict
  sample: [{database: mydb, user: myuser, cl_active: 10, cl_waiting: 0, sv_active: 2}]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import console
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.errors import PgbouncerError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "command": {"type": "str", "required": True},
            "login_unix_socket": {"type": "path", "default": "/var/run/postgresql"},
            "login_port": {"type": "int", "default": 6432},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        rows = console.show(params["command"], params["login_unix_socket"], params["login_port"])
    except PgbouncerError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, rows=rows)


if __name__ == "__main__":
    main()
