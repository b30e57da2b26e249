"""Day two: a password changes by one tag, and a run repairs what someone changed by hand."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from lab import Lab
from real_hosts import Run, recap

PORTS = {"PostgreSQL": 5432, "PgBouncer": 6432}
NEW = "another password"

# Ask once for each line of stdin, on one connection, and print the answer or the error.
ASKING = """
import json, sys, psycopg2
inputs = json.loads(sys.stdin.readline())
connection = psycopg2.connect(**inputs)
connection.autocommit = True
for _ in sys.stdin:
    cursor = connection.cursor()
    cursor.execute("SELECT 'served'")
    print(cursor.fetchone()[0], flush=True)
"""


class Client:
    """A client on the monitoring host that keeps one connection through the pooler."""

    def __init__(self, lab: Lab) -> None:
        options = {
            "host": lab.facts()["private_addresses"][lab.database],
            "port": PORTS["PgBouncer"],
            "user": "myuser",
            "password": lab.password(),
            "dbname": "mydb",
        }
        command = ["ssh", "-F", str(lab.state / "ssh_config"), lab.monitoring]
        self._process = subprocess.Popen(
            [*command, f"python3 -c {shlex.quote(ASKING)}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._send(json.dumps(options))

    def _send(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def ask(self) -> str:
        """Return the answer to one query."""
        assert self._process.stdout
        self._send("")
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        """End the client."""
        self._process.communicate(timeout=30)


@pytest.fixture(scope="module")
def client(lab: Lab) -> Iterator[Client]:
    """Keep one connection through the pooler during all runs."""
    client = Client(lab)
    assert client.ask() == "served"
    yield client
    client.close()


@dataclass(frozen=True)
class Change:
    """A run with another password, and the results of logins with the new and the old one."""

    run: Run
    new: dict[str, str]
    old: dict[str, str]
    client: str


@pytest.fixture(scope="module")
def change(lab: Lab, client: Client) -> Iterator[Change]:
    """Change one user's password by ``--tags users``, and change it back."""
    run = lab.playbook("site.yml", "--tags", "users", "--diff", variables={"pooled_user_password": NEW})
    try:
        yield Change(
            run,
            {name: lab.login(port, NEW) for name, port in PORTS.items()},
            {name: lab.login(port, lab.password()) for name, port in PORTS.items()},
            client.ask(),
        )
    finally:
        back = lab.playbook("site.yml", "--tags", "users")
        assert back.returncode == 0, back.stdout[-3000:]


def test_a_new_password_works_on_both_ports(change: Change) -> None:
    assert change.run.returncode == 0, change.run.stdout[-3000:]
    assert change.new == {"PostgreSQL": "ok", "PgBouncer": "ok"}


def test_the_old_password_works_no_more(change: Change) -> None:
    assert all("authentication failed" in said for said in change.old.values()), change.old


def test_a_new_password_keeps_connections_open(change: Change) -> None:
    assert change.client == "served"


def test_a_new_password_touches_only_the_database_host(change: Change, lab: Lab) -> None:
    counts = recap(change.run)
    assert counts[lab.database]["changed"] > 0
    assert counts.get(lab.monitoring, {"changed": 0})["changed"] == 0


def test_no_difference_shows_the_new_password(change: Change) -> None:
    assert NEW not in change.run.stdout + change.run.stderr
    assert "SCRAM-SHA-256$" not in change.run.stdout


INI = "/etc/pgbouncer/pgbouncer-1.ini"
PASSFILE = "/etc/pooled-exporters/pgbouncer/passfile"
DRIFT = f"""
set -e
sed -i 's/^pool_mode.*/pool_mode = session/' {INI}
systemctl stop postgres_exporter
sudo -u postgres psql -qc 'DROP OWNED BY postgres_exporter' -c 'DROP ROLE postgres_exporter'
chmod 0644 {PASSFILE}
"""


@pytest.fixture(scope="module")
def repair(lab: Lab, client: Client) -> Run:
    """Change an ini, a unit, a role and a mode by hand, and run the site again."""
    broken = lab.ssh(lab.database, f"sudo sh -c {shlex.quote(DRIFT)}")
    assert broken.returncode == 0, broken.stderr
    return lab.playbook("playbooks/configure.yml", "--diff")


def test_a_run_repairs_drift(lab: Lab, repair: Run) -> None:
    assert repair.returncode == 0, repair.stdout[-3000:]
    look = f"""
    grep '^pool_mode' {INI}
    systemctl is-active postgres_exporter
    stat --format %a {PASSFILE}
    sudo -u postgres psql -Atc "SELECT rolname FROM pg_roles WHERE rolname = 'postgres_exporter'"
    """
    found = lab.ssh(lab.database, f"sudo sh -c {shlex.quote(look)}").stdout.split("\n")
    assert found[:4] == ["pool_mode = transaction", "active", "400", "postgres_exporter"]


@pytest.mark.parametrize("named", [INI, "postgres_exporter.service", PASSFILE, "postgres_exporter"])
def test_a_run_names_the_drift(repair: Run, named: str) -> None:
    assert named in repair.stdout


def test_a_repair_keeps_connections_open(repair: Run, client: Client) -> None:
    assert client.ask() == "served"


def test_a_run_after_the_repair_changes_nothing(lab: Lab, repair: Run) -> None:
    again = lab.playbook("playbooks/configure.yml")
    assert again.returncode == 0, again.stdout[-3000:]
    assert {count["changed"] for count in recap(again).values()} == {0}
