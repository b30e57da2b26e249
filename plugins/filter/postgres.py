# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters of the role postgres: its thinking, outside of Jinja."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.pooled.postgres.plugins.module_utils._postgres import inputs, tuning
from ansible_collections.pooled.postgres.plugins.module_utils._site import model


def hba_rules(rules: list[dict[str, Any]], **others: Any) -> list[dict[str, Any]]:
    """Return all rules of pg_hba.conf, in their order, without passwords; see ``inputs``."""
    return inputs.hba_rules(rules=rules, **others)


def wanted_roles(
    users: list[dict[str, Any]],
    stored: list[dict[str, Any]],
    encryption: str,
    roles: list[str],
    monitoring_user: str,
) -> list[dict[str, Any]]:
    """Return the roles that are not there as they should be: users, group roles, the monitoring user.

    PostgreSQL is sent a verifier, never the password. One that fits the password is kept.
    """
    current: Mapping[str, str | None] = {row["rolname"]: row["rolpassword"] for row in stored}
    wanted: list[dict[str, Any]] = [{"name": name, "login": False} for name in roles]
    for user in inputs.present_users(users):
        name, iterations = user["name"], int(user.get("scram_iterations", 4096))
        try:
            verifier = model.password_verifier(
                str(user["password"]), name, current.get(name), encryption, iterations
            )
        except ValueError as error:
            raise AnsibleFilterError(f"Failed to make the verifier of user {name}: {error}") from error
        limit = user.get("connection_limit")
        wanted.append({"name": name, "login": True, "verifier": verifier, "connection_limit": limit})
    if monitoring_user:
        # Of the connections that PostgreSQL has for all, monitoring never takes more.
        wanted.append({"name": monitoring_user, "login": True, "connection_limit": 5})
    return inputs.roles_to_make(wanted, stored)


def derived_settings(host: dict[str, Any]) -> dict[str, str | float]:
    """Return settings for a host of this ``memory``, ``disk`` (MiB), ``cores`` and ``max_connections``."""
    try:
        numbers = {name: int(value) for name, value in host.items()}
        return tuning.derived_settings(**numbers)
    except (TypeError, ValueError) as error:
        raise AnsibleFilterError(f"Failed to derive settings: {error}") from error


class FilterModule:
    """Filters of the role postgres."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "absent_users": inputs.absent_users,
            "database_entries": inputs.database_entries,
            "derived_settings": derived_settings,
            "hba_rules": hba_rules,
            "memberships_to_make": inputs.memberships_to_make,
            "owned_words": inputs.owned_words,
            "postgres_input_problems": inputs.input_problems,
            "present_users": inputs.present_users,
            "user_grants": inputs.user_grants,
            "wanted_roles": wanted_roles,
        }
