# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Prometheus scrapes, and what a change of its files takes. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._exporters.model import bracketed
from ansible_collections.pooled.postgres.plugins.module_utils._tls.model import probe_address

DEFAULT_PORTS = {"postgres": 9187, "pgbouncer": 9127, "node": 9100, "prometheus": 9090, "alertmanager": 9093}
EXPORTERS = ("postgres", "pgbouncer", "node")

# Job, address, port and labels of its own.
_Target = tuple[str, str, int, dict[str, str]]

# What each unit's server is configured by. Targets and secrets are read whenever they are needed.
_FILES = {
    "prometheus": (
        r"/etc/prometheus/(prometheus\.yml|rules/.*)|/etc/systemd/system/prometheus\.service\.d/.*"
    ),
    "prometheus-alertmanager": (
        r"/etc/prometheus/alertmanager\.yml|/etc/systemd/system/prometheus-alertmanager\.service\.d/.*"
    ),
    "grafana-server": (
        r"/etc/grafana/provisioning/(datasources|dashboards)/pooled\.yml"
        r"|/etc/systemd/system/grafana-server\.service\.d/.*"
    ),
}
# Those that a server reads as it starts; all others it reads at a reload, too.
_AT_START = ("/etc/systemd/", "/etc/grafana/")


def own_address(listened: str) -> str:
    """Return where a host reaches its own server, as before a port, by the address that one listens on."""
    return bracketed(probe_address(listened))


def is_loopback(address: str) -> bool:
    """Return whether nobody but the host itself reaches what listens on an address or name."""
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return address == "localhost"


def targets(
    hosts: Iterable[Mapping[str, Any]],
    stack: str,
    me: str,
    *,
    alertmanager: bool = False,
) -> list[dict[str, Any]]:
    """Return what the Prometheus of one host scrapes.

    Args:
        hosts: dictionaries with ``name``, ``address``, the ``groups`` that the host is in (``database``,
            ``monitoring``), of a database host the number of ``processes`` of its PgBouncer, and of a
            monitoring host the address that its Prometheus listens on (``listen_address``). Its ``ports`` are
            by job, where they are not the usual ones; PgBouncer's is that of its first process. ``tls`` says
            whether its exporters are asked over HTTPS.
        stack: name of the stack.
        me: name of the host that scrapes.
        alertmanager: whether the host that scrapes has an Alertmanager.

    Returns:
        Entries with ``job``, ``targets`` and ``labels``, sorted by job and host.

    Raises:
        ValueError: a host has no address, or a database host no PgBouncer process.
    """

    def scheme(job: str, host: Mapping[str, Any]) -> dict[str, str]:
        # Prometheus' own word for how a target is asked; it is no label of the series.
        return {"__scheme__": "https"} if host.get("tls") and job in EXPORTERS else {}

    found = []
    for host in sorted(hosts, key=lambda one: str(one["name"])):
        if not host.get("address"):
            raise ValueError(f"{host['name']} has no address (pooled_address)")
        at = {**DEFAULT_PORTS, **host.get("ports", {})}
        served = [*_database_targets(host, at), *_monitoring_targets(host, at, me, alertmanager)]
        if {"database", "monitoring"} & set(host["groups"]):
            served.append(("node", str(host["address"]), at["node"], {}))
        found += [
            {
                "job": job,
                "targets": [f"{bracketed(address)}:{port}"],
                "labels": {"stack": stack, "host": str(host["name"]), **labels, **scheme(job, host)},
            }
            for job, address, port, labels in served
        ]
    return sorted(found, key=lambda one: str(one["job"]))


def _database_targets(host: Mapping[str, Any], at: Mapping[str, int]) -> list[_Target]:
    """Return what a database host serves. Raises ValueError without a PgBouncer process."""
    if "database" not in host["groups"]:
        return []
    address, processes = str(host["address"]), int(host.get("processes") or 0)
    if processes < 1:
        raise ValueError(f"nobody knows how many PgBouncer processes {host['name']} has")
    poolers: list[_Target] = [
        ("pgbouncer", address, at["pgbouncer"] + number, {"process": str(number + 1)})
        for number in range(processes)
    ]
    return [("postgres", address, at["postgres"], {}), *poolers]


def _monitoring_targets(
    host: Mapping[str, Any], at: Mapping[str, int], me: str, alertmanager: bool
) -> list[_Target]:
    """Return what a monitoring host serves, as far as the host ``me`` reaches it."""
    if "monitoring" not in host["groups"]:
        return []
    listens, own = str(host.get("listen_address") or ""), host["name"] == me
    found: list[_Target] = []
    if not is_loopback(listens):
        found.append(("prometheus", str(host["address"]), at["prometheus"], {}))
    elif own:
        found.append(("prometheus", listens, at["prometheus"], {}))
    # It is always on loopback, where nobody but its own Prometheus finds it.
    if alertmanager and own:
        found.append(("alertmanager", "127.0.0.1", at["alertmanager"], {}))
    return found


def _metric(name: str, metrics: str) -> float:
    """Return the value of a metric without labels, 0 where there is none."""
    found = re.search(rf"(?m)^{name} (\S+)$", metrics)
    return float(found[1]) if found else 0.0


def turn(metrics: str, files: Iterable[Mapping[str, Any]], *, units_changed: bool = False) -> str:
    """Return what a running server takes to be what its files say, also after a run that broke off.

    Args:
        metrics: what the server (Prometheus, Alertmanager or Grafana) shows at ``/metrics``; empty where it
            does not answer.
        files: what it is configured by, with ``path`` and ``mtime`` in seconds.
        units_changed: whether this run changed any that it reads at its start only.

    Returns:
        ``restart``, ``reload``, or nothing.
    """
    if units_changed or not metrics:
        return "restart"
    # The kernel tells when it booted in whole seconds, and the start is counted from there.
    started = _metric("process_start_time_seconds", metrics) + 2
    loaded = _metric(r"\w+_config_last_reload_success_timestamp_seconds", metrics)
    # Where it refused what it was given, it goes on with the old.
    stale = re.search(r"(?m)^\w+_config_last_reload_successful 0$", metrics) is not None
    for file in files:
        if str(file["path"]).startswith(_AT_START):
            if file["mtime"] > started:
                return "restart"
        else:
            stale = stale or file["mtime"] > loaded
    return "reload" if stale else ""


def turns(
    asked: Iterable[Mapping[str, Any]],
    files: Iterable[Mapping[str, Any]],
    placed: Iterable[Mapping[str, Any]],
) -> dict[str, str]:
    """Return by unit what its server takes, see ``turn``.

    Args:
        asked: results of a loop over units, whose ``content`` is what the server shows at ``/metrics``.
        files: files that were found, of whatever unit.
        placed: results of a loop over units, ``changed`` where the unit was.
    """
    found, changed = list(files), {str(one["item"]) for one in placed if one.get("changed")}
    return {
        unit: turn(
            result.get("content") or "",
            [file for file in found if re.fullmatch(_FILES[unit], str(file["path"]))],
            units_changed=unit in changed,
        )
        for result in asked
        if (unit := str(result["item"]))
    }


def file_sd(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return targets as Prometheus' ``file_sd_configs`` read them.

    There the job is a label, which goes before the name of the scrape configuration.
    """
    return [
        {"targets": list(one["targets"]), "labels": {"job": one["job"], **(one.get("labels") or {})}}
        for one in entries
    ]


def target_rows(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the targets that Prometheus' ``/api/v1/targets`` lists.

    Returns:
        Rows with ``job``, ``host``, ``instance``, ``up`` and ``error``. A target that was not scraped yet
        is not up, and has no error.
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
