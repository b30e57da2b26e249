# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters of the role pgbouncer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import lookup, plan


def pgbouncer_login_sample(
    logins: Sequence[Mapping[str, str]], users: Mapping[str, Any]
) -> list[Mapping[str, str]]:
    """Return the logins to try; ``users`` is what pgbouncer_config returned of the userlist."""
    return plan.sample(logins, [*users.get("added", []), *users.get("updated", [])])


def pgbouncer_lookup_statements(processes: int) -> list[str]:
    """Return the lines of the SQL that creates what looks up users, for so many processes."""
    return (";\n".join(lookup.statements(max(4, processes))) + ";").splitlines()


class FilterModule:
    """Filters of the role pgbouncer."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "pgbouncer_login_sample": pgbouncer_login_sample,
            "pgbouncer_lookup_statements": pgbouncer_lookup_statements,
        }
