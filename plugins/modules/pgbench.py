#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbench
short_description: Measure PostgreSQL or PgBouncer with pgbench
version_added: 0.1.0
description:
  - Creates pgbench's tables (O(action=initialise)), or runs pgbench and returns all its figures and the
    percentiles of the latency (O(action=run)).
  - Before many runs, O(action=check) says whether the host can make them.
  - The password reaches pgbench by a temporary file that only its user can read. It is neither in an argument
    nor in the environment of a process.
  - Environment variables of libpq and the files C(.pgpass), C(.pg_service.conf) and C(.postgresql) of the
    home directory are not used.
  - pgbench does not outlive the module. It is stopped at O(timeout), at a signal, and when Ansible goes away.
options:
  action:
    description:
      - V(initialise) creates and fills the four tables if one of them or of their primary keys is missing, or
        if they were filled for another O(scale). Their content is lost then.
      - V(run) runs a benchmark.
      - V(check) fails where the host has no pgbench, no file descriptors for so many O(clients), or no room
        for O(log_bytes). It logs in nowhere.
    type: str
    choices: [check, initialise, run]
    required: true
  login_host:
    description:
      - Host name or address of PostgreSQL or PgBouncer, or the directory of its Unix socket.
      - If it is empty, the default directory of Unix sockets is used.
    type: str
    default: ""
  login_port:
    description: Port of PostgreSQL or PgBouncer.
    type: int
    default: 5432
  login_user:
    description: The role to log in as.
    type: str
    default: postgres
  login_password:
    description: The password of O(login_user). It must not be empty or have a line break in it.
    type: str
  login_db:
    description: The database with pgbench's tables. All but O(action=check) need it.
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
      - How much data to create, as multiple of 100,000 accounts, which take about 16 MB.
      - Used by O(action=initialise) only.
    type: int
    default: 1
  clients:
    description: The number of clients, each of which has one connection.
    type: int
    default: 1
  jobs:
    description: The number of threads that pgbench uses for the clients.
    type: int
    default: 1
  transactions:
    description:
      - The number of transactions that each client runs.
      - O(action=run) needs either this or O(duration).
    type: int
  duration:
    description: For how many seconds to run.
    type: int
  script:
    description:
      - Which of pgbench's own scripts to run.
      - Without it and O(script_content) it is V(tpcb-like).
    type: str
    choices: [tpcb-like, simple-update, select-only]
  script_content:
    description:
      - A script to run instead, see
        U(https://www.postgresql.org/docs/current/pgbench.html#PGBENCH-CUSTOM-SCRIPTS).
      - The variable C(:scale) is 1 in it, whatever size the tables have.
    type: str
  script_name:
    description: How O(script_content) is called in the result. Without it that is V(custom).
    type: str
  variables:
    description: Variables of the script, by name.
    type: dict
    default: {}
  reconnect:
    description:
      - Open a connection for each transaction, rather than one for each client.
      - The latencies in RV(run.latency_ms) do not include the time to connect, which is in
        RV(details.average_connection_ms).
    type: bool
    default: false
  protocol:
    description: How queries are sent.
    type: str
    choices: [simple, extended, prepared]
    default: simple
  max_tries:
    description:
      - How often to try a transaction that fails by a serialization error or a deadlock.
      - By default once. V(0) is without end and needs O(duration).
    type: int
  vacuum:
    description: Vacuum the small tables and empty C(pgbench_history) before the run.
    type: bool
    default: false
  timeout:
    description:
      - After how many seconds to stop pgbench, with an error.
      - It must be above O(duration).
    type: int
    default: 3600
  log_sampling_rate:
    description:
      - Which part of the transactions pgbench logs, such as V(0.01) for one in a hundred. By default it logs
        all.
      - While pgbench runs, the log takes about 35 bytes for each transaction in Ansible's remote temporary
        directory.
      - The percentiles of RV(run.latency_ms) come from the log, as do its minimum, maximum and average.
    type: float
  log_bytes:
    description: How much room there must be for the log, for O(action=check).
    type: int
    default: 0
  on_error:
    description:
      - Whether a run that fails makes the module V(fail), or is only returned as a result, V(report), with
        the reason in RV(run.error).
      - Options that make no sense, a missing executable and too low a limit of open files fail always.
    type: str
    choices: [fail, report]
    default: fail
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
    support: partial
    details: With O(action=run) the module is skipped.
  diff_mode:
    description: Will return details on what has changed or possibly needs changing, when in diff mode.
    support: partial
    details: With O(action=run) there is no diff.
  platform:
    description: Target OS or families that can be operated against.
    platforms: Linux
    support: full
requirements:
  - Python 3.9 or newer
  - pgbench of PostgreSQL 15 or newer, which Debian has in the package of the server
  - psycopg2 for O(action=initialise)
notes:
  - With O(reconnect) a thread of pgbench waits for each of its connections, so that few O(jobs) for many
    O(clients) measure pgbench. A login by SCRAM-SHA-256 takes pgbench itself some milliseconds of CPU.
seealso:
  - name: pgbench
    description: What the figures mean.
    link: https://www.postgresql.org/docs/current/pgbench.html
author:
  - Pooled Postgres maintainers (@pooled-postgres)
"""

EXAMPLES = r"""
- name: Tables of the benchmark are filled
  pooled.postgres.pgbench:
    action: initialise
    login_host: 10.0.2.10
    login_user: myuser
    login_password: "{{ myuser_password }}"
    login_db: mydb
    scale: 50

- name: Fifty clients are measured through PgBouncer
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

- name: A connection for each transaction is measured, and may be refused
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
    - The run, as a row of results. What pgbench did not print is null.
  returned: when O(action=run) and not in check mode
  type: dict
  contains:
    script:
      description: Name of the script.
      returned: always
      type: str
      sample: tpcb-like
    mode:
      description: V(reconnect) if there was a connection for each transaction, else V(persistent).
      returned: always
      type: str
      sample: persistent
    clients:
      description: Number of clients, as asked for.
      returned: always
      type: int
      sample: 50
    jobs:
      description: Number of threads, as asked for.
      returned: always
      type: int
      sample: 4
    transactions:
      description: Number of transactions that succeeded.
      returned: always
      type: int
      sample: 50000
    tps:
      description: Transactions per second, of those that succeeded.
      returned: always
      type: float
      sample: 2462.108305
    failed:
      description: Number of transactions that failed.
      returned: always
      type: int
      sample: 0
    latency_ms:
      description:
        - Latencies in milliseconds, from the log of transactions, without failed ones and without
          connecting. Percentiles are by nearest rank.
      returned: always
      type: dict
      sample: {avg: 20.227, min: 1.204, p50: 18.771, p95: 38.406, p99: 52.118, max: 143.9}
    error:
      description: Why the run failed, in one line, and what to do if that is known.
      returned: always
      type: str
      sample: null
details:
  description:
    - Everything else that pgbench prints. What it did not print is null.
  returned: when O(action=run) and not in check mode
  type: dict
  contains:
    pgbench_version:
      description: Version of pgbench.
      returned: always
      type: str
      sample: "17.11"
    server_version:
      description: Version of the server.
      returned: always
      type: str
      sample: "17.11"
    transaction_type:
      description: The script, in pgbench's words.
      returned: always
      type: str
      sample: "<builtin: TPC-B (sort of)>"
    scale:
      description: The scale of the tables; 1 with O(script_content).
      returned: always
      type: int
      sample: 50
    partition_method:
      description: How the table of accounts is partitioned.
      returned: always
      type: str
      sample: null
    partitions:
      description: How many partitions it has.
      returned: always
      type: int
      sample: null
    query_mode:
      description: The O(protocol).
      returned: always
      type: str
      sample: simple
    threads:
      description: Number of threads that there were.
      returned: always
      type: int
      sample: 4
    max_tries:
      description: How often a transaction was tried at most; null is without end.
      returned: always
      type: int
      sample: 1
    duration_s:
      description: The O(duration) in seconds.
      returned: always
      type: int
      sample: null
    transactions_per_client:
      description: The O(transactions).
      returned: always
      type: int
      sample: 1000
    failed_percent:
      description: Share of transactions that failed.
      returned: always
      type: float
      sample: 0.0
    serialization_failures:
      description: Number of transactions that failed by a serialization error.
      returned: always
      type: int
      sample: 0
    serialization_failures_percent:
      description: Share of them.
      returned: always
      type: float
      sample: 0.0
    deadlock_failures:
      description: Number of transactions that failed by a deadlock.
      returned: always
      type: int
      sample: 0
    deadlock_failures_percent:
      description: Share of them.
      returned: always
      type: float
      sample: 0.0
    retried:
      description: Number of transactions that were tried again, with O(max_tries).
      returned: always
      type: int
      sample: null
    retried_percent:
      description: Share of them.
      returned: always
      type: float
      sample: null
    retries:
      description: How often any transaction was tried again.
      returned: always
      type: int
      sample: null
    skipped:
      description: Number of transactions that a rate limit left out.
      returned: always
      type: int
      sample: null
    skipped_percent:
      description: Share of them.
      returned: always
      type: float
      sample: null
    latency_limit_ms:
      description: The limit of the latency in milliseconds.
      returned: always
      type: float
      sample: null
    late:
      description: Number of transactions beyond that limit.
      returned: always
      type: int
      sample: null
    late_percent:
      description: Share of them.
      returned: always
      type: float
      sample: null
    latency_average_ms:
      description:
        - pgbench's own average of the latency in milliseconds. Unless there is a standard deviation too,
          it is computed from the time that the run took, and with O(reconnect) it includes connecting.
      returned: always
      type: float
      sample: 20.308
    latency_includes_failures:
      description: Whether failed transactions are in that average.
      returned: always
      type: bool
      sample: false
    latency_stddev_ms:
      description: Standard deviation of the latency in milliseconds, if pgbench measured it.
      returned: always
      type: float
      sample: null
    schedule_lag_average_ms:
      description: How late transactions began under a rate limit, on average, in milliseconds.
      returned: always
      type: float
      sample: null
    schedule_lag_max_ms:
      description: How late they began at most.
      returned: always
      type: float
      sample: null
    initial_connection_ms:
      description: How long it took to connect all clients, in milliseconds, without O(reconnect).
      returned: always
      type: float
      sample: 61.044
    average_connection_ms:
      description: How long a connection took on average, in milliseconds, with O(reconnect).
      returned: always
      type: float
      sample: null
    tps_counts:
      description: What RV(run.tps) includes, in pgbench's words.
      returned: always
      type: str
      sample: without initial connection time
    scripts:
      description: The figures of each script, if there are several.
      returned: always
      type: list
      elements: dict
      sample: []
    latencies_logged:
      description: Number of transactions that RV(run.latency_ms) is taken from.
      returned: always
      type: int
      sample: 50000
command:
  description: The command that was run, null if none. It holds no secret.
  returned: when not in check mode, or O(action=initialise)
  type: str
  sample: /usr/lib/postgresql/17/bin/pgbench -i -q -s 50 -h 10.0.2.10 -p 5432 -U myuser mydb
stdout:
  description: What pgbench printed.
  returned: when O(action=run) and not in check mode
  type: str
  sample: "pgbench (17.11 (Debian 17.11-0+deb13u1))\ntransaction type: <builtin: TPC-B (sort of)>\n"
measured:
  description:
    - C(start) and C(end) of pgbench by the host's clock, in seconds since 1970, the C(cpu_seconds) that it
      took, null if it was killed, and the number of C(processors) of the host.
  returned: when O(action=run) and not in check mode
  type: dict
  sample: {start: 1795410000.1, end: 1795410005.3, cpu_seconds: 2.7, processors: 2}
latencies:
  description: How many transactions took how many microseconds, to three digits.
  returned: when O(action=run) and not in check mode
  type: dict
  sample: {"1230": 17, "1240": 20}
processors:
  description: Number of the host's processors.
  returned: success and O(action=check)
  type: int
  sample: 2
busy:
  description: Which share of them was in use, during one second.
  returned: success and O(action=check)
  type: float
  sample: 0.03
boot_id:
  description: Which start of which kernel the host runs on, which containers of one machine share.
  returned: success and O(action=check)
  type: str
  sample: 0d4bb1a8-12b4-4bf0-9f6e-1c1bd6b3f5aa
scale:
  description: The scale that the tables are filled for.
  returned: success and O(action=initialise)
  type: int
  sample: 50
previous_scale:
  description: The scale that they were filled for before, null if there was no table of branches.
  returned: success and O(action=initialise)
  type: int
  sample: 1
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pooled.postgres.plugins.module_utils._pgbench import api, model
from ansible_collections.pooled.postgres.plugins.module_utils._pgbench.errors import PgbenchError

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


def login(params: dict[str, Any]) -> model.Target:
    """Return where the task wants to log in. Raises PgbenchError if nobody could."""
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
    """Return what the host has for a benchmark. Raises PgbenchError where that is too little."""
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
    """Bring pgbench's tables into the wanted state, or in check mode foresee it, and return the result."""
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
    """Run the benchmark, unless in check mode, and return the result."""
    params = module.params
    target = login(params)
    workload = model.Workload(**{name: params[name] for name in WORKLOAD_OPTIONS})
    model.check_workload(workload, params["timeout"])
    if module.check_mode:
        return {"changed": False, "skipped": True, "msg": "pgbench would have run if not in check mode"}
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
            "on_error": {"type": "str", "choices": ["fail", "report"], "default": "fail"},
        },
        mutually_exclusive=[("transactions", "duration"), ("script", "script_content")],
        required_if=[
            ("action", "run", ("transactions", "duration"), True),
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
