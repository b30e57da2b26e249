# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sites to measure: the running lab, and pairs of bare hosts (a database host and a load generator)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from figures import Run

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
STATE = ROOT / ".state/benchmark-hosts"
_ADDRESS = re.compile(r"^Host (\S+)\n +HostName (\S+)$", re.MULTILINE)


def note(text: str) -> None:
    """Print a step and the load of the machine to stderr."""
    print(f"{text} (load {os.getloadavg()[0]:.1f}) ...", file=sys.stderr, flush=True)


def command(*arguments: str) -> Run:
    """Run a program in the checkout. Raises RuntimeError with its output if it fails."""
    # Only what the checkout configures, and each task with its seconds.
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "AWS_"))
    }
    environment["ANSIBLE_CALLBACKS_ENABLED"] = "ansible.posix.profile_tasks"
    environment["PROFILE_TASKS_TASK_OUTPUT_LIMIT"] = "all"
    start = time.monotonic()
    run = subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - start
    if run.returncode:
        raise RuntimeError(f"{' '.join(arguments)}\n{run.stdout[-5000:]}{run.stderr[-2000:]}")
    return Run(seconds, run.stdout)


class Site:
    """Hosts with an inventory, whose playbooks can be run."""

    def __init__(self, *inventory: str) -> None:
        self.inventory = inventory

    def playbook(self, name: str, *arguments: str) -> Run:
        """Run a playbook of the checkout."""
        return command(str(BIN / "ansible-playbook"), name, *self.inventory, *arguments)

    def setup(self) -> Run:
        """Gather all facts of the site's hosts, and nothing else."""
        module = "--module-name=ansible.builtin.setup"
        return command(str(BIN / "ansible"), "database:monitoring", module, *self.inventory)


class BareSite(Site):
    """A pair of bare hosts.

    Args:
        name: what the hosts' names begin with.
        variables: of the database host; they take precedence over the site's group variables.
    """

    def __init__(self, name: str, variables: Mapping[str, Any] | None = None) -> None:
        self.database, self.load = f"{name}-database", f"{name}-load"
        self.variables = variables or {}
        self._file = STATE / f"{name}.json"
        extra = {
            "pooled_state_dir": str(STATE / name),
            "ansible_control_path_dir": str(STATE / "cp"),
            "ansible_ssh_common_args": f"-F '{STATE / 'ssh_config'}'",
        }
        super().__init__(
            "--inventory=inventory/aws/hosts.yml",
            f"--inventory={self._file}",
            f"--extra-vars={json.dumps(extra)}",
        )

    def write_inventory(self) -> None:
        """Write the inventory. The hosts must run, because it holds their addresses."""
        found = addresses()
        database = {**self.variables, "pooled_address": found[self.database]}
        children = {
            "database": {"hosts": {self.database: database}},
            "monitoring": {"hosts": {self.load: {"pooled_address": found[self.load]}}},
        }
        self._file.write_text(json.dumps({"all": {"children": children}}))


def ssh(host: str) -> list[str]:
    """Return the command line that runs what follows on a host."""
    return ["ssh", "-F", str(STATE / "ssh_config"), host]


def addresses() -> dict[str, str]:
    """Return the address of each bare host."""
    return dict(_ADDRESS.findall((STATE / "ssh_config").read_text()))


@contextmanager
def bare_hosts(sites: Sequence[BareSite]) -> Iterator[None]:
    """Create the hosts of sites, as containers of the lab's image, and remove them at the end."""
    STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = [name for site in sites for name in (site.database, site.load)]
    inventory = STATE / "hosts.json"
    inventory.write_text(json.dumps({"all": {"hosts": {name: {} for name in names}}}))
    arguments = (
        "--inventory=molecule/hosts/hosts.yml",
        f"--inventory={inventory}",
        f"--extra-vars={json.dumps({'scenario_state_dir': str(STATE)})}",
    )
    playbook = str(BIN / "ansible-playbook")
    try:
        command(playbook, "molecule/hosts/create.yml", *arguments)
        for site in sites:
            site.write_inventory()
        yield
    finally:
        command(playbook, "molecule/hosts/destroy.yml", *arguments)
