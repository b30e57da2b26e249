# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan the exporters of a host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._exporters import inputs as checks
from ansible_collections.pooled.postgres.plugins.module_utils._exporters import places, plan
from ansible_collections.pooled.postgres.plugins.plugin_utils.plan import PlanAction, Render


class ActionModule(PlanAction):
    """Plan the role exporters."""

    role = "exporters"

    def problems(self, inputs: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with the inputs as far as that needs no host."""
        return checks.problems(inputs, places.ACCOUNT)

    def look(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of host_info."""
        return plan.look(inputs)

    def plan(
        self, inputs: Mapping[str, Any], seen: Mapping[str, Any], render: Render, check_mode: bool
    ) -> dict[str, Any]:
        """Return the plan, with all its problems."""
        # The role pgbouncer may create or remove processes after this plan.
        pgbouncer = self.variables.get("__pgbouncer") or {}
        processes = int(pgbouncer.get("process_count") or 0)
        return plan.plan(inputs, plan.Host(self.host, seen, processes), render)
