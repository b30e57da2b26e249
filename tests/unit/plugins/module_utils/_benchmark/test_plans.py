"""Plans: what is refused and in which words, and which runs are made in which order."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import plans
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.errors import PlanError

CASE = {"script": "select-only", "clients": 50}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "Failed to read the plan p.yml: it is no mapping with `cases`"),
        (None, "is no mapping with `cases`"),
        ({}, "`cases` is missing"),
        ({"cases": []}, "`cases` must be a list of at least one"),
        ({"cases": "all"}, "`cases` must be a list of at least one"),
        ({"cases": ["select-only"]}, "case 1: give a mapping such as {script: select-only, clients: 50}"),
        ({"cases": [CASE], "case": 1}, "unknown key `case`, did you mean `cases`?"),
        ({"cases": [CASE], "colour": 1}, "unknown key `colour`, known are seconds, repeats, scale"),
        ({"cases": [{**CASE, "client": 3}]}, "case 1: unknown key `client`, did you mean `clients`?"),
        ({"cases": [{"clients": 1}]}, "case 1: `script` is missing"),
        ({"cases": [CASE, {"script": "tpcb-like"}]}, "case 2: `clients` is missing"),
        ({"cases": [{**CASE, "clients": 0}]}, "case 1: `clients` must be a whole number from 1 to 100,000"),
        ({"cases": [{**CASE, "clients": [1, 0]}]}, "case 1: `clients` must be"),
        ({"cases": [{**CASE, "clients": []}]}, "case 1: `clients` must be"),
        ({"cases": [{**CASE, "clients": True}]}, "case 1: `clients` must be"),
        ({"cases": [{**CASE, "clients": "many"}]}, "case 1: `clients` must be"),
        ({"cases": [{**CASE, "mode": "often"}]}, "`mode` must be one of persistent, reconnect"),
        ({"cases": [{**CASE, "protocol": "udp"}]}, "`protocol` must be one of simple, extended, prepared"),
        ({"cases": [{**CASE, "seconds": 1.5}]}, "`seconds` must be a whole number from 1 to 86,400"),
        ({"cases": [{**CASE, "seconds": 1, "transactions": 1}]}, "give either `seconds` or `transactions`"),
        ({"cases": [{**CASE, "variables": [1]}]}, "`variables` must map names to numbers or texts"),
        ({"cases": [{**CASE, "variables": {"a b": 1}}]}, "`variables` must map"),
        ({"cases": [{**CASE, "content": " "}]}, "`content` must be a non-empty text"),
        ({"cases": [CASE], "paths": ["tcp"]}, "`paths` has 'tcp'; known are direct, pooled, socket, tls"),
        ({"cases": [CASE], "paths": []}, "`paths` must be a non-empty list of different names"),
        (
            {"cases": [CASE], "paths": ["direct", "direct"]},
            "`paths` must be a non-empty list of different names",
        ),
        ({"cases": [CASE], "from": "here"}, "`from` must be a non-empty list of different names"),
        (
            {"cases": [CASE, {**CASE, "seconds": 9}]},
            "case 2 repeats the script, clients, mode and protocol of case 1",
        ),
        (
            {"cases": [{**CASE, "clients": [1, 1]}]},
            "case 1 repeats the script, clients, mode and protocol of case 1",
        ),
        ({"cases": [CASE], "repeats": 0}, "`repeats` must be a whole number from 1 to 100"),
        ({"cases": [CASE], "scale": "big"}, "`scale` must be a whole number"),
    ],
)
def test_a_bad_plan_says_what_is_wrong(given: object, says: str) -> None:
    with pytest.raises(PlanError) as refused:
        plans.custom(given, "p.yml")
    assert says in str(refused.value)
    assert "p.yml" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(PlanError, match=r"`paths` has .*; case 1: .*; case 2: "):
        plans.custom({"paths": ["x"], "cases": [{**CASE, "clients": 0}, {**CASE, "jobs": 0}]}, "p.yml")


@pytest.mark.parametrize("name", plans.BUILTIN)
def test_builtin_plans_pass_their_own_checks(name: str) -> None:
    plan = plans.builtin(name)
    given = {key: value for key, value in plan.items() if key != "name" and value is not None}
    assert plans.custom(given, name)["cases"] == plan["cases"]
    assert plans.own_scripts(plan) == []


@pytest.mark.parametrize(
    ("name", "least", "most"), [("quick", 30, 52), ("standard", 500, 620), ("tutorial", 30, 90)]
)
def test_builtin_plans_take_as_long_as_they_promise(name: str, least: float, most: float) -> None:
    schedule = plans.schedule(plans.builtin(name), 100)
    assert least < sum(item["expected_seconds"] for item in schedule) < most


def test_the_quick_plan_has_what_the_demo_shows() -> None:
    cases = plans.cases(plans.builtin("quick"), 100)
    assert [(case["script"], case["mode"], case["clients"]) for case in cases] == [
        ("select-only", "persistent", 50),
        ("tpcb-like", "persistent", 50),
        ("select-only", "reconnect", 20),
        ("select-only", "persistent", 150),
    ]


def _order(plan: dict[str, Any]) -> list[str]:
    schedule = plans.schedule(plan, 100)
    return [f"{item['script'][0]}{item['clients']}{item['path'][0]}{item['repeat']}" for item in schedule]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"repeats": 1, "warmup_seconds": 0}, "s50d1 s50p1"),
        ({"repeats": 3, "warmup_seconds": 0}, "s50d1 s50p1 s50p2 s50d2 s50d3 s50p3"),
        # Once for each script, on the last path.
        (
            {"repeats": 1, "cases": [{**CASE, "clients": [1, 2]}, {"script": "tpcb-like", "clients": 3}]},
            "s1p0 s1d1 s1p1 s2d1 s2p1 t3p0 t3d1 t3p1",
        ),
        ({"paths": ["pooled"], "repeats": 2, "warmup_seconds": 0}, "s50p1 s50p2"),
        # In rounds; a case with fewer repeats is not in the later ones.
        (
            {
                "repeats": 3,
                "cases": [
                    {**CASE, "clients": 1},
                    {**CASE, "clients": 2, "repeats": 1},
                    {**CASE, "clients": 3},
                ],
            },
            "s1p0 s1d1 s1p1 s2d1 s2p1 s3d1 s3p1 s1p2 s1d2 s3p2 s3d2 s1d3 s1p3 s3d3 s3p3",
        ),
        (
            {"paths": ["direct", "pooled", "tls"], "repeats": 2, "warmup_seconds": 0},
            "s50d1 s50p1 s50t1 s50t2 s50p2 s50d2",
        ),
        ({"warmup_seconds": 0, "cases": [{**CASE, "clients": "beyond", "repeats": 1}]}, "s150d1 s150p1"),
    ],
)
def test_paths_take_turns(changes: dict[str, Any], expected: str) -> None:
    plan = plans.custom({"cases": [CASE], **changes}, "p.yml")
    assert _order(plan) == expected.split()


def test_a_run_has_all_that_is_needed_to_make_it() -> None:
    plan = plans.custom(
        {"cases": [{**CASE, "mode": "reconnect", "seconds": 7}], "warmup_seconds": 3, "repeats": 1}, "p.yml"
    )
    warmup, first, _ = plans.schedule(plan, 100)
    assert (warmup["seconds"], warmup["repeat"], warmup["number"], warmup["of"]) == (3, 0, 1, 3)
    assert first["seconds"] == 7
    assert first["label"] == "select-only, 50 clients, reconnecting"
    assert first["timeout"] > first["seconds"]


@pytest.mark.parametrize(("clients", "seconds"), [(1, 5), (499, 5), (1000, 7), (10_000, 25)])
def test_many_clients_have_time_to_connect(clients: int, seconds: int) -> None:
    plan = plans.custom({"cases": [{**CASE, "clients": clients}], "warmup_seconds": 0, "repeats": 1}, "p")
    assert plans.schedule(plan, 100)[0]["seconds"] == seconds


def test_transactions_take_the_place_of_seconds() -> None:
    plan = plans.custom({"cases": [{**CASE, "transactions": 10}], "warmup_seconds": 0, "seconds": 3}, "p")
    assert {(item["seconds"], item["transactions"]) for item in plans.schedule(plan, 100)} == {(None, 10)}
    # Ten clients' worth of a script that takes a minute.
    assert all(item["timeout"] > 600 for item in plans.schedule(plan, 100))


@pytest.mark.parametrize(
    ("changes", "tls", "says"),
    [
        ({}, "disable", None),
        ({}, "require", None),
        ({"paths": ["direct", "tls"]}, "require", None),
        ({"paths": ["direct", "pooled", "tls"]}, "allow", None),
        (
            {"paths": ["direct", "pooled", "tls"]},
            "require",
            "together with the path tls, pooled runs without TLS",
        ),
        ({"paths": ["direct", "tls"]}, "disable", "PgBouncer has no TLS for the path tls"),
        ({}, "verify-full", "requires client certificates .* remove pooled"),
        ({"paths": ["direct", "socket"], "from": ["db"]}, "verify-full", None),
        (
            {"paths": ["socket"]},
            "disable",
            r"the path socket only works on the database host: set `from: \[db\]`",
        ),
        ({"paths": ["socket"], "from": ["db", "load"]}, "disable", "the path socket"),
        ({"paths": ["socket"], "from": ["db"]}, "disable", None),
        ({"from": ["elsewhere"]}, "disable", "`from` has 'elsewhere', .* known are load, db"),
    ],
)
def test_paths_that_are_not_there(changes: dict[str, Any], tls: str, says: str | None) -> None:
    plan = {"from": ["load"], **plans.builtin("quick"), **changes}
    if says is None:
        plans.check_paths(plan, hosts=["load", "db"], database="db", tls=tls)
    else:
        with pytest.raises(PlanError, match=says):
            plans.check_paths(plan, hosts=["load", "db"], database="db", tls=tls)


@pytest.mark.parametrize("paths", [["direct", "poold"], ["direct", "direct"], [], "direct"])
def test_other_paths_are_judged_like_a_plan_s(paths: Any) -> None:
    with pytest.raises(PlanError, match=r"accept benchmark_paths: it (has 'poold'|must be a non-empty list)"):
        plans.with_paths(plans.builtin("quick"), paths)
    assert plans.with_paths(plans.builtin("quick"), ["pooled"])["paths"] == ["pooled"]


def test_clients_that_are_as_many_beyond_are_no_case_of_their_own() -> None:
    plan = plans.custom({"cases": [{**CASE, "clients": [150, "beyond"]}]}, "p")
    with pytest.raises(PlanError, match="case 2 repeats"):
        plans.schedule(plan, 100)
    assert plans.schedule(plan, 200)


def test_a_script_of_one_s_own_has_a_name_of_its_own() -> None:
    with pytest.raises(
        PlanError, match="select-only is one of pgbench's scripts: give your `content` another name"
    ):
        plans.custom({"cases": [{**CASE, "content": "SELECT 1;"}]}, "p")


@pytest.mark.parametrize(
    ("clients", "hosts", "expected"), [(10, 1, [10]), (10, 3, [4, 3, 3]), (2, 3, [1, 1, 0])]
)
def test_load_hosts_share_the_clients(clients: int, hosts: int, expected: list[int]) -> None:
    assert [plans.share(clients, hosts, number) for number in range(hosts)] == expected


@pytest.mark.parametrize(
    ("mode", "wanted", "clients", "expected"),
    [
        ("persistent", None, 50, 4),
        ("persistent", None, 1, 1),
        ("persistent", 2, 50, 2),
        ("persistent", 8, 3, 3),
        ("reconnect", None, 20, 20),
        ("reconnect", None, 900, 500),
    ],
)
def test_threads(mode: str, wanted: int | None, clients: int, expected: int) -> None:
    assert plans.jobs({"mode": mode, "jobs": wanted}, clients, 4) == expected


@pytest.mark.parametrize(
    ("case", "hosts", "expected"),
    [
        ({**CASE, "seconds": 10}, 1, {"clients": 50, "jobs": 50, "log_bytes": 35_000_000}),
        ({**CASE, "transactions": 1000}, 2, {"clients": 25, "jobs": 25, "log_bytes": 875_000}),
        (
            {**CASE, "clients": 10_000, "transactions": 1},
            1,
            {"clients": 10_000, "jobs": 64, "log_bytes": 350_000},
        ),
        # Each of its threads opens files, too.
        (
            {**CASE, "clients": [400, 401], "jobs": 400, "transactions": 1},
            1,
            {"clients": 401, "jobs": 400, "log_bytes": 14_035},
        ),
    ],
)
def test_what_a_load_host_must_have(case: dict[str, Any], hosts: int, expected: dict[str, int]) -> None:
    plan = plans.custom({"cases": [case], "warmup_seconds": 0}, "p.yml")
    assert plans.needs(plans.schedule(plan, 100), hosts) == expected


@pytest.mark.parametrize(
    ("done", "ago", "last", "expected"),
    [
        (0, 0, "", "1/5 select-only, 50 clients, pooled, warm-up; 12 s left"),
        (1, 1.7, "9 tps", "2/5 select-only, 50 clients, direct, 1 of 2; last: 9 tps; 11 s left"),
        # It has taken ten times as long as expected.
        (3, 100, "9 tps", "4/5 select-only, 50 clients, pooled, 2 of 2; last: 9 tps; 1 min 16 s left"),
        (5, 20, "gone", "5/5 runs finished; last: gone"),
    ],
)
def test_progress(done: int, ago: float, last: str, expected: str) -> None:
    plan = plans.custom({"cases": [CASE], "warmup_seconds": 1, "seconds": 2, "repeats": 2}, "p.yml")
    schedule = [{**item, "expected_seconds": item["seconds"] + 0.7} for item in plans.schedule(plan, 100)]
    assert plans.progress(schedule, done, time.time() - ago, last) == expected


@pytest.mark.parametrize(("hosts", "sizes"), [(1, [5, 5, 4, 5, 3]), (2, [1] * 22)])
def test_a_task_makes_several_runs_of_one_load_host(hosts: int, sizes: list[int]) -> None:
    items = plans.schedule({**plans.builtin("quick"), "from": ["load"]}, 100)
    found = plans.batches(items, hosts)
    assert [number for batch in found for number in batch] == [item["number"] for item in items]
    assert [len(batch) for batch in found] == sizes


def test_a_long_run_is_a_task_of_its_own() -> None:
    plan = plans.custom({"cases": [CASE], "seconds": 60, "warmup_seconds": 0, "repeats": 1}, "p")
    assert plans.batches(plans.schedule(plan, 100), 1) == [[1], [2]]
