#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbench
short_description: Measure PostgreSQL or PgBouncer with pgbench
version_added: 0.1.0
description:
  - Create pgbench's tables (O(action=initialise)), or run pgbench and return its figures and the percentiles
    of the latency (O(action=run)).
  - O(action=check) checks whether the host can make the runs.
  - The module passes the password in a temporary file that only its user can read, never in an argument or
    in the environment of a process.
  - It ignores environment variables of libpq, and C(.pgpass), C(.pg_service.conf) and C(.postgresql) in the
    home directory.
  - It stops pgbench at O(timeout), at a signal, and when Ansible disconnects.
options:
  action:
    description:
      - V(initialise) creates and fills the four tables if a table or a primary key is missing, or if they
        have another O(scale). It drops existing tables first.
      - V(run) runs a benchmark.
      - V(check) fails if the host lacks pgbench, file descriptors for the O(clients), or space for
        O(log_bytes). It does not log in.
    type: str
    choices: [check, initialise, run]
    required: true
  login_host:
    description:
      - Host name or address of PostgreSQL or PgBouncer, or the directory of its Unix socket.
      - Empty is the default directory of Unix sockets.
    type: str
    default: ""
  login_port:
    description: Port of PostgreSQL or PgBouncer.
    type: int
    default: 5432
  login_user:
    description: Role to log in as.
    type: str
    default: postgres
  login_password:
    description: Password of O(login_user), not empty and without a line break.
    type: str
  login_db:
    description: Database with pgbench's tables. Required except for O(action=check).
    type: str
  ssl_mode:
    description: Whether connections over TCP use TLS, as C(sslmode) of libpq.
    type: str
    choices: [disable, allow, prefer, require]
    default: prefer
  executable:
    description:
      - Path of pgbench, of PostgreSQL 15 or newer.
      - By default pgbench of C(PATH), or else the newest one in C(/usr/lib/postgresql).
    type: path
  scale:
    description:
      - Size of the tables for O(action=initialise), as multiple of 100,000 accounts (about 16 MB).
    type: int
    default: 1
  clients:
    description: Number of clients, each with one connection.
    type: int
    default: 1
  jobs:
    description: Number of pgbench's threads.
    type: int
    default: 1
  transactions:
    description:
      - Number of transactions of each client.
      - O(action=run) needs this or O(duration).
    type: int
  duration:
    description: Seconds to run.
    type: int
  script:
    description:
      - One of pgbench's own scripts.
      - Without it and without O(script_content), V(tpcb-like).
    type: str
    choices: [tpcb-like, simple-update, select-only]
  script_content:
    description:
      - Custom script, see
        U(https://www.postgresql.org/docs/current/pgbench.html#PGBENCH-CUSTOM-SCRIPTS).
      - Its variable C(:scale) is always 1.
    type: str
  script_name:
    description: Name of O(script_content) in the result, V(custom) by default.
    type: str
  variables:
    description: Variables of the script, by name.
    type: dict
    default: {}
  reconnect:
    description:
      - Open a new connection for each transaction.
      - RV(run) excludes the time to connect, which is C(average_connection_ms) in RV(details).
    type: bool
    default: false
  protocol:
    description: Query protocol.
    type: str
    choices: [simple, extended, prepared]
    default: simple
  max_tries:
    description:
      - How often to try a transaction that fails with a serialization error or a deadlock, once by default.
      - V(0) has no limit and needs O(duration).
    type: int
  vacuum:
    description: Vacuum the small tables and empty C(pgbench_history) before the run.
    type: bool
    default: false
  timeout:
    description:
      - Seconds after which pgbench is stopped with an error. It must be above O(duration).
    type: int
    default: 3600
  log_sampling_rate:
    description:
      - Share of the transactions that pgbench logs, such as V(0.01); all by default.
      - RV(run) comes from the log, which takes about 35 bytes for each transaction in Ansible's
        remote temporary directory.
    type: float
  log_bytes:
    description: Space that the log needs, for O(action=check).
    type: int
    default: 0
  on_error:
    description:
      - Whether a failed run fails the module (V(fail)), or is a result with its cause in RV(run)
        (V(report)).
      - Invalid options, a missing executable and a low limit of open files always fail the module.
    type: str
    choices: [fail, report]
    default: fail
  workloads:
    description:
      - Several runs in one task, each as a dictionary of this module's options that differ from those of the
        task. They start one after the other.
      - The result is RV(results). A run that cannot start has an C(error) there, and the others continue.
    type: list
    elements: dict
extends_documentation_fragment: [pooled.postgres.attributes]
attributes:
  check_mode:
    support: partial
    details: O(action=run) is skipped.
  diff_mode:
    support: partial
    details: O(action=run) has no diff.
requirements:
  - Python 3.9 or newer
  - pgbench of PostgreSQL 15 or newer (in Debian part of the server's package)
  - psycopg2 for O(action=initialise)
notes:
  - With O(reconnect) each thread of pgbench opens its connections one after the other, so few O(jobs) for
    many O(clients) measure pgbench itself. A SCRAM-SHA-256 login costs pgbench some milliseconds of CPU.
seealso:
  - name: pgbench
    description: Meaning of the figures.
    link: https://www.postgresql.org/docs/current/pgbench.html
author:
  - Pooled Postgres maintainers (@pooled-postgres)
"""

EXAMPLES = r"""
- name: Fill the tables of the benchmark
  pooled.postgres.pgbench:
    action: initialise
    login_host: 10.0.2.10
    login_user: myuser
    login_password: "{{ myuser_password }}"
    login_db: mydb
    scale: 50

- name: Measure 50 clients through PgBouncer
  pooled.postgres.pgbench:
    action: run
    login_host: 10.0.2.10
    login_port: 6432
    login_user: myuser
    login_password: "{{ myuser_password }}"
    login_db: mydb
    clients: 50
    jobs: 4
    transactions: 1000
  register: pooled

- name: Measure a connection for each transaction, and accept refusals
  pooled.postgres.pgbench:
    action: run
    login_host: 10.0.2.10
    login_user: myuser
    login_password: "{{ myuser_password }}"
    login_db: mydb
    clients: 150
    jobs: 8
    duration: 30
    reconnect: true
    script_name: read-and-update
    script_content: |
      BEGIN;
      SELECT * FROM pgbench_accounts WHERE aid = 1;
      UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = 1;
      COMMIT;
    timeout: 120
    on_error: report
  register: direct
"""

RETURN = r"""
run:
  description:
    - The run as a row of results. A figure that pgbench did not print is null.
    - C(mode) is V(reconnect) with O(reconnect), else V(persistent). C(transactions) and C(tps) count
      successful transactions. C(latency_ms) excludes connecting; its percentiles are by nearest rank.
    - C(error) is why the run failed, in one line, with advice if possible.
  returned: when O(action=run) and not in check mode
  type: dict
  sample:
    script: tpcb-like
    mode: persistent
    clients: 50
    jobs: 4
    transactions: 50000
    tps: 2462.108305
    failed: 0
    latency_ms: {avg: 20.227, min: 1.204, p50: 18.771, p95: 38.406, p99: 52.118, max: 143.9}
    error: null
details:
  description:
    - All other figures of pgbench, null if it did not print them.
    - C(latency_average_ms) is pgbench's own. Without C(latency_stddev_ms) it is computed from the run's time,
      and includes connecting with O(reconnect).
    - C(average_connection_ms) is the time to connect with O(reconnect), C(initial_connection_ms) without.
    - C(scripts) has the figures of each script, C(latencies_logged) the number of transactions in
      RV(run).
  returned: when O(action=run) and not in check mode
  type: dict
  sample:
    pgbench_version: "17.11"
    server_version: "17.11"
    transaction_type: "<builtin: TPC-B (sort of)>"
    scale: 50
    query_mode: simple
    threads: 4
    max_tries: 1
    transactions_per_client: 1000
    failed_percent: 0.0
    latency_average_ms: 20.308
    initial_connection_ms: 61.044
    average_connection_ms: null
    tps_counts: without initial connection time
    scripts: []
    latencies_logged: 50000
command:
  description: The command without its password, null if none ran.
  returned: when not in check mode, or O(action=initialise)
  type: str
  sample: /usr/lib/postgresql/17/bin/pgbench -i -q -s 50 -h 10.0.2.10 -p 5432 -U myuser mydb
stdout:
  description: Output of pgbench.
  returned: when O(action=run) and not in check mode
  type: str
  sample: "pgbench (17.11 (Debian 17.11-0+deb13u1))\ntransaction type: <builtin: TPC-B (sort of)>\n"
measured:
  description:
    - C(start) and C(end) by the host's clock in seconds since 1970, C(cpu_seconds) of pgbench (null if it was
      killed), and C(processors) of the host.
  returned: when O(action=run) and not in check mode
  type: dict
  sample: {start: 1795410000.1, end: 1795410005.3, cpu_seconds: 2.7, processors: 2}
latencies:
  description: Number of transactions by their latency in microseconds, to three digits.
  returned: when O(action=run) and not in check mode
  type: dict
  sample: {"1230": 17, "1240": 20}
results:
  description: For each of O(workloads) the keys above, or C(error).
  returned: with O(workloads), and not in check mode
  type: list
  elements: dict
  sample: []
processors:
  description: Number of the host's processors.
  returned: success and O(action=check)
  type: int
  sample: 2
busy:
  description: Share of the processors that was busy during one second.
  returned: success and O(action=check)
  type: float
  sample: 0.03
boot_id:
  description: Identifies the boot of the kernel; containers of one machine share it.
  returned: success and O(action=check)
  type: str
  sample: 0d4bb1a8-12b4-4bf0-9f6e-1c1bd6b3f5aa
system:
  description: Distribution, kernel, processor and memory of the host.
  returned: success and O(action=check)
  type: dict
  sample: {distribution: Debian 13, kernel: 6.12.48, processor: AMD EPYC 7B13, memory_mb: 7961}
scale:
  description: Scale of the tables.
  returned: success and O(action=initialise)
  type: int
  sample: 50
previous_scale:
  description: Scale of the tables before, null without a table of branches.
  returned: success and O(action=initialise)
  type: int
  sample: 1
"""

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pooled.postgres.plugins.module_utils._pgbench import api, model
from ansible_collections.pooled.postgres.plugins.module_utils._pgbench.errors import (
    InterruptedRunError,
    PgbenchError,
)

WORKLOAD_OPTIONS = (
    "clients",
    "jobs",
    "transactions",
    "duration",
    "script",
    "script_content",
    "script_name",
    "reconnect",
    "protocol",
    "max_tries",
    "vacuum",
    "log_sampling_rate",
    "variables",
)


def login(params: Mapping[str, Any]) -> model.Target:
    """Return the task's login. Raises PgbenchError if it is invalid."""
    target = model.Target(
        host=params["login_host"],
        port=params["login_port"],
        user=params["login_user"],
        database=params["login_db"],
        password=params["login_password"],
        ssl_mode=params["ssl_mode"],
    )
    model.check_target(target)
    return target


def check(module: AnsibleModule) -> dict[str, Any]:
    """Return the host's resources. Raises PgbenchError if they are too small."""
    params = module.params
    found = api.check(
        params["clients"],
        params["jobs"],
        params["log_bytes"],
        executable=params["executable"],
        directory=module.tmpdir,
    )
    return {"changed": False, **found}


def initialise(module: AnsibleModule) -> dict[str, Any]:
    """Create pgbench's tables, or predict it in check mode, and return the result."""
    params = module.params
    target = login(params)
    model.check_scale(params["scale"], params["timeout"])
    outcome = api.initialise(
        target,
        params["scale"],
        executable=params["executable"],
        timeout=params["timeout"],
        directory=module.tmpdir,
        check_mode=module.check_mode,
    )
    result = {
        "changed": outcome["changed"],
        "scale": params["scale"],
        "previous_scale": outcome["before"].scale,
        "command": outcome["command"],
    }
    if module._diff:
        result["diff"] = {state: outcome[state].as_diff() for state in ("before", "after")}
    return result


def run(module: AnsibleModule) -> dict[str, Any]:
    """Run pgbench, unless in check mode, and return the result."""
    params = module.params
    if params["workloads"] is None:
        return measure(module, params)
    results = []
    for workload in params["workloads"]:
        try:
            results.append(measure(module, {**params, **workload}))
        except InterruptedRunError:
            raise
        except PgbenchError as error:
            results.append({"changed": False, "error": str(error)})
    return {"changed": any(one["changed"] for one in results), "results": results}


def measure(module: AnsibleModule, params: Mapping[str, Any]) -> dict[str, Any]:
    """Make one run and return its result."""
    target = login(params)
    workload = model.Workload(**{name: params[name] for name in WORKLOAD_OPTIONS})
    model.check_workload(workload, params["timeout"])
    if module.check_mode:
        return {"changed": False, "skipped": True, "msg": "pgbench does not run in check mode"}
    outcome = api.run(
        target,
        workload,
        executable=params["executable"],
        timeout=params["timeout"],
        directory=module.tmpdir,
    )
    if warning := outcome.pop("warning"):
        module.warn(warning)
    result = {"changed": workload.writes, **outcome}
    error = outcome["run"]["error"]
    if error and params["on_error"] == "fail":
        module.fail_json(msg=f"Failed to run pgbench on {target}: {error}", **result)
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "action": {"type": "str", "choices": ["check", "initialise", "run"], "required": True},
            "login_host": {"type": "str", "default": ""},
            "login_port": {"type": "int", "default": 5432},
            "login_user": {"type": "str", "default": "postgres"},
            "login_password": {"type": "str", "no_log": True},
            "login_db": {"type": "str"},
            "ssl_mode": {"type": "str", "choices": list(model.SSL_MODES), "default": "prefer"},
            "executable": {"type": "path"},
            "scale": {"type": "int", "default": 1},
            "clients": {"type": "int", "default": 1},
            "jobs": {"type": "int", "default": 1},
            "transactions": {"type": "int"},
            "duration": {"type": "int"},
            "script": {"type": "str", "choices": list(model.BUILTIN_SCRIPTS)},
            "script_content": {"type": "str"},
            "script_name": {"type": "str"},
            "reconnect": {"type": "bool", "default": False},
            "protocol": {"type": "str", "choices": list(model.PROTOCOLS), "default": "simple"},
            "max_tries": {"type": "int"},
            "vacuum": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 3600},
            "log_sampling_rate": {"type": "float"},
            "variables": {"type": "dict", "default": {}},
            "log_bytes": {"type": "int", "default": 0},
            "workloads": {"type": "list", "elements": "dict"},
            "on_error": {"type": "str", "choices": ["fail", "report"], "default": "fail"},
        },
        mutually_exclusive=[("transactions", "duration"), ("script", "script_content")],
        required_if=[
            ("action", "run", ("transactions", "duration", "workloads"), True),
            ("action", "run", ("login_db",)),
            ("action", "initialise", ("login_db",)),
        ],
        required_by={"script_name": "script_content"},
        supports_check_mode=True,
    )
    actions = {"check": check, "initialise": initialise, "run": run}
    try:
        result = actions[module.params["action"]](module)
    except PgbenchError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
