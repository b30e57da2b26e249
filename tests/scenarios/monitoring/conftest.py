"""Fixtures of the tests on the host of the scenario ``monitoring``."""

from __future__ import annotations

import pytest
from scenario import Scenario


@pytest.fixture(scope="session")
def hosts() -> Scenario:
    """Return the hosts, which must be up."""
    scenario = Scenario("monitoring")
    if not (scenario.state / "ssh_config").exists():
        pytest.fail("there are no hosts: these tests are run by `molecule test --scenario-name monitoring`")
    return scenario
