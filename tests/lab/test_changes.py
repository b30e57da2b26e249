"""Change authentication, passwords, pool mode and port of a site in use. Each run changes several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from lab import Lab
from watch import Watch

POSTGRESQL, PGBOUNCER, MOVED = 5432, 6432, 6433
NASTY = "q\"uo'te \\back $dollar %percent `tick` {{ jinja }} pässwörd €"


@dataclass(frozen=True)
class PgBouncer:
    """PgBouncer's process id, pool mode and ports."""

    pid: str
    pool_mode: str
    ports: set[int]


def pgbouncer(lab: Lab, port: int) -> PgBouncer:
    """Look at PgBouncer on its host; the security group hides other ports from the rest."""
    console = f"sudo -u pgbouncer psql -h /run/pgbouncer/1 -p {port} pgbouncer -Atc 'SHOW CONFIG'"
    rows = lab.ssh(lab.database, console).stdout.splitlines()
    listening = lab.ssh(lab.database, "sudo ss -Htlnp | grep pgbouncer").stdout.splitlines()
    return PgBouncer(
        lab.ssh(lab.database, "systemctl show --property MainPID --value pgbouncer@1").stdout.strip(),
        next((row.split("|")[1] for row in rows if row.startswith("pool_mode|")), "no answer"),
        {int(row.split()[3].rpartition(":")[2]) for row in listening},
    )


@dataclass(frozen=True)
class Step:
    """The site after a run: PgBouncer, its userlist, the output, and the results of logins."""

    pgbouncer: PgBouncer
    entries: list[str]
    printed: str
    logins: dict[int, str]
    wrong_logins: dict[int, str]


def step(lab: Lab, *, port: int = PGBOUNCER, password: str | None = None, **inputs: Any) -> Step:
    """Configure the database hosts with these inputs, and look at the result."""
    if password is not None:
        # Ansible must not take the braces for a template.
        inputs["pooled_user_password"] = {"__ansible_unsafe": password}
    run = lab.playbook("playbooks/database.yml", variables={**inputs, "pooled_pgbouncer_port": port})
    assert run.returncode == 0, run.stdout[-3000:]
    password = password or lab.password()
    # The security group opens only the usual port.
    clients = {POSTGRESQL: lab.monitoring, port: lab.monitoring if port == PGBOUNCER else lab.database}
    return Step(
        pgbouncer(lab, port),
        lab.ssh(lab.database, "sudo cat /etc/pgbouncer/userlist.txt").stdout.splitlines(),
        run.stdout + run.stderr,
        {to: lab.login(to, password, client=client) for to, client in clients.items()},
        {to: lab.login(to, password + "x", client=client) for to, client in clients.items()},
    )


@dataclass(frozen=True)
class Changes:
    """The site before the runs and after each of them."""

    first: PgBouncer
    tutorial: Step
    moved: Step
    restored: Step
    watch: Watch


@pytest.fixture(scope="module")
def changes(lab: Lab, secrets: list[bytes]) -> Changes:
    """Change the site to the tutorial's inputs, to others, and back."""
    first = pgbouncer(lab, PGBOUNCER)
    # The tutorial's password is public: other tests name it.
    with Watch([*secrets, NASTY.encode()]) as watch:
        try:
            tutorial = step(lab, pooled_auth_type="md5", password="mypassword", pgbouncer_pool_mode="session")
            moved = step(lab, password=NASTY, port=MOVED)
        finally:
            restored = step(lab)
    return Changes(first, tutorial, moved, restored, watch)


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("tutorial", '"myuser" "md554fdba1dac1d18ce9c2d57a03502a8ff"'),
        ("moved", '"myuser" "SCRAM-SHA-256$'),
        ("restored", '"myuser" "SCRAM-SHA-256$'),
    ],
)
def test_authentication_switches(changes: Changes, name: str, entry: str) -> None:
    seen: Step = getattr(changes, name)
    assert [line for line in seen.entries if line.startswith(entry)], len(seen.entries)
    assert set(seen.logins.values()) == {"ok"}
    assert all("authentication failed" in said for said in seen.wrong_logins.values())


@pytest.mark.parametrize(("name", "password"), [("tutorial", "mypassword"), ("moved", NASTY)])
def test_the_output_shows_no_changed_password(changes: Changes, name: str, password: str) -> None:
    assert password not in getattr(changes, name).printed


def test_no_process_shows_a_changed_password(changes: Changes) -> None:
    assert changes.watch.looked_at > 100
    assert changes.watch.found == set()


def test_a_new_pool_mode_keeps_clients_connected(changes: Changes) -> None:
    assert (changes.first.pool_mode, changes.tutorial.pgbouncer.pool_mode) == ("transaction", "session")
    assert changes.tutorial.pgbouncer.pid == changes.first.pid


def test_a_new_port_restarts_pgbouncer(changes: Changes) -> None:
    """PgBouncer opens a new port only at its start; a reload would keep the old one."""
    assert (changes.tutorial.pgbouncer.ports, changes.moved.pgbouncer.ports) == ({PGBOUNCER}, {MOVED})
    assert changes.moved.pgbouncer.pid != changes.tutorial.pgbouncer.pid
    assert (changes.restored.pgbouncer.ports, changes.restored.pgbouncer.pool_mode) == (
        {PGBOUNCER},
        "transaction",
    )
