# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters of the role pgbouncer: its thinking, outside of Jinja."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import (
    access,
    budget,
    catalogue,
    inputs,
    processes,
    vulnerabilities,
)


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


def pgbouncer_budget(
    databases: Sequence[Mapping[str, Any]],
    users: Sequence[Mapping[str, Any]],
    limits: Mapping[str, Any],
    server: Mapping[str, Any],
    lookup: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the connection budget; see the model for the inputs. Numbers given as text count as numbers."""
    try:
        return budget.reckon(databases, users, limits, server, lookup or None)._asdict()
    except ValueError as exc:
        raise AnsibleFilterError(f"Failed to reckon the connection budget: {exc}") from exc


def pgbouncer_access_problems(
    settings: Mapping[str, Any],
    rules: Sequence[Mapping[str, Any]],
    users: Sequence[str],
    *,
    lookup: bool,
    unsafe: bool,
) -> list[str]:
    """Return what is wrong with how clients prove who they are, a clause each; see the model."""
    return access.problems(access.Access(settings, rules, users, lookup, unsafe))


def pgbouncer_vulnerabilities(
    package: str,
    settings: Mapping[str, Any],
    databases: Sequence[Mapping[str, Any]],
    rules: Sequence[Mapping[str, Any]],
    accepted: Sequence[str],
    *,
    own_query: bool,
) -> str:
    """Return what is wrong with a version of the package, as a sentence; empty for nothing. See the model."""
    config = vulnerabilities.Configuration(settings, databases, rules, own_query)
    return vulnerabilities.refusal(package, config, accepted)


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
            "pgbouncer_access_problems": pgbouncer_access_problems,
            "pgbouncer_budget": pgbouncer_budget,
            "pgbouncer_database_options": inputs.database_options,
            "pgbouncer_problems": pgbouncer_problems,
            "pgbouncer_unknown_cves": vulnerabilities.unknown_names,
            "pgbouncer_process_count": pgbouncer_process_count,
            "pgbouncer_process_problems": pgbouncer_process_problems,
            "pgbouncer_processes": pgbouncer_processes,
            "pgbouncer_turns": pgbouncer_turns,
            "pgbouncer_unread": processes.unread,
            "pgbouncer_user_options": inputs.user_options,
            "pgbouncer_vulnerabilities": pgbouncer_vulnerabilities,
            "userlist_entries": inputs.userlist_entries,
        }
