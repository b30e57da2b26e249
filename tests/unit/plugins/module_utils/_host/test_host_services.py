# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Units get what they need, with the reasons."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._host import services, systemd

TIMES = {"/unit": 10.0, "/conf": 20.0}


def wanted(**values: Any) -> dict[str, Any]:
    blank: dict[str, Any] = {
        "name": "a",
        "state": "started",
        "enabled": None,
        "masked": None,
        "restart_on": [],
        "reload_on": [],
    }
    return blank | values


def unit(**values: Any) -> dict[str, Any]:
    running = systemd.unit({"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled"})
    return running | {"since": 15.0, "changed": 15.0} | values


@pytest.mark.parametrize(
    ("service", "state", "expected"),
    [
        ({}, {}, []),
        ({"enabled": True}, {}, []),
        ({}, {"active": "inactive"}, [("start", ("it was not running",))]),
        ({"enabled": True}, {"enabled": "disabled"}, [("enable", ("it did not start at boot",))]),
        ({"restart_on": ["/unit"]}, {}, []),
        ({"restart_on": ["/conf", "/unit"]}, {}, [("restart", ("/conf",))]),
        ({"restart_on": ["/not-there"]}, {}, []),
        ({"reload_on": ["/conf"]}, {}, [("reload", ("/conf",))]),
        ({"reload_on": ["/conf"]}, {"changed": 25.0}, []),
        ({"reload_on": ["/conf"], "restart_on": ["/conf"]}, {}, [("restart", ("/conf",))]),
        ({"restart_on": ["/conf"]}, {"active": "failed"}, [("start", ("it was not running",))]),
        ({"state": "restarted", "reason": "new version"}, {}, [("restart", ("new version",))]),
        ({"state": "reloaded", "reason": "new users"}, {}, [("reload", ("new users",))]),
        ({"state": "stopped", "enabled": False, "reason": "surplus"}, {},
         [("stop", ("surplus",)), ("disable", ("it started at boot",))]),
        ({"state": "stopped", "enabled": False},
         {"active": "inactive", "enabled": "", "load": "not-found"}, []),
        ({"state": "unchanged", "restart_on": ["/conf"]}, {}, []),
        ({"masked": True, "state": "stopped"}, {"active": "inactive"}, [("mask", ("it must not start",))]),
        ({"masked": False}, {"load": "masked", "active": "inactive"},
         [("unmask", ("it was masked",)), ("start", ("it was not running",))]),
    ],
)  # fmt: skip
def test_actions(service: dict[str, Any], state: dict[str, Any], expected: list[Any]) -> None:
    found = services.actions([wanted(**service)], {"a.service": unit(**state)}, TIMES)
    assert [(step.action, step.reasons) for step in found] == expected


def test_units_that_stop_come_first() -> None:
    units = {"a.service": unit(active="inactive"), "b.service": unit()}
    found = services.actions([wanted(), wanted(name="b", state="stopped")], units, {})
    assert [(step.name, step.action) for step in found] == [("b.service", "stop"), ("a.service", "start")]


def test_check_mode_predicts_and_runs_nothing() -> None:
    commands = []

    def run(command: list[str]) -> tuple[int, str, str]:
        commands.append(command)
        return 0, "Id=a.service\nLoadState=not-found\nActiveState=inactive\n", ""

    steps, reloaded = services.ensure(run, [wanted(enabled=True)], check_mode=True)
    assert [step.action for step in steps] == ["enable", "start"]
    assert not reloaded
    assert [command[1] for command in commands] == ["show"]


def test_a_time_of_systemd_is_a_unix_time() -> None:
    assert systemd.timestamp("Sun 2026-11-29 11:00:00.250000 UTC") == 1795950000.25
    assert systemd.timestamp("") == systemd.timestamp("n/a") == 0.0
