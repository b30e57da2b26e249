"""Nothing, reload or restart."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import takeover


def row(key: str, value: Any, default: Any = "", changeable: str = "yes") -> dict[str, Any]:
    return {"key": key, "value": value, "default": default, "changeable": changeable}


RUNNING = [
    row("auth_user", "a", None),
    row("conffile", "/a", None),
    row("listen_port", "6432", "6432", "no"),
    row("pool_mode", "session", "session"),
    row("verbose", "1", None),
]
SAME = {"auth_user": "a", "listen_port": "6432", "pool_mode": "session", "verbose": "1", "conffile": "/b"}


@pytest.mark.parametrize(
    ("changes", "written", "action"),
    [
        ({}, (), "nothing"),
        ({"listen_port": 6432}, (), "nothing"),
        ({"unknown": "x"}, (), "nothing"),
        ({"pool_mode": "transaction"}, (), "reload"),
        ({"auth_user": "b"}, ("auth_user",), "reload"),
        ({"listen_port": "6433"}, (), "restart"),
        ({"listen_port": "6433", "pool_mode": "transaction"}, (), "restart"),
        # Without a default, it stays what it was until a restart.
        ({"auth_user": ""}, (), "restart"),
        ({"auth_user": None}, (), "restart"),
        ({"auth_user": ""}, ("auth_user",), "reload"),
        ({"verbose": "0"}, (), "restart"),
        ({"verbose": "0"}, ("verbose",), "reload"),
    ],
)
def test_settings_decide(changes: dict[str, Any], written: tuple[str, ...], action: str) -> None:
    plan = takeover.decide(RUNNING, {**SAME, **changes}, written=written)
    assert plan.action == action
    known = set(changes) & {entry["key"] for entry in RUNNING}
    assert {difference.name for difference in plan.settings} == (known if action != "nothing" else set())


DATABASE = {
    "name": "a",
    "host": "h",
    "force_user": None,
    "pool_size": 20,
    "paused": 0,
    "current_connections": 3,
}


@pytest.mark.parametrize(
    ("running", "wanted", "action", "names"),
    [
        ([DATABASE], [DATABASE], "nothing", []),
        ([DATABASE], [{**DATABASE, "paused": 1, "current_connections": 0}], "nothing", []),
        ([DATABASE], [{**DATABASE, "host": "i"}], "reload", ["a"]),
        ([DATABASE], [DATABASE, {**DATABASE, "name": "b"}], "reload", ["b"]),
        ([DATABASE, {**DATABASE, "name": "by star"}], [DATABASE], "nothing", []),
        ([DATABASE], [{**DATABASE, "force_user": "u"}], "reload", ["a"]),
        ([{**DATABASE, "force_user": "u"}], [DATABASE], "restart", ["a"]),
        ([{**DATABASE, "name": "pgbouncer"}], [{**DATABASE, "name": "pgbouncer", "port": 1}], "nothing", []),
    ],
)
def test_databases_decide(
    running: list[dict[str, Any]], wanted: list[dict[str, Any]], action: str, names: list[str]
) -> None:
    plan = takeover.decide([], {}, (running, wanted))
    assert (plan.action, plan.databases) == (action, names)


def test_users_decide_but_for_sizes_that_are_shown_wrong() -> None:
    user = {"name": "u", "pool_size": "  5", "pool_mode": None, "max_user_connections": 0}
    assert takeover.decide([], {}, users=([user], [{**user, "pool_size": ""}])).action == "nothing"
    assert takeover.decide([], {}, users=([user], [{**user, "pool_mode": "session"}])).users == ["u"]


def test_what_is_wanted_is_what_was_shown_but_for_what_the_proof_had_otherwise() -> None:
    shown = [
        row("conffile", "/scratch"),
        row("listen_addr", ""),
        row("auth_user", None),
        row("server_lifetime", "1.5"),
    ]
    assert takeover.wanted_settings(shown, {"listen_addr": "*", "logfile": "/x"}) == {
        "listen_addr": "*",
        "auth_user": "",
        "server_lifetime": "1.5",
    }
