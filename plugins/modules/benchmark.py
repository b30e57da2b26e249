#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: benchmark
short_description: Run a plan of pgbench runs and keep the results
version_added: 0.1.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Reads a plan (O(action=plan)), starts a benchmark (O(action=begin)), makes some of its runs on the task's
    host (O(action=run)), and writes the results (O(action=finish)).
  - Everything except pgbench runs on the controller. It keeps each run there, so that an interrupted
    benchmark has a result, too.
  - C(playbooks/benchmark.yml) shows how to combine the actions.
extends_documentation_fragment: [pooled.postgres.attributes]
attributes:
  check_mode:
    support: full
    details: O(action=plan) works as usual. The other actions are skipped.
  diff_mode:
    support: none
    details: There is no text to compare.
options:
  action:
    description:
      - V(plan) reads and checks a plan, and returns its runs. It changes nothing.
      - V(begin) starts a benchmark, and forgets the runs of an interrupted one.
      - V(run) makes runs. A failed run is a result, too, and the task succeeds.
      - V(finish) writes C(latest.json), C(latest.txt), C(latest.md), C(latest.html), and C(raw/) with the
        output of pgbench.
    type: str
    choices: [plan, begin, run, finish]
    required: true
  directory:
    description: Directory on the controller for the results. Required except for O(action=plan).
    type: path
  plan:
    description:
      - For O(action=plan) the name of a plan (V(quick), V(standard), V(tutorial)) or its file.
      - For O(action=begin) the RV(plan) of O(action=plan).
    type: raw
  paths:
    description: Paths to compare instead of the plan's.
    type: list
    elements: str
  load_hosts:
    description: Hosts that generate the load, all at once, unless the plan names others.
    type: list
    elements: str
  database_host:
    description: The host of PostgreSQL and PgBouncer.
    type: str
  tls:
    description: PgBouncer's C(client_tls_sslmode).
    type: str
    default: disable
  max_connections:
    description: PostgreSQL's C(max_connections). C(beyond) in a plan is 50 clients more.
    type: int
  schedule:
    description: The RV(schedule) of O(action=plan).
    type: list
    elements: dict
  system:
    description: For O(action=begin) the C(time), C(target) and C(auth_type).
    type: dict
  hosts:
    description: For O(action=begin), by host the result of C(action=check) of M(pooled.postgres.pgbench).
    type: dict
  settings:
    description: For O(action=begin) the settings of PostgreSQL, each with C(name) and C(value).
    type: list
    elements: dict
  pooler:
    description: For O(action=begin) the result of M(pooled.postgres.benchmark_samples).
    type: dict
  numbers:
    description: Runs to make, one of the RV(batches).
    type: list
    elements: int
  endpoints:
    description: By path, the login options of M(pooled.postgres.pgbench).
    type: dict
  login_user:
    description: Role to log in as.
    type: str
  login_password:
    description: Password of O(login_user).
    type: str
  login_db:
    description: Database with pgbench's tables.
    type: str
  samples:
    description: The rows of M(pooled.postgres.benchmark_samples).
    type: raw
  complete:
    description: Whether the whole plan ran.
    type: bool
    default: true
  monitored:
    description:
      - Whether O(action=finish) reads Prometheus' data of the runs.
      - C(outputs.json) and C(ssh_config) in the directory above O(directory) say how to reach it.
      - An error of Prometheus is a warning.
    type: bool
    default: false
seealso:
  - module: pooled.postgres.pgbench
  - module: pooled.postgres.benchmark_samples
"""

EXAMPLES = r"""
- name: Plan the benchmark
  pooled.postgres.benchmark:
    action: plan
    plan: quick
    load_hosts: "{{ groups.benchmark }}"
    database_host: "{{ groups.database | first }}"
    max_connections: 100
  register: planned

- name: Run pgbench
  pooled.postgres.benchmark:
    action: run
    directory: results
    numbers: "{{ item }}"
    endpoints:
      direct: {login_host: 10.0.2.10, login_port: 5432}
      pooled: {login_host: 10.0.2.10, login_port: 6432}
    login_user: benchmark
    login_password: "{{ benchmark_password }}"
    login_db: benchmark
  loop: "{{ planned.batches }}"
"""

RETURN = r"""
plan:
  description: The complete plan.
  returned: when O(action=plan)
  type: dict
  sample: {name: quick, seconds: 2, repeats: 3, scale: 50, warmup_seconds: 1, paths: [direct, pooled]}
schedule:
  description: The runs in their order. Warm-ups have the repeat 0.
  returned: when O(action=plan)
  type: list
  elements: dict
  sample: [{number: 1, path: direct, script: select-only, clients: 50, repeat: 1, seconds: 2}]
batches:
  description: The numbers of the runs, in lists for one task each.
  returned: when O(action=plan)
  type: list
  elements: list
  sample: [[1, 2, 3, 4], [5, 6, 7, 8]]
needs:
  description: Needs of each load host - C(clients) and C(jobs) of its largest run, and C(log_bytes).
  returned: when O(action=plan)
  type: dict
  sample: {clients: 150, jobs: 64, log_bytes: 7000000}
seconds:
  description: Expected time of the runs.
  returned: when O(action=plan)
  type: int
  sample: 51
progress:
  description: The next run, the outcome of the last and the remaining time, in a line.
  returned: when O(action=begin), and O(action=run) on the first load host
  type: str
  sample: "8/22 tpcb-like, 50 clients, pooled, 1 of 3; last: 31,204 tps; 38 s left"
tps:
  description: Successful transactions per second of the last run.
  returned: when O(action=run)
  type: float
  sample: 31204.3
error:
  description: Why the last run failed.
  returned: when O(action=run)
  type: str
  sample: null
table:
  description: The results as lines of text.
  returned: when O(action=finish)
  type: list
  elements: str
  sample: ["PgBouncer was faster in 1 of 3 comparisons (up to 18 x: select-only, 20 clients, reconnecting)."]
"""
