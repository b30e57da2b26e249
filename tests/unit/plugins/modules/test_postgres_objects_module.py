"""The module postgres_objects as a process, against a PostgreSQL server that lives as long as the tests."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

MODULE = "ansible_collections.pooled.postgres.plugins.modules.postgres_objects"
START_TIME_LIMIT = 60.0
PASSWORDS = {"u": 'it\'s "secret" %s', "v": "pässwörd"}
INPUTS: dict[str, Any] = {
    "databases": [
        {"name": "d"},
        {"name": "e", "owner": "o", "encoding": "utf-8", "template": "template0", "connection_limit": 9},
    ],
    "roles": [
        {"name": "team", "login": False},
        {"name": "o", "connection_limit": 7, "databases": ["e"]},
        {"name": "u", "databases": ["d", "e"], "member_of": ["team", "pg_monitor"]},
        {"name": "v", "databases": ["e"], "scram_iterations": 1},
    ],
    "passwords": json.dumps(PASSWORDS),
    "extensions": [{"name": "plpgsql", "databases": ["postgres", "d"]}],
    "grants": [
        {
            "database": "e",
            "roles": ["team"],
            "type": "default_privs",
            "objs": ["TABLES"],
            "privs": ["SELECT"],
            "target_roles": ["o"],
        }
    ],
}


class Server:
    """A server of the tests' own, with its superuser on the Unix socket."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.data = Path(directory, "data")

    def query(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Return the rows of a statement."""
        connection = psycopg2.connect(host=self.directory, port=5432, user="postgres", dbname=database)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def answers(self) -> bool:
        """Return whether the server accepts connections."""
        try:
            return self.query("SELECT 1") == [(1,)]
        except psycopg2.OperationalError:
            return False

    def __call__(self, *, check: bool = False, **inputs: Any) -> dict[str, Any]:
        """Run the module and return its result."""
        options = {"_ansible_check_mode": check, "_ansible_diff": True, "_ansible_remote_tmp": self.directory}
        arguments = {"data_directory": str(self.data), **inputs, **options}
        done = subprocess.run(
            [sys.executable, "-m", MODULE],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert not done.stderr, done.stderr
        secrets = [*PASSWORDS.values(), "SCRAM-SHA-256"]
        assert [word for word in secrets if word in done.stdout.replace('\\"', '"')] == []
        return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Start a server."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[-2]))
    on_path = shutil.which("initdb")
    binaries = found[-1] if found else Path(on_path).resolve().parent if on_path else None
    if binaries is None:
        pytest.skip("no PostgreSQL server is installed: initdb is neither in /usr/lib/postgresql nor on PATH")
    account: dict[str, Any] = {}
    if os.geteuid() == 0:
        # The server refuses root.
        user = pwd.getpwnam(
            "postgres" if "postgres" in {entry.pw_name for entry in pwd.getpwall()} else "nobody"
        )
        account = {"user": user.pw_name, "group": user.pw_gid, "extra_groups": []}
    with tempfile.TemporaryDirectory(prefix="postgres-objects-") as directory:
        if account:
            shutil.chown(directory, account["user"])
        server = Server(directory)
        initdb = [
            str(binaries / "initdb"),
            "--no-sync",
            "--locale=C",
            "--encoding=UTF8",
            "--username=postgres",
        ]
        subprocess.run(
            [*initdb, "--auth=trust", str(server.data)],
            check=True,
            capture_output=True,
            cwd=directory,
            **account,
        )
        settings = ["--listen_addresses=", f"--unix_socket_directories={directory}", "--fsync=off"]
        with Path(directory, "log").open("w") as log:
            process = subprocess.Popen(
                [str(binaries / "postgres"), "-D", str(server.data), "--port=5432", *settings],
                stdout=log,
                stderr=log,
                cwd=directory,
                **account,
            )
        try:
            deadline = time.monotonic() + START_TIME_LIMIT
            while not server.answers():
                assert process.poll() is None, Path(directory, "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield server
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(START_TIME_LIMIT)


@pytest.fixture
def filled(server: Server) -> Server:
    """Return the server as the inputs have it."""
    result = server(**INPUTS)
    assert "failed" not in result, result
    return server


def test_check_mode_names_what_a_run_then_does(server: Server) -> None:
    foreseen = server(check=True, **INPUTS)
    assert server.query("SELECT 1 FROM pg_roles WHERE rolname = 'u'") == []
    made = server(**INPUTS)
    assert foreseen["changes"] == made["changes"]
    assert foreseen["diff"] == made["diff"]
    assert "role u: login, password set\n" in made["diff"]["after"]
    assert "all on schema public in e: u, v" in made["diff"]["after"]
    for check in (False, True):
        again = server(check=check, **INPUTS)
        assert (again["changed"], again["changes"]) == (False, [])


def test_databases_and_roles_are_as_given(filled: Server) -> None:
    rows = "SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datconnlimit FROM pg_database"
    assert filled.query(f"{rows} WHERE datname = 'e'") == [("o", "UTF8", 9)]
    assert filled.query("SELECT rolconnlimit FROM pg_roles WHERE rolname = 'o'") == [(7,)]
    assert filled.query("SELECT pg_has_role('u', 'pg_monitor', 'member')") == [(True,)]
    stored = dict(filled.query("SELECT rolname, rolpassword FROM pg_authid WHERE rolname IN ('u', 'v')"))
    assert stored["u"].startswith("SCRAM-SHA-256$4096:")
    assert stored["v"].startswith("SCRAM-SHA-256$1:")


def test_one_password_changes_one_verifier(filled: Server) -> None:
    query = "SELECT rolname, rolpassword FROM pg_authid WHERE rolname IN ('u', 'v')"
    before = dict(filled.query(query))
    result = filled(**{**INPUTS, "passwords": json.dumps({**PASSWORDS, "u": "new"})})
    after = dict(filled.query(query))
    assert result["changes"] == ["change role u: login, password set"]
    assert result["diff"]["before"] == "role u: login, password differs\n"
    assert after["u"] != before["u"]
    assert after["v"] == before["v"]


def test_tables_that_came_later_are_granted(filled: Server) -> None:
    filled.query("CREATE TABLE IF NOT EXISTS late (id serial)", "e")
    filled.query("SET ROLE o; CREATE TABLE IF NOT EXISTS mine (id int)", "e")
    result = filled(**INPUTS)
    assert "add all on table late in e: o, u, v" in result["changes"]
    assert "add all on sequence late_id_seq in e: o, u, v" in result["changes"]
    # The owner of a table has its rights by that.
    assert "add all on table mine in e: u, v" in result["changes"]
    assert filled.query("SELECT has_table_privilege('v', 'late', 'TRUNCATE')", "e") == [(True,)]
    assert not filled(**INPUTS)["changed"]


def test_default_rights_reach_later_tables(filled: Server) -> None:
    filled.query("SET ROLE o; CREATE TABLE IF NOT EXISTS later (id int)", "e")
    rights = "SELECT p, has_table_privilege('team', 'later', p) FROM unnest(ARRAY['SELECT', 'INSERT']) p"
    assert dict(filled.query(rights, "e")) == {"SELECT": True, "INSERT": False}


# An entry for each type, on objects that the test creates.
GRANTS: list[dict[str, Any]] = [
    {"type": "table", "objs": ["t"], "privs": ["SELECT", "INSERT"], "grant_option": True},
    {"type": "table", "objs": ["ALL_IN_SCHEMA"], "privs": ["ALL"], "schema": "s"},
    {"type": "sequence", "objs": ["q"], "privs": ["USAGE"]},
    {"type": "function", "objs": ["f(int:text)"], "privs": ["EXECUTE"]},
    {"type": "function", "objs": ["ALL_IN_SCHEMA"], "privs": ["EXECUTE"]},
    {"type": "procedure", "objs": ["p()"], "privs": ["ALL"]},
    {"type": "schema", "objs": ["s"], "privs": ["USAGE"]},
    {"type": "database", "privs": ["TEMP"]},
    {"type": "language", "objs": ["plpgsql"], "privs": ["ALL"]},
    {"type": "tablespace", "objs": ["pg_default"], "privs": ["CREATE"]},
    {"type": "type", "objs": ["y"], "privs": ["USAGE"]},
    {"type": "foreign_data_wrapper", "objs": ["w"], "privs": ["USAGE"]},
    {"type": "foreign_server", "objs": ["r"], "privs": ["USAGE"]},
    {"type": "group", "objs": ["pg_read_all_stats"], "grant_option": True},
    {"type": "default_privs", "objs": ["ALL_DEFAULT"], "privs": ["ALL"]},
    {"type": "default_privs", "objs": ["SCHEMAS"], "privs": ["USAGE"], "target_roles": ["o"]},
]


def test_grants_of_every_type_come_and_go(filled: Server) -> None:
    filled.query(
        "CREATE SCHEMA IF NOT EXISTS s; CREATE TABLE IF NOT EXISTS t (x int); CREATE TABLE IF NOT EXISTS s.t"
        " ();"
        "CREATE SEQUENCE IF NOT EXISTS q; CREATE OR REPLACE FUNCTION f(int, text) RETURNS int LANGUAGE sql"
        " AS 'SELECT 1';"
        "CREATE OR REPLACE PROCEDURE p() LANGUAGE sql AS 'SELECT 1'; CREATE TYPE y AS (x int);"
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER r FOREIGN DATA WRAPPER w",
        "d",
    )
    entries = [{"database": "d", "roles": ["team"], **grant} for grant in GRANTS]
    version = int(filled.query("SHOW server_version_num")[0][0])
    if version >= 150000:
        entries.append(
            {"database": "d", "roles": ["team"], "type": "parameter", "objs": ["work_mem"], "privs": ["SET"]}
        )
    foreseen = filled(check=True, grants=entries)
    made = filled(grants=entries)
    assert "failed" not in made, made
    assert foreseen["changes"] == made["changes"]
    assert len(made["changes"]) >= len(entries) - 1
    assert not filled(grants=entries)["changed"]
    gone = [{**entry, "state": "absent"} for entry in entries]
    removed = filled(grants=gone)
    assert "failed" not in removed, removed
    assert all(text.startswith("remove") for text in removed["changes"])
    assert not filled(grants=gone)["changed"]


def test_public_can_be_given_and_denied(filled: Server) -> None:
    grant = {
        "database": "d",
        "roles": ["PUBLIC"],
        "type": "database",
        "privs": ["CONNECT"],
        "state": "absent",
    }
    assert filled(grants=[grant])["changes"] == ["remove PUBLIC: CONNECT on database d in d"]
    assert not filled(grants=[grant])["changed"]
    assert filled(grants=[{**grant, "state": "present"}])["changed"]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"roles": [{"name": "x", "member_of": ["nix"]}]}, "the role 'nix' of the user x does not exist"),
        (
            {"grants": [{"database": "d", "roles": ["nix"], "objs": ["t"], "privs": ["ALL"]}]},
            "the role 'nix'",
        ),
        (
            {"grants": [{"database": "d", "roles": ["u"], "objs": ["gone"], "privs": ["ALL"]}]},
            "table gone does not",
        ),
        (
            {"grants": [{"database": "nix", "roles": ["u"], "objs": ["t"], "privs": ["ALL"]}]},
            "database 'nix'",
        ),
        ({"grants": [{"database": "d", "roles": ["u"], "objs": ["t"], "privs": ["EXECUTE"]}]}, "do not fit"),
        ({"extensions": [{"name": "nix", "databases": ["d"]}]}, "the host has no extension 'nix'"),
        ({"databases": [{"name": "e", "lc_collate": "nix"}]}, "can't become 'nix'"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_inputs_that_can_not_work_change_nothing(
    filled: Server, inputs: dict[str, Any], said: str, check: bool
) -> None:
    merged = {**inputs, "roles": [*inputs.get("roles", []), {"name": "never"}]}
    result = filled(check=check, **merged)
    assert result["failed"]
    assert said in result["msg"]
    assert filled.query("SELECT 1 FROM pg_roles WHERE rolname IN ('never', 'x')") == []


def test_users_who_own_something_stay(filled: Server) -> None:
    filled.query("CREATE ROLE leaver LOGIN; GRANT ALL ON SCHEMA public TO leaver", "d")
    filled.query("SET ROLE leaver; CREATE TABLE left_behind (x int)", "d")
    refused = filled(absent=["leaver", "nobody_knows"])
    assert "leaver owns table public.left_behind in d" in refused["msg"]
    filled.query("DROP TABLE left_behind", "d")
    foreseen = filled(check=True, absent=["leaver"])
    made = filled(absent=["leaver"])
    assert foreseen["changes"] == made["changes"] == ["remove rights of leaver in d", "remove role leaver"]
    assert filled.query("SELECT 1 FROM pg_roles WHERE rolname = 'leaver'") == []
    assert not filled(absent=["leaver"])["changed"]


def test_statistics_and_the_log_show_no_verifier(filled: Server) -> None:
    filled(**{**INPUTS, "passwords": json.dumps({**PASSWORDS, "u": "another"})})
    assert "SCRAM-SHA-256$" not in Path(filled.directory, "log").read_text()


def test_a_server_that_does_not_run_is_named(server: Server, tmp_path: Path) -> None:
    stopped = server(data_directory=str(tmp_path))
    assert "no server runs" in stopped["msg"]
