# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""up and down."""

from __future__ import annotations

import dataclasses
import sys

from pooled_runner import execute
from pooled_runner.project import Document, Project
from pooled_runner.request import Refusal, Request


def up(request: Request, project: Project) -> tuple[Document, int]:
    """Deploy or update the site; return the run's document and the exit code."""
    document, code = execute.run(request, project)
    document["endpoints"] = project.read(request.target, "outputs.json").get("endpoints", {})
    return document, code


def down(request: Request, project: Project) -> tuple[Document, int]:
    """Remove the target; return the run's document and the exit code."""
    document, code = execute.run(request, project)
    if request.target == "lab" and not (code or request.check):
        # Advice for this lab does not fit the next one.
        project.tuned(request.target).unlink(missing_ok=True)
    return document, code


def confirm_removal(request: Request, project: Project) -> tuple[Document, int] | None:
    """Show what `down` would remove, and ask. Raises Refusal if the answer is no, or without a terminal.

    Returns:
        The outcome of the run in check mode if it failed, else None.
    """
    if not sys.stdin.isatty():
        advice = "add --yes, or --check to see what it would remove"
        raise Refusal(
            f"down --target aws asks before it removes hosts, and stdin is not a terminal: {advice}"
        )
    document, code = execute.run(dataclasses.replace(request, check=True), project)
    if code:
        return document, code
    what = "and the data volumes. " if request.delete_data else "but no data volume. "
    print(f"This removes all of the above, {what}Type yes: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != "yes":
        raise Refusal("not confirmed, nothing was removed")
    return None
