# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pgbench prints, logs and complains of, and what it is told. See fixtures/README.md for the sources."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._pgbench import model
from ansible_collections.pooled.postgres.plugins.module_utils._pgbench.errors import (
    InvalidInputError,
    LogError,
)

TARGET = model.Target(host="10.0.2.10", port=6432, user="myuser", database="mydb", password="s3cret")
WORKLOAD = model.Workload(transactions=100)


def captured(file: str) -> dict[str, str]:
    """Return the runs in a file of the fixtures by their names."""
    parts = re.split(r"(?m)^=== (.*)\n", (Path(__file__).parent / "fixtures" / file).read_text())
    return dict(zip(parts[1::2], parts[2::2], strict=True))


OUTPUTS = {version: captured(f"output-{version}.txt") for version in ("15", "16", "17", "18")}
LOGS = {version: captured(f"log-{version}.txt") for version in ("15", "18")}
ERRORS = captured("errors.txt")

# --- Output ---------------------------------------------------------------------------------------------

# Read from the fixtures by eye.
FIGURES: dict[tuple[str, str], dict[str, Any]] = {
    ("17", "tpcb_like"): {
        "pgbench_version": "17.11",
        "server_version": "15.18",
        "transaction_type": "<builtin: TPC-B (sort of)>",
        "scale": 2,
        "query_mode": "simple",
        "clients": 10,
        "threads": 2,
        "max_tries": 1,
        "transactions_per_client": 100,
        "duration_s": None,
        "transactions": 1000,
        "failed": 0,
        "failed_percent": 0.0,
        "serialization_failures": None,
        "latency_average_ms": 4.450,
        "latency_includes_failures": False,
        "latency_stddev_ms": None,
        "initial_connection_ms": 50.243,
        "average_connection_ms": None,
        "tps": 2247.160712,
        "tps_counts": "without initial connection time",
        "scripts": [],
    },
    ("15", "select_only_prepared_duration"): {
        "pgbench_version": "15.18",
        "server_version": "15.18",
        "transaction_type": "<builtin: select only>",
        "query_mode": "prepared",
        "duration_s": 1,
        "transactions_per_client": None,
        "transactions": 61354,
        "tps": 61689.033139,
    },
    ("16", "reconnect"): {
        "pgbench_version": "16.2",
        "transactions": 20,
        "latency_average_ms": 23.566,
        "initial_connection_ms": None,
        "average_connection_ms": 9.987,
        "tps": 169.733179,
        "tps_counts": "including reconnection times",
    },
    ("16", "deadlocks"): {
        "max_tries": 3,
        "transactions": 75,
        "failed": 5,
        "failed_percent": 6.25,
        "serialization_failures": 0,
        "serialization_failures_percent": 0.0,
        "deadlock_failures": 5,
        "deadlock_failures_percent": 6.25,
        "retried": 20,
        "retried_percent": 25.0,
        "retries": 28,
        "latency_average_ms": 31.801,
        "latency_includes_failures": True,
        "tps": 117.920820,
    },
    ("18", "retries"): {
        "max_tries": 5,
        "transactions": 314,
        "failed": 86,
        "failed_percent": 21.5,
        "serialization_failures": 86,
        "serialization_failures_percent": 21.5,
        "deadlock_failures": 0,
        "retried": 211,
        "retried_percent": 52.75,
        "retries": 599,
        "latency_includes_failures": True,
    },
    ("18", "unlimited_tries"): {"max_tries": None, "duration_s": 1, "retried": 908, "retries": 3648},
    ("16", "throttled_latency_limit"): {
        "transactions": 2317,
        "skipped": 1593,
        "skipped_percent": 40.742,
        "latency_limit_ms": 0.4,
        "late": 594,
        "late_percent": 25.637,
        "latency_average_ms": 0.465,
        "latency_stddev_ms": 0.744,
        "schedule_lag_average_ms": 0.163,
        "schedule_lag_max_ms": 4.664,
        "initial_connection_ms": 5.794,
        "tps": 2330.263862,
    },
    ("15", "latency_limit"): {"latency_limit_ms": 0.2, "late": 5, "late_percent": 2.5, "skipped": None},
    ("18", "progress"): {"latency_average_ms": 0.051, "latency_stddev_ms": 0.123, "transactions": 77597},
    ("16", "partitions"): {"partition_method": "range", "partitions": 3, "scale": 1},
    ("18", "some_clients_aborted"): {"transactions": 104, "failed": 0, "tps": 12310.606061},
    # Version 15 prints "0 (NaN%)" of failed transactions where 18 prints nothing.
    ("15", "all_clients_aborted"): {"transactions": 0, "failed": 0, "failed_percent": None, "tps": None},
    ("18", "all_clients_aborted"): {"transactions": 0, "failed": None, "failed_percent": None, "tps": None},
}


@pytest.mark.parametrize(("version", "run"), FIGURES, ids=[" ".join(key) for key in FIGURES])
def test_figures(version: str, run: str) -> None:
    expected = FIGURES[version, run]
    figures = model.parse_output(OUTPUTS[version][run])
    assert {name: figures[name] for name in expected} == expected


def test_figures_of_several_scripts_before_18() -> None:
    figures = model.parse_output(OUTPUTS["15"]["several_scripts"])
    assert figures["transaction_type"] == "multiple scripts"
    assert figures["transactions"] == 100
    assert figures["tps"] == 4277.708859
    assert [script["script"] for script in figures["scripts"]] == [
        "<builtin: select only>",
        "read-and-update.sql",
    ]
    assert figures["scripts"][0] == {
        "script": "<builtin: select only>",
        "weight": 3,
        "target_percent": 75.0,
        "transactions": 76,
        "share_percent": 76.0,
        "tps": 3251.058733,
        "failed": 0,
        "failed_percent": 0.0,
        "serialization_failures": 0,
        "serialization_failures_percent": 0.0,
        "deadlock_failures": 0,
        "deadlock_failures_percent": 0.0,
        "latency_average_ms": 0.293,
        "latency_stddev_ms": 0.874,
    }


def test_figures_of_several_scripts_since_18() -> None:
    figures = model.parse_output(OUTPUTS["18"]["several_scripts_failing"])
    assert (figures["transactions"], figures["failed"]) == (163, 37)
    expected = {"transactions": 69, "failed": 37, "retried": 53, "retries": 53, "share_percent": 53.0}
    assert {name: figures["scripts"][1][name] for name in expected} == expected
    assert figures["scripts"][1]["tps"] == 2143.256507


@pytest.mark.parametrize("version", OUTPUTS)
def test_every_line_counts(version: str) -> None:
    """What pgbench prints is understood as a whole: without any one line, the figures are others."""
    for run, text in OUTPUTS[version].items():
        lines = text.splitlines()
        if run == "per_command":  # the module does not ask for the figures of each command
            lines = lines[: next(i for i, line in enumerate(lines) if line.startswith("statement latencies"))]
        figures = model.parse_output("\n".join(lines))
        for index, line in enumerate(lines):
            others = model.parse_output("\n".join(lines[:index] + lines[index + 1 :]))
            assert others != figures, f"{run}: {line}"


def test_no_number_is_no_figure() -> None:
    # By hand, after printResults of 15 to 18: what comes of all transactions being skipped.
    figures = model.parse_output(
        "number of transactions actually processed: 0\n"
        "rate limit schedule lag: avg -nan (max 0.000) ms\n"
        "average connection time = Infinity ms\n"
        "tps = NaN (including reconnection times)\n"
    )
    assert figures["transactions"] == 0
    assert figures["schedule_lag_max_ms"] == 0
    assert figures["schedule_lag_average_ms"] is figures["average_connection_ms"] is figures["tps"] is None


def test_what_a_script_prints_is_no_figure() -> None:
    # By hand: \shell in a script writes to the same place.
    figures = model.parse_output("tps = very many (they say)\n" + OUTPUTS["17"]["tpcb_like"])
    assert figures["tps"] == 2247.160712


def test_nothing_printed() -> None:
    figures = model.parse_output("")
    assert set(figures) == set(model.parse_output(OUTPUTS["17"]["tpcb_like"]))
    assert not any(figures.values())


# --- Log ------------------------------------------------------------------------------------------------


# Counted with awk: how many latencies, their sum, least and greatest, in microseconds.
@pytest.mark.parametrize(
    ("version", "log", "expected"),
    [
        ("15", "reconnect.0", (10, 50470, 1603, 8849)),
        ("15", "serialization.0", (9, 4631, 83, 2637)),  # and 11 "serialization"
        ("15", "serialization_plain.0", (8, 2460, 155, 538)),  # and 12 "failed"
        ("15", "retries_logged.1", (16, 12030, 93, 3150)),  # with retries as seventh field
        ("15", "throttled_latency_limit.0", (14, 12570, 90, 3456)),  # with lag, and 46 "skipped"
        ("18", "reconnect.0", (10, 93502, 2238, 13327)),
        ("18", "deadlocks_logged.0", (23, 238560, 70, 129099)),  # and 9 "deadlock"
        ("18", "throttled_latency_limit.0", (58, 16624, 97, 1625)),
    ],
)
def test_log(version: str, log: str, expected: tuple[int, int, int, int]) -> None:
    latencies = model.read_log(LOGS[version][log].encode().splitlines(keepends=True))
    total = sum(latency * count for latency, count in latencies.items())
    assert (sum(latencies.values()), total, min(latencies), max(latencies)) == expected


@pytest.mark.parametrize("line", [b"0 1 4149", b"0 1 what 0 1795359282 882660\n", b"\n"])
def test_damaged_log(line: bytes) -> None:
    with pytest.raises(LogError, match="disk is full"):
        model.read_log([b"0 1 4149 0 1795359282 882660\n", line])


# Rank is ceil(p/100·n): of n=1 the first, of 100 the 50th, 95th and 99th, of 101 the 51st, 96th and 100th.
@pytest.mark.parametrize(
    ("latencies", "expected"),
    [
        ([7_000], (7.0, 7.0, 7.0, 7.0, 7.0, 7.0)),
        ([1_000, 2_000], (1.5, 1.0, 1.0, 2.0, 2.0, 2.0)),
        ([1_000, 2_000, 6_000], (3.0, 1.0, 2.0, 6.0, 6.0, 6.0)),
        (range(1_000, 101_000, 1_000), (50.5, 1.0, 50.0, 95.0, 99.0, 100.0)),
        (range(1_000, 102_000, 1_000), (51.0, 1.0, 51.0, 96.0, 100.0, 101.0)),
        (range(1_000, 201_000, 1_000), (100.5, 1.0, 100.0, 190.0, 198.0, 200.0)),
        ([100] * 98 + [5_000, 9_001], (0.238, 0.1, 0.1, 0.1, 5.0, 9.001)),
        ([1, 1, 2], (0.001, 0.001, 0.001, 0.002, 0.002, 0.002)),
    ],
)
def test_latency_figures(latencies: list[int], expected: tuple[float, ...]) -> None:
    assert model.latency_figures(Counter(latencies)) == dict(
        zip(("avg", "min", "p50", "p95", "p99", "max"), expected, strict=True)
    )


def test_no_latencies_no_figures() -> None:
    assert model.latency_figures({}) == dict.fromkeys(("avg", "min", "p50", "p95", "p99", "max"))


# --- Errors ---------------------------------------------------------------------------------------------

_LOGIN = "Check login_user, login_password, and PgBouncer's userlist"
_RUNNING = "Check that the server is running, and login_host and login_port"
_CLIENTS = "Use fewer clients, go through PgBouncer, or raise max_connections"
_MAX_CLIENT_CONN = "Use fewer clients or raise PgBouncer's max_client_conn"
_POOL = "PgBouncer got no server connection: check PostgreSQL, default_pool_size, and PAUSE"
EXPLANATIONS = {
    "all_clients_aborted": "division by zero (3 times, first in command 1 of the script, client 0)",
    "empty_script": 'empty command list for script "empty.sql". Correct script_content',
    "no_password": f"fe_sendauth: no password supplied. {_LOGIN}",
    "no_socket": f"No such file or directory. {_RUNNING}",
    "no_tables": 'relation "pgbench_branches" does not exist. Create the tables with action=initialise',
    "not_owner": "must be owner of table pgbench_accounts. "
    "Log in as the owner of the tables, or grant the rights",
    "open_files_17": "need at least 28 open files, but system limit is 20",
    "open_files_18": "could not create connection for client 24",
    "open_transaction": "end of script reached without completing the last transaction (3 times). "
    "End the transaction in script_content",
    "refused": f"Connection refused. {_RUNNING}",
    "role_limit": f'too many connections for role "nob". {_CLIENTS}',
    "some_clients_aborted": "division by zero (6 times, first in command 2 of the script, client 0)",
    "syntax_error": 'syntax error at or near "SELEC" (LINE 1: SELEC 1;) '
    "(3 times, first in command 1 of the script, client 0). Correct script_content",
    "syntax_error_and_too_many_clients": "sorry, too many clients already (117 times); "
    'syntax error at or near "SELEC" (LINE 1: SELEC 1;) '
    f"(33 times, first in command 1 of the script, client 0). {_CLIENTS}",
    "terminated": "terminating connection due to administrator command (3 times); "
    "perhaps the backend died while processing. See the server's log",
    "terminated_unevenly": "terminating connection due to administrator command (3 times); "
    "perhaps the backend died while processing. See the server's log",
    "too_many_clients": f"sorry, too many clients already. {_CLIENTS}",
    "unknown_database": 'database "nosuch" does not exist. '
    "Check login_db, and PgBouncer's list of databases",
    "unknown_host": 'could not translate host name "no.such.host.invalid" to address: '
    "Name or service not known. Check login_host",
    "unknown_meta_command": 'meta.sql:1: invalid command in command "sett". Correct script_content',
    "unknown_option": "/tmp/pgb/root17/usr/lib/postgresql/17/bin/pgbench: unrecognized option '--foo'. "
    "Use pgbench of PostgreSQL 15 or newer, see executable",
    "unlimited_tries": "an unlimited number of transaction tries can only be used with --latency-limit "
    "or a duration (-T)",
    "wrong_password": f'password authentication failed for user "bench". {_LOGIN}',
    "pgbouncer_disabled": 'database "bench" is disabled',
    "pgbouncer_killed": "perhaps the backend died while processing (4 times). See the server's log",
    "pgbouncer_killed_reconnecting": "server closed the connection unexpectedly (3 times); "
    "Connection refused. See the server's log",
    "pgbouncer_paused": f"query_wait_timeout. {_POOL}",
    "pgbouncer_prepared_statements": 'prepared statement "P_0" already exists (9 times). '
    "Set PgBouncer's max_prepared_statements (1.21 or newer), or use protocol=simple",
    "pgbouncer_query_wait_timeout": f"query_wait_timeout (5 times). {_POOL}",
    "pgbouncer_server_down": f"query_wait_timeout. {_POOL}",
    "pgbouncer_too_many_clients": f"no more connections allowed (max_client_conn). {_MAX_CLIENT_CONN}",
    "pgbouncer_too_many_clients_of_user": "client connections exceeded (max_user_client_connections). "
    f"{_MAX_CLIENT_CONN}",
    "pgbouncer_too_many_clients_reconnecting": "no more connections allowed (max_client_conn) (45 times). "
    f"{_MAX_CLIENT_CONN}",
    "pgbouncer_unknown_database": "no such database: nosuch. "
    "Check login_db, and PgBouncer's list of databases",
    "pgbouncer_unknown_user": f"SASL authentication failed. {_LOGIN}",
    "pgbouncer_wrong_password": f"SASL authentication failed. {_LOGIN}",
}


@pytest.mark.parametrize("case", ERRORS)
def test_explain(case: str) -> None:
    assert model.explain(ERRORS[case]) == EXPLANATIONS[case]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # By hand, after libpq: a name with two addresses.
        (
            'pgbench: error: connection to server at "localhost" (::1), port 1 failed: Connection refused\n'
            "\tIs the server running on that host and accepting TCP/IP connections?\n"
            'connection to server at "localhost" (127.0.0.1), port 1 failed: Connection refused\n'
            "\tIs the server running on that host and accepting TCP/IP connections?\n",
            f"Connection refused (2 times). {_RUNNING}",
        ),
        # By hand: the text of psycopg2 exceptions, with libpq of PostgreSQL 14 and newer, and older ones.
        (
            'FATAL:  password authentication failed for user "x"\n',
            f'password authentication failed for user "x". {_LOGIN}',
        ),
        (
            'connection to server at "10.0.2.10", port 5432 failed: FATAL:  database "x" does not exist\n',
            'database "x" does not exist. Check login_db, and PgBouncer\'s list of databases',
        ),
        (
            "permission denied for table pgbench_branches\n",
            "permission denied for table pgbench_branches. "
            "Log in as the owner of the tables, or grant the rights",
        ),
        # By hand, after a run of 17 in the lab: the first thread ends OpenSSL beside the others.
        (
            'pgbench: error: connection to server at "10.0.2.4", port 5432 failed: FATAL:  remaining'
            " connection slots are reserved for roles with the SUPERUSER attribute\n"
            "pgbench: error: could not create connection for client 97\n"
            'pgbench: error: connection to server at "10.0.2.4", port 5432 failed: could not find digest for'
            " NID SHA256\n",
            "remaining connection slots are reserved for roles with the SUPERUSER attribute. "
            "Use fewer clients, go through PgBouncer, or raise max_connections",
        ),
        # By hand: a connection per transaction uses up the local ports.
        (
            'pgbench: error: connection to server at "h", port 1 failed: Cannot assign requested address\n',
            "Cannot assign requested address. All local ports are in use: set net.ipv4.tcp_tw_reuse to 1",
        ),
        (
            "".join(
                f"pgbench: error: client 1 script 0 aborted in command 0 query 0: {c}\n" for c in "aabcde"
            ),
            "a (2 times); b; and 3 more",
        ),
        # Real, of 15.18.
        (
            'starting vacuum...pgbench: error: ERROR:  relation "pgbench_branches" does not exist\n'
            "pgbench: detail: (ignoring this error and continuing anyway)\n",
            'relation "pgbench_branches" does not exist. Create the tables with action=initialise',
        ),
        ("", "no message"),
    ],
)
def test_explain_more(text: str, expected: str) -> None:
    assert model.explain(text) == expected


@pytest.mark.parametrize(
    ("version", "run", "expected"),
    [
        (
            "17",
            "some_clients_aborted",
            "the run was aborted and its figures are incomplete: division by zero",
        ),
        ("15", "all_clients_aborted", "division by zero"),
        ("18", "all_clients_aborted", "division by zero"),
    ],
)
def test_error_of_an_aborted_run(version: str, run: str, expected: str) -> None:
    error = model.run_error(2, ERRORS[run], model.parse_output(OUTPUTS[version][run]))
    assert error is not None
    assert error.startswith(expected)


def test_error_of_a_run() -> None:
    nothing, figures = model.parse_output(""), model.parse_output(OUTPUTS["17"]["deadlocks"])
    assert model.run_error(0, "", figures) is None  # failed transactions are figures
    assert model.run_error(1, ERRORS["refused"], nothing) == EXPLANATIONS["refused"]
    assert model.run_error(-9, "", nothing) == "signal 9 killed pgbench. See the kernel's log"
    empty = {**nothing, "transactions": 0, "failed": 0}
    assert (
        model.run_error(0, "", empty)
        == "no transaction ended in that time. Run for longer, or check for locks"
    )
    # Seen with 15.18, 60 clients and 8 threads.
    assert model.run_error(-11, ERRORS["too_many_clients"], nothing) == EXPLANATIONS["too_many_clients"]
    assert model.run_error(0, "", nothing) == "pgbench printed no figures. Check executable"


def test_all_transactions_failed() -> None:
    # Real, of 15.18; version 18 prints "tps = 0.000000" too.
    figures = model.parse_output(
        "number of transactions actually processed: 0/5\nnumber of failed transactions: 5 (100.000%)\n"
    )
    assert model.run_error(0, "", figures) is None
    assert (figures["transactions"], figures["failed"], figures["tps"]) == (0, 5, None)


def test_warning_of_a_run() -> None:
    assert model.run_warning("starting vacuum...end.\n") is None
    assert (model.run_warning(ERRORS["pgbouncer_prepared_statements"]) or "").startswith(
        'pgbench reported: prepared statement "P_0" already exists (9 times). Set PgBouncer\'s'
    )


@pytest.mark.parametrize(
    ("latencies", "expected"),
    [
        ({}, {}),
        ({1: 2, 999: 1}, {1: 2, 999: 1}),
        ({1234: 1, 1230: 2, 1236: 1}, {1230: 3, 1240: 1}),
        ({1234567: 1}, {1230000: 1}),
    ],
)
def test_coarse_latencies(latencies: dict[int, int], expected: dict[int, int]) -> None:
    assert model.coarse(latencies) == expected


def test_incomplete_log() -> None:
    figures = model.parse_output(OUTPUTS["17"]["tpcb_like"])
    assert model.log_error(WORKLOAD, figures, 1000) is None
    error = model.log_error(WORKLOAD, figures, 999)
    assert error == "the log holds 999 of 1000 transactions. Check whether the disk is full"
    assert model.log_error(replace(WORKLOAD, log_sampling_rate=0.5), figures, 999) is None


# --- Input ----------------------------------------------------------------------------------------------


def test_arguments_of_a_plain_run() -> None:
    assert " ".join(model.run_arguments(TARGET, WORKLOAD)) == (
        "-c 1 -j 1 -M simple -t 100 -b tpcb-like -n --failures-detailed -l --log-prefix=log "
        "-h 10.0.2.10 -p 6432 -U myuser mydb"
    )


def test_arguments_of_a_full_run() -> None:
    workload = model.Workload(
        clients=50,
        jobs=4,
        duration=30,
        script_content="SELECT 1",
        script_name="mine@2",
        reconnect=True,
        protocol="prepared",
        max_tries=3,
        vacuum=True,
        log_sampling_rate=0.01,
        variables={"sku": 7, "name": "x y"},
    )
    assert " ".join(model.run_arguments(replace(TARGET, host=""), workload)) == (
        "-c 50 -j 4 -M prepared -T 30 -f script.sql -C --define=sku=7 --define=name=x y --max-tries=3 "
        "--failures-detailed -l --log-prefix=log --sampling-rate=0.01 -p 6432 -U myuser mydb"
    )


def test_arguments_to_initialise() -> None:
    arguments = model.initialise_arguments(TARGET, 5)
    assert " ".join(arguments) == "-i -q -s 5 -h 10.0.2.10 -p 6432 -U myuser mydb"


@pytest.mark.parametrize(
    ("database", "argument"),
    [
        ("my db", "my db"),
        ("host=elsewhere", "dbname='host=elsewhere'"),
        ("postgresql://elsewhere/x", "dbname='postgresql://elsewhere/x'"),
        ("postgres://elsewhere/x", "dbname='postgres://elsewhere/x'"),
        ("-i", "dbname='-i'"),
        ("a='b'\\", r"dbname='a=\'b\'\\'"),
    ],
)
def test_names_of_databases_stay_names(database: str, argument: str) -> None:
    assert model.run_arguments(replace(TARGET, database=database), WORKLOAD)[-1] == argument


@pytest.mark.parametrize(
    ("password", "line"),
    [
        ("plain", b"*:*:*:*:plain\n"),
        (r"a:b\c", rb"*:*:*:*:a\:b\\c" + b"\n"),
        ("pässwörd", "*:*:*:*:pässwörd\n".encode()),
        ("  # $HOME %s 'x' \"y\" ", b"*:*:*:*:  # $HOME %s 'x' \"y\" \n"),
    ],
)
def test_password_file(password: str, line: bytes) -> None:
    assert model.password_file(password) == line


def test_the_password_does_not_show() -> None:
    assert "s3cret" not in repr(TARGET)
    assert str(TARGET) == "database mydb at 10.0.2.10:6432"
    assert str(replace(TARGET, host="")) == "database mydb at local socket:6432"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"user": ""}, "Failed to accept login_user: it is empty"),
        ({"database": ""}, "Failed to accept login_db: it is empty"),
        ({"database": "a\0b"}, "Failed to accept login_db: it contains a NUL"),
        ({"port": 0}, "Failed to accept login_port: 0 is below 1"),
        ({"port": 65536}, "Failed to accept login_port: 65536 is above 65535"),
        ({"password": ""}, "Failed to accept login_password: it is empty"),
        ({"password": "s3cret\n"}, "Failed to accept login_password: it contains a line break or a NUL"),
        ({"password": "s3cret\r"}, "Failed to accept login_password: it contains a line break or a NUL"),
        ({"password": "s3\0cret"}, "Failed to accept login_password: it contains a line break or a NUL"),
    ],
)
def test_bad_target(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        model.check_target(replace(TARGET, **changes))
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clients": 0}, "clients: 0 is below 1"),
        ({"jobs": -1}, "jobs: -1 is below 1"),
        ({"transactions": 0}, "transactions: 0 is below 1"),
        ({"transactions": None}, "either transactions or duration"),
        ({"duration": 5}, "either transactions or duration"),
        ({"transactions": None, "duration": 0}, "duration: 0 is below 1"),
        ({"transactions": None, "duration": 60}, "60 s exceed the timeout of 60 s. Raise timeout."),
        ({"max_tries": -1}, "max_tries: -1 is below 0"),
        ({"max_tries": 0}, "max_tries: 0 has no limit and needs duration"),
        ({"log_sampling_rate": 0.0}, "log_sampling_rate: it must be above 0 and at most 1"),
        ({"log_sampling_rate": 1.1}, "log_sampling_rate: it must be above 0 and at most 1"),
        ({"log_sampling_rate": float("nan")}, "log_sampling_rate: it must be above 0 and at most 1"),
        ({"script_content": " \n"}, "script_content: it is empty"),
        ({"script_content": "SELECT 1\0"}, "script_content: it contains a NUL"),
    ],
)
def test_bad_workload(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=f"Failed to accept .*{message}"):
        model.check_workload(replace(WORKLOAD, **changes), timeout=60)


def test_good_input() -> None:
    model.check_target(replace(TARGET, password=None))
    model.check_workload(replace(WORKLOAD, transactions=None, duration=59, max_tries=0), timeout=60)
    model.check_workload(replace(WORKLOAD, log_sampling_rate=1.0), timeout=1)


@pytest.mark.parametrize(("scale", "timeout"), [(0, 1), (1, 0)])
def test_bad_scale(scale: int, timeout: int) -> None:
    with pytest.raises(InvalidInputError, match="is below 1"):
        model.check_scale(scale, timeout)


@pytest.mark.parametrize(
    ("changes", "name", "writes"),
    [
        ({}, "tpcb-like", True),
        ({"script": "simple-update"}, "simple-update", True),
        ({"script": "select-only"}, "select-only", False),
        ({"script": "select-only", "vacuum": True}, "select-only", True),
        ({"script_content": "SELECT 1"}, "custom", True),
        ({"script_content": "SELECT 1", "script_name": "select-only"}, "select-only", True),
    ],
)
def test_script(changes: dict[str, Any], name: str, writes: bool) -> None:
    workload = replace(WORKLOAD, **changes)
    assert (workload.name, workload.writes) == (name, writes)


@pytest.mark.parametrize(
    ("tables", "ready"),
    [
        (model.initialised_tables(3), True),
        (model.initialised_tables(2), False),
        (model.Tables(present=(), keyed=(), scale=None), False),
        # pgbench -i was interrupted while it filled the tables,
        (model.Tables(present=model.TABLES, keyed=(), scale=0), False),
        # before it made the primary keys,
        (model.Tables(present=model.TABLES, keyed=(), scale=3), False),
        # and between them.
        (model.Tables(present=model.TABLES, keyed=("pgbench_branches",), scale=3), False),
        (model.Tables(present=model.KEYED_TABLES, keyed=model.KEYED_TABLES, scale=3), False),
    ],
)
def test_tables_are_ready(tables: model.Tables, ready: bool) -> None:
    assert tables.are_ready_for(3) is ready


# --- Result ---------------------------------------------------------------------------------------------


def test_result() -> None:
    figures = model.parse_output(OUTPUTS["16"]["reconnect"])
    workload = model.Workload(clients=4, jobs=2, transactions=5, script="select-only", reconnect=True)
    result = model.run_result(workload, figures, Counter([1000, 3000]), None)
    assert result["run"] == {
        "script": "select-only",
        "mode": "reconnect",
        "clients": 4,
        "jobs": 2,
        "transactions": 20,
        "tps": 169.733179,
        "failed": 0,
        "latency_ms": {"avg": 2.0, "min": 1.0, "p50": 1.0, "p95": 3.0, "p99": 3.0, "max": 3.0},
        "error": None,
    }
    assert result["details"]["latencies_logged"] == 2
    assert result["details"]["average_connection_ms"] == 9.987
    assert not set(result["run"]) & set(result["details"])


def test_result_of_a_refused_run() -> None:
    result = model.run_result(WORKLOAD, model.parse_output(""), {}, "Connection refused")
    assert result["run"] == {
        "script": "tpcb-like",
        "mode": "persistent",
        "clients": 1,
        "jobs": 1,
        "transactions": None,
        "tps": None,
        "failed": None,
        "latency_ms": dict.fromkeys(("avg", "min", "p50", "p95", "p99", "max")),
        "error": "Connection refused",
    }
