# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""advise."""

from __future__ import annotations

import dataclasses
import shutil

from pooled_runner import execute
from pooled_runner.commands.bench import cause_of
from pooled_runner.project import Document, Project
from pooled_runner.request import ROLL_OUT, Request


def advise(request: Request, project: Project) -> tuple[Document, int]:
    """Measure other pool sizes; with --apply, apply the best one and measure again.

    Returns:
        The document, with the recommendation as ``advice``, and the exit code.
    """
    state = project.state(request.target)
    runs = state / "benchmark/advise-runs.json"
    if not request.check:
        runs.unlink(missing_ok=True)
    before = project.read(request.target, "benchmark/advice.json")
    document, code = restored(request, project, *execute.run(request, project))
    # Never show earlier advice as that of this run.
    advice = project.read(request.target, "benchmark/advice.json")
    document["advice"] = advice if advice != before else None
    kept = project.read(request.target, "benchmark/advise-runs.json")
    if code and kept and not request.check:
        from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import (  # noqa: PLC0415
            advisor,
        )

        document["measured"] = [*advisor.so_far(kept["runs"], kept["present"]), f"The runs are in {runs}."]
    if code or request.check or not request.apply or not document["advice"] or not advice["faster"]:
        return document, code
    return _apply(request, project, advice)


def _apply(request: Request, project: Project, advice: Document) -> tuple[Document, int]:
    """Apply the advice and measure again; return the document and the exit code."""
    tuned = project.tuned(request.target)
    advised = project.state(request.target) / "benchmark/advised.yml"
    former = tuned.read_bytes() if tuned.exists() else None
    shutil.copyfile(advised, tuned)
    document, code = execute.run(dataclasses.replace(request, playbook=ROLL_OUT), project)
    if code:
        if former is None:
            tuned.unlink()
        else:
            tuned.write_bytes(former)
        document["error"] = f"{document['error']}; the advice in {advised} is not applied"
        return document | {"advice": advice}, code
    again = (*request.extra_vars, "advise_measure_again=true")
    request = dataclasses.replace(request, extra_vars=again)
    document, code = restored(request, project, *execute.run(request, project))
    document["advice"] = project.read(request.target, "benchmark/advice.json")
    return document, code


def restored(request: Request, project: Project, document: Document, code: int) -> tuple[Document, int]:
    """Restore PgBouncer's settings if the run ended before it did so; return the run's document and code."""
    marker = project.state(request.target) / "benchmark/advise-unfinished"
    if request.check or not marker.exists():
        return document, code
    after, failed = execute.run(dataclasses.replace(request, playbook=ROLL_OUT, tags=()), project)
    if failed:
        command = f"ansible-playbook -i inventory/{request.target} {ROLL_OUT}"
        text = f"PgBouncer may still run with a trial setting ({after['error']}): run `{command}`"
    else:
        marker.unlink(missing_ok=True)
        text = "PgBouncer's settings are restored"
    return document | {"error": "; ".join(filter(None, (cause_of(document, code), text)))}, code or 1
