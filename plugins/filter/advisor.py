# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters of the advisor: its thinking, outside of Jinja."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import advisor


def advice(
    runs: Sequence[Mapping[str, Any]],
    present: Mapping[str, int],
    site: Mapping[str, Any],
    how: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the advice as a document, with its ``table`` and the ``inventory`` as text; see the model."""
    measured = advisor.points(runs)
    try:
        found = advisor.advise(measured, present, site, int(how["clients"]))
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error
    return {
        "schema": 1,
        "how": dict(how),
        "present": dict(present),
        **found._asdict(),
        "points": [point._asdict() for point in measured],
        "table": advisor.table(measured, present, found.recommended),
        "inventory": advisor.inventory(found, how),
    }


def advice_applied(
    runs: Sequence[Mapping[str, Any]], document: Mapping[str, Any], found: Mapping[str, int]
) -> str:
    """Return what the measurement after the roll-out says; see the model."""
    before = next(
        advisor.Point(**point)
        for point in document["points"]
        if all(point[name] == document["present"][name] for name in ("default_pool_size", "processes"))
    )
    return advisor.applied(before, advisor.points(runs)[0], document["recommended"], found)


class FilterModule:
    """Filters of the advisor."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "advice": advice,
            "advice_applied": advice_applied,
            "advice_problems": advisor.problems,
            "advice_run": advisor.run,
            "advice_steps": advisor.steps,
        }
