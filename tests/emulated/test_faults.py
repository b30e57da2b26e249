"""What an API that fails half-way leaves behind, and what a re-run makes of it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.emulated.conftest import Account, Emulator

# Every second changing call fails. With 1 each does, in four minutes more; that was seen, too.
EVERY = 2
# More than there are calls that change something: a chain that is no further by then goes in circles.
MOST = 60


class Faults:
    """What the emulator answers with errors, and when."""

    def __init__(self, emulator: Emulator) -> None:
        self.url = f"{emulator.url}/lab/fault"

    def set(self, **fault: Any) -> None:
        """Have an error come; without arguments, none."""
        request = urllib.request.Request(  # noqa: S310
            self.url, json.dumps(fault).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310


@pytest.fixture
def faults(emulator: Emulator) -> Iterator[Faults]:
    """Return the emulator's faults; none is left behind."""
    made = Faults(emulator)
    yield made
    made.set()


def chain(account: Account, faults: Faults, playbook: str, *, lost: int, **inputs: Any) -> list[str]:
    """Run a playbook until it is through, while in each run changes are made and their answers lost.

    With one answer lost a run, a run fails at call EVERY of those that are still to be made: the state of the
    account is that of a run of which the call after it was refused, with the difference that here nobody was
    told of what the last one made.

    Returns:
        The changing calls, in order.
    """
    calls: list[str] = []
    for _ in range(MOST):
        fault = {"code": "Unsupported", "message": "The answer is lost.", "status": 400}
        faults.set(call=1 if lost > 1 else EVERY, count=lost, executed=True, **fault)
        run = account.playbook(playbook, **inputs)
        assert "Traceback" not in run.output
        calls += run.changes
        if run.code == 0:
            return calls
        # One at least; or it was something else that failed.
        assert run.changes, run.output
    pytest.fail(f"no end after {calls}")


def test_a_run_that_fails_at_any_call_is_finished_by_the_next(
    account: Account, faults: Faults, stack_counts: dict[str, int]
) -> None:
    account.image()
    before = account.resources()
    calls = chain(account, faults, "provision", lost=1)
    made = account.resources().since(before)
    assert made.counts() == stack_counts
    assert {"CreateVpc", "CreateNatGateway", "RunInstances", "AttachVolume", "CreateRoute"} <= set(calls)
    # What is tried more than once bears it: no answer of the whole run arrives.
    calls = chain(account, faults, "teardown", lost=MOST, infrastructure_delete_data=True)
    assert {"TerminateInstances", "DeleteNatGateway", "ReleaseAddress", "DeleteVpc"} <= set(calls)
    assert account.resources() == before


def test_throttling_is_waited_out(account: Account, faults: Faults) -> None:
    account.image()
    fault = {"code": "RequestLimitExceeded", "message": "Request limit exceeded.", "status": 503}
    faults.set(call=1, count=2, actions=["DescribeVpcs", "CreateVpc"], **fault)
    run = account.playbook("provision", "--check")
    assert run.code == 0, run.output


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("UnauthorizedOperation", "ec2:DescribeVpcs"),
        ("RequestExpired", "expired"),
        ("AuthFailure", "credentials"),
    ],
)
def test_what_aws_denies_is_named(bare: Account, faults: Faults, code: str, said: str) -> None:
    message = "You are not authorized to perform this operation."
    faults.set(call=1, actions=["DescribeVpcs"], code=code, message=message, status=403)
    run = bare.playbook("provision", "--check")
    assert run.code != 0
    assert "Failed to read the stack pooled" in run.text
    assert said in run.text
    assert "Traceback" not in run.output
    assert run.changes == []


# The second one in a job that goes on beside others.
@pytest.mark.parametrize("action", ["AllocateAddress", "CreateRoute"])
def test_a_denied_change_is_named(account: Account, faults: Faults, action: str) -> None:
    account.image()
    message = "You are not authorized to perform this operation."
    faults.set(call=1, actions=[action], code="UnauthorizedOperation", message=message, status=403)
    run = account.playbook("provision")
    assert run.code != 0
    assert action in run.text
    assert "Traceback" not in run.output


@pytest.fixture(scope="module")
def bare(new_account: Any) -> Account:
    """Return an account that nothing is made in."""
    account: Account = new_account()
    account.image()
    return account
