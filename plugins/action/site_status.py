# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The status of the site as a file on the controller."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.pooled.postgres.plugins.module_utils._site import status


class ActionModule(ActionBase):  # type: ignore[misc]
    """Write status.json next to outputs.json."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result."""
        super().run(tmp, task_vars)
        params = self.validate_argument_spec(
            {"directory": {"type": "path", "required": True}, "variable": {"type": "str", "required": True}}
        )[1]
        groups, hostvars = (task_vars or {})["groups"], (task_vars or {})["hostvars"]
        database, monitoring = (
            {host: _found(hostvars.raw_get(host), params["variable"]) for host in groups.get(group, [])}
            for group in ("database", "monitoring")
        )
        directory = Path(params["directory"])
        try:
            outputs = json.loads((directory / "outputs.json").read_text(encoding="utf-8"))
            document = status.site_status(outputs, database, monitoring)
            _replace(directory / "status.json", json.dumps(document, indent=4, sort_keys=True) + "\n")
        except (OSError, ValueError, KeyError) as error:
            advice = f"Run site.yml, which writes {directory}/outputs.json."
            return {"failed": True, "msg": f"Failed to write {directory}/status.json: {error}. {advice}"}
        return {"changed": False, "status": document}


def _found(variables: dict[str, Any], name: str) -> dict[str, Any]:
    found = variables.get(name) or {}
    return found if "units" in found else {}


def _replace(path: Path, text: str) -> None:
    """Write a private file in one step."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
