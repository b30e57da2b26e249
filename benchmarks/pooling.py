#!/usr/bin/env python3
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pooling gains and costs: no PgBouncer, the tutorial's and this role's, in turns on one host.

    MOLECULE_EPHEMERAL_DIRECTORY=$PWD/.state/molecule-pgbouncer .venv/bin/molecule converge -s pgbouncer
    .venv/bin/python benchmarks/pooling.py [--seconds 10] [--rounds 3] [--scale 50] [--clients 10000]

Runs pgbench over TCP on the host ``md5`` of that scenario. Prints medians, their ratios and the machine's
load before each part. Clients log in with MD5: SCRAM costs the client so much CPU that reconnecting runs
would measure the load generator.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests/shared"))

from scenario import Scenario

HOST = "md5"
# From the scenario's inventory.
PASSWORD = 'it\'s "secret" enough'  # noqa: S105
DIRECT, TUTORIAL, OURS = "direct", "tutorial", "ours"
PORTS = {DIRECT: 5432, TUTORIAL: 16432, OURS: 6432}
FOLDER = "/run/tutorial"
# The tutorial's configuration. Port, directories and account differ, so that both can run at once.
CONFIGURATION = f"""\
[databases]
mydb = host=127.0.0.1 port=5432 dbname=mydb
[pgbouncer]
listen_addr = 0.0.0.0
listen_port = {PORTS[TUTORIAL]}
auth_type = md5
auth_file = {FOLDER}/userlist.txt
pool_mode = transaction
max_client_conn = 100
default_pool_size = 20
stats_users = myuser
ignore_startup_parameters = extra_float_digits
unix_socket_dir = {FOLDER}
logfile = {FOLDER}/log
pidfile = {FOLDER}/pid
"""
# Thousands of clients in several processes, and PgBouncer's memory meanwhile.
MANY = """
import json, os, re, resource, subprocess, sys, time
inputs = json.load(sys.stdin)
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
environment = {**os.environ, "PGPASSWORD": inputs["password"]}
def memory():
    found = subprocess.run(["pgrep", "-x", "pgbouncer", "-u", "pgbouncer"], capture_output=True, text=True)
    pids = found.stdout.split()
    return sum(int(re.search(r"VmRSS:\\s+(\\d+)", open(f"/proc/{pid}/status").read())[1]) for pid in pids)
def clients():
    psql = "sudo -u pgbouncer psql -XAtq -p 6432 -U pgbouncer -d pgbouncer -c 'SHOW LISTS' -h"
    shown = subprocess.run(
        f"for s in /run/pgbouncer/*/; do {psql} $s; done", shell=True, capture_output=True, text=True).stdout
    return sum(int(n) for n in re.findall(r"used_clients\\|(\\d+)", shown))
before = memory()
runs = [subprocess.Popen(
    ["pgbench", "-n", "-S", "-j1", f"-c{inputs['clients'] // 8}", f"-T{inputs['seconds']}", inputs["target"]],
    env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(8)]
most = (0, before)
while any(run.poll() is None for run in runs):
    most = max(most, (clients(), memory()))
    time.sleep(1)
said = [run.communicate()[0] for run in runs]
print(json.dumps({"before": before, "most": most, "codes": [run.returncode for run in runs], "said": said}))
"""


def note(text: str) -> None:
    """Print a step and the load of the machine to stderr."""
    print(f"{text} (load {os.getloadavg()[0]:.1f}) ...", file=sys.stderr, flush=True)


def target(path: str, sslmode: str) -> str:
    """Return libpq's connection string for a path."""
    return f"host=127.0.0.1 port={PORTS[path]} user=myuser dbname=mydb sslmode={sslmode}"


def pgbench(hosts: Scenario, arguments: str) -> float:
    """Return the transactions per second. Raises RuntimeError if one failed."""
    result = hosts.ssh(
        HOST, f'export PGPASSWORD="$(cat)"; pgbench --no-vacuum {arguments} 2>&1', stdin=PASSWORD
    )
    found = re.search(r"tps = ([\d.]+)", result.stdout)
    if result.returncode or not found or "failed transactions: 0 " not in result.stdout:
        raise RuntimeError(result.stdout[-2000:] + result.stderr)
    return float(found[1])


def prepare(hosts: Scenario, scale: int, clients: int) -> None:
    """Apply the role's defaults, start the tutorial's PgBouncer beside it, and create pgbench's tables."""
    note("Preparing the host")
    variables = {"pgbouncer_processes": 0, "pgbouncer_max_client_conn": clients + 100}
    result = hosts.playbook("--limit", HOST, variables=variables)
    if result.returncode:
        raise RuntimeError(result.stdout)
    hosts.root(
        HOST,
        f"systemctl stop tutorial 2>/dev/null; install -d -o pgbouncer -g pgbouncer {FOLDER}; cd {FOLDER};"
        " cat > ini; cp /etc/pgbouncer/userlist.txt .; chown pgbouncer *;"
        f" systemd-run --quiet --collect --unit=tutorial --uid=pgbouncer /usr/sbin/pgbouncer {FOLDER}/ini",
        stdin=CONFIGURATION,
    )
    hosts.query(HOST, "GRANT CREATE ON SCHEMA public TO myuser", "mydb")
    made = hosts.ssh(
        HOST,
        f'export PGPASSWORD="$(cat)"; pgbench -iq -s {scale} "{target(DIRECT, "prefer")}" 2>&1',
        stdin=PASSWORD,
    )
    if made.returncode:
        raise RuntimeError(made.stdout)
    hosts.query(HOST, "CHECKPOINT")


def measure(
    hosts: Scenario, arguments: str, paths: tuple[str, ...], rounds: int, sslmode: str
) -> dict[str, float]:
    """Return each path's median of transactions per second, measured in turns."""
    found: dict[str, list[float]] = {path: [] for path in paths}
    for _ in range(rounds):
        for path in paths:
            found[path].append(pgbench(hosts, f'{arguments} "{target(path, sslmode)}"'))
    return {path: statistics.median(values) for path, values in found.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=10, help="how long each pgbench runs (10)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each path runs (3)")
    parser.add_argument("--scale", type=int, default=50, help="pgbench's scale (50)")
    parser.add_argument(
        "--clients", type=int, default=10000, help="concurrent connections in the last part (10000)"
    )
    parser.add_argument("--sslmode", default="prefer", help="of the clients (prefer, libpq's default)")
    inputs = parser.parse_args()
    hosts = Scenario("pgbouncer")
    prepare(hosts, inputs.scale, inputs.clients)
    parts = {
        "select-only, 50 clients": f"-S -c 50 -j 2 -T {inputs.seconds}",
        "tpcb-like, 50 clients": f"-c 50 -j 2 -T {inputs.seconds}",
        "a connection per transaction": f"-S -C -c 20 -j 20 -T {inputs.seconds}",
    }
    rates: dict[str, dict[str, float]] = {}
    print(f"{'run':<36}{DIRECT:>10}{TUTORIAL:>10}{OURS:>10}{'to tutorial':>13}{'to direct':>11}{'load':>7}")
    for name, arguments in parts.items():
        note(name)
        busy = os.getloadavg()[0]
        rates[name] = tps = measure(hosts, arguments, tuple(PORTS), inputs.rounds, inputs.sslmode)
        print(
            f"{name:<36}{tps[DIRECT]:10.0f}{tps[TUTORIAL]:10.0f}{tps[OURS]:10.0f}"
            f"{tps[OURS] / tps[TUTORIAL]:13.2f}{tps[OURS] / tps[DIRECT]:11.2f}{busy:7.1f}",
            flush=True,
        )
    # PgBouncer never returns memory, so only a new process shows the need of these clients.
    hosts.root(HOST, f"systemctl stop tutorial; rm -r {FOLDER}; systemctl restart 'pgbouncer@*'")
    note(f"{inputs.clients} clients")
    time.sleep(1)
    result = hosts.python(
        HOST,
        MANY,
        {
            "clients": inputs.clients,
            "seconds": 3 * inputs.seconds,
            "password": PASSWORD,
            "target": target(OURS, inputs.sslmode),
        },
        sudo=True,
    )
    if result.returncode:
        raise RuntimeError(result.stderr)
    many = json.loads(result.stdout)
    clients, kilobytes = many["most"]
    rate = sum(float(number) for said in many["said"] for number in re.findall(r"tps = ([\d.]+)", said))
    failed = [said for said, code in zip(many["said"], many["codes"], strict=True) if code]
    print(
        f"\n{clients} concurrent clients: PgBouncer's memory"
        f" {many['before'] / 1024:.1f} -> {kilobytes / 1024:.1f} MB,"
        f" {(kilobytes - many['before']) / max(clients, 1):.1f} kB per client;"
        f" {rate:.0f} transactions per second;"
        f" {len(failed)} of 8 pgbench failed{': ' + failed[0][-300:] if failed else ''}."
    )
    hosts.query(
        HOST, "DROP TABLE pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers", "mydb"
    )


if __name__ == "__main__":
    main()
