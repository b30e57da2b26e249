# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Query Prometheus over HTTP, through SSH because it listens only on its host's loopback."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from ansible_collections.pooled.postgres.plugins.module_utils._report import render
from ansible_collections.pooled.postgres.plugins.module_utils._report.coverage import Coverage, coverage
from ansible_collections.pooled.postgres.plugins.module_utils._report.errors import ReportError
from ansible_collections.pooled.postgres.plugins.module_utils._report.page import (
    Findings,
    board_section,
    page,
)
from ansible_collections.pooled.postgres.plugins.module_utils._report.panels import (
    Board,
    Query,
    Series,
    Window,
    all_queries,
    fill,
    read,
    scrape_seconds,
)

SECONDS_TO_ANSWER = 30
SECONDS_TO_CONNECT = 30
# Prometheus' default address.
USUAL = "127.0.0.1:9090"


class _ThroughSocket(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=SECONDS_TO_ANSWER)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Prometheus:
    """Prometheus' HTTP API (https://prometheus.io/docs/prometheus/latest/querying/api/).

    Args:
        where: its address and port, such as ``127.0.0.1:9090``, or the path of a forwarded Unix socket.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        # One connection for all queries; http.client opens it again if the server closed it.
        if where.startswith("/"):
            self._connection: http.client.HTTPConnection = _ThroughSocket(where)
        else:
            self._connection = http.client.HTTPConnection(where, timeout=SECONDS_TO_ANSWER)

    def get(self, path: str, **parameters: str | float) -> Any:
        """Return the ``data`` of an answer. Raises ReportError without one."""
        try:
            self._connection.request("GET", f"/api/v1/{path}?{urlencode(parameters)}")
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            advice = "Run `systemctl status prometheus` on the monitoring host."
            cause = str(error) or type(error).__name__
            raise ReportError(f"Failed to query Prometheus: it does not answer ({cause}). {advice}") from None
        try:
            document = json.loads(content)
            if document["status"] == "success":
                return document["data"]
            said = str(document["error"])
        except (ValueError, TypeError, KeyError):
            said = f"{self._where} is not Prometheus (HTTP {answer.status})"
        raise ReportError(f"Failed to query Prometheus: {said}")

    def ask(
        self, query: Query, window: Window, values: Mapping[str, str | Sequence[str]] | None = None
    ) -> list[Series]:
        """Return the series of a query over the window, or at its end for an instant query.

        Raises:
            ReportError: Prometheus refuses the query, with its reason, or does not answer.
        """
        expr = fill(query.expr, window, values)
        try:
            if query.instant:
                found = self.get("query", query=expr, time=window.end)
            else:
                span = {"start": window.start, "end": window.end, "step": window.step}
                found = self.get("query_range", query=expr, **span)
        except ReportError as error:
            raise ReportError(f"{error} [{query}]") from None
        if found["resultType"] == "scalar":
            return [Series({}, [_point(found["result"])])]
        return [
            Series(one["metric"], [_point(pair) for pair in one.get("values") or [one["value"]]])
            for one in found["result"]
        ]

    def ask_all(
        self,
        queries: Iterable[Query],
        window: Window,
        values: Mapping[str, str | Sequence[str]] | None = None,
    ) -> dict[Query, list[Series]]:
        """Return the series of each query."""
        return {query: self.ask(query, window, values) for query in queries}


def _point(pair: Sequence[Any]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])


@contextlib.contextmanager
def forwarded(ssh_config: Path, host: str, where: str = USUAL) -> Iterator[Prometheus]:
    """Forward a Prometheus through SSH.

    The local end is a Unix socket in a private directory, which other users cannot reach.

    Args:
        ssh_config: file that defines ``host``.
        host: the monitoring host.
        where: address and port of Prometheus, as seen from the host.

    Raises:
        ReportError: SSH fails.
    """
    with tempfile.TemporaryDirectory(prefix="pooled-report-") as folder:
        near = Path(folder) / "prometheus"
        options = ("BatchMode=yes", "ExitOnForwardFailure=yes", f"ConnectTimeout={SECONDS_TO_CONNECT}")
        command = ["ssh", "-F", str(ssh_config), *(part for one in options for part in ("-o", one))]
        command += ["-N", "-L", f"{near}:{where}", host]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                _wait_for(near, process, host)
                yield Prometheus(str(near))
            finally:
                process.terminate()


def _wait_for(near: Path, process: subprocess.Popen[str], host: str) -> None:
    """Wait until SSH listens. Raises ReportError if it ends or takes too long."""
    deadline = time.monotonic() + 2 * SECONDS_TO_CONNECT
    while not near.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            lines = process.communicate()[1].strip().splitlines()
            raise ReportError(f"Failed to reach {host} over SSH: {lines[-1] if lines else 'no answer'}")
        time.sleep(0.05)


def boards(
    folder: Path, names: Iterable[str] = ("pooling", "postgresql", "hosts", "benchmark")
) -> list[Board]:
    """Read dashboards from a directory. Raises ReportError if one is missing or not JSON."""
    found = []
    for name in names:
        path = folder / f"{name}.json"
        try:
            found.append(read(json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError) as error:
            raise ReportError(f"Failed to read the dashboard {path}: {error}") from None
    return found


def findings(prometheus: Prometheus) -> Findings:
    """Return Prometheus' targets and alerts. Raises ReportError before the first scrape."""
    targets = prometheus.get("targets", state="active")["activeTargets"]
    if not any(target["health"] != "unknown" for target in targets):
        what = "its first scrape has not ended" if targets else "it has no targets"
        raise ReportError(f"Failed to read the targets of Prometheus: {what}. Try again in half a minute.")
    return Findings(targets, prometheus.get("alerts")["alerts"])


def report(prometheus: Prometheus, folder: Path, title: str, start: float, end: float) -> str:
    """Return the page of all dashboards. Raises ReportError.

    Args:
        prometheus: the server.
        folder: directory of the dashboards' JSON.
        title: of the page.
        start: of the charts, in seconds since 1970.
        end: of the charts.
    """
    found = findings(prometheus)
    window = Window.of(start, end, scrape=scrape_seconds(found.targets))
    all_boards = boards(folder)
    answers = prometheus.ask_all(all_queries(all_boards), window)
    return page(title, all_boards, answers, found, window)


DASHBOARDS = "roles/monitoring/files/dashboards"


@contextlib.contextmanager
def prometheus_of(state: Path, target: str) -> Iterator[Prometheus]:
    """Forward the Prometheus of a target.

    Args:
        state: directory of the target, with ``outputs.json`` and ``ssh_config``.
        target: its name.

    Raises:
        ReportError: the target has no Prometheus, or SSH fails.
    """
    try:
        outputs = json.loads((state / "outputs.json").read_text(encoding="utf-8"))
        host, where = outputs["monitoring"], outputs["prometheus"]
    except (OSError, ValueError, KeyError) as error:
        advice = f"Run `python runner.py up --target {target}`."
        raise ReportError(f"Failed to find the monitoring host of {target}: {error!r}. {advice}") from None
    with forwarded(state / "ssh_config", host, where) as prometheus:
        yield prometheus


def section(root: Path, state: Path, target: str, name: str, span: tuple[float, float]) -> str:
    """Return one dashboard as HTML for another page.

    Args:
        root: the collection's directory.
        state: see ``prometheus_of``.
        target: its name.
        name: of the dashboard.
        span: start and end of its charts, in seconds since 1970.

    Raises:
        ReportError: Prometheus or a dashboard cannot be read.
    """
    [board] = boards(root / DASHBOARDS, [name])
    with prometheus_of(state, target) as prometheus:
        window = Window.of(*span, scrape=scrape_seconds(findings(prometheus).targets))
        answers = prometheus.ask_all(all_queries([board]), window)
    return render.section_html(board_section(board, answers, window))


def write(root: Path, state: Path, target: str, since: int) -> Path:
    """Write the page of a target's dashboards, and return its path.

    Args:
        root: the checkout.
        state: see ``prometheus_of``.
        target: its name.
        since: seconds of the charts.

    Raises:
        ReportError: Prometheus or a dashboard cannot be read, or the page cannot be written.
    """
    now = time.time()
    with prometheus_of(state, target) as prometheus:
        title = f"Pooled Postgres on {target}"
        text = report(prometheus, root / DASHBOARDS, title, now - since, now)
    path = state / "report.html"
    try:
        # Only the owner may see statements, users and hosts.
        path.unlink(missing_ok=True)
        with os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(text)
    except OSError as error:
        raise ReportError(f"Failed to write {path}: {error.strerror}") from None
    return path


def check(
    prometheus: Prometheus,
    documents: Iterable[Mapping[str, Any]],
    exceptions: Iterable[Mapping[str, str]],
    window: Window,
    values: Mapping[str, str | Sequence[str]] | None = None,
) -> Coverage:
    """Run every query of dashboards, and return those without data, and stale exceptions.

    Args:
        prometheus: the server.
        documents: the dashboards' JSON.
        exceptions: queries that cannot have data here, see ``coverage.coverage``.
        window: the time that must have data.
        values: of the variables; all by default.

    Raises:
        ReportError: Prometheus refuses a query, or does not answer.
    """
    queries = all_queries(read(document) for document in documents)
    return coverage(queries, prometheus.ask_all(queries, window, values), exceptions)
