#!/usr/bin/env python3
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What our own runs cost, each as a ratio to a bare measurement that is taken in turns with it.

    .venv/bin/python benchmarks/configure.py [--part rerun,users] [--rounds 3] [--json FILE]

part    run                                             beside it
rerun   site.yml again, also with --check               setup of both hosts
users   one password changed by --tags users            setup of both hosts
status  runner.py status                                setup of both hosts
cold    first configuration of bare hosts               by_hand.sh, which does the same
many    50 databases and 200 users, first run, re-run   the small site's first run, re-run
10k     10,000 users added by --tags users              nothing: seconds

rerun, users and status need the lab (make up). cold, many and 10k create bare hosts and remove them. A re-run
that changes something ends the benchmark with exit code 1. A missed goal does not.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import by_hand
from bare_hosts import BareSite, bare_hosts, note
from figures import Figure, in_turns, slowest, table, unchanged
from lab_site import Lab

CONFIGURE = "playbooks/configure.yml"
SETUP = "setup of both hosts"
SLOWEST = 10


def rerun(rounds: int) -> list[Figure]:
    """Measure site.yml without a change, then the same in check mode."""
    lab = Lab()
    figures = [Figure("site.yml again", 8, SETUP), Figure("site.yml again, --check", 8, SETUP)]
    in_turns(figures[0], rounds, lab.setup, lambda: unchanged(lab.playbook("site.yml")))
    in_turns(figures[1], rounds, lab.setup, lambda: unchanged(lab.playbook("site.yml", "--check")))
    return figures


def users(rounds: int) -> list[Figure]:
    """Measure the change of one user's password, while a client holds a connection to each port."""
    lab = Lab()
    try:
        return [
            in_turns(Figure("one password, --tags users", 6, SETUP), rounds, lab.setup, lab.change_password)
        ]
    finally:
        lab.restore_password()


def status(rounds: int) -> list[Figure]:
    """Measure runner.py status."""
    lab = Lab()
    return [in_turns(Figure("runner.py status", 2, SETUP), rounds, lab.setup, lab.status)]


def cold(rounds: int) -> list[Figure]:
    """Measure the first configuration, on fresh hosts in each round; they take turns in going first."""
    figure = Figure("first configuration", 2, "by_hand.sh")
    ours, theirs = BareSite("site"), BareSite("by-hand")
    for turn in range(rounds):
        with bare_hosts([ours, theirs]):
            for playbook in (True, False) if turn % 2 == 0 else (False, True):
                if playbook:
                    figure.runs.append(ours.playbook(CONFIGURE))
                else:
                    figure.bare.append(by_hand.configure(theirs))
            by_hand.compare(ours, theirs)
    return [figure]


def many(rounds: int) -> list[Figure]:
    """Measure 50 databases with 200 users, first and again, beside the small site."""
    small, large = BareSite("small"), BareSite("many", accounts(databases=50, users=200))
    first = Figure("50 databases, 200 users: first", 1.5, "small site, first")
    again = Figure("50 databases, 200 users: again", 1.3, "small site, again")
    with bare_hosts([small, large]):
        in_turns(first, 1, lambda: small.playbook(CONFIGURE), lambda: large.playbook(CONFIGURE))
        in_turns(
            again,
            rounds,
            lambda: unchanged(small.playbook(CONFIGURE)),
            lambda: unchanged(large.playbook(CONFIGURE)),
        )
    return [first, again]


def ten_thousand(rounds: int) -> list[Figure]:
    """Measure 10,000 users who are added to a configured site, then a re-run."""
    site = BareSite("users")
    added = Figure("10,000 users: added", 60)
    again = Figure("10,000 users: again", 60)
    with bare_hosts([site]):
        site.playbook(CONFIGURE)
        site.variables = accounts(databases=1, users=10_000)
        site.write_inventory()
        added.runs.append(site.playbook(CONFIGURE, "--tags=users"))
        again.runs += [unchanged(site.playbook(CONFIGURE, "--tags=users")) for _ in range(rounds)]
    return [added, again]


def accounts(databases: int, users: int) -> dict[str, object]:
    """Return variables of a database host with so many more databases and users, the stats user first."""
    names = [f"shop_{number}" for number in range(databases)]
    people = [
        {"name": f"clerk_{n}", "password": f"password-{n}", "databases": [names[n % databases]]}
        for n in range(users)
    ]
    site = {
        "name": "{{ pooled_user }}",
        "password": "{{ pooled_user_password }}",
        "databases": ["{{ pooled_database }}"],
    }
    stats = {"name": "{{ pooled_stats_user }}", "password": "{{ pooled_stats_password }}", "databases": []}
    return {
        "postgres_databases": ["{{ pooled_database }}", *names],
        "postgres_users": [*people, site],
        "pgbouncer_databases": [{"name": name} for name in ("{{ pooled_database }}", *names)],
        "pgbouncer_users": [stats, *people, site],
        # All pools together must fit into max_connections.
        "pgbouncer_default_pool_size": 1,
        "pgbouncer_max_db_connections": 1,
    }


PARTS: dict[str, Callable[[int], list[Figure]]] = {
    "rerun": rerun,
    "users": users,
    "status": status,
    "cold": cold,
    "many": many,
    "10k": ten_thousand,
}


def main() -> int:
    """Measure and print. Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", default=",".join(PARTS), help="parts, separated by commas (all)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each run has its turn (3)")
    parser.add_argument("--cold-rounds", type=int, default=1, help="the same for cold, on new hosts each (1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to a file")
    parser.add_argument("--slowest", action="store_true", help="also print the slowest tasks of each run")
    inputs = parser.parse_args()
    parts = inputs.part.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    figures: list[Figure] = []
    problems: list[str] = []
    for part in parts:
        note(f"Measuring {part}")
        try:
            figures += PARTS[part](inputs.cold_rounds if part == "cold" else inputs.rounds)
        except RuntimeError as error:
            problems.append(f"Failed to measure {part}: {error}")
            print(problems[-1], file=sys.stderr, flush=True)
    if figures:
        print(table(figures))
    print(f"Load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")
    if inputs.slowest:
        for figure in figures:
            print(f"\n{figure.name}, slowest tasks:\n{slowest(figure, SLOWEST)}")
    if inputs.json:
        document = {"schema": 1, "figures": [figure.document() for figure in figures], "problems": problems}
        inputs.json.write_text(json.dumps(document, indent=2) + "\n")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
