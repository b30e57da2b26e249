"""Refuse inputs before anything changes, all of them at once."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._monitoring import inputs
from monitoring_inputs import DEBIAN_13, EMAIL, given


def test_defaults_are_accepted() -> None:
    assert inputs.problems(given()) == []
    assert inputs.host_problems(given(), DEBIAN_13) == []


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (
            {"monitoring_scrape_interval": "often"},
            "monitoring_scrape_interval is 'often', which is not a duration",
        ),
        ({"monitoring_evaluation_interval": "1.5m"}, "monitoring_evaluation_interval is '1.5m'"),
        ({"monitoring_retention_time": ""}, "monitoring_retention_time is ''"),
        (
            {"monitoring_retention_size": "2 gigabytes"},
            "monitoring_retention_size is '2 gigabytes', which is not a size",
        ),
        ({"monitoring_group_wait": "30"}, "monitoring_group_wait is '30'"),
        ({"monitoring_repeat_interval": "4h30"}, "monitoring_repeat_interval is '4h30'"),
        ({"monitoring_thresholds": {"pool_for": "soon"}}, "monitoring_thresholds.pool_for is 'soon'"),
        # Alertmanager takes an empty address, and every alert is lost.
        (
            {"monitoring_webhook": {"username": "u", "password": "p"}},
            "monitoring_webhook has no url. Give it",
        ),
        ({"monitoring_webhook": {"url": ""}}, "monitoring_webhook has no url"),
        ({"monitoring_slack": {"channel": "#a"}}, "monitoring_slack has no url"),
        ({"monitoring_email": {**EMAIL, "to": ""}}, "monitoring_email has no to"),
        (
            {"monitoring_email": {**EMAIL, "smarthost": "mail"}},
            "monitoring_email.smarthost is 'mail', without a port",
        ),
        (
            {"monitoring_email": {**EMAIL, "password": "p"}},
            "monitoring_email has a username or a password, but not both",
        ),
        (
            {"monitoring_webhook": {"url": "http://a", "username": "u"}},
            "monitoring_webhook has a username or a password, but not both",
        ),
        ({"monitoring_slack": {"url": "hooks/t0ken"}}, "monitoring_slack.url is not an HTTP or HTTPS URL"),
        (
            {"monitoring_scrape_configs": [{"job_name": "pooled"}]},
            "monitoring_scrape_configs[0] has the job_name pooled",
        ),
        (
            {"monitoring_scrape_configs": [{"job_name": "a"}, {"job_name": "a"}]},
            "monitoring_scrape_configs[1] has the job_name a, which is taken",
        ),
        ({"monitoring_scrape_configs": [{}]}, "monitoring_scrape_configs[0] has no job_name"),
        ({"monitoring_grafana_password": ""}, "Grafana would accept the password admin"),
        (
            {"monitoring_grafana_port": 9090},
            "monitoring_grafana_port and monitoring_prometheus_port are both 9090",
        ),
    ],
)
def test_a_wrong_input_is_named(values: dict[str, Any], problem: str) -> None:
    (found,) = inputs.problems(given(**values))
    assert problem in found
    assert "t0ken" not in found


def test_all_problems_come_at_once() -> None:
    found = inputs.problems(
        given(
            monitoring_scrape_interval="x", monitoring_slack={"channel": "c"}, monitoring_grafana_password=""
        )
    )
    assert len(found) == 3


@pytest.mark.parametrize("duration", ["0", "30s", "1h30m", "2w", "500ms", "1y"])
def test_durations_of_prometheus_are_accepted(duration: str) -> None:
    assert inputs.problems(given(monitoring_scrape_interval=duration)) == []


def test_grafana_that_is_not_wanted_needs_no_password() -> None:
    assert inputs.problems(given(monitoring_grafana=False, monitoring_grafana_password="")) == []


def test_containers_need_a_newer_debian() -> None:
    old = {**DEBIAN_13, "distribution_major_version": "12"}
    assert inputs.host_problems(given(), old) == []
    (found,) = inputs.host_problems(given(monitoring_runtime="containers"), old)
    assert "Debian 12 has neither docker-cli nor Docker Compose 2" in found


LABELS = {"stack": "s", "host": "db"}
UNKNOWN = {"job": "pgbouncer", "targets": [], "labels": LABELS}
FORMER = [
    {"targets": ["a:1"], "labels": {"job": "pgbouncer", "process": "1", **LABELS}},
    {"targets": ["a:2"], "labels": {"job": "pgbouncer", "process": "2", **LABELS}},
    {"targets": ["b:1"], "labels": {"job": "pgbouncer", **LABELS, "host": "other"}},
    {"targets": ["a:3"], "labels": {"job": "node", **LABELS}},
]


def test_the_job_is_a_label_of_the_targets() -> None:
    entries: list[dict[str, Any]] = [
        {"job": "node", "targets": ["a:1"], "labels": {"host": "a"}},
        {"job": "x", "targets": ["b:2"]},
    ]
    assert inputs.complete_targets(entries, []) == (
        [
            {"targets": ["a:1"], "labels": {"job": "node", "host": "a"}},
            {"targets": ["b:2"], "labels": {"job": "x"}},
        ],
        [],
    )


def test_a_host_that_the_run_did_not_plan_keeps_its_processes() -> None:
    assert inputs.complete_targets([UNKNOWN], FORMER) == (FORMER[:2], [])


def test_a_host_without_known_processes_or_address_is_refused() -> None:
    nowhere: list[dict[str, Any]] = [
        {"job": job, "targets": [], "labels": {"host": "lost"}} for job in ("node", "postgres")
    ]
    problems = inputs.complete_targets([UNKNOWN, *nowhere], FORMER[2:])[1]
    assert problems == [
        "monitoring_targets has no PgBouncer process of db: this run did not plan db, and its"
        " pgbouncer_processes is 0. Run site.yml without --limit, or set exporters_pgbouncer_processes.",
        "monitoring_targets has no address of lost. Set its pooled_address.",
    ]
