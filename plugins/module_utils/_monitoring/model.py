# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Name the scrape targets of an inventory, and read those of a running Prometheus. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._exporters.model import bracketed
from ansible_collections.pooled.postgres.plugins.module_utils._tls.model import probe_address

DEFAULT_PORTS = {"postgres": 9187, "pgbouncer": 9127, "node": 9100, "prometheus": 9090, "alertmanager": 9093}
EXPORTERS = ("postgres", "pgbouncer", "node")

# Job, address, port and further labels.
_Target = tuple[str, str, int, dict[str, str]]


def own_address(listened: str) -> str:
    """Return the address at which a host reaches its own server, from its listen address."""
    return bracketed(probe_address(listened))


def is_loopback(address: str) -> bool:
    """Return whether only the host itself reaches a server that listens on an address or name."""
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
        hosts: dictionaries with ``name``, ``address`` and ``groups`` (``database``, ``monitoring``). A
            database host has the number of ``processes`` of its PgBouncer, a monitoring host the address on
            which its Prometheus listens (``listen_address``). ``ports`` has other ports than the default ones
            by job; for PgBouncer that of its first process. ``tls`` says whether the exporters speak HTTPS.
        stack: name of the stack.
        me: name of the host that scrapes.
        alertmanager: whether the host that scrapes has an Alertmanager.

    Returns:
        Entries with ``job``, ``targets`` and ``labels``, sorted by job and host. ``targets`` is empty if the
        address or the number of processes is unknown; the plan of the role refuses such an entry.
    """

    def scheme(job: str, host: Mapping[str, Any]) -> dict[str, str]:
        # Prometheus reads the scheme from this label, and drops it from the series.
        return {"__scheme__": "https"} if host.get("tls") and job in EXPORTERS else {}

    found = []
    for host in sorted(hosts, key=lambda one: str(one["name"])):
        at = {**DEFAULT_PORTS, **host.get("ports", {})}
        served = [*_database_targets(host, at), *_monitoring_targets(host, at, me, alertmanager)]
        if {"database", "monitoring"} & set(host["groups"]):
            served.append(("node", _address(host), at["node"], {}))
        found += [
            {
                "job": job,
                "targets": [f"{bracketed(address)}:{port}"] if address and port else [],
                "labels": {"stack": stack, "host": str(host["name"]), **labels, **scheme(job, host)},
            }
            for job, address, port, labels in served
        ]
    return sorted(found, key=lambda one: str(one["job"]))


def _address(host: Mapping[str, Any]) -> str:
    return str(host.get("address") or "")


def _database_targets(host: Mapping[str, Any], at: Mapping[str, int]) -> list[_Target]:
    """Return what a database host serves, with one PgBouncer on port 0 if their number is unknown."""
    if "database" not in host["groups"]:
        return []
    address, processes = _address(host), int(host.get("processes") or 0)
    poolers: list[_Target] = [
        ("pgbouncer", address, at["pgbouncer"] + number, {"process": str(number + 1)})
        for number in range(processes)
    ] or [("pgbouncer", address, 0, {})]
    return [("postgres", address, at["postgres"], {}), *poolers]


def _monitoring_targets(
    host: Mapping[str, Any], at: Mapping[str, int], me: str, alertmanager: bool
) -> list[_Target]:
    """Return what a monitoring host serves and the host ``me`` can reach."""
    if "monitoring" not in host["groups"]:
        return []
    listens, own = str(host.get("listen_address") or ""), host["name"] == me
    found: list[_Target] = []
    if not is_loopback(listens):
        found.append(("prometheus", _address(host), at["prometheus"], {}))
    elif own:
        found.append(("prometheus", listens, at["prometheus"], {}))
    # Alertmanager listens on loopback only.
    if alertmanager and own:
        found.append(("alertmanager", "127.0.0.1", at["alertmanager"], {}))
    return found
