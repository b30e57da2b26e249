"""The lab survives a killed emulator, a stopped host, a lost host and an interrupted run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lab import Lab, wait
from real_hosts import Run
from watch import Watch

# Limit in seconds for a started host to serve on a busy machine.
SOON = 60
STRAY = "pooled-stray"


def podman(*arguments: str) -> str:
    """Run podman and return its output."""
    return subprocess.run(["podman", *arguments], capture_output=True, text=True, check=True).stdout


def containers(lab: Lab) -> dict[str, str]:
    """Return the ids of the lab's running containers by name."""
    owned = ("--filter", "label=pooled_lab_instance", "--filter", f"label=pooled_lab_owner={lab.state}")
    rows = podman("ps", *owned, "--format", "{{.Names}} {{.ID}}").splitlines()
    return dict(row.split() for row in rows)


def kept_row(lab: Lab) -> str:
    """Return a row that identifies this database."""
    query = "CREATE TABLE IF NOT EXISTS kept (at timestamptz DEFAULT now()); INSERT INTO kept DEFAULT VALUES;"
    result = lab.ssh(lab.database, f'sudo -u postgres psql -qAt -c "{query} SELECT min(at) FROM kept"')
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@dataclass(frozen=True)
class Seen:
    """The state of the lab: its outputs, containers and a row of its database."""

    facts: dict[str, Any]
    containers: dict[str, str]
    row: str


def see(lab: Lab) -> Seen:
    return Seen(lab.facts(), containers(lab), kept_row(lab))


@dataclass(frozen=True)
class Accident:
    """The lab before an accident, and the run that repaired it."""

    before: Seen
    recovery: Run


@pytest.fixture(scope="module")
def accident(lab: Lab) -> Accident:
    """Kill the emulator, stop a host, and add a container of an unknown instance; then run the playbooks."""
    before = see(lab)
    os.kill(int((lab.state / "emulator/pid").read_text()), signal.SIGKILL)
    podman("stop", "--time", "5", f"pooled-{lab.database}")
    assert lab.login(6432, lab.password()) != "ok"
    labels = (f"pooled_lab_owner={lab.state}", "pooled_lab_instance=i-gone")
    image = podman("images", "--quiet", "--filter", "reference=localhost/pooled-host").split()[0]
    podman("create", "--name", STRAY, *(f"--label={label}" for label in labels), image, "/sbin/init")
    started = lab.playbook("playbooks/lab.yml")
    assert started.returncode == 0, started.stdout[-3000:] + started.stderr[-3000:]
    recovery = lab.playbook("playbooks/provision.yml", "--skip-tags", "lab")
    assert recovery.returncode == 0, recovery.stdout[-3000:]
    return Accident(before, recovery)


def test_a_killed_emulator_restarts_with_the_same_account(lab: Lab, accident: Accident) -> None:
    assert "nothing to do" in accident.recovery.stdout
    assert lab.facts() == accident.before.facts


def test_a_stopped_host_starts_with_its_data(lab: Lab, accident: Accident) -> None:
    wait(lambda: lab.login(6432, lab.password()) == "ok", SOON)
    assert containers(lab) == accident.before.containers
    assert kept_row(lab) == accident.before.row


def test_the_container_of_an_unknown_instance_is_removed(accident: Accident) -> None:
    assert accident.recovery.returncode == 0
    assert STRAY not in podman("ps", "--all", "--format", "{{.Names}}").split()


def test_a_lost_host_is_rebuilt_and_takes_over_its_data(lab: Lab, ec2: Any, accident: Accident) -> None:
    row, lost = kept_row(lab), lab.facts()["instance_ids"][lab.database]
    ec2.terminate_instances(InstanceIds=[lost])
    rebuilt = lab.runner("up")
    assert rebuilt.returncode == 0, rebuilt.stdout[-3000:]
    assert lab.facts()["instance_ids"][lab.database] != lost
    wait(lambda: lab.login(6432, lab.password()) == "ok", SOON)
    assert kept_row(lab) == row


@dataclass(frozen=True)
class Interruption:
    """An interrupted run, the processes that it left, and the next run."""

    before: Seen
    code: int
    orphans: list[str]
    again: Run
    watch: Watch


@pytest.fixture(scope="module")
def interruption(lab: Lab, secrets: list[bytes]) -> Interruption:
    """Interrupt a run between the emulator's start and its replay, which leaves the account empty."""
    before = see(lab)
    query = "SET ROLE myuser; CREATE TABLE IF NOT EXISTS own (id serial)"
    assert lab.ssh(lab.database, f'sudo -u postgres psql -q mydb -c "{query}"').returncode == 0
    process = subprocess.Popen(
        [sys.executable, "runner.py", "up"],
        cwd=lab.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    for line in process.stderr:
        if "Create the infrastructure" in line:
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=240)
    orphans = [str(pid) for pid in Path("/proc").glob("[0-9]*") if _works_on(pid, lab.root)]
    (lab.state / "emulator/pid").unlink()
    with Watch(secrets) as watch:
        again = lab.runner("up", "--json")
    assert again.returncode == 0, again.stderr[-3000:]
    return Interruption(before, process.returncode, orphans, again, watch)


def _works_on(process: Path, root: Path) -> bool:
    try:
        runs = "inventory/lab" in (process / "cmdline").read_text()
        return runs and (process / "cwd").readlink() == root
    except OSError:
        return False


def test_an_interrupted_run_ends_with_130_and_leaves_no_process(interruption: Interruption) -> None:
    assert interruption.code == 130
    assert interruption.orphans == []


def test_a_half_started_emulator_is_started_again(lab: Lab, interruption: Interruption) -> None:
    assert lab.facts() == interruption.before.facts
    assert containers(lab) == interruption.before.containers
    assert kept_row(lab) == interruption.before.row


def test_the_next_run_changes_nothing_on_the_hosts(lab: Lab, interruption: Interruption) -> None:
    """A user who owns a table needs no grant on it."""
    counts = json.loads(interruption.again.stdout)["hosts"]
    assert {host: counts[host]["changed"] for host in (lab.database, lab.monitoring)} == {
        lab.database: 0,
        lab.monitoring: 0,
    }


def test_a_run_of_the_site_shows_no_password(
    lab: Lab, interruption: Interruption, secrets: list[bytes]
) -> None:
    assert interruption.watch.looked_at > 100
    assert interruption.watch.found == set()
    printed = (interruption.again.stdout + interruption.again.stderr).encode()
    assert not any(secret in printed for secret in secrets)
    assert lab.kept_with(secrets) == []
