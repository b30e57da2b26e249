# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run by_hand.sh on a pair of bare hosts, and compare what it installed with what the playbooks installed."""

from __future__ import annotations

import subprocess
import time

from bare_hosts import ROOT, BareSite, addresses, ssh
from figures import Run

SCRIPT = ROOT / "benchmarks/by_hand.sh"
# Installed packages and listening addresses.
RESULT = """
dpkg-query --show --showformat '${Package}\\n'
ss --listening --numeric --tcp --no-header | awk '{print "port", $4}'
"""


def configure(site: BareSite) -> Run:
    """Run the script on both hosts at once. Raises RuntimeError with its output if it fails."""
    found = addresses()
    arguments = {site.database: f"database {found[site.load]}", site.load: f"load {found[site.database]}"}
    start = time.monotonic()
    running = []
    for host, words in arguments.items():
        with SCRIPT.open() as script:
            running.append(
                subprocess.Popen(
                    [*ssh(host), f"sudo bash -s {words}"],
                    stdin=script,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
    outputs = [run.communicate()[0] for run in running]
    if any(run.returncode for run in running):
        raise RuntimeError(f"{SCRIPT.name}: " + "\n".join(outputs))
    return Run(time.monotonic() - start)


def compare(ours: BareSite, theirs: BareSite) -> None:
    """Check that both sites have the same packages and ports. Raises RuntimeError with the difference."""
    for one, other in ((ours.database, theirs.database), (ours.load, theirs.load)):
        if difference := _result(one) ^ _result(other):
            raise RuntimeError(f"{one} and {other} differ: {', '.join(sorted(difference))}")


def _result(host: str) -> set[str]:
    run = subprocess.run([*ssh(host), RESULT], capture_output=True, text=True, check=True)
    return {*run.stdout.splitlines()}
