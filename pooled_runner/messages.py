# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible's results as text for people. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")


def lines_of(value: object) -> list[str]:
    """Return a message of any type as lines without control characters."""
    if isinstance(value, list):
        return [line for item in value for line in lines_of(item)]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return [_CONTROL.sub("", line) for line in text.splitlines()]


def failure_text(result: Mapping[str, Any], task_path: str) -> str:
    """Return the message of a failed result, and the last line of its stderr if that adds something.

    Args:
        result: the event's `res`. For a loop, the messages of its failed items are returned.
        task_path: file and line of the task, for a result that no_log hides.
    """
    # A module may return `results` and `failed` of its own; Ansible marks those of a loop.
    items = [one for one in result.get("results") or [] if isinstance(one, dict)]
    items = [one for one in items if "censored" in one or ("ansible_loop_var" in one and one.get("failed"))]
    if items:
        return "\n".join(dict.fromkeys(failure_text(item, task_path) for item in items))
    if "censored" in result:
        return f"no_log hides the message. Read the task ({task_path}) and the service's journal on the host."
    text = "\n".join(lines_of(result.get("msg") or "no message"))
    details = lines_of((result.get("stderr") or result.get("module_stderr") or "").strip())
    return f"{text}: {details[-1].strip()}" if details and details[-1].strip() not in text else text
