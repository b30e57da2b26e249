# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan the lab: its inputs, one look at this machine, and what the role must do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._lab import image, look, plan
from ansible_collections.pooled.postgres.plugins.plugin_utils.plan import PlanAction

_PLANS = {"present": plan.lab_plan, "absent": plan.teardown_plan, "bare": plan.bare_plan}


class ActionModule(PlanAction):
    """Plan the lab, bare hosts, or the teardown of either; or only check the inputs.

    It looks at the control host, where the lab is.
    """

    role = "lab"

    def problems(self, inputs: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with typed inputs as far as that needs no look at this machine."""
        return plan.input_problems(inputs)

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result."""
        variables = task_vars or {}
        spec = {
            "inputs_only": {"type": "bool", "default": False},
            "state": {"type": "str", "choices": list(_PLANS), "default": "present"},
        }
        args = self.validate_argument_spec(spec)[1]
        self.host = variables["inventory_hostname"]
        inputs, problems = self.inputs(variables)
        if args["inputs_only"]:
            return {"changed": False, "problems": problems or self.problems(inputs)}
        if problems:
            return self.refusal(problems)
        become = os.geteuid() != 0
        seen = look.look(
            inputs["lab_state_dir"],
            port=inputs["lab_emulator_port"],
            image_name=inputs["lab_image"],
            commands=list(image.COMMANDS),
            everything=args["state"] == "absent",
        )
        made = _PLANS[args["state"]](inputs, {**seen, "become": become})
        if made["problems"]:
            return self.refusal(made["problems"])
        return {
            **made,
            "changed": False,
            "become": become,
            # Python files that root compiles in the checkout could not be deleted by its owner.
            "environment": {"PYTHONDONTWRITEBYTECODE": "1"},
        }
