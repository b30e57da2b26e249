# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters that judge networks before anything is created in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.pooled.postgres.plugins.module_utils._network import model


def network_conflicts(cidr: str, routes: str, networks: list[dict[str, Any]], own_network: str) -> list[str]:
    """Return what of this machine already uses addresses of ``cidr``; see the model."""
    try:
        return model.network_conflicts(cidr, routes, networks, own_network)
    except ValueError as exc:
        raise AnsibleFilterError(f"Failed to compare networks with {cidr}: {exc}") from exc


class FilterModule:
    """Filters on networks."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "chains_removal": model.chains_removal,
            "network_conflicts": network_conflicts,
        }
