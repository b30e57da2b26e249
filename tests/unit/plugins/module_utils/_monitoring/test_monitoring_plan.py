"""Plan files, units and containers of the monitoring from inputs and what was seen."""

from __future__ import annotations

import shlex
from typing import Any, ClassVar

import pytest
import yaml
from ansible_collections.pooled.postgres.plugins.action.monitoring_plan import former_targets
from ansible_collections.pooled.postgres.plugins.module_utils._monitoring import files
from ansible_collections.pooled.postgres.plugins.module_utils._monitoring.plan import account_ids, look, plan
from ansible_collections.pooled.postgres.plugins.plugin_utils.plan import renderer
from monitoring_inputs import DEBIAN_13, EMAIL, given

WEBHOOK = {"url": "http://a/t0ken", "username": "u", "password": 's3"cret'}
EMPTY: dict[str, Any] = {**DEBIAN_13, "packages": {}, "paths": {}, "contents": {}}
PASSWD = "root:x:0:0:root:/root:/bin/bash\nprometheus:x:107:109::/var/lib/prometheus:/usr/sbin/nologin\n"
PROMETHEUS, ALERTMANAGER, GRAFANA = map(
    files.drop_in, ("prometheus", "prometheus-alertmanager", "grafana-server")
)


def planned(seen: dict[str, Any] | None = None, **values: Any) -> dict[str, Any]:
    """Return the plan for inputs and a host, a bare one by default."""
    render = renderer("monitoring")
    rules = renderer("monitoring", "[[", "]]")
    dashboards = {"hosts.json": "{}"}
    return plan(given(**values), {**EMPTY, **(seen or {})}, render, rules=rules, dashboards=dashboards)


def entry(made: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the planned file at a path."""
    (found,) = [one for one in made["files"] if one["path"] == path]
    return dict(found)


def config(made: dict[str, Any], path: str) -> Any:
    """Return what a planned YAML file says."""
    return yaml.safe_load(entry(made, path)["content"])


def names(made: dict[str, Any], key: str) -> list[str]:
    """Return the names of services or servers."""
    return [one["name"] for one in made[key]]


def test_look_names_the_packages() -> None:
    assert look(given())["packages"] == ["prometheus"]
    assert look(given(monitoring_webhook=WEBHOOK))["packages"] == ["prometheus", "prometheus-alertmanager"]
    assert look(given(monitoring_runtime="containers"))["packages"] == [
        "docker.io",
        "docker-cli",
        "docker-compose",
    ]


def test_problems_stop_the_plan() -> None:
    made = planned(monitoring_scrape_interval="x", monitoring_targets=[{"job": "node", "targets": []}])
    assert len(made["problems"]) == 2
    assert set(made) == {"problems"}


def test_missing_packages_are_installed_after_their_drop_ins() -> None:
    seen = {"packages": {"prometheus": {"installed": ""}, "prometheus-alertmanager": {"installed": "0.28"}}}
    made = planned(seen, monitoring_webhook=WEBHOOK)
    assert made["packages"] == ["prometheus"]
    assert [one["path"] for one in made["prepare"] if "content" in one] == [PROMETHEUS, ALERTMANAGER]


class TestPrometheus:
    def test_options_name_addresses_and_retention(self) -> None:
        made = planned(monitoring_listen_address="::", monitoring_retention_time="20d")
        (command,) = [
            line for line in entry(made, PROMETHEUS)["content"].splitlines() if line.startswith("ExecStart=/")
        ]
        assert "--web.listen-address=[::]:9090" in shlex.split(command)
        assert "--storage.tsdb.retention.time=20d" in command
        assert made["servers"][0]["url"] == "http://[::1]:9090/metrics"

    def test_only_targets_with_tls_get_the_password(self) -> None:
        settings = {"basic_auth": {"username": "p", "password_file": "/etc/p"}}
        own = {"job_name": "shop", "static_configs": [{"targets": ["a:1"]}]}
        made = planned(monitoring_scrape_settings=settings, monitoring_scrape_configs=[own])
        plain, https, last = config(made, files.CONFIG)["scrape_configs"]
        assert (plain["job_name"], https["job_name"], last) == ("pooled", "pooled-https", own)
        assert "basic_auth" not in plain
        assert https["basic_auth"] == settings["basic_auth"]
        assert plain["relabel_configs"][0]["action"] == "drop"
        assert https["relabel_configs"][0]["action"] == "keep"

    def test_alerts_go_to_alertmanager_only_with_a_receiver(self) -> None:
        assert "alerting" not in config(planned(), files.CONFIG)
        made = planned(monitoring_webhook=WEBHOOK)
        (manager,) = config(made, files.CONFIG)["alerting"]["alertmanagers"]
        assert manager["static_configs"] == [{"targets": ["127.0.0.1:9093"]}]

    def test_rules_have_thresholds_and_the_users_groups(self) -> None:
        group = {
            "name": "shop",
            "rules": [{"alert": "A", "expr": "up == 0", "annotations": {"a": "{{ $value }}"}}],
        }
        made = planned(
            monitoring_thresholds={"pool_ratio": 0.8, "client_wait_seconds": 3},
            monitoring_rule_groups=[group],
        )
        found = config(made, files.RULES)["groups"]
        assert found[-1] == group
        rules = {rule["alert"]: rule for one in found for rule in one["rules"] if "alert" in rule}
        assert "ratio >= 0.8" in rules["PgBouncerPoolSaturated"]["expr"]
        assert rules["PgBouncerClientsWaiting"]["expr"].endswith("max_seconds > 3")
        assert "{{ $labels.host }}" in rules["PgBouncerDown"]["annotations"]["summary"]
        assert rules["PgBouncerDown"]["annotations"]["runbook_url"].endswith("runbook.md#pgbouncerdown")
        assert "[[" not in entry(made, files.RULES)["content"]

    def test_configurations_are_validated(self) -> None:
        made = planned(monitoring_webhook=WEBHOOK)
        assert {one["path"]: one["validate"] for one in made["files"] if "validate" in one} == {
            files.RULES: "promtool check rules %s",
            files.CONFIG: "promtool check config %s",
            files.ALERTMANAGER: "amtool check-config %s",
        }


class TestAlertmanager:
    def test_secrets_are_in_files_of_their_own(self) -> None:
        made = planned(
            monitoring_webhook=WEBHOOK,
            monitoring_email={**EMAIL, "username": "m", "password": "em4il"},
            monitoring_slack={"url": "https://hooks/sl4ck", "channel": "#alerts"},
        )
        secrets = {one["path"].rpartition("/")[2]: one for one in made["files"] if "secret_content" in one}
        assert {name: one["secret_content"] for name, one in secrets.items()} == {
            "webhook-url": "http://a/t0ken",
            "webhook-password": 's3"cret',
            "email-password": "em4il",
            "slack-url": "https://hooks/sl4ck",
        }
        assert {(one["group"], one["mode"]) for one in secrets.values()} == {("prometheus", "0640")}
        shown = "".join(one.get("content", "") for one in made["files"])
        assert not [text for text in ("t0ken", "s3", "em4il", "sl4ck") if text in shown]
        (receiver,) = config(made, files.ALERTMANAGER)["receivers"]
        assert receiver["webhook_configs"][0]["http_config"]["basic_auth"]["username"] == "u"
        assert receiver["email_configs"][0]["require_tls"] is True
        assert receiver["slack_configs"][0]["channel"] == "#alerts"

    def test_secrets_that_are_not_given_any_more_are_removed(self) -> None:
        made = planned(monitoring_webhook={"url": "http://a"})
        assert entry(made, f"{files.SECRETS}/webhook-password")["state"] == "absent"
        assert "http_config" not in config(made, files.ALERTMANAGER)["receivers"][0]["webhook_configs"][0]
        assert entry(planned(), files.SECRETS)["state"] == "absent"

    def test_a_receiver_that_is_not_given_any_more_stops_it(self) -> None:
        assert names(planned({"paths": {PROMETHEUS: {}}}), "services") == ["prometheus"]
        made = planned({"paths": {ALERTMANAGER: {}}})
        stopped = made["services"][0]
        assert (stopped["name"], stopped["state"], stopped["enabled"]) == (
            "prometheus-alertmanager",
            "stopped",
            False,
        )
        assert names(made, "servers") == ["prometheus"]


class TestGrafana:
    UNIT: ClassVar[dict[str, Any]] = {files.GRAFANA_UNIT: {}}

    def test_is_missing_until_its_package_is_installed(self) -> None:
        made = planned()
        assert made["grafana"] == "missing"
        assert "grafana-server" not in names(made, "services")
        assert not [one for one in made["files"] if "grafana" in one["path"]]

    def test_is_configured_with_the_rest(self) -> None:
        made = planned({"paths": {**self.UNIT, files.GRAFANA_RESET: {"mtime": 5.0}}})
        assert (made["grafana"], made["grafana_reset"]) == ("installed", 5.0)
        password = entry(made, files.GRAFANA_PASSWORD)
        assert (password["secret_content"], password["group"], password["mode"]) == ("p", "grafana", "0640")
        assert entry(made, f"{files.GRAFANA_DASHBOARDS}/hosts.json")["content"] == "{}"
        dropped = entry(made, GRAFANA)["content"]
        assert f'Environment="GF_SECURITY_ADMIN_PASSWORD=$__file{{{files.GRAFANA_PASSWORD}}}"' in dropped
        assert 'Environment="GF_AUTH_ANONYMOUS_ENABLED=false"' in dropped
        (service,) = [one for one in made["services"] if one["name"] == "grafana-server"]
        assert set(service["restart_on"]) == {GRAFANA, files.GRAFANA_DATASOURCE, files.GRAFANA_PROVIDER}
        assert service["reload_on"] == []
        assert made["servers"][-1]["url"] == "http://127.0.0.1:3000/metrics"

    def test_is_stopped_when_nobody_asks_for_it_any_more(self) -> None:
        made = planned({"paths": {**self.UNIT, GRAFANA: {}}}, monitoring_grafana=False)
        assert (made["grafana"], made["services"][0]["name"]) == ("", "grafana-server")
        assert made["services"][0]["state"] == "stopped"
        # Another role or person runs it.
        assert names(planned({"paths": self.UNIT}, monitoring_grafana=False), "services") == ["prometheus"]


class TestServices:
    def test_reload_for_rules_and_restart_for_drop_ins_of_others_too(self) -> None:
        others: dict[str, Any] = {
            "/etc/prometheus/rules/shop.yml": {},
            f"{PROMETHEUS.rpartition('/')[0]}/99-admin.conf": {},
        }
        made = planned({"paths": others}, monitoring_webhook=WEBHOOK)
        prometheus, alertmanager = made["services"]
        assert prometheus["reload_on"] == [files.CONFIG, files.RULES, "/etc/prometheus/rules/shop.yml"]
        assert prometheus["restart_on"] == [PROMETHEUS, f"{PROMETHEUS.rpartition('/')[0]}/99-admin.conf"]
        assert alertmanager["reload_on"] == [files.ALERTMANAGER]
        assert alertmanager["restart_on"] == [ALERTMANAGER]
        # Prometheus watches its targets, and Alertmanager reads secrets as it needs them.
        read = {path for one in made["services"] for path in one["reload_on"] + one["restart_on"]}
        assert files.TARGETS not in read
        assert not [path for path in read if path.startswith(files.SECRETS)]

    def test_verify_asks_for_the_same_files(self) -> None:
        made = planned(monitoring_webhook=WEBHOOK)
        for service, server in zip(made["services"], made["servers"], strict=True):
            assert service["name"] == server["name"]
            assert (service["reload_on"], service["restart_on"]) == (
                server["reload_on"],
                server["restart_on"],
            )


class TestContainers:
    def made(self, passwd: str = PASSWD, **values: Any) -> dict[str, Any]:
        """Return the plan of a host that runs containers."""
        return planned({"contents": {"/etc/passwd": passwd}}, monitoring_runtime="containers", **values)

    def test_run_as_the_account_of_the_package(self) -> None:
        assert account_ids(PASSWD) == "107:109"
        made = self.made(monitoring_webhook=WEBHOOK)
        services = config(made, files.COMPOSE)["services"]
        assert {services[name]["user"] for name in ("prometheus", "alertmanager")} == {"107:109"}
        assert not made["account_missing"]
        bare = self.made(passwd="")
        assert bare["account_missing"]
        # Check mode shows what is possible.
        assert config(bare, files.COMPOSE)["services"]["prometheus"]["user"] == "65534:65534"

    def test_take_their_images_and_options(self) -> None:
        made = self.made(monitoring_images={"prometheus": "registry/p:1"}, monitoring_grafana=False)
        compose = config(made, files.COMPOSE)
        assert set(compose["services"]) == {"prometheus"} == set(made["containers"])
        assert compose["services"]["prometheus"]["image"] == "registry/p:1"
        assert "--storage.tsdb.path=/prometheus" in compose["services"]["prometheus"]["command"]
        assert made["prepare"] == made["services"] == []
        assert " registry/p:1 check rules /host%s" in entry(made, files.RULES)["validate"]

    def test_grafana_reads_its_password_from_a_file_that_only_its_account_reads(self) -> None:
        made = self.made()
        grafana = config(made, files.COMPOSE)["services"]["grafana"]
        assert grafana["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"] == files.GRAFANA_PASSWORD
        password = entry(made, files.GRAFANA_PASSWORD)
        assert (password["owner"], password["mode"]) == ("472", "0400")

    def test_are_verified_by_their_names_and_own_files(self) -> None:
        made = self.made(monitoring_webhook=WEBHOOK)
        assert names(made, "servers") == ["prometheus", "alertmanager", "grafana"] == made["containers"]
        assert [one["restart_on"] for one in made["servers"]] == [
            [],
            [],
            [files.GRAFANA_PROVIDER, files.GRAFANA_DATASOURCE],
        ]


@pytest.mark.parametrize("text", ["", "{broken", "text", "- 7", "- {targets: [a]}"])
def test_a_file_of_targets_in_another_form_has_none(text: str) -> None:
    assert former_targets(text) == []


def test_a_file_of_targets_is_read() -> None:
    made = planned(monitoring_targets=[{"job": "node", "targets": ["a:1"], "labels": {"host": "a"}}])
    assert former_targets(entry(made, files.TARGETS)["content"]) == [
        {"targets": ["a:1"], "labels": {"job": "node", "host": "a"}}
    ]
