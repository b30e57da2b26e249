"""Decide from a server's metrics whether it loaded its files."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._monitoring import loaded

START, RELOAD = 1000.5, 2000.123456
UNIT, CONFIG = "/etc/systemd/system/prometheus.service.d/50-pooled.conf", "/etc/prometheus/prometheus.yml"


def metrics(name: str = "prometheus", successful: int = 1, reload: float = RELOAD) -> str:
    """Return the part of a server's metrics that matters here."""
    return (
        "# TYPE process_start_time_seconds gauge\n"
        f"process_start_time_seconds {START}\n"
        f"{name}_config_last_reload_success_timestamp_seconds {reload:.9e}\n"
        f"{name}_config_last_reload_successful {successful}\n"
        'other_total{a="b"} 7\n'
    )


@pytest.mark.parametrize("name", ["prometheus", "alertmanager"])
@pytest.mark.parametrize(
    ("at_start", "at_reload", "wanted"),
    [
        ({}, {}, ""),
        ({UNIT: START - 1}, {CONFIG: RELOAD - 0.1}, ""),
        ({}, {CONFIG: RELOAD + 0.1}, "reload"),
        # The start time may be wrong by so much.
        ({UNIT: START + 1.9}, {}, ""),
        ({UNIT: START + 2.1}, {}, "restart"),
        ({UNIT: START + 3}, {CONFIG: RELOAD + 1}, "restart"),
    ],
)
def test_a_newer_file_needs_a_reload_or_a_restart(
    name: str, at_start: dict[str, float], at_reload: dict[str, float], wanted: str
) -> None:
    assert loaded.action(metrics(name), at_start, at_reload) == wanted


def test_a_refused_configuration_needs_a_reload() -> None:
    assert loaded.action(metrics(successful=0), {}, {}) == "reload"


def test_grafana_has_no_reload() -> None:
    text = f"process_start_time_seconds {START}\n"
    assert loaded.action(text, {"/etc/grafana/x.yml": START + 3}, {}) == "restart"
    assert loaded.action(text, {"/etc/grafana/x.yml": START + 1}, {}) == ""


class Server(http.server.ThreadingHTTPServer):
    """Serve metrics, and repeat the last ones."""

    answers: list[str]


class Answer(http.server.BaseHTTPRequestHandler):
    """Answer with the next metrics."""

    server: Server

    def do_GET(self) -> None:
        """Answer."""
        answers = self.server.answers
        text = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(200 if text else 503)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    """Return a server of metrics."""
    with Server(("127.0.0.1", 0), Answer) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


def described(server: Server, config: Path) -> list[dict[str, object]]:
    """Return the server in the form that the module takes."""
    url = f"http://127.0.0.1:{server.server_address[1]}/metrics"
    files = [str(config), str(config.with_name("missing"))]
    return [{"name": "prometheus", "url": url, "restart_on": [], "reload_on": files}]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a configuration that changed after the last reload."""
    path = tmp_path / "prometheus.yml"
    path.touch()
    os.utime(path, (RELOAD + 1, RELOAD + 1))
    return path


def test_wait_ends_when_the_server_answers_and_loaded_its_files(
    server: Server, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A proxy could not reach the host's own server.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server.answers = ["", metrics(), metrics(reload=RELOAD + 2)]
    assert loaded.wait(described(server, config), 10, 10) == []
    assert len(server.answers) == 1


def test_wait_returns_what_is_stale(server: Server, config: Path) -> None:
    server.answers = [metrics()]
    assert loaded.wait(described(server, config), 10, 0) == [{"name": "prometheus", "action": "reload"}]


def test_wait_fails_without_an_answer(server: Server, config: Path) -> None:
    server.answers = [""]
    with pytest.raises(loaded.LoadError, match=r"Failed to reach prometheus at .*503.*Look at its log"):
        loaded.wait(described(server, config), 0, 0)
