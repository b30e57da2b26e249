"""The texts of PostgreSQL's files, and what its complaints mean."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._postgres import inputs, model
from ansible_collections.pooled.postgres.plugins.module_utils._postgres.errors import InvalidInputError

PATH = "/etc/postgresql/17/main/conf.d/50-pooled.conf"
RULE = {"type": "host", "databases": ["d"], "users": ["u"], "address": "192.0.2.0/24", "method": "md5"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "on"),
        (False, "off"),
        (7, "7"),
        (1.1, "1.1"),
        ("256MB", "'256MB'"),
        ("it's", "'it''s'"),
        ("a\\b", "'a\\\\b'"),
        (["a", "b"], "'a, b'"),
        ([], "''"),
        ("", "''"),
    ],
)
def test_values_as_the_file_has_them(value: Any, text: str) -> None:
    assert model.setting_text("x", value) == text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"bad name": 1}, "'bad name' is no name"),
        ({"": 1}, "is no name"),
        ({"1a": 1}, "is no name"),
        ({"a": "x\ny"}, "control character"),
        ({"a": {"b": 1}}, "a is a dictionary"),
        ({"primary_conninfo": "host=a password=s3cr3t"}, "holds a password"),
    ],
)
def test_settings_that_no_file_can_hold(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said) as caught:
        model.settings_file("x", given, {})
    assert "s3cr3t" not in str(caught.value)


def test_what_is_given_goes_before_what_is_derived() -> None:
    text = model.settings_file("h", {"b": 1, "c": None, "ext.a": "x"}, {"a": 2, "b": 3, "c": 4})
    assert text.splitlines()[0] == "# h"
    assert [line for line in text.splitlines() if line[0] != "#"] == ["b = 1", "ext.a = 'x'", "a = 2"]
    assert model.setting_names(text) == {"a", "b", "ext.a"}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, 'host  "d"  "u"  192.0.2.0/24  md5'),
        ({"type": "local", "address": None}, 'local  "d"  "u"  md5'),
        (
            {"databases": ["all", "sameuser", "All"], "users": ["all", "sameuser"]},
            'host  all,sameuser,"All"  all,"sameuser"  192.0.2.0/24  md5',
        ),
        ({"users": ["+staff", "/^a b$"]}, 'host  "d"  +"staff",/"^a b$"  192.0.2.0/24  md5'),
        ({"users": ['a"b']}, 'host  "d"  "a""b"  192.0.2.0/24  md5'),
        ({"address": "::1/128"}, 'host  "d"  "u"  ::1/128  md5'),
        ({"address": "a b"}, 'host  "d"  "u"  "a b"  md5'),
        (
            {"method": "cert", "options": {"map": "m", "clientname": "DN", "x": True, "y": "a b"}},
            'host  "d"  "u"  192.0.2.0/24  cert  map=m  clientname=DN  x=1  y="a b"',
        ),
    ],
)
def test_rules_as_the_file_has_them(changes: dict[str, Any], line: str) -> None:
    assert model.hba_line({**RULE, **changes}) == line


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"address": ""}, "has no address"),
        ({"type": "local"}, "which has no addresses"),
        ({"users": []}, "names no users"),
        ({"databases": [""]}, "names no databases"),
        ({"users": ["a\nb"]}, "control character"),
        ({"options": {"ldapbindpasswd": "s3cr3t"}}, "ldapbindpasswd holds a password"),
    ],
)
def test_rules_that_no_line_can_hold(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said) as caught:
        model.hba_line({**RULE, **changes})
    assert "s3cr3t" not in str(caught.value)


def rules(**changes: Any) -> list[str]:
    given: dict[str, Any] = {
        "users": [
            {"name": "u", "databases": ["d"], "password": "s3cr3t"},
            {"name": "gone", "databases": ["d"], "state": "absent"},
            {"name": "nowhere", "databases": []},
        ],
        "rules": [{**RULE, "method": "reject"}],
        "addresses": ["127.0.0.1/32"],
        "method": "scram-sha-256",
        "monitoring_user": "watch",
    }
    return model.hba_file("h", inputs.hba_rules(**{**given, **changes})).splitlines()[2:]


def test_nobody_locks_out_the_superuser_and_given_rules_narrow_the_users() -> None:
    assert rules() == [
        'local  all  "postgres"  peer',
        'local  all  "watch"  peer  map=pooled_monitoring',
        'host  "d"  "u"  192.0.2.0/24  reject',
        'local  "d"  "u"  scram-sha-256',
        'host  "d"  "u"  127.0.0.1/32  scram-sha-256',
    ]
    assert rules(monitoring_user="", rules=[], users=[]) == ['local  all  "postgres"  peer']


def test_who_comes_without_tls_is_refused_before_any_rule_lets_them_in() -> None:
    plain = rules()
    assert rules(tls_required=True) == [*plain[:2], "hostnossl  all  all  all  reject", *plain[2:]]


def test_maps_as_the_file_has_them() -> None:
    maps = [{"map": "m", "system": "root", "user": "u"}, {"map": "m", "system": "/^(.*)$", "user": "+staff"}]
    assert model.ident_file("h", maps).splitlines()[2:] == [
        '"m"  "root"  "u"',
        '"m"  /"^(.*)$"  +"staff"',
    ]


@pytest.mark.parametrize(
    ("output", "wanted"),
    [
        (
            'LOG:  invalid value for parameter "a": "b"\nFATAL:  configuration file "/x" contains errors\n',
            ['invalid value for parameter "a": "b"'],
        ),
        (
            '2026-01-01 UTC [1] LOG:  unrecognized configuration parameter "a" in file "/x" line 3\n'
            '2026-01-01 UTC [1] FATAL:  configuration file "/x" contains errors\n',
            ['unrecognized configuration parameter "a" in file "/x" line 3'],
        ),
        (
            'postgres: "a" (6) must be less than "b" (5)\n',
            ['"a" (6) must be less than "b" (5)'],
        ),
        (
            'WARNING:  invalid configuration parameter name "e.x", removing it\nWARNING:  something else\n',
            ['invalid configuration parameter name "e.x", removing it'],
        ),
        ("", ["PostgreSQL gives no reason"]),
    ],
)
def test_complaints_are_those_that_name_a_cause(output: str, wanted: list[str]) -> None:
    assert model.complaints(output) == wanted


TEXT = (
    "# h\n# c\nmax_connections = 5\nshared_preload_libraries = 'a, nix'\nwork_mem = 'lots'\nzz = 1\ne.x = 1\n"
)


@pytest.mark.parametrize(
    ("complaint", "said"),
    [
        (
            'unrecognized configuration parameter "work_men" in file "/tmp/x/conf.d/50-pooled.conf" line 5',
            f"{PATH} line 5 (work_mem = 'lots'): unrecognized configuration parameter \"work_men\""
            "; the nearest is work_mem",
        ),
        (
            'invalid value for parameter "work_mem": "lots"',
            f'{PATH} line 5 (work_mem = \'lots\'): invalid value for parameter "work_mem": "lots"',
        ),
        (
            'could not access file "nix": No such file or directory',
            f"{PATH} line 4 (shared_preload_libraries = 'a, nix'): could not access file \"nix\": "
            "No such file or directory",
        ),
        (
            "reserved (6) must be less than max_connections (5)",
            f"{PATH} line 3 (max_connections = 5): reserved (6) must be less than max_connections (5)",
        ),
        (
            'invalid configuration parameter name "e.x", removing it',
            f'{PATH} line 7 (e.x = 1): invalid configuration parameter name "e.x"',
        ),
        # Of another file, which the role does not write.
        ('syntax error in file "/tmp/x/conf.d/other.conf" line 1', None),
    ],
)
def test_a_complaint_gets_its_line(complaint: str, said: str | None) -> None:
    assert model.blame(complaint, TEXT, PATH, ["work_mem", "wal_level"]) == (said or complaint)


def test_a_rules_complaint_gets_its_line() -> None:
    assert model.blame_rule("/p", "# a\nhost x\n", 2, "wrong") == "/p line 2 (host x): wrong"
    assert "look at its options" in model.blame_rule("/p", "# a\nhost x\n", 2, "")


@pytest.mark.parametrize(
    ("live", "wanted", "waiting"),
    [
        ({"port": "1"}, {"port": "1"}, []),
        ({"port": "1"}, {"port": "2"}, ["port"]),
        # The scratch cluster's own, one that another follows from, one of another version.
        ({"hba_file": "a", "auto": "1"}, {"hba_file": "b", "auto": "2", "new": "1"}, []),
    ],
)
def test_what_a_restart_is_needed_for(
    live: dict[str, str], wanted: dict[str, str], waiting: list[str]
) -> None:
    assert model.waiting_for_restart(live, wanted, {"port", "hba_file", "new"}) == waiting


def test_a_servers_file_tells_where_it_listens() -> None:
    text = "42\n/data\n1700000000\n5433\n/run/postgresql\n*\n"
    assert model.parse_postmaster(text) == (42, 5433, "/run/postgresql")
    with pytest.raises(ValueError, match="not complete"):
        model.parse_postmaster("42\n")
