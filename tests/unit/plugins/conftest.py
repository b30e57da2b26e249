"""An emulated AWS for the modules that call it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

SECRET_KEY = "emulated-secret-key"


class Aws:
    """A moto server on a free port of loopback."""

    region = "eu-west-1"

    def __init__(self, url: str) -> None:
        self.url = url
        self.options = {
            "region": self.region,
            "endpoint_url": url,
            "access_key": "emulated-access-key",
            "secret_key": SECRET_KEY,
        }

    def client(
        self, service: str, access_key: str = "emulated-access-key", secret_key: str = SECRET_KEY
    ) -> Any:
        """Return a boto3 client."""
        return boto3.client(
            service,
            region_name=self.region,
            endpoint_url=self.url,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
        )

    def ask(self, path: str, data: bytes | None = None) -> None:
        """Call the emulator's own API."""
        # As a form it would not reach the emulator.
        request = urllib.request.Request(  # noqa: S310
            f"{self.url}/moto-api/{path}", data, {"Content-Type": "text/plain"}
        )
        with urllib.request.urlopen(request, timeout=5):  # noqa: S310
            pass


@pytest.fixture(scope="session")
def emulated_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """Return an emulated AWS that answers."""
    directory = tmp_path_factory.mktemp("emulated-aws")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(
            [Path(sys.executable).parent / "moto_server", "-H", "127.0.0.1", "-p", str(port)],
            cwd=directory,
            env={k: v for k, v in os.environ.items() if not k.startswith("AWS_")},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        aws = Aws(f"http://127.0.0.1:{port}")
        for _ in range(300):
            try:
                aws.ask("")
                break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                assert process.poll() is None, (directory / "log").read_text()
                time.sleep(0.2)
        yield aws
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def aws(emulated_aws: Aws) -> Aws:
    """Return an emulated AWS in which there is nothing."""
    emulated_aws.ask("reset", b"")
    return emulated_aws
