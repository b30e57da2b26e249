#!/usr/bin/env python3
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run costs that finds nothing to do, against no more than a look at the hosts.

    .venv/bin/python benchmarks/rerun.py [--rounds 3]

Configures fresh bare hosts by playbooks/database.yml, and then takes turns: the same playbook once more,
which must change nothing, and `ansible -m setup` on both hosts. Prints medians, their ratio and the slowest
tasks.
"""

from __future__ import annotations

import argparse
import statistics

import bare_hosts

GOAL = 5.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each has its turn (3)")
    rounds = parser.parse_args().rounds
    again, looks = [], []
    bare_hosts.note("Making the hosts")
    with bare_hosts.hosts():
        bare_hosts.note("Configuring them")
        bare_hosts.site("database.yml")
        for turn in range(rounds):
            bare_hosts.note(f"Turn {turn + 1} of {rounds}")
            looks.append(bare_hosts.setup().seconds)
            again.append(bare_hosts.site("database.yml"))
            if again[-1].changed:
                raise RuntimeError(f"the run changed something:\n{again[-1].output}")
    median = sorted(again, key=lambda run: run.seconds)[len(again) // 2]
    look = statistics.median(looks)
    print(f"{'run':<36}{'seconds':>9}{'tasks':>8}")
    print(f"{'playbooks/database.yml again':<36}{median.seconds:9.1f}{len(median.tasks):8}")
    print(f"{'setup of both hosts':<36}{look:9.1f}{1:8}")
    print(f"\nTo the setup: {median.seconds / look:.1f} x (goal: at most {GOAL:.0f} x). Slowest tasks:")
    print("\n".join(f"{took:8.2f} s  {task}" for task, took in median.tasks[:15]))


if __name__ == "__main__":
    main()
