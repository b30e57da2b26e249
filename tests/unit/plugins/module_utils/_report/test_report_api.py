"""Prometheus asked over HTTP and over a Unix socket, and what is said where it does not answer."""

from __future__ import annotations

import json
import os
import stat
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._report import api
from ansible_collections.pooled.postgres.plugins.module_utils._report.errors import ReportError
from ansible_collections.pooled.postgres.plugins.module_utils._report.panels import Query, Series, Window

ROOT = Path(__file__).resolve().parents[5]
WINDOW = Window(1_800_000_000, 1_800_003_600, 15)
UP = {"labels": {"job": "node", "host": "db", "instance": "192.0.2.1:9100"}, "health": "up", "lastError": ""}

# Stands for ssh: listens where that would, and hands everything on to Prometheus' stand-in.
SSH = """\
#!{python}
import os, re, shutil, socket, sys, threading
if os.environ.get("FAKE_SSH_SAYS"):
    sys.exit(os.environ["FAKE_SSH_SAYS"])
near, _, far = sys.argv[sys.argv.index("-L") + 1].partition(":")
assert far == "[fd00::4]:9091", far
open(os.environ["FAKE_SSH_LOG"], "w").write(" ".join(sys.argv[1:]))
listening = socket.socket(socket.AF_UNIX)
listening.bind(near)
listening.listen()
def pump(source, sink):
    while data := source.recv(65536):
        sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)
while True:
    client = listening.accept()[0]
    server = socket.create_connection(("127.0.0.1", int(os.environ["FAKE_PROMETHEUS"])))
    for pair in ((client, server), (server, client)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
"""


class Fake:
    """What stands for Prometheus: its answers by path, and what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.says("targets", {"activeTargets": [UP]})
        self.says("alerts", {"alerts": []})
        self.says("query", {"resultType": "vector", "result": [{"metric": {}, "value": [1, "1"]}]})
        self.says("query_range", {"resultType": "matrix", "result": []})

    def says(self, path: str, data: Any) -> None:
        self.answers[path] = (200, {"status": "success", "data": data})


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    """Return a stand-in for Prometheus that answers at FAKE_PROMETHEUS, a port of loopback."""
    prometheus = Fake()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            name = parts.path.removeprefix("/api/v1/")
            prometheus.asked.append((name, {key: one for key, (one, *_) in parse_qs(parts.query).items()}))
            code, document = prometheus.answers[name]
            body = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("FAKE_PROMETHEUS", str(server.server_port))
    yield prometheus
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def prometheus(fake: Fake) -> api.Prometheus:
    """Return the client of the stand-in."""
    return api.Prometheus(f"127.0.0.1:{os.environ['FAKE_PROMETHEUS']}")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the state of a target that is up, with an ssh that leads to the stand-in."""
    (tmp_path / "bin").mkdir()
    ssh = tmp_path / "bin/ssh"
    ssh.write_text(SSH.format(python=sys.executable))
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SSH_LOG", str(tmp_path / "ssh.log"))
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "outputs.json").write_text('{"monitoring": "watcher", "prometheus": "[fd00::4]:9091"}')
    return folder


# ------------------------------------------------------------------------------------------------ queries


def test_a_query_of_a_moment_and_one_over_time(fake: Fake, prometheus: api.Prometheus) -> None:
    fake.says(
        "query_range",
        {"resultType": "matrix", "result": [{"metric": {"host": "db"}, "values": [[1, "2"], [2, "NaN"]]}]},
    )
    over_time = Query("d", "p", "A", 'up{host=~"$host"}')
    moment = Query("d", "p", "B", "up", instant=True)
    answers = prometheus.ask_all([over_time, moment], WINDOW, {"host": "db"})
    assert answers[moment] == [Series({}, [(1.0, 1.0)])]
    (found,) = answers[over_time]
    assert (found.labels, found.points[0]) == ({"host": "db"}, (1.0, 2.0))
    assert fake.asked == [
        (
            "query_range",
            {"query": 'up{host=~"db"}', "start": "1800000000", "end": "1800003600", "step": "15"},
        ),
        ("query", {"query": "up", "time": "1800003600"}),
    ]


def test_a_scalar_is_a_series_without_labels(fake: Fake, prometheus: api.Prometheus) -> None:
    fake.says("query", {"resultType": "scalar", "result": [5, "7"]})
    assert prometheus.ask(Query("d", "p", "A", "7", instant=True), WINDOW) == [Series({}, [(5.0, 7.0)])]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((400, {"status": "error", "error": "parse error: no"}), r"parse error: no \[d: p \(A\)\]"),
        ((502, b"<html>"), r"is not Prometheus \(HTTP 502\) \[d: p \(A\)\]"),
        ((200, b"<html>"), "is not Prometheus"),
        ((200, {"hello": "world"}), "is not Prometheus"),
        ((200, []), "is not Prometheus"),
    ],
)
def test_what_is_no_answer(
    fake: Fake, prometheus: api.Prometheus, answer: tuple[int, Any], says: str
) -> None:
    fake.answers["query_range"] = answer
    with pytest.raises(ReportError, match=says):
        prometheus.ask(Query("d", "p", "A", "up"), WINDOW)


def test_nobody_there() -> None:
    with pytest.raises(ReportError, match=r"does not answer \(.*refused.*systemctl status prometheus"):
        api.Prometheus("127.0.0.1:9").get("targets")


@pytest.mark.parametrize(
    ("targets", "says"), [([], "no targets"), ([UP | {"health": "unknown"}], "not ended")]
)
def test_nothing_scraped_yet(fake: Fake, prometheus: api.Prometheus, targets: list[Any], says: str) -> None:
    fake.says("targets", {"activeTargets": targets})
    with pytest.raises(ReportError, match=f"read the targets of Prometheus: .*{says}.*again"):
        api.findings(prometheus)


# ------------------------------------------------------------------------------------------- the whole way


def test_the_page_is_written_through_ssh_for_its_owner_alone(fake: Fake, state: Path) -> None:
    (state / "report.html").write_text("of yesterday")
    path = api.write(ROOT, state, "lab", 600)
    assert path == state / "report.html"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text(encoding="utf-8")
    assert "Pooled Postgres on lab" in text
    assert "1 of 1 scrape target up" in text
    called = Path(os.environ["FAKE_SSH_LOG"]).read_text()
    assert called.startswith(f"-F {state}/ssh_config -o BatchMode=yes -o ExitOnForwardFailure=yes")
    assert called.endswith(" watcher")
    (span,) = {float(one["end"]) - float(one["start"]) for name, one in fake.asked if name == "query_range"}
    assert span == 600


def test_ssh_that_does_not_get_there(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_SSH_SAYS", "debug\nadmin@watcher: Permission denied (publickey).")
    with pytest.raises(ReportError, match=r"reach watcher over SSH: admin@watcher: Permission denied"):
        api.write(ROOT, state, "lab", 600)
    assert not (state / "report.html").exists()


@pytest.mark.parametrize("outputs", [None, "{", "{}"])
def test_outputs_without_a_monitoring_host(state: Path, outputs: str | None) -> None:
    if outputs is None:
        (state / "outputs.json").unlink()
    else:
        (state / "outputs.json").write_text(outputs)
    with pytest.raises(
        ReportError, match=r"monitoring host of lab: .*Run `python runner.py up --target lab`"
    ):
        api.write(ROOT, state, "lab", 600)


@pytest.mark.parametrize("text", [None, "no JSON"])
def test_dashboards_that_are_not_there(tmp_path: Path, text: str | None) -> None:
    if text:
        (tmp_path / "pooling.json").write_text(text)
    with pytest.raises(ReportError, match=r"pooling\.json"):
        api.boards(tmp_path)


def test_check_asks_every_query_and_says_which_are_empty(fake: Fake, prometheus: api.Prometheus) -> None:
    document = {
        "uid": "d",
        "title": "D",
        "panels": [
            {"type": "timeseries", "title": "Empty", "targets": [{"refId": "A", "expr": "x"}]},
            {"type": "stat", "title": "Full", "targets": [{"refId": "A", "expr": "y", "instant": True}]},
        ],
    }
    found = api.check(prometheus, [document], [], WINDOW)
    assert [str(query) for query in found.missing] == ["d: Empty (A)"]
    exceptions = [{"dashboard": "d", "panel": panel, "reason": "-"} for panel in ("Empty", "Full")]
    found = api.check(prometheus, [document], exceptions, WINDOW)
    assert (list(found.missing), list(found.stale)) == ([], ["d: Full (all): A has data"])
