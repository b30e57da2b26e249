# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters of the role pgbouncer: its thinking, outside of Jinja."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import catalogue, inputs


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


class FilterModule:
    """Filters of the role pgbouncer."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "connection_budget": connection_budget,
            "pgbouncer_database_options": inputs.database_options,
            "pgbouncer_problems": pgbouncer_problems,
            "pgbouncer_user_options": inputs.user_options,
            "pool_count": inputs.pool_count,
            "userlist_entries": inputs.userlist_entries,
        }
