# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decide what brings a running PgBouncer to the wanted configuration: nothing, a reload or a restart. Pure.

PgBouncer says of each setting whether a reload changes it (``changeable`` in ``SHOW CONFIG``); it ignores
the others silently until its restart (``CF_NO_RELOAD`` in ``src/main.c``). It does not say that a
changeable setting without a default, such as ``auth_user``, keeps its value when it is gone from the file
(``fill_defaults`` of ``lib/usual/cfparser.c``; tried with 1.18 and 1.24).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any, NamedTuple

NOTHING, RELOAD, RESTART = "nothing", "reload", "restart"

# Where the file lies is the running one's own.
_OWN = {"conffile"}

# What is now, not what is configured; and what differs by version.
_STATE = {"current_connections", "current_client_connections", "paused", "disabled"}

# SHOW USERS of 1.23 and later shows one user's sizes for those that come after it (admin_show_users of
# src/admin.c reuses its buffers), so these two cannot be compared.
_UNSOUND = {"pool_size", "reserve_pool_size"}


class Difference(NamedTuple):
    """A setting that runs with another value than wanted."""

    name: str
    running: str
    wanted: str
    changeable: bool


class Takeover(NamedTuple):
    """What is to be done, and what for: settings that differ, and databases and users that do."""

    action: str
    settings: list[Difference]
    databases: list[str]
    users: list[str]


def wanted_settings(shown: Iterable[Mapping[str, Any]], instead: Mapping[str, str]) -> dict[str, str]:
    """Return every setting as PgBouncer shows it once the configuration is in force.

    Args:
        shown: SHOW CONFIG of the instance that proved the configuration.
        instead: what is wanted of the settings that this instance had otherwise, such as its socket
            directory.
    """
    wanted = {}
    for row in shown:
        name = str(row["key"])
        if name not in _OWN:
            wanted[name] = _text(instead[name]) if name in instead else _text(row["value"])
    return wanted


def decide(
    running: Iterable[Mapping[str, Any]],
    wanted: Mapping[str, Any],
    databases: tuple[Iterable[Mapping[str, Any]], Iterable[Mapping[str, Any]]] = ((), ()),
    users: tuple[Iterable[Mapping[str, Any]], Iterable[Mapping[str, Any]]] = ((), ()),
    written: Container[str] = (),
) -> Takeover:
    """Return what brings the running PgBouncer to the wanted configuration.

    Both sides come from SHOW commands, so that values that only look different don't count.

    Args:
        running: SHOW CONFIG of the running PgBouncer.
        wanted: every setting's value by name, see ``wanted_settings``.
        databases: SHOW DATABASES of the running one, and of the one that proved the configuration.
        users: likewise SHOW USERS.
        written: names of the settings that the file has.
    """
    rows = {str(row["key"]): row for row in running}
    settings = [
        Difference(
            name,
            _text(rows[name]["value"]),
            _text(value),
            rows[name].get("changeable") == "yes"
            and (name in written or rows[name].get("default") is not None or _text(value) not in ("", "0")),
        )
        for name, value in sorted(wanted.items())
        if name in rows and name not in _OWN and _text(rows[name]["value"]) != _text(value)
    ]
    # The sizes of databases are shown with the defaults filled in, which are settings.
    changed_databases = _changed(*databases, set())
    changed_users = _changed(*users, _UNSOUND)
    if not all(difference.changeable for difference in settings) or _loses_user(*databases):
        action = RESTART
    elif settings or changed_databases or changed_users:
        action = RELOAD
    else:
        action = NOTHING
    return Takeover(action, settings, changed_databases, changed_users)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _changed(
    running: Iterable[Mapping[str, Any]], wanted: Iterable[Mapping[str, Any]], unsound: set[str]
) -> list[str]:
    """Return names of wanted rows that run otherwise or not at all.

    Rows that only the running one has are left alone: they may have come from ``*`` or from auth_query.
    """

    def comparable(row: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in row.items() if name not in _STATE | unsound}

    there = {row["name"]: comparable(row) for row in running}
    return sorted(
        str(row["name"])
        for row in wanted
        if row["name"] != "pgbouncer" and there.get(row["name"]) != comparable(row)
    )


def _loses_user(running: Iterable[Mapping[str, Any]], wanted: Iterable[Mapping[str, Any]]) -> bool:
    """Say whether a database shall no longer have a user of its own, which a reload ignores."""
    forced = {row["name"] for row in running if row.get("force_user") and row["name"] != "pgbouncer"}
    return any(row["name"] in forced and not row.get("force_user") for row in wanted)
