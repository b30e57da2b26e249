"""How many server connections PgBouncer may open, and how many PostgreSQL has for it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import budget

LIMITS = {"pool_size": 20, "reserve_pool_size": 0, "max_db_connections": 0, "max_user_connections": 0}
SERVER = {"host": "/run/postgresql", "port": 5432, "max_connections": 100, "reserved": 3, "others": 5}
LOOKUP = {"user": "lookup", "database": "pgbouncer_auth", "connections": 4}
AUTH: dict[str, Any] = {"name": "pgbouncer_auth", "max_db_connections": 8, "pool_size": 4}


def reckon(
    databases: Sequence[Any],
    users: Sequence[Any],
    *,
    lookup: dict[str, Any] | None = None,
    **limits: Any,
) -> budget.Budget:
    return budget.reckon(
        [{"host": "/run/postgresql", "port": 5432, **database} for database in databases],
        users,
        {**LIMITS, **limits},
        SERVER,
        lookup,
    )


@pytest.mark.parametrize(
    ("databases", "users", "limits", "needed", "words"),
    [
        # Pools are pairs of database and user.
        ([{"name": "d"}], [{"name": "u"}], {}, 20, "d: u x 20 = 20;"),
        ([{"name": "d"}], [{"name": "u"}, {"name": "v"}], {}, 40, "d: 2 users x 20 = 40;"),
        (
            [{"name": "d"}, {"name": "e"}],
            [{"name": "u"}],
            {},
            40,
            "d: u x 20 = 20; e: u x 20 = 20; together 40",
        ),
        (
            [{"name": "d"}, {"name": "e"}],
            [{"name": "u", "databases": ["d"]}, {"name": "v", "databases": ["e"]}],
            {},
            40,
            "d: u x 20 = 20; e: v x 20 = 20; together 40",
        ),
        ([{"name": "d"}], [{"name": "u", "databases": ["e"]}], {}, 0, "d: no user = 0"),
        # Of the console only.
        ([{"name": "d"}], [{"name": "u", "databases": []}], {}, 0, "d: no user = 0"),
        ([], [], {}, 0, "no database is on it"),
        # Reserves.
        ([{"name": "d"}], [{"name": "u"}], {"reserve_pool_size": 5}, 25, "d: u x (20 + 5 in reserve) = 25"),
        (
            [{"name": "d", "reserve_pool_size": 1}],
            [{"name": "u"}],
            {"reserve_pool_size": 5},
            21,
            "(20 + 1 in",
        ),
        ([{"name": "d", "reserve_pool": 1}], [{"name": "u"}], {}, 21, "(20 + 1 in"),
        ([{"name": "d", "reserve_pool_size": 1}], [{"name": "u", "reserve_pool_size": 0}], {}, 20, "u x 20"),
        # What the user has goes before what the database has.
        ([{"name": "d", "pool_size": 7}], [{"name": "u"}], {}, 7, "u x 7"),
        ([{"name": "d", "pool_size": 7}], [{"name": "u", "pool_size": 3}, {"name": "v"}], {}, 10, "v x 7"),
        ([{"name": "d", "pool_size": "7"}], [{"name": "u", "pool_size": "3"}], {"pool_size": 1}, 3, "u x 3"),
        # Caps of databases.
        (
            [{"name": "d"}],
            [{"name": "u"}],
            {"max_db_connections": 15},
            15,
            "capped by max_db_connections at 15",
        ),
        ([{"name": "d"}], [{"name": "u"}], {"max_db_connections": 90}, 20, "u x 20 = 20;"),
        (
            [{"name": "d", "max_db_connections": 5}, {"name": "e"}],
            [{"name": "u"}],
            {"max_db_connections": 15},
            20,
            "together 20",
        ),
        # Caps of users.
        (
            [{"name": "d"}],
            [{"name": "u", "max_user_connections": 3}],
            {},
            3,
            "u x 3 (max_user_connections) = 3",
        ),
        (
            [{"name": "d"}, {"name": "e"}, {"name": "f"}],
            [{"name": "u", "max_user_connections": 30}],
            {},
            30,
            "u in 3 databases: max_user_connections = 30",
        ),
        (
            [{"name": "d"}, {"name": "e"}],
            [{"name": "u"}, {"name": "v"}],
            {"max_user_connections": 25},
            50,
            "2 users in 2 databases: 2 x 25, capped by max_user_connections, = 50",
        ),
        (
            [{"name": "d"}],
            [{"name": "u", "max_user_connections": 9}],
            {"max_user_connections": 5},
            9,
            "u x 9",
        ),
        # Both at once: the lower sum is the one that can't be exceeded.
        (
            [{"name": "d", "max_db_connections": 8}, {"name": "e"}],
            [{"name": "u", "max_user_connections": 25}],
            {},
            25,
            "max_user_connections = 25",
        ),
        # One user for all clients of a database is one pool.
        ([{"name": "d", "user": "app"}], [{"name": "u"}, {"name": "v"}], {}, 20, "d: app x 20 = 20"),
        (
            [{"name": "d", "user": "u"}],
            [{"name": "u", "pool_size": 4, "databases": ["e"]}, {"name": "v"}],
            {},
            4,
            "d: u x 4 = 4",
        ),
        # A pool of 0 has no limit.
        ([{"name": "d"}], [{"name": "u"}], {"pool_size": 0}, None, "u x pools without a limit = no limit"),
        ([{"name": "d"}], [{"name": "u"}], {"pool_size": 0, "max_db_connections": 9}, 9, "at 9"),
        ([{"name": "d"}], [{"name": "u", "max_user_connections": 6}], {"pool_size": 0}, 6, "= 6"),
        # All other databases: nobody knows how many.
        ([{"name": "*"}], [{"name": "u"}], {"max_db_connections": 5}, None, "any other database: u x"),
        ([{"name": "*"}], [{"name": "u", "max_user_connections": 30}], {}, 30, "= 30"),
        ([{"name": "*"}], [{"name": "u", "databases": ["d"]}], {}, 0, "any other database: no user"),
    ],
)
def test_sums(
    databases: list[dict[str, Any]],
    users: list[dict[str, Any]],
    limits: dict[str, Any],
    needed: int | None,
    words: str,
) -> None:
    found = reckon(databases, users, **limits)
    assert found.needed == needed
    assert words in found.arithmetic
    assert found.fits == (needed is not None)


def test_it_is_compared_with_what_postgresql_leaves() -> None:
    just = reckon([{"name": "d"}], [{"name": "u"}], pool_size=92)
    over = reckon([{"name": "d"}], [{"name": "u"}], pool_size=93)
    assert (just.granted, just.fits) == (92, True)
    assert (over.needed, over.fits) == (93, False)
    assert over.arithmetic == "d: u x 93 = 93; PostgreSQL grants 100 - 3 reserved - 5 for others = 92"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "", "::1", "/run/postgresql", None])
def test_other_servers_have_budgets_of_their_own(host: str | None) -> None:
    databases = [
        {"name": "d", "host": host},
        {"name": "e", "host": "10.0.0.1", "port": 5433},
        {"name": "f", "host": ["10.0.0.1", "10.0.0.2"], "port": 5433},
        {"name": "g", "host": "10.0.0.2, 10.0.0.3", "port": 5433},
    ]
    found = reckon(databases, [{"name": "u"}])
    assert found.needed == 20
    assert [line.split(":")[:2] for line in found.others] == [
        ["10.0.0.1", "5433"],
        ["10.0.0.2", "5433"],
        ["10.0.0.3", "5433"],
    ]
    assert "together 40; whether it grants them is not known here" in found.others[0]
    assert found.descriptors == 20 + 40 + 40 + 20


def test_another_port_of_the_same_host_is_another_server() -> None:
    found = reckon([{"name": "d"}, {"name": "e", "port": 5433}], [{"name": "u"}])
    assert found.needed == 20
    assert found.others[0].startswith("this host:5433: e: u x 20 = 20;")


def test_a_server_elsewhere_is_known_by_its_address() -> None:
    found = budget.reckon(
        [{"name": "d", "host": "10.0.0.1", "port": 5432}, {"name": "e", "host": "127.0.0.1", "port": 5432}],
        [{"name": "u"}],
        LIMITS,
        {**SERVER, "host": "10.0.0.1"},
    )
    assert found.needed == 20
    assert found.others[0].startswith("this host:5432: e:")


def test_users_that_are_looked_up_get_what_is_left() -> None:
    found = reckon([{"name": "d"}, {"name": "e"}, AUTH], [{"name": "u"}], lookup=LOOKUP)
    assert found.max_db_connections == 42  # (92 - 8) / 2
    assert found.needed == 42 + 42 + 8
    assert found.fits
    assert "d: u x 20 + all that auth_query finds, capped by max_db_connections at 42" in found.arithmetic
    assert "lookup x 4 + all that auth_query finds, capped by max_db_connections at 8" in found.arithmetic


def test_a_cap_that_is_given_counts() -> None:
    found = reckon([{"name": "d"}, {"name": "e"}, AUTH], [], lookup=LOOKUP, max_db_connections=50)
    assert found.max_db_connections == 50
    assert (found.needed, found.fits) == (108, False)
    databases = [{"name": "d", "max_db_connections": 10}, {"name": "e"}, AUTH]
    assert reckon(databases, [], lookup=LOOKUP).max_db_connections == 74


def test_users_without_a_cap_can_not_be_summed() -> None:
    found = reckon([{"name": "d"}], [], lookup={**LOOKUP, "database": ""}, pool_size=200)
    assert found.max_db_connections == 92  # looked up in the database itself
    databases = [{"name": "*"}]
    found = reckon(databases, [{"name": "u", "max_user_connections": 1}], lookup=LOOKUP)
    assert (found.needed, found.fits) == (None, False)
    assert (
        "any other database: u x 1 (max_user_connections) + all that auth_query finds = no limit"
        in found.arithmetic
    )


def test_one_user_for_all_clients_needs_no_cap() -> None:
    found = reckon([{"name": "d", "user": "app"}, AUTH], [], lookup=LOOKUP)
    assert found.needed == 28


def test_long_sums_are_cut() -> None:
    found = reckon([{"name": f"d{number}"} for number in range(100)], [{"name": "u"}])
    assert found.needed == 2000
    assert "92 more = 1840; together 2000" in found.arithmetic
    assert len(found.arithmetic) < 500


def test_many_users_take_no_time() -> None:
    began = time.monotonic()
    users = [
        {"name": f"u{number}", "databases": [f"d{number % 50}"], "pool_size": 1} for number in range(10000)
    ]
    found = reckon([{"name": f"d{number}"} for number in range(50)], users)
    assert found.needed == 10000
    assert time.monotonic() - began < 5
