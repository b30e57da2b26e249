"""What is a setting of PgBouncer, and what is not."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import catalogue

OLD, NEW, FUTURE = (1, 18), (1, 24), (1, 99)


@pytest.mark.parametrize(
    ("name", "given", "written"),
    [
        ("log_connections", True, "1"),
        ("log_connections", "no", "0"),
        ("log_connections", 1, "1"),
        ("default_pool_size", 20, "20"),
        ("default_pool_size", " 020 ", "20"),
        ("max_packet_size", 2**32 - 1, "4294967295"),
        ("server_lifetime", 12.5, "12.5"),
        ("server_lifetime", "3600", "3600"),
        ("pool_mode", "Transaction", "transaction"),
        ("unix_socket_mode", "0770", "0770"),
        ("unix_socket_mode", 0o770, "0770"),
        ("unix_socket_mode", "0007", "0007"),
        ("stats_users", ["a", "b"], "a,b"),
        ("stats_users", "a, b", "a, b"),
        ("stats_users", [], ""),
        ("unix_socket_dir", "@abstract", "@abstract"),
        ("unix_socket_dir", "", ""),
        ("server_reset_query", "", ""),
        ("auth_query", "SELECT 'é;#' -- \\", "SELECT 'é;#' -- \\"),
        ("job_name", 5, "5"),
    ],
)
def test_a_value_is_written_as_pgbouncer_reads_it(name: str, given: Any, written: str) -> None:
    assert catalogue.value(catalogue.SETTINGS[name], given) == written
    assert catalogue.setting_problems({name: given}, (1, 25)) == []


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("log_connections", "perhaps", "true or false"),
        ("log_connections", 2, "true or false"),
        ("default_pool_size", "2O", "a whole number from 0 to 2147483647"),
        ("default_pool_size", True, "a whole number"),
        ("default_pool_size", 1.5, "a whole number"),
        ("default_pool_size", -1, "a whole number"),
        ("default_pool_size", 2**31, "a whole number"),
        ("default_pool_size", None, "a single value"),
        ("default_pool_size", [1], "a single value"),
        ("listen_port", 0, "from 1 to 65535"),
        ("peer_id", 16384, "from 0 to 16383"),
        ("server_lifetime", -1, "0 or more"),
        ("server_lifetime", "1e3", "0 or more"),
        ("server_lifetime", "nan", "0 or more"),
        ("server_lifetime", 10**10, "at most 1000000000"),
        ("pool_mode", "sesion", "transaction, statement; the nearest is session"),
        ("unix_socket_mode", 777, "'0770'"),
        ("unix_socket_mode", "770", "'0770'"),
        ("unix_socket_mode", "0999", "'0770'"),
        ("logfile", "a/b", "an absolute path"),
        ("stats_users", ["a,b"], "no comma"),
        ("stats_users", [""], "not empty"),
        ("auth_query", "a\nb", "on one line"),
        ("auth_query", "a\0b", "on one line"),
        ("auth_query", " a", "without spaces at its ends"),
        ("auth_query", True, "text"),
        ("auth_query", "\ud800", "valid Unicode"),
    ],
)
def test_a_value_that_pgbouncer_would_mistake_is_refused(name: str, given: Any, expected: str) -> None:
    problems = catalogue.setting_problems({name: given}, (1, 25))
    assert len(problems) == 1
    assert problems[0].startswith(f"setting {name}: must be ")
    assert expected in problems[0]


@pytest.mark.parametrize(
    ("name", "version", "said"),
    [
        ("server_idel_timeout", None, "no such setting; the nearest is server_idle_timeout"),
        ("zzz", None, "no such setting"),
        ("conffile", None, "give the path instead"),
        ("max_prepared_statements", OLD, "needs PgBouncer 1.21, and this is 1.18"),
        ("transaction_timeout", NEW, "needs PgBouncer 1.25"),
        ("of_the_future", FUTURE, "no such setting"),
    ],
)
def test_a_name_that_this_version_does_not_have_is_refused(
    name: str, version: catalogue.Version | None, said: str
) -> None:
    problems = catalogue.setting_problems({name: "1"}, version)
    assert len(problems) == 1
    assert said in problems[0]


def test_a_newer_binary_knows_more() -> None:
    assert catalogue.setting_problems({"of_the_future": "1"}, FUTURE, ["of_the_future"]) == []
    assert catalogue.database_problems([{"name": "a", "of_the_future": "1"}], FUTURE) == []


@pytest.mark.parametrize(
    ("database", "version", "said"),
    [
        ({"name": "a", "host": ["h1", "h2"], "load_balance_hosts": "disable"}, NEW, None),
        ({"name": "a", "reserve_pool": 3}, OLD, None),
        ({"name": "*"}, OLD, None),
        ({"name": "a.b-c"}, OLD, None),
        ({"name": "a b"}, None, None),
        ({"name": "a b"}, (1, 25), None),
        ({"name": "a b"}, NEW, "1.24 reads names of ASCII letters"),
        ({"name": "a'b"}, (1, 25), "a quote or a control character"),
        ({"name": "a\nb"}, (1, 25), "a quote or a control character"),
        ({"name": ""}, None, "has no name"),
        ({}, None, "has no name"),
        ({"name": "a" * 64}, None, "more than 63 bytes"),
        ({"name": "pgbouncer"}, None, "reserved"),
        ({"name": "a", "pool_sise": 1}, NEW, "no such option; the nearest is pool_size"),
        ({"name": "a", "pool_size": "x"}, NEW, "option pool_size: must be a whole number"),
        ({"name": "a", "password": ""}, NEW, "must not be empty"),
        ({"name": "a", "server_lifetime": 1.5}, NEW, "must be a whole number"),
        ({"name": "a", "server_lifetime": 1}, OLD, "needs PgBouncer 1.23"),
        ({"name": "a", "reserve_pool": 1, "reserve_pool_size": 1}, NEW, "give the latter only"),
    ],
)
def test_database_problems(
    database: dict[str, Any], version: catalogue.Version | None, said: str | None
) -> None:
    problems = catalogue.database_problems([database], version)
    assert len(problems) == (said is not None)
    assert said is None or said in problems[0]


def test_user_and_peer_problems() -> None:
    assert catalogue.user_problems([{"name": "u", "pool_size": 1}], NEW) == []
    assert "needs PgBouncer 1.23" in catalogue.user_problems([{"name": "u", "pool_size": 1}], OLD)[0]
    assert "no such option" in catalogue.user_problems([{"name": "u", "reserve_pool": 1}], NEW)[0]
    assert "twice" in catalogue.user_problems([{"name": "u"}, {"name": "u"}], NEW)[0]
    assert catalogue.peer_problems([{"id": 1, "host": "/run/a", "port": 6432}], NEW) == []
    assert "its id must be" in catalogue.peer_problems([{"id": 0, "host": "a"}], NEW)[0]
    assert "has no host" in catalogue.peer_problems([{"id": 1}], NEW)[0]
    assert "named twice" in catalogue.peer_problems([{"id": 1, "host": "a"}] * 2, NEW)[0]


def test_no_problem_tells_a_value() -> None:
    told = catalogue.database_problems([{"name": "a", "password": "s3cr3t\n", "pool_size": "s3cr3t"}], NEW)
    assert len(told) == 2
    assert "s3cr3t" not in "".join(told)


def test_a_summary_tells_five_and_counts_the_others() -> None:
    assert catalogue.summary(list("abc")) == "a; b; c"
    assert catalogue.summary(list("abcdefg")) == "a; b; c; d; e; and 2 more"
