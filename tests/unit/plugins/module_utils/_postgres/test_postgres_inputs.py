"""What becomes of the role's inputs."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._postgres import inputs

STORED: list[dict[str, Any]] = [
    {"rolname": "u", "rolpassword": "V", "rolcanlogin": True, "rolconnlimit": -1, "roles": ["team"]},
    {"rolname": "team", "rolpassword": None, "rolcanlogin": False, "rolconnlimit": -1, "roles": None},
]


@pytest.mark.parametrize(
    ("databases", "users", "said"),
    [
        (["d", {"name": "e", "owner": "u"}], [{"name": "u"}], None),
        ([{"owner": "u"}], [], "neither a name"),
        ([7], [], "neither a name"),
        ([{"name": "d", "onwer": "u"}], [], "has onwer, which is none of name, owner"),
        ([], [{"name": "postgres", "state": "absent"}], "it is the superuser"),
        ([], [{"name": "team"}], "it is one of postgres_roles"),
        ([], [{"name": "watch"}], "it is postgres_monitoring_user"),
    ],
)
def test_inputs_that_can_not_be(databases: list[Any], users: list[dict[str, str]], said: str | None) -> None:
    problems = inputs.input_problems(databases, users, ["team"], "watch")
    assert len(problems) == (said is not None)
    assert said is None or said in problems[0]


@pytest.mark.parametrize(
    ("role", "made"),
    [
        ({"name": "u", "login": True, "verifier": "V"}, False),
        ({"name": "u", "login": True, "verifier": "W"}, True),
        ({"name": "u", "login": True, "verifier": "V", "connection_limit": 5}, True),
        ({"name": "u", "login": True, "verifier": "V", "connection_limit": -1}, False),
        ({"name": "team", "login": False}, False),
        ({"name": "team", "login": True}, True),
        ({"name": "new", "login": False}, True),
    ],
)
def test_roles_that_differ_are_made(role: dict[str, Any], made: bool) -> None:
    assert inputs.roles_to_make([role], STORED) == ([role] if made else [])


def test_memberships_that_lack_are_made_role_by_role() -> None:
    users: list[dict[str, Any]] = [
        {"name": "u", "roles": ["team", "x"]},
        {"name": "v", "roles": ["team", "x"]},
        {"name": "w"},
    ]
    assert inputs.memberships_to_make(users, "watch", STORED) == [
        {"role": "x", "members": ["u", "v"]},
        {"role": "team", "members": ["v"]},
        {"role": "pg_monitor", "members": ["watch"]},
    ]


def test_who_is_to_go_and_still_there() -> None:
    users = [{"name": "u", "state": "absent"}, {"name": "v", "state": "absent"}, {"name": "team"}]
    assert inputs.absent_users(users, STORED) == ["u"]
    assert inputs.present_users(users) == [{"name": "team"}]


def test_what_users_own_in_words() -> None:
    owned = [
        {"name": "u", "database": "shop", "object": "table orders"},
        {"name": "u", "database": "", "object": "database shop"},
    ]
    assert inputs.owned_words(owned) == ["u owns database shop, table orders in shop"]
    many = [{"name": "u", "database": "d", "object": f"table t{n:02}"} for n in range(12)]
    assert inputs.owned_words(many)[0].endswith("table t09 in d and 2 more")
    assert inputs.owned_words([]) == []


def test_databases_are_names_or_more() -> None:
    assert inputs.database_entries(["a", {"name": "b", "owner": "u"}]) == [
        {"name": "a"},
        {"name": "b", "owner": "u"},
    ]


def test_grants_tell_no_password() -> None:
    assert inputs.user_grants([{"name": "u", "password": "p", "databases": ["d"]}]) == [
        {"user": "u", "database": "d", "type": "database", "objs": "d"},
        {"user": "u", "database": "d", "type": "schema", "objs": "public"},
    ]
