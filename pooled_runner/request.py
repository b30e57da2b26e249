# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Command lines: what the user asks for, and the ansible-playbook runs that it needs. No I/O but stat."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

VERBS = {
    "up": "site.yml",
    "bench": "playbooks/benchmark.yml",
    "advise": "playbooks/advise.yml",
    "status": "playbooks/status.yml",
    "down": "playbooks/teardown.yml",
}
_HELP = {
    "up": "deploy or update the site",
    "bench": "compare PostgreSQL directly with PostgreSQL behind PgBouncer",
    "status": "show services, pools, scrape targets and endpoints",
    "report": "draw the dashboards as a page",
    "advise": "find the best pool size and number of processes",
    "down": "remove the target",
}
# Runs no playbook: it queries Prometheus.
REPORT = "report"
BENCH = "bench"
ADVISE = "advise"
# Verbs that change a target. Each takes the target's lock, unless it only checks.
CHANGING = ("up", BENCH, ADVISE, "down")
# Applies the inventory to the database hosts.
ROLL_OUT = "playbooks/database.yml"
COLLECT = "playbooks/benchmark_results.yml"
PLANS = ("quick", "standard", "tutorial")
TARGETS = ("lab", "aws")


class Refusal(Exception):
    """A request that can't be carried out. Nothing was changed; the text says what to do instead."""


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    verb: str
    target: str = "lab"
    json: bool = False
    check: bool = False
    tags: Sequence[str] = ()
    extra_vars: Sequence[str] = ()
    yes: bool = False
    delete_data: bool = False
    since: int = 3600
    plan: str = ""
    compare: Sequence[Path] = ()
    collect: bool = False  # the results of an interrupted benchmark
    apply: bool = False
    playbook: str = ""  # instead of the verb's

    @property
    def must_be_confirmed(self) -> bool:
        """Whether this removes AWS resources and perhaps the only copy of data without `--yes`."""
        return (self.verb, self.target) == ("down", "aws") and not (self.yes or self.check)

    @property
    def changes_target(self) -> bool:
        """Whether this changes the target, so that it needs the lock."""
        return self.verb in CHANGING and not (self.check or self.compare)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Refusal(f"{message} (see --help)")


def _tags(value: str) -> list[str]:
    names = value.split(",")
    if not all(re.fullmatch(r"\w[\w.:-]*", name) for name in names):
        raise argparse.ArgumentTypeError(f"{value!r} is not a list of tags such as users,config")
    return names


def _since(value: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,5}[smhd]", value):
        raise argparse.ArgumentTypeError(f"{value!r} is not a time such as 30m, 1h or 2d")
    return int(value[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[value[-1]]


def _extra_vars(value: str) -> str:
    if value.startswith("@"):
        # ansible-playbook runs in the checkout, so a relative path must become absolute.
        path = Path(value[1:]).expanduser().absolute()
        if not path.is_file():
            raise argparse.ArgumentTypeError(f"the file {path} does not exist")
        return f"@{path}"
    if value.startswith("{"):
        with contextlib.suppress(ValueError):
            if isinstance(json.loads(value), dict):
                return value
    elif re.match(r"[A-Za-z_]\w*=", value):
        return value
    # The message leaves the value out: it may be part of a secret.
    raise argparse.ArgumentTypeError("expected NAME=VALUE, @FILE or a JSON object")


def _plan(value: str) -> str:
    return value if value in ("", *PLANS) else str(Path(value).expanduser().absolute())


def parse(argv: Sequence[str]) -> Request:
    """Return what a command line asks for. Raises Refusal if it is unknown or malformed."""
    text = "\n".join(f"  {verb:8}{does}" for verb, does in _HELP.items())
    parser = _Parser(
        prog="runner.py",
        description=f"Run the playbooks from a script.\n\nverbs:\n{text}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("verb", choices=_HELP, help="see above")
    add("--target", choices=TARGETS, default="lab", help="where (default: %(default)s, which costs nothing)")
    add("--json", action="store_true", help="print one JSON document on stdout and nothing else")
    add("--check", action="store_true", help="change nothing, show what would change")
    add("--tags", type=_tags, action="extend", default=[], metavar="A,B", help="run only these parts")
    text = "variables for the playbooks: NAME=VALUE, or @FILE, which keeps secrets out of the process list"
    add("-e", "--extra-vars", type=_extra_vars, action="append", default=[], metavar="VARS", help=text)
    add("--yes", action="store_true", help="down: remove the hosts on aws without asking")
    add("--delete-data", action="store_true", help="down: remove the data volumes on aws, too")
    add("--apply", action="store_true", help="advise: apply the recommended settings, and measure again")
    text = "report: the time that its charts show, such as 30m or 2d (default: 1h)"
    add("--since", type=_since, default=Request.since, metavar="TIME", help=text)
    text = f"bench: the plan, {', '.join(PLANS)} or a YAML file (default: {PLANS[0]})"
    add("--plan", type=_plan, default=Request.plan, metavar="PLAN", help=text)
    text = "bench: run nothing, compare result B with result A"
    add("--compare", type=Path, nargs=2, default=Request.compare, metavar=("A.json", "B.json"), help=text)
    request = Request(**vars(parser.parse_args(argv)))
    for name, verb in (("plan", BENCH), ("compare", BENCH), ("apply", ADVISE)):
        if request.verb != verb and getattr(request, name) != getattr(Request, name):
            raise Refusal(f"--{name} belongs to {verb} (see --help)")
    return request


def command_lines(request: Request) -> list[list[str]]:
    """Return the arguments of each ansible-playbook run that the request needs, in order."""
    options = [part for given in request.extra_vars for part in ("-e", given)]
    if request.delete_data:
        options += ["-e", "infrastructure_delete_data=true"]
    if request.check and request.verb != "status":
        options += ["--check", "--diff"] if request.verb == "up" else ["--check"]
    if request.plan:
        # As JSON: a path may contain spaces.
        name = "benchmark_plan" if request.plan in PLANS else "benchmark_plan_file"
        options += ["-e", json.dumps({name: request.plan})]
    tags = ["--tags", ",".join(request.tags)] if request.tags else []
    inventory = f"inventory/{request.target}"
    if (request.verb, request.target) == ("down", "lab"):
        # The static half of the inventory is enough to remove the lab, and its API may be down already.
        inventory += "/hosts.yml"
    if request.collect:
        return [["-i", inventory, *options, "-e", "benchmark_complete=false", COLLECT]]
    runs = [["-i", inventory, *options, *tags, request.playbook or VERBS[request.verb]]]
    if request.verb == "up" and request.target == "lab":
        # The dynamic inventory queries the emulated API, which lab.yml starts. Tags choose parts of the site,
        # not of the lab.
        runs.insert(0, ["-i", "inventory/lab/hosts.yml", *options, "playbooks/lab.yml"])
        runs[1] += ["--skip-tags", "lab"]
    return runs
