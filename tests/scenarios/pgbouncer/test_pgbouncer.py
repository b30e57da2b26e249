"""PgBouncer in front of PostgreSQL on bare hosts: logins, sandbox, changes under load, and drift."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from real_hosts import changed_nothing
from scenario import Scenario

PASSWORD = 'it\'s "secret" enough'
PROCESSES = {"scram": 1, "md5": 2, "lookup": 3, "tls": 2}
ONLY = Path(__file__).parent / "support/pgbouncer_only.yml"
LOAD = (Path(__file__).parent / "support/load.sh").read_text()

CANCELLING = """
import json, sys, threading, time, psycopg2
inputs = json.load(sys.stdin)
connections = [psycopg2.connect(**inputs) for _ in range(6)]
ended = []
def sleep(connection):
    try:
        connection.cursor().execute("SELECT pg_sleep(20)")
    except psycopg2.extensions.QueryCanceledError:
        ended.append(connection)
threads = [threading.Thread(target=sleep, args=(connection,)) for connection in connections]
for thread in threads:
    thread.start()
time.sleep(3)
start = time.monotonic()
for connection in connections:
    connection.cancel()
for thread in threads:
    thread.join()
print(json.dumps([len(ended), time.monotonic() - start]))
"""


def options(host: str, certified: dict[str, str]) -> dict[str, str]:
    """Return libpq's options that a client of the host's pooler needs."""
    return certified if host == "tls" else {}


def console(hosts: Scenario, host: str, command: str, process: int = 1) -> str:
    """Return what the console of a process answers its administrator."""
    psql = f"psql -XAtq -h /run/pgbouncer/{process} -p 6432 -U pgbouncer -d pgbouncer"
    return hosts.root(host, f"sudo -u pgbouncer {psql} -c {shlex.quote(command)}")


def test_users_log_in_through_the_pooler(hosts: Scenario, host: str, certified: dict[str, str]) -> None:
    known = options(host, certified)
    assert hosts.login(host, PASSWORD, port=6432, options=known) == "ok"
    wrong = hosts.login(host, "wrong", port=6432, options=known)
    assert "authentication failed" in wrong
    assert hosts.login(host, PASSWORD, user="stranger", port=6432, options=known) != "ok"
    assert hosts.login(host, PASSWORD, user="postgres", port=6432, options=known) != "ok"


def test_the_userlist_has_verifiers_and_only_pgbouncer_reads_it(hosts: Scenario, host: str) -> None:
    userlist = hosts.root(host, "cat /etc/pgbouncer/userlist.txt")
    assert ('"myuser" "md5' if host == "md5" else '"myuser" "SCRAM-SHA-256$4096:') in userlist
    stored = hosts.query(host, "SELECT rolpassword FROM pg_authid WHERE rolname = 'myuser'")
    assert stored in userlist
    assert PASSWORD not in userlist
    modes = hosts.root(
        host,
        "stat --format '%U:%G %a' /etc/pgbouncer /etc/pgbouncer/userlist.txt /etc/pgbouncer/pgbouncer-*.ini",
    )
    assert set(modes.splitlines()) == {"root:pgbouncer 750", "root:pgbouncer 640"}


def test_all_processes_run_and_are_peers(hosts: Scenario, host: str) -> None:
    units = hosts.root(host, "systemctl list-units --plain --no-legend --state=running 'pgbouncer*'")
    wanted = PROCESSES[host]
    assert [line.split()[0] for line in units.splitlines()] == [
        f"pgbouncer@{number}.service" for number in range(1, wanted + 1)
    ]
    for number in range(1, wanted + 1):
        peers = console(hosts, host, "SHOW PEERS", number).splitlines()
        assert len(peers) == wanted - 1
    limits = [
        int(re.findall(r"(?m)^max_client_conn\|(\d+)", console(hosts, host, "SHOW CONFIG", number))[0])
        for number in range(1, wanted + 1)
    ]
    assert sum(limits) == 1000


def test_a_cancel_request_reaches_its_process(hosts: Scenario, host: str, certified: dict[str, str]) -> None:
    inputs = {
        "host": "127.0.0.1",
        "port": 6432,
        "user": "myuser",
        "password": PASSWORD,
        "dbname": "mydb",
        **options(host, certified),
    }
    result = hosts.python(host, CANCELLING, inputs)
    assert result.returncode == 0, result.stderr
    cancelled, seconds = json.loads(result.stdout)
    assert cancelled == 6
    assert seconds < 5


def test_sandbox_is_in_force(hosts: Scenario, host: str) -> None:
    for number in range(1, PROCESSES[host] + 1):
        name = f"pgbouncer@{number}.service"
        # In tenths: below 2.5.
        hosts.root(host, f"systemd-analyze security --no-pager --threshold=24 {name}")
        pid = hosts.root(host, f"systemctl show --property=MainPID --value {name}")
        status = hosts.root(host, f"cat /proc/{pid}/status; stat --format 'Owner: %U' /proc/{pid}")
        assert "NoNewPrivs:\t1" in status
        assert "Seccomp:\t2" in status
        assert "CapBnd:\t0000000000000000" in status
        assert "Owner: pgbouncer" in status


class TestLookup:
    """Users that only PostgreSQL has."""

    @pytest.fixture
    def newcomer(self, hosts: Scenario) -> Iterator[str]:
        """Create a user without a run."""
        hosts.query("lookup", "GRANT CONNECT ON DATABASE mydb TO app_users")
        hosts.query("lookup", "CREATE ROLE newcomer LOGIN PASSWORD 'new' IN ROLE app_users")
        yield "newcomer"
        hosts.query("lookup", "DROP ROLE newcomer")

    def test_a_new_user_logs_in_without_a_run(self, hosts: Scenario, newcomer: str) -> None:
        assert hosts.login("lookup", "new", user=newcomer, port=6432) == "ok"
        assert "authentication failed" in hosts.login("lookup", "old", user=newcomer, port=6432)
        assert newcomer not in hosts.root("lookup", "cat /etc/pgbouncer/userlist.txt")

    @pytest.mark.parametrize(
        "what",
        ["VALID UNTIL 'yesterday'", "SUPERUSER", "REPLICATION", "BYPASSRLS", "NOLOGIN", "PASSWORD NULL"],
    )
    def test_others_are_not_found(self, hosts: Scenario, newcomer: str, what: str) -> None:
        hosts.query("lookup", f"ALTER ROLE {newcomer} {what}")
        for password in ("new", "md5"):
            said = hosts.login("lookup", password, user=newcomer, port=6432)
            assert "no such user" in said or "authentication failed" in said, said

    def test_the_user_for_lookups_has_no_other_right(self, hosts: Scenario) -> None:
        assert hosts.login("lookup", "", user="pgbouncer_auth", port=6432) != "ok"
        rights = (
            "SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = 'pgbouncer_auth'"
        )
        assert hosts.query("lookup", rights) == "f"
        refused = hosts.psql("lookup", "SET ROLE pgbouncer_auth; SELECT * FROM pg_authid")
        assert "permission denied" in refused.stderr
        assert (
            "permission denied"
            in hosts.psql("lookup", "SET ROLE myuser; SELECT pgbouncer.user_lookup('x')").stderr
        )


class TestTls:
    """Both sides verify the other's certificate, on both legs."""

    def test_clients_without_a_certificate_or_without_tls_are_refused(
        self, hosts: Scenario, certified: dict[str, str]
    ) -> None:
        plain = hosts.login("tls", PASSWORD, port=6432, options={"sslmode": "disable"})
        assert "SSL required" in plain, plain
        without = {k: v for k, v in certified.items() if k not in ("sslcert", "sslkey")}
        assert hosts.login("tls", PASSWORD, port=6432, options=without) != "ok"

    def test_clients_refuse_a_server_of_another_name(
        self, hosts: Scenario, certified: dict[str, str]
    ) -> None:
        said = hosts.login("tls", PASSWORD, port=6432, options={**certified, "host": "elsewhere"})
        assert 'does not match host name "elsewhere"' in said

    def test_postgresql_is_reached_by_tls(self, hosts: Scenario, certified: dict[str, str]) -> None:
        words = " ".join(f"{name}={value}" for name, value in certified.items())
        own = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        psql = f'psql -XAt -c "{own}" "{words} port=6432 user=myuser dbname=mydb"'
        said = hosts.ssh("tls", f'export PGPASSWORD="$(cat)"; {psql}', stdin=PASSWORD)
        assert said.stdout.strip() == "t", said.stderr
        assert "verify-full" in console(hosts, "tls", "SHOW CONFIG")


def test_a_run_repairs_drift_and_names_it(hosts: Scenario) -> None:
    before = state(hosts, "md5")
    hosts.root(
        "md5",
        "sed -i 's/^pool_mode.*/pool_mode = session/' /etc/pgbouncer/pgbouncer-1.ini;"
        ' echo \'"stranger" "secret"\' >> /etc/pgbouncer/userlist.txt;'
        " chmod 0644 /etc/pgbouncer/pgbouncer-2.ini; systemctl stop pgbouncer@2",
    )
    with stays_connected(hosts, "md5", process=1) as still:
        result = hosts.playbook("--limit", "md5", "--diff", playbook=ONLY)
        assert result.returncode == 0, result.stdout
        assert still()
    for named in (
        "/etc/pgbouncer/pgbouncer-1.ini",
        "/etc/pgbouncer/pgbouncer-2.ini",
        "/etc/pgbouncer/userlist.txt",
        "item=1: its configuration file, the userlist",
        "item=2: it does not answer on its socket",
    ):
        assert named in result.stdout, result.stdout
    assert "secret" not in result.stdout
    assert "stranger" not in hosts.root("md5", "cat /etc/pgbouncer/userlist.txt")
    assert "pool_mode = transaction" in hosts.root("md5", "cat /etc/pgbouncer/pgbouncer-1.ini")
    assert hosts.root("md5", "stat --format %a /etc/pgbouncer/pgbouncer-2.ini") == "640"
    after = state(hosts, "md5")
    assert after[0] == before[0]
    assert after[1] not in ("0", before[1])
    assert changed_nothing(hosts.playbook("--limit", "md5", playbook=ONLY))


@contextmanager
def stays_connected(hosts: Scenario, host: str, process: int) -> Iterator[Callable[[], bool]]:
    """Keep a client connected to a process; the function says whether that connection still answers."""
    script = (
        "import json, sys, psycopg2\n"
        "connection = psycopg2.connect(**json.loads(sys.stdin.readline()))\n"
        "connection.autocommit = True\n"
        "for _line in sys.stdin:\n"
        "    connection.cursor().execute('SELECT 1')\n"
        "    print('served', flush=True)\n"
    )
    command = ["ssh", "-F", str(hosts.state / "ssh_config"), host, f"python3 -c {shlex.quote(script)}"]
    options = {
        "host": f"/run/pgbouncer/{process}",
        "port": 6432,
        "user": "myuser",
        "password": PASSWORD,
        "dbname": "mydb",
    }
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        asked, said = client.stdin, client.stdout
        assert asked
        assert said
        asked.write(json.dumps(options) + "\n")

        def answers() -> bool:
            asked.write("\n")
            asked.flush()
            return said.readline() == "served\n"

        assert answers()
        yield answers
        asked.close()


@contextmanager
def load(hosts: Scenario, host: str, known: dict[str, str]) -> Iterator[list[dict[str, Any]]]:
    """Run 50 clients through the pooler while the block lasts; then the list has each pgbench."""
    stop = f"/tmp/stop-{host}"
    hosts.ssh(host, f"rm -f {stop}")
    words = " ".join(f"{name}={value}" for name, value in {"host": "127.0.0.1", **known}.items())
    command = f"{LOAD}\nload {shlex.quote(words)} {stop}"
    said: list[str] = []
    runs: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: said.append(hosts.ssh(host, command, stdin=PASSWORD).stdout))
    thread.start()
    try:
        yield runs
    finally:
        hosts.ssh(host, f"touch {stop}")
        thread.join()
    for part in said[0].split("=== ")[1:]:
        runs.append(
            {
                "code": int(part.split()[0]),
                "done": int((re.findall(r"actually processed: (\d+)", part) or ["0"])[0]),
                "failed": int((re.findall(r"failed transactions: (\d+)", part) or ["-1"])[0]),
                "said": part,
            }
        )


def state(hosts: Scenario, host: str) -> list[str]:
    """Return the ids of the processes, 0 for one that does not run."""
    units = " ".join(f"pgbouncer@{number}" for number in range(1, PROCESSES[host] + 1))
    return hosts.root(host, f"systemctl show --property=MainPID --value {units}").split()


def test_no_transaction_fails_while_things_change(hosts: Scenario, certified: dict[str, str]) -> None:
    changed = ("md5", "lookup", "tls")
    for host in changed:
        hosts.query(host, "GRANT CREATE ON SCHEMA public TO myuser", "mydb")
        made = hosts.ssh(
            host,
            'export PGPASSWORD="$(cat)"; pgbench -iq -s 2 "host=127.0.0.1 user=myuser dbname=mydb" 2>&1',
            stdin=PASSWORD,
        )
        assert made.returncode == 0, made.stdout
    # As after a run that failed after it wrote the unit: no process has read it.
    hosts.root("scram", "touch /etc/systemd/system/pgbouncer@.service")
    before = {host: state(hosts, host) for host in PROCESSES}
    served = hosts.root("tls", "sha256sum /etc/ssl/pooled/*/server.crt")
    # Another than now, so that this can be run again.
    backlog = 201 if "listen_backlog|200|" in console(hosts, "md5", "SHOW CONFIG") else 200
    guest = {"name": "guest", "verifier": "md5" + "0" * 32}
    variables = {
        # A setting that needs a restart, one that needs a reload, a further user, and new certificates.
        "all_settings": {
            "md5": {"listen_backlog": backlog, "server_idle_timeout": 500},
            "lookup": {"server_idle_timeout": 500},
        },
        "pgbouncer_settings": "{{ all_settings[inventory_hostname] | default({}) }}",
        "pgbouncer_users": [{"name": "myuser", "password": PASSWORD}, guest],
        "pooled_certificates_renew": True,
    }
    with (
        load(hosts, "md5", {}) as md5,
        load(hosts, "lookup", {}) as lookup,
        load(hosts, "tls", certified) as tls,
    ):
        result = hosts.playbook(variables=variables)
    assert result.returncode == 0, result.stdout
    for runs in (md5, lookup, tls):
        assert [run for run in runs if run["code"] or run["failed"]] == []
        assert len(runs) > 1
        assert sum(run["done"] for run in runs) > 1000
    # All of it is in force, and only processes that had to were restarted.
    after = {host: state(hosts, host) for host in PROCESSES}
    for host in ("md5", "scram"):
        assert set(before[host]).isdisjoint(after[host])
    assert (before["lookup"], before["tls"]) == (after["lookup"], after["tls"])
    for host in changed:
        assert '"guest"' in hosts.root(host, "cat /etc/pgbouncer/userlist.txt")
    for number in (1, 2, 3):
        assert "server_idle_timeout|500|" in console(hosts, "lookup", "SHOW CONFIG", number)
    for number in (1, 2):
        assert f"listen_backlog|{backlog}|" in console(hosts, "md5", "SHOW CONFIG", number)
    assert not set(served.splitlines()) & set(
        hosts.root("tls", "sha256sum /etc/ssl/pooled/*/server.crt").splitlines()
    )
    again = hosts.playbook(variables={**variables, "pooled_certificates_renew": False})
    assert changed_nothing(again), again.stdout


def test_without_tls_the_certificates_go_and_with_it_they_return(
    hosts: Scenario, certified: dict[str, str]
) -> None:
    without = {
        "postgres_tls": False,
        "pgbouncer_client_tls_mode": "disable",
        "pgbouncer_server_tls_mode": "disable",
    }
    before = state(hosts, "tls")
    result = hosts.playbook(by_host={"tls": without})
    assert result.returncode == 0, result.stdout
    assert hosts.root("tls", "ls -A /etc/ssl/pooled") == ""
    assert hosts.login("tls", PASSWORD, port=6432) == "ok"
    result = hosts.playbook("--limit", "tls")
    assert result.returncode == 0, result.stdout
    assert hosts.login("tls", PASSWORD, port=6432, options=certified) == "ok"
    # A reload was enough, both times.
    assert state(hosts, "tls") == before
