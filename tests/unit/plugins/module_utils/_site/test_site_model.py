"""Problems of users and databases."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._site import model

USER = {"name": "u", "password": "p", "databases": ["d"]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"password": "q\"uo'te \\ $ % pässwörd €"}, None),
        ({"password": ""}, "the password is empty"),
        ({"password": None}, "the password is empty"),
        ({"password": None, "verifier": "md5..."}, None),
        ({"password": "a\nb"}, "a newline or a NUL"),
        ({"password": "a\0b"}, "a newline or a NUL"),
        ({"name": 'u"v'}, "a quote"),
        ({"name": "u'v"}, "a quote"),
        ({"name": ""}, "the name is empty"),
        ({"name": "é" * 32}, "more than 63 bytes"),
        ({"databases": ["other"]}, "the database 'other' is none of those that are made (d)"),
    ],
)
def test_user_problems(changes: dict[str, Any], said: str | None) -> None:
    problems = model.user_problems([{**USER, **changes}], ["d"])
    assert len(problems) == (said is not None)
    assert said is None or said in problems[0]


def test_a_user_named_twice_and_a_database_with_a_quote_are_problems() -> None:
    problems = model.user_problems([USER, USER], ["d", 'e"'])
    assert len(problems) == 2
    assert "named twice" in problems[1]


def test_no_problem_tells_a_password() -> None:
    assert "s3cr3t" not in "".join(model.user_problems([{**USER, "password": "s3cr3t\n"}], ["d"]))
