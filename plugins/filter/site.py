# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters that look at the site, whatever its roles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._site import model


class FilterModule:
    """Filters of the site."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "user_problems": model.user_problems,
        }
