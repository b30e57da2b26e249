"""Which versions of PgBouncer have which holes, and which configurations are open to them."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import vulnerabilities
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.vulnerabilities import Configuration

SCRAM = {"auth_type": "scram-sha-256", "max_packet_size": 2**29}
LOCAL = [{"name": "d", "host": "/run/postgresql"}]
FAR = [{"name": "d", "host": "10.0.0.1"}]
NEW_SCRAM = ["CVE-2026-19888", "CVE-2026-107350"]
FAR_1_25 = ["CVE-2026-6665", "CVE-2026-6666"]

VERSIONS = [
    "1.16.1-1",
    "1.18.0-1",
    "1.18.0-1+deb12u1",
    "1.24.1-1",
    "1.24.1-1+deb13u1",
    "1.24.1-1+deb13u2",
    "1.24.1-1+deb13u10",
    "1.26.1-1.pgdg13+1",
    "1.26.1~rc1-1",
    "1.26.1",
    "1:1.0-1",
    "1.0a-1",
    "1.0-1a",
    "1.0-1~bpo12+1",
    "1.0+dfsg-1",
    "1.00-01",
    "1.0-0",
    "1.0",
    "2-1-1",
]


def names(version: str, **given: Any) -> list[str]:
    settings = {**SCRAM, **given.pop("settings", {})}
    config = Configuration(settings, given.pop("databases", LOCAL), **given)
    return [known.name for known in vulnerabilities.affecting(version, config)]


@pytest.mark.skipif(not shutil.which("dpkg"), reason="needs dpkg")
@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(VERSIONS, 2)))
def test_versions_compare_as_dpkg_says(one: str, other: str) -> None:
    said = {
        operator: subprocess.run(["dpkg", "--compare-versions", one, operator, other], check=False).returncode
        == 0
        for operator in ("lt", "eq", "gt")
    }
    result = vulnerabilities.compare(one, other)
    assert {"lt": result < 0, "eq": result == 0, "gt": result > 0} == said
    assert vulnerabilities.compare(other, one) == -result


@pytest.mark.parametrize(
    ("version", "given", "expected"),
    [
        ("1.24.1-1+deb13u2", {}, NEW_SCRAM),
        ("1.24.1-1+deb13u1", {}, ["CVE-2026-6664", *NEW_SCRAM]),
        ("1.24.1-1+deb13u3", {}, NEW_SCRAM),
        ("1.24.1-1", {}, ["CVE-2026-6664", *NEW_SCRAM]),
        ("1.24.1-1.pgdg13+1", {}, ["CVE-2026-6664", *NEW_SCRAM]),
        ("1.25.2-1.pgdg13+1", {}, NEW_SCRAM),
        ("1.26.0-1.pgdg13+1", {}, ["CVE-2026-107350"]),
        ("1.26.1-1.pgdg13+1", {"databases": FAR}, []),
        ("1.18.0-1+deb12u1", {}, ["CVE-2026-6664", *NEW_SCRAM]),
        ("1.16.1-1", {}, ["CVE-2026-6664", "CVE-2026-19888"]),
        # Anyone on the network between PgBouncer and its server.
        ("1.24.1-1+deb13u2", {"databases": FAR}, ["CVE-2026-6669", *NEW_SCRAM]),
        ("1.24.1-1", {"databases": FAR}, ["CVE-2026-6664", *FAR_1_25, "CVE-2026-6669", *NEW_SCRAM]),
        ("1.24.1-1+deb13u2", {"databases": [{"host": "/run/a, 10.0.0.1"}]}, ["CVE-2026-6669", *NEW_SCRAM]),
        # How clients prove who they are.
        ("1.24.1-1+deb13u2", {"settings": {"auth_type": "md5"}}, NEW_SCRAM),
        ("1.24.1-1+deb13u2", {"settings": {"auth_type": "cert"}}, []),
        ("1.15.0-1", {"settings": {"auth_type": "cert"}}, ["CVE-2021-3935"]),
        ("1.15.0-1+deb11u2", {"settings": {"auth_type": "cert"}}, []),
        ("1.24.1-1+deb13u2", {"settings": {"auth_type": "hba"}, "rules": [{"method": "cert"}]}, []),
        ("1.24.1-1+deb13u2", {"settings": {"auth_type": "hba"}, "rules": [{"method": "md5"}]}, NEW_SCRAM),
        # Who looks users up.
        ("1.24.0-1", {"settings": {"auth_type": "cert", "auth_user": "a"}}, ["CVE-2025-2291"]),
        ("1.24.0-1", {"settings": {"auth_type": "cert", "auth_user": "a"}, "own_query": True}, []),
        ("1.24.0-1", {"settings": {"auth_type": "cert", "auth_user": "a", "auth_query": "q"}}, []),
        ("1.18.0-1+deb12u1", {"settings": {"auth_type": "cert", "auth_user": "a"}}, []),
        (
            "1.24.1-1",
            {"settings": {"auth_type": "cert", "auth_user": "a", "track_extra_parameters": "a, search_path"}},
            ["CVE-2025-12819"],
        ),
        (
            "1.24.1-1+deb13u1",
            {"settings": {"auth_type": "cert", "auth_user": "a", "track_extra_parameters": ["search_path"]}},
            [],
        ),
        # Settings that matter.
        ("1.24.1-1", {"settings": {"auth_type": "cert", "stats_users": ["s"]}}, ["CVE-2026-6667"]),
        ("1.23.1-1", {"settings": {"auth_type": "cert", "stats_users": ["s"]}}, []),
        ("1.24.1-1", {"settings": {"auth_type": "cert", "stats_users": "s", "admin_users": "s"}}, []),
        ("1.25.2-1", {"settings": {"auth_type": "cert", "max_packet_size": 2**30}}, ["CVE-2026-6668"]),
        ("1.25.2-1", {"settings": {"auth_type": "cert", "max_packet_size": None}}, ["CVE-2026-6668"]),
        (
            "1.26.0-1",
            {"settings": {"auth_type": "cert", "max_packet_size": 2**31 + 1}},
            ["CVE-2026-107348"],
        ),
        (
            "1.26.0-1",
            {"settings": {"auth_type": "cert", "ignore_startup_parameters": ["a"]}},
            ["CVE-2026-107349"],
        ),
        ("1.26.0-1", {"settings": {"auth_type": "cert", "ignore_startup_parameters": ["a", "options"]}}, []),
        ("1.18.0-1", {"settings": {"auth_type": "cert", "ignore_startup_parameters": ["a"]}}, []),
    ],
)
def test_what_a_version_has(version: str, given: dict[str, Any], expected: list[str]) -> None:
    assert names(version, **given) == expected


def test_a_refusal_says_what_it_means_and_what_to_do() -> None:
    config = Configuration({**SCRAM, "ignore_startup_parameters": ["extra_float_digits"]}, LOCAL)
    said = vulnerabilities.refusal("1.24.1-1+deb13u2", config)
    assert said.startswith(
        "PgBouncer 1.24.1-1+deb13u2 has CVE-2026-19888 (anyone who reaches the port can crash"
    )
    assert "fixed in 1.26.0" in said
    assert "Install 1.26.1 or newer" in said
    assert "without a new version: name options among" in said
    assert said.endswith("pgbouncer_accept_cves: [CVE-2026-19888, CVE-2026-107349, CVE-2026-107350]")


def test_what_is_accepted_is_not_refused() -> None:
    config = Configuration(SCRAM, LOCAL)
    assert "CVE-2026-107350" not in vulnerabilities.refusal("1.24.1-1+deb13u2", config, ["CVE-2026-107350"])
    assert vulnerabilities.refusal("1.24.1-1+deb13u2", config, NEW_SCRAM) == ""


def test_what_is_accepted_has_to_be_known() -> None:
    assert vulnerabilities.unknown_names(["CVE-2026-6664", "CVE-2026-66640"]) == ["CVE-2026-66640"]


def test_the_documentation_has_all_of_them() -> None:
    text = (Path(__file__).parents[5] / "docs/pgbouncer.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| CVE-")]
    for known in vulnerabilities.KNOWN:
        number = known.name.rsplit("-", 1)[1]
        row = next(line for line in rows if number in line.split("|")[1])
        cells = [cell.strip() for cell in row.split("|")[1:-1]]
        assert (cells[1], cells[2]) == (known.since.removesuffix(".0") or "all", known.fixed)
        assert cells[3] == ", ".join(known.backports)
