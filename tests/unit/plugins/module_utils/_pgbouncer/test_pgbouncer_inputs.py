"""The role's inputs as PgBouncer's databases and users."""

from __future__ import annotations

from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import inputs


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
