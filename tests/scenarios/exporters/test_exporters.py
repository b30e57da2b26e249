"""Exporters on bare hosts: their figures, their sandbox, their restarts, and drift."""

from __future__ import annotations

import calendar
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_hosts import Run, changed_nothing, words
from scenario import Scenario

PROCESSES = {"packaged": 2, "released": 1}
STATS_PASSWORD = 'scrape:\\"me"'
PASSWORDS = {"prometheus": 'it\'s "secret" as well', "somebody": "somebody's"}
EXPORTERS = Path(__file__).parent / "support/exporters.yml"
PLAN = Path(__file__).parent / "support/plan.yml"
PROMETHEUS = Path(__file__).parent / "support/prometheus.yml"

SCRAPE = """
import base64, json, ssl, sys, urllib.error, urllib.request
inputs = json.load(sys.stdin)
authority = "/etc/ssl/pooled/exporters/authority.crt"
context = ssl.create_default_context(cafile=authority) if inputs["tls"] else None
request = urllib.request.Request(f"{'https' if context else 'http'}://127.0.0.1:{inputs['port']}/metrics")
if inputs["user"]:
    login = ":".join(inputs["user"]).encode()
    request.add_header("Authorization", "Basic " + base64.b64encode(login).decode())
try:
    answer = urllib.request.urlopen(request, context=context, timeout=20)
    print(json.dumps([answer.status, answer.read().decode()]))
except urllib.error.HTTPError as error:
    print(json.dumps([error.code, ""]))
except OSError as error:
    print(json.dumps([0, str(error)]))
"""

# Prometheus' targets once all are up, or after a minute: a scrape may be slow.
TARGETS = """
import json, time, urllib.request
for _ in range(60):
    try:
        answer = urllib.request.urlopen("http://127.0.0.1:9090/api/v1/targets?state=active", timeout=5)
        found = json.load(answer)["data"]["activeTargets"]
        if found and all(one["health"] == "up" for one in found):
            break
    except OSError as error:
        found = str(error)
    time.sleep(1)
print(json.dumps(found))
"""

# Processes and world-readable files that contain a text.
TELLTALES = """
import json, os, pathlib, stat, sys
texts = [text.encode() for text in json.load(sys.stdin)]
found = []
for process in pathlib.Path("/proc").glob("[0-9]*"):
    for name in ("cmdline", "environ"):
        try:
            data = (process / name).read_bytes()
        except OSError:
            continue
        found += [f"{process}/{name}"] * any(text in data for text in texts)
for top in ("/etc", "/opt", "/run", "/var/log", "/var/lib/prometheus", "/tmp", "/home"):
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            try:
                mode = os.lstat(path).st_mode
                if not stat.S_ISREG(mode) or not mode & stat.S_IROTH:
                    continue
                with open(path, "rb") as file:
                    data = file.read()
            except FileNotFoundError:  # services write and remove files meanwhile
                continue
            found += [path] * any(text in data for text in texts)
print(json.dumps(found))
"""


def services(host: str) -> dict[str, int]:
    """Return the ports of the host's services."""
    pools = {f"pgbouncer_exporter@{n}": 9126 + n for n in range(1, PROCESSES[host] + 1)}
    return {"postgres_exporter": 9187, **pools, "node_exporter": 9100}


def scrape(
    hosts: Scenario, host: str, port: int, user: str | None = "prometheus", password: str | None = None
) -> tuple[int, str]:
    """Scrape as Prometheus does; return the status, 0 for no answer, and the text.

    Without a user it sends no login.
    """
    login = [user, password or PASSWORDS[user]] if user and host == "released" else None
    inputs: dict[str, Any] = {"port": port, "tls": host == "released", "user": login}
    result = hosts.python(host, SCRAPE, inputs)
    assert result.returncode == 0, result.stderr
    status, text = json.loads(result.stdout)
    return status, text


def value(text: str, series: str) -> float | None:
    """Return the sum of a metric's series, None without one."""
    found = re.findall(rf"(?m)^{series}(?:{{.*}})? (\S+)$", text)
    return sum(map(float, found)) if found else None


def until(hosts: Scenario, host: str, port: int, series: str, wanted: float) -> None:
    """Wait up to a minute until a scrape has this value."""
    said: tuple[int, str] = (0, "")
    for _attempt in range(60):
        said = scrape(hosts, host, port)
        if said[0] == 200 and value(said[1], series) == wanted:
            return
        time.sleep(1)
    pytest.fail(f"{series} is not {wanted}: {said[0]}, {value(said[1], series)}")


def pids(hosts: Scenario, host: str) -> dict[str, str]:
    """Return the PID of each running exporter."""
    units = hosts.root(
        host, "systemctl list-units --plain --no-legend --state=running '*_exporter*' '*-exporter*'"
    )
    names = [line.split()[0] for line in units.splitlines()]
    shown = hosts.root(host, f"systemctl show --property=MainPID --value {' '.join(names)}").split()
    return dict(zip((name.removesuffix(".service") for name in names), shown, strict=True))


def test_each_exporter_reaches_its_target(hosts: Scenario, host: str) -> None:
    assert pids(hosts, host).keys() == services(host).keys()
    texts = {}
    for name, port in services(host).items():
        status, texts[name] = scrape(hosts, host, port)
        assert status == 200, name
    assert value(texts["postgres_exporter"], "pg_up") == 1
    assert value(texts["node_exporter"], "node_boot_time_seconds")
    pools = [text for name, text in texts.items() if name.startswith("pgbouncer")]
    assert [value(text, "pgbouncer_up") for text in pools] == [1] * PROCESSES[host]
    # Each exporter covers its own process.
    assert sum(value(text, "pgbouncer_config_max_client_connections") or 0 for text in pools) == 1000


def test_optional_series_are_exported(hosts: Scenario, host: str) -> None:
    _status, text = scrape(hosts, host, 9187)
    for series in (
        "pg_settings_max_connections",
        "pg_database_wraparound_age_datfrozenxid_seconds",
        "pg_long_running_transactions",
        "pg_stat_statements_calls_total",
        "pg_stat_activity_max_tx_duration",
        "pg_replication_lag_seconds",
    ):
        assert value(text, series) is not None, series
    assert value(text, "pg_exporter_last_scrape_error") == 0
    assert re.findall(r"(?m)^pg_scrape_collector_success.* 0$", text) == []
    # PostgreSQL 17 has checkpoints in a view of their own, 15 has not.
    newer = value(text, "pg_stat_checkpointer_num_timed_total") is not None
    assert newer is (host == "packaged")
    assert newer or value(text, "pg_stat_bgwriter_checkpoints_timed_total") is not None
    _status, text = scrape(hosts, host, 9100)
    active = re.findall(r'(?m)^node_systemd_unit_state{name="(.*)",state="active".* 1$', text)
    assert {f"{name}.service" for name in services(host)} < set(active)
    assert any(name.startswith("postgresql@") for name in active)


def test_the_tutorials_series_are_exported(hosts: Scenario, host: str) -> None:
    login = hosts.login(host, 'it\'s "secret" enough', port=6432)
    assert login == "ok"
    _status, text = scrape(hosts, host, 9127)
    for series in (
        "pgbouncer_pools_client_active_connections",
        "pgbouncer_pools_client_waiting_connections",
        "pgbouncer_pools_server_active_connections",
        "pgbouncer_stats_queries_pooled_total",
        "pgbouncer_stats_sql_transactions_pooled_total",
    ):
        assert value(text, series) is not None, series


def test_the_sandbox_confines_the_exporters(hosts: Scenario, host: str) -> None:
    for name, pid in pids(hosts, host).items():
        # In tenths.
        most = 20 if name == "node_exporter" else 12
        hosts.root(host, f"systemd-analyze security --no-pager --threshold={most} {name}.service")
        status = hosts.root(host, f"cat /proc/{pid}/status; stat --format 'Owner: %U' /proc/{pid}")
        assert "NoNewPrivs:\t1" in status
        assert "Seccomp:\t2" in status
        assert "CapBnd:\t0000000000000000" in status
        assert "Owner: prometheus" in status


def test_the_sandbox_hides_no_figure_of_the_host(hosts: Scenario) -> None:
    unit = "systemd-run --quiet --collect --uid=prometheus --unit=unconfined"
    options = "--web.listen-address=127.0.0.1:9999 --collector.systemd"
    hosts.root("packaged", f"{unit} prometheus-node-exporter {options}")
    try:
        until(hosts, "packaged", 9999, "node_selinux_enabled", 0)
        both = [scrape(hosts, "packaged", port)[1] for port in (9100, 9999)]
    finally:
        hosts.root("packaged", "systemctl stop unconfined")
    series = [
        {
            line.rsplit(" ", 1)[0]
            for line in text.splitlines()
            if not line.startswith(("#", "go_", "node_systemd"))
        }
        for text in both
    ]
    assert series[0] == series[1]
    failing = [set(re.findall(r'collector_success{collector="(\w+)"} 0', text)) for text in both]
    assert failing[0] == failing[1]


def test_units_of_the_packages_are_masked(hosts: Scenario, host: str) -> None:
    kinds = ("postgres", "pgbouncer", "node") if host == "packaged" else ("node",)
    for kind in kinds:
        result = hosts.ssh(host, f"systemctl is-enabled prometheus-{kind}-exporter")
        assert result.stdout.strip() == "masked"


def test_no_password_is_readable(hosts: Scenario, host: str) -> None:
    texts = [STATS_PASSWORD, STATS_PASSWORD.replace(":", "\\:"), *PASSWORDS.values()]
    result = hosts.python(host, TELLTALES, texts, sudo=True)
    assert json.loads(result.stdout) == [], result.stderr
    modes = hosts.root(host, "find /etc/pooled-exporters -exec stat --format '%U:%G %a %n' {} +")
    wanted = {
        "root:prometheus 750 /etc/pooled-exporters",
        "root:prometheus 750 /etc/pooled-exporters/pgbouncer",
        "prometheus:prometheus 400 /etc/pooled-exporters/pgbouncer/passfile",
    }
    if host == "released":
        wanted.add("root:prometheus 640 /etc/pooled-exporters/web.yml")
        web = hosts.root(host, "cat /etc/pooled-exporters/web.yml")
        assert not any(password in web for password in PASSWORDS.values())
    assert set(modes.splitlines()) == wanted
    assert not sees_passfile(hosts, host)


def sees_passfile(hosts: Scenario, host: str) -> list[str]:
    """Return the exporters whose sandbox shows the stats user's password, even to root."""
    running = pids(hosts, host)
    found = []
    for name in ("postgres_exporter", "node_exporter"):
        seen = hosts.root(
            host,
            f"nsenter --target {running[name]} --mount cat /etc/pooled-exporters/pgbouncer/passfile || true",
        )
        found += [name] * ("pgbouncer:" in seen)
    return found


def test_the_stats_user_can_only_read(hosts: Scenario, host: str) -> None:
    options = {
        "host": "/run/pgbouncer/1",
        "port": 6432,
        "user": "pgbouncer_exporter",
        "password": STATS_PASSWORD,
    }
    assert hosts.login_from(host, {**options, "dbname": "mydb"}) != "ok"
    psql = "psql -XAtq -h /run/pgbouncer/1 -p 6432 -U pgbouncer_exporter -d pgbouncer"
    said = hosts.ssh(
        host,
        f"read -r PGPASSWORD; export PGPASSWORD; {psql} -c 'SHOW POOLS' -c 'PAUSE'",
        stdin=STATS_PASSWORD + "\n",
    )
    # The shell takes a backslash of its own from what it reads.
    if "authentication failed" in said.stderr:
        pytest.fail(said.stderr)
    assert "pgbouncer|pgbouncer|" in said.stdout
    assert "admin access needed" in said.stderr


def test_a_scrape_needs_tls_and_a_login(hosts: Scenario) -> None:
    for port in services("released").values():
        assert scrape(hosts, "released", port, user=None)[0] == 401
        assert scrape(hosts, "released", port, password="wrong")[0] == 401
        assert scrape(hosts, "released", port, user="somebody")[0] == 200
        plain = hosts.python("released", SCRAPE, {"port": port, "tls": False, "user": None})
        assert json.loads(plain.stdout)[0] == 400


@pytest.fixture
def prometheus(hosts: Scenario) -> Iterator[Run]:
    """Install Prometheus on the host `packaged`, and return that run."""
    yield hosts.playbook(playbook=PROMETHEUS)
    hosts.root("packaged", "systemctl disable --now prometheus; rm -rf /etc/ssl/pooled/scraped")


def test_prometheus_scrapes_by_tls_and_with_a_password(hosts: Scenario, prometheus: Run) -> None:
    assert prometheus.returncode == 0, prometheus.stdout
    assert PASSWORDS["prometheus"] not in prometheus.stdout + prometheus.stderr
    found = hosts.python("packaged", TARGETS, None)
    targets = json.loads(found.stdout)
    assert {(one["labels"]["job"], one["labels"]["host"]) for one in targets} == {
        (job, host) for job in ("postgres", "pgbouncer", "node") for host in PROCESSES
    }
    assert [(one["scrapeUrl"], one["lastError"]) for one in targets if one["health"] != "up"] == []
    # Targets without TLS are in a job of their own, without the password.
    asked = {
        (one["labels"]["host"], one["scrapePool"], one["scrapeUrl"].partition(":")[0]) for one in targets
    }
    assert asked == {("packaged", "pooled", "http"), ("released", "pooled-https", "https")}
    again = hosts.playbook(playbook=PROMETHEUS)
    assert changed_nothing(again), again.stdout


def test_the_ends_of_certificates_are_exported(hosts: Scenario) -> None:
    _, text = scrape(hosts, "released", 9100)
    told = dict(
        re.findall(
            r'pooled_certificate_expiry_timestamp_seconds\{path="(.+?)",service="exporters"\} (\S+)', text
        )
    )
    assert {Path(path).name for path in told} == {"server.crt", "authority.crt"}
    for path, at in told.items():
        end = hosts.root("released", f"openssl x509 -noout -enddate -in {path}").strip()
        assert float(at) == calendar.timegm(time.strptime(end, "notAfter=%b %d %H:%M:%S %Y GMT")), path
    _, without = scrape(hosts, "packaged", 9100)
    assert "pooled_certificate_expiry" not in without


def test_root_owns_the_programs_of_a_release(hosts: Scenario) -> None:
    found = hosts.root("released", "stat --format '%U %a' /opt/pooled-exporters/*/*_exporter")
    assert found.splitlines() == ["root 755", "root 755"]
    assert "/opt/pooled-exporters/postgres_exporter-0.17.1/" in hosts.root("released", "ps -eo args")


def test_exporters_outlive_their_targets(hosts: Scenario) -> None:
    before = pids(hosts, "packaged")
    hosts.root("packaged", "systemctl stop pgbouncer@2 postgresql@17-main")
    until(hosts, "packaged", 9128, "pgbouncer_up", 0)
    until(hosts, "packaged", 9127, "pgbouncer_up", 1)
    until(hosts, "packaged", 9187, "pg_up", 0)
    hosts.root("packaged", "systemctl start pgbouncer@2 postgresql@17-main")
    until(hosts, "packaged", 9128, "pgbouncer_up", 1)
    until(hosts, "packaged", 9187, "pg_up", 1)
    assert pids(hosts, "packaged") == before


def test_exporters_may_start_before_their_targets(hosts: Scenario) -> None:
    hosts.root("packaged", "systemctl stop pgbouncer@2 postgresql@17-main")
    hosts.root("packaged", "systemctl restart pgbouncer_exporter@2 postgres_exporter")
    # pgbouncer_exporter exits without its target, and systemd starts it again.
    for _attempt in range(60):
        restarts = hosts.root("packaged", "systemctl show --property=NRestarts --value pgbouncer_exporter@2")
        if int(restarts) >= 2:
            break
        time.sleep(0.5)
    assert int(restarts) >= 2
    hosts.root("packaged", "systemctl start pgbouncer@2 postgresql@17-main")
    until(hosts, "packaged", 9128, "pgbouncer_up", 1)
    until(hosts, "packaged", 9187, "pg_up", 1)


def test_refuse_all_bad_inputs_before_any_change(hosts: Scenario) -> None:
    before = pids(hosts, "packaged")
    result = hosts.playbook(
        "--limit",
        "packaged",
        playbook=EXPORTERS,
        variables={
            "exporters_node_port": 9127,
            "exporters_pgbouncer_password": "",
            "exporters_basic_auth": [{"name": "p", "password": "a-secret"}],
        },
    )
    assert result.returncode != 0
    said = words(result)
    assert "Failed to plan exporters on packaged: 3 problems." in said
    assert "node_exporter and pgbouncer_exporter@1 would share port 9127" in said
    assert "exporters_pgbouncer_password is empty" in said
    assert "would send passwords in the clear" in said
    assert "a-secret" not in said
    assert changed_nothing(result)
    assert pids(hosts, "packaged") == before


def test_refuse_a_release_with_another_checksum(hosts: Scenario) -> None:
    before = pids(hosts, "released")
    release = {
        "version": "0.17.2",
        "url": "http://packaged:8000/postgres_exporter-0.17.1.linux-amd64.tar.gz",
        "checksum": "sha256:" + "0" * 64,
    }
    result = hosts.playbook(
        "--limit", "released", playbook=EXPORTERS, variables={"exporters_postgres_release": release}
    )
    assert result.returncode != 0
    said = words(result)
    assert "Failed to install postgres_exporter 0.17.2" in said
    assert "checksum" in said
    assert pids(hosts, "released") == before
    hosts.root("released", "! test -e /opt/pooled-exporters/postgres_exporter-0.17.2/postgres_exporter")


def test_restart_only_what_must_and_remove_surplus_exporters(hosts: Scenario) -> None:
    before = pids(hosts, "packaged")
    given = {"pgbouncer_processes": 1, "pooled_stats_password": "an0ther-secret"}
    result = hosts.playbook("--limit", "packaged", variables=given)
    assert result.returncode == 0, result.stdout
    after = pids(hosts, "packaged")
    assert after.keys() == before.keys() - {"pgbouncer_exporter@2"}
    restarted = {name for name, pid in after.items() if pid != before[name]}
    assert restarted == {"pgbouncer_exporter@1"}
    assert scrape(hosts, "packaged", 9128)[0] == 0
    hosts.root("packaged", "! ls /etc/systemd/system/pgbouncer_exporter@2.service")
    assert "an0ther-secret" not in result.stdout + result.stderr
    # The other exporters did not restart, and do not see the new password either.
    assert not sees_passfile(hosts, "packaged")

    # An upgraded package and a stopped service; without PostgreSQL's exporter.
    listed = "/var/lib/dpkg/info/prometheus-node-exporter.list"
    hosts.root("packaged", f"touch {listed}; systemctl stop pgbouncer_exporter@1")
    result = hosts.playbook(
        "--limit",
        "packaged",
        playbook=EXPORTERS,
        variables={**given, "exporters_kinds": ["pgbouncer", "node"]},
    )
    assert result.returncode == 0, result.stdout
    last = pids(hosts, "packaged")
    assert last.keys() == {"pgbouncer_exporter@1", "node_exporter"}
    assert last["node_exporter"] != after["node_exporter"]
    hosts.root("packaged", "! ls /etc/systemd/system/postgres_exporter.service")
    for left in (
        "/etc/systemd/system/certificate_expiry.timer",
        "/var/lib/prometheus/node-exporter/certificates.prom",
    ):
        hosts.root("packaged", f"test -e {left}")

    # Without the host's exporter no timer is left.
    result = hosts.playbook(
        "--limit", "packaged", playbook=EXPORTERS, variables={**given, "exporters_kinds": ["pgbouncer"]}
    )
    assert result.returncode == 0, result.stdout
    hosts.root("packaged", "! systemctl is-active certificate_expiry.timer")
    hosts.root(
        "packaged", "! ls /etc/systemd/system/certificate_expiry.* /var/lib/prometheus/node-exporter/*"
    )


def test_remove_certificates_without_tls(hosts: Scenario) -> None:
    hosts.root("released", "test -e /etc/ssl/pooled/exporters/server.crt -a -e /etc/pooled-exporters/web.yml")
    result = hosts.playbook(
        "--limit",
        "released",
        playbook=EXPORTERS,
        variables={"exporters_tls": False, "exporters_basic_auth": []},
    )
    assert result.returncode == 0, result.stdout
    hosts.root("released", "! ls /etc/ssl/pooled/exporters && ! ls /etc/pooled-exporters/web.yml")


def test_plan_packages_that_the_distribution_has(hosts: Scenario, host: str) -> None:
    """Debian 12's exporters are other programs, and would start unasked."""
    result = hosts.playbook("--limit", host, playbook=PLAN, variables={"monitoring_runtime": "containers"})
    masked = hosts.root(
        host, "find /etc/systemd/system -name 'prometheus-*-exporter.service' -lname /dev/null"
    )
    assert ("prometheus-pgbouncer-exporter" in masked) is (host == "packaged")
    assert "prometheus-node-exporter" in masked
    assert result.returncode == 0, result.stdout
    # The inputs are checked without a connection.
    assert "0 problems of the inputs" in words(result)


def test_repair_and_name_drift(hosts: Scenario, host: str) -> None:
    # A run of this test that broke off may have left drift.
    result = hosts.playbook("--limit", host)
    assert result.returncode == 0, result.stdout
    unit = "/etc/systemd/system/postgres_exporter.service"
    passfile = "/etc/pooled-exporters/pgbouncer/passfile"
    program = hosts.root(host, f"sed -n 's/^ExecStart=//p' {unit}").split()[0]
    certificates = "/etc/ssl/pooled/exporters"
    drift = [
        "systemctl disable --now node_exporter",
        f"sed -i 's/^RestartSec=.*/RestartSec=9/' {unit}",
        f"chmod 0644 {passfile}",
    ]
    if host == "released":
        drift += [
            f"chmod 0777 {program}",
            f"chmod 0644 {certificates}/server.key",
            f"rm {certificates}/server.crt",
        ]
    before = pids(hosts, host)
    hosts.root(host, "; ".join(drift))
    checked = hosts.playbook("--check", "--diff", "--limit", host)
    repaired = hosts.playbook("--diff", "--limit", host)
    for run in (checked, repaired):
        assert run.returncode == 0, run.stdout
        said = words(run)
        assert "start node_exporter.service: it was not running" in said
        assert "enable node_exporter.service" in said
        assert "-RestartSec=9 +RestartSec=2" in said
        assert passfile in said
        assert STATS_PASSWORD not in run.stdout
    assert "restart postgres_exporter.service" in words(repaired)
    after = pids(hosts, host)
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} >= {"node_exporter", "postgres_exporter"}
    assert hosts.root(host, f"stat --format %a {passfile}") == "400"
    if host == "released":
        assert hosts.root(host, f"stat --format %a {program}") == "755"
        assert hosts.root(host, f"stat --format '%G %a' {certificates}/server.key") == "prometheus 640"
        assert "exporters: the host has no certificate" in words(repaired)
    again = hosts.playbook("--limit", host)
    assert changed_nothing(again), again.stdout
