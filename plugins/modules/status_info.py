#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: status_info
short_description: Gather a host's services, pools and scrape targets
version_added: 0.1.0
description:
  - Reads units, package versions, C(SHOW POOLS) of each PgBouncer process and Prometheus' scrape targets.
  - A process that does not answer is reported and does not fail the task.
options:
  pgbouncer_port:
    description:
      - The port of PgBouncer's Unix sockets below C(/run/pgbouncer). Without it, no pools are read.
      - The module connects as the account C(pgbouncer), so it needs C(become).
    type: int
  prometheus:
    description: The URL of Prometheus. Without it, no targets are read.
    type: str
extends_documentation_fragment:
  - pooled.postgres.attributes
  - pooled.postgres.attributes.info_module
author:
  - Pooled Postgres maintainers (@pooled-postgres)
"""

EXAMPLES = r"""
- name: Gather services and pools
  pooled.postgres.status_info:
    pgbouncer_port: 6432
  become: true
  register: found

- name: Gather services and scrape targets
  pooled.postgres.status_info:
    prometheus: http://127.0.0.1:9090
  register: found
"""

RETURN = r"""
units:
  description: State and enablement of each loaded unit.
  returned: success
  type: dict
  sample: {pgbouncer@1.service: {state: running, enabled: enabled}}
packages:
  description: Versions of installed packages.
  returned: success
  type: dict
  sample: {pgbouncer: 1.24.1-1+deb13u2}
pools:
  description: Rows of C(SHOW POOLS), each with the number of its C(process).
  returned: success
  type: list
  elements: dict
  sample: [{process: 1, database: mydb, user: myuser, cl_active: 10, cl_waiting: 0}]
targets:
  description: Scrape targets; null if Prometheus does not answer.
  returned: success
  type: list
  elements: dict
  sample: [{job: node, host: db1, instance: "10.0.2.4:9100", up: true, error: ""}]
errors:
  description: Why a process or Prometheus did not answer.
  returned: success
  type: list
  elements: str
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pooled.postgres.plugins.module_utils._site import status


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"pgbouncer_port": {"type": "int"}, "prometheus": {"type": "str"}},
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LC_ALL": "C"}
    try:
        found = status.gather(
            module.run_command, module.params["pgbouncer_port"], module.params["prometheus"]
        )
    except OSError as error:
        module.fail_json(msg=f"Failed to read the host's units: {error}")
    for text in found["errors"]:
        module.warn(text)
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
