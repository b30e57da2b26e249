"""Monitoring of the lab: figures under load, alerts that fire and resolve, and open ports."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import yaml
from ansible_collections.pooled.postgres.plugins.module_utils._report import api
from ansible_collections.pooled.postgres.plugins.module_utils._report.panels import Window
from lab import Lab, wait
from real_hosts import ROOT

POSTGRESQL, PGBOUNCER, PROMETHEUS = 5432, 6432, 9090
# Alerts fire within seconds instead of minutes.
QUICK = {
    "monitoring_scrape_interval": "5s",
    "monitoring_evaluation_interval": "5s",
    "monitoring_thresholds": {"pooler_down_for": "0s", "pool_for": "0s", "connections_for": "0s"},
}
SECONDS, RATE = 60, 200
# Limit in seconds for Prometheus to scrape, evaluate and report on a busy machine.
SOON = 240

# Metrics in rules that this lab does not have, and why.
NOT_HERE = {
    "pg_stat_replication_pg_wal_lsn_diff": "there is no standby",
    "pooled:pgbouncer_database_saturation:ratio": "no database has max_db_connections",
    "pooled_certificate_expiry_timestamp_seconds": "there is no TLS; tests/scenarios/exporters has it",
}

# Hold connections while stdin is open; each repeats its query, if it has one.
HOLDING = """
import json, sys, threading, psycopg2
inputs = json.loads(sys.stdin.readline())
ended = threading.Event()
def hold():
    connection = psycopg2.connect(**inputs["options"])
    while inputs["query"] and not ended.is_set():
        connection.cursor().execute(inputs["query"])
    ended.wait()
threads = [threading.Thread(target=hold) for _ in range(inputs["count"])]
for thread in threads:
    thread.start()
sys.stdin.read()
ended.set()
"""

# Find the open ports of a host up to 10,000. A dropped packet takes the whole timeout.
SCAN = """
import asyncio, json, sys
async def look(address, port, few):
    async with few:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(address, port), 1)
        except OSError:
            return None
        writer.close()
        return port
async def scan(address):
    few = asyncio.Semaphore(900)
    return await asyncio.gather(*[look(address, port, few) for port in range(1, 10001)])
print(json.dumps([port for port in asyncio.run(scan(json.load(sys.stdin))) if port]))
"""


@pytest.fixture(scope="module")
def prometheus(lab: Lab) -> Iterator[api.Prometheus]:
    """Return the lab's Prometheus, which scrapes more often during these tests."""
    quick = lab.playbook("playbooks/monitoring.yml", variables=QUICK)
    assert quick.returncode == 0, quick.stdout[-3000:]
    try:
        with api.forwarded(lab.state / "ssh_config", lab.monitoring) as found:
            yield found
    finally:
        back = lab.playbook("playbooks/monitoring.yml")
    assert back.returncode == 0, back.stdout[-3000:]


@dataclass(frozen=True)
class Load:
    """When load came through the pooler, in seconds since 1970, and how much of it."""

    start: float
    end: float
    tps: float


@pytest.fixture(scope="module")
def load(lab: Lab, prometheus: api.Prometheus) -> Load:
    """Run 20 clients through the pooler at a rate that leaves the machine time for other tests."""
    address = lab.facts()["private_addresses"][lab.database]
    # Each scrape must find active connections.
    script = "SELECT count(*) FROM pg_class, pg_sleep(0.02);"
    pgbench = (
        f"pgbench --no-vacuum --client=20 --jobs=2 --rate={RATE} --time={SECONDS} --file=<(echo '{script}')"
        f" 'host={address} port={PGBOUNCER} user=myuser dbname=mydb' 2>&1"
    )
    start = time.time()
    said = lab.ssh(
        lab.monitoring, f'export PGPASSWORD="$(cat)"; bash -c "{pgbench}"', stdin=lab.password()
    ).stdout
    found = re.search(r"tps = ([\d.]+)", said)
    assert found, said
    return Load(start, time.time(), float(found[1]))


def value(prometheus: api.Prometheus, query: str, at: float | None = None) -> float | None:
    """Return the one figure of a query, now or at a time; None without a figure."""
    found = prometheus.get("query", query=query, time=time.time() if at is None else at)["result"]
    assert len(found) < 2, found
    return float(found[0]["value"][1]) if found else None


def test_every_target_is_up(prometheus: api.Prometheus, load: Load) -> None:
    targets = prometheus.get("targets", state="active")["activeTargets"]
    assert {target["labels"]["job"] for target in targets} >= {"postgres", "pgbouncer", "node", "prometheus"}

    def down() -> list[str]:
        found = prometheus.get("targets", state="active")["activeTargets"]
        return [target["scrapeUrl"] for target in found if target["health"] != "up"]

    # A single scrape may time out just after the load.
    wait(lambda: not down(), SOON)


def test_every_query_of_every_panel_has_data(prometheus: api.Prometheus, load: Load) -> None:
    folder = ROOT / "roles/monitoring/files/dashboards"
    documents = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    exceptions = yaml.safe_load((ROOT / "dashboards/without_data.yml").read_text())
    found = api.check(prometheus, documents, exceptions, Window.of(load.start, load.end))
    assert [str(query) for query in found.missing] == []
    assert found.stale == []


def test_every_metric_of_a_rule_exists(prometheus: api.Prometheus, load: Load) -> None:
    there = set(prometheus.get("label/__name__/values"))
    groups = prometheus.get("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
    named = {
        name
        for rule in rules
        for name in re.findall(r"\b(?:pg|pgbouncer|node|pooled)[_:][\w:]+(?=[{\[\s)]|$)", rule["query"])
    }
    assert len(named) > 20
    assert named - there == set(NOT_HERE)


def test_prometheus_counts_the_transactions_of_pgbench(prometheus: api.Prometheus, load: Load) -> None:
    query = 'sum(rate(pgbouncer_stats_sql_transactions_pooled_total{database="mydb"}[40s]))'
    counted = value(prometheus, query, load.end - 10)
    assert counted == pytest.approx(load.tps, rel=0.05)
    queries = 'sum(rate(pgbouncer_stats_queries_pooled_total{database="mydb"}[40s]))'
    assert value(prometheus, queries, load.end - 10) == pytest.approx(load.tps, rel=0.05)


def firing(prometheus: api.Prometheus) -> set[str]:
    """Return the names of the alerts that fire."""
    alerts = prometheus.get("alerts")["alerts"]
    return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


def pools(lab: Lab) -> dict[str, int]:
    """Return the figures of SHOW POOLS for the user's pool, summed over all processes."""
    psql = "psql -XAtq -p 6432 -U pgbouncer pgbouncer -c 'SHOW POOLS' -F ' '"
    rows = lab.ssh(
        lab.database, f'for s in /run/pgbouncer/*/; do sudo -u pgbouncer {psql} -h "$s"; done'
    ).stdout
    found = [row.split() for row in rows.splitlines() if row.startswith("mydb myuser ")]
    columns = {"client_active": 2, "client_waiting": 3, "server_active": 6}
    return {name: sum(int(row[column]) for row in found) for name, column in columns.items()}


@contextmanager
def holding(lab: Lab, port: int, count: int, query: str = "") -> Iterator[None]:
    """Hold so many connections of the user from the monitoring host."""
    options = {
        "host": lab.facts()["private_addresses"][lab.database],
        "port": port,
        "user": "myuser",
        "password": lab.password(),
        "dbname": "mydb",
    }
    command = ["ssh", "-F", str(lab.state / "ssh_config"), lab.monitoring]
    with subprocess.Popen(
        [*command, f"python3 -c {shlex.quote(HOLDING)}"], stdin=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        process.stdin.write(json.dumps({"options": options, "count": count, "query": query}) + "\n")
        process.stdin.flush()
        # The end of the block closes stdin and waits.
        yield


def test_alerts_of_full_pools_and_a_stopped_exporter_fire_and_resolve(
    lab: Lab, prometheus: api.Prometheus, load: Load
) -> None:
    expected = {"PgBouncerPoolSaturated", "PostgresConnectionsNearLimit", "ExporterDown"}
    wait(lambda: not firing(prometheus) & {*expected, "PgBouncerDown"}, SOON)
    lab.ssh(lab.database, "sudo systemctl stop node_exporter")
    try:
        with (
            holding(lab, PGBOUNCER, 25, "SELECT pg_sleep(1)"),
            holding(lab, POSTGRESQL, 70),
        ):
            wait(lambda: expected <= firing(prometheus), SOON)
            # Prometheus must agree with PgBouncer.
            shown = {
                name: value(
                    prometheus, f'sum(pgbouncer_pools_{name}_connections{{database="mydb",user="myuser"}})'
                )
                for name in ("client_active", "client_waiting", "server_active")
            }
            assert shown == pools(lab)
            assert shown == {"client_active": 20, "client_waiting": 5, "server_active": 20}
    finally:
        lab.ssh(lab.database, "sudo systemctl start node_exporter")
    wait(lambda: not firing(prometheus) & expected, SOON)


def test_the_alert_of_a_stopped_pooler_fires_and_resolves(
    lab: Lab, prometheus: api.Prometheus, load: Load
) -> None:
    lab.ssh(lab.database, "sudo systemctl stop 'pgbouncer@*'")
    try:
        wait(lambda: "PgBouncerDown" in firing(prometheus), SOON)
    finally:
        lab.ssh(lab.database, "sudo systemctl start --all 'pgbouncer@*'")
    wait(lambda: "PgBouncerDown" not in firing(prometheus), SOON)


def test_a_scan_finds_only_the_documented_ports(lab: Lab, prometheus: api.Prometheus) -> None:
    addresses = lab.facts()["private_addresses"]
    database, monitoring = addresses[lab.database], addresses[lab.monitoring]

    def from_here(address: str) -> set[int]:
        """Scan from this machine, which infrastructure_admin_cidr names."""
        command = [sys.executable, "-c", SCAN]
        found = subprocess.run(command, input=json.dumps(address), capture_output=True, text=True, check=True)
        return set(json.loads(found.stdout))

    def between(host: str, address: str) -> set[int]:
        result = lab.python(host, SCAN, address)
        assert result.returncode == 0, result.stderr
        return set(json.loads(result.stdout))

    # Grafana runs if its archive is reachable.
    assert from_here(monitoring) - {3000} == {22, PROMETHEUS}
    assert from_here(database) == set()
    assert between(lab.database, monitoring) == set()
    assert between(lab.monitoring, database) == {22, POSTGRESQL, PGBOUNCER, 9100, 9127, 9187}


def test_the_page_shows_the_lab(lab: Lab, load: Load) -> None:
    made = lab.runner("report", "--since", "10m")
    assert made.returncode == 0, made.stderr
    page = (lab.state / "report.html").read_text()
    assert lab.database in page
    assert "<svg" in page
    assert lab.password() not in page
