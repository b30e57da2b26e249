"""The text of pgbouncer.ini, and what PgBouncer's parser says of it."""

from __future__ import annotations

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import config

TEXT = """\
; Managed
[databases]
* = host=10.0.0.1
shop = host=h1,h2 port=5432 dbname='the shop' connect_query='SELECT ''é''' password='it''s x'

[users]
u = pool_mode=session

[peers]
1 = host=/run/1 pool_size=2

[pgbouncer]
auth_file = /a
log_connections = 0
server_reset_query =
stats_users = a,b
"""


def rendered() -> str:
    return config.render(
        {"stats_users": ["a", "b"], "log_connections": False, "auth_file": "/a", "server_reset_query": ""},
        [
            {
                "name": "shop",
                "password": "it's x",
                "connect_query": "SELECT 'é'",
                "dbname": "the shop",
                "port": "5432",
                "host": ["h1", "h2"],
            },
            {"name": "*", "host": "10.0.0.1"},
        ],
        [{"name": "u", "pool_mode": "session"}, {"name": "v"}],
        [{"id": "1", "host": "/run/1", "pool_size": 2}],
        header="Managed",
    )


def test_all_sections_are_written() -> None:
    assert rendered() == TEXT


def test_an_empty_configuration_has_both_sections() -> None:
    assert config.render({}) == "[databases]\n\n[pgbouncer]\n"


@pytest.mark.parametrize(
    ("version", "written"),
    [((1, 18), "reserve_pool=3"), ((1, 24), "reserve_pool_size=3"), (None, "reserve_pool_size=3")],
)
@pytest.mark.parametrize("name", ["reserve_pool", "reserve_pool_size"])
def test_an_option_with_two_names_has_that_of_the_version(
    name: str, version: tuple[int, int] | None, written: str
) -> None:
    text = config.render({}, [{"name": "a", name: 3}], version=version)
    assert text.splitlines()[1] == f"a = {written}"


@pytest.mark.parametrize(
    ("given", "quoted"),
    [
        ("a", "a"),
        ("a b", "'a b'"),
        ("a'b", "'a''b'"),
        ("'", "''''"),
        ("10.0.0.1,/x", "10.0.0.1,/x"),
        ("", "''"),
    ],
)
def test_values_are_quoted(given: str, quoted: str) -> None:
    assert config.quote_value(given) == quoted


@pytest.mark.parametrize(("given", "quoted"), [("a.b-c_1", "a.b-c_1"), ("*", "*"), ("a b", "'a b'")])
def test_names_are_quoted(given: str, quoted: str) -> None:
    assert config.quote_name(given) == quoted


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("a = host=h password=s3cr3t port=1", "a = host=h password=******** port=1"),
        ("a = password='s3 cr3t''s' port=1", "a = password=******** port=1"),
        ("a = password = s3cr3t", "a = password = ********"),
        ("a = password='s3 cr3t", "a = password=********"),
        (';; password=\n;; port=1 "', ';; password=\n;; port=1 "'),
        ('auth_ldap_options = ldapbindpasswd="s3 cr3t" x', "auth_ldap_options = ldapbindpasswd=******** x"),
    ],
)
def test_passwords_are_masked(text: str, masked: str) -> None:
    assert config.masked(text) == masked


def test_an_outline_differs_where_only_a_password_does() -> None:
    old, new = config.outline("a = password=x\n", "a = password=y\n")
    assert old != new
    assert "x\n" not in old
    assert config.outline("a\n", "a\n") == ("a\n", "a\n")
    assert config.outline(None, "a\n") == ("", "a\n")


def test_secrets_are_those_of_databases_and_of_ldap() -> None:
    found = config.secrets(
        {"auth_ldap_options": 'ldapserver=x ldapbindpasswd="y z"'},
        [{"name": "a", "password": "p"}, {"name": "b"}],
    )
    assert found == {"p", "y z"}


SHOP = "line 4 (shop = host=h1,h2 port=5432 dbname='the shop' connect_query='SELECT ''é''' password=********)"
STAMP = "2026-11-22 19:30:42.662 UTC [21] "


@pytest.mark.parametrize(
    ("said", "cause", "advice"),
    [
        (
            [
                'ERROR invalid value "maybe" for parameter log_connections in configuration (/x:14)',
                "FATAL cannot load config file",
            ],
            "line 14 (log_connections = 0): PgBouncer does not take this value",
            "give it another value",
        ),
        (
            [
                "ERROR unrecognized connection parameter: x",
                'ERROR invalid value "password=s3cr3t" for parameter shop in configuration (/x:6)',
            ],
            f"{SHOP}: unrecognized connection parameter: x",
            "leave it out or correct its name",
        ),
        (
            ["ERROR syntax error in configuration (/x:4), stopping loading"],
            f"{SHOP}: syntax error",
            "give it another value",
        ),
        (
            ["ERROR could not open auth_file /a: Permission denied"],
            "line 13 (auth_file = /a): could not open auth_file /a: Permission denied",
            "write that file first, or let pooler read it",
        ),
        (["WARNING hba line 1: unknown type"], "hba line 1: unknown type", "correct that line"),
    ],
)
def test_what_pgbouncer_says_is_explained(said: list[str], cause: str, advice: str) -> None:
    found = config.explain("\n".join(STAMP + line for line in said), TEXT, "pooler")
    assert found is not None
    assert found.cause.startswith(cause.rstrip())
    assert found.advice == advice
    assert "s3cr3t" not in found.cause


def test_a_log_without_complaints_needs_no_explanation() -> None:
    log = f"{STAMP}LOG process up\n{STAMP}INFO x\n\n"
    assert config.explain(log, TEXT, "pooler") is None
    assert config.complaints(log + "pgbouncer: not found\n") == ["pgbouncer: not found"]
