"""Access: SSH through the jump host, and logins with the right password."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
from lab import Lab

POSTGRESQL, PGBOUNCER = 5432, 6432


def test_hosts_have_the_names_and_addresses_of_the_api(lab: Lab) -> None:
    for host, address in lab.facts()["private_addresses"].items():
        result = lab.ssh(host, "hostname; ip -4 -br address show scope global")
        assert result.stdout.splitlines()[0] == host, result.stderr
        assert address in result.stdout


def test_ssh_reaches_the_database_host_through_the_jump_host(lab: Lab) -> None:
    result = lab.ssh(lab.database, "echo $SSH_CONNECTION")
    assert result.stdout.split()[0] == lab.facts()["private_addresses"][lab.monitoring]


def test_ssh_refuses_a_host_with_another_key(lab: Lab, tmp_path: Path) -> None:
    known = (lab.state / "known_hosts").read_text().splitlines()
    keys = [line.split(maxsplit=1) for line in known]
    swapped = [f"{keys[0][0]} {keys[1][1]}", f"{keys[1][0]} {keys[0][1]}"]
    (tmp_path / "known_hosts").write_text("\n".join(swapped) + "\n")
    config = (
        (lab.state / "ssh_config")
        .read_text()
        .replace(str(lab.state / "known_hosts"), str(tmp_path / "known_hosts"))
    )
    (tmp_path / "config").write_text(config)
    result = lab.run("ssh", "-F", str(tmp_path / "config"), lab.monitoring, "true")
    assert result.returncode == 255
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in result.stderr


def test_secrets_are_private_and_the_users_ssh_files_stay_untouched(lab: Lab) -> None:
    for path in (
        lab.state / "ssh_key",
        lab.state / "ssh_config",
        lab.state / "known_hosts",
        lab.state / "secrets/myuser",
    ):
        assert path.stat().st_mode & 0o077 == 0, path
    assert lab.state.stat().st_mode & 0o077 == 0
    assert shutil.which("ssh")
    own = Path.home() / ".ssh/config"
    assert not own.exists() or "pooled" not in own.read_text()


@pytest.mark.parametrize("port", [POSTGRESQL, PGBOUNCER])
def test_only_the_right_password_user_and_database_log_in(lab: Lab, port: int) -> None:
    right = lab.password()
    assert lab.login(port, right) == "ok"
    assert "authentication failed" in lab.login(port, right[::-1])
    assert lab.login(port, right, database="nosuchdb") != "ok"
    assert lab.login(port, right, user="nosuchuser") != "ok"


def test_userlist_and_postgresql_have_identical_verifiers(lab: Lab) -> None:
    userlist = lab.ssh(lab.database, "sudo cat /etc/pgbouncer/userlist.txt").stdout
    query = "SELECT format('\"%s\" \"%s\"', rolname, rolpassword) FROM pg_authid WHERE rolpassword > ''"
    stored = lab.ssh(lab.database, f"sudo -u postgres psql -Atc {shlex.quote(query)}").stdout
    # The exporter's user uses the console only; PostgreSQL does not know it.
    pooled = [entry for entry in userlist.splitlines() if not entry.startswith('"pgbouncer_exporter" ')]
    assert len(pooled) == len(userlist.splitlines()) - 1
    assert sorted(pooled) == sorted(stored.splitlines())
    # Only the benchmark's user has fewer rounds, which some clients refuse.
    assert '"myuser" "SCRAM-SHA-256$4096:' in userlist
