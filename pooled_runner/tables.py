# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documents as text for people. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pooled_runner.events import COUNTERS
from pooled_runner.messages import lines_of
from pooled_runner.project import Document

# --json has all columns.
_STATUS_COLUMNS = {
    "services": ("host", "name", "state", "version"),
    "pools": (
        *("host", "process", "database", "user", "pool_mode"),
        *("cl_active", "cl_waiting", "maxwait", "sv_active", "sv_idle", "sv_used"),
    ),
    "targets": ("job", "host", "instance", "up", "error"),
}


def columns(rows: Iterable[Sequence[object]], indent: str = "  ") -> list[str]:
    """Return rows of equal length as aligned lines, with numbers at the right of their column."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        pairs = zip(row, widths, strict=True)
        lines.append(indent + "  ".join(c.rjust(w) if c.isdigit() else c.ljust(w) for c, w in pairs).rstrip())
    return lines


def report(document: Document, table: str) -> list[str]:
    """Return the document of up, bench, advise or down as lines; `table` is the benchmark's."""
    hosts = ((host, *counts.values()) for host, counts in document["hosts"].items())
    lines = columns([("host", *COUNTERS), *hosts], "")
    lines += ["", "Slowest tasks:"] if document["slowest"] else []
    lines += columns((f"{one['seconds']:6.1f} s", one["task"]) for one in document["slowest"])
    for one in document["failures"]:
        text = [f"  {line}" for line in lines_of(one["message"])]
        lines += ["", f"Failed: {one['host']}: {one['task']}", *text]
    if document.get("endpoints"):
        lines += ["", "Endpoints:", *columns(document["endpoints"].items())]
    if document.get("advice"):
        lines += ["", *document["advice"]["table"], "", *document["advice"]["answer"]]
        lines += [document["advice"][name] for name in ("applied",) if name in document["advice"]]
    lines += ["", *document["measured"]] if "measured" in document else []
    if document.get("benchmark"):
        lines += ["", *table.splitlines(), "", f"Report: {document['report']}"]
    verdict = "ok" if document["ok"] else f"FAILED: {document['error']}"
    lines += ["", f"{document['verb']} on {document['target']} after {document['seconds']:.1f} s: {verdict}"]
    return [*lines, f"Log: {document['log']}"] if document["log"] else lines


def status_report(document: Document) -> list[str]:
    """Return a status document as lines. A list of records becomes a table of its main columns."""
    lines = []
    for title in sorted(document, key=lambda title: (title == "endpoints", title)):
        found = document[title]
        if isinstance(found, list) and found and isinstance(found[0], dict):
            names = [name for name in _STATUS_COLUMNS.get(title, found[0]) if name in found[0]]
            rows = [names, *([_cell(one.get(name)) for name in names] for one in found)]
            lines += [f"{title}:", *columns(rows), ""]
        elif isinstance(found, dict):
            lines += [f"{title}:", *columns(found.items()), ""]
        elif isinstance(found, list):
            lines += [f"{title}: {', '.join(map(str, found)) or 'none'}", ""]
    verdict = "healthy" if document.get("healthy") is True else "NOT HEALTHY"
    return [*lines, f"{verdict}: {document['error']}" if document.get("error") else verdict]


def _cell(value: object) -> object:
    return {True: "yes", False: "no", None: ""}.get(value, value) if isinstance(value, bool | None) else value
