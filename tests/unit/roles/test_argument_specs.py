# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the roles say of their inputs is what they do: specs, defaults, names and dependencies agree."""

from __future__ import annotations

import inspect
import json
import re
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.galaxy.dependency_resolution.versioning import meets_requirements
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROOT = Path(__file__).resolve().parents[3]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())

every_role = pytest.mark.parametrize("role", ROLES)

# Since ansible-core 2.19 only what is marked as trusted is templated, as the defaults of a role are.
NATIVE = "trusted_as_template" in inspect.signature(DataLoader.load_from_file).parameters
TRUST = {"trusted_as_template": True} if NATIVE else {}


def load(path: Path) -> Any:
    """Return the content of a YAML file, empty where there is none. Raises yaml.YAMLError."""
    return (yaml.safe_load(path.read_text()) if path.exists() else None) or {}


def inputs(role: str) -> dict[str, Any]:
    """Return what the role's spec says of its inputs."""
    options: dict[str, Any] = load(ROOT / "roles" / role / "meta/argument_specs.yml")["argument_specs"][
        "main"
    ]["options"]
    return options


def validated(role: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return values as the validation at the role's start makes them; fails the test where it refuses them."""
    result = ArgumentSpecValidator(inputs(role)).validate(values, validate_role_argument_spec=True)
    assert result.error_messages == []
    return dict(result.validated_parameters)


def rendered_defaults(role: str) -> dict[str, Any]:
    """Return the role's defaults as Ansible renders them where no other variable is set."""
    loader = DataLoader()
    path = ROOT / "roles" / role / "defaults/main.yml"
    templates = loader.load_from_file(str(path), **TRUST) if path.exists() else {}
    values = dict(Templar(loader=loader, variables=templates).template(templates))
    # ansible-core 2.18 renders numbers as text, which the spec makes numbers again.
    return values if NATIVE else validated(role, values)


def exactly(value: Any) -> str:
    """Return a value as text that tells 1 from "1" and from true, which Python's equality does not."""
    return json.dumps(value, sort_keys=True, indent=1)


def text_of(role: str, without: str) -> str:
    """Return all that the role does with its variables, without comments and the value of one of them."""
    folder = ROOT / "roles" / role
    tasks = [path.read_text() for name in ("tasks", "handlers") for path in folder.glob(f"{name}/*.yml")]
    templates = [path.read_text() for path in folder.glob("templates/*")]
    values = {**load(folder / "defaults/main.yml"), **load(folder / "vars/main.yml")}
    return "\n".join(
        [re.sub(r"(?m)^\s*#.*", "", text) for text in tasks]
        + templates
        + [str(value) for name, value in values.items() if name != without]
    )


def test_roles_are_found() -> None:
    assert {"postgres", "pgbouncer"} <= set(ROLES)


class TestSpec:
    @every_role
    def test_names_the_inputs_that_have_defaults(self, role: str) -> None:
        assert sorted(inputs(role)) == sorted(rendered_defaults(role))

    @every_role
    def test_has_the_values_of_the_defaults(self, role: str) -> None:
        documented = {name: option.get("default") for name, option in inputs(role).items()}
        assert exactly(documented) == exactly(rendered_defaults(role))

    @every_role
    def test_lets_the_defaults_in_as_they_are(self, role: str) -> None:
        defaults = rendered_defaults(role)
        accepted = validated(role, defaults)
        assert exactly(
            {name: accepted[name] for name in defaults if inputs(role)[name]["type"] != "path"}
        ) == exactly(
            {name: value for name, value in defaults.items() if inputs(role)[name]["type"] != "path"}
        )

    @every_role
    def test_has_an_example_that_uses_the_role_and_its_inputs(self, role: str) -> None:
        main = load(ROOT / "roles" / role / "meta/argument_specs.yml")["argument_specs"]["main"]
        roles = [entry for play in yaml.safe_load(main["examples"]) for entry in play.get("roles", [])]
        assert {entry["role"] for entry in roles} == {f"pooled.postgres.{role}"}
        assert {name for entry in roles for name in entry["vars"]} <= set(inputs(role))


class TestVariables:
    @every_role
    @pytest.mark.parametrize(("folder", "prefix"), [("defaults", ""), ("vars", "__")])
    def test_carry_the_name_of_their_role(self, role: str, folder: str, prefix: str) -> None:
        names = [name for path in (ROOT / "roles" / role / folder).glob("*.yml") for name in load(path)]
        assert [name for name in names if not name.startswith(f"{prefix}{role}_")] == []

    @every_role
    @pytest.mark.parametrize("folder", ["defaults", "vars"])
    def test_are_used_in_their_role(self, role: str, folder: str) -> None:
        names = load(ROOT / "roles" / role / folder / "main.yml")
        assert [name for name in names if not re.search(rf"\b{name}\b", text_of(role, name))] == []


class TestDependencies:
    GALAXY: dict[str, str] = load(ROOT / "galaxy.yml")["dependencies"]
    REQUIREMENTS: dict[str, str] = {
        entry["name"]: entry["version"] for entry in load(ROOT / "requirements.yml")["collections"]
    }

    def test_are_the_same_for_galaxy_and_for_requirements(self) -> None:
        assert self.GALAXY == self.REQUIREMENTS

    @pytest.mark.parametrize("name", sorted(GALAXY))
    def test_have_a_version_in_the_bundle_that_fits(self, name: str) -> None:
        bundle = Path(sysconfig.get_path("purelib"), "ansible_collections")
        manifest = json.loads((bundle / name.replace(".", "/") / "MANIFEST.json").read_text())
        version = manifest["collection_info"]["version"]
        assert meets_requirements(version, self.GALAXY[name]), f"{version} is not {self.GALAXY[name]}"
        assert meets_requirements(version, self.REQUIREMENTS[name])

    def test_name_every_collection_that_is_used(self) -> None:
        files = [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("roles/*/handlers/*.yml")]
        files += ROOT.glob("playbooks/*.yml")
        modules = re.compile(r"(?m)^[\s-]+(\w+\.\w+)\.\w+:")
        used = {name for path in files for name in modules.findall(path.read_text())}
        assert used - {"ansible.builtin", "pooled.postgres"} <= set(self.GALAXY)
