#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write the JSON of the dashboards, which the role monitoring installs: python -m dashboards.build"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards import benchmark, hosts, pooling, postgresql

FOLDER = Path(__file__).resolve().parent.parent / "roles/monitoring/files/dashboards"
BUILDERS = {
    module.__name__.rpartition(".")[2]: module.build for module in (pooling, postgresql, hosts, benchmark)
}


def text(board: Dashboard) -> str:
    """Return a dashboard as JSON, its panels numbered in their order."""
    model = board.build()
    for number, panel in enumerate(model.panels or [], 1):
        panel.id_val = number
    document = json.loads(JSONEncoder().encode(model))
    for one in [*document["links"], *document["annotations"].get("list", [])]:
        # The SDK only knows the placement in a menu; without it they are above the panels.
        del one["placement"]
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write the files. Returns the exit code."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, build in BUILDERS.items():
        (FOLDER / f"{name}.json").write_text(text(build()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
