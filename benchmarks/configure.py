#!/usr/bin/env python3
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What it costs to configure bare hosts, against a shell script that does the same by hand.

    .venv/bin/python benchmarks/configure.py [--rounds 1]

In each round there are four fresh bare hosts. On a database host and a load generator playbooks/database.yml
runs, on another such pair benchmarks/by_hand.sh, on both at once; who is first changes from round to round.
Both have to end with the same packages and the same ports. Prints medians, their ratio and the slowest tasks.
"""

from __future__ import annotations

import argparse
import subprocess
import time

import bare_hosts

GOAL = 1.5
SCRIPT = bare_hosts.ROOT / "benchmarks/by_hand.sh"
BY_HAND = {bare_hosts.DATABASE: "by-hand-database", bare_hosts.LOAD: "by-hand-load"}
# What is installed, and who listens where.
RESULT = """
dpkg-query --show --showformat '${Package}\\n'
ss --listening --numeric --tcp --no-header | awk '{print "port", $4}'
"""


def by_hand() -> float:
    """Run the script on both of its hosts at once, and return the seconds. Raises RuntimeError."""
    start = time.monotonic()
    arguments = {
        bare_hosts.DATABASE: f"database {bare_hosts.address(BY_HAND[bare_hosts.LOAD])}",
        bare_hosts.LOAD: "load",
    }
    running = []
    for role, host in BY_HAND.items():
        with SCRIPT.open() as script:
            command = [*bare_hosts.ssh(host), f"sudo bash -s {arguments[role]}"]
            running.append(
                subprocess.Popen(
                    command, stdin=script, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
                )
            )
    said = [run.communicate()[0] for run in running]
    if any(run.returncode for run in running):
        raise RuntimeError("by hand: " + "\n".join(said))
    return time.monotonic() - start


def result(host: str) -> set[str]:
    """Return what is installed on a host, and where it listens."""
    run = subprocess.run([*bare_hosts.ssh(host), RESULT], capture_output=True, text=True, check=True)
    return {*run.stdout.splitlines()}


def compare() -> None:
    """Make sure that both ended with the same. Raises RuntimeError with the difference."""
    for ours, theirs in BY_HAND.items():
        if difference := result(ours) ^ result(theirs):
            raise RuntimeError(f"not the same on {ours} and {theirs}: {', '.join(sorted(difference))}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=1, help="how often, on fresh hosts each time (1)")
    rounds = parser.parse_args().rounds
    ours: list[bare_hosts.Run] = []
    theirs: list[float] = []
    for turn in range(rounds):
        bare_hosts.note(f"Round {turn + 1} of {rounds}: making the hosts")
        with bare_hosts.hosts(*BY_HAND.values()):
            for playbook in (True, False) if turn % 2 == 0 else (False, True):
                bare_hosts.note(
                    "Configuring by playbooks/database.yml" if playbook else "Configuring by hand"
                )
                if playbook:
                    ours.append(bare_hosts.site("database.yml"))
                else:
                    theirs.append(by_hand())
            compare()
    median = sorted(ours, key=lambda run: run.seconds)[len(ours) // 2]
    script = sorted(theirs)[len(theirs) // 2]
    print(f"{'run':<36}{'seconds':>9}{'tasks':>8}")
    print(f"{'playbooks/database.yml':<36}{median.seconds:9.1f}{len(median.tasks):8}")
    print(f"{'by hand':<36}{script:9.1f}")
    print(f"\nTo the script: {median.seconds / script:.1f} x (goal: at most {GOAL} x). Slowest tasks:")
    print("\n".join(f"{took:8.2f} s  {task}" for task, took in median.tasks[:15]))


if __name__ == "__main__":
    main()
