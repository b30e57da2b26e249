# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role postgres takes a distribution for, by its facts: paths, units, versions of packages."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLE = Path(__file__).resolve().parents[3] / "roles/postgres"

# Since ansible-core 2.19 only what is marked as trusted is templated, as the variables of a role are.
_trusts = "trusted_as_template" in inspect.signature(DataLoader.load_from_file).parameters
TRUST = {"trusted_as_template": True} if _trusts else {}

DEBIAN_12 = {"distribution": "Debian", "distribution_version": "12.11", "distribution_major_version": "12"}
DEBIAN_13 = {"distribution": "Debian", "distribution_version": "13.2", "distribution_major_version": "13"}
UBUNTU_22 = {"distribution": "Ubuntu", "distribution_version": "22.04", "distribution_major_version": "22"}
UBUNTU_24 = {"distribution": "Ubuntu", "distribution_version": "24.04", "distribution_major_version": "24"}
RELEASES = {"bookworm", "trixie", "jammy", "noble"}


def rendered(facts: dict[str, str], name: str, **inputs: Any) -> str:
    """Return a variable of the role on a host with these facts."""
    loader = DataLoader()
    variables: dict[str, Any] = {}
    for path in ("defaults/main.yml", "vars/main.yml"):
        variables.update(loader.load_from_file(str(ROLE / path), **TRUST))
    variables.update(inputs, ansible_facts=facts, ansible_check_mode=False)
    value = Templar(loader=loader, variables=variables).template(variables[name])
    return str(value).strip()


@pytest.mark.parametrize(
    ("facts", "platform", "version"),
    [
        (DEBIAN_12, "Debian-12", "15"),
        (DEBIAN_13, "Debian-13", "17"),
        (UBUNTU_22, "Ubuntu-22.04", "14"),
        (UBUNTU_24, "Ubuntu-24.04", "16"),
    ],
)
def test_each_distribution_has_its_version_and_paths(
    facts: dict[str, str], platform: str, version: str
) -> None:
    assert rendered(facts, "__postgres_platform") == platform
    assert rendered(facts, "__postgres_version") == version
    assert rendered(facts, "__postgres_config_directory") == f"/etc/postgresql/{version}/main"
    assert rendered(facts, "__postgres_data_directory") == f"/var/lib/postgresql/{version}/main"
    assert rendered(facts, "__postgres_bin_directory") == f"/usr/lib/postgresql/{version}/bin"
    assert rendered(facts, "__postgres_service") == f"postgresql@{version}-main"
    wanted = f"/etc/systemd/system/postgresql@{version}-main.service.d"
    assert rendered(facts, "__postgres_unit_directory") == wanted


@pytest.mark.parametrize("facts", [DEBIAN_12, UBUNTU_24])
def test_a_version_that_is_given_goes_before_the_distributions(facts: dict[str, str]) -> None:
    assert rendered(facts, "__postgres_version", postgres_version=18) == "18"


def test_what_the_role_knows_is_what_it_says_it_runs_on() -> None:
    versions = yaml.safe_load((ROLE / "vars/main.yml").read_text())["__postgres_versions"]
    meta = yaml.safe_load((ROLE / "meta/main.yml").read_text())["galaxy_info"]["platforms"]
    assert {release for platform in meta for release in platform["versions"]} == RELEASES
    assert len(versions) == len(RELEASES)
