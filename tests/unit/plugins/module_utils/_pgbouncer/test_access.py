"""HBA rules as lines, and problems with how clients authenticate."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import access

RULE = {
    "type": "host",
    "databases": ["d"],
    "users": ["u"],
    "address": "10.0.0.0/8",
    "method": "scram-sha-256",
}
SETTINGS = {"auth_type": "hba", "listen_addr": "*", "stats_users": ["u"]}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, 'host  "d"  "u"  10.0.0.0/8  scram-sha-256'),
        ({"type": "local", "address": None, "method": "peer"}, 'local  "d"  "u"  peer'),
        ({"databases": ["all"], "users": ["all"], "address": "all"}, "host  all  all  all  scram-sha-256"),
        (
            {"databases": ["sameuser", "replication"]},
            'host  sameuser,replication  "u"  10.0.0.0/8  scram-sha-256',
        ),
        ({"users": ["u v", "sameuser"]}, 'host  "d"  "u v","sameuser"  10.0.0.0/8  scram-sha-256'),
        ({"type": "hostssl", "address": "::1/128", "method": "cert"}, 'hostssl  "d"  "u"  ::1/128  cert'),
    ],
)
def test_lines(changes: dict[str, Any], line: str) -> None:
    assert access.hba_problems([{**RULE, **changes}]) == []
    assert access.hba_file("header", [{**RULE, **changes}]) == f"# header\n{line}\n"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"type": "hostgssenc"}, "the type 'hostgssenc' is none of local, host, hostssl, hostnossl"),
        ({"method": "gss"}, "the method 'gss' is none of"),
        ({"databases": []}, "it names no databases"),
        ({"users": ["+staff"]}, "the name '+staff' of users is none that the file can hold"),
        ({"users": ['a"b']}, "is none that the file can hold"),
        ({"users": ["a\nhost all all all trust"]}, "is none that the file can hold"),
        ({"databases": ["@file"]}, "the name '@file' of databases"),
        ({"type": "local"}, "the Unix socket has no addresses; leave out 10.0.0.0/8"),
        ({"address": None}, "it has no address"),
        ({"address": "db.example.com"}, "'db.example.com' is no network"),
        ({"address": "samehost"}, "'samehost' is no network"),
        ({"address": "10.0.0.1"}, "the address 10.0.0.1 has no length; give 10.0.0.1/32"),
        ({"address": "10.0.0.1/8"}, "has bits beyond its length; give 10.0.0.0/8"),
        ({"method": "peer"}, "peer is for the Unix socket only"),
        ({"method": "cert"}, "cert needs TLS; make it a hostssl rule"),
    ],
)
def test_what_is_no_rule(changes: dict[str, Any], said: str) -> None:
    found = access.hba_problems([RULE, {**RULE, **changes}])
    assert len(found) == 1
    assert found[0].startswith("rule 2 of pgbouncer_hba: ")
    assert said in found[0]


def problems(
    rules: list[dict[str, Any]] | None = None,
    *,
    users: list[str] | None = None,
    lookup: bool = False,
    unsafe: bool = False,
    **settings: Any,
) -> list[str]:
    return access.problems(
        access.Access(
            {**SETTINGS, **settings},
            [{**RULE, **rule} for rule in rules or []],
            ["u"] if users is None else users,
            lookup,
            unsafe,
        )
    )


TRUST = {"method": "trust", "databases": ["all"], "users": ["all"]}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rules": [{}]}, ""),
        ({"auth_type": "scram-sha-256"}, ""),
        ({"auth_type": None}, ""),
        ({}, "pgbouncer_hba has no rule"),
        ({"rules": [{}], "auth_type": "md5"}, "pgbouncer_hba has rules, and pgbouncer_auth_type is md5"),
        ({"rules": [{"address": "x"}]}, "rule 1 of pgbouncer_hba"),
        # Certificates.
        ({"auth_type": "cert"}, "client_tls_sslmode has to be verify-full, and is disable"),
        ({"auth_type": "cert", "client_tls_sslmode": "verify-ca"}, "has to be verify-full, and is verify-ca"),
        ({"auth_type": "cert", "client_tls_sslmode": "verify-full"}, ""),
        (
            {"rules": [{"type": "hostssl", "method": "cert"}], "client_tls_sslmode": "require"},
            "needs client_tls_sslmode verify-ca or verify-full, which is require",
        ),
        ({"rules": [{"type": "hostssl", "method": "cert"}], "client_tls_sslmode": "verify-ca"}, ""),
        # What is not safe has to be spelled out.
        ({"auth_type": "plain"}, "the method plain needs no password or sends it in the clear"),
        ({"auth_type": "plain", "unsafe": True}, ""),
        ({"auth_type": "trust", "stats_users": []}, "the method trust needs no password"),
        ({"auth_type": "any", "stats_users": [], "unsafe": True}, ""),
        ({"rules": [{"method": "password"}]}, "the method password needs no password"),
        ({"rules": [{"method": "password"}], "unsafe": True}, ""),
        # An administrator without a password over TCP, not even then.
        (
            {"auth_type": "trust", "unsafe": True},
            "the method trust lets anyone log in as 'u' of stats_users",
        ),
        (
            {"auth_type": "any", "unsafe": True, "admin_users": "a"},
            "lets anyone log in as 'a' of admin_users",
        ),
        ({"auth_type": "trust", "unsafe": True, "listen_addr": ""}, ""),
        ({"rules": [TRUST], "unsafe": True}, "rule 1 of pgbouncer_hba lets anyone log in as 'u'"),
        (
            {"rules": [{**TRUST, "databases": ["pgbouncer"], "users": ["u"]}], "unsafe": True},
            "lets anyone log in",
        ),
        ({"rules": [{**TRUST, "databases": ["d"]}], "unsafe": True}, ""),
        ({"rules": [{**TRUST, "users": ["v"]}], "unsafe": True}, ""),
        ({"rules": [{**TRUST, "type": "local", "address": None}], "unsafe": True}, ""),
        # Nor one who has none at all.
        ({"rules": [{}], "users": []}, "'u' of stats_users is not in pgbouncer_users"),
        ({"rules": [{}], "admin_users": "u, a"}, "'a' of admin_users is not in pgbouncer_users"),
        ({"rules": [{}], "users": [], "lookup": True}, ""),
    ],
)
def test_problems_of_authentication(given: dict[str, Any], said: str) -> None:
    found = problems(**given)
    assert len(found) == bool(said)
    assert said in "".join(found)


def test_a_complaint_is_told_with_its_line() -> None:
    text = access.hba_file("header", [RULE, {**RULE, "method": "reject"}])
    said = "hba line 3: unsupported method, could not parse hba config line 3; correct that line"
    assert access.where(said, text) == 'line 3 (host  "d"  "u"  10.0.0.0/8  reject): '
    assert access.where("it did not answer", text) == ""
    assert access.where("hba line 9: unknown type", text) == ""
