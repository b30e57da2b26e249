#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: benchmark_samples
short_description: Sample PgBouncer and PostgreSQL during a benchmark
version_added: 0.1.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Samples the consoles of all PgBouncer processes and the processor time of PgBouncer and PostgreSQL, in a
    background process.
  - It keeps the samples in memory, returns them when it is stopped, and stops after O(seconds).
  - Run it as PgBouncer's account, which needs no password for the console.
extends_documentation_fragment: [pooled.postgres.attributes]
attributes:
  check_mode:
    support: full
    details: It starts and stops nothing.
  diff_mode:
    support: none
    details: There is no text to compare.
options:
  state:
    description:
      - V(started) starts sampling, and replaces a sampler that still runs.
      - V(stopped) stops it and returns the samples.
    type: str
    choices: [started, stopped]
    required: true
  seconds:
    description: Seconds after which it stops.
    type: int
    default: 3600
  interval:
    description: Seconds between two samples.
    type: float
    default: 1
  directory:
    description: Parent of the directories of the processes' Unix sockets.
    type: path
    default: /run/pgbouncer
  login_port:
    description: Port in the names of the sockets.
    type: int
    default: 6432
requirements: [psycopg2 on the host]
"""

EXAMPLES = r"""
- name: Start sampling
  pooled.postgres.benchmark_samples:
    state: started
    seconds: 120
  become: true
  become_user: pgbouncer

- name: Stop sampling
  pooled.postgres.benchmark_samples:
    state: stopped
  become: true
  become_user: pgbouncer
  register: samples
"""

RETURN = r"""
rows:
  description:
    - A list for each sample - seconds since 1970; active clients, waiting clients, active servers, idle
      servers; total microseconds that clients waited, total transactions; total processor seconds of
      PgBouncer and of PostgreSQL; kilobytes of PgBouncer's memory. An unknown value is null.
  returned: when O(state=stopped)
  type: list
  elements: list
  sample: [[1795410000.1, 50, 12, 20, 0, 1830211, 88132, 1.92, 11.4, 9832]]
version:
  description: PgBouncer's version, null if it does not answer.
  returned: when O(state=started)
  type: str
  sample: 1.24.1
settings:
  description: PgBouncer's settings that differ from their defaults.
  returned: when O(state=started)
  type: dict
  sample: {default_pool_size: "20"}
processes:
  description: Number of PgBouncer processes.
  returned: when O(state=started)
  type: int
  sample: 1
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import sampler
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.errors import BenchmarkError


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["started", "stopped"], "required": True},
            "seconds": {"type": "int", "default": 3600},
            "interval": {"type": "float", "default": 1},
            "directory": {"type": "path", "default": "/run/pgbouncer"},
            "login_port": {"type": "int", "default": 6432},
        },
        supports_check_mode=True,
    )
    params = module.params
    if module.check_mode:
        module.exit_json(changed=params["state"] == "started")
    try:
        if params["state"] == "stopped":
            rows = sampler.stop()
            module.exit_json(changed=rows is not None, rows=rows or [])
        found = sampler.start(
            params["directory"], params["login_port"], params["seconds"], params["interval"]
        )
    except BenchmarkError as error:
        module.fail_json(msg=str(error))
    if problem := found.pop("problem"):
        module.warn(problem)
    module.exit_json(changed=True, **found)


if __name__ == "__main__":
    main()
