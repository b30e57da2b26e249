"""Fixtures of the tests on the lab."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lab import STATE, Lab, Run


@pytest.fixture(scope="session")
def lab() -> Lab:
    """Return the lab, which must be up."""
    if not (STATE / "outputs.json").exists():
        pytest.fail("the lab is not up: these tests are run by `make molecule`")
    return Lab()


@pytest.fixture
def changed_nothing() -> Callable[[Run], bool]:
    """Return a check that a playbook's recap counts no change."""

    def check(result: Run) -> bool:
        recap = result.stdout.split("PLAY RECAP")[-1]
        return "changed=" in recap and all(
            part == "changed=0" for part in recap.split() if part.startswith("changed=")
        )

    return check
