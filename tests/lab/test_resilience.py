"""What the lab survives: a killed emulator, a stopped host, an interrupted run; and what changes what."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab import Lab, Run

Unchanged = Callable[[Run], bool]


def _containers() -> dict[str, str]:
    """Return the ids of the lab's containers by name."""
    rows = _names("ps", "--format", "{{.Names}} {{.ID}}")
    return dict(row.split() for row in rows if row.startswith("pooled-"))


def _counted(lab: Lab) -> str:
    """Return a row that only this database has."""
    query = (
        "CREATE TABLE IF NOT EXISTS kept (at timestamptz DEFAULT now()); INSERT INTO kept DEFAULT VALUES; "
    )
    result = lab.ssh(lab.database, f'sudo -u postgres psql -qAt -c "{query} SELECT min(at) FROM kept"')
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_an_emulator_that_never_came_up_is_started_anew(lab: Lab) -> None:
    """Interrupted between the emulator's start and its replay, a run leaves an empty account behind."""
    (lab.state / "emulator/pid").unlink()
    started = lab.playbook("playbooks/lab.yml")
    assert started.returncode == 0, started.stdout[-3000:] + started.stderr[-3000:]
    inventory = lab.run("ansible-inventory", "-i", "inventory/lab", "--list")
    assert set(lab.facts()["private_addresses"]) == set(json.loads(inventory.stdout)["aws_ec2"]["hosts"])


def test_a_stopped_host_is_started_and_a_stray_one_is_removed(lab: Lab) -> None:
    row, hosts = _counted(lab), _containers()
    subprocess.run(
        ["podman", "stop", "--time", "5", f"pooled-{lab.database}"], check=True, capture_output=True
    )
    assert lab.login(6432, lab.password()) != "ok"
    # The host of an instance that the API does not know any more.
    labels = {"pooled_lab_owner": str(lab.state), "pooled_lab_instance": "i-gone"}
    options = [part for name, value in labels.items() for part in ("--label", f"{name}={value}")]
    subprocess.run(
        ["podman", "create", "--name", "pooled-stray", *options, _image(), "/sbin/init"],
        check=True,
        capture_output=True,
    )
    result = lab.playbook("playbooks/provision.yml", "--skip-tags", "lab,infrastructure")
    assert result.returncode == 0, result.stdout[-3000:]
    deadline = time.monotonic() + 60
    while (answer := lab.login(6432, lab.password())) != "ok" and time.monotonic() < deadline:
        time.sleep(1)
    assert answer == "ok"
    assert _containers() == hosts
    assert "pooled-stray" not in _names("ps", "--all", "--format", "{{.Names}}")
    assert _counted(lab) == row


def _names(*command: str) -> list[str]:
    return subprocess.run(
        ["podman", *command], capture_output=True, text=True, check=True
    ).stdout.splitlines()


def _image() -> str:
    return _names("images", "--quiet", "--filter", "reference=localhost/pooled-lab")[0]


def test_a_killed_emulator_and_an_interrupted_run_cost_nothing(lab: Lab) -> None:
    """The account comes back as it was, and the next run goes on: same hosts, same data, no orphan."""
    before, hosts, row = lab.facts(), _containers(), _counted(lab)
    os.kill(int((lab.state / "emulator/pid").read_text()), signal.SIGKILL)
    process = subprocess.Popen(
        [sys.executable, "runner.py", "up"],
        cwd=lab.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    for line in process.stderr:
        if "Networks nest" in line:
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    left = [
        pid
        for pid in Path("/proc").glob("[0-9]*")
        if _runs_in(pid, str(lab.root)) and _is(pid, "inventory/lab")
    ]
    assert left == []
    result = lab.runner("up", "--json")
    assert result.returncode == 0, result.stdout
    assert json.loads(result.stdout)["changed"] is False
    assert lab.facts() == before
    assert _containers() == hosts
    assert _counted(lab) == row


def _is(process: Path, name: str) -> bool:
    try:
        return name in (process / "cmdline").read_text()
    except OSError:
        return False


def _runs_in(process: Path, directory: str) -> bool:
    try:
        return str((process / "cwd").readlink()) == directory
    except OSError:
        return False


def test_tables_of_users_are_no_change(lab: Lab, changed_nothing: Unchanged) -> None:
    """Whoever owns a table has its rights: a grant to them would be a change on every run."""
    query = "SET ROLE myuser; CREATE TABLE IF NOT EXISTS own (id serial)"
    assert lab.ssh(lab.database, f'sudo -u postgres psql -q mydb -c "{query}"').returncode == 0
    result = lab.playbook("playbooks/database.yml", "--check", "--diff")
    assert changed_nothing(result), result.stdout
    result = lab.playbook("playbooks/database.yml")
    assert changed_nothing(result), result.stdout


def test_a_change_reloads_and_a_changed_port_restarts(lab: Lab) -> None:
    """PgBouncer takes a new port over at its start only: a reload would leave the old one open."""
    pid = "systemctl show --property MainPID --value pgbouncer"
    before = lab.ssh(lab.database, pid).stdout
    changes: dict[str, Any] = {"pgbouncer_pool_mode": "session"}
    try:
        assert lab.playbook("playbooks/database.yml", variables=changes).returncode == 0
        console = "sudo -u postgres psql -p 6432 -U pgbouncer pgbouncer -Atc"
        assert "pool_mode|session|" in lab.ssh(lab.database, f"{console} 'SHOW CONFIG'").stdout
        assert lab.ssh(lab.database, pid).stdout == before
        changes["pooled_pgbouncer_port"] = 6433
        assert lab.playbook("playbooks/database.yml", variables=changes).returncode == 0
        assert lab.login(6433, lab.password()) == "ok"
        assert lab.login(6432, lab.password()) != "ok"
        assert lab.ssh(lab.database, pid).stdout != before
    finally:
        assert lab.playbook("playbooks/database.yml").returncode == 0
    assert lab.login(6432, lab.password()) == "ok"
