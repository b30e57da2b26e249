"""A running emulator for the tests of its calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from running import NAT_SECONDS, Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a running emulator."""
    started = Server(tmp_path_factory.mktemp("emulator"), "--nat-seconds", str(NAT_SECONDS))
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture
def ec2(server: Server) -> Any:
    """Return a client of the emulator's EC2 API."""
    return server.ec2()
