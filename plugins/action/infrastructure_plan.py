# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan a stack: the inputs, one look at the account, and what the role must do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.urls import open_url
from ansible_collections.amazon.aws.plugins.module_utils.botocore import get_aws_region
from ansible_collections.amazon.aws.plugins.module_utils.modules import aws_argument_spec
from ansible_collections.pooled.postgres.plugins.module_utils._ec2_stack import api, errors, role, wanted
from ansible_collections.pooled.postgres.plugins.plugin_utils.plan import PlanAction, renderer

# Stands for the caller's own address, which takes a call.
ANY_ADDRESS = "192.0.2.1/32"


class Connection:
    """What the reader of a stack uses of a module of amazon.aws: it reads in this process, without one."""

    def __init__(self, params: Mapping[str, Any], stack: str, warn: Any) -> None:
        self.params = params
        self.stack = stack
        self.warn = warn

    @property
    def region(self) -> str | None:
        """The region to call."""
        found: str | None = get_aws_region(self)
        return found

    def fail_json(self, msg: str, **_: Any) -> NoReturn:
        """Raise StackError, for options that make no connection."""
        raise errors.StackError(self.stack, msg, "Correct the options of the connection (pooled_aws)")


class ActionModule(PlanAction):
    """Plan the stack, its teardown, or only check the inputs. Runs on the control host."""

    role = "infrastructure"

    def problems(self, inputs: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with typed inputs as far as that needs no call."""
        if shape := role.shape_problems(inputs):
            return shape
        key, key_problem = self.key(inputs)
        admin_cidr = inputs["infrastructure_admin_cidr"] or ANY_ADDRESS
        found = wanted.input_problems(role.stack_inputs(inputs, admin_cidr, key))
        return [*found, *([key_problem] if key_problem else [])]

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result."""
        variables = task_vars or {}
        spec = {
            "inputs_only": {"type": "bool", "default": False},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            **aws_argument_spec(),
        }
        args = self.validate_argument_spec(spec)[1]
        self.host = variables["inventory_hostname"]
        inputs, problems = self.inputs(variables)
        teardown = args["state"] == "absent"
        if not problems and not teardown:
            problems = self.problems(inputs)
        if args["inputs_only"]:
            return {"changed": False, "problems": problems}
        admin_cidr = inputs["infrastructure_admin_cidr"] if not problems else ANY_ADDRESS
        if not admin_cidr and not teardown:
            admin_cidr, problem = own_cidr(inputs["infrastructure_address_service"])
            problems += [problem] if problem else []
        if problems:
            return self.refusal(problems)
        try:
            found = self.read(inputs, args)
        except errors.StackError as exc:
            return {"failed": True, "msg": str(exc)}
        made = self.torn_down(inputs, found) if teardown else self.planned(inputs, found, admin_cidr)
        return self.refusal(made["problems"]) if made["problems"] else {"changed": False, **made}

    def read(self, inputs: Mapping[str, Any], args: Mapping[str, Any]) -> dict[str, Any]:
        """Read the stack from EC2. Raises StackError."""
        stack, image = inputs["infrastructure_stack"], inputs["infrastructure_image_id"]
        owner, name = inputs["infrastructure_image_owner"], inputs["infrastructure_image_name"]
        params = {
            **args,
            "stack": stack,
            "key_name": inputs["infrastructure_key_name"],
            "image": {"id": image} if image else {"owner": owner, "name": name},
        }
        return api.read(Connection(params, stack, self._display.warning))

    def key(self, inputs: Mapping[str, Any]) -> tuple[str, str]:
        """Return the public key, and why the key can't be used."""
        file = Path(inputs["infrastructure_key_file"])
        public_key = read(Path(f"{file}.pub"))
        mode = file.stat().st_mode if file.exists() else None
        return public_key, role.key_problem(inputs, mode, public_key)

    def state_problem(self, inputs: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with the state directory."""
        here = {"stack": inputs["infrastructure_stack"], **{key: found[key] for key in ("account", "region")}}
        path = Path(inputs["infrastructure_state_dir"]) / "infrastructure.json"
        problem = role.state_problem(inputs, here, json.loads(read(path) or "{}"))
        return [problem] if problem else []

    def planned(self, inputs: Mapping[str, Any], found: Mapping[str, Any], admin_cidr: str) -> dict[str, Any]:
        """Return the plan of the stack."""
        if not role.is_settled(found):
            return {"problems": [], "settled": False}
        profile = role.profile(inputs, found["region"])
        asked = role.stack_inputs(inputs, admin_cidr, self.key(inputs)[0], profile)
        made = role.infrastructure_plan(inputs, found, asked)
        complete = len(made["ids"]["instances"]) == len(inputs["infrastructure_instances"])
        return {
            **made,
            "problems": self.state_problem(inputs, found) + made["problems"],
            "settled": True,
            "shown": role.headline(inputs, found, made["lines"], "nothing to do"),
            "make_key": role.is_own_key(inputs) and not Path(inputs["infrastructure_key_file"]).exists(),
            "files": self.files(inputs, found, made["ids"]) if complete else [],
        }

    def files(
        self, inputs: Mapping[str, Any], found: Mapping[str, Any], ids: Mapping[str, Any]
    ) -> list[dict[str, str]]:
        """Return the files of the state directory that differ from what they should be."""
        state = Path(inputs["infrastructure_state_dir"])
        ssh_config = renderer(self.role)(
            "ssh_config.j2",
            **inputs,
            hosts=role.hosts(found, ids),
            jump_host=role.jump_host(inputs),
            region=found["region"],
        )
        contents = {"ssh_config": ssh_config, "infrastructure.json": role.outputs(inputs, found, ids)}
        return [
            {"path": str(state / name), "content": content}
            for name, content in contents.items()
            if read(state / name) != content or (state / name).stat().st_mode & 0o077
        ]

    def torn_down(self, inputs: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
        """Return the plan of the teardown."""
        made = role.teardown_plan(inputs, found)
        return {
            **made,
            "problems": self.state_problem(inputs, found) + made["problems"],
            "profile": role.profile(inputs, found["region"]),
        }


def read(path: Path) -> str:
    """Return the content of a file, empty without one."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def own_cidr(service: str) -> tuple[str, str]:
    """Return the caller's own address as a network, or why it is not known."""
    try:
        said = open_url(service, timeout=10).read(200).decode(errors="replace").strip()
    except Exception as exc:
        # open_url lets through what urllib, ssl and sockets raise.
        said = str(exc)
    return f"{said}/32", role.own_address_problem(said, service)
