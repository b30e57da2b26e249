"""Commands of the console, as text."""

from __future__ import annotations

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import console
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.errors import ConsoleError


@pytest.mark.parametrize(
    ("command", "database", "client", "text"),
    [
        ("show pools", None, None, "show pools"),
        ("SHOW  STATS_TOTALS", None, None, "SHOW STATS_TOTALS"),
        ("pause", None, None, "PAUSE"),
        ("PAUSE", "my-db é", None, 'PAUSE "my-db é"'),
        ("RELOAD", None, None, "RELOAD"),
        ("wait_close", "a", None, 'WAIT_CLOSE "a"'),
        ("KILL_CLIENT", None, "12", "KILL_CLIENT 12"),
    ],
)
def test_a_command_is_written(command: str, database: str | None, client: str | None, text: str) -> None:
    assert console.statement(command, database, client).text == text


@pytest.mark.parametrize(
    ("command", "database", "client", "said"),
    [
        ("SHUTDOWN", None, None, "it is neither SHOW"),
        ("SET pool_mode = session", None, None, "it is neither SHOW"),
        ("SHOW POOLS; SHUTDOWN", None, None, "it is neither SHOW"),
        ("RELAOD", None, None, "the nearest is RELOAD"),
        ("KILL", None, None, "needs a database"),
        ("RELOAD", "a", None, "takes no database"),
        ("SHOW POOLS", "a", None, "neither a database nor a client"),
        ("PAUSE", None, "1", "takes no client"),
        ("KILL_CLIENT", None, None, "needs a client"),
        ("KILL_CLIENT", None, "1; SHUTDOWN", "no id of a client"),
        ("PAUSE", 'a"b', None, "without double quotes"),
        ("PAUSE", "a" * 62, None, "at most 61 bytes"),
    ],
)
def test_another_command_is_refused(
    command: str, database: str | None, client: str | None, said: str
) -> None:
    with pytest.raises(ConsoleError, match=r"^Failed to ") as caught:
        console.statement(command, database, client)
    assert said in str(caught.value)


DATABASES = [{"name": "a", "paused": 1, "disabled": 0}, {"name": "b", "paused": 0, "disabled": 1}]
ACTIVE = [
    {"key": name, "value": "yes" if name == "active" else "no"} for name in ("active", "paused", "suspended")
]
PAUSED = [
    {"key": name, "value": "yes" if name == "paused" else "no"} for name in ("active", "paused", "suspended")
]


@pytest.mark.parametrize(
    ("command", "database", "paused", "reached"),
    [
        ("PAUSE", "a", False, True),
        ("PAUSE", "b", False, False),
        ("PAUSE", "missing", False, False),
        ("RESUME", "a", False, False),
        ("RESUME", "b", False, True),
        ("DISABLE", "b", False, True),
        ("ENABLE", "b", False, False),
        ("PAUSE", None, False, False),
        ("PAUSE", None, True, True),
        ("RESUME", None, False, True),
        ("RESUME", None, True, False),
        ("SUSPEND", None, True, False),
        ("KILL", "a", False, False),
        ("RELOAD", None, False, False),
    ],
)
def test_what_is_so_needs_no_command(command: str, database: str | None, paused: bool, reached: bool) -> None:
    wanted = console.statement(command, database)
    assert console.reached(wanted, DATABASES, PAUSED if paused else ACTIVE) is reached
