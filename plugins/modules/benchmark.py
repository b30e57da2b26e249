#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: benchmark
short_description: Carries out a plan of pgbench runs and keeps what they measure
version_added: 0.1.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Reads a plan and says which runs it makes (O(action=plan)), makes room for what they leave
    (O(action=begin)), makes one
    of them on the task's host (O(action=run)), and writes the results (O(action=finish)).
  - All of it happens on the controller but for pgbench itself. What a run has measured is kept there as soon
    as it has ended, so that a benchmark that is broken off loses nothing of it.
  - C(playbooks/benchmark.yml) is how these go together.
extends_documentation_fragment: [pooled.postgres.attributes]
attributes:
  check_mode:
    support: full
    details: O(action=plan) does what it does otherwise. The others are skipped.
  diff_mode:
    support: none
    details: Results are no text to compare.
options:
  action:
    description:
      - V(plan) reads and checks a plan, and returns the runs that it makes. Nothing is touched.
      - V(begin) forgets what an earlier benchmark that was broken off has left.
      - V(run) makes a run. One that fails is a result, too, and the task succeeds.
      - V(finish) makes C(latest.json) and C(latest.txt) of what the runs have left, and C(raw/) of what
        pgbench printed.
    type: str
    choices: [plan, begin, run, finish]
    required: true
  directory:
    description: Directory on the controller where results are kept. All but O(action=plan) need it.
    type: path
  plan:
    description:
      - For O(action=plan) the name of a plan (V(quick), V(standard), V(tutorial)), or the file of one.
      - For O(action=begin) what O(action=plan) returned.
    type: raw
  paths:
    description: Paths to compare, in place of the plan's own.
    type: list
    elements: str
  load_hosts:
    description: Hosts that load may come from. Without others in the plan, it comes from all of them at once.
    type: list
    elements: str
  database_host:
    description: The host of PostgreSQL and PgBouncer.
    type: str
  tls:
    description: PgBouncer's C(client_tls_sslmode), which says whether it takes clients over TLS.
    type: str
    default: disable
  max_connections:
    description: PostgreSQL's C(max_connections). A plan's C(beyond) is 50 clients more.
    type: int
  schedule:
    description: What O(action=plan) returned.
    type: list
    elements: dict
  system:
    description: What was measured - hardware, versions, settings.
    type: dict
  number:
    description: The run to make, by its number in O(schedule).
    type: int
  endpoints:
    description: By path, the options of M(pooled.postgres.pgbench) that say where to log in.
    type: dict
  processors:
    description: Number of the host's processors, which decides how many threads pgbench gets.
    type: int
  login_user:
    description: The role to log in as.
    type: str
  login_password:
    description: Its password.
    type: str
  login_db:
    description: The database with pgbench's tables.
    type: str
  samples:
    description: What M(pooled.postgres.benchmark_samples) saw meanwhile.
    type: raw
  complete:
    description: Whether the plan was carried out to its end.
    type: bool
    default: true
  monitored:
    description:
      - Whether there is a Prometheus, which O(action=finish) then asks for what it saw during the runs.
      - How to get there is said by C(outputs.json) and C(ssh_config) in the directory above O(directory).
      - One that does not answer is a warning.
    type: bool
    default: false
seealso:
  - module: pooled.postgres.pgbench
  - module: pooled.postgres.benchmark_samples
"""

EXAMPLES = r"""
- name: Plan is sound
  pooled.postgres.benchmark:
    action: plan
    plan: quick
    load_hosts: "{{ groups.benchmark }}"
    database_host: "{{ groups.database | first }}"
    max_connections: 100
  register: planned

- name: Load is run
  pooled.postgres.benchmark:
    action: run
    directory: results
    number: "{{ item.number }}"
    endpoints:
      direct: {login_host: 10.0.2.10, login_port: 5432}
      pooled: {login_host: 10.0.2.10, login_port: 6432}
    processors: 2
    login_user: benchmark
    login_password: "{{ benchmark_password }}"
    login_db: benchmark
  loop: "{{ planned.schedule }}"
"""

RETURN = r"""
plan:
  description: The plan, complete.
  returned: when O(action=plan)
  type: dict
  sample: {name: quick, seconds: 2, repeats: 3, scale: 50, warmup_seconds: 1, paths: [direct, pooled]}
schedule:
  description: The runs in the order in which they are to be made. Warm-ups have the repeat 0.
  returned: when O(action=plan)
  type: list
  elements: dict
  sample: [{number: 1, path: direct, script: select-only, clients: 50, repeat: 1, seconds: 2}]
needs:
  description:
    - What each load host must have - C(clients) and C(jobs) of its largest run, and C(log_bytes) of room.
  returned: when O(action=plan)
  type: dict
  sample: {clients: 150, jobs: 64, log_bytes: 7000000}
seconds:
  description: How long the runs will take.
  returned: when O(action=plan)
  type: int
  sample: 51
progress:
  description: In a line, which run begins, what the last has measured, and how long the rest will take.
  returned: when O(action=begin), and O(action=run) on the first load host
  type: str
  sample: "8/22 tpcb-like, 50 clients, pooled, 1 of 3; last: 31,204 tps; 38 s left"
tps:
  description: Transactions per second, of those that succeeded.
  returned: when O(action=run)
  type: float
  sample: 31204.3
error:
  description: Why the run failed.
  returned: when O(action=run)
  type: str
  sample: null
table:
  description: The results as lines of text.
  returned: when O(action=finish)
  type: list
  elements: str
  sample: ["PgBouncer serves 150 clients, which PostgreSQL refuses directly."]
"""
