# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Scrape real servers that answer as exporters do, or don't."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

MODULE = Path(__file__).resolve().parents[4] / "plugins/modules/exporters_check.py"
LOGIN = "Basic " + base64.b64encode(b"prometheus:it's a secret").decode()


@contextmanager
def exporter(*bodies: str, login: str | None = None, pair: Path | None = None) -> Iterator[int]:
    """Serve the bodies in turn, the last one from then on, only with a login if there is one."""
    left = list(bodies)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            admitted = login is None or self.headers.get("Authorization") == login
            body = (left.pop(0) if len(left) > 1 else left[0]) if admitted else ""
            self.send_response(200 if admitted else 401)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if pair:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair / "server.crt", pair / "server.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a certificate of 127.0.0.1 and its key."""
    directory = tmp_path_factory.mktemp("pair")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    names = ["-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", f"{directory}/server.key", "-out", f"{directory}/server.crt"]
    subprocess.run(["openssl", "req", "-x509", *curve, *names, *files], check=True, capture_output=True)
    return directory


def run(*ports: int, **options: Any) -> dict[str, Any]:
    """Run the module as Ansible would, and return its result."""
    exporters = [
        {"name": f"x_exporter@{n}", "port": port, "sample": r"x_up \d", "hint": "Check x."}
        for n, port in enumerate(ports, 1)
    ]
    arguments = {"ANSIBLE_MODULE_ARGS": {"exporters": exporters, "wait": 1, **options}}
    result = subprocess.run(
        [sys.executable, MODULE], input=json.dumps(arguments), capture_output=True, text=True, check=False
    )
    return dict(json.loads(result.stdout))


def test_wait_for_the_first_figures() -> None:
    with exporter("", "# x_up 1\n", "a 1\nx_up 1\n") as port:
        result = run(port, wait=15)
    assert result["scraped"] == ["x_exporter@1"] and result["changed"] is False


def test_report_all_exporters_that_fail_in_one_message() -> None:
    with ExitStack() as stack:
        good = stack.enter_context(exporter("x_up 1\n"))
        silent = stack.enter_context(exporter("x_up no\n"))
        closed = stack.enter_context(exporter("x_up 1\n", login=LOGIN))
        with exporter("") as gone:
            pass
        result = run(good, silent, closed, gone)
    assert result["failed"]
    first, *lines = result["msg"].splitlines()
    assert first.startswith("Failed to scrape 3 exporters. Look at journalctl")
    assert [line.split(":")[0] for line in lines] == [
        f"- x_exporter@{n} on port {port}" for n, port in ((2, silent), (3, closed), (4, gone))
    ]
    for line, cause in zip(
        lines, (r"not report x_up \d", "HTTP status 401, not 200", "does not answer"), strict=True
    ):
        assert cause in line and line.endswith("Check x.")


def test_log_in() -> None:
    with exporter("x_up 1\n", login=LOGIN) as port:
        assert run(port, user="prometheus", password="it's a secret")["scraped"]
        refused = run(port, user="prometheus", password="wr0ng-secret")
        assert "401" in refused["msg"] and "wr0ng-secret" not in json.dumps(refused)
        assert run(port, refused=True)["scraped"]
    with exporter("x_up 1\n") as port:
        assert "HTTP status 200, not 401" in run(port, refused=True)["msg"]


def test_verify_the_certificate_of_the_own_ca_only(pair: Path, tmp_path: Path) -> None:
    ca_path = str(pair / "server.crt")
    with exporter("x_up 1\n", pair=pair) as port:
        assert run(port, tls=True, ca_path=ca_path)["scraped"]
        assert run(port, tls=True)["scraped"]
        assert "certificate verify failed" in run(port, tls=True, ca_path=ca_path, address="localhost")["msg"]
        assert "not answer" in run(port)["msg"] or "HTTP status" in run(port)["msg"]
    missing = run(1, tls=True, ca_path=str(tmp_path / "none.crt"))
    assert missing["msg"].startswith(f"Failed to read {tmp_path}")
