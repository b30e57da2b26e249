# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""bench."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path

from pooled_runner import execute
from pooled_runner.project import Document, Project
from pooled_runner.request import Refusal, Request


def bench(request: Request, project: Project) -> tuple[Document, int]:
    """Run a benchmark; return its document and the exit code. An interrupted one has a result, too."""
    unfinished = project.unfinished(request.target)
    if unfinished.exists() and not request.check:
        _say("an earlier benchmark was killed; its results are kept")
        salvage(unfinished)
        shutil.rmtree(unfinished, ignore_errors=True)
    before = project.read(request.target, "benchmark/latest.json")
    document, code = execute.run(request, project)
    if unfinished.exists() and not request.check:
        _say("the benchmark ended early; collecting its results")
        execute.run(dataclasses.replace(request, collect=True), project)
        salvage(unfinished)
    # Never show an earlier benchmark as the result of one that failed or only checked.
    latest = project.read(request.target, "benchmark/latest.json")
    document["benchmark"] = latest if latest != before else None
    page = project.state(request.target) / "benchmark/latest.html"
    document["report"] = str(page) if document["benchmark"] else None
    if document["error"] and document["benchmark"]:
        document["error"] = f"{cause_of(document, code)}; the results until then are kept"
    return document, code


def cause_of(document: Document, code: int) -> str | None:
    """Return why a measurement ended early. The next one starts from the beginning, unlike other verbs."""
    error: str | None = document["error"]
    return "interrupted; all its processes have ended" if code > 128 else error


def salvage(unfinished: Path) -> None:
    """Turn the partial results of a benchmark into a result if its own collection did not finish."""
    if not unfinished.exists():
        return
    from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import api  # noqa: PLC0415
    from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.errors import (  # noqa: PLC0415
        BenchmarkError,
    )

    try:
        api.finish(unfinished.parent, [], complete=False)
    except BenchmarkError as error:
        _say(str(error))


def compare(request: Request, project: Project) -> tuple[Document, int]:
    """Compare two results; return the document and the exit code. Raises Refusal for other files."""
    from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import api  # noqa: PLC0415
    from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import (  # noqa: PLC0415
        compare as comparing,
    )
    from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.errors import (  # noqa: PLC0415
        BenchmarkError,
    )

    try:
        comparison = comparing.compare(*(api.read_result(path) for path in request.compare))
        page = api.write_comparison(project.state(request.target) / "benchmark", comparison)
    except BenchmarkError as error:
        raise Refusal(str(error)) from None
    document: Document = {"verb": request.verb, "target": request.target, "ok": True, "error": None}
    found = {"comparison": comparison, "table": comparing.table(comparison), "report": str(page)}
    return document | found, 0


def _say(text: str) -> None:
    print(f"runner.py: {text}", file=sys.stderr, flush=True)
