# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters of the role monitoring: its thinking, outside of Jinja."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.pooled.postgres.plugins.module_utils._monitoring import model

# Inputs of the hosts that say where a job is, if it is elsewhere than usual.
PORTS = {
    "postgres": "exporters_postgres_port",
    "pgbouncer": "exporters_pgbouncer_port",
    "node": "exporters_node_port",
    "prometheus": "monitoring_prometheus_port",
}


def monitoring_targets(
    hosts: Iterable[Mapping[str, Any]], stack: str, me: str, **how: Any
) -> list[dict[str, Any]]:
    """Return what the Prometheus of the host ``me`` scrapes, from the variables of hosts; see the model.

    The number of PgBouncer's processes is an input's, where one is given and not 0; else that of the
    configurations that the playbook has found on the host.
    """

    def processes(host: Mapping[str, Any]) -> int:
        given = host.get("exporters_pgbouncer_processes") or host.get("pgbouncer_processes") or 0
        # None are found where PgBouncer is yet to come, in check mode; it has at least one.
        return int(given) or max(int((host.get("__monitoring_process_files") or {}).get("matched", 0)), 1)

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
    try:
        return model.targets(described, stack, me, **how)
    except ValueError as exc:
        raise AnsibleFilterError(f"Failed to name the scrape targets: {exc}") from exc


class FilterModule:
    """Filters of the role monitoring."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "monitoring_file_sd": model.file_sd,
            "monitoring_own_address": model.own_address,
            "monitoring_target_rows": model.target_rows,
            "monitoring_targets": monitoring_targets,
            "monitoring_turns": model.turns,
        }
