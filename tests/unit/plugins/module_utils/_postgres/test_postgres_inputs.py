"""Databases, users and rules from the role's inputs."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._postgres import inputs


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
def test_problems(databases: list[Any], users: list[dict[str, str]], said: str | None) -> None:
    problems = inputs.input_problems(databases, users, ["team"], "watch")
    assert len(problems) == (said is not None)
    assert said is None or said in problems[0]


def test_absent_users_are_left_out() -> None:
    users = [{"name": "u", "state": "absent"}, {"name": "v", "state": "present"}, {"name": "w"}]
    assert [user["name"] for user in inputs.present_users(users)] == ["v", "w"]


def test_databases_are_names_or_more() -> None:
    assert inputs.database_entries(["a", {"name": "b", "owner": "u"}]) == [
        {"name": "a"},
        {"name": "b", "owner": "u"},
    ]
