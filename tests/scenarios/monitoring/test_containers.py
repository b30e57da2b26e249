"""Prometheus, Alertmanager and Grafana in containers, with images loaded from a tar."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from real_hosts import Run, changed_nothing, recap, words
from scenario import Scenario

HOST = "composed"
SUPPORT = Path(__file__).parent / "support"
SECRET = 'it\'s "secret" enough'
INPUTS: dict[str, Any] = {
    "monitoring_runtime": "containers",
    "monitoring_images": {
        "prometheus": "localhost/prometheus:debian",
        "alertmanager": "localhost/prometheus-alertmanager:debian",
        # No registry answers there.
        "grafana": "127.0.0.1:9/grafana:12",
    },
    "monitoring_targets": [
        {"job": "prometheus", "targets": ["127.0.0.1:9090"], "labels": {"stack": "s", "host": "composed"}},
        {"job": "alertmanager", "targets": ["127.0.0.1:9093"], "labels": {"stack": "s", "host": "composed"}},
    ],
    "monitoring_webhook": {"url": "http://127.0.0.1:9999/hook", "username": "u", "password": SECRET},
    "monitoring_scrape_interval": "1s",
    "monitoring_grafana_password": 'grafana\'s "own" secret',
}
TARGETS = (
    "import json, time, urllib.request as u\n"
    "for _ in range(30):\n"
    "    d = json.load(u.urlopen('http://127.0.0.1:9090/api/v1/targets'))['data']['activeTargets']\n"
    "    if d and all(t['health'] == 'up' for t in d): break\n"
    "    time.sleep(1)\n"
    "print(json.dumps(sorted((t['labels']['job'], t['health']) for t in d)))"
)


@pytest.fixture(scope="module")
def composed(hosts: Scenario) -> Scenario:
    """Return the hosts after Docker, the images and the role were set up."""
    script = (SUPPORT / "images.sh").read_text()
    hosts.ssh(HOST, "sudo tee /root/grafana.py >/dev/null", stdin=(SUPPORT / "grafana.py").read_text())
    made = hosts.ssh(HOST, "sudo bash -s", stdin=script)
    assert made.returncode == 0, made.stdout + made.stderr
    run = converge(hosts)
    assert run.returncode == 0, run.stdout
    assert "Grafana is not installed: the image 127.0.0.1:9/grafana:12 could not be pulled" in words(run), (
        run.stdout
    )
    return hosts


def converge(hosts: Scenario, *arguments: str, **inputs: Any) -> Run:
    """Run the role on the host."""
    return hosts.playbook("--diff", *arguments, by_host={HOST: {**INPUTS, **inputs}})


def started(hosts: Scenario, container: str = "prometheus") -> str:
    """Return when a container was started."""
    return hosts.root(HOST, f"docker inspect --format '{{{{.State.StartedAt}}}}' {container}")


def test_prometheus_scrapes(composed: Scenario) -> None:
    found = composed.python(HOST, TARGETS, None)
    assert json.loads(found.stdout) == [["alertmanager", "up"], ["prometheus", "up"]], found.stderr
    listening = composed.root(HOST, "ss -Hltn '( sport = :9090 or sport = :9093 )'").splitlines()
    assert len(listening) == 2
    assert all("127.0.0.1:" in line for line in listening)


def test_the_compose_file_confines_containers_and_has_no_secret(composed: Scenario) -> None:
    shown = composed.root(HOST, "docker compose --file /etc/pooled-monitoring/compose.yml config")
    for word in (
        "restart: unless-stopped",
        "read_only: true",
        "no-new-privileges:true",
        "network_mode: host",
    ):
        assert word in shown
    assert "secret" not in composed.root(HOST, "docker inspect prometheus alertmanager")
    status = composed.root(HOST, "cat /proc/$(pidof prometheus)/status")
    assert "CapEff:\t0000000000000000" in status
    assert f"Uid:\t{composed.root(HOST, 'id -u prometheus')}\t" in status


def test_a_second_run_changes_nothing(composed: Scenario) -> None:
    run = converge(composed)
    assert changed_nothing(run), run.stdout


def test_a_changed_interval_reloads_and_a_changed_retention_replaces_the_container(
    composed: Scenario,
) -> None:
    before = started(composed)
    run = converge(composed, monitoring_scrape_interval="2s")
    # The files and the reload.
    assert recap(run)[HOST]["changed"] == 2, run.stdout
    assert started(composed) == before
    other = started(composed, "alertmanager")
    assert converge(composed, monitoring_retention_time="20d").returncode == 0
    assert started(composed) != before
    assert started(composed, "alertmanager") == other


def test_the_promtool_of_the_image_refuses_wrong_rules(composed: Scenario) -> None:
    before = started(composed)
    wrong = {"name": "b", "rules": [{"alert": "B", "expr": "up =="}]}
    run = converge(composed, "--tags=configure", monitoring_rule_groups=[wrong])
    assert recap(run)[HOST]["failed"] == 1
    assert "parse error" in words(run)
    assert started(composed) == before


def test_without_a_receiver_alertmanager_stops(composed: Scenario) -> None:
    run = converge(composed, monitoring_webhook={})
    assert run.returncode == 0, run.stdout
    assert composed.root(HOST, "docker ps --format '{{.Names}}'") == "prometheus"
    assert "alertmanager-secrets" not in composed.root(HOST, "ls /etc/prometheus")


def test_what_an_interrupted_run_left_out_of_grafana_is_done(composed: Scenario) -> None:
    """The files changed, and Grafana has not loaded them."""
    images = {**INPUTS["monitoring_images"], "grafana": "localhost/grafana:python"}
    password = "/etc/grafana/pooled-admin-password"
    run = converge(composed, monitoring_images=images)
    assert run.returncode == 0, run.stdout
    assert told(composed) == INPUTS["monitoring_grafana_password"]
    again = converge(composed, monitoring_images=images)
    assert changed_nothing(again), again.stdout

    before = started(composed, "grafana")
    composed.root(HOST, f"printf another > {password}")
    run = converge(composed, monitoring_images=images, monitoring_grafana_password="another")
    # The reset and its record. The container keeps running.
    assert recap(run)[HOST]["changed"] == 2, run.stdout
    assert told(composed) == "another"
    assert "another" not in run.stdout + run.stderr
    assert started(composed, "grafana") == before
    assert composed.root(HOST, f"stat --format '%U %a' {password}.told") == "root 400"

    composed.root(HOST, "touch /etc/grafana/provisioning/datasources/pooled.yml")
    run = converge(composed, monitoring_images=images, monitoring_grafana_password="another")
    assert recap(run)[HOST]["changed"] == 1, run.stdout
    assert started(composed, "grafana") != before


def told(hosts: Scenario) -> str:
    """Return the last password that Grafana's CLI set."""
    digest = hosts.root(
        HOST, "docker exec grafana /usr/bin/python3 -c 'print(open(\"/tmp/reset-password\").read())'"
    )
    passwords = (INPUTS["monitoring_grafana_password"], "another")
    return {hashlib.sha256(one.encode()).hexdigest(): one for one in passwords}.get(digest, digest)
