# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The status of a site: its services, pools and scrape targets."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._host import look, systemd
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import console
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.errors import ConsoleError

ACCOUNT = "pgbouncer"
_PROCESS = re.compile(r"pgbouncer@(\d+)\.service")
_TIMEOUT_SECONDS = 10

# Services of a database host, by their units.
_SERVICES = {"postgresql": r"postgresql@\d+-main\.service", "pgbouncer": _PROCESS.pattern}
# Services of a monitoring host, with units and packages. All but Prometheus are optional.
_WATCHERS = {
    "prometheus": ("prometheus.service", "prometheus"),
    "alertmanager": ("prometheus-alertmanager.service", "prometheus-alertmanager"),
    "grafana": ("grafana-server.service", "grafana"),
}
_UNITS = ("postgresql@*-main", "pgbouncer@*", *(unit for unit, _package in _WATCHERS.values()))
_PACKAGES = ("postgresql-[0-9]*", "pgbouncer", *(package for _unit, package in _WATCHERS.values()))


def gather(run: systemd.Run, pgbouncer_port: int | None, prometheus: str | None) -> dict[str, Any]:
    """Return what one host runs.

    Args:
        run: runs a command and returns its code, output and errors.
        pgbouncer_port: the port of PgBouncer's sockets; None skips the pools.
        prometheus: the URL of Prometheus; None skips the targets.

    Returns:
        ``units`` (name to state and enabled), ``packages`` (name to version), ``pools`` (rows of SHOW POOLS
        with ``process``), ``targets`` (None if Prometheus does not answer) and ``errors``.
    """
    units = {
        name: {"state": state(unit), "enabled": unit["enabled"]}
        for name, unit in systemd.show(run, _UNITS).items()
        if unit["load"] == "loaded"
    }
    query = ["dpkg-query", "--show", "--showformat=${Package}\t${Status}\t${Version}\n", *_PACKAGES]
    found: dict[str, Any] = {"units": units, "packages": look.installed_versions(run(query)[1])}
    found |= {"pools": [], "targets": None, "errors": []}
    for name in sorted(units) if pgbouncer_port else ():
        process = _PROCESS.fullmatch(name)
        if not process or units[name]["state"] != "running":
            continue
        try:
            with _account():
                rows = console.show("SHOW POOLS", f"/run/pgbouncer/{process[1]}", pgbouncer_port or 0)
        except ConsoleError as error:
            units[name]["state"] = "not answering"
            found["errors"].append(str(error))
        else:
            found["pools"] += [{"process": int(process[1]), **row} for row in rows]
    if prometheus:
        try:
            found["targets"] = target_rows(_read(f"{prometheus}/api/v1/targets?state=active"))
        except (OSError, ValueError) as error:
            found["errors"].append(f"Failed to query Prometheus at {prometheus}: {error}.")
    return found


def state(unit: Mapping[str, Any]) -> str:
    """Return a unit's state in one word."""
    if unit["active"] == "active":
        return str(unit["sub"])
    return "stopped" if unit["active"] == "inactive" else str(unit["active"])


def target_rows(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the scrape targets of Prometheus' ``/api/v1/targets``.

    Returns:
        Rows with ``job``, ``host``, ``instance``, ``up`` and ``error``. A target that Prometheus has not
        scraped yet is not up and has no error.
    """
    rows = [
        {
            "job": target["labels"].get("job", ""),
            "host": target["labels"].get("host", ""),
            "instance": target["labels"].get("instance", ""),
            "up": target.get("health") == "up",
            "error": target.get("lastError", ""),
        }
        for target in answer.get("data", {}).get("activeTargets", [])
    ]
    return sorted(rows, key=lambda row: (row["job"], row["instance"]))


def site_status(
    outputs: Mapping[str, Any],
    database: Mapping[str, Mapping[str, Any]],
    monitoring: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return what runs where, and whether all of it does.

    Args:
        outputs: ``hosts`` and ``endpoints`` of the site.
        database: the result of ``gather`` by database host; empty for a host that did not answer.
        monitoring: the same by monitoring host.

    Returns:
        The document. The site is ``healthy`` if every service runs and no target has an error.
    """
    services = [one for host, found in sorted(database.items()) for one in _serving(host, found)]
    services += [one for host, found in sorted(monitoring.items()) for one in _watching(host, found)]
    targets = [row for _host, found in sorted(monitoring.items()) for row in found.get("targets") or []]
    running = bool(services) and all(service["state"] == "running" for service in services)
    return {
        "hosts": outputs["hosts"],
        "services": services,
        "pools": [
            {"host": h, **row} for h, found in sorted(database.items()) for row in found.get("pools", [])
        ],
        "targets": targets,
        "endpoints": outputs["endpoints"],
        "healthy": running and not any(target["error"] for target in targets),
    }


def _serving(host: str, found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the services of a database host."""
    for name, pattern in _SERVICES.items():
        units = {
            unit: one for unit, one in sorted(found.get("units", {}).items()) if re.fullmatch(pattern, unit)
        }
        states = [one["state"] for one in units.values()] or ["unknown"]
        package = re.sub(r"^postgresql@(\d+)-.*", r"postgresql-\1", next(iter(units), "")).split("@")[0]
        # Of several processes, the first that does not run.
        state_ = next((one for one in states if one != "running"), "running")
        yield {"host": host, "name": name, "state": state_, "version": found.get("packages", {}).get(package)}


def _watching(host: str, found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the services of a monitoring host: Prometheus, and the others that are installed and enabled."""
    for name, (unit, package) in _WATCHERS.items():
        known = found.get("units", {}).get(unit, {})
        version = found.get("packages", {}).get(package)
        state_ = known.get("state", "unknown")
        if name == "prometheus":
            # One in a container has no unit, or the unit of the package is stopped.
            answers = found.get("targets") is not None
            state_ = "running" if answers else "not answering" if state_ == "running" else state_
        elif not version or known.get("enabled") in ("disabled", "masked"):
            continue
        yield {"host": host, "name": name, "state": state_, "version": version}


@contextlib.contextmanager
def _account() -> Iterator[None]:
    """Be the account pgbouncer, which the console accepts as its administrator, if this process is root."""
    before = os.geteuid()
    try:
        os.seteuid(pwd.getpwnam(ACCOUNT).pw_uid)
    except (KeyError, OSError) as error:
        raise ConsoleError(f"Failed to become the account {ACCOUNT}: {error}") from error
    try:
        yield
    finally:
        os.seteuid(before)


def _read(url: str, opener: Callable[..., Any] | None = None) -> Any:
    # A proxy can't reach the host's own addresses.
    opener = opener or urllib.request.build_opener(urllib.request.ProxyHandler({})).open
    with opener(url, timeout=_TIMEOUT_SECONDS) as answer:
        return json.load(answer)
