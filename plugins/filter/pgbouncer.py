# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters of the role pgbouncer: its thinking, outside of Jinja."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import (
    catalogue,
    inputs,
    processes,
)


def connection_budget(numbers: dict[str, Any]) -> dict[str, Any]:
    """Return ``needed``, ``granted`` and ``arithmetic``; see ``inputs`` for what they are reckoned from.

    Numbers given as text, as ``-e`` gives them, count as numbers.
    """
    try:
        whole = {name: int(value) for name, value in numbers.items()}
    except (TypeError, ValueError) as error:
        raise AnsibleFilterError(f"Failed to reckon the connection budget: {error}") from error
    return inputs.connection_budget(**whole)._asdict()


def pgbouncer_problems(
    settings: dict[str, Any], databases: list[dict[str, Any]], users: list[dict[str, Any]]
) -> str:
    """Return what no PgBouncer that is known here would take, as clauses of a sentence; empty for nothing."""
    return catalogue.summary(
        [
            *catalogue.setting_problems(settings),
            *catalogue.database_problems(databases),
            *catalogue.user_problems(users),
        ]
    )


def pgbouncer_process_problems(
    settings: dict[str, Any],
    databases: list[dict[str, Any]],
    users: list[dict[str, Any]],
    *,
    count: Any,
    version: str,
) -> str:
    """Return what keeps so many processes from sharing the limits, as clauses of a sentence, or nothing."""
    return catalogue.summary(processes.problems(settings, databases, users, int(count), _version(version)))


def pgbouncer_process_count(
    settings: dict[str, Any],
    databases: list[dict[str, Any]],
    users: list[dict[str, Any]],
    *,
    cores: Any,
    version: str,
) -> int:
    """Return how many processes a host with so many cores gets."""
    return processes.default_count(settings, databases, users, int(cores), _version(version))


def pgbouncer_processes(
    settings: dict[str, Any],
    databases: list[dict[str, Any]],
    users: list[dict[str, Any]],
    *,
    count: Any,
    version: str,
) -> list[dict[str, Any]]:
    """Return ``id``, ``settings``, ``databases``, ``users`` and ``peers`` of each process; see the model."""
    try:
        return processes.processes(settings, databases, users, int(count), _version(version))
    except ValueError as error:
        raise AnsibleFilterError(f"Failed to divide the limits: {error}") from error


def pgbouncer_turns(
    results: list[dict[str, Any]],
    *,
    reload_for: list[str],
    restart_for: list[str],
    reloads: bool,
    drains: bool,
) -> list[dict[str, Any]]:
    """Return what each process has to do, in the order to do it in; see the model."""
    found = processes.turns(
        results, reload_for=reload_for, restart_for=restart_for, reloads=reloads, drains=drains
    )
    return [turn._asdict() for turn in found]


def _version(text: str) -> catalogue.Version | None:
    """Return what ``pgbouncer --version`` says as a version; None where there is none yet."""
    match = re.search(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


class FilterModule:
    """Filters of the role pgbouncer."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "connection_budget": connection_budget,
            "pgbouncer_database_options": inputs.database_options,
            "pgbouncer_problems": pgbouncer_problems,
            "pgbouncer_process_count": pgbouncer_process_count,
            "pgbouncer_process_problems": pgbouncer_process_problems,
            "pgbouncer_processes": pgbouncer_processes,
            "pgbouncer_turns": pgbouncer_turns,
            "pgbouncer_user_options": inputs.user_options,
            "pool_count": inputs.pool_count,
            "userlist_entries": inputs.userlist_entries,
        }
