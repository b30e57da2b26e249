"""Prometheus, Alertmanager and Grafana from packages: their sandbox, changes, drift and receivers."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import grafana_provisioning
import pytest
import yaml
from real_hosts import ROOT, Run, changed_nothing, recap, words
from scenario import Scenario

HOST = "watcher"
SUPPORT = Path(__file__).parent / "support"
PROMETHEUS, ALERTMANAGER = "http://127.0.0.1:9090", "http://127.0.0.1:9093"
SECRETS = ("s3cr3t", 'it\'s "secret" enough', 'grafana\'s "own" secret')
TESTED = {"job": "tested", "targets": ["127.0.0.1:9999"], "labels": {"stack": "scenario", "host": "watcher"}}

ASK = """
import json, sys, urllib.request, urllib.error
method, url = json.load(sys.stdin)
try:
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=5) as answer:
        print(json.dumps([answer.status, answer.read().decode()]))
except urllib.error.HTTPError as error:
    print(json.dumps([error.code, error.read().decode()]))
"""


def ask(hosts: Scenario, url: str, method: str = "GET") -> tuple[int, str]:
    """Ask a server on the host and return status and text."""
    result = hosts.python(HOST, ASK, [method, url])
    assert result.returncode == 0, result.stderr
    status, text = json.loads(result.stdout)
    return status, text


def api(hosts: Scenario, path: str) -> Any:
    """Ask Prometheus' API and return its data."""
    return json.loads(ask(hosts, f"{PROMETHEUS}/api/v1/{path}")[1])["data"]


def pid(hosts: Scenario, unit: str = "prometheus") -> str:
    """Return the process ID of a unit."""
    return hosts.root(HOST, f"systemctl show --property=MainPID --value {unit}")


def loaded(hosts: Scenario) -> str:
    """Return when Prometheus last read its configuration."""
    # Prometheus does not scrape itself in each of these tests, so a query would fail.
    _, text = ask(hosts, f"{PROMETHEUS}/metrics")
    found = re.search(r"(?m)^prometheus_config_last_reload_success_timestamp_seconds (\S+)$", text)
    assert found, text
    return found[1]


def wait(condition: Callable[[], Any], seconds: float = 90) -> Any:
    """Wait for a true result and return it."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.5)
    return found


@pytest.fixture(scope="module")
def restored(hosts: Scenario) -> Iterator[None]:
    """Restore the scenario's state after the tests that change it."""
    yield
    hosts.playbook()


def test_servers_listen_on_loopback_only(hosts: Scenario) -> None:
    assert set(hosts.root(HOST, "ss -Hltn '( sport >= 9000 and sport <= 9999 )'").split()) >= {
        "127.0.0.1:9090",
        "127.0.0.1:9093",
    }
    listening = hosts.root(HOST, "ss -Hltunp | grep -E 'prometheus'").splitlines()
    assert len(listening) == 2
    assert all("127.0.0.1:" in line for line in listening)


@pytest.mark.parametrize("unit", ["prometheus", "prometheus-alertmanager"])
def test_the_sandbox_applies(hosts: Scenario, unit: str) -> None:
    # The threshold is in tenths.
    hosts.root(HOST, f"systemd-analyze security --no-pager --threshold=15 {unit}")
    status = hosts.root(HOST, f"cat /proc/{pid(hosts, unit)}/status")
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    assert "CapBnd:\t0000000000000000" in status


def test_prometheus_refuses_administration_over_http(hosts: Scenario) -> None:
    for path, method in (
        ("/-/reload", "POST"),
        ("/-/quit", "POST"),
        ("/api/v1/admin/tsdb/snapshot", "POST"),
    ):
        status, text = ask(hosts, PROMETHEUS + path, method)
        assert status >= 400, path
        assert "not enabled" in text or "disabled" in text, text


def test_only_alertmanager_can_read_the_secrets(hosts: Scenario) -> None:
    folder = "/etc/prometheus/alertmanager-secrets"
    modes = hosts.root(HOST, f"stat --format '%U:%G %a' {folder} {folder}/*")
    assert set(modes.splitlines()) == {"root:prometheus 750", "root:prometheus 640"}
    for secret in SECRETS[:2]:
        assert secret in hosts.root(HOST, f"cat {folder}/*")
    # The patterns are in a file, so that ps does not show them.
    patterns = "\n".join(SECRETS)
    readable = "find / -xdev -type f -perm -o=r -size -9M -not -path '/proc/*' -print0"
    keep = "umask 077; cat > /root/patterns"
    look = f"{keep}; {readable} | xargs -0 grep -lFf /root/patterns; rm /root/patterns"
    assert hosts.ssh(HOST, f"sudo sh -c {shlex.quote(look)}", stdin=patterns).stdout == ""
    looked = f"{keep}; journalctl --no-pager | grep -cFf /root/patterns; rm /root/patterns"
    assert hosts.ssh(HOST, f"sudo sh -c {shlex.quote(looked)}", stdin=patterns).stdout.strip() == "0"
    status = json.loads(ask(hosts, f"{ALERTMANAGER}/api/v2/status")[1])["config"]["original"]
    assert not any(secret in status for secret in SECRETS)


def test_a_second_run_reports_that_grafana_is_missing(hosts: Scenario) -> None:
    run = hosts.playbook()
    assert changed_nothing(run), run.stdout
    assert "Grafana is not installed: http://127.0.0.1:9/grafana does not answer" in words(run)
    assert not any(secret in run.stdout + run.stderr for secret in SECRETS)


@pytest.mark.usefixtures("restored")
class TestChanges:
    """Each change does what it needs, and no more. The tests follow one another."""

    CHANGED: ClassVar[dict[str, Any]] = {
        "monitoring_targets": [TESTED],
        "monitoring_retention_time": "20d",
        "monitoring_thresholds": {"pool_ratio": 0.77},
    }

    @pytest.mark.parametrize(
        ("variables", "said"),
        [
            (
                {"monitoring_scrape_interval": "often"},
                "monitoring_scrape_interval is 'often', which is not a",
            ),
            (
                {"monitoring_scrape_configs": [{"job_name": "x", "scrap_timeout": "1s"}]},
                "field scrap_timeout",
            ),
            (
                {"monitoring_rule_groups": [{"name": "b", "rules": [{"alert": "B", "expr": "up =="}]}]},
                "parse error",
            ),
            # Not even the rules change, which are right.
            (
                {"monitoring_repeat_interval": "0s", "monitoring_thresholds": {"pool_ratio": 0.5}},
                "repeat_interval cannot be zero",
            ),
        ],
    )
    def test_a_wrong_input_is_refused_and_changes_nothing(
        self, hosts: Scenario, variables: dict[str, Any], said: str
    ) -> None:
        files = "cat /etc/prometheus/*.yml /etc/prometheus/rules/*.yml"
        before, process, read = hosts.root(HOST, files), pid(hosts), loaded(hosts)
        run = hosts.playbook("--tags=configure", variables=variables)
        assert recap(run)[HOST]["failed"] == 1, run.stdout
        assert said in words(run)
        assert (hosts.root(HOST, files), pid(hosts), loaded(hosts)) == (before, process, read)

    def test_targets_are_read_without_a_reload_and_an_alert_reaches_the_webhook(
        self, hosts: Scenario
    ) -> None:
        unit = "--unit=webhook --property=RuntimeMaxSec=600"
        start = f"systemd-run --quiet --collect {unit} python3 /root/webhook.py"
        text = (SUPPORT / "webhook.py").read_text()
        hosts.ssh(HOST, "sudo tee /root/webhook.py >/dev/null", stdin=text)
        hosts.root(HOST, f"systemctl stop webhook 2>/dev/null; rm -f /tmp/sent.jsonl; {start}")
        process, read = pid(hosts), loaded(hosts)
        run = hosts.playbook(variables={"monitoring_targets": [TESTED]})
        assert recap(run)[HOST]["changed"] == 1, run.stdout
        wait(lambda: [t["health"] for t in api(hosts, "targets")["activeTargets"]] == ["up"])
        sent = wait(lambda: hosts.ssh(HOST, "cat /tmp/sent.jsonl").stdout).splitlines()
        first = json.loads(sent[0])
        assert first["path"] == "/hook-of-s3cr3t"
        assert first["who"] == 'pooled:it\'s "secret" enough'
        alert = first["body"]["alerts"][0]
        assert alert["generatorURL"].startswith("https://watcher.example.com/prometheus/graph?")
        assert (alert["status"], alert["labels"]["alertname"]) == ("firing", "Tested")
        assert (alert["labels"]["host"], alert["labels"]["stack"]) == ("watcher", "scenario")
        assert (pid(hosts), loaded(hosts)) == (process, read)
        hosts.root(HOST, "systemctl stop webhook")

    def test_a_changed_interval_reloads(self, hosts: Scenario) -> None:
        process, read = pid(hosts), loaded(hosts)
        run = hosts.playbook(variables={"monitoring_targets": [TESTED], "monitoring_scrape_interval": "2s"})
        assert recap(run)[HOST]["changed"] == 2, run.stdout
        assert pid(hosts) == process
        assert loaded(hosts) > read
        assert "scrape_interval: 2s" in api(hosts, "status/config")["yaml"]

    def test_a_changed_retention_restarts(self, hosts: Scenario) -> None:
        process = pid(hosts)
        run = hosts.playbook(
            variables={"monitoring_targets": [TESTED], "monitoring_retention_time": "20d"},
        )
        assert run.returncode == 0, run.stdout
        assert pid(hosts) != process
        assert api(hosts, "status/flags")["storage.tsdb.retention.time"] == "20d"

    def test_a_changed_threshold_needs_only_the_tag_alerts(self, hosts: Scenario) -> None:
        process = pid(hosts)
        run = hosts.playbook("--tags=alerts", variables=self.CHANGED)
        assert recap(run)[HOST]["changed"] == 2, run.stdout
        assert recap(run)[HOST]["ok"] <= 6, run.stdout
        assert pid(hosts) == process
        assert ">= 0.77" in json.dumps(api(hosts, "rules"))

    def test_a_reload_that_an_interrupted_run_left_out_is_done(self, hosts: Scenario) -> None:
        read, process = loaded(hosts), pid(hosts)
        hosts.root(HOST, "touch /etc/prometheus/prometheus.yml")
        run = hosts.playbook("--diff", variables=self.CHANGED)
        assert recap(run)[HOST]["changed"] == 1, run.stdout
        assert (pid(hosts), loaded(hosts) > read) == (process, True)

    def test_a_reload_that_prometheus_refused_is_repeated(self, hosts: Scenario) -> None:
        broken = "/etc/prometheus/rules/broken.yml"
        hosts.root(HOST, f"echo 'groups: 7' > {broken}; systemctl reload prometheus")
        refused = "prometheus_config_last_reload_successful 0"
        wait(lambda: refused in ask(hosts, f"{PROMETHEUS}/metrics")[1])
        hosts.root(HOST, f"rm {broken}")
        run = hosts.playbook("--diff", variables=self.CHANGED)
        assert recap(run)[HOST]["changed"] == 1, run.stdout
        assert "reload prometheus.service: it has not loaded its files" in words(run)
        assert refused not in ask(hosts, f"{PROMETHEUS}/metrics")[1]

    def test_drift_is_repaired_and_named(self, hosts: Scenario) -> None:
        rules = "/etc/prometheus/rules/pooled.yml"
        hosts.root(HOST, f"sed -i 's/severity: critical/severity: none/' {rules}; systemctl stop prometheus")
        hosts.root(HOST, "systemctl disable --now prometheus-alertmanager 2>&1")
        hosts.root(HOST, "chmod o+r /etc/prometheus/alertmanager-secrets/webhook-url")
        run = hosts.playbook("--diff", variables=self.CHANGED)
        assert recap(run)[HOST]["changed"] == 2, run.stdout
        assert f"--- before: {rules}" in run.stdout
        assert "--- before: /etc/prometheus/alertmanager-secrets/webhook-url" in run.stdout
        for action in (
            "start prometheus.service: it was not running",
            "start prometheus-alertmanager.service: it was not running",
            "enable prometheus-alertmanager.service: it did not start at boot",
        ):
            assert action in run.stdout
        assert "severity: none" not in hosts.root(HOST, f"cat {rules}")
        assert pid(hosts) != "0" != pid(hosts, "prometheus-alertmanager")

    def test_alertmanager_accepts_every_receiver(self, hosts: Scenario) -> None:
        email = {"to": "oncall@example.com", "from": "p@example.com", "smarthost": "mail.example.com:587"}
        run = hosts.playbook(
            "--tags=configure",
            variables={
                "monitoring_targets": [TESTED],
                "monitoring_email": {**email, "username": "p", "password": "em4il"},
                "monitoring_slack": {"url": "https://hooks.example.com/sl4ck", "channel": "#alerts"},
            },
        )
        assert run.returncode == 0, run.stdout
        text = hosts.root(HOST, "cat /etc/prometheus/alertmanager.yml")
        (receiver,) = yaml.safe_load(text)["receivers"]
        assert {"webhook_configs", "email_configs", "slack_configs"} < set(receiver)
        assert not [secret for secret in ("em4il", "sl4ck", *SECRETS) if secret in text]
        assert "SUCCESS" in hosts.root(HOST, "amtool check-config /etc/prometheus/alertmanager.yml")
        # amtool checks the options of a receiver, too.
        wrong = text.replace("smarthost:", "smarthorst:")
        refused = hosts.ssh(HOST, "cat > /tmp/wrong.yml; amtool check-config /tmp/wrong.yml", stdin=wrong)
        assert refused.returncode != 0
        assert "smarthorst" in refused.stdout + refused.stderr

    def test_without_a_receiver_alertmanager_stops(self, hosts: Scenario) -> None:
        run = hosts.playbook(variables={"monitoring_webhook": {}})
        assert run.returncode == 0, run.stdout
        assert pid(hosts, "prometheus-alertmanager") == "0"
        assert hosts.ssh(HOST, "sudo ls /etc/prometheus/alertmanager-secrets").returncode != 0
        assert api(hosts, "alertmanagers")["activeAlertmanagers"] == []


@pytest.fixture(scope="module")
def archive(hosts: Scenario) -> Iterator[None]:
    """Build an archive like Grafana's, and serve it."""
    hosts.ssh(HOST, "sudo tee /root/grafana.py >/dev/null", stdin=(SUPPORT / "grafana.py").read_text())
    made = hosts.ssh(HOST, "sudo bash -s", stdin=(SUPPORT / "archive.sh").read_text())
    assert made.returncode == 0, made.stderr
    yield
    remove = "DEBIAN_FRONTEND=noninteractive apt-get purge --yes --quiet=2 grafana >/dev/null"
    left = "/etc/apt/sources.list.d/pooled-grafana.sources /etc/apt/keyrings/pooled-grafana.asc /etc/grafana"
    hosts.root(
        HOST, f"systemctl stop archive; {remove}; rm -rf {left} /etc/systemd/system/grafana-server.service.d"
    )


class TestGrafana:
    """A local archive stands for Grafana's, which tests cannot reach."""

    PASSWORD = SECRETS[2]
    ARCHIVE = "http://127.0.0.1:8088"

    def run(self, hosts: Scenario, *arguments: str, **variables: Any) -> Run:
        """Run the role with the inputs for the archive."""
        inputs = {
            "monitoring_grafana_url": self.ARCHIVE,
            "monitoring_grafana_key": f"{self.ARCHIVE}/right.asc",
            "monitoring_grafana_dashboards": [{"id": 9628, "revision": 8}],
            "monitoring_grafana_dashboards_url": f"{self.ARCHIVE}/dashboards",
        }
        return hosts.playbook("--diff", *arguments, variables={**inputs, **variables})

    def test_it_can_be_required(self, hosts: Scenario) -> None:
        run = hosts.playbook("--tags=grafana", variables={"monitoring_grafana_required": True})
        assert recap(run)[HOST]["failed"] == 1, run.stdout
        assert "Failed to install Grafana: http://127.0.0.1:9/grafana does not answer" in words(run)

    @pytest.mark.usefixtures("archive")
    def test_a_key_that_is_missing_leaves_it_out(self, hosts: Scenario) -> None:
        key = f"{self.ARCHIVE}/missing.asc"
        run = self.run(hosts, "--tags=grafana", monitoring_grafana_key=key)
        assert changed_nothing(run), run.stdout
        assert f"Grafana is not installed: {key} does not answer" in words(run)

    @pytest.mark.usefixtures("archive")
    def test_an_archive_with_another_signature_is_refused_and_removed(self, hosts: Scenario) -> None:
        run = self.run(hosts, "--tags=grafana", monitoring_grafana_key=f"{self.ARCHIVE}/wrong.asc")
        assert recap(run)[HOST]["failed"] == 1, run.stdout
        assert "Check that monitoring_grafana_key is the key" in words(run)
        assert "grafana" not in hosts.root(HOST, "ls /etc/apt/sources.list.d")

    @pytest.mark.usefixtures("archive")
    def test_a_later_run_adds_it(self, hosts: Scenario) -> None:
        run = self.run(hosts)
        assert run.returncode == 0, run.stdout
        assert self.PASSWORD not in run.stdout + run.stderr
        assert ask(hosts, "http://127.0.0.1:3000/api/health")[0] == 200
        again = self.run(hosts)
        assert changed_nothing(again), again.stdout

    @pytest.mark.usefixtures("archive")
    def test_its_settings_files_and_dashboards(self, hosts: Scenario) -> None:
        environment = hosts.root(HOST, "systemctl show --property=Environment grafana-server")
        assert "GF_AUTH_ANONYMOUS_ENABLED=false" in environment
        assert "GF_SERVER_HTTP_ADDR=127.0.0.1" in environment
        assert self.PASSWORD not in environment
        password = "/etc/grafana/pooled-admin-password"
        assert hosts.root(HOST, f"cat {password}") == self.PASSWORD
        assert hosts.root(HOST, f"stat --format '%U:%G %a' {password}") == "root:grafana 640"
        provisioning = "cat /etc/grafana/provisioning"
        source = yaml.safe_load(hosts.root(HOST, f"{provisioning}/datasources/pooled.yml"))
        assert grafana_provisioning.problems(source, grafana_provisioning.DATASOURCES) == []
        assert source["datasources"][0]["url"] == "http://127.0.0.1:9090"
        folder = "/etc/grafana/pooled-dashboards"
        found = yaml.safe_load(hosts.root(HOST, f"{provisioning}/dashboards/pooled.yml"))
        assert grafana_provisioning.problems(found, grafana_provisioning.DASHBOARDS) == []
        assert found["providers"][0]["options"]["path"] == folder
        by_id = json.loads(hosts.root(HOST, f"cat {folder}/grafana-com-9628.json"))
        assert by_id["panels"] == [{"datasource": "prometheus"}]
        ours = {path.name for path in (ROOT / "roles/monitoring/files/dashboards").glob("*.json")}
        assert ours <= set(hosts.root(HOST, f"ls {folder}").split())

    @pytest.mark.usefixtures("archive")
    def test_a_changed_password_is_set(self, hosts: Scenario) -> None:
        run = self.run(hosts, "--tags=grafana", monitoring_grafana_password="another")
        assert run.returncode == 0, run.stdout
        assert "another" not in run.stdout + run.stderr
        assert hosts.root(HOST, "cat /tmp/reset-password") == hashlib.sha256(b"another").hexdigest()
        assert "another" not in hosts.root(HOST, "cat /tmp/reset-arguments")

    @pytest.mark.usefixtures("archive")
    def test_what_an_interrupted_run_left_out_is_done(self, hosts: Scenario) -> None:
        """The files changed, and Grafana has not loaded them."""
        before = pid(hosts, "grafana-server")
        hosts.root(HOST, "printf third > /etc/grafana/pooled-admin-password; rm /tmp/reset-password")
        hosts.root(HOST, "touch /etc/grafana/provisioning/datasources/pooled.yml")
        run = self.run(hosts, "--tags=grafana", monitoring_grafana_password="third")
        # The restart, the reset of the password, and its record.
        assert recap(run)[HOST]["changed"] == 3, run.stdout
        assert hosts.root(HOST, "cat /tmp/reset-password") == hashlib.sha256(b"third").hexdigest()
        assert pid(hosts, "grafana-server") != before
        again = self.run(hosts, "--tags=grafana", monitoring_grafana_password="third")
        assert changed_nothing(again), again.stdout
