# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A site on bare hosts, for what is to be measured of its playbooks: a database host and a load generator."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
STATE = ROOT / ".state/benchmark-hosts"
DATABASE, LOAD = "database-host", "load-host"
_TASK = re.compile(r"^(?:[\w.]+ : )?(.*?) -{3,} +([\d.]+)s$", re.MULTILINE)
_ADDRESS = re.compile(r"^Host (\S+)\n +HostName (\S+)$", re.MULTILINE)


class Run(NamedTuple):
    """What a run took, in seconds, with its tasks from the slowest down, and what it said."""

    seconds: float
    tasks: list[tuple[str, float]]
    output: str

    @property
    def changed(self) -> int:
        """How many tasks changed something, of all hosts."""
        return sum(map(int, re.findall(r" changed=(\d+)", self.output)))


def note(text: str) -> None:
    """Say what is going on, and how busy the machine is."""
    print(f"{text} (load {os.getloadavg()[0]:.1f}) ...", file=sys.stderr, flush=True)


def ansible(program: str, *arguments: str) -> Run:
    """Run one of Ansible's programs on the hosts. Raises RuntimeError with what it said if it fails."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "AWS_"))}
    profile = {
        "ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.profile_tasks",
        "PROFILE_TASKS_TASK_OUTPUT_LIMIT": "all",
    }
    start = time.monotonic()
    run = subprocess.run(
        [str(BIN / program), *arguments, f"--extra-vars=@{STATE / 'variables.json'}"],
        cwd=ROOT,
        env=clean | profile,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - start
    if run.returncode:
        raise RuntimeError(run.stdout[-5000:] + run.stderr[-2000:])
    tasks = [(name.strip(), float(took)) for name, took in _TASK.findall(run.stdout)]
    return Run(seconds, sorted(tasks, key=lambda task: -task[1]), run.stdout)


def site(playbook: str) -> Run:
    """Run a playbook of the site on its hosts."""
    return ansible("ansible-playbook", f"playbooks/{playbook}", *_inventories())


def setup() -> Run:
    """Gather all facts of the site's hosts, and do nothing else."""
    return ansible("ansible", "database:monitoring", "--module-name=ansible.builtin.setup", *_inventories())


def ssh(host: str) -> list[str]:
    """Return the command that is on a host what follows."""
    return ["ssh", "-F", str(STATE / "ssh_config"), host]


def address(host: str) -> str:
    """Return where other hosts reach this one."""
    found: dict[str, str] = dict(_ADDRESS.findall((STATE / "ssh_config").read_text()))
    return found[host]


@contextmanager
def hosts(*strangers: str) -> Iterator[None]:
    """Have fresh hosts: those of the site, and others that are no part of it."""
    STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
    _inventory(strangers, {})
    made = ["--inventory=molecule/hosts/hosts.yml", f"--inventory={STATE / 'inventory.json'}"]
    try:
        ansible("ansible-playbook", "molecule/hosts/create.yml", *made)
        _inventory(strangers, {host: address(host) for host in (DATABASE, LOAD)})
        yield
    finally:
        ansible("ansible-playbook", "molecule/hosts/destroy.yml", *made)


def _inventories() -> list[str]:
    # The site's own groups and variables, on hosts that no API knows.
    return ["--inventory=inventory/aws/hosts.yml", f"--inventory={STATE / 'inventory.json'}"]


def _inventory(strangers: tuple[str, ...], addresses: dict[str, str]) -> None:
    """Write the inventory, and what goes before the variables of the site and of the scenarios."""

    def group(*names: str) -> dict[str, object]:
        return {"hosts": {name: {"pooled_address": addresses[name]} if addresses else {} for name in names}}

    children = {"database": group(DATABASE), "monitoring": group(LOAD)}
    if not addresses:
        children["strangers"] = group(*strangers)
    (STATE / "inventory.json").write_text(json.dumps({"all": {"children": children}}))
    variables = {
        "scenario_state_dir": str(STATE),
        "pooled_state_dir": str(STATE),
        "ansible_control_path_dir": str(STATE / "cp"),
        "ansible_ssh_common_args": f"-F '{STATE / 'ssh_config'}'",
    }
    (STATE / "variables.json").write_text(json.dumps(variables))
