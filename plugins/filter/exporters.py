# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter for the role monitoring."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._exporters import model


class FilterModule:
    """Filter for the role monitoring."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"exporters_bracketed": model.bracketed}
