# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters on users and passwords: the roles' thinking, outside of Jinja."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import catalogue, takeover
from ansible_collections.pooled.postgres.plugins.module_utils._site import model


def password_verifier(password: str, name: str, current: str | None, encryption: str, iterations: int) -> str:
    """Return the verifier that a user's password should be stored as; see the model."""
    try:
        return model.password_verifier(str(password), name, current, encryption, int(iterations))
    except ValueError as exc:
        raise AnsibleFilterError(f"Failed to make the verifier of user {name}: {exc}") from exc


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
            "password_verifier": password_verifier,
            "pgbouncer_databases": model.pgbouncer_databases,
            "pgbouncer_problems": pgbouncer_problems,
            "pgbouncer_takeover": pgbouncer_takeover,
            "pgbouncer_user_options": model.pgbouncer_user_options,
            "site_status": model.site_status,
            "user_grants": model.user_grants,
            "user_problems": model.user_problems,
            "userlist_entries": model.userlist_entries,
        }
