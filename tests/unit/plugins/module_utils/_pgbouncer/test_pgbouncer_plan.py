"""The plan of the role pgbouncer: problems, files, services and logins."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import lookup, plan, problems, site
from ansible_collections.pooled.postgres.plugins.plugin_utils.plan import renderer

ROOT = Path(__file__).resolve().parents[5]
SPEC = yaml.safe_load((ROOT / "roles/pgbouncer/meta/argument_specs.yml").read_text())
DEFAULTS = {name: option["default"] for name, option in SPEC["argument_specs"]["main"]["options"].items()}
USER = {"name": "myuser", "password": "secret"}
STATS = {"name": "stats", "password": "hidden", "databases": []}
RULE = {"type": "host", "databases": ["all"], "users": ["all"], "address": "all", "method": "scram-sha-256"}


def inputs(**changes: Any) -> dict[str, Any]:
    """Return typed inputs of the role: its defaults, one user, and changes without their prefix."""
    own = {
        "users": [USER],
        "accept_cves": ["CVE-2026-19888", "CVE-2026-107350"],
        "verifiers_from_server": True,
        **changes,
    }
    return {**DEFAULTS, **{f"pgbouncer_{name}": value for name, value in own.items()}}


def seen(installed: str = "1.24.1-1+deb13u2", candidate: str = "", **changes: Any) -> dict[str, Any]:
    """Return what host_info found."""
    return {
        "packages": {
            "pgbouncer": {"installed": installed, "candidate": candidate},
            "python3-psycopg2": {"installed": installed and "2.9", "candidate": ""},
            "python3-cryptography": {"installed": "43", "candidate": ""},
        },
        "paths": {"/etc/systemd/system/pgbouncer.service": {"type": "link", "link": "/dev/null"}},
        "contents": {"/etc/passwd": "root:x:0:0\npgbouncer:x:999:999:PgBouncer\n"},
        "units": {},
        "processors": 2,
        **changes,
    }


def planned(
    host: dict[str, Any] | None = None, *, check_mode: bool = False, source: str = "distro", **changes: Any
) -> dict[str, Any]:
    """Return the plan of a host."""
    return plan.plan(inputs(**changes), host or seen(), renderer("pgbouncer"), check_mode, source=source)


def test_the_defaults_with_a_password_have_no_problem() -> None:
    assert problems.of_inputs(inputs()) == []
    made = planned()
    assert made["problems"] == []
    assert (made["packages"], made["prepare"], made["process_count"]) == ([], False, 1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"settings": {"server_idel_timeout": 60}},
            "pgbouncer_settings: setting server_idel_timeout: PgBouncer",
        ),
        (
            {"settings": {"listen_port": 1}},
            "pgbouncer_settings: listen_port has a separate input. Set pgbo",
        ),
        ({"listen_port": 70000}, "pgbouncer_listen_port: setting listen_port: must be a whole number from 1"),
        ({"databases": []}, "pgbouncer_databases: it is empty"),
        (
            {"databases": [{"name": "a", "pool_sise": 3}]},
            "pgbouncer_databases: database 'a', option pool_sise",
        ),
        (
            {"users": [{"name": "myuser", "password": ""}]},
            "pgbouncer_users: user 'myuser': the password is em",
        ),
        ({"users": [USER, USER]}, "pgbouncer_users: user 'myuser': it is named twice"),
        ({"users": [{**USER, "databases": ["other"]}]}, "the database 'other' is none of those"),
        (
            {"server_tls_mode": "verify-full"},
            "pgbouncer_server_tls_mode: database 'mydb' is reached over the",
        ),
        (
            {"settings": {"server_tls_sslmode": "require"}},
            "pgbouncer_settings.server_tls_sslmode: database 'mydb' is reached",
        ),
        ({"auth_type": "hba"}, "authentication: pgbouncer_auth_type is hba, and pgbouncer_hba has no rule"),
        ({"auth_type": "trust"}, "pgbouncer_unsafe_auth"),
        ({"stats_users": ["nobody"]}, "'nobody' of stats_users"),
        ({"default_pool_size": 200}, "connection budget: mydb: myuser x 200 = 200"),
        ({"max_client_conn": 10}, "pgbouncer_max_client_conn: 10 is below pgbouncer_default_pool_size (20)"),
        ({"accept_cves": ["CVE-1-1"]}, "pgbouncer_accept_cves: CVE-1-1 is unknown"),
        (
            {"auth_query": True, "server_host": "10.0.0.1"},
            "pgbouncer_auth_query: PostgreSQL is reached over TCP (10.0.0.1), where pgbouncer_auth needs a"
            " pass",
        ),
        ({"processes": 30}, "pgbouncer_processes: setting default_pool_size: 20 can't be divided among 30"),
        ({"processes": 2, "settings": {"peer_id": 3}}, "setting peer_id: each process has its own"),
    ],
    ids=str,
)
def test_problems_that_need_no_host(changes: dict[str, Any], said: str) -> None:
    found = problems.of_inputs(inputs(**changes))
    assert any(said in problem for problem in found), found
    assert planned(**changes)["problems"] != []


def test_all_problems_come_at_once() -> None:
    found = problems.of_inputs(
        inputs(databases=[{"name": "a", "pool_sise": 3}], accept_cves=["CVE-1-1"], auth_type="hba")
    )
    assert len(found) == 3


@pytest.mark.parametrize(
    ("host", "changes", "said"),
    [
        (seen(), {"accept_cves": []}, "CVE-2026-19888"),
        (seen("", "1.24.1-1+deb13u2"), {"accept_cves": []}, "CVE-2026-19888"),
        (seen("1.18.0-1+deb12u1"), {"accept_cves": ["CVE-2026-6664", "CVE-2026-19888", "CVE-2026-107350"],
                                   "processes": 2}, "2 processes need PgBouncer 1.19"),
        (seen("1.18.0-1+deb12u1"), {"settings": {"max_prepared_statements": 3}}, "needs PgBouncer 1.21"),
        (
            seen("1.18.0-1+deb12u1"),
            {"auth_query": True, "databases": [{"name": "*"}]},
            "PgBouncer 1.18.0-1+deb12u1 looks users up in each client's own database",
        ),
        (
            seen(paths={"/etc/systemd/system/pgbouncer.service": {"type": "file"}}),
            {},
            "/etc/systemd/system/pgbouncer.service: it is a file, and the role masks that unit",
        ),
    ],
)  # fmt: skip
def test_problems_of_this_host(host: dict[str, Any], changes: dict[str, Any], said: str) -> None:
    found = planned(host, **changes)["problems"]
    assert any(said in problem for problem in found), found


@pytest.mark.parametrize(
    ("packages", "source", "version"),
    [
        ({}, "distro", ""),
        ({"pgbouncer": {"installed": "", "candidate": ""}}, "distro", ""),
        ({"pgbouncer": {"installed": "1.24.1-1", "candidate": ""}}, "distro", "1.24.1-1"),
        ({"pgbouncer": {"installed": "", "candidate": "1.24.1-1"}}, "distro", "1.24.1-1"),
        # The source that has the version is added later.
        ({"pgbouncer": {"installed": "", "candidate": "1.24.1-1"}}, "pgdg", ""),
        ({"pgbouncer": {"installed": "", "candidate": "1.26.1-1.pgdg13+1"}}, "pgdg", "1.26.1-1.pgdg13+1"),
        ({"pgbouncer": {"installed": "1.24.1-1", "candidate": ""}}, "pgdg", "1.24.1-1"),
    ],
)
def test_the_version_is_the_installed_one_or_the_candidate(
    packages: dict[str, Any], source: str, version: str
) -> None:
    assert site.package_version(packages, source) == version


def test_a_bare_host_without_package_lists_is_judged_after_the_installation() -> None:
    made = planned(seen("", ""), accept_cves=[])
    assert made["problems"] == []
    assert made["packages"] == ["pgbouncer", "python3-psycopg2"]


@pytest.mark.parametrize(
    ("host", "prepare"),
    [
        (seen(), False),
        (seen(paths={}), True),
        (seen(contents={"/etc/passwd": "notpgbouncer:x:1:1\n"}), True),
    ],
)
def test_mask_and_account_are_created_where_they_are_missing(host: dict[str, Any], prepare: bool) -> None:
    assert planned(host)["prepare"] is prepare


class TestSettings:
    def settings(self, **changes: Any) -> dict[str, Any]:
        """Return the settings of the first process."""
        return dict(planned(**changes)["configuration"]["processes"][0]["settings"])

    def test_an_input_goes_before_a_setting_and_a_setting_before_a_default(self) -> None:
        found = self.settings(settings={"max_packet_size": 65536, "server_lifetime": 5}, pool_mode="session")
        assert (found["max_packet_size"], found["server_lifetime"], found["pool_mode"]) == (
            65536,
            5,
            "session",
        )
        assert self.settings()["max_packet_size"] == 536870912

    def test_tls_names_the_files_that_each_side_needs(self) -> None:
        clients = self.settings(client_tls_mode="require")
        assert clients["client_tls_key_file"] == "/etc/ssl/pooled/pgbouncer/server.key"
        assert "server_tls_ca_file" not in clients
        server = self.settings(server_tls_mode="verify-ca", server_host="127.0.0.1")
        assert server["server_tls_ca_file"] == "/etc/ssl/pooled/pgbouncer/authority.crt"
        assert "client_tls_key_file" not in server

    def test_hba_has_its_file(self) -> None:
        made = planned(auth_type="hba", hba=[RULE])
        assert (
            made["configuration"]["processes"][0]["settings"]["auth_hba_file"] == "/etc/pgbouncer/pg_hba.conf"
        )
        assert made["configuration"]["hba"]["rules"] == [RULE]
        assert planned()["configuration"]["hba"] is None

    def test_limits_of_all_processes_add_up(self) -> None:
        made = planned(processes=3)
        parts = [one["settings"]["max_client_conn"] for one in made["configuration"]["processes"]]
        assert (made["process_count"], sum(parts)) == (3, 1000)

    def test_descriptors_come_in_steps(self) -> None:
        assert planned()["configuration"]["open_files"] == 2048
        assert planned(default_pool_size=30)["configuration"]["open_files"] == 2048
        assert planned(processes=2)["configuration"]["open_files"] == 1024


class TestLookup:
    def test_users_are_looked_up_in_a_database_of_its_own(self) -> None:
        made = planned(auth_query=True, processes=2)
        settings = made["configuration"]["processes"][0]["settings"]
        assert (settings["auth_user"], settings["auth_dbname"]) == ("pgbouncer_auth", "pgbouncer_auth")
        assert made["lookup"]["databases"] == ["postgres"]
        names = [one["name"] for one in made["site"]["databases"]]
        assert names == ["mydb", "pgbouncer_auth"]
        # Nobody knows how many users there are, so each database is capped.
        assert settings["max_db_connections"] > 0

    def test_an_old_version_looks_users_up_in_each_database(self) -> None:
        made = planned(
            seen("1.18.0-1+deb12u1"),
            auth_query=True,
            accept_cves=["CVE-2026-6664", "CVE-2026-19888", "CVE-2026-107350"],
        )
        assert made["problems"] == []
        assert made["lookup"]["databases"] == ["mydb"]
        assert "auth_dbname" not in made["configuration"]["processes"][0]["settings"]

    def test_over_tcp_the_user_has_a_password_in_the_userlist(self) -> None:
        changes: dict[str, Any] = {"auth_query": True, "server_host": "10.0.0.1", "auth_password": "p"}
        known = planned(**changes, accept_cves=["CVE-2026-19888", "CVE-2026-107350", "CVE-2026-6669"])
        entry = {"name": "pgbouncer_auth", "password": "p", "plain": True}
        assert entry in known["configuration"]["userlist"]["users"]
        assert known["lookup"]["password"] == "p"

    def test_nothing_is_looked_up_on_a_bare_host_in_check_mode(self) -> None:
        made = planned(seen("", ""), auth_query=True, check_mode=True)
        assert (made["lookup"], made["configuration"]["server"], made["reachable"]) == ({}, None, False)

    def test_statements_create_what_the_check_looks_for(self) -> None:
        assert "CONNECTION LIMIT 8" in "\n".join(lookup.statements(4))
        assert "rolconnlimit = 8" in lookup.check(4)


class TestServices:
    def test_every_process_runs_and_is_enabled(self) -> None:
        assert planned(processes=2)["services"] == [
            {"name": "pgbouncer@1", "state": "started", "enabled": True},
            {"name": "pgbouncer@2", "state": "started", "enabled": True},
        ]

    def test_surplus_processes_end_from_the_highest_and_leave_their_clients_time(self) -> None:
        paths = {
            **seen()["paths"],
            **{f"/etc/pgbouncer/pgbouncer-{number}.ini": {} for number in (1, 2, 3, 10)},
            "/run/pgbouncer/10/.s.PGSQL.6432": {},
        }
        assert planned(seen(paths=paths), processes=2)["surplus"] == [
            {"id": 10, "port": 6432, "drains": True},
            {"id": 3, "port": 0, "drains": False},
        ]

    def test_unused_certificates_are_removed(self) -> None:
        paths = {**seen()["paths"], "/etc/ssl/pooled/pgbouncer": {"type": "directory"}}
        assert planned(seen(paths=paths))["tls"]["surplus"]
        assert not planned(seen(paths=paths), client_tls_mode="allow")["tls"]["surplus"]
        assert not planned()["tls"]["surplus"]

    def test_a_pooler_of_the_package_is_stopped(self) -> None:
        assert planned(seen(units={"pgbouncer.service": {"active": "active"}}))["package_unit_runs"]
        assert not planned()["package_unit_runs"]


class TestLogins:
    @pytest.mark.parametrize("users", [[STATS, USER], [USER, STATS]])
    def test_a_user_of_the_console_does_not_shift_the_others(self, users: list[dict[str, Any]]) -> None:
        second = {"name": "second", "password": "p", "databases": ["two"]}
        made = planned(users=[*users, second], databases=[{"name": "one"}, {"name": "two"}])
        found = {login["user"]: login["database"] for login in made["logins"]}
        assert found == {"myuser": "one", "second": "two"}

    def test_any_database_is_tried_in_one_that_exists(self) -> None:
        assert (
            planned(databases=[{"name": "*"}], users=[{**USER, "max_user_connections": 9}])["logins"][0][
                "database"
            ]
            == "postgres"
        )

    def test_users_without_a_password_are_not_tried(self) -> None:
        assert planned(users=[{"name": "a", "verifier": "md5" + "0" * 32}])["logins"] == []

    @pytest.mark.parametrize("changes", [{"auth_type": "hba", "hba": [RULE]}])
    def test_methods_that_may_refuse_this_host_are_not_tried(self, changes: dict[str, Any]) -> None:
        assert planned(**changes)["logins"] == []

    @pytest.mark.parametrize(
        ("changes", "host"),
        [
            ({}, "127.0.0.1"),
            ({"listen_addr": "10.0.0.2"}, "10.0.0.2"),
            ({"listen_addr": ""}, "/run/pgbouncer/1"),
            ({"client_tls_mode": "verify-full"}, "/run/pgbouncer/1"),
        ],
    )
    def test_logins_are_tried_where_no_certificate_is_needed(
        self, changes: dict[str, Any], host: str
    ) -> None:
        assert planned(**changes)["login_host"] == host

    def test_few_users_are_all_tried_and_many_by_a_sample(self) -> None:
        every = [{"user": f"u{number}"} for number in range(1000)]
        assert plan.sample(every[:200], []) == every[:200]
        found = plan.sample(every, ["u17", "u18"])
        assert len({one["user"] for one in found}) == len(found)
        assert {"u0", "u999", "u17", "u18"} <= {one["user"] for one in found}
        assert len(found) <= 200
        assert len(plan.sample(every, [one["user"] for one in every])) <= 200


def test_the_monitoring_reaches_every_exporter() -> None:
    [said] = problems.of_ports(9127, 4, [22, "9127", 9128])
    assert "keeps the monitoring hosts from 9129, 9130, where exporters of the 4 processes listen" in said
    assert problems.of_ports(9127, 2, [22, "9127", 9128]) == []
    render = renderer("pgbouncer")
    assert plan.plan(inputs(processes=2), seen(), render, False, opened=[9127])["problems"] != []


def test_ten_thousand_users_are_planned_in_a_second() -> None:
    users = [{"name": f"user{number}", "password": f"secret{number}"} for number in range(10000)]
    start = time.monotonic()
    made = planned(users=users, max_db_connections=80)
    assert made["problems"] == []
    assert len(made["configuration"]["userlist"]["users"]) == 10000
    assert time.monotonic() - start < 5
