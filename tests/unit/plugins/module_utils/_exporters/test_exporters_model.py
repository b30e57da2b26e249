# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which exporters a host has, what is refused of the inputs, and who has to restart."""

from __future__ import annotations

import re
from typing import Any

import bcrypt
import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.pooled.postgres.plugins.filter import exporters as filters
from ansible_collections.pooled.postgres.plugins.module_utils._exporters import model

PORTS = {"postgres": 9187, "pgbouncer": 9127, "node": 9100}
HASH = "$2b$10$" + "a" * 53
SECRET = "s3cr3t-of-a-user"
RELEASE = {
    "version": "0.10.2",
    "url": "https://example.com/x_exporter-0.10.2.linux-amd64.tar.gz",
    "checksum": "sha256:" + "0" * 64,
}
SOUND: dict[str, Any] = {
    "kinds": ["postgres", "pgbouncer", "node"],
    "listen": ["0.0.0.0"],  # noqa: S104
    "ports": PORTS,
    "processes": 2,
    "releases": {"pgbouncer": RELEASE},
    "architecture": "amd64",
    "tls": False,
    "users": [],
    "account": "prometheus",
    "stats_user": "pgbouncer_exporter",
    "stats_password": SECRET,
}


def test_each_process_of_pgbouncer_has_an_exporter_on_the_next_port() -> None:
    found = model.services(["node", "pgbouncer", "postgres"], PORTS, 3)
    assert [(one["name"], one["process"], one["port"]) for one in found] == [
        ("postgres_exporter", 0, 9187),
        ("pgbouncer_exporter@1", 1, 9127),
        ("pgbouncer_exporter@2", 2, 9128),
        ("pgbouncer_exporter@3", 3, 9129),
        ("node_exporter", 0, 9100),
    ]
    assert [one["name"] for one in model.services(["node"], PORTS, 3)] == ["node_exporter"]


def test_addresses_of_both_kinds_are_listened_on() -> None:
    assert model.listen_flags(["10.1.2.3", "::1"], 9100) == [
        "--web.listen-address=10.1.2.3:9100",
        "--web.listen-address=[::1]:9100",
    ]


def test_processes_and_versions_are_those_of_the_files() -> None:
    paths = [
        "/etc/pgbouncer/pgbouncer-1.ini",
        "/etc/pgbouncer/pgbouncer-10.ini",
        "/etc/pgbouncer/pgbouncer.ini",
    ]
    assert model.process_count(paths) == 10
    assert model.process_count([]) == 1
    clusters = ["/etc/postgresql/9/main/postgresql.conf", "/etc/postgresql/17/main/postgresql.conf"]
    assert model.server_version(clusters) == 17
    assert model.server_version(["/etc/postgresql-common/17/x/postgresql.conf", *paths]) == 0


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("postgres", "pg_up 1", "pg_up 0"),
        ("pgbouncer", "pgbouncer_up 1", "pgbouncer_up 0"),
        ("node", "node_boot_time_seconds 1.79e+09", "# TYPE node_boot_time_seconds gauge"),
    ],
)
def test_a_sample_says_whether_an_exporter_works(kind: str, good: str, bad: str) -> None:
    assert re.search(model.sample(kind), f"a 1\n{good}\nb 2\n")
    assert not re.search(model.sample(kind), f"a 1\n{bad}\nx_{good}\n")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"kinds": []}, "exporters_kinds is empty"),
        ({"kinds": ["nodes"]}, "'nodes', which is none of postgres, pgbouncer, node"),
        ({"listen": []}, "exporters_listen is empty"),
        ({"listen": ["10.0.0.1:9100"]}, "'10.0.0.1:9100', which is no address"),
        (
            {"ports": {**PORTS, "node": 9128}},
            "node_exporter and pgbouncer_exporter@2 would share the port 9128",
        ),
        ({"ports": {**PORTS, "pgbouncer": 65535}}, "pgbouncer_exporter@2 would have the port 65536"),
        ({"releases": {"node": {"version": "1"}}}, "exporters_node_release lacks url and checksum"),
        ({"releases": {"node": {**RELEASE, "version": "../1"}}}, "has the version '../1'"),
        ({"releases": {"node": {**RELEASE, "url": "/tmp/x.tar.gz"}}}, "give one that begins with https://"),
        ({"releases": {"node": {**RELEASE, "checksum": "md5:0"}}}, "has a checksum that is none"),
        ({"architecture": "arm64"}, "is for amd64 by its url, and this host is arm64"),
        ({"users": [{"name": "p", "password": SECRET}]}, "passwords in the clear; set exporters_tls"),
        ({"tls": True, "users": [{"name": "p"}]}, "needs either a password or a password_hash"),
        ({"tls": True, "users": [{"name": "p", "password": SECRET, "password_hash": HASH}]}, "needs either"),
        ({"tls": True, "users": [{"name": "p", "password_hash": SECRET}]}, "is none of bcrypt"),
        ({"tls": True, "users": [{"name": "p", "password": "ä" * 37}]}, "more than 72 bytes"),
        ({"tls": True, "users": [{"name": "a:b", "password": SECRET}]}, "a colon"),
        (
            {"tls": True, "users": [{"name": "p", "password_hash": HASH}] * 2},
            "user 2 of exporters_basic_auth is named",
        ),
        ({"stats_password": ""}, "exporters_pgbouncer_password is empty; give that of 'pgbouncer_exporter'"),
        ({"stats_password": "a\nb"}, "has a newline or a NUL"),
        ({"stats_user": "it's"}, "exporters_pgbouncer_user is none"),
    ],
)
def test_what_could_not_work_is_refused_without_telling_secrets(
    changes: dict[str, Any], problem: str
) -> None:
    found = model.problems({**SOUND, **changes})
    assert problem in "; ".join(found)
    assert len(found) == 1, found
    assert SECRET not in str(found)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tls": True, "users": [{"name": "p", "password": SECRET}, {"name": "q", "password_hash": HASH}]},
        {"listen": ["127.0.0.1", "::1"], "users": [{"name": "p", "password": SECRET}]},
        # The stats user is nobody's business there.
        {"kinds": ["node"], "stats_password": "", "releases": {}},
        # By peer.
        {"stats_user": "prometheus", "stats_password": ""},
        {"releases": {"node": {**RELEASE, "checksum": "sha256:https://example.com/sha256sums.txt"}}},
        {
            "architecture": "arm64",
            "releases": {"node": {**RELEASE, "url": "https://example.com/x-arm64.tar.gz"}},
        },
        {"architecture": "riscv64"},
    ],
)
def test_what_can_work_is_taken(changes: dict[str, Any]) -> None:
    assert model.problems({**SOUND, **changes}) == []


PLACES = model.Places("/etc/systemd/system", "/run/pooled-exporters")


def files(**times: float) -> list[dict[str, Any]]:
    """Return files of a service ``x`` that runs since 100, with other times of theirs."""
    paths = {
        "runtime": "/run/pooled-exporters/x",
        "unit": "/etc/systemd/system/x.service",
        "enabled": "/etc/systemd/system/multi-user.target.wants/x.service",
        "program": "/usr/bin/x",
        "passfile": "/etc/pooled-exporters/x.passfile",
    }
    found = {"runtime": 100.0, **dict.fromkeys(("unit", "enabled", "program", "passfile"), 50.0), **times}
    return [{"path": paths[name], "ctime": time} for name, time in found.items() if time]


@pytest.mark.parametrize(
    ("times", "state"),
    [
        ({}, None),
        ({"unit": 100.5}, "restarted"),
        ({"program": 100.5}, "restarted"),
        ({"passfile": 100.5}, "restarted"),
        # A passfile of none, as with peer, is nothing to restart for.
        ({"passfile": 0}, None),
        ({"runtime": 0}, "started"),
        ({"runtime": 0, "unit": 200}, "started"),
        ({"enabled": 0}, "started"),
        # The link is made after the start, which is no reason for another.
        ({"enabled": 101}, None),
    ],
)
def test_only_those_start_or_restart_that_have_to(times: dict[str, float], state: str | None) -> None:
    reads = {"x": ["/usr/bin/x", "/etc/pooled-exporters/x.passfile"]}
    assert model.turns(files(**times), PLACES, reads) == ([{"name": "x", "state": state}] if state else [])


def test_services_of_before_go_and_those_of_others_stay() -> None:
    found = [
        {"path": "/run/pooled-exporters/postgres_exporter"},
        {"path": "/run/pooled-exporters/pgbouncer_exporter@1"},
        {"path": "/etc/systemd/system/pgbouncer_exporter@1.service"},
        {"path": "/etc/systemd/system/pgbouncer_exporter@2.service"},
        {"path": "/etc/systemd/system/pgbouncer_exporter@10.service"},
        # Somebody's own.
        {"path": "/etc/systemd/system/node_exporter.service"},
        {"path": "/etc/systemd/system/multi-user.target.wants/pgbouncer_exporter@11.service"},
        {"path": "/run/pooled-exporters/other"},
    ]
    wanted = ["pgbouncer_exporter@1"]
    assert model.surplus(found, PLACES, wanted) == [
        "pgbouncer_exporter@10",
        "pgbouncer_exporter@2",
        "postgres_exporter",
    ]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--a=b:9", "--c.d=[::]:1"], "/x --a=b:9 --c.d=[::]:1"),
        (["--a=(b|c).+[.]d$"], "/x --a=(b|c).+[.]d$$"),
        (["--a=%i"], "/x --a=%%i"),
        (['--a=b c"d\\e'], '/x "--a=b c\\"d\\\\e"'),
        ([""], '/x ""'),
        (["it's", ";"], '/x "it\'s" ";"'),
    ],
)
def test_systemd_takes_arguments_as_they_are(words: list[str], line: str) -> None:
    assert model.command_line("/x", words) == line


def test_a_password_file_has_fields_that_are_told_apart() -> None:
    assert model.passfile_word(r"a:b\c") == r"a\:b\\c"


def test_the_hash_of_a_password_is_good_and_always_the_same() -> None:
    made = filters.exporters_bcrypt(SECRET, "host prometheus")
    assert bcrypt.checkpw(SECRET.encode(), made.encode())
    assert filters.exporters_bcrypt(SECRET, "host prometheus") == made
    assert not bcrypt.checkpw(b"another", made.encode())
    assert filters.exporters_bcrypt(SECRET, "other prometheus")[:29] != made[:29]


def test_without_bcrypt_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "bcrypt", None)
    with pytest.raises(AnsibleFilterError, match="pip install bcrypt"):
        filters.exporters_bcrypt(SECRET, "host")
