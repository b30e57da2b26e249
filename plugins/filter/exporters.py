# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters of the role exporters: its thinking, outside of Jinja."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.pooled.postgres.plugins.module_utils._exporters import model

try:
    import bcrypt
except ImportError:
    bcrypt = None  # type: ignore[assignment]

ROUNDS = 10


def exporters_bcrypt(password: str, seed: str) -> str:
    """Return the bcrypt hash of a password, which is the same each time; see the model for the salt."""
    if bcrypt is None:
        raise AnsibleFilterError(
            "Failed to hash a password of exporters_basic_auth: this machine's Python has no bcrypt."
            " Install it (pip install bcrypt), or give password_hash."
        )
    salt = model.bcrypt_salt(str(password), str(seed), ROUNDS)
    return bcrypt.hashpw(str(password).encode(), salt.encode()).decode()


def exporters_surplus(found: list[dict[str, Any]], units: str, runtime: str, wanted: list[str]) -> list[str]:
    """Return services of an earlier run that are no longer wanted; see the model."""
    return model.surplus(found, model.Places(units, runtime), wanted)


def exporters_turns(
    found: list[dict[str, Any]], units: str, runtime: str, reads: dict[str, list[str]]
) -> list[dict[str, str]]:
    """Return which services have to be started or restarted; see the model."""
    return model.turns(found, model.Places(units, runtime), reads)


class FilterModule:
    """Filters of the role exporters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "exporters_bcrypt": exporters_bcrypt,
            "exporters_bracketed": model.bracketed,
            "exporters_command_line": model.command_line,
            "exporters_listen_flags": model.listen_flags,
            "exporters_passfile_word": model.passfile_word,
            "exporters_problems": model.problems,
            "exporters_process_count": model.process_count,
            "exporters_sample": model.sample,
            "exporters_server_version": model.server_version,
            "exporters_services": model.services,
            "exporters_surplus": exporters_surplus,
            "exporters_turns": exporters_turns,
        }
