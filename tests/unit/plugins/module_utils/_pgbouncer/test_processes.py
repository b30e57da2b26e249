from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import catalogue, processes

SETTINGS: dict[str, Any] = {
    "max_client_conn": 1000,
    "default_pool_size": "20",
    "reserve_pool_size": 2,
    "listen_port": 6433,
}


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("total", [7, 20, 1000, 1001])
def test_shares_add_up_and_differ_by_one(total: int, count: int) -> None:
    shares = [processes.share(total, count, number) for number in range(1, count + 1)]
    assert sum(shares) == total
    assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize(
    ("cores", "settings", "databases", "version", "count"),
    [
        (1, {}, [], None, 1),
        (2, {}, [], None, 1),
        (3, {}, [], None, 1),
        (8, {}, [], None, 4),
        (8, {}, [], (1, 19), 4),
        (8, {}, [], (1, 18), 1),
        (64, {}, [], None, 4),
        (64, {"default_pool_size": "3"}, [], None, 1),
        (64, {"default_pool_size": 60, "max_client_conn": 2000}, [], None, 12),
        (64, {"default_pool_size": 60}, [], None, 4),
        (64, {"default_pool_size": 500, "max_client_conn": 2000}, [], None, 32),
        (64, {"max_db_connections": 0}, [{"name": "a", "pool_size": 12}], None, 2),
        (64, {"max_db_connections": 3}, [], None, 3),
        (64, {}, [{"name": "a", "reserve_pool_size": 1, "min_pool_size": 1}], None, 4),
    ],
)
def test_there_is_a_process_for_two_cores_and_each_has_a_sensible_part_of_the_limits(
    cores: int,
    settings: dict[str, Any],
    databases: list[dict[str, Any]],
    version: catalogue.Version | None,
    count: int,
) -> None:
    assert processes.default_count(settings, databases, [], cores, version) == count


@pytest.mark.parametrize("count", [1, 2, 3])
def test_limits_of_all_processes_add_up(count: int) -> None:
    databases: list[dict[str, Any]] = [
        {"name": "a", "host": "h", "pool_size": 7, "reserve_pool": 1, "max_db_connections": 10},
        {"name": "b", "min_pool_size": 2, "max_db_client_connections": 0},
    ]
    users = [{"name": "u", "pool_size": 5, "max_user_connections": 4, "query_timeout": 9}]
    found = processes.processes(SETTINGS, databases, users, count)
    assert [process["id"] for process in found] == list(range(1, count + 1))
    for name in ("max_client_conn", "default_pool_size", "reserve_pool_size"):
        assert sum(process["settings"][name] for process in found) == int(SETTINGS[name])
    for index, database in enumerate(databases):
        for name, total in database.items():
            parts = [process["databases"][index][name] for process in found]
            assert parts == [total] * count if isinstance(total, str) else sum(parts) == total
    assert [process["users"][0]["query_timeout"] for process in found] == [9] * count
    assert sum(process["users"][0]["max_user_connections"] for process in found) == 4
    assert all(process["settings"]["listen_port"] == 6433 for process in found)


def test_what_pgbouncer_takes_by_itself_is_divided_too() -> None:
    parts = [process["settings"] for process in processes.processes({}, [], [], 3)]
    assert sum(part["max_client_conn"] for part in parts) == 100
    assert sum(part["default_pool_size"] for part in parts) == 20


def test_processes_know_each_other_by_their_sockets() -> None:
    first, second, third = processes.processes(SETTINGS, [], [], 3)
    assert second["settings"]["peer_id"] == 2
    assert second["settings"]["unix_socket_dir"] == "/run/pgbouncer/2"
    assert [peer["id"] for peer in second["peers"]] == [1, 3]
    assert first["peers"][0] == {"id": 2, "host": "/run/pgbouncer/2", "port": 6433}
    assert all(process["settings"]["so_reuseport"] for process in (first, second, third))


def test_a_version_without_peers_has_one_process_and_no_peer_id() -> None:
    [only] = processes.processes(SETTINGS, [], [], 1, (1, 18))
    assert "peer_id" not in only["settings"]
    assert only["peers"] == []
    assert catalogue.setting_problems(only["settings"], (1, 18)) == []


@pytest.mark.parametrize(
    ("settings", "databases", "users", "said"),
    [
        ({"default_pool_size": 2}, [], [], "setting default_pool_size: 2 can't be divided among 3 processes"),
        ({"max_db_connections": 1}, [], [], "raise it to 3, or lower pgbouncer_processes to 1"),
        ({}, [{"name": "a", "pool_size": "2"}], [], "database 'a', option pool_size: 2 can't"),
        ({}, [], [{"name": "u", "max_user_client_connections": 1}], "user 'u', option max_user_client"),
        ({"peer_id": 4}, [], [], "setting peer_id: each process has its own"),
        ({"unix_socket_dir": "/a"}, [], [], "setting unix_socket_dir: each process has its own"),
    ],
)
def test_what_can_not_be_divided_is_refused(
    settings: dict[str, Any], databases: list[dict[str, Any]], users: list[dict[str, Any]], said: str
) -> None:
    [problem] = processes.problems(settings, databases, users, 3)
    assert said in problem
    with pytest.raises(ValueError, match=r"divided|each process"):
        processes.processes(settings, databases, users, 3)


def test_no_limit_stays_none_and_no_reserve_is_no_problem() -> None:
    settings = {"max_db_connections": 0, "reserve_pool_size": 1, "min_pool_size": 1}
    parts = [process["settings"] for process in processes.processes(settings, [], [], 3)]
    assert [part["max_db_connections"] for part in parts] == [0, 0, 0]
    assert [part["reserve_pool_size"] for part in parts] == [1, 0, 0]


def test_processes_without_peers_are_refused() -> None:
    [problem] = processes.problems({}, [], [], 2, (1, 18))
    assert problem.startswith("2 processes need PgBouncer 1.19")


def result(action: str = "nothing", **others: Any) -> dict[str, Any]:
    """Return what pgbouncer_config returns of a process."""
    rest = {"changed": False, "answered": True, "differences": [], "also": [], "settings": {"a": "b"}}
    return {"action": action, **rest, **others}


def turns(results: list[dict[str, Any]], **others: Any) -> list[tuple[int, str, bool]]:
    """Return number, action and whether clients can leave, of each process that has something to do."""
    rest = {"reload_for": [], "restart_for": [], "reloads": True, "drains": True}
    found = processes.turns(results, **{**rest, **others})
    assert all(turn.reasons and turn.settings for turn in found)
    return [(turn.id, turn.action, turn.drains) for turn in found]


def test_nothing_is_done_where_nothing_differs() -> None:
    assert turns([result(), result()]) == []


def test_reloads_come_first_then_new_processes_then_restarts() -> None:
    results = [result("restart"), result("restart", answered=False), result("reload"), result(changed=True)]
    assert turns(results) == [
        (3, "reload", False),
        (4, "reload", False),
        (2, "start", False),
        (1, "restart", True),
    ]


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ({"reload_for": ["the userlist"]}, ("reload", False)),
        ({"reload_for": ["the userlist"], "reloads": False}, ("restart", True)),
        ({"restart_for": ["the unit"]}, ("restart", True)),
        ({"restart_for": ["the unit"], "drains": False}, ("restart", False)),
    ],
)
def test_what_all_of_them_read_counts_for_each(others: dict[str, Any], expected: tuple[str, bool]) -> None:
    assert turns([result(), result()], **others) == [(1, *expected), (2, *expected)]


def test_a_single_process_has_nobody_to_take_its_clients() -> None:
    assert turns([result("restart")]) == [(1, "restart", False)]


def test_reasons_are_told() -> None:
    difference = {"name": "pkt_buf", "running": "4096", "wanted": "8192", "changeable": False}
    [turn] = processes.turns(
        [result("restart", differences=[difference], also=["its binary has been replaced"], changed=True)],
        reload_for=["the userlist"],
        restart_for=[],
        reloads=True,
        drains=True,
    )
    assert turn.reasons == ["pkt_buf", "its binary has been replaced", "the userlist"]


FILES = {"/etc/userlist.txt": "the userlist", "/etc/pg_hba.conf": "the rules"}


@pytest.mark.parametrize(
    ("times", "at_start", "expected"),
    [
        ({}, False, []),
        # Nothing runs yet: what starts reads everything.
        ({"/etc/userlist.txt": 5}, False, []),
        ({"/etc/userlist.txt": 5, "/run/1/.s.PGSQL.6432": 6}, False, []),
        ({"/etc/userlist.txt": 7, "/run/1/.s.PGSQL.6432": 6}, False, ["the userlist"]),
        ({"/etc/userlist.txt": 7, "/run/1/.s.PGSQL.6432": 6, "/run/1/loaded": 8}, False, []),
        ({"/etc/userlist.txt": 7, "/run/1/loaded": 8, "/run/1/.s.PGSQL.6432": 6}, True, ["the userlist"]),
        # One of two has not read them.
        (
            {
                "/etc/pg_hba.conf": 7,
                "/run/1/.s.PGSQL.6432": 6,
                "/run/1/loaded": 8,
                "/run/12/.s.PGSQL.6432": 6,
            },
            False,
            ["the rules"],
        ),
        # A process that was started after the last reload has no mark of it.
        ({"/etc/pg_hba.conf": 7, "/run/1/.s.PGSQL.6432": 9, "/run/1/loaded": 6}, False, []),
        ({"/etc/pg_hba.conf": 7, "/run/postgresql/.s.PGSQL.5432": 1}, False, []),
    ],
)
def test_files_that_a_process_has_not_read(
    times: dict[str, float], at_start: bool, expected: list[str]
) -> None:
    found = [{"path": path, "mtime": when} for path, when in times.items()]
    assert processes.unread(found, FILES, at_start=at_start) == expected
