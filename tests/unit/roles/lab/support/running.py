"""A running emulator for tests."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import boto3
import pytest

EMULATOR = Path(__file__).resolve().parents[5] / "roles/lab/files/emulator"
# How long its NAT gateways are pending.
NAT_SECONDS = 1.5


class Server:
    """An emulator on a free port of loopback, which records."""

    def __init__(self, directory: Path, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.recording = directory / "recording"
        self.recording.touch()
        self.log = directory / "log"
        self.options = options
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, EMULATOR / "server.py", "--port", str(self.port), *self.options],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ
                | {"MOTO_ENABLE_RECORDING": "1", "MOTO_RECORDER_FILEPATH": str(self.recording)},
            )
        for _ in range(150):
            try:
                self.call("GET", "/lab/calls")
            except (urllib.error.URLError, ConnectionError):
                assert self.process.poll() is None, self.log.read_text()
                time.sleep(0.2)
            else:
                return
        pytest.fail(f"the emulator doesn't answer:\n{self.log.read_text()}")

    def stop(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()

    def call(self, method: str, path: str, document: Any = None) -> tuple[int, dict[str, Any]]:
        """Make a call of the lab's own; return the status and the JSON answer."""
        data = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(self.url + path, method=method, data=data)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as exc:
            return exc.code, json.load(exc)

    def moto(self, path: str) -> None:
        """Make a call of moto's own API."""
        request = urllib.request.Request(f"{self.url}/moto-api/{path}", method="POST")  # noqa: S310
        urllib.request.urlopen(request, timeout=60).close()  # noqa: S310

    def ec2(self) -> Any:
        """Return a client of the EC2 API, which doesn't try again by itself."""
        return boto3.client(
            "ec2",
            region_name="ap-southeast-1",
            endpoint_url=self.url,
            aws_access_key_id="emulated-access-key",
            aws_secret_access_key="emulated-secret-key",
            config=boto3.session.Config(retries={"total_max_attempts": 1}),
        )
