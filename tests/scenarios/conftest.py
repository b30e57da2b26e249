"""Fixtures of the tests on the hosts of a scenario, whose name is that of the tests' folder."""

from __future__ import annotations

import pytest
from scenario import Scenario


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes a host on each host of its scenario in turn."""
    if "host" in metafunc.fixturenames:
        name = metafunc.definition.path.parent.name
        metafunc.parametrize("host", Scenario(name).hosts, indirect=True, scope="module")


@pytest.fixture(scope="module")
def host(request: pytest.FixtureRequest) -> str:
    """Return the name of a host; testinfra has a fixture of that name, too, which is not this one."""
    return str(request.param)


@pytest.fixture(scope="module")
def hosts(request: pytest.FixtureRequest) -> Scenario:
    """Return the hosts, which must be up."""
    name = request.path.parent.name
    scenario = Scenario(name)
    if not (scenario.state / "ssh_config").exists():
        pytest.fail(f"there are no hosts: these tests are run by `make scenario-{name}`")
    return scenario
