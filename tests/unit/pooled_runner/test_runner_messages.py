# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible's results as text."""

from __future__ import annotations

from typing import Any

import pytest

from pooled_runner import messages


def failed_item(message: str) -> dict[str, Any]:
    """Return the result of one round of a loop."""
    return {"msg": message, "failed": True, "ansible_loop_var": "item"}


HIDDEN = {"censored": "the output has been hidden due to the fact that 'no_log: true' was specified"}

HIDDEN_TEXT = "no_log hides the message. Read the task (r.yml:3) and the service's journal on the host."


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"msg": "no such user", "invocation": {"module_args": {"password": "x"}}}, "no such user"),
        ({"msg": "non-zero return code", "stderr": "a\nb\n"}, "non-zero return code: b"),
        ({"msg": "failed: b", "stderr": "a\nb\n"}, "failed: b"),
        ({"msg": "MODULE FAILURE", "module_stderr": "Killed\n"}, "MODULE FAILURE: Killed"),
        ({"msg": ["one", "two"]}, "one\ntwo"),
        ({"msg": "red \x1b[31mtext\x1b[0m\r"}, "red text"),
        ({}, "no message"),
        (
            {
                "msg": "x",
                "results": [failed_item("y"), {"msg": "z", "ansible_loop_var": "item"}, failed_item("y")],
            },
            "y",
        ),
        ({"msg": "3 transactions failed", "results": [{"failed": 3}, 7]}, "3 transactions failed"),
        (HIDDEN, HIDDEN_TEXT),
        (
            {"msg": "x", "results": [{"msg": "fine"}, HIDDEN]},
            HIDDEN_TEXT,
        ),
    ],
)
def test_failure_text(result: dict[str, Any], expected: str) -> None:
    assert messages.failure_text(result, "r.yml:3") == expected
