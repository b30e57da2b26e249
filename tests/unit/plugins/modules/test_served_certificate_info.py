"""Connect to servers that accept PostgreSQL's request for TLS, or don't."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

MODULE = Path(__file__).resolve().parents[4] / "plugins/modules/served_certificate_info.py"
REQUEST = bytes.fromhex("0000000804d2162f")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with two certificates and their keys."""
    directory = tmp_path_factory.mktemp("pairs")
    for name in ("old", "new"):
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        files = ["-keyout", f"{directory}/{name}.key", "-out", f"{directory}/{name}.crt"]
        command = ["openssl", "req", "-x509", *curve, "-nodes", "-days", "1", "-subj", f"/CN={name}", *files]
        subprocess.run(command, check=True, capture_output=True)
    return directory


@contextmanager
def server(directory: Path, *names: str) -> Iterator[int]:
    """Serve the named pairs in turn, the last one from then on; an empty name speaks no TLS."""

    def answer(number: int, connection: socket.socket) -> None:
        name = names[min(number, len(names) - 1)]
        assert connection.recv(8) == REQUEST
        connection.sendall(b"S" if name else b"N")
        if name:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(directory / f"{name}.crt", directory / f"{name}.key")
            context.wrap_socket(connection, server_side=True).close()

    def serve() -> None:
        number = 0
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            with suppress(OSError), connection:
                answer(number, connection)
            number += 1

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def run(**options: Any) -> dict[str, Any]:
    """Run the module as Ansible would, and return its result."""
    arguments = json.dumps({"ANSIBLE_MODULE_ARGS": options})
    result = subprocess.run(
        [sys.executable, MODULE], input=arguments, capture_output=True, text=True, check=False
    )
    return dict(json.loads(result.stdout))


def test_the_server_has_the_certificate_of_the_file(pairs: Path) -> None:
    with server(pairs, "new") as port:
        said = run(path=str(pairs / "new.crt"), port=port, connections=3)
    assert said["current"] and said["answered"] and said["served"] == [said["expected"]]
    assert said["changed"] is False


def test_detect_another_certificate(pairs: Path) -> None:
    with server(pairs, "old") as port:
        said = run(path=str(pairs / "new.crt"), port=port)
    assert not said["current"]
    assert said["served"] and said["served"] != [said["expected"]]


def test_detect_one_process_that_lags(pairs: Path) -> None:
    with server(pairs, "new", "old", "new") as port:
        said = run(path=str(pairs / "new.crt"), port=port, connections=3)
    assert not said["current"]
    assert len(said["served"]) == 2


def test_wait_for_the_certificate(pairs: Path) -> None:
    with server(pairs, "old", "old", "new") as port:
        assert run(path=str(pairs / "new.crt"), port=port, wait=10)["current"]


@pytest.mark.parametrize(("name", "said"), [("old", "it serves "), ("", "it speaks no TLS")])
def test_fail_after_the_wait(pairs: Path, name: str, said: str) -> None:
    with server(pairs, name) as port:
        result = run(path=str(pairs / "new.crt"), port=port, wait=1)
    assert result["failed"] and said in result["msg"] and str(pairs / "new.crt") in result["msg"]


def test_a_look_does_not_fail_without_a_server_or_a_file(pairs: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    said = run(path=str(pairs / "none.crt"), port=port)
    assert (said["current"], said["answered"], said["served"], said["expected"]) == (False, False, [], "")


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_fail_with_a_file_without_a_certificate(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "server.crt"
    if content:
        path.write_text(content)
    result = run(path=str(path), port=1, wait=1)
    assert result["failed"] and f"Failed to read {path}" in result["msg"]
