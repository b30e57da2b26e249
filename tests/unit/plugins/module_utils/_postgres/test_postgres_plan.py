"""From inputs and a look at the host to the plan of the role postgres."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.pooled.postgres.plugins.module_utils._postgres import plan, volume
from ansible_collections.pooled.postgres.plugins.plugin_utils.plan import renderer

ROLE = Path(__file__).resolve().parents[5] / "roles/postgres"
DEVICE = "/dev/disk/by-id/data"


def given(**changes: Any) -> dict[str, Any]:
    options = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"][
        "options"
    ]
    defaults = {name: option.get("default") for name, option in options.items()}
    users = [{"name": "u", "password": "s3cr3t", "databases": ["mydb"]}]
    return {**defaults, "postgres_users": users, **changes}


def seen(*paths: str, installed: bool = True, **changes: Any) -> dict[str, Any]:
    names = [f"postgresql-{version}" for version in (14, 15, 16, 17, 18)] + ["python3-psycopg2", "logrotate"]
    return {
        "distribution": "Debian",
        "distribution_version": "13.2",
        "distribution_major_version": "13",
        "distribution_release": "trixie",
        "packages": {name: {"installed": "1" * installed, "candidate": ""} for name in names},
        "paths": {path: {"link": ""} for path in paths},
        "contents": {},
        "units": {},
        **changes,
    }


def disk(**changes: Any) -> dict[str, Any]:
    return {
        "block": True,
        "mounted": {"device": "/dev/nvme1n1", "same": True},
        "signature": "ext4",
        "blank": True,
        "device_bytes": 2**30,
        "filesystem_bytes": 2**30,
        "fstab": {
            "src": DEVICE,
            "fstype": "ext4",
            "opts": "noatime,nodev,nosuid,nofail,errors=remount-ro",
            "passno": "2",
        },
        "tools": True,
        "clusters": [{"path": "17/main", "uid": 101, "gid": 104}],
        "uids": {"root": 0},
        "gids": {"root": 0},
        **changes,
    }


def made(
    inputs: dict[str, Any],
    look: dict[str, Any],
    volume_seen: dict[str, Any] | None = None,
    check: bool = False,
) -> dict[str, Any]:
    return plan.plan(inputs, look, volume_seen, renderer("postgres"), check)


CLUSTER = ("/etc/postgresql/17/main", "/etc/postgresql/17/main/postgresql.conf")


@pytest.mark.parametrize(
    ("facts", "version"),
    [
        ({"distribution_version": "12", "distribution_major_version": "12"}, 15),
        ({}, 17),
        ({"distribution": "Ubuntu", "distribution_version": "22.04", "distribution_major_version": "22"}, 14),
        ({"distribution": "Ubuntu", "distribution_version": "24.04", "distribution_major_version": "24"}, 16),
    ],
)
def test_each_distribution_has_its_version_and_paths(facts: dict[str, Any], version: int) -> None:
    found = made(given(), seen(**facts))
    assert found["version"] == version
    assert found["config_directory"] == f"/etc/postgresql/{version}/main"
    assert found["data_directory"] == f"/var/lib/postgresql/{version}/main"
    assert found["bin_directory"] == f"/usr/lib/postgresql/{version}/bin"
    assert found["unit"] == f"postgresql@{version}-main"
    assert found["sandbox_file"].startswith(f"/etc/systemd/system/postgresql@{version}-main.service.d/")


def test_known_distributions_are_those_of_the_galaxy_page() -> None:
    meta = yaml.safe_load((ROLE / "meta/main.yml").read_text())["galaxy_info"]["platforms"]
    releases = {release for platform in meta for release in platform["versions"]}
    assert releases == {"bookworm", "trixie", "jammy", "noble"}
    assert len(plan.VERSIONS) == len(releases)


@pytest.mark.parametrize(
    ("changes", "paths", "said"),
    [
        ({"postgres_version": 12}, (), "Set postgres_source to pgdg"),
        ({"postgres_version": 18, "postgres_source": "pgdg"}, CLUSTER, "a cluster of PostgreSQL 17, not 18"),
        ({"postgres_version": 17}, CLUSTER, None),
        ({"postgres_settings": {"port": 1}}, (), "which it checks: postgres_port"),
        ({"postgres_settings": {"a b": 1}}, (), "'a b' is no name"),
        (
            {"postgres_hba": [{"type": "host", "databases": ["d"], "users": ["u"], "method": "x"}]},
            (),
            "no address",
        ),
        ({"postgres_ident": [{"map": "m", "system": "a\nb", "user": "u"}]}, (), "control character"),
        ({"postgres_tls_required": True}, (), "postgres_tls_required: without postgres_tls"),
        ({"postgres_users": [{"name": "a", "password": "x", "databases": ["nix"]}]}, (), "'nix'"),
        ({"postgres_users": [{"name": "a", "password": "", "databases": []}]}, (), "the password is empty"),
        ({"postgres_databases": [{"owner": "x"}]}, (), "neither a name"),
        ({"postgres_grants": [{"database": "d", "roles": ["r"], "privs": []}]}, (), "postgres_grants[0]"),
    ],
)
def test_problems(changes: dict[str, Any], paths: tuple[str, ...], said: str | None) -> None:
    found = made(given(**changes), seen(*paths))["problems"]
    assert bool(found) == (said is not None)
    assert said is None or said in " ".join(found)


def test_all_problems_come_at_once_and_tell_no_password() -> None:
    users = [{"name": "postgres", "password": "s3cr3t\n", "databases": ["mydb"]}]
    inputs = given(postgres_users=users, postgres_settings={"port": 1}, postgres_version=9)
    found = made(inputs, seen())["problems"]
    assert len(found) == 3
    assert "s3cr3t" not in " ".join(found)
    assert plan.problems(inputs) == found[:2]


def test_an_unknown_distribution_is_refused() -> None:
    found = made(given(), seen(distribution="Fedora", distribution_version="40"))
    assert "Fedora-40, which is none of Debian-12" in found["problems"][0]


def test_an_unchanged_host_needs_no_installation() -> None:
    found = made(given(), seen(*CLUSTER))
    assert (found["install"], found["packages"], found["surplus"]) == (False, [], [])
    assert [entry["path"] for entry in found["prepare_files"]] == [entry["path"] for entry in found["files"]]


def test_a_bare_host_gets_its_packages_and_the_defaults_of_its_cluster() -> None:
    found = made(given(), seen(installed=False))
    assert found["packages"] == ["postgresql-17", "python3-psycopg2", "logrotate"]
    texts = {entry["path"]: entry.get("content", "") for entry in found["prepare_files"]}
    assert texts[plan.DEFAULTS_FILE] == "initdb_options = '--data-checksums'\n"
    assert "CapabilityBoundingSet=\n" in texts[found["sandbox_file"]]


def test_check_mode_asks_for_no_package_of_an_archive_that_it_does_not_add() -> None:
    inputs = given(postgres_source="pgdg", postgres_version=18)
    found = made(inputs, seen(installed=False), check=True)
    assert found["unasked_packages"] == ["postgresql-18"]
    assert found["packages"] == ["python3-psycopg2", "logrotate"]
    assert made(inputs, seen(installed=False))["packages"][0] == "postgresql-18"


def test_an_archive_is_added_once_and_again_with_another_key() -> None:
    inputs = given(postgres_source="pgdg", postgres_version=17)
    source = made(inputs, seen())["source"]
    assert source["needed"]
    assert "Suites: trixie-pgdg\n" in source["file"]["content"]
    there = seen(source["key"], contents={plan.SOURCE_FILE: source["file"]["content"]})
    assert not made(inputs, there)["install"]
    other = made({**inputs, "postgres_pgdg_key": "https://example.org/key"}, there)
    assert other["install"]
    assert plan.key_file("/etc/own.asc") == "/etc/own.asc"


def test_tablespaces_outside_stay_writable() -> None:
    inputs = given(postgres_writable_paths=["/srv/a"])
    links = {
        f"/var/lib/postgresql/17/main/pg_tblspc/{number}": {"link": target}
        for number, target in enumerate(("/srv/a/x", "/srv/ab", "/var/lib/postgresql/y"))
    }
    found = made(inputs, {**seen(*CLUSTER), "paths": links})
    text = next(entry["content"] for entry in found["files"] if entry["path"] == found["sandbox_file"])
    assert [line for line in text.splitlines() if "=-" in line] == [
        "ReadWritePaths=-/srv/a",
        "ReadWritePaths=-/srv/ab",
    ]


def test_a_server_that_never_had_a_sandbox_gets_no_file_without_one() -> None:
    inputs = given(postgres_sandboxing=False)
    assert made(inputs, seen(*CLUSTER))["files"] == []
    path = made(given(), seen())["sandbox_file"]
    assert "No sandbox" in made(inputs, seen(*CLUSTER, path))["files"][1]["content"]


def test_objects_have_passwords_apart() -> None:
    inputs = given(
        postgres_roles=["team"],
        postgres_users=[
            {
                "name": "u",
                "password": "s3cr3t",
                "databases": ["mydb"],
                "roles": ["team"],
                "connection_limit": 7,
            },
            {"name": "gone", "state": "absent"},
        ],
    )
    found = plan.objects(inputs)
    assert json.loads(found.pop("passwords")) == {"u": "s3cr3t"}
    assert "s3cr3t" not in str(found)
    assert found["absent"] == ["gone"]
    assert found["roles"] == [
        {"name": "team", "login": False},
        {
            "name": "u",
            "databases": ["mydb"],
            "member_of": ["team"],
            "connection_limit": 7,
            "scram_iterations": 4096,
        },
        {"name": "postgres_exporter", "connection_limit": 5, "member_of": ["pg_monitor"]},
    ]


def test_tls_that_nobody_wants_any_more_is_removed() -> None:
    assert made(given(), seen(plan.TLS_DIRECTORY))["surplus"] == [
        {"path": plan.TLS_DIRECTORY, "state": "absent"}
    ]
    found = made(given(postgres_tls=True), seen(plan.TLS_DIRECTORY))
    assert found["surplus"] == []
    assert found["certificate"] == "/etc/ssl/pooled/postgres/server.crt"
    assert found["packages"] == ["python3-cryptography"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"block": False}, "is no block device"),
        ({"mounted": {"device": "/dev/sdz", "same": False}}, "/dev/sdz is mounted"),
        ({"mounted": {}}, "already holds 17/main, which the volume would hide"),
        ({"mounted": {}, "clusters": [], "signature": "", "blank": True}, None),
        ({"mounted": {}, "clusters": [], "signature": "", "blank": False}, "first 16 MiB are not blank"),
        ({"signature": "xfs"}, "holds xfs, and not ext4. Set postgres_data_filesystem to it"),
        ({"signature": "partitions (gpt)"}, "holds partitions (gpt), and not ext4. Choose another device"),
        (
            {"clusters": [{"path": "15/main", "uid": 1, "gid": 1}]},
            "holds 15/main, and this host gets PostgreSQL 17",
        ),
    ],
)
def test_a_volume_that_could_lose_data_is_refused(changes: dict[str, Any], said: str | None) -> None:
    inputs = given(postgres_data_device=DEVICE)
    found = made(inputs, seen(*CLUSTER), disk(**changes))["problems"]
    assert bool(found) == (said is not None)
    assert said is None or said in found[0]


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({}, False),
        ({"mounted": {}, "clusters": [], "filesystem_bytes": None}, True),
        ({"fstab": {}}, True),
        ({"device_bytes": 2**31}, True),
        ({"device_bytes": 2**30 + 4096}, False),
    ],
)
def test_a_volume_is_mounted_and_grown_where_that_is_needed(changes: dict[str, Any], needed: bool) -> None:
    found = made(given(postgres_data_device=DEVICE), seen(*CLUSTER), disk(**changes))
    assert found["storage"]["needed"] == needed
    assert found["install"] == needed
    assert any(entry["path"] == plan.STORAGE_FILE for entry in found["files"])


def test_the_cluster_of_an_earlier_host_keeps_its_numbers_where_they_are_free() -> None:
    storage = made(given(postgres_data_device=DEVICE), seen(), disk())["storage"]
    assert storage["take_over"]
    assert storage["owner"] == {
        "path": "/var/lib/postgresql/17",
        "create_group": True,
        "create_user": True,
        "gid": 104,
        "uid": 101,
    }
    taken = volume.plan(DEVICE, "ext4", 17, disk(uids={"other": 101}), False)
    assert (taken["owner"]["uid"], taken["owner"]["gid"]) == (None, 104)
    assert volume.plan(DEVICE, "ext4", 17, disk(), True)["owner"] is None
