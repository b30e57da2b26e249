# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module with a real pgbench and a real server; it logs in with a password that is hard to pass on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._pgbench import api

if TYPE_CHECKING:
    from tests.unit.plugins.module_utils._pgbench.conftest import Account, Runner, Server

LATENCIES = ("avg", "min", "p50", "p95", "p99", "max")
KEYED = ["pgbench_accounts", "pgbench_branches", "pgbench_tellers"]
TABLES = [*KEYED, "pgbench_history"]
EMPTY: dict[str, Any] = {"scale": None, "tables": [], "primary_keys": []}

# Client 0 fails in each transaction, and client 1 in none.
HALF_FAILING = r"""
\if :client_id = 0
DO $$ BEGIN RAISE SQLSTATE '40001'; END $$;
\else
SELECT 1;
\endif
"""


def initialised(scale: int) -> dict[str, Any]:
    return {"scale": scale, "tables": TABLES, "primary_keys": KEYED}


@pytest.fixture
def filled(account: Account, run_module: Runner) -> Account:
    """An account whose database has the tables."""
    assert run_module(action="initialise", **account.login)["changed"] is True
    return account


# --- Initialise -----------------------------------------------------------------------------------------


def test_initialise(account: Account, run_module: Runner, server: Server) -> None:
    arguments = {"action": "initialise", "_ansible_diff": True, "scale": 2, **account.login}

    foreseen = run_module(_ansible_check_mode=True, **arguments)
    assert foreseen["changed"] is True
    assert foreseen["diff"] == {"before": EMPTY, "after": initialised(2)}
    assert foreseen["command"] is None
    assert server.query("SELECT 1 FROM pg_class WHERE relname LIKE 'pgbench%'", account.database) == []

    done = run_module(**arguments)
    assert done["changed"] is True
    assert done["diff"] == foreseen["diff"]
    assert (done["previous_scale"], done["scale"]) == (None, 2)
    assert server.query("SELECT count(*) FROM pgbench_accounts", account.database) == [(200_000,)]

    for check_mode in (True, False):
        again = run_module(_ansible_check_mode=check_mode, **arguments)
        assert again["changed"] is False
        assert again["diff"] == {"before": initialised(2), "after": initialised(2)}
        assert again["command"] is None

    smaller = run_module(**{**arguments, "scale": 1})
    assert smaller["changed"] is True
    assert smaller["diff"] == {"before": initialised(2), "after": initialised(1)}
    assert smaller["previous_scale"] == 2
    assert server.query("SELECT count(*) FROM pgbench_branches", account.database) == [(1,)]
    assert run_module.leftovers() == []


@pytest.mark.parametrize(
    ("steps", "before"),
    [
        ("dt", {"scale": 0, "tables": TABLES, "primary_keys": []}),
        ("dtg", {"scale": 1, "tables": TABLES, "primary_keys": []}),
        ("dtgv", {"scale": 1, "tables": TABLES, "primary_keys": []}),
    ],
)
def test_an_interrupted_initialisation_is_repeated(
    account: Account, run_module: Runner, server: Server, steps: str, before: dict[str, Any]
) -> None:
    command = [
        api.find_executable(None),
        "-i",
        "-q",
        "-I",
        steps,
        "-h",
        server.socket,
        "-p",
        str(server.port),
    ]
    subprocess.run([*command, "-U", "postgres", account.database], check=True, capture_output=True)
    for table in TABLES:
        server.query(f"ALTER TABLE {table} OWNER TO {account.user}", account.database)
    arguments = {"action": "initialise", "_ansible_diff": True, **account.login}
    done = run_module(**arguments)
    assert done["changed"] is True
    assert done["diff"] == {"before": before, "after": initialised(1)}
    assert run_module(**arguments)["changed"] is False


@pytest.mark.parametrize(
    ("damage", "difference"),
    [
        ("DROP TABLE pgbench_history", {"tables": KEYED}),
        (
            "ALTER TABLE pgbench_accounts DROP CONSTRAINT pgbench_accounts_pkey;"
            "CREATE UNIQUE INDEX ON pgbench_accounts (aid)",
            {"primary_keys": ["pgbench_branches", "pgbench_tellers"]},
        ),
        ("DROP TABLE pgbench_branches", {"scale": None, "tables": [TABLES[0], *TABLES[2:]]}),
    ],
)
def test_damaged_tables_are_made_again(
    filled: Account, run_module: Runner, server: Server, damage: str, difference: dict[str, Any]
) -> None:
    server.query(damage, filled.database)
    done = run_module(action="initialise", _ansible_diff=True, _ansible_check_mode=True, **filled.login)
    assert done["changed"] is True
    before = done["diff"]["before"]
    assert {name: before[name] for name in difference} == difference


def test_initialise_without_permission(account: Account, run_module: Runner, server: Server) -> None:
    server.query(f"ALTER DATABASE {account.database} OWNER TO postgres")
    server.query("REVOKE CREATE ON SCHEMA public FROM PUBLIC", account.database)
    result = run_module(action="initialise", **account.login)
    assert result["failed"] is True
    assert result["msg"] == (
        f"Failed to initialise database {account.database} at 127.0.0.1:{account.port}: "
        "permission denied for schema public. Log in as the owner of the tables, or grant the rights"
    )


@pytest.fixture
def locked(filled: Account, server: Server) -> Iterator[Account]:
    """The account, while somebody else has locked a table."""
    other = psycopg2.connect(host=server.socket, port=server.port, user="postgres", dbname=filled.database)
    other.cursor().execute("LOCK TABLE pgbench_branches IN ACCESS EXCLUSIVE MODE")
    yield filled
    other.close()


def test_initialise_behind_a_lock(locked: Account, run_module: Runner) -> None:
    result = run_module(action="initialise", timeout=1, **locked.login)
    assert result["failed"] is True
    assert result["msg"].endswith("it took over 1 s. Check for locks, or raise timeout.")


# --- Run ------------------------------------------------------------------------------------------------


def check_latencies(run: dict[str, Any]) -> None:
    latency = run["latency_ms"]
    assert tuple(latency) == LATENCIES
    assert 0 < latency["min"] <= latency["p50"] <= latency["p95"] <= latency["p99"] <= latency["max"]
    assert latency["min"] <= latency["avg"] <= latency["max"]


def test_run(filled: Account, run_module: Runner, server: Server) -> None:
    result = run_module(action="run", clients=4, jobs=2, transactions=25, **filled.login)
    run, details = result["run"], result["details"]
    check_latencies(run)
    assert result["changed"] is True
    expected = {"script": "tpcb-like", "mode": "persistent", "clients": 4, "jobs": 2, "transactions": 100}
    assert {name: run[name] for name in expected} == expected
    assert (run["failed"], run["error"]) == (0, None)
    # What a client does in its time is its transactions, one after the other.
    assert run["tps"] == pytest.approx(4 * 1000 / details["latency_average_ms"], rel=0.01)
    assert run["latency_ms"]["avg"] <= details["latency_average_ms"]
    assert details["latencies_logged"] == 100
    assert details["threads"] == 2
    assert details["initial_connection_ms"] > 0
    assert details["tps_counts"] == "without initial connection time"
    assert server.query("SELECT count(*) FROM pgbench_history", filled.database) == [(100,)]
    assert result["stdout"].startswith("pgbench (")
    assert result["command"].endswith(
        f"/pgbench -c 4 -j 2 -M simple -t 25 -b tpcb-like -n --failures-detailed -l --log-prefix=log "
        f"-h 127.0.0.1 -p {filled.port} -U {filled.user} {filled.database}"
    )
    assert "warnings" not in result
    assert run_module.leftovers() == []


def test_run_for_a_time(filled: Account, run_module: Runner) -> None:
    result = run_module(action="run", duration=1, script="select-only", protocol="prepared", **filled.login)
    check_latencies(result["run"])
    assert result["changed"] is False
    assert result["details"]["duration_s"] == 1
    assert result["details"]["query_mode"] == "prepared"
    assert result["details"]["latencies_logged"] == result["run"]["transactions"] > 0


def test_run_with_a_connection_for_each_transaction(filled: Account, run_module: Runner) -> None:
    result = run_module(
        action="run", clients=2, transactions=5, script="select-only", reconnect=True, **filled.login
    )
    check_latencies(result["run"])
    assert result["run"]["mode"] == "reconnect"
    assert result["details"]["tps_counts"] == "including reconnection times"
    assert result["details"]["average_connection_ms"] > 0
    assert result["details"]["initial_connection_ms"] is None
    # pgbench's figure has connecting in it, the log has not.
    assert result["details"]["latency_average_ms"] > result["run"]["latency_ms"]["avg"]


def test_own_script(account: Account, run_module: Runner) -> None:
    script = "SELECT 'ä' = chr(228) AS same \\gset\n\\if :same\n\\else\nSELECT 1/0;\n\\endif\n"
    arguments = {"action": "run", "transactions": 2, "script_content": script, **account.login}
    result = run_module(script_name="own@2/ä", **arguments)
    assert result["run"]["error"] is None
    assert result["run"]["script"] == "own@2/ä"
    assert result["changed"] is True
    assert result["details"]["transaction_type"] == "script.sql"
    assert run_module(**arguments)["run"]["script"] == "custom"


def test_failed_transactions_are_no_latencies(account: Account, run_module: Runner) -> None:
    result = run_module(
        action="run", clients=2, transactions=5, script_content=HALF_FAILING, max_tries=3, **account.login
    )
    run, details = result["run"], result["details"]
    assert (run["transactions"], run["failed"], run["error"]) == (5, 5, None)
    assert details["failed_percent"] == details["serialization_failures_percent"] == 50.0
    assert (details["serialization_failures"], details["deadlock_failures"]) == (5, 0)
    assert (details["retried"], details["retries"]) == (5, 10)
    assert details["latency_includes_failures"] is True
    assert details["latencies_logged"] == 5
    check_latencies(run)


def test_all_transactions_fail(account: Account, run_module: Runner) -> None:
    script = "DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$;"
    run = run_module(action="run", transactions=5, script_content=script, **account.login)["run"]
    assert (run["transactions"], run["failed"], run["error"]) == (0, 5, None)
    assert not run["tps"]  # version 15 prints none, 18 prints zero
    assert run["latency_ms"] == dict.fromkeys(LATENCIES)


def test_sampling(filled: Account, run_module: Runner) -> None:
    result = run_module(
        action="run", transactions=2000, script="select-only", log_sampling_rate=0.5, **filled.login
    )
    assert result["run"]["error"] is None
    assert 800 < result["details"]["latencies_logged"] < 1200  # 9 standard deviations
    check_latencies(result["run"])


def test_vacuum(filled: Account, run_module: Runner, server: Server) -> None:
    arguments = {"action": "run", "transactions": 3, **filled.login}
    run_module(**arguments)
    run_module(**arguments)
    assert server.query("SELECT count(*) FROM pgbench_history", filled.database) == [(6,)]
    run_module(vacuum=True, **arguments)
    assert server.query("SELECT count(*) FROM pgbench_history", filled.database) == [(3,)]


def test_names_that_could_be_something_else(account: Account, run_module: Runner, server: Server) -> None:
    user, database = f"-u 'ö\"{account.user}", f"-h=nowhere '\\ö\"{account.database}"
    quoted_user, quoted_database = ('"{}"'.format(name.replace('"', '""')) for name in (user, database))
    server.query(f"CREATE ROLE {quoted_user} LOGIN PASSWORD 'x'")
    server.query(f"CREATE DATABASE {quoted_database} OWNER {quoted_user}")
    try:
        login = {**account.login, "login_user": user, "login_db": database, "login_password": "x"}
        assert run_module(action="initialise", **login)["changed"] is True
        assert run_module(action="initialise", **login)["changed"] is False
        result = run_module(action="run", transactions=2, **login)
        assert (result["run"]["transactions"], result["run"]["error"]) == (2, None)
    finally:
        server.query(f"DROP DATABASE {quoted_database} WITH (FORCE)")
        server.query(f"DROP ROLE {quoted_user}")


# --- Environment and secrets ----------------------------------------------------------------------------


@pytest.fixture
def hostile(tmp_path: Path, account: Account) -> dict[str, str]:
    """An environment and a home directory that lead elsewhere."""
    home = tmp_path / "home"
    (home / ".postgresql").mkdir(parents=True)
    (home / ".postgresql" / "root.crt").write_text("no certificate")
    (home / ".pg_service.conf").write_text("[elsewhere]\nhost=192.0.2.1\nport=1\n")
    (home / ".pgpass").write_text(f"*:*:*:*:{account.password}".replace("\\", "\\\\") + "\n")
    (home / ".pgpass").chmod(0o600)
    return {
        "HOME": str(home),
        "PGHOST": "192.0.2.1",
        "PGHOSTADDR": "192.0.2.1",
        "PGPORT": "1",
        "PGUSER": "nobody",
        "PGDATABASE": "nowhere",
        "PGPASSWORD": "wrong",
        "PGPASSFILE": str(home / ".pgpass"),
        "PGSERVICE": "elsewhere",
        "PGSERVICEFILE": str(home / ".pg_service.conf"),
        "PGOPTIONS": "-c default_transaction_read_only=on",
        "PGSSLMODE": "require",
        "PGCLIENTENCODING": "no_such_encoding",
        "PGBENCH_RANDOM_SEED": "no number",
    }


def test_the_environment_leads_nowhere_else(
    account: Account, run_module: Runner, hostile: dict[str, str]
) -> None:
    assert run_module(hostile, action="initialise", **account.login)["changed"] is True
    result = run_module(hostile, action="run", transactions=2, **account.login)
    assert (result["run"]["transactions"], result["run"]["error"]) == (2, None)


@pytest.mark.parametrize("action", ["initialise", "run"])
def test_the_environment_gives_no_password(
    account: Account, run_module: Runner, hostile: dict[str, str], action: str
) -> None:
    login = {**account.login, "login_password": None}
    result = run_module(hostile, action=action, transactions=1, **login)
    assert result["failed"] is True
    assert "no password supplied. Check login_user, login_password" in result["msg"]


def secrets_in_processes(secret: bytes) -> list[str]:
    """Return which arguments and environments of processes have the secret in them."""
    found = []
    for path in [*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/environ")]:
        try:
            if secret in path.read_bytes():
                found.append(str(path))
        except OSError:  # it has ended, or is not ours
            continue
    return found


def test_the_password_is_nobody_elses(
    account: Account, run_module: Runner, eventually: Callable[[Callable[[], object]], None], server: Server
) -> None:
    arguments = {"action": "run", "transactions": 1, "script_content": "SELECT pg_sleep(60);"}
    process = run_module.start({**arguments, "on_error": "report", **account.login})
    backends = "SELECT usename, pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60);'"
    eventually(lambda: account.user in dict(server.query(backends)))
    assert secrets_in_processes(account.password.encode()) == []
    [passfile] = [path for path in run_module.leftovers() if path.name == "passfile"]
    assert passfile.stat().st_mode & 0o777 == 0o600
    assert passfile.parent.stat().st_mode & 0o777 == 0o700
    server.query(f"SELECT pg_terminate_backend({dict(server.query(backends))[account.user]})")
    stdout, stderr = process.communicate(timeout=30)
    assert b'"run"' in stdout
    assert b"$HOME" in account.password.encode()
    assert b"$HOME" not in stdout + stderr
    assert b"VALUE_SPECIFIED_IN_NO_LOG_PARAMETER" in stdout
    assert run_module.leftovers() == []


def test_secrets_would_be_seen() -> None:
    """The search of the test above finds what is there."""
    secret = f"s3cret-{os.getpid()}"
    for arguments, environment in (([secret], {}), ([], {"SECRET": secret})):
        with subprocess.Popen(
            ["sh", "-c", "read x", *arguments], stdin=subprocess.PIPE, env={**os.environ, **environment}
        ) as process:
            assert any(f"/{process.pid}/" in path for path in secrets_in_processes(secret.encode()))


# --- Failures -------------------------------------------------------------------------------------------

FAILURES: dict[str, tuple[dict[str, Any], str]] = {
    "nobody listens": (
        {"login_port": 1},
        "Connection refused. Check that the server is running, and ",
    ),
    "wrong password": (
        {"login_password": "s3cret"},
        'password authentication failed for user "{user}". Check login_user, login_password',
    ),
    "unknown role": (
        {"login_user": "nobody"},
        'password authentication failed for user "nobody". Check login_user, login_password',
    ),
    "unknown database": ({"login_db": "nowhere"}, 'database "nowhere" does not exist. Check login_db'),
    "unknown host": ({"login_host": "nowhere.invalid"}, 'could not translate host name "nowhere.invalid" to'),
}
RUN_FAILURES: dict[str, tuple[dict[str, Any], str]] = {
    "no tables": ({}, 'relation "pgbench_branches" does not exist. Create the tables with action=initialise'),
    "syntax of SQL": (
        {"script_content": "SELECT 1;\nSELEC 2;", "clients": 3},
        'syntax error at or near "SELEC" (LINE 1: SELEC 2;) (3 times, first in command 2 of the script, ',
    ),
    "syntax of pgbench": (
        {"script_content": "\\sett x 1"},
        'script.sql:1: invalid command in command "sett". Correct script_content',
    ),
    "no statement": ({"script_content": "-- none"}, 'empty command list for script "script.sql". Correct'),
    "open transaction": (
        {"script_content": "BEGIN;"},
        "the run was aborted and its figures are incomplete: "
        "end of script reached without completing the last transaction. End the transaction in",
    ),
    "too many clients": (
        {"script_content": "SELECT 1;", "clients": 30},
        "remaining connection slots are reserved for",
    ),
}


@pytest.mark.parametrize("case", FAILURES)
@pytest.mark.parametrize("action", ["initialise", "run"])
def test_failures_to_connect(account: Account, run_module: Runner, action: str, case: str) -> None:
    changes, expected = FAILURES[case]
    login = {**account.login, **changes}
    result = run_module(action=action, transactions=1, **login)
    target = f"database {login['login_db']} at {login['login_host']}:{login['login_port']}"
    verb = {"initialise": "read the tables of", "run": "run pgbench on"}[action]
    assert result["failed"] is True
    assert result["msg"].startswith(f"Failed to {verb} {target}: {expected.format(user=account.user)}")
    assert "\n" not in result["msg"]
    assert "s3cret" not in str(result)
    assert run_module.leftovers() == []


@pytest.mark.parametrize("case", RUN_FAILURES)
def test_failures_to_run(account: Account, run_module: Runner, case: str) -> None:
    changes, expected = RUN_FAILURES[case]
    result = run_module(action="run", transactions=1, **account.login, **changes)
    target = f"database {account.database} at 127.0.0.1:{account.port}"
    assert result["failed"] is True
    assert result["msg"].startswith(f"Failed to run pgbench on {target}: {expected}")
    assert result["run"]["error"] == result["msg"].removeprefix(f"Failed to run pgbench on {target}: ")
    assert "\n" not in result["msg"]


def test_failures_as_results(account: Account, run_module: Runner) -> None:
    login = {**account.login, "login_port": 1}
    result = run_module(action="run", clients=5, transactions=1, on_error="report", **login)
    assert "failed" not in result
    assert result["run"] == {
        "script": "tpcb-like",
        "mode": "persistent",
        "clients": 5,
        "jobs": 1,
        "transactions": None,
        "tps": None,
        "failed": None,
        "latency_ms": dict.fromkeys(LATENCIES),
        "error": "Connection refused. Check that the server is running, and login_host and login_port",
    }


def test_figures_of_an_aborted_run(account: Account, run_module: Runner) -> None:
    script = "\\if :client_id = 0\nSELECT 1/0;\n\\else\nSELECT 1;\n\\endif\n"
    run = run_module(
        action="run", clients=4, transactions=5, script_content=script, on_error="report", **account.login
    )["run"]
    assert run["error"] == (
        "the run was aborted and its figures are incomplete: division by zero "
        "(in command 2 of the script, client 0)"
    )
    assert run["transactions"] == 15
    assert run["tps"] > 0
    check_latencies(run)


def test_more_clients_than_connections_reconnecting(account: Account, run_module: Runner) -> None:
    """Each refused client is a line of pgbench's, and all of them one of ours."""
    run = run_module(
        action="run",
        clients=60,
        jobs=60,
        duration=1,
        reconnect=True,
        script_content="SELECT pg_sleep(0.2);",
        on_error="report",
        **account.login,
    )["run"]
    assert run["error"].startswith("the run was aborted and its figures are incomplete: ")
    assert " times)" in run["error"]
    assert run["error"].endswith(". Use fewer clients, go through PgBouncer, or raise max_connections")
    assert "\n" not in run["error"]
    assert run["transactions"] > 0


def test_a_run_that_takes_too_long(account: Account, run_module: Runner) -> None:
    script = "SELECT pg_sleep(60);"
    result = run_module(action="run", transactions=1, script_content=script, timeout=1, **account.login)
    assert result["failed"] is True
    assert result["msg"].endswith(": pgbench was killed after 1 s. Check for locks, or raise timeout")
    assert run_module.leftovers() == []


def test_complaints_of_a_run_that_ends_well(account: Account, run_module: Runner) -> None:
    result = run_module(
        action="run", transactions=1, script_content="SELECT 1;", vacuum=True, **account.login
    )
    assert result["run"]["error"] is None
    [warning] = result["warnings"]
    assert 'pgbench reported: relation "pgbench_branches" does not exist' in str(warning)


def test_check_mode_does_not_run(filled: Account, run_module: Runner, server: Server) -> None:
    result = run_module(action="run", transactions=1, _ansible_check_mode=True, **filled.login)
    assert result["skipped"] is True
    assert result["changed"] is False
    assert result["msg"] == "pgbench does not run in check mode"
    assert "run" not in result
    assert server.query("SELECT 1 FROM pgbench_history", filled.database) == []
