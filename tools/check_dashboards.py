#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run every query of every dashboard against a Prometheus and report queries without data.

dashboards/without_data.yml lists the queries that cannot have data, each with its reason. Exceptions that do
have data are reported, too.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import yaml
from ansible_collections.pooled.postgres.plugins.module_utils._report import api
from ansible_collections.pooled.postgres.plugins.module_utils._report.errors import ReportError
from ansible_collections.pooled.postgres.plugins.module_utils._report.panels import Window

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Check the dashboards. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prometheus", nargs="?", default="127.0.0.1:9090", help="default: %(default)s")
    parser.add_argument("--since", type=int, default=600, metavar="SECONDS", help="default: %(default)s")
    options = parser.parse_args()
    now = time.time()
    folder = ROOT / "roles/monitoring/files/dashboards"
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    exceptions = yaml.safe_load((ROOT / "dashboards/without_data.yml").read_text(encoding="utf-8"))
    prometheus = api.Prometheus(options.prometheus)
    try:
        found = api.check(prometheus, documents, exceptions, Window.of(now - options.since, now))
    except ReportError as error:
        sys.exit(str(error))
    for query in found.missing:
        print(f"no data: {query}")
    for text in found.stale:
        print(f"unneeded exception: {text}")
    return int(not found.complete)


if __name__ == "__main__":
    sys.exit(main())
