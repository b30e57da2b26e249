"""Fixtures of the tests on the lab."""

from __future__ import annotations

import os
from typing import Any

import boto3
import pytest
from lab import STATE, Lab


@pytest.fixture(scope="session")
def lab() -> Lab:
    """Return the lab, which must be up."""
    if not (STATE / "outputs.json").exists():
        pytest.fail("the lab is not up: these tests are run by `make molecule`")
    return Lab()


@pytest.fixture(scope="session")
def secrets(lab: Lab) -> list[bytes]:
    """Return the generated passwords."""
    return [path.read_bytes().strip() for path in (lab.state / "secrets").iterdir()]


@pytest.fixture(scope="session")
def ec2() -> Any:
    """Return a client of the lab's EC2 API."""
    return boto3.client(
        "ec2",
        region_name="ap-southeast-1",
        endpoint_url=f"http://127.0.0.1:{os.environ.get('POOLED_LAB_PORT') or 5111}",
        aws_access_key_id="emulated-access-key",
        aws_secret_access_key="emulated-secret-key",
    )
