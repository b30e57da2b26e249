# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Carry out a command line, and print the outcome.

Progress goes to stderr; a report, or with --json exactly one JSON document, goes to stdout.
Exit codes: 0 success, 1 the run failed, 2 refused and nothing was done, 128 + signal when interrupted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from pooled_runner import tables
from pooled_runner.commands import perform
from pooled_runner.project import Document, Project
from pooled_runner.request import REPORT, Refusal, Request, parse


def main(argv: Sequence[str], project: Project) -> int:
    """Carry out a command line, print the outcome, return the exit code."""
    request = None
    try:
        request = parse(argv)
        document, code = perform(request, project)
    except (Refusal, KeyboardInterrupt) as stop:
        error, code = (str(stop), 2) if isinstance(stop, Refusal) else ("interrupted, nothing was done", 130)
        verb, target = (request.verb, request.target) if request else (None, None)
        if "--json" in argv:
            print(json.dumps({"verb": verb, "target": target, "ok": False, "error": error}))
        else:
            print(f"runner.py: {error}", file=sys.stderr)
        return code
    if request.json:
        print(json.dumps(document, indent=2))
    elif request.verb == REPORT and code:
        # stdout has a path or nothing.
        print(f"runner.py: {document['error']}", file=sys.stderr)
    else:
        print("\n".join(_lines(request, document, project)))
    return code


def _lines(request: Request, document: Document, project: Project) -> list[str]:
    if request.verb == "status":
        return tables.status_report(document)
    if request.compare:
        return [*document["table"], "", f"Report: {document['report']}"]
    if request.verb == REPORT:
        return [document["path"]]
    table = project.state(request.target) / "benchmark" / "latest.txt"
    return tables.report(document, table.read_text(encoding="utf-8") if table.exists() else "")
