# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan the role monitoring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from ansible_collections.pooled.postgres.plugins.module_utils._monitoring import files, plan
from ansible_collections.pooled.postgres.plugins.module_utils._monitoring import inputs as checks
from ansible_collections.pooled.postgres.plugins.plugin_utils.plan import ROLES, PlanAction, Render, renderer


def former_targets(text: str) -> list[dict[str, Any]]:
    """Return the entries of a file of targets, none if its form is wrong."""
    try:
        entries = yaml.safe_load(text)
    except yaml.YAMLError:
        return []
    return [
        entry
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict) and isinstance(entry.get("labels"), dict)
    ]


class ActionModule(PlanAction):
    """Plan Prometheus, Alertmanager and Grafana."""

    role = "monitoring"

    def look(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of host_info."""
        return plan.look(inputs)

    def problems(self, inputs: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with the inputs as far as that needs no host."""
        return checks.problems(inputs)

    def plan(
        self, inputs: Mapping[str, Any], seen: Mapping[str, Any], render: Render, check_mode: bool
    ) -> dict[str, Any]:
        """Return the plan."""
        folder = ROLES / self.role / "files/dashboards"
        return plan.plan(
            inputs,
            seen,
            render,
            # Double braces belong to Prometheus in the rules.
            rules=renderer(self.role, "[[", "]]"),
            former_targets=former_targets(seen["contents"].get(files.TARGETS, "")),
            dashboards={
                path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.json"))
            },
        )
