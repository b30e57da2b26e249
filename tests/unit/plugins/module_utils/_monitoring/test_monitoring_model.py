"""What Prometheus scrapes, and what a change of its files takes."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
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
    """Return targets as text: job, host, where, process."""
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
        # Of another monitoring host only what it lets others reach.
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
        # One host for all.
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


def test_exporters_of_a_host_with_tls_are_asked_over_https() -> None:
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
    ("change", "said"),
    [({"address": None}, "db has no address"), ({"processes": 0}, "how many PgBouncer processes db has")],
)
def test_a_host_that_nobody_can_scrape_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        model.targets([{**DATABASE, **change}], "s", "mon")


@pytest.mark.parametrize(
    ("variables", "processes"),
    [
        ({"exporters_pgbouncer_processes": 2, "pgbouncer_processes": 4}, 2),
        ({"exporters_pgbouncer_processes": 0, "pgbouncer_processes": "4"}, 4),
        ({"pgbouncer_processes": 0, "__monitoring_process_files": {"matched": 3}}, 3),
        ({"__monitoring_process_files": {"matched": 1}}, 1),
        # On a bare host, in check mode.
        ({"__monitoring_process_files": {"matched": 0}}, 1),
        # Its task was skipped, for an input says it.
        ({"pgbouncer_processes": 2, "__monitoring_process_files": {"skipped": True}}, 2),
    ],
)
def test_the_filter_reads_the_variables_of_hosts(variables: dict[str, Any], processes: int) -> None:
    host = {"inventory_hostname": "db", "pooled_address": "10.0.2.4", "group_names": ["database"]}
    found = monitoring.monitoring_targets([{**host, **variables}], "s", "mon")
    assert len([one for one in found if one["job"] == "pgbouncer"]) == processes


def test_the_filter_says_what_is_missing() -> None:
    with pytest.raises(AnsibleFilterError, match="Failed to name the scrape targets: db has no address"):
        monitoring.monitoring_targets([{"inventory_hostname": "db", "group_names": ["database"]}], "s", "mon")


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


START, RELOAD = 1000.5, 2000.123456
UNIT, CONFIG = "/etc/systemd/system/prometheus.service.d/50-pooled.conf", "/etc/prometheus/prometheus.yml"


def metrics(name: str = "prometheus", successful: int = 1) -> str:
    """Return what a server shows, as far as it matters."""
    return (
        "# TYPE process_start_time_seconds gauge\n"
        f"process_start_time_seconds {START}\n"
        f"{name}_config_last_reload_success_timestamp_seconds {RELOAD:.9e}\n"
        f"{name}_config_last_reload_successful {successful}\n"
        'other_total{a="b"} 7\n'
    )


@pytest.mark.parametrize("name", ["prometheus", "alertmanager"])
@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({}, ""),
        ({UNIT: START - 1, CONFIG: RELOAD - 0.1}, ""),
        ({CONFIG: RELOAD + 0.1}, "reload"),
        # Within what the start may be off by.
        ({UNIT: START + 1.9}, ""),
        ({UNIT: START + 2.1}, "restart"),
        ({CONFIG: RELOAD + 1, UNIT: START + 3}, "restart"),
        ({UNIT: START + 3, CONFIG: RELOAD + 1}, "restart"),
    ],
)
def test_turn(name: str, files: dict[str, float], wanted: str) -> None:
    found = [{"path": path, "mtime": when} for path, when in files.items()]
    assert model.turn(metrics(name), found) == wanted


def test_a_server_that_does_not_answer_or_has_another_unit_is_restarted() -> None:
    assert model.turn("", []) == "restart"
    assert model.turn(metrics(), [], units_changed=True) == "restart"


def test_a_server_that_refused_its_files_is_reloaded() -> None:
    assert model.turn(metrics(successful=0), []) == "reload"


@pytest.mark.parametrize(
    ("path", "late", "wanted"),
    [
        ("/etc/grafana/provisioning/datasources/pooled.yml", 3, "restart"),
        ("/etc/grafana/provisioning/dashboards/pooled.yml", 3, "restart"),
        ("/etc/systemd/system/grafana-server.service.d/50-pooled.conf", 3, "restart"),
        ("/etc/grafana/provisioning/datasources/pooled.yml", 1, ""),
        # It looks after these itself, or is told.
        ("/etc/grafana/pooled-dashboards/hosts.json", 3, ""),
        ("/etc/grafana/pooled-admin-password", 3, ""),
    ],
)
def test_grafana_has_no_reload(path: str, late: float, wanted: str) -> None:
    asked = [{"item": "grafana-server", "content": f"process_start_time_seconds {START}\n"}]
    found = model.turns(asked, [{"path": path, "mtime": START + late}], [])
    assert found == {"grafana-server": wanted}


def test_turns_look_at_the_files_of_their_own_unit() -> None:
    alertmanager = "prometheus-alertmanager"
    asked = [
        {"item": "prometheus", "content": metrics()},
        {"item": alertmanager, "content": metrics("alertmanager")},
    ]
    later = {
        "/etc/prometheus/file_sd/pooled.yml": {},
        "/etc/prometheus/rules/pooled.yml": {"prometheus": "reload"},
        CONFIG: {"prometheus": "reload"},
        UNIT: {"prometheus": "restart"},
        "/etc/prometheus/alertmanager.yml": {alertmanager: "reload"},
        "/etc/systemd/system/prometheus-alertmanager.service.d/50-pooled.conf": {alertmanager: "restart"},
    }
    for path, wanted in later.items():
        found = model.turns(asked, [{"path": path, "mtime": RELOAD + 1}], [])
        assert found == {"prometheus": "", alertmanager: "", **wanted}, path
    placed = [{"item": "prometheus", "changed": False}, {"item": alertmanager, "changed": True}]
    assert model.turns(asked, [], placed) == {"prometheus": "", alertmanager: "restart"}
    # It did not answer, or was not asked, in check mode.
    assert model.turns([{"item": "prometheus"}], [], []) == {"prometheus": "restart"}


def test_file_sd_has_the_job_as_a_label() -> None:
    entries: list[dict[str, Any]] = [
        {"job": "node", "targets": ["a:1"], "labels": {"host": "a"}},
        {"job": "x", "targets": ["b:2"]},
    ]
    assert model.file_sd(entries) == [
        {"targets": ["a:1"], "labels": {"job": "node", "host": "a"}},
        {"targets": ["b:2"], "labels": {"job": "x"}},
    ]


def test_target_rows() -> None:
    labels = {"job": "node", "host": "db", "instance": "10.0.2.4:9100", "stack": "s"}
    answer = {
        "data": {
            "activeTargets": [
                {"labels": {**labels, "job": "postgres"}, "health": "down", "lastError": "refused"},
                {"labels": labels, "health": "up", "lastError": ""},
                {"labels": {**labels, "instance": "10.0.1.4:9100"}, "health": "unknown"},
            ]
        }
    }
    assert [(row["job"], row["instance"], row["up"], row["error"]) for row in model.target_rows(answer)] == [
        ("node", "10.0.1.4:9100", False, ""),
        ("node", "10.0.2.4:9100", True, ""),
        ("postgres", "10.0.2.4:9100", False, "refused"),
    ]
    assert model.target_rows({}) == []
