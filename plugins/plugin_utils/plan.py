# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan a role once: read its inputs, look at the host, and hand both to a pure function."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.plugins.action import ActionBase
from jinja2 import Environment, FileSystemLoader, StrictUndefined

ROLES = Path(__file__).parents[2] / "roles"
Render = Callable[..., str]
_CONVERSION = re.compile(r"^argument '(\w+)' is of type \w+ and we were unable to convert to \w+: (.*?)\.?$")


def role_options(role: str) -> dict[str, Any]:
    """Return the inputs of a role by name, from the entry point ``main`` of its argument specs."""
    text = (ROLES / role / "meta/argument_specs.yml").read_text(encoding="utf-8")
    specs = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    return dict(specs["argument_specs"]["main"]["options"])


def plain(value: object) -> Any:
    """Return a value in the types of JSON, free of Ansible's own."""
    return json.loads(json.dumps(value, default=str))


def without_none(value: Any, spec: Mapping[str, Any]) -> Any:
    """Return an input without the empty sub-options that the validation adds."""
    options = spec.get("options")
    if not options:
        return value
    if isinstance(value, list):
        return [without_none(item, spec) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: without_none(item, options.get(name, {})) for name, item in value.items() if item is not None
    }


def validated(options: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return typed inputs, and what is wrong with them. No problem shows the value of a secret."""
    result = ArgumentSpecValidator(dict(options)).validate(dict(values), validate_role_argument_spec=True)
    said = remove_values(list(result.error_messages), result._no_log_values)
    problems = [_CONVERSION.sub(r"\1: \2. Correct the value", str(text)) for text in said]
    typed = {name: without_none(result.validated_parameters.get(name), options[name]) for name in options}
    return typed, problems


def renderer(role: str, start: str = "{{", end: str = "}}") -> Render:
    """Return a function that renders a template of the role; an unknown variable raises UndefinedError."""
    environment = Environment(
        variable_start_string=start,
        variable_end_string=end,
        loader=FileSystemLoader(ROLES / role / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - configuration files, not HTML
    )
    environment.filters["to_json"] = lambda value: json.dumps(value, ensure_ascii=False)
    environment.filters["to_nice_yaml"] = lambda value: yaml.safe_dump(
        value, allow_unicode=True, default_flow_style=False, sort_keys=False, width=1000
    )

    def render(template: str, **values: Any) -> str:
        return environment.get_template(template).render(**values)

    return render


class PlanAction(ActionBase):  # type: ignore[misc]
    """Plan a role on its host, or check the inputs that need no host."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    role: ClassVar[str]
    # Module that looks at the host; it returns ``seen``.
    module: ClassVar[str] = "pooled.postgres.host_info"

    def look(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of host_info."""
        raise NotImplementedError

    def problems(self, inputs: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with typed inputs as far as that needs no host."""
        raise NotImplementedError

    def plan(
        self, inputs: Mapping[str, Any], seen: Mapping[str, Any], render: Render, check_mode: bool
    ) -> dict[str, Any]:
        """Return the plan, with all its ``problems``."""
        raise NotImplementedError

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        args = self.validate_argument_spec({"inputs_only": {"type": "bool", "default": False}})[1]
        self.host: str = variables["inventory_hostname"]
        self.variables = variables
        inputs, problems = self.inputs(variables)
        if args["inputs_only"]:
            # Wrongly typed inputs would only confuse the checks that follow.
            return {"changed": False, "problems": problems or self.problems(inputs)}
        if problems:
            return self.refusal(problems)
        outcome = self._execute_module(
            module_name=self.module, module_args=self.look(inputs), task_vars=variables
        )
        if "seen" not in outcome:
            return dict(outcome)
        made = self.plan(inputs, outcome["seen"], renderer(self.role), self._task.check_mode)
        if made["problems"]:
            return self.refusal(made["problems"])
        # The plan holds secrets.
        return {**made, "changed": False, "_ansible_no_log": True}

    def inputs(self, variables: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return the typed inputs of the role, and what is wrong with their types."""
        options, values, problems = role_options(self.role), {}, []
        for name in options:
            if name not in variables:
                continue
            try:
                values[name] = plain(self._templar.template(variables[name]))
            except AnsibleError as error:
                problems.append(f"{name} cannot be read: {error.message}")
        typed, wrong = validated({name: options[name] for name in options if name in values}, values)
        return typed, problems + wrong

    def refusal(self, problems: list[str]) -> dict[str, Any]:
        """Return the failure that names all problems."""
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = "".join(f"\n- {problem}" for problem in problems)
        return {
            "failed": True,
            "msg": f"Failed to plan {self.role} on {self.host}: {count}.{lines}",
            "problems": problems,
        }
