"""The status of a site, from the hosts' units to the document."""

from __future__ import annotations

import os
import pwd
import urllib.error
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import console
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.errors import ConsoleError
from ansible_collections.pooled.postgres.plugins.module_utils._site import status

RUNNING = {"state": "running", "enabled": "enabled"}
STOPPED = {"state": "stopped", "enabled": "disabled"}


@pytest.mark.parametrize(("state", "healthy"), [("running", True), ("stopped", False), (None, False)])
def test_the_site_is_healthy_if_every_service_runs(state: str | None, healthy: bool) -> None:
    units = {"postgresql@17-main.service": RUNNING}
    if state:
        units |= {"pgbouncer@1.service": RUNNING, "pgbouncer@2.service": {**RUNNING, "state": state}}
    packages = {"postgresql-17": "17.1", "pgbouncer": "1.24"}
    database = {"db": {"units": units, "packages": packages, "pools": [{"database": "d"}]}}
    document = status.site_status({"hosts": ["db"], "endpoints": {"pgbouncer": "x"}}, database, {})
    assert document["healthy"] is healthy
    assert document["services"][0] == {
        "host": "db",
        "name": "postgresql",
        "state": "running",
        "version": "17.1",
    }
    assert document["pools"] == [{"host": "db", "database": "d"}]


def test_a_host_without_an_answer_is_unhealthy() -> None:
    document = status.site_status({"hosts": ["db"], "endpoints": {}}, {"db": {}}, {})
    assert document["healthy"] is False
    assert {service["state"] for service in document["services"]} == {"unknown"}
    assert status.site_status({"hosts": [], "endpoints": {}}, {}, {"mon": {}})["healthy"] is False


WATCHING: dict[str, Any] = {
    "units": {"prometheus.service": RUNNING, "prometheus-alertmanager.service": RUNNING},
    "packages": {"prometheus": "2.53", "prometheus-alertmanager": "0.28"},
    "targets": [{"job": "node", "instance": "a:9100", "up": True, "error": ""}],
}


def units(**changes: dict[str, str]) -> dict[str, Any]:
    """Return the units of a monitoring host with changes by name."""
    return {"units": {**WATCHING["units"], **{f"{name}.service": unit for name, unit in changes.items()}}}


@pytest.mark.parametrize(
    ("changes", "names", "healthy"),
    [
        ({}, ["prometheus", "alertmanager"], True),
        # Not scraped yet, and down.
        ({"targets": [{"job": "node", "instance": "a:9100", "up": False, "error": ""}]}, None, True),
        ({"targets": [{"job": "node", "instance": "a:9100", "up": False, "error": "refused"}]}, None, False),
        ({"targets": []}, None, True),
        ({"targets": None}, None, False),
        ({**units(prometheus=STOPPED), "targets": None}, None, False),
        # The package of a service that is off stays installed.
        (units(**{"prometheus-alertmanager": STOPPED}), ["prometheus"], True),
        (units(**{"prometheus-alertmanager": {**STOPPED, "enabled": "masked"}}), ["prometheus"], True),
        (
            {
                **units(**{"grafana-server": {**STOPPED, "enabled": "enabled"}}),
                "packages": {**WATCHING["packages"], "grafana": "12"},
            },
            ["prometheus", "alertmanager", "grafana"],
            False,
        ),
        # In containers, before and after packages.
        ({"units": {}, "packages": {}}, ["prometheus"], True),
        (units(prometheus=STOPPED), ["prometheus", "alertmanager"], True),
        ({"units": {}, "packages": {}, "targets": None}, ["prometheus"], False),
    ],
)
def test_status_of_a_monitoring_host(changes: dict[str, Any], names: list[str] | None, healthy: bool) -> None:
    found: dict[str, Any] = {**WATCHING, **changes}
    document = status.site_status({"hosts": ["mon"], "endpoints": {}}, {}, {"mon": found})
    assert document["healthy"] is healthy
    assert names is None or [service["name"] for service in document["services"]] == names
    assert document["targets"] == (found["targets"] or [])


UNITS = """
Id=postgresql@17-main.service
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled-runtime

Id=pgbouncer@1.service
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled

Id=pgbouncer@2.service
LoadState=loaded
ActiveState=inactive
SubState=dead
UnitFileState=enabled

Id=pgbouncer@3.service
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled

Id=prometheus.service
LoadState=not-found
ActiveState=inactive
SubState=dead
UnitFileState=
"""


def run(command: list[str]) -> tuple[int, str, str]:
    """Answer systemctl and dpkg-query."""
    if command[0] == "systemctl":
        return 0, UNITS, ""
    rows = ("pgbouncer\tinstall ok installed\t1.24.1", "postgresql-16\tdeinstall ok config-files\t16.1")
    return 1, "\n".join(rows), "dpkg-query: no packages found matching grafana"


def test_gather(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def show(command: str, directory: str, port: int) -> list[dict[str, Any]]:
        asked.append((command, directory, port))
        if directory.endswith("3"):
            raise ConsoleError("Failed to reach PgBouncer's console")
        return [{"database": "d"}]

    def unreachable(_url: str) -> Any:
        raise urllib.error.URLError("refused")

    monkeypatch.setattr(console, "show", show)
    monkeypatch.setattr(status, "_read", unreachable)
    monkeypatch.setattr(status, "ACCOUNT", pwd.getpwuid(os.geteuid()).pw_name)
    found = status.gather(run, 6432, "http://127.0.0.1:9090")
    assert {name: unit["state"] for name, unit in found["units"].items()} == {
        "postgresql@17-main.service": "running",
        "pgbouncer@1.service": "running",
        "pgbouncer@2.service": "stopped",
        "pgbouncer@3.service": "not answering",
    }
    assert found["packages"] == {"pgbouncer": "1.24.1"}
    assert found["pools"] == [{"process": 1, "database": "d"}]
    assert asked == [("SHOW POOLS", f"/run/pgbouncer/{process}", 6432) for process in (1, 3)]
    assert found["targets"] is None
    assert found["errors"] == [
        "Failed to reach PgBouncer's console",
        "Failed to query Prometheus at http://127.0.0.1:9090: <urlopen error refused>.",
    ]


def test_gather_reads_neither_pools_nor_targets_without_being_told() -> None:
    found = status.gather(run, None, None)
    assert (found["pools"], found["targets"], found["errors"]) == ([], None, [])


def test_a_missing_account_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "ACCOUNT", "no-such-account")
    found = status.gather(run, 6432, None)
    assert len(found["errors"]) == 2
    assert found["errors"][0].startswith("Failed to become the account no-such-account: ")


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
    assert [(row["job"], row["instance"], row["up"], row["error"]) for row in status.target_rows(answer)] == [
        ("node", "10.0.1.4:9100", False, ""),
        ("node", "10.0.2.4:9100", True, ""),
        ("postgres", "10.0.2.4:9100", False, "refused"),
    ]
    assert status.target_rows({}) == []
