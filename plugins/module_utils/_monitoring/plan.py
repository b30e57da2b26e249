# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan Prometheus, Alertmanager and Grafana of a monitoring host. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._monitoring import files
from ansible_collections.pooled.postgres.plugins.module_utils._monitoring.inputs import (
    Inputs,
    alerting,
    complete_targets,
    host_problems,
    in_containers,
    problems,
)


def packages(inputs: Inputs) -> list[str]:
    """Return the distribution's packages that the servers need."""
    if in_containers(inputs):
        return ["docker.io", "docker-cli", "docker-compose"]
    # The packages have the names of their units.
    return files.units(inputs)


def look(inputs: Inputs) -> dict[str, Any]:
    """Return the arguments of host_info."""
    return {
        "packages": packages(inputs),
        "paths": [
            "/etc/prometheus/rules/*.yml",
            "/etc/systemd/system/prometheus.service.d/*.conf",
            "/etc/systemd/system/prometheus-alertmanager.service.d/*.conf",
            "/etc/systemd/system/grafana-server.service.d/*.conf",
            files.GRAFANA_UNIT,
            files.GRAFANA_RESET,
        ],
        "contents": [files.TARGETS, "/etc/passwd"],
    }


def account_ids(passwd: str) -> str:
    """Return user and group of Prometheus' account as ``uid:gid``, empty if the host has none."""
    found = re.search(rf"(?m)^{files.ACCOUNT}:[^:]*:(\d+):(\d+):", passwd)
    return f"{found[1]}:{found[2]}" if found else ""


def plan(
    inputs: Inputs,
    seen: Mapping[str, Any],
    render: files.Render,
    *,
    rules: files.Render,
    dashboards: Mapping[str, str],
    former_targets: Iterable[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Plan the monitoring of one host.

    Args:
        inputs: typed inputs of the role by name.
        seen: what host_info saw.
        render: renders a template of the role.
        rules: the same for the rules, where double braces belong to Prometheus.
        dashboards: contents of the collection's dashboards by file name.
        former_targets: what the host's file of targets says now.

    Returns:
        ``problems``; missing ``packages``; ``account_missing``; the files to ``prepare`` before the packages,
        and all ``files``; ``services``; ``servers`` to verify; ``containers`` and their ``images``;
        ``grafana``, which is empty (not wanted), ``missing`` or ``installed``; and ``grafana_reset``, the
        time of the last reset of its password.
    """
    targets, unknown = complete_targets(inputs["monitoring_targets"], former_targets)
    found = [*problems(inputs), *host_problems(inputs, seen), *unknown]
    if found:
        return {"problems": found}
    paths, containers = seen["paths"], in_containers(inputs)
    ids = account_ids(seen["contents"].get("/etc/passwd", ""))
    grafana = ""
    if inputs["monitoring_grafana"]:
        grafana = "installed" if containers or files.GRAFANA_UNIT in paths else "missing"
    prepare = [] if containers else files.drop_ins(inputs, render)
    entries = [
        *prepare,
        *files.prometheus(inputs, render, rules, targets),
        *files.alertmanager_files(inputs, render),
    ]
    if grafana == "installed":
        entries += files.grafana(inputs, render, dashboards)
    if containers:
        # In check mode the account may not exist yet.
        entries += files.compose(inputs, render, ids or "65534:65534")
    return {
        "problems": [],
        "packages": [name for name, state in seen["packages"].items() if not state["installed"]],
        "account_missing": containers and not ids,
        "prepare": prepare,
        "files": entries,
        "services": [] if containers else services(inputs, paths, grafana),
        "servers": servers(inputs, paths, grafana),
        "containers": files.containers(inputs) if containers else [],
        "images": files.images(inputs),
        "grafana": grafana,
        "grafana_reset": paths.get(files.GRAFANA_RESET, {}).get("mtime", 0.0),
    }


def read_by(unit: str, paths: Iterable[str]) -> dict[str, list[str]]:
    """Return the files that a server reads at its start and at a reload, files of others included."""
    folder = f"/etc/systemd/system/{unit}.service.d/"
    at_start = {files.drop_in(unit), *(path for path in paths if path.startswith(folder))}
    at_reload: set[str] = set()
    if unit == "prometheus":
        own = (path for path in paths if path.startswith("/etc/prometheus/rules/"))
        at_reload = {files.CONFIG, files.RULES, *own}
    elif unit == "prometheus-alertmanager":
        at_reload = {files.ALERTMANAGER}
    else:
        at_start |= {files.GRAFANA_DATASOURCE, files.GRAFANA_PROVIDER}
    return {"restart_on": sorted(at_start), "reload_on": sorted(at_reload)}


def services(inputs: Inputs, paths: Iterable[str], grafana: str) -> list[dict[str, Any]]:
    """Return the units to run, and those of earlier runs that the inputs no longer ask for."""
    wanted = files.units(inputs) + ["grafana-server"] * (grafana == "installed")
    unwanted = ["prometheus-alertmanager"] * (not alerting(inputs))
    unwanted += ["grafana-server"] * (not inputs["monitoring_grafana"])
    return [
        *(
            {"name": unit, "state": "stopped", "enabled": False, "reason": "the inputs do not ask for it"}
            for unit in unwanted
            # The role's drop-in shows that an earlier run started the unit.
            if files.drop_in(unit) in paths
        ),
        *({"name": unit, "enabled": True, **read_by(unit, paths)} for unit in wanted),
    ]


def servers(inputs: Inputs, paths: Iterable[str], grafana: str) -> list[dict[str, Any]]:
    """Return the servers to verify, by the names of their units or containers."""
    urls = {
        "prometheus": files.own_url(inputs, "monitoring_prometheus_port"),
        "prometheus-alertmanager": f"http://{files.ALERTMANAGER_ADDRESS}",
        "grafana-server": files.own_url(inputs, "monitoring_grafana_port"),
    }
    units = files.units(inputs) + ["grafana-server"] * (grafana == "installed")
    names = files.containers(inputs) if in_containers(inputs) else units
    found = []
    for name, unit in zip(names, units, strict=True):
        read = read_by(unit, paths)
        if in_containers(inputs):
            # Compose replaces a container whose settings changed.
            read["restart_on"] = [path for path in read["restart_on"] if not path.startswith("/etc/systemd/")]
        found.append({"name": name, "url": f"{urls[unit]}/metrics", **read})
    return found
