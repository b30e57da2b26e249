"""Entries of postgres_grants: what is wrong with them, and what they change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._postgres import grants
from ansible_collections.pooled.postgres.plugins.module_utils._postgres.grants import Held

NEW, OLD = 170000, 160000


def entry(**changes: Any) -> dict[str, Any]:
    return {"database": "d", "roles": ["r"], "objs": ["t"], "privs": ["SELECT"], **changes}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"privs": ["all privileges"]}, ""),
        ({"type": "database", "objs": None, "privs": ["TEMP"]}, ""),
        ({"type": "parameter", "objs": ["work_mem"], "privs": ["ALTER_SYSTEM"]}, ""),
        ({"type": "group", "privs": []}, ""),
        ({"type": "default_privs", "objs": ["tables"], "target_roles": ["o"]}, ""),
        ({"type": "tables"}, "type 'tables' is unknown"),
        ({"privs": ["EXECUTE"]}, "privs EXECUTE do not fit type table"),
        ({"privs": []}, "needs privs"),
        ({"objs": []}, "needs objs"),
        ({"type": "group"}, "takes no privs"),
        ({"type": "schema", "schema": "s", "privs": ["USAGE"]}, "takes no schema"),
        ({"type": "schema", "objs": ["ALL_IN_SCHEMA"], "privs": ["USAGE"]}, "ALL_IN_SCHEMA stands alone"),
        ({"type": "function", "objs": ["add"], "privs": ["EXECUTE"]}, "is no signature"),
        ({"type": "default_privs", "objs": ["VIEWS"]}, "objs VIEWS are none of"),
        ({"type": "default_privs", "objs": ["TABLES", "TYPES"]}, "privs SELECT do not fit"),
        ({"target_roles": ["o"]}, "target_roles is for default_privs"),
    ],
)
def test_problems(changes: dict[str, Any], said: str) -> None:
    problems = grants.problems([entry(**changes)])
    assert bool(problems) == bool(said)
    assert said in " ".join(problems)


@pytest.mark.parametrize(
    ("changes", "sql"),
    [
        ({}, 'TABLE "public"."t"'),
        ({"schema": "s", "objs": ["a", 'b"']}, 'TABLE "s"."a", "s"."b"""'),
        ({"objs": ["ALL_IN_SCHEMA"]}, 'ALL TABLES IN SCHEMA "public"'),
        ({"type": "function", "objs": ["add(int:int)"]}, 'FUNCTION "public"."add"(int,int)'),
        ({"type": "database", "objs": None}, 'DATABASE "d"'),
        ({"type": "foreign_data_wrapper", "objs": ["w"]}, 'FOREIGN DATA WRAPPER "w"'),
    ],
)
def test_objects_as_grant_has_them(changes: dict[str, Any], sql: str) -> None:
    assert grants.on(grants.parse(entry(**changes))) == sql


Rights = Mapping[str, Mapping[str, bool]]


@pytest.mark.parametrize(
    ("changes", "rights", "sql"),
    [
        ({}, {}, ['GRANT SELECT ON TABLE "public"."t" TO "r"']),
        ({}, {"r": {"SELECT": False, "INSERT": True}}, []),
        ({}, {"r": {"SELECT": True}}, []),
        ({"roles": ["public"]}, {}, ['GRANT SELECT ON TABLE "public"."t" TO PUBLIC']),
        ({"roles": ["CURRENT_USER"]}, {"postgres": {"SELECT": False}}, []),
        (
            {"grant_option": True},
            {"r": {"SELECT": False}},
            ['GRANT SELECT ON TABLE "public"."t" TO "r" WITH GRANT OPTION'],
        ),
        ({"grant_option": True}, {"r": {"SELECT": True}}, []),
        (
            {"grant_option": False},
            {"r": {"SELECT": True}},
            ['REVOKE GRANT OPTION FOR SELECT ON TABLE "public"."t" FROM "r"'],
        ),
        ({"grant_option": False}, {"r": {"SELECT": False}}, []),
        ({"state": "absent"}, {"r": {"SELECT": False}}, ['REVOKE SELECT ON TABLE "public"."t" FROM "r"']),
        ({"state": "absent"}, {"r": {"INSERT": False}, "s": {"SELECT": False}}, []),
    ],
)
def test_rights_that_differ_change(changes: dict[str, Any], rights: Rights, sql: list[str]) -> None:
    found = grants.changes(grants.parse(entry(**changes)), [Held("public.t", rights)], NEW)
    assert [line for change in found for line in change.sql.split(";\n")] == sql


def test_all_has_maintain_since_17() -> None:
    grant = grants.parse(entry(privs=["ALL"]))
    names = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
    held = [Held("public.t", {"r": dict.fromkeys(names, False)})]
    assert grants.changes(grant, held, OLD) == []
    assert "MAINTAIN" in grants.changes(grant, held, NEW)[0].after


def test_the_diff_names_each_right() -> None:
    grant = grants.parse(entry(roles=["r", "s"], privs=["SELECT", "INSERT"]))
    (change,) = grants.changes(grant, [Held("public.t", {"r": {"SELECT": True}})], NEW)
    assert change.before == "r: SELECT (grant option) on table public.t in d"
    assert change.after.splitlines() == [
        "r: INSERT, SELECT (grant option) on table public.t in d",
        "s: INSERT, SELECT on table public.t in d",
    ]


HEAD = 'ALTER DEFAULT PRIVILEGES FOR ROLE "o" IN SCHEMA "public" '


@pytest.mark.parametrize(
    ("changes", "rights", "sql"),
    [
        ({}, {}, [f'{HEAD}REVOKE ALL ON TABLES FROM "r"', f'{HEAD}GRANT SELECT ON TABLES TO "r"']),
        ({}, {("o", "TABLES"): {"r": {"SELECT": False}}}, []),
        # Wanted privileges replace others.
        (
            {},
            {("o", "TABLES"): {"r": {"SELECT": False, "INSERT": False}}},
            [f'{HEAD}REVOKE ALL ON TABLES FROM "r"', f'{HEAD}GRANT SELECT ON TABLES TO "r"'],
        ),
        (
            {"state": "absent"},
            {("o", "TYPES"): {"r": {"USAGE": False}}},
            [f'{HEAD}REVOKE ALL ON TYPES FROM "r"'],
        ),
        ({"state": "absent"}, {("o", "TABLES"): {"s": {"SELECT": False}}}, []),
    ],
)
def test_default_rights_that_differ_change(changes: dict[str, Any], rights: Any, sql: list[str]) -> None:
    grant = grants.parse(entry(type="default_privs", objs=["TABLES"], target_roles=["o"], **changes))
    found = grants.default_changes(grant, rights, NEW)
    assert [line for change in found for line in change.sql.split(";\n")] == sql


@pytest.mark.parametrize(
    ("changes", "stored", "sql"),
    [
        ({}, {}, ['GRANT "t" TO "r"']),
        ({}, {("r", "t"): True}, []),
        ({"grant_option": True}, {("r", "t"): False}, ['GRANT "t" TO "r" WITH ADMIN OPTION']),
        ({"grant_option": False}, {("r", "t"): True}, ['REVOKE ADMIN OPTION FOR "t" FROM "r"']),
        ({"state": "absent"}, {("r", "t"): False}, ['REVOKE "t" FROM "r"']),
        ({"state": "absent"}, {}, []),
    ],
)
def test_groups(changes: dict[str, Any], stored: Mapping[tuple[str, str], bool], sql: list[str]) -> None:
    found = grants.group_changes(grants.parse(entry(type="group", privs=[], **changes)), stored)
    assert [change.sql for change in found] == sql
