"""What the lab survives: a killed emulator, a stopped host, an interrupted run; and what changes what."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lab import Lab, Run

Unchanged = Callable[[Run], bool]


def _containers() -> dict[str, str]:
    """Return the ids of the lab's containers by name."""
    rows = subprocess.run(
        ["podman", "ps", "--format", "{{.Names}} {{.ID}}"], capture_output=True, text=True, check=True
    ).stdout
    return dict(row.split() for row in rows.splitlines() if row.startswith("pooled-"))


def _counted(lab: Lab) -> str:
    """Return a row that only this database has."""
    query = (
        "CREATE TABLE IF NOT EXISTS kept (at timestamptz DEFAULT now()); INSERT INTO kept DEFAULT VALUES; "
    )
    result = lab.ssh(lab.database, f'sudo -u postgres psql -qAt -c "{query} SELECT min(at) FROM kept"')
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_a_killed_emulator_comes_back_with_the_same_account(lab: Lab, changed_nothing: Unchanged) -> None:
    before, hosts, row = lab.facts(), _containers(), _counted(lab)
    os.kill(int((lab.state / "emulator/pid").read_text()), signal.SIGKILL)
    started = lab.playbook("playbooks/lab.yml")
    assert started.returncode == 0, started.stdout[-3000:] + started.stderr[-3000:]
    result = lab.playbook("playbooks/provision.yml")
    assert result.returncode == 0, result.stdout[-3000:]
    assert changed_nothing(result), result.stdout
    assert lab.facts() == before
    assert _containers() == hosts
    assert _counted(lab) == row


def test_an_emulator_that_never_came_up_is_started_anew(lab: Lab, changed_nothing: Unchanged) -> None:
    """Interrupted between the emulator's start and its replay, a run leaves an empty account behind."""
    before = lab.facts()
    (lab.state / "emulator/pid").unlink()
    started = lab.playbook("playbooks/lab.yml")
    assert started.returncode == 0, started.stdout[-3000:] + started.stderr[-3000:]
    result = lab.playbook("playbooks/provision.yml")
    assert result.returncode == 0, result.stdout[-3000:]
    assert changed_nothing(result), result.stdout
    assert lab.facts() == before


def test_a_stopped_host_is_started_with_its_data(lab: Lab) -> None:
    row, hosts = _counted(lab), _containers()
    subprocess.run(
        ["podman", "stop", "--time", "5", f"pooled-{lab.database}"], check=True, capture_output=True
    )
    assert lab.login(6432, lab.password()) != "ok"
    result = lab.playbook("playbooks/provision.yml")
    assert result.returncode == 0, result.stdout[-3000:]
    deadline = time.monotonic() + 60
    while (answer := lab.login(6432, lab.password())) != "ok" and time.monotonic() < deadline:
        time.sleep(1)
    assert answer == "ok"
    assert _containers() == hosts
    assert _counted(lab) == row


def test_a_run_interrupted_half_way_leaves_no_orphan_and_can_be_made_again(lab: Lab) -> None:
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
    assert lab.runner("up").returncode == 0


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


def test_a_terminated_instance_takes_its_host_along(lab: Lab) -> None:
    """Another instance's host, that is: one that the API does not know."""
    stray = "pooled-stray"
    subprocess.run(
        [
            "podman",
            "create",
            "--name",
            stray,
            "--label",
            f"pooled_lab_owner={lab.state}",
            "--label",
            "pooled_lab_instance=i-gone",
            _image(),
            "/sbin/init",
        ],
        check=True,
        capture_output=True,
    )
    assert lab.playbook("playbooks/provision.yml").returncode == 0
    names = subprocess.run(
        ["podman", "ps", "--all", "--format", "{{.Names}}"], capture_output=True, text=True, check=True
    )
    assert stray not in names.stdout
    assert set(_containers()) == {f"pooled-{lab.database}", f"pooled-{lab.monitoring}"}


def _image() -> str:
    return subprocess.run(
        ["podman", "images", "--quiet", "--filter", "reference=localhost/pooled-lab"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()[0]


def test_tables_of_users_are_no_change(lab: Lab, changed_nothing: Unchanged) -> None:
    """Whoever owns a table has its rights: a grant to them would be a change on every run."""
    query = "SET ROLE myuser; CREATE TABLE IF NOT EXISTS own (id serial)"
    assert lab.ssh(lab.database, f'sudo -u postgres psql -q mydb -c "{query}"').returncode == 0
    result = lab.playbook("playbooks/database.yml", "--check", "--diff")
    assert changed_nothing(result), result.stdout
    result = lab.playbook("playbooks/database.yml")
    assert changed_nothing(result), result.stdout


def test_a_changed_port_is_taken_over(lab: Lab) -> None:
    """PgBouncer takes a new port over at its start only: a reload would leave the old one open."""
    assert lab.playbook("playbooks/database.yml", variables={"pooled_pgbouncer_port": 6433}).returncode == 0
    try:
        assert lab.login(6433, lab.password()) == "ok"
        assert lab.login(6432, lab.password()) != "ok"
    finally:
        assert lab.playbook("playbooks/database.yml").returncode == 0
    assert lab.login(6432, lab.password()) == "ok"


def test_a_changed_limit_keeps_clients_connected(lab: Lab) -> None:
    before = lab.ssh(lab.database, "systemctl show --property MainPID --value pgbouncer").stdout
    assert (
        lab.playbook("playbooks/database.yml", variables={"pgbouncer_pool_mode": "session"}).returncode == 0
    )
    try:
        shown = lab.ssh(
            lab.database, "sudo -u postgres psql -p 6432 -U pgbouncer pgbouncer -Atc 'SHOW CONFIG'"
        ).stdout
        assert "pool_mode|session|" in shown
        assert lab.ssh(lab.database, "systemctl show --property MainPID --value pgbouncer").stdout == before
    finally:
        assert lab.playbook("playbooks/database.yml").returncode == 0
