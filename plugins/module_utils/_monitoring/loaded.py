# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decide from a server's own metrics whether it loaded the files on its host."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# The kernel reports its boot time in whole seconds, and the start of a process is counted from there.
_START_ERROR = 2


class LoadError(Exception):
    """A server does not answer; the text is for the user."""


def _metric(name: str, metrics: str) -> float:
    """Return the value of a metric without labels, 0 if there is none."""
    found = re.search(rf"(?m)^{name} (\S+)$", metrics)
    return float(found[1]) if found else 0.0


def action(metrics: str, at_start: Mapping[str, float], at_reload: Mapping[str, float]) -> str:
    """Return what a server needs to load its files: ``restart``, ``reload`` or nothing.

    Args:
        metrics: what Prometheus, Alertmanager or Grafana shows at ``/metrics``.
        at_start: modification times, as Unix time, of the files that the server reads at its start only.
        at_reload: the same of the files that it reads at a reload, too.
    """
    started = _metric("process_start_time_seconds", metrics) + _START_ERROR
    if any(modified > started for modified in at_start.values()):
        return "restart"
    loaded = _metric(r"\w+_config_last_reload_success_timestamp_seconds", metrics)
    # A server that refuses a configuration keeps the old one.
    refused = re.search(r"(?m)^\w+_config_last_reload_successful 0$", metrics)
    return "reload" if refused or any(modified > loaded for modified in at_reload.values()) else ""


def modified(paths: Iterable[str]) -> dict[str, float]:
    """Return the modification time of each path that exists."""
    return {path: Path(path).stat().st_mtime for path in paths if Path(path).exists()}


def look(server: Mapping[str, Any]) -> str:
    """Ask one server and return its ``action``. Raises OSError if it does not answer."""
    # Never through a proxy: the server is on this host.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(server["url"], timeout=5) as answer:
        metrics = answer.read().decode("utf-8", errors="replace")
    return action(metrics, modified(server["restart_on"]), modified(server["reload_on"]))


def wait(
    servers: Iterable[Mapping[str, Any]], answer_timeout: float, load_timeout: float
) -> list[dict[str, str]]:
    """Wait until all servers loaded their files.

    Args:
        servers: dictionaries with ``name``, ``url``, ``restart_on`` and ``reload_on``.
        answer_timeout: seconds until each must answer.
        load_timeout: seconds until each should have loaded its files.

    Returns:
        ``name`` and ``action`` of each server that has not.

    Raises:
        LoadError: a server does not answer.
    """
    began, stale = time.monotonic(), []
    for server in servers:
        while True:
            waited = time.monotonic() - began
            try:
                needed = look(server)
            except (OSError, urllib.error.URLError) as error:
                if waited > answer_timeout:
                    raise LoadError(
                        f"Failed to reach {server['name']} at {server['url']}: {error}. Look at its log."
                    ) from error
            else:
                if not needed or waited > load_timeout:
                    break
            time.sleep(0.2)
        if needed:
            stale.append({"name": str(server["name"]), "action": needed})
    return stale
