# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Argument specs, defaults, names of variables and dependencies of the roles agree."""

from __future__ import annotations

import inspect
import json
import re
import sysconfig
from functools import cache
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

# ansible-core 2.19 and newer template only values that are marked as trusted.
_trusts = "trusted_as_template" in inspect.signature(DataLoader.load_from_file).parameters
TRUST = {"trusted_as_template": True} if _trusts else {}

SECRET = "s3cr3t-of-a-user"
PYTHON_TYPES = {"str": str, "path": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict}


@pytest.fixture(autouse=True)
def native_types(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make numbers of templates numbers, as ansible-core 2.19 does anyway."""
    monkeypatch.setattr("ansible.constants.DEFAULT_JINJA2_NATIVE", True, raising=False)


@cache
def load(path: Path) -> Any:
    """Return the content of a YAML file, empty if it does not exist. Do not change it."""
    return (yaml.load(path.read_text(), yaml.CSafeLoader) if path.exists() else None) or {}


def spec(role: str) -> dict[str, Any]:
    """Return the spec of the role's entry point ``main``."""
    return dict(load(ROOT / "roles" / role / "meta/argument_specs.yml")["argument_specs"]["main"])


def inputs(role: str) -> dict[str, Any]:
    """Return the options of the role's spec."""
    return dict(spec(role)["options"])


def problems(role: str, values: dict[str, Any]) -> list[str]:
    """Return the errors that the validation at the role's start finds in values."""
    validator = ArgumentSpecValidator(inputs(role))
    return list(validator.validate(values, validate_role_argument_spec=True).error_messages)


def with_nested(options: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the names and specs of options and of all that are nested in them."""
    nested = [found for option in options.values() for found in with_nested(option.get("options", {}))]
    return [*options.items(), *nested]


@cache
def rendered_defaults(role: str) -> dict[str, Any]:
    """Return the role's defaults as Ansible renders them if no other variable is set."""
    loader = DataLoader()
    path = ROOT / "roles" / role / "defaults/main.yml"
    templates = loader.load_from_file(str(path), **TRUST) if path.exists() else {}
    return dict(Templar(loader=loader, variables=templates).template(templates))


def exactly(value: Any) -> str:
    """Return a value as text, in which 1, "1" and true differ."""
    return json.dumps(value, sort_keys=True, indent=1)


def text_of(role: str, without: str) -> str:
    """Return the text that uses the role's variables: tasks, templates, values but one, and its Python."""
    folder = ROOT / "roles" / role
    sources = [ROOT / f"plugins/action/{role}_plan.py", *ROOT.glob(f"plugins/module_utils/_{role}/**/*.py")]
    tasks = [path.read_text() for name in ("tasks", "handlers") for path in folder.glob(f"{name}/*.yml")]
    templates = [path.read_text() for path in folder.glob("templates/*")]
    values = {**load(folder / "defaults/main.yml"), **load(folder / "vars/main.yml")}
    return "\n".join(
        [re.sub(r"(?m)^\s*#.*", "", text) for text in tasks]
        + templates
        + [str(value) for name, value in values.items() if name != without]
        + [path.read_text() for path in sources if path.exists()]
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
    def test_has_defaults_of_its_types(self, role: str) -> None:
        wrong = {
            name: option["default"]
            for name, option in inputs(role).items()
            if type(option["default"]) is not PYTHON_TYPES[option["type"]]
        }
        assert wrong == {}

    @every_role
    def test_lets_the_defaults_in(self, role: str) -> None:
        assert problems(role, rendered_defaults(role)) == []

    @pytest.mark.parametrize(
        ("role", "name", "value", "problem"),
        [
            ("pgbouncer", "pgbouncer_pool_mode", "sesion", "must be one of: session, transaction, statement"),
            ("pgbouncer", "pgbouncer_auth_type", "ldap", "must be one of: scram-sha-256, md5, cert, hba"),
            ("pgbouncer", "pgbouncer_max_client_conn", "many", "unable to convert to int"),
            (
                "pgbouncer",
                "pgbouncer_users",
                [{"name": "a"}],
                "one of the following is required: password, verifier",
            ),
            ("pgbouncer", "pgbouncer_users", [{"name": "a", "verifyer": SECRET}], "pgbouncer_users.verifyer"),
            ("pgbouncer", "pgbouncer_users", [SECRET], "unable to convert to dict"),
            (
                "postgres",
                "postgres_users",
                [{"name": "a", "password": SECRET}],
                "state is present but all of the following are missing: databases",
            ),
            ("postgres", "postgres_settings", ["a"], "unable to convert to dict"),
            ("infrastructure", "infrastructure_reach", "vpn", "must be one of: public, private"),
            (
                "infrastructure",
                "infrastructure_strict_host_key_checking",
                "ask",
                "one of: accept-new, yes, no",
            ),
        ],
    )
    def test_refuses_without_telling_secrets(self, role: str, name: str, value: Any, problem: str) -> None:
        messages = "\n".join(problems(role, {name: value}))
        assert problem in messages
        assert SECRET not in messages

    @every_role
    def test_keeps_secrets_out_of_logs(self, role: str) -> None:
        secret = re.compile(r"(password|verifier|secret|token)$")
        options = with_nested(inputs(role))
        assert [name for name, option in options if secret.search(name) and not option.get("no_log")] == []

    @every_role
    def test_has_an_example_that_uses_the_role_and_its_inputs(self, role: str) -> None:
        plays = yaml.safe_load(spec(role)["examples"])
        roles = [entry for play in plays for entry in play.get("roles", [])]
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
        # A plan in Python may read an input without the role's name before it.
        plans = "\n".join(path.read_text() for path in (ROOT / "plugins").glob("*/**/*.py"))
        unused = [name for name in names if not re.search(rf"\b{name}\b", text_of(role, name) + plans)]
        short = [name for name in unused if f'"{name.removeprefix(f"{role}_")}"' not in plans]
        assert short == []


GALAXY: dict[str, str] = load(ROOT / "galaxy.yml")["dependencies"]
REQUIREMENTS = {entry["name"]: entry["version"] for entry in load(ROOT / "requirements.yml")["collections"]}


class TestDependencies:
    def test_are_the_same_for_galaxy_and_for_requirements(self) -> None:
        assert GALAXY == REQUIREMENTS

    @pytest.mark.parametrize("name", sorted(GALAXY))
    def test_have_a_version_in_the_bundle_that_fits(self, name: str) -> None:
        bundle = Path(sysconfig.get_path("purelib"), "ansible_collections")
        manifest = json.loads((bundle / name.replace(".", "/") / "MANIFEST.json").read_text())
        version = manifest["collection_info"]["version"]
        assert meets_requirements(version, GALAXY[name]), f"{version} is not {GALAXY[name]}"
        assert meets_requirements(version, REQUIREMENTS[name])

    def test_name_every_collection_that_is_used(self) -> None:
        files = [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("roles/*/handlers/*.yml")]
        files += ROOT.glob("playbooks/*.yml")
        modules = re.compile(r"(?m)^[\s-]+(\w+\.\w+)\.\w+:")
        used = {name for path in files for name in modules.findall(path.read_text())}
        assert used - {"ansible.builtin", "pooled.postgres"} <= set(GALAXY)
