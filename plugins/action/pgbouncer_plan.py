# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan the role pgbouncer; the thinking is in module_utils/_pgbouncer/plan.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import plan, problems
from ansible_collections.pooled.postgres.plugins.plugin_utils.plan import PlanAction, Render


class ActionModule(PlanAction):
    """Plan the role pgbouncer."""

    role = "pgbouncer"

    def look(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of host_info."""
        return plan.look(inputs)

    def problems(self, inputs: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with the inputs, as far as that needs no host."""
        return problems.of_inputs(inputs)

    def plan(
        self, inputs: Mapping[str, Any], seen: Mapping[str, Any], render: Render, check_mode: bool
    ) -> dict[str, Any]:
        """Return the plan, with all its ``problems``."""
        # Inputs of other roles: the source of packages, and what the monitoring has to reach.
        watched = "pgbouncer" in self._variable("exporters_kinds", ["pgbouncer"])
        return plan.plan(
            inputs,
            seen,
            render,
            check_mode,
            source=str(self._variable("postgres_source", "distro")),
            opened=self._variable("infrastructure_database_ports", None) if watched else None,
            exporter_port=int(self._variable("exporters_pgbouncer_port", 9127)),
        )

    def _variable(self, name: str, default: Any) -> Any:
        return self._templar.template(self.variables.get(name, default))
