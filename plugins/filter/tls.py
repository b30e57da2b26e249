# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters on modes and addresses of TLS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._tls import model


class FilterModule:
    """Filters on TLS."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"tls_probe_address": model.probe_address, "tls_server_problems": model.server_problems}
