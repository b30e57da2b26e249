"""What the roles ask of their inputs."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._site import model

USER = {"name": "u", "password": "p", "databases": ["d"]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"password": "q\"uo'te \\ $ % pässwörd €"}, None),
        ({"password": ""}, "the password is empty"),
        ({"password": None}, "the password is empty"),
        ({"password": None, "verifier": "md5..."}, None),
        ({"password": "a\nb"}, "a newline or a NUL"),
        ({"password": "a\0b"}, "a newline or a NUL"),
        ({"name": 'u"v'}, "a quote"),
        ({"name": "u'v"}, "a quote"),
        ({"name": ""}, "the name is empty"),
        ({"name": "é" * 32}, "more than 63 bytes"),
        ({"databases": ["other"]}, "the database 'other' is none of those that are made (d)"),
    ],
)
def test_user_problems(changes: dict[str, Any], said: str | None) -> None:
    problems = model.user_problems([{**USER, **changes}], ["d"])
    assert len(problems) == (said is not None)
    assert said is None or said in problems[0]


def test_a_user_named_twice_and_a_database_with_a_quote_are_problems() -> None:
    problems = model.user_problems([USER, USER], ["d", 'e"'])
    assert len(problems) == 2
    assert "named twice" in problems[1]


def test_no_problem_tells_a_password() -> None:
    assert "s3cr3t" not in "".join(model.user_problems([{**USER, "password": "s3cr3t\n"}], ["d"]))


@pytest.mark.parametrize(("state", "healthy"), [("running", True), ("stopped", False), (None, False)])
def test_status_is_healthy_only_where_all_runs(state: str | None, healthy: bool) -> None:
    units = {"postgresql@17-main.service": {"state": "running"}}
    if state:
        units |= {"pgbouncer@1.service": {"state": "running"}, "pgbouncer@2.service": {"state": state}}
    packages = {"postgresql-17": [{"version": "17.1"}], "pgbouncer": [{"version": "1.24"}]}
    found = {"db": {"services": units, "packages": packages, "pools": [{"database": "d"}]}}
    status = model.site_status({"hosts": ["db"], "endpoints": {"pgbouncer": "x"}}, found)
    assert status["healthy"] is healthy
    assert status["services"][0] == {
        "host": "db",
        "name": "postgresql",
        "state": "running",
        "version": "17.1",
    }
    assert status["pools"] == [{"host": "db", "database": "d"}]


def test_a_host_that_did_not_answer_is_not_healthy() -> None:
    status = model.site_status({"hosts": ["db"], "endpoints": {}}, {"db": {}})
    assert status["healthy"] is False
    assert {service["state"] for service in status["services"]} == {"unknown"}


WATCHING: dict[str, Any] = {
    "services": {
        "prometheus.service": {"state": "running", "status": "enabled"},
        "prometheus-alertmanager.service": {"state": "running", "status": "enabled"},
    },
    "packages": {"prometheus": [{"version": "2.53"}], "prometheus-alertmanager": [{"version": "0.28"}]},
    "targets": [{"job": "node", "instance": "a:9100", "up": True, "error": ""}],
    "answers": True,
}
STOPPED = {"state": "stopped", "status": "disabled"}


@pytest.mark.parametrize(
    ("changes", "names", "healthy"),
    [
        ({}, ["prometheus", "alertmanager"], True),
        # Not scraped yet, and down.
        ({"targets": [{"job": "node", "instance": "a:9100", "up": False, "error": ""}]}, None, True),
        ({"targets": [{"job": "node", "instance": "a:9100", "up": False, "error": "refused"}]}, None, False),
        ({"answers": False}, None, False),
        (
            {"services": {**WATCHING["services"], "prometheus.service": STOPPED}, "answers": False},
            None,
            False,
        ),
        # It was on once. Its package stays.
        (
            {"services": {**WATCHING["services"], "prometheus-alertmanager.service": STOPPED}},
            ["prometheus"],
            True,
        ),
        (
            {
                "services": {**WATCHING["services"], "grafana-server.service": {"state": "stopped"}},
                "packages": {**WATCHING["packages"], "grafana": [{"version": "12"}]},
            },
            ["prometheus", "alertmanager", "grafana"],
            False,
        ),
        # In containers.
        ({"services": {}, "packages": {}}, ["prometheus"], True),
        # There after packages.
        (
            {"services": {**WATCHING["services"], "prometheus.service": STOPPED}},
            ["prometheus", "alertmanager"],
            True,
        ),
        ({"services": {}, "packages": {}, "answers": False}, ["prometheus"], False),
    ],
)
def test_status_of_what_watches(changes: dict[str, Any], names: list[str] | None, healthy: bool) -> None:
    facts: dict[str, Any] = {**WATCHING, **changes}
    status = model.site_status({"hosts": ["mon"], "endpoints": {}}, {}, {"mon": facts})
    assert status["healthy"] is healthy
    assert names is None or [service["name"] for service in status["services"]] == names
    assert status["targets"] == facts["targets"]


def test_a_monitoring_host_that_did_not_answer_is_not_healthy() -> None:
    assert model.site_status({"hosts": [], "endpoints": {}}, {}, {"mon": {}})["healthy"] is False
