# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan the role postgres; module_utils/_postgres/plan.py decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.pooled.postgres.plugins.module_utils._postgres import plan, volume
from ansible_collections.pooled.postgres.plugins.plugin_utils.plan import PlanAction, Render


class ActionModule(PlanAction):
    """Plan the role postgres."""

    role = "postgres"

    def look(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of host_info."""
        return plan.look(inputs)

    def problems(self, inputs: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with the inputs, as far as that needs no host."""
        return plan.problems(inputs)

    def plan(
        self, inputs: Mapping[str, Any], seen: Mapping[str, Any], render: Render, check_mode: bool
    ) -> dict[str, Any]:
        """Return the plan, with all its ``problems``."""
        return plan.plan(inputs, seen, self.disk(inputs), render, check_mode)

    def disk(self, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return a look at the volume of the data, None where the data stays on the root disk."""
        if not inputs["postgres_data_device"]:
            return None
        outcome = self._execute_module(
            module_name="pooled.postgres.postgres_volume_info",
            module_args={
                "device": inputs["postgres_data_device"],
                "filesystem": inputs["postgres_data_filesystem"],
                "mountpoint": volume.MOUNTPOINT,
            },
            task_vars=self.variables,
        )
        if "volume" not in outcome:
            raise AnsibleActionFail(str(outcome.get("msg", "Failed to look at the volume")), result=outcome)
        return dict(outcome["volume"])
