"""PostgreSQL on bare hosts: settings, rules, logins, rights, the sandbox, and changes to running servers."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._postgres import model, tuning
from real_hosts import Run, changed_nothing, recap, words
from scenario import Scenario

SUPPORT = Path(__file__).parent / "support"
MONITORING = "postgres_exporter"
SECRETS = {"tuned": "myuser-secret"}
CLOSED = "Read-only file system|Permission denied|No such file"
STARTED = "SELECT pg_postmaster_start_time()"


def version(hosts: Scenario, host: str) -> str:
    """Return the major version of the server."""
    return hosts.query(host, "SELECT current_setting('server_version_num')::int / 10000")


def unit(hosts: Scenario, host: str) -> str:
    """Return the name of the server's unit."""
    return f"postgresql@{version(hosts, host)}-main.service"


def secret(host: str) -> str:
    """Return the password of the host's user."""
    return SECRETS.get(host, 'it\'s "secret" enough')


def files(hosts: Scenario, host: str) -> str:
    """Return the hashes and times of the configuration's files."""
    directory = f"/etc/postgresql/{version(hosts, host)}/main"
    names = f"{directory}/conf.d/50-pooled.conf {directory}/pg_hba.conf {directory}/pg_ident.conf"
    return hosts.root(host, f"sha256sum {names} && stat --format %Y {names}")


def monitored(
    hosts: Scenario, host: str, sql: str, database: str = "postgres", account: str = "prometheus"
) -> Run:
    """Query as the monitoring user, from an account of the operating system."""
    command = f"sudo -u {account} psql -XAt -v ON_ERROR_STOP=1 -U {MONITORING} -d {database}"
    return hosts.ssh(host, command, stdin=sql)


@pytest.fixture(scope="module")
def prometheus(hosts: Scenario) -> None:
    """Create the account that monitoring runs under."""
    hosts.root("plain", "id prometheus || useradd --system prometheus")


def test_version_is_the_distributions(hosts: Scenario, host: str) -> None:
    assert version(hosts, host) == ("15" if host == "debian12" else "17")


def test_users_log_in_with_their_password(hosts: Scenario, host: str) -> None:
    assert hosts.login(host, secret(host)) == "ok"
    assert "password authentication failed" in hosts.login(host, "wrong")
    assert "no pg_hba.conf entry" in hosts.login(host, secret(host), database="postgres")
    stored = hosts.query(host, "SELECT left(rolpassword, 3) FROM pg_authid WHERE rolname = 'myuser'")
    assert stored == ("md5" if host == "md5" else "SCR")


def test_settings_follow_from_the_host(hosts: Scenario, host: str) -> None:
    script = (
        "import json, os; s = os.statvfs('/var/lib/postgresql')\n"
        "print(json.dumps([open('/proc/meminfo').read(), len(os.sched_getaffinity(0)),"
        " s.f_blocks * s.f_frsize // 1024**2]))"
    )
    meminfo, cores, disk = json.loads(hosts.ssh(host, f"python3 -c {shlex.quote(script)}").stdout)
    limit = int(hosts.query(host, "SHOW max_connections"))
    assert limit == (60 if host == "tuned" else 100)
    memory = tuning.memory_mb(meminfo, [])
    wanted = tuning.derived_settings(memory=memory, cores=cores, disk=disk, max_connections=limit)
    if host == "tuned":
        wanted.update({"work_mem": "9MB", "max_parallel_workers_per_gather": 2})
    checks = []
    for name, value in wanted.items():
        # The server shows 1024MB as 1GB.
        same = f"current_setting('{name}')::numeric = {value}"
        if str(value).endswith("MB"):
            same = f"pg_size_bytes(current_setting('{name}')) = pg_size_bytes('{value}')"
        checks.append(f"('{name}', {same})")
    differing = (
        f"SELECT string_agg(name, ' ') FROM (VALUES {', '.join(checks)}) AS v(name, same) WHERE NOT same"
    )
    assert hosts.query(host, differing) == ""
    assert hosts.query(host, "SELECT count(*) FROM pg_settings WHERE pending_restart") == "0"


def test_checksums_are_on_and_pg_stat_statements_counts(hosts: Scenario, host: str) -> None:
    assert hosts.query(host, "SHOW data_checksums") == "on"
    assert hosts.query(host, "SELECT count(*) > 0 FROM pg_stat_statements") == "t"


class TestInputs:
    """Inputs of the host ``tuned``."""

    def test_databases_have_their_options(self, hosts: Scenario) -> None:
        made = (
            "SELECT pg_get_userbyid(datdba), datcollate, datconnlimit FROM pg_database WHERE datname = 'shop'"
        )
        assert hosts.query("tuned", made) == "shopkeeper|C|40"
        assert hosts.query("tuned", "SHOW port") == "5433"

    def test_default_rights_reach_the_members_of_a_role(self, hosts: Scenario) -> None:
        hosts.query("tuned", "SET ROLE shopkeeper; CREATE TABLE IF NOT EXISTS goods (name text)", "shop")
        hosts.query("tuned", "SET ROLE accountant; SELECT * FROM goods", "shop")
        hosts.query("tuned", "SET ROLE reporting; SELECT * FROM goods", "shop")
        refused = hosts.psql("tuned", "SET ROLE reporting; DELETE FROM goods", "shop")
        assert "permission denied for table goods" in refused.stderr
        roles = "SELECT pg_has_role('accountant', 'pg_read_all_stats', 'member')"
        assert hosts.query("tuned", roles) == "t"
        assert hosts.query("tuned", "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'shopkeeper'") == "7"

    def test_extensions_are_in_their_databases(self, hosts: Scenario) -> None:
        there = "SELECT string_agg(extname, ' ' ORDER BY extname) FROM pg_extension WHERE extname LIKE 'pg%'"
        assert hosts.query("tuned", there, "shop") == "pg_stat_statements pgcrypto"

    def test_a_given_rule_comes_before_the_users_own(self, hosts: Scenario) -> None:
        assert hosts.login("tuned", "shopkeeper-secret", "shopkeeper", "shop") == "ok"
        said = hosts.login("tuned", "accountant-secret", "accountant", "shop")
        assert "pg_hba.conf rejects connection" in said


def rule(**values: Any) -> dict[str, Any]:
    """Return a valid rule of pg_hba.conf."""
    return {
        "type": "host",
        "databases": ["all"],
        "users": ["x"],
        "address": "all",
        "method": "reject",
        **values,
    }


# One case holds all that one check finds, for each case costs a scratch cluster.
REFUSED: list[dict[str, Any]] = [
    {
        "settings": {
            "work_mem": "lots",
            "maintenance_work_mem": "1kB",
            "max_connections": "many",
            "log_statement": "all,ddl",
            "timezone": "Mars/Olympus",
        },
        "said": [
            'invalid value for parameter "work_mem": "lots"',
            'outside the valid range for parameter "maintenance_work_mem"',
            'invalid value for parameter "max_connections"',
            'invalid value for parameter "log_statement"',
            'invalid value for parameter "TimeZone"',
        ],
    },
    # PostgreSQL checks names before it checks values.
    {
        "settings": {"shared_bufers": "1GB"},
        "said": ['unrecognized configuration parameter "shared_bufers"; the nearest is shared_buffers'],
    },
    {"settings": {"shared_buffers": "900GB"}, "said": ["MB of shared memory, and this host has"]},
    {"settings": {"shared_preload_libraries": "nix"}, "said": ['could not access file "nix"']},
    {
        "settings": {"ssl": True, "ssl_cert_file": "/nowhere"},
        "said": ["could not load server certificate file"],
    },
    {"settings": {"wal_level": "minimal"}, "said": ["WAL streaming"]},
    {"settings": {"superuser_reserved_connections": 200}, "said": ["must be less than"]},
    {"settings": {"port": 22}, "restart_allowed": True, "said": ["the port 22"]},
    {"settings": {"port": 6000}, "said": ["that needs a restart"]},
    {
        "hba": [
            rule(method="peeer"),
            rule(address="x/99"),
            rule(address="10.0.0.0/33"),
            rule(method="peer"),
            rule(type="hostssl", options={"clientcert": "perhaps"}),
            rule(method="md5", options={"nix": "1"}),
        ],
        "ident": [{"map": "m", "system": "/((", "user": "x"}],
        "said": [
            'invalid authentication method "peeer"',
            '"x/99"',
            '"10.0.0.0/33"',
            "peer authentication is only supported on local sockets",
            "clientcert",
            'unrecognized authentication option name: "nix"',
            "pg_ident.conf line",
        ],
    },
]


def test_broken_configurations_are_refused_and_the_old_one_still_serves(
    hosts: Scenario, tmp_path: Path
) -> None:
    names = ("plain", "debian12")
    state = f"SELECT ({STARTED}), pg_conf_load_time()"
    peer = {"type": "local", "databases": ["all"], "users": ["postgres"], "method": "peer"}
    broken = [
        {
            **case,
            "hba": model.hba_file("h", [peer, *case.get("hba", [])]),
            "ident": model.ident_file("h", case.get("ident", [])),
        }
        for case in REFUSED
    ]
    before = {name: (files(hosts, name), hosts.query(name, state)) for name in names}
    result = hosts.playbook(
        playbook=SUPPORT / "broken_configurations.yml",
        variables={"broken": broken, "written_to": str(tmp_path)},
        by_host={name: {"version": version(hosts, name)} for name in names},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    for name in names:
        said = json.loads((tmp_path / f"{name}.json").read_text())
        wrong = [
            (name, part, msg)
            for case, msg in zip(REFUSED, said, strict=True)
            for part in case["said"]
            if part not in msg
        ]
        assert wrong == []
        assert [msg for msg in said if not msg.startswith("Failed to ") or "\n" in msg] == []
        assert (files(hosts, name), hosts.query(name, state)) == before[name]
        assert hosts.login(name, secret(name)) == "ok"


def test_the_role_refuses_before_it_changes_anything(hosts: Scenario) -> None:
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "plain": (
            {"postgres_settings": {"port": 1}},
            "which it checks: postgres_port",
        ),
        "md5": ({"postgres_version": 12}, "Set postgres_source to pgdg"),
        "tuned": ({"postgres_users": [{"name": "a", "password": "x", "databases": ["nix"]}]}, "nix"),
        "debian12": ({"postgres_settings": {"shared_bufers": "1GB"}}, "the nearest is shared_buffers"),
    }
    before = {name: files(hosts, name) for name in cases}
    result = hosts.playbook(by_host={name: variables for name, (variables, _said) in cases.items()})
    assert {name: counts["failed"] for name, counts in recap(result).items()} == dict.fromkeys(cases, 1)
    assert changed_nothing(result), result.stdout
    assert [said for _variables, said in cases.values() if said not in words(result)] == [], result.stdout
    assert {name: files(hosts, name) for name in cases} == before


class TestSandbox:
    """PostgreSQL works inside its sandbox."""

    def test_applies_from_the_first_start(self, hosts: Scenario, host: str) -> None:
        name = unit(hosts, host)
        # In tenths: below 2.5.
        hosts.root(host, f"systemd-analyze security --no-pager --threshold=24 {name}")
        pid = hosts.root(host, f"systemctl show --property=MainPID --value {name}")
        status = hosts.root(host, f"cat /proc/{pid}/status")
        assert "NoNewPrivs:\t1" in status
        assert "Seccomp:\t2" in status
        assert "CapBnd:\t0000000000000000" in status

    def test_allows_systemd_and_debians_wrapper(self, hosts: Scenario, host: str) -> None:
        major, name = version(hosts, host), unit(hosts, host)
        loaded = hosts.query(host, "SELECT pg_conf_load_time()")
        for command in (f"systemctl reload {name}", f"pg_ctlcluster {major} main reload"):
            hosts.root(host, f"{command}; sleep 0.5")
            assert hosts.query(host, "SELECT pg_conf_load_time()") > loaded
            loaded = hosts.query(host, "SELECT pg_conf_load_time()")
        started = hosts.query(host, STARTED)
        for command in (f"systemctl restart {name}", f"pg_ctlcluster {major} main restart"):
            hosts.root(host, command)
            assert hosts.query(host, STARTED) > started
            started = hosts.query(host, STARTED)
        hosts.root(host, f"pg_ctlcluster {major} main stop; ! systemctl is-active {name}")
        hosts.root(host, f"pg_ctlcluster {major} main start; systemctl is-active {name}")
        log = f"/var/log/postgresql/postgresql-{major}-main.log"
        assert "ready to accept connections" in hosts.root(host, f"tail --lines=5 {log}")
        assert hosts.root(host, f"stat --format '%U %G %a' {log}") == "postgres adm 640"
        assert hosts.login(host, secret(host)) == "ok"

    def test_allows_what_postgresql_does(self, hosts: Scenario, host: str) -> None:
        parallel = (
            "CREATE TEMP TABLE t AS SELECT generate_series(1, 100000) AS n; ANALYZE t;"
            "CREATE TABLE IF NOT EXISTS many AS SELECT n FROM t; ANALYZE many;"
            "SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;"
            "SET max_parallel_workers_per_gather = 2; SET jit = on; SET jit_above_cost = 0;"
            "EXPLAIN (ANALYZE) SELECT sum(n) FROM many"
        )
        assert re.search("Workers Launched: [12]", hosts.query(host, parallel))
        assert hosts.query(host, "SELECT sum(n) FROM many") == "5000050000"
        hosts.query(host, "COPY many TO '/var/lib/postgresql/many.copy'; COPY many TO '/tmp/many.copy'")
        hosts.query(host, "CREATE EXTENSION IF NOT EXISTS pgcrypto; SELECT crypt('a', gen_salt('bf'))")
        hosts.query(host, "COPY (SELECT 1) TO PROGRAM 'cat > /dev/null'; DROP TABLE many")

    def test_denies_the_rest_of_the_system(self, hosts: Scenario) -> None:
        # The account itself could write there.
        folders = "/etc /usr /home /srv /dev"
        modes = hosts.root("plain", f"stat --format '%a %n' {folders}; chmod 1777 {folders}")
        try:
            said = {
                folder: hosts.psql("plain", f"COPY (SELECT 1) TO '{folder}/pooled'").stderr
                for folder in folders.split()
            }
        finally:
            hosts.root("plain", "\n".join(f"chmod {line}" for line in modes.splitlines()))
        let = {folder: text for folder, text in said.items() if not re.search(CLOSED, text)}
        assert let == {}


@pytest.mark.usefixtures("prometheus")
class TestMonitoring:
    """The monitoring user."""

    def test_sees_activity_and_no_data(self, hosts: Scenario) -> None:
        hosts.query("plain", "CREATE TABLE IF NOT EXISTS secret_of_users (x int)", "mydb")
        activity = monitored(
            hosts, "plain", "SELECT count(*) FROM pg_stat_activity WHERE query <> ''", "mydb"
        )
        assert activity.returncode == 0, activity.stderr
        assert int(activity.stdout) > 0
        seen = "SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%insufficient privilege%'"
        assert monitored(hosts, "plain", seen).stdout.strip() == "0"
        data = monitored(hosts, "plain", "SELECT * FROM secret_of_users", "mydb")
        assert "permission denied for table secret_of_users" in data.stderr
        made = monitored(hosts, "plain", "CREATE TABLE mine (x int)", "mydb")
        assert "permission denied" in made.stderr
        verifiers = monitored(hosts, "plain", "SELECT rolpassword FROM pg_authid")
        assert "permission denied" in verifiers.stderr

    def test_accepts_only_its_own_account(self, hosts: Scenario) -> None:
        for account in ("root", "admin", "postgres"):
            result = monitored(hosts, "plain", "SELECT 1", account=account)
            assert "Peer authentication failed" in result.stderr, account
        said = hosts.login("plain", "x", user=MONITORING, database="postgres")
        assert "no pg_hba.conf entry" in said
        as_superuser = hosts.ssh("plain", "sudo -u prometheus psql -U postgres -c 'SELECT 1'")
        assert "Peer authentication failed" in as_superuser.stderr


ARCHIVE = "http://127.0.0.1:8017"
SOURCE = "/etc/apt/sources.list.d/pooled-pgdg.sources"
NEWER = "17.99-1.pgdg13+1"


@pytest.fixture(scope="module")
def archive(hosts: Scenario) -> Iterator[None]:
    """Serve an archive with a newer PostgreSQL, signed by one of two keys; remove it afterwards."""
    inputs = {
        "directory": "/srv/archive-of-the-test",
        "port": 8017,
        "suite": "trixie-pgdg",
        "package": "postgresql-17",
        "version": NEWER,
    }
    made = hosts.python("plain", (SUPPORT / "archive.py").read_text(), inputs, sudo=True)
    assert made.returncode == 0, made.stderr
    yield
    hosts.root("plain", f"systemctl stop archive; rm -r {inputs['directory']}; rm -f {SOURCE}")
    hosts.root("plain", "apt-get update --quiet=2")


@pytest.mark.usefixtures("archive")
class TestPostgresqlsOwnArchive:
    """The source ``pgdg``, against an archive on the host itself."""

    def run(self, hosts: Scenario, key: str, *arguments: str) -> Run:
        inputs = {
            "postgres_source": "pgdg",
            "postgres_version": 17,
            "postgres_pgdg_url": ARCHIVE,
            "postgres_pgdg_key": f"{ARCHIVE}/{key}.asc",
        }
        return hosts.playbook(*arguments, playbook=SUPPORT / "source.yml", by_host={"plain": inputs})

    def test_with_another_key_is_refused_and_removed(self, hosts: Scenario) -> None:
        result = self.run(hosts, "stranger")
        assert result.returncode != 0
        assert "Failed to use PostgreSQL's own archive" in words(result), result.stdout
        assert ARCHIVE in words(result)
        assert hosts.root("plain", f"ls {SOURCE} 2>/dev/null || echo gone") == "gone"

    def test_provides_the_packages(self, hosts: Scenario) -> None:
        foretold = self.run(hosts, "signer", "--check")
        assert foretold.returncode == 0, foretold.stdout
        assert hosts.root("plain", f"ls {SOURCE} 2>/dev/null || echo gone") == "gone"
        result = self.run(hosts, "signer")
        assert result.returncode == 0, result.stdout
        policy = hosts.root("plain", "apt-cache policy postgresql-17")
        assert f"Candidate: {NEWER}" in policy
        assert f"{ARCHIVE} trixie-pgdg/main" in policy
        again = self.run(hosts, "signer")
        assert changed_nothing(again), again.stdout


class TestChanges:
    """Changes to running servers, which come last because they stay."""

    LOCKS = "PostgreSQL keeps its old max_locks_per_transaction until a restart"
    UNIT = "PostgreSQL keeps its old systemd's unit until a restart"

    def test_wait_for_a_restart_until_it_is_allowed(self, hosts: Scenario) -> None:
        hosts.root("tuned", "install -d -o postgres -g postgres -m 700 /srv/tablespaces/fast")
        # The directory is newer than the server's start, so the server reaches it after the next one.
        hosts.root("tuned", f"systemctl restart {unit(hosts, 'tuned')}")
        hosts.query("tuned", "CREATE TABLESPACE fast LOCATION '/srv/tablespaces/fast'")
        hosts.query("tuned", "CREATE TABLE in_there (n int) TABLESPACE fast; INSERT INTO in_there VALUES (1)")
        started = {name: hosts.query(name, STARTED) for name in ("md5", "tuned")}
        by_host: dict[str, dict[str, Any]] = {
            "md5": {
                "postgres_settings": {"max_locks_per_transaction": 96, "log_min_duration_statement": 700}
            },
            "tuned": {"postgres_writable_paths": ["/srv/archive"]},
        }
        foretold = hosts.playbook("--check", "--diff", by_host=by_host)
        assert self.LOCKS in words(foretold)
        assert self.UNIT in words(foretold)
        assert "+ReadWritePaths=-/srv/archive" in foretold.stdout
        # The path that allowed it is gone, the tablespace remains.
        assert "+ReadWritePaths=-/srv/tablespaces/fast" in foretold.stdout
        made = hosts.playbook(by_host=by_host)
        assert not any(counts["failed"] for counts in recap(made).values()), made.stdout
        again = hosts.playbook(by_host=by_host)
        assert changed_nothing(again), again.stdout
        for result in (made, again):
            assert self.LOCKS in words(result)
            assert self.UNIT in words(result)
        assert hosts.query("md5", "SHOW log_min_duration_statement") == "700ms"
        assert hosts.query("md5", "SHOW max_locks_per_transaction") == "64"
        assert {name: hosts.query(name, STARTED) for name in started} == started
        allowed = hosts.playbook(by_host=by_host, variables={"postgres_restart_allowed": True})
        assert allowed.returncode == 0, allowed.stdout
        assert "until a restart" not in words(allowed)
        assert hosts.query("md5", "SHOW max_locks_per_transaction") == "96"
        assert hosts.query("tuned", STARTED) > started["tuned"]
        hosts.query("tuned", "INSERT INTO in_there VALUES (2); CHECKPOINT")

    def test_keep_users_who_own_something(self, hosts: Scenario) -> None:
        users = [
            {"name": "myuser", "password": secret("debian12"), "databases": ["mydb"]},
            {"name": "leaver", "state": "absent"},
        ]
        by_host = {"debian12": {"postgres_users": users}}
        hosts.query("debian12", "CREATE ROLE leaver LOGIN; GRANT ALL ON SCHEMA public TO leaver", "mydb")
        hosts.query("debian12", "SET ROLE leaver; CREATE TABLE left_behind (x int)", "mydb")
        result = hosts.playbook(by_host=by_host)
        assert result.returncode != 0
        assert "leaver owns table public.left_behind in mydb" in words(result), result.stdout
        assert hosts.query("debian12", "SELECT 1 FROM pg_roles WHERE rolname = 'leaver'") == "1"
        hosts.query("debian12", "DROP TABLE left_behind", "mydb")
        result = hosts.playbook(by_host=by_host)
        assert result.returncode == 0, result.stdout
        assert hosts.query("debian12", "SELECT 1 FROM pg_roles WHERE rolname = 'leaver'") == ""
