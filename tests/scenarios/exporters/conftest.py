"""Fixtures of the tests on the hosts of the scenario ``exporters``."""

from __future__ import annotations

import pytest
from scenario import Scenario


@pytest.fixture(scope="session")
def hosts() -> Scenario:
    """Return the hosts, which must be up."""
    scenario = Scenario("exporters")
    if not (scenario.state / "ssh_config").exists():
        pytest.fail("there are no hosts: these tests are run by `molecule test --scenario-name exporters`")
    return scenario


@pytest.fixture(scope="session", params=Scenario("exporters").hosts)
def host(request: pytest.FixtureRequest) -> str:
    """Return each host of the scenario in turn."""
    return str(request.param)
