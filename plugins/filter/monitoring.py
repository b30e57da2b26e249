# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters of the role monitoring and of the site's playbooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.pooled.postgres.plugins.module_utils._monitoring import model

# Variables of a host that give a job another port.
PORTS = {
    "postgres": "exporters_postgres_port",
    "pgbouncer": "exporters_pgbouncer_port",
    "node": "exporters_node_port",
    "prometheus": "monitoring_prometheus_port",
}


def processes(host: Mapping[str, Any]) -> int:
    """Return the number of a host's PgBouncer processes, 0 if it is unknown.

    That is an input if one is given and not 0, else the result of this run's plan of PgBouncer.
    """
    planned = (host.get("__pgbouncer") or {}).get("process_count")
    given = host.get("exporters_pgbouncer_processes") or planned or host.get("pgbouncer_processes")
    return int(given or 0)


def monitoring_targets(
    hosts: Iterable[Mapping[str, Any]], stack: str, me: str, **how: Any
) -> list[dict[str, Any]]:
    """Return what the Prometheus of the host ``me`` scrapes, from the variables of hosts; see the model."""
    described = [
        {
            "name": host["inventory_hostname"],
            "address": host.get("pooled_address"),
            "groups": list(host["group_names"]),
            "processes": processes(host),
            "listen_address": host.get("monitoring_listen_address") or "127.0.0.1",
            "ports": {job: int(host[name]) for job, name in PORTS.items() if host.get(name)},
            "tls": boolean(host.get("exporters_tls", False)),
        }
        for host in hosts
    ]
    return model.targets(described, stack, me, **how)


class FilterModule:
    """Filters of the role monitoring."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "monitoring_own_address": model.own_address,
            "monitoring_targets": monitoring_targets,
        }
