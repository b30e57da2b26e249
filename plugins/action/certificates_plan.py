# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan the certificate of a service."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.utils.display import Display
from ansible_collections.pooled.postgres.plugins.module_utils._certificates import files, plan
from ansible_collections.pooled.postgres.plugins.plugin_utils.plan import PlanAction, Render, plain

_DISPLAY = Display()


class ActionModule(PlanAction):
    """Plan the role certificates."""

    role = "certificates"
    module = "pooled.postgres.certificate_info"

    def problems(self, inputs: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with the inputs as far as that needs no host."""
        return plan.problems(inputs)

    def look(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of certificate_info."""
        given = inputs["certificates_files"]
        arguments: dict[str, Any] = {"directory": plan.place(inputs)}
        if given.get("on_host"):
            parts = ("authority",) if inputs["certificates_authority_only"] else files.PARTS
            return {**arguments, "given": {part: given.get(part) for part in parts}}
        if given.get("certificate"):
            arguments["certificate"] = files.text(given["certificate"])
        return arguments

    def plan(
        self, inputs: Mapping[str, Any], seen: Mapping[str, Any], render: Render, check_mode: bool
    ) -> dict[str, Any]:
        """Return the plan, with all its problems."""
        given = inputs["certificates_files"]
        address = self._variable("pooled_address") or self._variable("ansible_host") or ""
        directory = Path(inputs["certificates_authority_directory"])
        controller = plan.Controller(
            authority="" if given else files.text(str(directory / "authority.crt")),
            has_key=not given and (directory / "authority.key").is_file(),
            given=files.given(given) if given and not given.get("on_host") else None,
            now=datetime.now(UTC),
            stack=str(self._variable("pooled_stack") or "pooled"),
        )
        made = plan.plan(inputs, plan.Host(self.host, str(address), seen), controller, check_mode)
        for warning in made.get("warnings", []):
            _DISPLAY.warning(warning)
        return made

    def _variable(self, name: str) -> Any:
        return plain(self._templar.template(self.variables[name])) if name in self.variables else None
