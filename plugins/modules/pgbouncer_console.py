#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbouncer_console
short_description: Run a command on PgBouncer's console
version_added: 0.1.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Runs a command on the console of PgBouncer and returns its rows as data.
  - Over the Unix socket, run as the account that PgBouncer runs under, no password is needed.
  - The service manager stops PgBouncer, and C(SET) does not outlast the process, so this module refuses
    C(SET), and accepts only the C(SHUTDOWN) that the service manager cannot do.
extends_documentation_fragment: [pooled.postgres.attributes]
attributes:
  check_mode:
    support: full
    details: Runs C(SHOW) commands. For others it only reports whether they would change anything.
  diff_mode:
    support: none
    details: It changes no text.
options:
  command:
    description:
      - The command, a C(SHOW) command of PgBouncer or one of these.
      - V(RELOAD) reads the configuration, the userlist and the certificates again.
      - V(PAUSE) waits for the clients' transactions and closes the server connections; further clients
        wait. It changes nothing if PgBouncer is paused already.
      - V(RESUME) undoes V(PAUSE) and V(KILL). It changes nothing if nothing is paused.
      - V(SUSPEND) flushes all buffers. PgBouncer resumes as soon as this module disconnects, so it lasts as
        long as the task; use V(PAUSE) for longer.
      - V(RECONNECT) replaces each server connection as soon as it is released.
      - V(WAIT_CLOSE) waits until the server connections of V(RECONNECT) are closed. It changes nothing.
      - V(DISABLE) refuses new clients of a database, V(ENABLE) accepts them again.
      - V(KILL) drops all connections of a database at once and pauses it; V(KILL_CLIENT), since PgBouncer
        1.24, one client's.
      - V(SHUTDOWN WAIT_FOR_CLIENTS), since PgBouncer 1.23, accepts no further clients, and stops PgBouncer
        once the last one has disconnected. Other processes that listen on the same port serve meanwhile.
    type: str
    required: true
  database:
    description:
      - The database, by the name that clients use.
      - Required for V(DISABLE), V(ENABLE) and V(KILL). Without it V(PAUSE), V(RESUME), V(RECONNECT) and
        V(WAIT_CLOSE) apply to all databases.
    type: str
  client:
    description: The client for V(KILL_CLIENT), by its C(id) in C(SHOW CLIENTS).
    type: str
  expected:
    description:
      - Settings by name, as C(SHOW CONFIG) has them. After the command each must have that value, or the task
        fails and names the others. RV(pooled.postgres.pgbouncer_config#module:turns) has them.
    type: dict
  timeout:
    description:
      - Seconds after which the module cancels a command and the task fails, such as a V(PAUSE) that waits
        for a client. The module then undoes V(PAUSE).
      - After V(SHUTDOWN WAIT_FOR_CLIENTS) the task does not fail. PgBouncer then waits for transactions in
        flight only, and drops the remaining clients.
      - V(0) waits without limit.
    type: int
    default: 60
  record:
    description: File to touch after the command. Its time shows later what PgBouncer has read.
    type: path
  login_unix_socket:
    description:
      - Directory of PgBouncer's Unix socket.
      - Each process has its own socket and runs commands only for itself.
    type: path
    default: /run/pgbouncer/1
  login_port:
    description: Port that the socket is named after.
    type: int
    default: 6432
requirements: [psycopg2 on the host]
"""

EXAMPLES = r"""
- name: List the pools
  pooled.postgres.pgbouncer_console:
    command: SHOW POOLS
  become: true
  become_user: pgbouncer
  register: pools

- name: Pause the shop while its database moves
  pooled.postgres.pgbouncer_console:
    command: PAUSE
    database: shop
    timeout: 30
  become: true
  become_user: pgbouncer

- name: Reload PgBouncer
  pooled.postgres.pgbouncer_console:
    command: RELOAD
    expected:
      pool_mode: transaction
  become: true
  become_user: pgbouncer
"""

RETURN = r"""
rows:
  description: The rows, each a dictionary by column. Empty for commands that show nothing.
  returned: success
  type: list
  elements: dict
  sample: [{database: mydb, user: myuser, cl_active: 10, cl_waiting: 0, sv_active: 2}]
statement:
  description: The command as PgBouncer read it.
  returned: success
  type: str
  sample: PAUSE "shop"
ended:
  description: Whether PgBouncer has stopped, as after V(SHUTDOWN WAIT_FOR_CLIENTS) in time.
  returned: success
  type: bool
  sample: false
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import console, takeover
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.errors import (
    ConsoleError,
    PgbouncerError,
)

UNCHANGING = ("SHOW", "WAIT_CLOSE")


def ensure(module: AnsibleModule) -> dict[str, Any]:
    """Run the command, unless it has nothing to do, and return the result."""
    params = module.params
    wanted = console.statement(params["command"], params["database"], params["client"])
    rows: list[dict[str, Any]] = []
    ended = False
    with console.Console(params["login_unix_socket"], params["login_port"]) as connection:
        changed = wanted.verb not in UNCHANGING
        if changed and wanted.verb in console.GOALS:
            changed = not console.reached(
                wanted, connection.run("SHOW DATABASES"), connection.run("SHOW STATE")
            )
        if wanted.verb == "SHOW" or (not module.check_mode and (changed or wanted.verb in UNCHANGING)):
            if wanted.verb.startswith("SHUTDOWN"):
                ended = connection.shutdown(wanted, params["timeout"])
                if not ended:
                    module.warn(
                        f"Clients were still connected {params['timeout']} s after {wanted.text}: the"
                        " remaining ones are dropped between two transactions"
                    )
            elif wanted.verb == "PAUSE":
                _pause(connection, wanted, params)
            else:
                rows = connection.run(wanted.text, params["timeout"])
        if params["expected"] and not module.check_mode:
            _check(params["expected"], connection.run("SHOW CONFIG"), wanted)
    if params["record"] and not module.check_mode:
        Path(params["record"]).touch(mode=0o600)
    return {"changed": changed, "rows": rows, "statement": wanted.text, "ended": ended}


def _pause(connection: console.Console, wanted: console.Statement, params: dict[str, Any]) -> None:
    try:
        connection.pause(wanted, params["timeout"])
    except ConsoleError:
        # A cancelled PAUSE of a database leaves it paused. Otherwise RESUME fails, which does no harm.
        with (
            suppress(ConsoleError),
            console.Console(params["login_unix_socket"], params["login_port"]) as another,
        ):
            another.run(console.statement("RESUME", wanted.database).text)
        raise


def _check(expected: dict[str, Any], rows: list[dict[str, Any]], wanted: console.Statement) -> None:
    unknown = sorted(expected.keys() - {str(row["key"]) for row in rows})
    differing = takeover.decide(rows, expected).settings
    problems = [f"PgBouncer has no setting {name}" for name in unknown]
    problems += [
        f"{difference.name} is {difference.running!r} and not {difference.wanted!r}"
        + ("" if difference.changeable else ", which only a restart changes")
        for difference in differing
    ]
    if problems:
        raise ConsoleError(
            f"Failed to find the configuration in force after {wanted.text}: {'; '.join(problems)}."
            " Look at PgBouncer's log for what it refused"
        )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "command": {"type": "str", "required": True},
            "database": {"type": "str"},
            "client": {"type": "str"},
            "expected": {"type": "dict"},
            "timeout": {"type": "int", "default": 60},
            "record": {"type": "path"},
            "login_unix_socket": {"type": "path", "default": "/run/pgbouncer/1"},
            "login_port": {"type": "int", "default": 6432},
        },
        supports_check_mode=True,
    )
    try:
        result = ensure(module)
    except PgbouncerError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
