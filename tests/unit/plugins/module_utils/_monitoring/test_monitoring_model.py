"""Name the scrape targets of an inventory."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.filter import monitoring
from ansible_collections.pooled.postgres.plugins.module_utils._monitoring import model

DATABASE = {"name": "db", "address": "10.0.2.4", "groups": ["database"], "processes": 1}
MONITORING = {
    "name": "mon",
    "address": "10.0.1.4",
    "groups": ["benchmark", "monitoring"],
    "listen_address": "0.0.0.0",  # noqa: S104
}


def flat(found: list[dict[str, Any]]) -> list[str]:
    """Return targets as text: job, host, address, process."""
    assert all(one["labels"]["stack"] == "s" for one in found)
    return [
        " ".join(
            [one["job"], one["labels"]["host"], *one["targets"], *[one["labels"].get("process", "")]]
        ).strip()
        for one in found
    ]


@pytest.mark.parametrize(
    ("hosts", "how", "wanted"),
    [
        ([], {}, []),
        (
            [MONITORING, DATABASE],
            {},
            [
                "node db 10.0.2.4:9100",
                "node mon 10.0.1.4:9100",
                "pgbouncer db 10.0.2.4:9127 1",
                "postgres db 10.0.2.4:9187",
                "prometheus mon 10.0.1.4:9090",
            ],
        ),
        (
            [{**DATABASE, "processes": 3}],
            {},
            [
                "node db 10.0.2.4:9100",
                "pgbouncer db 10.0.2.4:9127 1",
                "pgbouncer db 10.0.2.4:9128 2",
                "pgbouncer db 10.0.2.4:9129 3",
                "postgres db 10.0.2.4:9187",
            ],
        ),
        (
            [{**DATABASE, "ports": {"postgres": 1, "pgbouncer": 2, "node": 3}}],
            {},
            ["node db 10.0.2.4:3", "pgbouncer db 10.0.2.4:2 1", "postgres db 10.0.2.4:1"],
        ),
        (
            [MONITORING],
            {"alertmanager": True},
            ["alertmanager mon 127.0.0.1:9093", "node mon 10.0.1.4:9100", "prometheus mon 10.0.1.4:9090"],
        ),
        # Another monitoring host hides its Alertmanager.
        (
            [MONITORING, {**MONITORING, "name": "other", "address": "10.0.1.5"}],
            {"alertmanager": True},
            [
                "alertmanager mon 127.0.0.1:9093",
                "node mon 10.0.1.4:9100",
                "node other 10.0.1.5:9100",
                "prometheus mon 10.0.1.4:9090",
                "prometheus other 10.0.1.5:9090",
            ],
        ),
        (
            [{**MONITORING, "listen_address": ip} for ip in ["127.0.0.1"]]
            + [{**MONITORING, "name": "other", "listen_address": "127.0.0.1"}],
            {},
            ["node mon 10.0.1.4:9100", "node other 10.0.1.4:9100", "prometheus mon 127.0.0.1:9090"],
        ),
        # One host does everything.
        (
            [{**MONITORING, **DATABASE, "groups": ["database", "monitoring"]}],
            {},
            [
                "node db 10.0.2.4:9100",
                "pgbouncer db 10.0.2.4:9127 1",
                "postgres db 10.0.2.4:9187",
                "prometheus db 10.0.2.4:9090",
            ],
        ),
        ([{**MONITORING, "groups": ["benchmark"]}], {}, []),
        (
            [{**MONITORING, "address": "fd00::4", "groups": ["monitoring"]}],
            {},
            ["node mon [fd00::4]:9100", "prometheus mon [fd00::4]:9090"],
        ),
    ],
)
def test_targets(hosts: list[dict[str, Any]], how: dict[str, Any], wanted: list[str]) -> None:
    assert flat(model.targets(hosts, "s", "mon", **how)) == wanted


def test_exporters_with_tls_are_scraped_over_https() -> None:
    found = model.targets([{**DATABASE, "tls": True}, {**MONITORING, "tls": False}], "s", "mon")
    asked = {(one["job"], one["labels"]["host"]): one["labels"].get("__scheme__") for one in found}
    assert asked == {
        ("node", "db"): "https",
        ("node", "mon"): None,
        ("pgbouncer", "db"): "https",
        ("postgres", "db"): "https",
        ("prometheus", "mon"): None,
    }


@pytest.mark.parametrize(
    ("change", "empty"),
    [({"address": None}, ["node", "pgbouncer", "postgres"]), ({"processes": 0}, ["pgbouncer"])],
)
def test_an_unknown_target_is_empty(change: dict[str, Any], empty: list[str]) -> None:
    found = model.targets([{**DATABASE, **change}], "s", "mon")
    assert [one["job"] for one in found if not one["targets"]] == empty
    assert all(one["labels"]["host"] == "db" for one in found)


@pytest.mark.parametrize(
    ("variables", "processes"),
    [
        ({"exporters_pgbouncer_processes": 2, "pgbouncer_processes": 4}, 2),
        ({"exporters_pgbouncer_processes": 0, "pgbouncer_processes": "4"}, 4),
        ({"pgbouncer_processes": 0, "__pgbouncer": {"process_count": 3}}, 3),
        # The run skipped the plan.
        ({"pgbouncer_processes": 2, "__pgbouncer": {"skipped": True}}, 2),
        ({"pgbouncer_processes": 0}, 0),
        ({}, 0),
    ],
)
def test_the_filter_reads_the_variables_of_hosts(variables: dict[str, Any], processes: int) -> None:
    host = {"inventory_hostname": "db", "pooled_address": "10.0.2.4", "group_names": ["database"]}
    found = monitoring.monitoring_targets([{**host, **variables}], "s", "mon")
    assert len([one for one in found if one["job"] == "pgbouncer" and one["targets"]]) == processes


@pytest.mark.parametrize(
    ("listened", "wanted"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),  # noqa: S104
        ("::", "[::1]"),
        ("10.0.1.4", "10.0.1.4"),
        ("fd00::4", "[fd00::4]"),
    ],
)
def test_a_host_reaches_its_own_server(listened: str, wanted: str) -> None:
    assert model.own_address(listened) == wanted
