# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Create or renew the site's CA on the machine that runs the playbook."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.pooled.postgres.plugins.module_utils._certificates import authority
from ansible_collections.pooled.postgres.plugins.module_utils._tls.errors import CertificateError

_SPEC: dict[str, Any] = {
    "directory": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "passphrase": {"type": "str", "default": "", "no_log": True},
    "days": {"type": "int", "required": True},
    "least_days": {"type": "int", "required": True},
}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Do what the module documents, without a connection to the host."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result."""
        super().run(tmp, task_vars)
        params = self.validate_argument_spec(_SPEC)[1]
        wanted = authority.Wanted(
            name=params["name"],
            days=params["days"],
            least_days=params["least_days"],
            now=datetime.now(UTC),
            passphrase=params["passphrase"],
        )
        try:
            changed = authority.ensure(Path(params["directory"]), wanted, self._task.check_mode)
        except CertificateError as error:
            return {"failed": True, "msg": str(error)}
        except OSError as error:
            return {"failed": True, "msg": f"Failed to write the CA in {params['directory']}: {error}."}
        return {
            "changed": bool(changed),
            "files": changed,
            "diff": {"before": "", "after": "".join(f"new {path}\n" for path in changed)},
        }
