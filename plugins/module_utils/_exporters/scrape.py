# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Scrape the exporters of a host until each reports its target."""

from __future__ import annotations

import base64
import http.client
import re
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

_PAUSE = 0.2
_TIMEOUT = 10


class Way(NamedTuple):
    """How Prometheus reaches the exporters of a host; ``context`` is None without TLS."""

    address: str
    context: ssl.SSLContext | None
    user: str | None
    password: str | None


def tls_context(ca_path: str | None) -> ssl.SSLContext:
    """Return the context of a client, which verifies nothing without a CA."""
    if ca_path:
        return ssl.create_default_context(cafile=ca_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def get(way: Way, port: int) -> tuple[int, str]:
    """Return the status and the text of a scrape. Raises OSError and HTTPException."""
    connection = (
        http.client.HTTPSConnection(way.address, port, timeout=_TIMEOUT, context=way.context)
        if way.context
        else http.client.HTTPConnection(way.address, port, timeout=_TIMEOUT)
    )
    headers = {}
    if way.user is not None:
        login = f"{way.user}:{way.password or ''}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(login).decode()}"
    try:
        connection.request("GET", "/metrics", headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", errors="replace")
    finally:
        connection.close()


def cause(exporter: Mapping[str, Any], status: int, text: str, refused: bool) -> str:
    """Return what is wrong with an answer, empty if nothing is."""
    wanted = 401 if refused else 200
    if status != wanted:
        return f"it answers with HTTP status {status}, not {wanted}"
    if not refused and not re.search(f"(?m)^{exporter['sample']}$", text):
        return f"it does not report {exporter['sample']}"
    return ""


def wait(exporter: Mapping[str, Any], way: Way, refused: bool, seconds: float) -> str:
    """Scrape until the exporter reports its target; return the last cause, empty on success."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            problem = cause(exporter, *get(way, exporter["port"]), refused)
        except (OSError, http.client.HTTPException) as error:
            problem = f"it does not answer: {error}"
        if not problem or time.monotonic() >= deadline:
            return problem
        time.sleep(_PAUSE)


def wait_for_all(
    exporters: Sequence[Mapping[str, Any]],
    one: Callable[[Mapping[str, Any]], str],
) -> list[str]:
    """Wait for all exporters at the same time; return one sentence for each that fails."""
    with ThreadPoolExecutor(max_workers=max(len(exporters), 1)) as pool:
        causes = list(pool.map(one, exporters))
    return [
        f"{exporter['name']} on port {exporter['port']}: {problem}. {exporter['hint']}"
        for exporter, problem in zip(exporters, causes)  # noqa: B905 - Python 3.9 of a host has no strict
        if problem
    ]
