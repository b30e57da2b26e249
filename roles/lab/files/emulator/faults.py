# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults for tests: which calls of the EC2 API get an error as their answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

READING = ("Describe", "Get", "List")


def is_changing(action: str) -> bool:
    """Return whether a call changes something, by its name."""
    return not action.startswith(READING)


@dataclass(frozen=True)
class Fault:
    """Errors for ``count`` calls from the ``call``-th on.

    Counted are the calls named in ``actions``; where it is empty, those that change something. Where
    ``executed`` is true the call is carried out and only its answer is lost. ``status`` is the HTTP status.
    """

    call: int
    code: str
    message: str
    status: int = 400
    executed: bool = False
    count: int = 1
    actions: frozenset[str] = frozenset()

    def counts(self, action: str) -> bool:
        """Return whether a call of this name is one of those that are counted."""
        return action in self.actions if self.actions else is_changing(action)

    def hits(self, number: int) -> bool:
        """Return whether the ``number``-th of the counted calls gets the error."""
        return self.call <= number < self.call + self.count

    def body(self, request_id: str) -> str:
        """Return the error as EC2 words it: XML."""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Response><Errors><Error><Code>{escape(self.code)}</Code>"
            f"<Message>{escape(self.message)}</Message></Error></Errors>"
            f"<RequestID>{escape(request_id)}</RequestID></Response>"
        )


def parse(document: Mapping[str, Any]) -> Fault | None:
    """Return the fault that a JSON document asks for; an empty one asks for none.

    Raises ValueError on a document that asks for something else.
    """
    if not document:
        return None
    unknown = set(document) - set(Fault.__dataclass_fields__)
    if unknown:
        raise ValueError(f"a fault has no {', '.join(sorted(unknown))}")
    code = document.get("code")
    if not isinstance(code, str) or not code:
        raise ValueError("a fault needs a code, such as UnauthorizedOperation")
    actions = document.get("actions", [])
    if not isinstance(actions, list) or not all(isinstance(action, str) for action in actions):
        raise ValueError("actions must be a list of names of calls")
    executed = document.get("executed", False)
    if not isinstance(executed, bool):
        raise ValueError("executed must be true or false")
    return Fault(
        call=_number(document, "call", 1, 1),
        code=code,
        message=str(document.get("message", "An error that a test asked for.")),
        status=_number(document, "status", 400, 400),
        executed=executed,
        count=_number(document, "count", 1, 1),
        actions=frozenset(actions),
    )


def _number(document: Mapping[str, Any], key: str, default: int, least: int) -> int:
    value = document.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{key} must be a whole number from {least} on")
    return value
