# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters on users, passwords and connection budgets: the roles' thinking, outside of Jinja."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import (
    catalogue,
    processes,
    takeover,
)
from ansible_collections.pooled.postgres.plugins.module_utils._site import model


def password_verifier(password: str, name: str, current: str | None, encryption: str, iterations: int) -> str:
    """Return the verifier that a user's password should be stored as; see the model."""
    try:
        return model.password_verifier(str(password), name, current, encryption, int(iterations))
    except ValueError as exc:
        raise AnsibleFilterError(f"Failed to make the verifier of user {name}: {exc}") from exc


def connection_budget(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return ``needed``, ``granted`` and ``arithmetic``; see the model for the inputs.

    Numbers given as text, as ``-e`` gives them, count as numbers.
    """
    try:
        numbers = {name: int(value) for name, value in inputs.items()}
    except ValueError as exc:
        raise AnsibleFilterError(f"Failed to reckon the connection budget: {exc}") from exc
    return model.connection_budget(**numbers)._asdict()


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
    settings: dict[str, Any], databases: list[dict[str, Any]], users: list[dict[str, Any]], *, count: Any, version: str
) -> str:
    """Return what keeps so many processes from sharing the limits, as clauses of a sentence; empty for nothing."""
    return catalogue.summary(processes.problems(settings, databases, users, int(count), _version(version)))


def pgbouncer_process_count(
    settings: dict[str, Any], databases: list[dict[str, Any]], users: list[dict[str, Any]], *, cores: Any, version: str
) -> int:
    """Return how many processes a host with so many cores gets."""
    return processes.default_count(settings, databases, users, int(cores), _version(version))


def pgbouncer_processes(
    settings: dict[str, Any], databases: list[dict[str, Any]], users: list[dict[str, Any]], *, count: Any, version: str
) -> list[dict[str, Any]]:
    """Return ``id``, ``settings``, ``databases``, ``users`` and ``peers`` of each process; see the model."""
    try:
        return processes.processes(settings, databases, users, int(count), _version(version))
    except ValueError as error:
        raise AnsibleFilterError(f"Failed to divide the limits: {error}") from error


def pgbouncer_turns(results: list[dict[str, Any]], **others: Any) -> list[dict[str, Any]]:
    """Return what each process has to do, in the order to do it in; see the model."""
    return [turn._asdict() for turn in processes.turns(results, **others)]


def _version(text: str) -> catalogue.Version | None:
    """Return what ``pgbouncer --version`` says as a version; None where there is none yet."""
    match = re.search(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


def pgbouncer_takeover(running: list[dict[str, Any]], wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the ``action`` that brings what runs to what is wanted, and the ``settings`` that differ.

    The action is nothing, reload or restart.

    Args:
        running: rows of SHOW CONFIG.
        wanted: values by name, as ``pgbouncer_config`` returns them in ``settings``.
    """
    plan = takeover.decide(running, wanted)
    return {"action": plan.action, "settings": [difference._asdict() for difference in plan.settings]}


class FilterModule:
    """Filters of the roles."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "connection_budget": connection_budget,
            "password_verifier": password_verifier,
            "pgbouncer_databases": model.pgbouncer_databases,
            "pgbouncer_problems": pgbouncer_problems,
            "pgbouncer_process_count": pgbouncer_process_count,
            "pgbouncer_process_problems": pgbouncer_process_problems,
            "pgbouncer_processes": pgbouncer_processes,
            "pgbouncer_takeover": pgbouncer_takeover,
            "pgbouncer_user_options": model.pgbouncer_user_options,
            "pgbouncer_turns": pgbouncer_turns,
            "pool_count": model.pool_count,
            "process_rows": model.process_rows,
            "site_status": model.site_status,
            "user_grants": model.user_grants,
            "user_problems": model.user_problems,
            "userlist_entries": model.userlist_entries,
        }
