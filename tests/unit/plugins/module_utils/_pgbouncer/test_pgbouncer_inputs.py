"""What becomes of the role's inputs."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.pooled.postgres.plugins.filter.pgbouncer import connection_budget
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import inputs


def test_postgresqls_verifier_goes_before_the_password() -> None:
    users: list[dict[str, Any]] = [
        {"name": "u", "password": "p"},
        {"name": "v", "verifier": "V"},
        {"name": "w", "password": "x"},
    ]
    assert inputs.userlist_entries(users, {"u": "U"}) == [
        {"name": "u", "verifier": "U"},
        {"name": "v", "verifier": "V"},
        {"name": "w", "password": "x"},
    ]


@pytest.mark.parametrize(
    ("changes", "needed", "words"),
    [
        ({}, 40, "2 pools x (20 + 0 in reserve) = 40; PostgreSQL grants 100 - 3 reserved = 97"),
        ({"reserve_pool_size": 5}, 50, "2 pools x (20 + 5 in reserve) = 50;"),
        ({"max_db_connections": 15}, 15, "= 40, capped at 1 databases x 15 = 15;"),
        ({"max_db_connections": 90}, 40, "= 40;"),
    ],
)
def test_connection_budget(changes: dict[str, int], needed: int, words: str) -> None:
    given = {
        "pools": 2,
        "pool_size": 20,
        "reserve_pool_size": 0,
        "max_db_connections": 0,
        "databases": 1,
        "max_connections": 100,
        "reserved_connections": 3,
    }
    budget = inputs.connection_budget(**{**given, **changes})
    assert (budget.needed, budget.granted) == (needed, 97)
    assert words in budget.arithmetic


def test_pools_are_pairs_of_user_and_database() -> None:
    assert inputs.pool_count([{"databases": ["a"]}, {"databases": ["a", "b"]}, {}], 4) == 7


def test_databases_are_on_the_server_unless_they_name_their_own() -> None:
    databases: list[dict[str, Any]] = [
        {"name": "shop", "pool_size": None},
        {"name": "old", "dbname": "shop", "host": "h"},
        {"name": "*"},
    ]
    assert inputs.database_options(databases, {"host": "s", "port": 5432}) == [
        {"name": "shop", "host": "s", "port": 5432, "dbname": "shop"},
        {"name": "old", "host": "h", "port": 5432, "dbname": "shop"},
        {"name": "*", "host": "s", "port": 5432},
    ]


def test_users_without_options_are_the_userlists_alone() -> None:
    users: list[dict[str, Any]] = [
        {"name": "u", "password": "p", "databases": ["d"], "pool_mode": None},
        {"name": "v", "verifier": "V", "pool_size": 3},
    ]
    assert inputs.user_options(users) == [{"name": "v", "pool_size": 3}]


def test_numbers_of_the_budget_may_be_text() -> None:
    numbers: dict[str, Any] = dict.fromkeys(
        ("pools", "pool_size", "reserve_pool_size", "max_db_connections", "databases"), "1"
    )
    numbers |= {"max_connections": "100", "reserved_connections": 3}
    assert connection_budget(numbers)["needed"] == 1
    with pytest.raises(AnsibleFilterError, match="Failed to reckon the connection budget: "):
        connection_budget({**numbers, "pools": "many"})
