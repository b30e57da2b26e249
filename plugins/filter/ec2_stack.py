# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters that tell what becomes of a stack before anything is done to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.pooled.postgres.plugins.module_utils._ec2_stack import plan, wanted


def _failing(verb: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with what it stumbles over as Ansible's own error."""

    def wrapped(*args: Any) -> Any:
        try:
            return function(*args)
        except KeyError as exc:
            raise AnsibleFilterError(f"Failed to {verb}: {exc} is missing") from exc
        except (AttributeError, TypeError, ValueError) as exc:
            raise AnsibleFilterError(f"Failed to {verb}: {exc}") from exc

    return wrapped


class FilterModule:
    """Filters on stacks."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "stack_plan": _failing("compare the stack with what is wanted", plan.stack_plan),
            "stack_problems": _failing("read the inputs of the stack", wanted.input_problems),
            "stack_wanted": _failing("read the inputs of the stack", wanted.stack_wanted),
            "teardown_order": _failing("order the security groups", plan.teardown_order),
        }
