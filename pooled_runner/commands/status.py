# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""status."""

from __future__ import annotations

from pooled_runner import execute
from pooled_runner.project import Document, Project
from pooled_runner.request import Request

NO_STATUS = {"hosts": [], "services": [], "pools": [], "targets": [], "endpoints": {}, "healthy": False}


def status(request: Request, project: Project) -> tuple[Document, int]:
    """Query the target; return its status document and the exit code."""
    # Never show an earlier status as the present one.
    (project.state(request.target) / "status.json").unlink(missing_ok=True)
    outcome, code = execute.run(request, project)
    unknown = NO_STATUS | {"error": "the playbook wrote no status"}
    document = project.read(request.target, "status.json") or unknown
    if outcome["error"]:
        document |= {"healthy": False, "error": outcome["error"]}
    return document, code or int(document.get("healthy") is not True)
