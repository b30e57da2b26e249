# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters on certificates and modes of TLS: the roles' thinking, outside of Jinja."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.pooled.postgres.plugins.module_utils._tls import model


def certificate_days_left(not_after: str) -> int:
    """Return the whole days until a certificate ends; see the model."""
    try:
        return model.days_left(str(not_after))
    except ValueError as error:
        raise AnsibleFilterError(f"Failed to read the end of a certificate: {error}") from error


class FilterModule:
    """Filters on TLS."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "certificate_days_left": certificate_days_left,
            "certificate_file_problems": model.file_problems,
            "certificate_name_problems": model.name_problems,
            "certificate_names": model.alternative_names,
            "tls_probe_address": model.probe_address,
            "tls_server_problems": model.server_problems,
        }
