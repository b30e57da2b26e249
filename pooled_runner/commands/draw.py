# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""report: the dashboards as a page."""

from __future__ import annotations

from pooled_runner.project import Document, Project
from pooled_runner.request import Request


def draw(request: Request, project: Project) -> tuple[Document, int]:
    """Write the dashboards as a page; return the document and the exit code."""
    from ansible_collections.pooled.postgres.plugins.module_utils._report import api  # noqa: PLC0415
    from ansible_collections.pooled.postgres.plugins.module_utils._report.errors import (  # noqa: PLC0415
        ReportError,
    )

    document: Document = {"verb": request.verb, "target": request.target, "ok": True, "error": None}
    try:
        path = api.write(project.root, project.state(request.target), request.target, request.since)
    except ReportError as error:
        return document | {"ok": False, "error": str(error), "path": None}, 1
    return document | {"path": str(path)}, 0
