# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan exporters: inputs, packages, releases, files, services and checks."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.action.exporters_plan import ActionModule
from ansible_collections.pooled.postgres.plugins.module_utils._exporters import inputs as checks
from ansible_collections.pooled.postgres.plugins.module_utils._exporters import model, places, plan
from ansible_collections.pooled.postgres.plugins.plugin_utils.plan import renderer, role_options, validated

HASH = "$2b$10$" + "a" * 53
SECRET = 's3cr3t:\\"of'
UNITS = "/etc/systemd/system"
TLS: dict[str, Any] = {"exporters_tls": True}
USER = {"name": "p", "password": SECRET}
RELEASE: dict[str, Any] = {
    "version": "0.10.2",
    "url": "https://example.com/x_exporter-0.10.2.linux-amd64.tar.gz",
    "checksum": "sha256:" + "0" * 64,
}
RELEASED: dict[str, Any] = {f"exporters_{kind}_release": RELEASE for kind in model.KINDS}
UNIT_TEXT = "[Service]\nRuntimeDirectory=pooled-exporters/x\n"
FILE = {"type": "file", "owner": "root", "group": "root", "mode": "0755"}


def inputs(**changes: Any) -> dict[str, Any]:
    """Return typed inputs: the role's defaults with changes."""
    values = {"exporters_pgbouncer_password": SECRET, "exporters_pgbouncer_processes": 2, **changes}
    typed, problems = validated(role_options("exporters"), values)
    assert problems == []
    return typed


def seen(**changes: Any) -> dict[str, Any]:
    """Return a Debian 13 host on which everything is installed and configured."""
    packages = [*(f"prometheus-{kind}-exporter" for kind in model.KINDS), "openssl", "python3-cryptography"]
    configured = [f"/etc/pgbouncer/pgbouncer-{n}.ini" for n in (1, 2)] + [
        "/etc/postgresql/17/main/postgresql.conf"
    ]
    return {
        "distribution": "Debian",
        "distribution_major_version": "13",
        "architecture": "x86_64",
        "packages": {name: {"installed": "1", "candidate": ""} for name in packages},
        "paths": dict.fromkeys(configured, FILE) | changes.pop("paths", {}),
        "contents": {"/etc/passwd": "root:x:0:0::/root:/bin/sh\nprometheus:x:999:999::/:/x\n"}
        | changes.pop("contents", {}),
        "units": {},
        **changes,
    }


def made(host: dict[str, Any] | None = None, processes: int = 0, **changes: Any) -> dict[str, Any]:
    """Return a plan."""
    found = plan.Host("db1", host or seen(), processes)
    return plan.plan(inputs(**changes), found, renderer("exporters"))


def by_path(planned: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the planned files by path."""
    return {file["path"]: file for file in planned["files"]}


def unit(planned: dict[str, Any], name: str) -> str:
    """Return the planned unit of a service."""
    return str(by_path(planned)[f"{UNITS}/{name}.service"]["content"])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"exporters_kinds": []}, "exporters_kinds is empty"),
        ({"exporters_listen": []}, "exporters_listen is empty"),
        ({"exporters_listen": ["10.0.0.1:9100"]}, "'10.0.0.1:9100', which is not an IP address"),
        ({"exporters_node_port": 9128}, "node_exporter and pgbouncer_exporter@2 would share port 9128"),
        ({"exporters_pgbouncer_port": 65535}, "pgbouncer_exporter@2 would listen on port 65536"),
        ({"exporters_pgbouncer_processes": -1}, "exporters_pgbouncer_processes is -1"),
        ({"exporters_basic_auth": [USER]}, "passwords in the clear. Set exporters_tls"),
        ({**TLS, "exporters_basic_auth": [{"name": "p"}]}, "needs either password or password_hash"),
        ({**TLS, "exporters_basic_auth": [{**USER, "password_hash": HASH}]}, "needs either"),
        ({**TLS, "exporters_basic_auth": [{"name": "p", "password_hash": SECRET}]}, "not a bcrypt hash"),
        ({**TLS, "exporters_basic_auth": [{"name": "p", "password": "ä" * 37}]}, "more than 72 bytes"),
        ({**TLS, "exporters_basic_auth": [{**USER, "name": "a:b"}]}, "a colon"),
        (
            {**TLS, "exporters_basic_auth": [{"name": "p", "password_hash": HASH}] * 2},
            "user 2 has the name of another user",
        ),
        ({"exporters_pgbouncer_password": ""}, "Set the password of 'pgbouncer_exporter'"),
        ({"exporters_pgbouncer_password": "a\nb"}, "a newline or a NUL"),
        ({"exporters_pgbouncer_user": "it's"}, 'exporters_pgbouncer_user is "it\'s"'),
        ({**TLS, "exporters_tls_names": ["a b"]}, "exporters_tls_names: 'a b' is neither"),
        ({**TLS, "exporters_tls_files": {"certificate": "/c", "key": "/k"}}, "authority is missing"),
    ],
)
def test_reject_inputs_without_a_host_and_without_secrets(changes: dict[str, Any], problem: str) -> None:
    found = checks.problems(inputs(**changes), places.ACCOUNT)
    assert problem in "; ".join(found)
    assert len(found) == 1, found
    assert SECRET not in str(found)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"version": None, "checksum": None}, "exporters_node_release lacks version and checksum"),
        ({"version": "../1"}, "version is '../1'"),
        ({"url": "/tmp/x.tar.gz"}, "begins with https://"),
        ({"checksum": "md5:0"}, "checksum is invalid"),
        ({"url": "https://example.com/x-arm64.tar.gz"}, "is for arm64, and this host is amd64"),
    ],
)
def test_reject_a_release_that_a_host_cannot_use(changes: dict[str, Any], problem: str) -> None:
    given: dict[str, Any] = {
        **RELEASED,
        "exporters_node_release": {k: v for k, v in (RELEASE | changes).items() if v},
    }
    found = made(exporters_source="release", **given)["problems"]
    assert problem in "; ".join(found)
    assert len(found) == 1, found
    # A host that takes the package does not need it.
    assert made(**given)["problems"] == []


def test_report_all_problems_at_once() -> None:
    found = made(exporters_kinds=["node"], exporters_listen=["x"], exporters_basic_auth=[{"name": "p"}])
    assert len(found["problems"]) == 3
    assert found.keys() == {"problems"}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {**TLS, "exporters_basic_auth": [USER, {"name": "q", "password_hash": HASH}]},
        {"exporters_listen": ["127.0.0.1", "::1"], "exporters_basic_auth": [USER]},
        {"exporters_kinds": ["node"], "exporters_pgbouncer_password": ""},
        {"exporters_pgbouncer_user": "prometheus", "exporters_pgbouncer_password": ""},
        {**RELEASED, "exporters_source": "release"},
    ],
)
def test_accept_inputs(changes: dict[str, Any]) -> None:
    assert made(**changes)["problems"] == []


def test_say_how_to_hash_without_bcrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "HAS_BCRYPT", False)
    (problem,) = checks.problems(inputs(**TLS, exporters_basic_auth=[USER]), places.ACCOUNT)
    assert "pip install bcrypt" in problem


def test_each_pgbouncer_process_has_an_exporter_on_the_next_port() -> None:
    found = model.services(
        ["node", "pgbouncer", "postgres"], dict(zip(model.KINDS, (9187, 9127, 9100), strict=True)), 3
    )
    assert [(one["name"], one["process"], one["port"]) for one in found] == [
        ("postgres_exporter", 0, 9187),
        ("pgbouncer_exporter@1", 1, 9127),
        ("pgbouncer_exporter@2", 2, 9128),
        ("pgbouncer_exporter@3", 3, 9129),
        ("node_exporter", 0, 9100),
    ]


@pytest.mark.parametrize(
    ("given", "planned", "found", "processes", "early"),
    [
        (0, 0, 2, 2, False),
        (0, 3, 2, 3, False),
        (4, 3, 2, 4, False),
        (0, 0, 0, 1, True),
        (2, 0, 0, 2, True),
    ],
)
def test_count_pgbouncer_processes(given: int, planned: int, found: int, processes: int, early: bool) -> None:
    host = seen()
    host["paths"] = {path: FILE for path in host["paths"] if "pgbouncer" not in path} | {
        f"/etc/pgbouncer/pgbouncer-{n}.ini": FILE for n in range(1, found + 1)
    }
    host["paths"]["/etc/pgbouncer/pgbouncer.ini"] = FILE
    result = made(host, planned, exporters_pgbouncer_processes=given)
    assert (result["processes"], result["early"]) == (processes, early)
    assert f"{UNITS}/pgbouncer_exporter@{processes}.service" in by_path(result)


def test_ports_are_checked_for_the_processes_of_the_host() -> None:
    (problem,) = made(exporters_pgbouncer_processes=0, exporters_node_port=9128)["problems"]
    assert "pgbouncer_exporter@2 would share port 9128" in problem


@pytest.mark.parametrize(("version", "collector"), [("17", True), ("9", False), ("15", False)])
def test_collect_checkpoints_where_postgresql_has_their_view(version: str, collector: bool) -> None:
    host = seen()
    host["paths"] = {f"/etc/postgresql/{version}/main/postgresql.conf": FILE}
    assert ("--collector.stat_checkpointer" in unit(made(host), "postgres_exporter")) is collector


def test_plan_again_where_postgresql_has_no_cluster_yet() -> None:
    host = seen()
    host["paths"] = {"/etc/pgbouncer/pgbouncer-1.ini": FILE}
    assert made(host)["early"]
    assert not made(host, exporters_kinds=["pgbouncer", "node"])["early"]


@pytest.mark.parametrize(
    ("major", "source", "packages", "releases"),
    [
        ("13", "package", ["postgres", "pgbouncer", "node"], []),
        ("12", "package", ["node"], ["postgres", "pgbouncer"]),
        ("99", "package", ["node"], ["postgres", "pgbouncer"]),
        ("13", "release", [], ["postgres", "pgbouncer", "node"]),
    ],
)
def test_packages_where_the_distribution_has_the_right_ones(
    major: str, source: str, packages: list[str], releases: list[str]
) -> None:
    result = made(
        seen(distribution_major_version=major, packages={}), exporters_source=source, **TLS, **RELEASED
    )
    names = [f"prometheus-{kind}-exporter" for kind in packages]
    assert result["packages"] == [*names, "python3-cryptography", "openssl"]
    assert [release["kind"] for release in result["releases"]] == releases
    assert result["install"]
    assert [mask["path"] for mask in result["masks"]] == [f"{UNITS}/{name}.service" for name in names]
    for kind in releases:
        program = f"/opt/pooled-exporters/{kind}_exporter-0.10.2/{kind}_exporter"
        name = "pgbouncer_exporter@1" if kind == "pgbouncer" else f"{kind}_exporter"
        assert f"ExecStart={program} " in unit(result, name)


def test_install_nothing_twice() -> None:
    result = made()
    assert (result["packages"], result["releases"], result["account"], result["install"]) == (
        [],
        [],
        False,
        False,
    )


def test_create_the_account_where_releases_bring_none() -> None:
    result = made(seen(contents={"/etc/passwd": "xprometheus:x:1:1::/:/x\n"}))
    assert result["account"] and result["install"]


@pytest.mark.parametrize(
    ("program", "marker", "due"),
    [
        (FILE, RELEASE["checksum"] + "\n", False),
        (FILE, "sha256:" + "1" * 64, True),
        (FILE, "", True),
        (None, RELEASE["checksum"], True),
        ({**FILE, "mode": "0777"}, RELEASE["checksum"], True),
        ({**FILE, "owner": "nobody"}, RELEASE["checksum"], True),
    ],
)
def test_unpack_a_release_that_is_missing_other_or_loosened(program: Any, marker: str, due: bool) -> None:
    directory = "/opt/pooled-exporters/node_exporter-0.10.2"
    host = seen(
        paths={f"{directory}/node_exporter": program} if program else {},
        contents={f"{directory}/.checksum": marker} if marker else {},
    )
    result = made(host, exporters_kinds=["node"], exporters_source="release", **RELEASED)
    assert bool(result["releases"]) is due


def test_secrets_are_in_secret_files_only() -> None:
    result = made(**TLS, exporters_basic_auth=[USER])
    files = by_path(result)
    passfile = files["/etc/pooled-exporters/pgbouncer/passfile"]
    assert passfile["secret_content"] == '*:*:pgbouncer:pgbouncer_exporter:s3cr3t\\:\\\\"of\n'
    assert (passfile["owner"], passfile["mode"]) == ("prometheus", "0400")
    web = files["/etc/pooled-exporters/web.yml"]
    assert SECRET not in web["secret_content"] and '"p": "$2b$10$' in web["secret_content"]
    assert web["mode"] == "0640"
    assert not any("s3cr3t" in file.get("content", "") for file in result["files"])
    hidden = "InaccessiblePaths=-/etc/pooled-exporters/pgbouncer\n"
    assert hidden in unit(result, "node_exporter") and hidden in unit(result, "postgres_exporter")
    assert hidden not in unit(result, "pgbouncer_exporter@1")


def test_without_tls_and_users_no_web_file() -> None:
    assert "/etc/pooled-exporters/web.yml" not in by_path(made())
    assert "web.config" not in unit(made(), "node_exporter")
    # The unit changes with TLS, so the exporter restarts.
    users = [{"name": "p", "password_hash": HASH}]
    loopback: dict[str, Any] = {"exporters_listen": ["127.0.0.1"], "exporters_basic_auth": users}
    assert unit(made(**loopback), "node_exporter") != unit(made(**loopback, **TLS), "node_exporter")


def test_units_reach_their_targets() -> None:
    result = made(exporters_postgres_user="it's", exporters_arguments={"node": ["--x=a b%$"]})
    assert "DATA_SOURCE_NAME=host=/var/run/postgresql port=5432 user='it\\\\'s' dbname=" in unit(
        result, "postgres_exporter"
    )
    pooler = unit(result, "pgbouncer_exporter@2")
    assert "host=/run/pgbouncer/2 port=6432 user=pgbouncer_exporter dbname=pgbouncer" in pooler
    assert "After=network-online.target pgbouncer@2.service\n" in pooler
    node = unit(result, "node_exporter")
    assert '"--x=a b%%$$"\n' in node
    assert "After=network-online.target\n" in node
    for name in ("postgres_exporter", "pgbouncer_exporter@1", "node_exporter"):
        assert unit(result, name).startswith("# Managed by the role pooled.postgres.exporters.")


def test_services_restart_for_what_they_read_at_their_start() -> None:
    services = {service["name"]: service for service in made()["services"]}
    assert list(services) == [
        "postgres_exporter.service",
        "pgbouncer_exporter@1.service",
        "pgbouncer_exporter@2.service",
        "node_exporter.service",
        "certificate_expiry.timer",
    ]
    assert all(service["enabled"] for service in services.values())
    assert services["pgbouncer_exporter@2.service"]["restart_on"] == [
        f"{UNITS}/pgbouncer_exporter@2.service",
        "/usr/bin/prometheus-pgbouncer-exporter",
        "/var/lib/dpkg/info/prometheus-pgbouncer-exporter.list",
        "/etc/pooled-exporters/pgbouncer/passfile",
    ]
    released = made(exporters_source="release", **RELEASED)["services"][0]
    assert "/opt/pooled-exporters/postgres_exporter-0.10.2/.checksum" in released["restart_on"]


def test_stop_surplus_exporters_before_their_units_go_and_keep_those_of_others() -> None:
    units = [f"{UNITS}/pgbouncer_exporter@{n}.service" for n in (1, 2, 10)]
    host = seen(
        paths=dict.fromkeys([*units, "/etc/pooled-exporters/web.yml", "/etc/ssl/pooled/exporters"], FILE),
        contents={
            f"{UNITS}/postgres_exporter.service": UNIT_TEXT,
            f"{UNITS}/node_exporter.service": "[Service]\n",
        },
    )
    result = made(host, exporters_kinds=["pgbouncer"], exporters_pgbouncer_processes=1)
    surplus = ["pgbouncer_exporter@10", "pgbouncer_exporter@2", "postgres_exporter"]
    assert [(one["name"], one["state"], one["enabled"]) for one in result["surplus"]] == [
        (name, "stopped", False) for name in surplus
    ]
    assert result["leftovers"] == [
        {"path": path, "state": "absent"}
        for path in (
            *(f"{UNITS}/{name}.service" for name in surplus),
            "/etc/ssl/pooled/exporters",
            "/etc/pooled-exporters/web.yml",
        )
    ]


def test_without_the_hosts_exporter_no_timer_is_left() -> None:
    expiry = [*plan.EXPIRY_FILES, plan.EXPIRY_METRICS, places.HIDDEN, places.OLD_PASSFILE]
    host = seen(paths=dict.fromkeys(expiry, FILE))
    result = made(host, exporters_kinds=["postgres"])
    assert [service["name"] for service in result["surplus"]] == ["certificate_expiry.timer"]
    assert [file["path"] for file in result["leftovers"]] == expiry
    assert [file["path"] for file in made(host)["leftovers"]] == [places.OLD_PASSFILE]


def test_stop_the_packages_own_exporter() -> None:
    name = "prometheus-node-exporter.service"
    result = made(seen(units={name: {"active": "active"}}))
    assert [(service["name"], service["state"]) for service in result["surplus"]] == [(name, "stopped")]


def test_keep_a_unit_of_somebodys_own() -> None:
    path = f"{UNITS}/prometheus-node-exporter.service"
    assert path in made(seen(paths={path: FILE}))["problems"][0]
    assert made(seen(paths={path: {**FILE, "type": "link"}}))["problems"] == []


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, {"tls": False, "ca_path": None, "user": None, "refused": False}),
        (TLS, {"tls": True, "ca_path": "/etc/ssl/pooled/exporters/authority.crt"}),
        (
            {**TLS, "exporters_tls_files": {"certificate": "/c", "key": "/k", "authority": "/a"}},
            {"tls": True, "ca_path": None},
        ),
        (
            {**TLS, "exporters_basic_auth": [{"name": "q", "password_hash": HASH}, USER]},
            {"user": "p", "password": SECRET, "refused": False},
        ),
        (
            {**TLS, "exporters_basic_auth": [{"name": "q", "password_hash": HASH}]},
            {"user": None, "password": None, "refused": True},
        ),
        ({"exporters_listen": ["::"]}, {"address": "::1"}),
    ],
)
def test_scrape_the_way_prometheus_does(changes: dict[str, Any], wanted: dict[str, Any]) -> None:
    check = made(**changes)["check"]
    assert wanted.items() <= check.items()
    assert [one["name"] for one in check["exporters"]] == [
        "postgres_exporter",
        "pgbouncer_exporter@1",
        "pgbouncer_exporter@2",
        "node_exporter",
    ]
    assert all(one["hint"] for one in check["exporters"])


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("postgres", "pg_up 1", "pg_up 0"),
        ("pgbouncer", "pgbouncer_up 1", "pgbouncer_up 0"),
        ("node", "node_boot_time_seconds 1.79e+09", "# TYPE node_boot_time_seconds gauge"),
    ],
)
def test_a_sample_proves_that_an_exporter_works(kind: str, good: str, bad: str) -> None:
    pattern = f"(?m)^{model.SAMPLES[kind]}$"
    assert re.search(pattern, f"a 1\n{good}\nb 2\n")
    assert not re.search(pattern, f"a 1\n{bad}\nx_{good}\n")


def test_listen_on_both_kinds_of_addresses() -> None:
    assert model.listen_flags(["10.1.2.3", "::1"], 9100) == [
        "--web.listen-address=10.1.2.3:9100",
        "--web.listen-address=[::1]:9100",
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
def test_systemd_passes_arguments_unchanged(words: list[str], line: str) -> None:
    assert model.command_line("/x", words) == line


def test_hash_a_password_the_same_each_time() -> None:
    bcrypt = pytest.importorskip("bcrypt")
    hashed = model.bcrypt_hash(SECRET, "host prometheus")
    assert bcrypt.checkpw(SECRET.encode(), hashed.encode())
    assert model.bcrypt_hash(SECRET, "host prometheus") == hashed
    assert not bcrypt.checkpw(b"another", hashed.encode())
    assert model.bcrypt_hash(SECRET, "other prometheus")[:29] != hashed[:29]


def test_the_action_takes_the_number_of_processes_from_the_plan_of_pgbouncer() -> None:
    action = ActionModule.__new__(ActionModule)
    action.host, action.variables = "db1", {"__pgbouncer": {"process_count": 3}}
    found = action.plan(inputs(exporters_pgbouncer_processes=0), seen(), renderer("exporters"), False)
    assert found["processes"] == 3
    assert action.problems(inputs()) == []
    assert action.look(inputs()).keys() == {"packages", "paths", "contents", "units"}
