# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lock of a target, held by the run's main process."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.pooled.postgres.plugins.module_utils._site import lock


class ActionModule(ActionBase):  # type: ignore[misc]
    """Take the lock on the controller."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result."""
        super().run(tmp, task_vars)
        params = self.validate_argument_spec({"directory": {"type": "path", "required": True}})[1]
        if self._task.check_mode:
            return {"changed": False}
        directory = Path(params["directory"])
        # A task runs in a forked worker, which ends with it.
        main = os.getppid() if multiprocessing.parent_process() else os.getpid()
        try:
            holder = lock.take(directory, directory.name, main)
        except lock.LockError as error:
            return {"failed": True, "msg": str(error)}
        return {
            "changed": False,
            "holder": {"pid": holder.pid, "command": holder.command, "since": holder.since},
        }
