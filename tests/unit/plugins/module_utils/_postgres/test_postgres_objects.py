"""From what a server holds to the statements that change it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import scram
from ansible_collections.pooled.postgres.plugins.module_utils._postgres import objects
from ansible_collections.pooled.postgres.plugins.module_utils._postgres.objects import (
    Change,
    Lacking,
    Role,
    StoredRole,
)

DATABASE = {"owner": "u", "encoding": "UTF8", "lc_collate": "C", "lc_ctype": "C", "connection_limit": -1}


@pytest.mark.parametrize(("name", "sql"), [("a", '"a"'), ('a"b', '"a""b"'), ("A b", '"A b"')])
def test_names_are_quoted(name: str, sql: str) -> None:
    assert objects.identifier(name) == sql


def test_a_verifier_that_fits_is_kept() -> None:
    current = scram.build("secret")
    assert objects.password_verifier("secret", "u", current, "scram-sha-256") == current


@pytest.mark.parametrize("current", [None, scram.build("other"), scram.build("secret", 1), "md5" + "0" * 32])
def test_a_verifier_that_does_not_fit_is_replaced(current: str | None) -> None:
    made = objects.password_verifier("secret", "u", current, "scram-sha-256")
    assert made != current
    assert scram.verify("secret", scram.parse(made))


def test_md5_is_the_tutorials() -> None:
    made = objects.password_verifier("mypassword", "myuser", None, "md5")
    assert made == "md554fdba1dac1d18ce9c2d57a03502a8ff"


def test_another_encryption_is_refused() -> None:
    with pytest.raises(ValueError, match="neither"):
        objects.password_verifier("secret", "u", None, "plain")


@pytest.mark.parametrize(
    ("role", "stored", "sql", "after"),
    [
        (Role("u"), None, "CREATE ROLE \"u\" LOGIN PASSWORD 'V'", "role u: login, password set"),
        (Role("u"), StoredRole(True, -1, "V"), "", ""),
        (
            Role("u"),
            StoredRole(True, -1, "W"),
            "ALTER ROLE \"u\" LOGIN PASSWORD 'V'",
            "role u: login, password set",
        ),
        (
            Role("u", connection_limit=5),
            StoredRole(True, -1, "V"),
            'ALTER ROLE "u" LOGIN CONNECTION LIMIT 5',
            "role u: login, connection limit 5",
        ),
        (Role("u", connection_limit=-1), StoredRole(True, -1, "V"), "", ""),
        (Role("u"), StoredRole(True, 7, "V"), "", ""),
        (Role("team", login=False), None, 'CREATE ROLE "team" NOLOGIN', "role team: no login"),
        (
            Role("team", login=False),
            StoredRole(True, -1, "X"),
            'ALTER ROLE "team" NOLOGIN',
            "role team: no login",
        ),
    ],
)
def test_roles_that_differ_change(role: Role, stored: StoredRole | None, sql: str, after: str) -> None:
    changes = objects.role_changes([role], {role.name: stored} if stored else {}, {"u": "V"})
    assert [change.sql for change in changes] == ([sql] if sql else [])
    assert [change.after for change in changes] == ([after] if sql else [])


def test_no_diff_shows_a_verifier() -> None:
    changes = objects.role_changes([Role("u")], {"u": StoredRole(True, -1, "OLD")}, {"u": "NEW"})
    assert objects.diff(changes) == {
        "before": "role u: login, password differs\n",
        "after": "role u: login, password set\n",
    }
    assert changes[0].text == "change role u: login, password set"
    assert "OLD" not in repr(StoredRole(True, -1, "OLD"))


def test_memberships_that_lack_take_a_statement_for_each_role() -> None:
    roles = [Role("u", member_of=("team", "x")), Role("v", member_of=("team", "x"))]
    changes = objects.membership_changes(roles, {("u", "team"): False})
    assert [change.sql for change in changes] == ['GRANT "x" TO "u", "v"', 'GRANT "team" TO "v"']


@pytest.mark.parametrize(
    ("wanted", "sql", "said"),
    [
        ({}, [], ""),
        ({"owner": "u", "encoding": "utf-8", "connection_limit": -1}, [], ""),
        ({"owner": "v"}, ['ALTER DATABASE "d" OWNER TO "v"'], ""),
        ({"connection_limit": 9}, ['ALTER DATABASE "d" CONNECTION LIMIT 9'], ""),
        ({"encoding": "latin1"}, [], "the encoding 'UTF8', which can't become 'LATIN1'"),
        ({"lc_collate": "de_DE"}, [], "the lc_collate 'C', which can't become 'de_DE'"),
        ({"encoding": "nix"}, [], "no encoding 'nix'"),
    ],
)
def test_a_database_changes_its_owner_and_limit_only(
    wanted: dict[str, Any], sql: list[str], said: str
) -> None:
    encodings = {"utf-8": "UTF8", "latin1": "LATIN1", "nix": ""}
    problems, created, altered = objects.database_changes(
        [{"name": "d", **wanted}], {"d": DATABASE}, encodings
    )
    assert created == []
    assert [change.sql for change in altered] == sql
    assert bool(problems) == bool(said)
    assert said in " ".join(problems)


def test_a_new_database_is_created_as_given() -> None:
    wanted = {"name": "e", "owner": "u", "encoding": "UTF8", "template": "template0", "connection_limit": 0}
    _problems, created, _altered = objects.database_changes([wanted], {}, {"UTF8": "UTF8"})
    assert created[0].sql == (
        'CREATE DATABASE "e" OWNER "u" TEMPLATE "template0" ENCODING \'UTF8\' CONNECTION LIMIT 0'
    )


KNOWN = {"x": {"default": "2", "versions": ["1", "2", "3"], "updates": ["2"]}}


@pytest.mark.parametrize(
    ("extension", "installed", "sql", "said"),
    [
        ({}, None, 'CREATE EXTENSION "x";', ""),
        ({"schema": "s", "version": "1", "cascade": True}, None, '"x" SCHEMA "s" VERSION \'1\' CASCADE;', ""),
        ({}, "1", "", ""),
        ({"version": "1"}, "1", "", ""),
        ({"version": "2"}, "1", "ALTER EXTENSION \"x\" UPDATE TO '2'", ""),
        ({"version": "latest"}, "1", 'ALTER EXTENSION "x" UPDATE', ""),
        ({"version": "3"}, "1", "", "no way from 1 to '3'"),
        ({"version": "9"}, None, "", "no way from none to '9'"),
        ({"name": "y"}, None, "", "no extension 'y'. Install the package"),
        ({"state": "absent"}, "1", 'DROP EXTENSION "x"', ""),
        ({"state": "absent"}, None, "", ""),
    ],
)
def test_extensions(extension: dict[str, Any], installed: str | None, sql: str, said: str) -> None:
    there = {"x": installed} if installed else {}
    problems, changes = objects.extension_changes("d", [{"name": "x", **extension}], there, KNOWN)
    assert len(changes) == bool(sql)
    assert not sql or sql in changes[0].sql
    assert said in " ".join(problems)
    assert bool(problems) == bool(said)


def test_rights_are_granted_to_all_users_of_an_object_at_once() -> None:
    lacking = [Lacking("u", "database", "d"), Lacking("v", "database", "d"), Lacking("u", "table", 'a"b')]
    assert [change.sql for change in objects.right_changes("d", lacking)] == [
        'GRANT ALL ON DATABASE "d" TO "u", "v"',
        'GRANT ALL ON TABLE public."a""b" TO "u"',
    ]


def test_users_go_after_their_rights_in_all_databases() -> None:
    changes = objects.removal_changes(["u"], [("u", "d"), ("u", ""), ("u", "postgres")])
    assert {name: [change.sql for change in each] for name, each in changes.items()} == {
        "d": ['DROP OWNED BY "u"'],
        "postgres": ['DROP OWNED BY "u"', 'DROP ROLE "u"'],
    }
    assert objects.removal_changes([], []) == {}


def test_what_users_own_in_words() -> None:
    owned = [("u", "shop", "table orders"), ("u", "", "database shop")]
    assert objects.owned_words(owned) == ["u owns database shop, table orders in shop"]
    many = [("u", "d", f"table t{number:02}") for number in range(12)]
    assert objects.owned_words(many)[0].endswith("table t09 in d and 2 more")
    assert objects.owned_words([]) == []


def test_roles_that_nobody_creates_are_problems() -> None:
    problems = objects.unknown_roles(
        [("a", "the user u"), ("b", "postgres_grants"), ("a", "the user u")], ["b"]
    )
    assert problems == [
        "the role 'a' of the user u does not exist. Correct the name, or add it to postgres_roles"
    ]


def test_changes_say_what_they_do() -> None:
    texts = [Change("", after="a").text, Change("", "a", "b").text, Change("", "a").text]
    assert texts == ["add a", "change b", "remove a"]
