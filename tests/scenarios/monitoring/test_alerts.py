"""Test each alert with promtool: it fires, stays silent and links to the runbook."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from real_hosts import ROOT
from scenario import Scenario

HOST = "watcher"
RULES = "/etc/prometheus/rules/pooled.yml"
COMMON = {"stack": "s", "host": "db", "instance": "a:1"}
CASES: dict[str, dict[str, list[dict[str, Any]]]] = yaml.safe_load(
    (Path(__file__).parent / "support/alerts.yml").read_text()
)


@pytest.fixture(scope="module")
def alerts(hosts: Scenario) -> dict[str, dict[str, Any]]:
    """Return the alerts of the host by name."""
    rules = [rule for group in groups(hosts) if group["name"] == "pooled-alerts" for rule in group["rules"]]
    return {rule["alert"]: rule for rule in rules}


def labelled(series: str) -> str:
    """Return a series with the common labels."""
    name, _, labels = series.partition("{")
    common = [f'{key}="{value}"' for key, value in COMMON.items()]
    own = [labels.removesuffix("}")] * bool(labels)
    return name + "{" + ", ".join(common + own) + "}"


def promtool_case(alert: str, case: dict[str, Any], labels: dict[str, str] | None) -> dict[str, Any]:
    """Return a case in promtool's form; ``labels`` is None if nothing should fire."""
    expected = [] if labels is None else [{"exp_labels": labels}]
    return {
        "name": alert,
        "interval": "15s",
        "input_series": [
            {"series": labelled(series), "values": values} for series, values in case["series"].items()
        ],
        "alert_rule_test": [{"alertname": alert, "eval_time": case["at"], "exp_alerts": expected}],
    }


def groups(hosts: Scenario) -> list[dict[str, Any]]:
    """Return the groups of rules of the host."""
    found: list[dict[str, Any]] = yaml.safe_load(hosts.root(HOST, f"cat {RULES}"))["groups"]
    return found


def promtool(hosts: Scenario, cases: list[dict[str, Any]]) -> str:
    """Run `promtool test rules` on the host with its own rules, and return the output."""
    # Without an order, an alert may see the recorded value of 15 s ago.
    order = [group["name"] for group in groups(hosts)]
    tests = {"evaluation_interval": "15s", "group_eval_order": order, "tests": cases}
    text = json.dumps({"rule_files": [RULES], **tests})
    result = hosts.ssh(HOST, "cat > /tmp/cases.yml && promtool test rules /tmp/cases.yml", stdin=text)
    return result.stdout + result.stderr


def test_every_alert_has_both_kinds_of_cases(alerts: dict[str, Any]) -> None:
    assert set(CASES) == set(alerts)
    assert all(case["fires"] and case["silent"] for case in CASES.values())


def test_alerts_stay_silent(hosts: Scenario, alerts: dict[str, Any]) -> None:
    cases = [promtool_case(name, case, None) for name in alerts for case in CASES[name]["silent"]]
    said = promtool(hosts, cases)
    assert "SUCCESS" in said, said


def test_alerts_fire_with_their_labels_and_text(hosts: Scenario, alerts: dict[str, Any]) -> None:
    firing = [(name, case) for name in alerts for case in CASES[name]["fires"]]
    # An impossible label makes promtool print each alert that fired.
    said = promtool(hosts, [promtool_case(name, case, {"nobody": "has this"}) for name, case in firing])
    shown = re.findall(r"(?s)alertname: (\w+), time.*?got:\[(.*?)\n *\]", said.replace("got:[]", "got:[\n]"))
    assert [name for name, _ in shown] == [name for name, _ in firing], said
    for (name, case), (_, got) in zip(firing, shown, strict=True):
        labels = {**COMMON, **case.get("labels", {}), "severity": alerts[name]["labels"]["severity"]}
        wanted = ", ".join(
            f'{key}="{value}"' for key, value in sorted({"alertname": name, **labels}.items()) if value
        )
        assert got.count("Labels:") == 1, f"{name}: {got}"
        assert f"Labels:{{{wanted}}}" in got, f"{name}: {wanted} is not {got}"
        assert case["told"] in got.replace('\\"', '"'), f"{name}: {case['told']!r} is not in {got}"


def test_alerts_have_a_severity_and_a_section_of_the_runbook(alerts: dict[str, Any]) -> None:
    runbook = (ROOT / "docs/runbook.md").read_text()
    for name, rule in alerts.items():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert {"summary", "description", "runbook_url"} <= set(rule["annotations"])
        url, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert url.endswith("docs/runbook.md")
        assert anchor == name.lower()
        assert re.search(rf"(?m)^## {name}$", runbook), f"docs/runbook.md has no section {name}"


# These come from the exporter's queries or from tests/scenarios/exporters, not from the stored scrape.
ELSEWHERE = {
    "pg_stat_replication_pg_wal_lsn_diff",
    "node_systemd_unit_state",
    "pooled_certificate_expiry_timestamp_seconds",
}


def test_rules_name_metrics_that_exist(hosts: Scenario) -> None:
    rules = [
        rule for group in groups(hosts) if group["name"].startswith("pooled-") for rule in group["rules"]
    ]
    scraped = (Path(__file__).parent / "support/metrics.txt").read_text().split()
    recorded = {rule["record"] for rule in rules if "record" in rule}
    without_strings = [re.sub(r'"[^"]*"', "", rule["expr"]) for rule in rules]
    named = set(re.findall(r"\b(?:pg|pgbouncer|node|pooled)[_:][\w:]+", " ".join(without_strings)))
    assert len(named) > 20
    assert named - set(scraped) - recorded - ELSEWHERE == set()
