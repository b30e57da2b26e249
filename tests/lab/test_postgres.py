"""PostgreSQL on the lab's database host: proved settings and rules, what is derived, who sees what."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._postgres import tuning
from lab import Lab, Run

Unchanged = Callable[[Run], bool]
MONITORING = "postgres_exporter"


def query(lab: Lab, sql: str, database: str = "postgres") -> str:
    """Return what the superuser is answered, whose command must succeed."""
    result = lab.ssh(lab.database, f"sudo -u postgres psql -XAt -d {database}", stdin=sql)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def monitored(lab: Lab, sql: str, database: str = "postgres", account: str = "prometheus") -> Run:
    """Ask as the monitoring user, from an account of the operating system."""
    command = f"sudo -u {account} psql -XAt -v ON_ERROR_STOP=1 -U {MONITORING} -d {database}"
    return lab.ssh(lab.database, command, stdin=sql)


@pytest.fixture
def files(lab: Lab) -> Callable[[], str]:
    """Return what tells one state of the configuration's files from another."""
    version = query(lab, "SELECT current_setting('server_version_num')::int / 10000")
    directory = f"/etc/postgresql/{version}/main"
    names = f"{directory}/conf.d/50-pooled.conf {directory}/pg_hba.conf {directory}/pg_ident.conf"

    def read() -> str:
        result = lab.ssh(lab.database, f"sudo sha256sum {names} && sudo stat --format %Y {names}")
        assert result.returncode == 0, result.stderr
        return result.stdout

    return read


@pytest.fixture
def prometheus(lab: Lab) -> None:
    """Make sure that there is the account that monitoring runs under."""
    result = lab.ssh(lab.database, "id prometheus || sudo useradd --system prometheus")
    assert result.returncode == 0, result.stderr


def test_settings_that_follow_from_the_host_are_in_force(lab: Lab) -> None:
    script = (
        "import json, os; s = os.statvfs('/var/lib/postgresql')\n"
        "print(json.dumps([open('/proc/meminfo').read(), len(os.sched_getaffinity(0)),"
        " s.f_blocks * s.f_frsize // 1024**2]))"
    )
    meminfo, cores, disk = json.loads(lab.ssh_python(lab.database, script, None).stdout)
    memory = tuning.memory_mb(meminfo, [])
    limit = int(query(lab, "SHOW max_connections"))
    wanted = tuning.derived_settings(memory=memory, cores=cores, disk=disk, max_connections=limit)
    for name, value in wanted.items():
        # In the server's own words: 1024MB is 1GB.
        same = f"SELECT pg_size_bytes(current_setting('{name}')) = pg_size_bytes('{value}')"
        if not str(value).endswith("MB"):
            same = f"SELECT current_setting('{name}')::numeric = {value}"
        assert query(lab, same) == "t", name
    assert query(lab, "SELECT count(*) FROM pg_settings WHERE pending_restart") == "0"


def test_checksums_are_on_and_statements_are_counted(lab: Lab) -> None:
    assert query(lab, "SHOW data_checksums") == "on"
    assert query(lab, "SELECT count(*) > 0 FROM pg_stat_statements") == "t"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"postgres_settings": {"shared_bufers": "1GB"}},
            'unrecognized configuration parameter "shared_bufers"; the nearest is shared_buffers',
        ),
        (
            {"postgres_settings": {"work_mem": "lots"}},
            'invalid value for parameter "work_mem": "lots"',
        ),
        ({"postgres_settings": {"shared_preload_libraries": "nix"}}, 'could not access file "nix"'),
        ({"postgres_settings": {"ssl_cert_file": "/nowhere"}}, "could not load server certificate file"),
        ({"postgres_settings": {"wal_level": "minimal"}}, 'requires "wal_level" to be'),
        ({"postgres_settings": {"shared_buffers": "900GB"}}, "MB of shared memory, and this host has"),
        (
            {"postgres_hba": [{"type": "local", "databases": ["all"], "users": ["x"], "method": "peeer"}]},
            'pg_hba.conf line 5 (local all "x" peeer): invalid authentication method "peeer"',
        ),
        (
            {
                "postgres_hba": [
                    {
                        "type": "host",
                        "databases": ["all"],
                        "users": ["x"],
                        "method": "reject",
                        "address": "x/99",
                    }
                ]
            },
            "pg_hba.conf line 5",
        ),
        (
            {"postgres_ident": [{"map": "m", "system": "/((", "user": "x"}]},
            "pg_ident.conf line 4",
        ),
    ],
    ids=str,
)
def test_a_broken_configuration_is_refused_and_the_old_one_serves(
    lab: Lab,
    changed_nothing: Unchanged,
    files: Callable[[], str],
    variables: dict[str, Any],
    said: str,
) -> None:
    before, started = files(), query(lab, "SELECT pg_postmaster_start_time(), pg_conf_load_time()")
    result = lab.playbook("playbooks/database.yml", "--tags", "postgres,always", variables=variables)
    assert result.returncode != 0
    assert said in " ".join(result.stdout.split()), result.stdout
    assert changed_nothing(result), result.stdout
    assert files() == before
    assert query(lab, "SELECT pg_postmaster_start_time(), pg_conf_load_time()") == started
    assert lab.login(5432, lab.password()) == "ok"


def test_rules_are_tried_in_their_order(lab: Lab) -> None:
    address = lab.facts()["private_addresses"][lab.monitoring]
    rule = {"type": "host", "databases": ["mydb"], "users": ["all"], "method": "reject"}
    shut = {"postgres_hba": [{**rule, "address": f"{address}/32"}]}
    try:
        result = lab.playbook("playbooks/database.yml", "--tags", "postgres,always", variables=shut)
        assert result.returncode == 0, result.stdout
        assert "pg_hba.conf rejects connection" in lab.login(5432, lab.password())
        # PgBouncer comes in from elsewhere.
        assert lab.login(6432, lab.password()) == "ok"
    finally:
        result = lab.playbook("playbooks/database.yml", "--tags", "postgres,always")
    assert result.returncode == 0, result.stdout
    assert lab.login(5432, lab.password()) == "ok"


def test_a_restart_waits_until_it_is_allowed(lab: Lab, changed_nothing: Unchanged) -> None:
    tags = ("--tags", "postgres,always")
    started = query(lab, "SELECT pg_postmaster_start_time()")
    settings = {"postgres_settings": {"max_locks_per_transaction": 96, "log_min_duration_statement": 700}}
    try:
        result = lab.playbook("playbooks/database.yml", *tags, variables=settings)
        assert result.returncode == 0, result.stdout
        said = " ".join((result.stdout + result.stderr).split())
        assert "PostgreSQL goes on with its old max_locks_per_transaction until it is restarted" in said
        assert query(lab, "SHOW log_min_duration_statement") == "700ms"
        assert query(lab, "SHOW max_locks_per_transaction") == "64"
        assert query(lab, "SELECT pg_postmaster_start_time()") == started
        again = lab.playbook("playbooks/database.yml", *tags, variables=settings)
        assert changed_nothing(again), again.stdout
        allowed = {**settings, "postgres_restart_allowed": True}
        assert lab.playbook("playbooks/database.yml", *tags, variables=allowed).returncode == 0
        assert query(lab, "SHOW max_locks_per_transaction") == "96"
    finally:
        back = lab.playbook("playbooks/database.yml", *tags, variables={"postgres_restart_allowed": True})
    assert back.returncode == 0, back.stdout
    assert query(lab, "SHOW max_locks_per_transaction") == "64"


@pytest.mark.usefixtures("prometheus")
def test_monitoring_sees_what_the_server_does_and_no_data(lab: Lab) -> None:
    assert query(lab, "CREATE TABLE IF NOT EXISTS secret_of_users (x int)", "mydb") == "CREATE TABLE"
    try:
        activity = monitored(lab, "SELECT count(*) FROM pg_stat_activity WHERE query <> ''", "mydb")
        assert activity.returncode == 0, activity.stderr
        assert int(activity.stdout) > 0
        seen = "SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%insufficient privilege%'"
        assert monitored(lab, seen).stdout.strip() == "0"
        data = monitored(lab, "SELECT * FROM secret_of_users", "mydb")
        assert "permission denied for table secret_of_users" in data.stderr
        made = monitored(lab, "CREATE TABLE mine (x int)", "mydb")
        assert "permission denied" in made.stderr
        verifiers = monitored(lab, "SELECT rolpassword FROM pg_authid")
        assert "permission denied" in verifiers.stderr
    finally:
        query(lab, "DROP TABLE secret_of_users", "mydb")


@pytest.mark.usefixtures("prometheus")
def test_the_monitoring_user_is_nobody_elses(lab: Lab) -> None:
    for account in ("root", "admin", "postgres"):
        result = monitored(lab, "SELECT 1", account=account)
        assert "Peer authentication failed" in result.stderr, account
    assert "no pg_hba.conf entry" in lab.login(5432, "x", user=MONITORING, database="postgres")
    as_superuser = lab.ssh(lab.database, "sudo -u prometheus psql -U postgres -c 'SELECT 1'")
    assert "Peer authentication failed" in as_superuser.stderr


def test_a_user_who_owns_something_is_not_removed(lab: Lab) -> None:
    tags = ("--tags", "postgres,always")
    users = {
        "postgres_users": [
            {"name": "myuser", "password": lab.password(), "databases": ["mydb"]},
            {"name": "leaver", "state": "absent"},
        ]
    }
    query(lab, "CREATE ROLE leaver LOGIN; GRANT ALL ON SCHEMA public TO leaver", "mydb")
    query(lab, "SET ROLE leaver; CREATE TABLE left_behind (x int)", "mydb")
    try:
        result = lab.playbook("playbooks/database.yml", *tags, variables=users)
        assert result.returncode != 0
        assert "leaver owns table left_behind in mydb" in " ".join(result.stdout.split()), result.stdout
        assert query(lab, "SELECT 1 FROM pg_roles WHERE rolname = 'leaver'") == "1"
        query(lab, "DROP TABLE left_behind", "mydb")
        result = lab.playbook("playbooks/database.yml", *tags, variables=users)
        assert result.returncode == 0, result.stdout
        assert query(lab, "SELECT 1 FROM pg_roles WHERE rolname = 'leaver'") == ""
    finally:
        # With the benchmark's user again.
        assert lab.playbook("playbooks/database.yml", *tags).returncode == 0
