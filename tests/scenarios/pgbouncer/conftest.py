"""Fixtures of the tests on the hosts of the scenario ``pgbouncer``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scenario import Scenario


@pytest.fixture(scope="session")
def hosts() -> Scenario:
    """Return the hosts, which must be up."""
    scenario = Scenario("pgbouncer")
    if not (scenario.state / "ssh_config").exists():
        pytest.fail("there are no hosts: these tests are run by `molecule test --scenario-name pgbouncer`")
    return scenario


@pytest.fixture(scope="session", params=Scenario("pgbouncer").hosts)
def host(request: pytest.FixtureRequest) -> str:
    """Return each host of the scenario in turn."""
    return str(request.param)
