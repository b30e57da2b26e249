# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documents as text."""

from __future__ import annotations

from pooled_runner import events, tables
from pooled_runner.commands.status import NO_STATUS


def test_report() -> None:
    document = {
        "verb": "bench",
        "target": "lab",
        "ok": False,
        "error": "db: Go: no",
        "seconds": 12.34,
        "hosts": {
            "postgres-db-server": dict.fromkeys(events.COUNTERS, 7),
            "db": dict.fromkeys(events.COUNTERS, 10),
        },
        "slowest": [{"task": "postgres : Go", "seconds": 10.5}],
        "failures": [{"host": "db", "task": "Go", "message": "no\nand no"}],
        "endpoints": {"grafana": "http://10.0.1.10:3000"},
        "benchmark": {"schema": 1},
        "report": "/x/latest.html",
        "log": "/x/ansible.log",
    }
    assert tables.report(document, "a table\n") == [
        "host                ok  changed  unreachable  failed  skipped",
        "postgres-db-server   7        7            7       7        7",
        "db                  10       10           10      10       10",
        "",
        "Slowest tasks:",
        "    10.5 s  postgres : Go",
        "",
        "Failed: db: Go",
        "  no",
        "  and no",
        "",
        "Endpoints:",
        "  grafana  http://10.0.1.10:3000",
        "",
        "a table",
        "",
        "Report: /x/latest.html",
        "",
        "bench on lab after 12.3 s: FAILED: db: Go: no",
        "Log: /x/ansible.log",
    ]


def test_status_report() -> None:
    pool = {"cl_active": 2, "database": "d", "host": "db", "maxwait": 0, "other": 7, "process": 1}
    document = {
        "endpoints": {"grafana": "http://x"},
        "healthy": True,
        "hosts": ["db", "mon"],
        "pools": [pool],
        "services": [{"host": "db", "name": "pgbouncer", "state": "running"}, {"host": "db", "name": "x"}],
        "targets": [{"error": "", "host": "db", "job": "node", "up": True}],
    }
    assert tables.status_report(document) == [
        "hosts: db, mon",
        "",
        "pools:",
        "  host  process  database  cl_active  maxwait",
        "  db          1  d                 2        0",
        "",
        "services:",
        "  host  name       state",
        "  db    pgbouncer  running",
        "  db    x",
        "",
        "targets:",
        "  job   host  up   error",
        "  node  db    yes",
        "",
        "endpoints:",
        "  grafana  http://x",
        "",
        "healthy",
    ]
    assert tables.status_report({**NO_STATUS, "error": "why"})[-1] == "NOT HEALTHY: why"
    assert tables.status_report({"healthy": "no", "pools": []}) == ["pools: none", "", "NOT HEALTHY"]
