# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan Prometheus, Alertmanager and Grafana of a monitoring host: files, units and containers. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._exporters.model import bracketed
from ansible_collections.pooled.postgres.plugins.module_utils._monitoring import model
from ansible_collections.pooled.postgres.plugins.module_utils._monitoring.inputs import (
    Inputs,
    alerting,
    host_problems,
    in_containers,
    problems,
)

Entry = dict[str, Any]

CONFIG = "/etc/prometheus/prometheus.yml"
RULES = "/etc/prometheus/rules/pooled.yml"
TARGETS = "/etc/prometheus/file_sd/pooled.yml"
# Debian's Alertmanager shares the directory.
ALERTMANAGER = "/etc/prometheus/alertmanager.yml"
SECRETS = "/etc/prometheus/alertmanager-secrets"
ACCOUNT = "prometheus"
# It has no authentication, and only Prometheus and the host's users need it.
ALERTMANAGER_ADDRESS = "127.0.0.1:9093"
COMPOSE = "/etc/pooled-monitoring/compose.yml"

GRAFANA_UNIT = "/usr/lib/systemd/system/grafana-server.service"
GRAFANA_PASSWORD = "/etc/grafana/pooled-admin-password"
# Its modification time is that of the last password reset.
GRAFANA_RESET = "/etc/grafana/pooled-admin-password.told"
GRAFANA_DASHBOARDS = "/etc/grafana/pooled-dashboards"
GRAFANA_DATASOURCE = "/etc/grafana/provisioning/datasources/pooled.yml"
GRAFANA_PROVIDER = "/etc/grafana/provisioning/dashboards/pooled.yml"
# The image's account has no name on the host.
GRAFANA_CONTAINER_UID = "472"

IMAGES = {
    "prometheus": "docker.io/prom/prometheus:v3.5.0",
    "alertmanager": "docker.io/prom/alertmanager:v0.28.1",
    "grafana": "docker.io/grafana/grafana:12.1.1",
}
THRESHOLDS: dict[str, Any] = {
    "pooler_down_for": "2m",
    "client_wait_seconds": 1,
    "client_wait_for": "2m",
    "pool_ratio": 0.9,
    "pool_for": "5m",
    "connections_ratio": 0.85,
    "connections_for": "1m",
    "transaction_seconds": 900,
    "replication_lag_seconds": 60,
    "replication_lag_bytes": 268435456,
    "transaction_id_age": 1000000000,
    "disk_free_ratio": 0.1,
    "disk_filling_ratio": 0.4,
    "disk_filling_hours": 4,
    "certificate_days": 14,
}
# Leave out pseudo file systems, images that are always full, and mounts over single files.
DISKS = 'fstype!~"tmpfs|ramfs|squashfs|nsfs|fuse.*",mountpoint!~"/(proc|sys|dev|run|etc)(/.*)?"'

# The image's promtool and amtool see the files of the host below /host.
_CHECK_IN_CONTAINER = (
    "docker run --rm --network none --user 0 --cap-drop ALL --cap-add DAC_READ_SEARCH"
    " --security-opt no-new-privileges --volume /:/host:ro --volume /etc/prometheus:/etc/prometheus:ro"
    " --entrypoint {tool} {image} {command} /host%s"
)


def packages(inputs: Inputs) -> list[str]:
    """Return the distribution's packages that the servers need."""
    if in_containers(inputs):
        return ["docker.io", "docker-cli", "docker-compose"]
    return ["prometheus"] + ["prometheus-alertmanager"] * alerting(inputs)


def units(inputs: Inputs) -> list[str]:
    """Return the units of Prometheus and Alertmanager."""
    return ["prometheus"] + ["prometheus-alertmanager"] * alerting(inputs)


def drop_in(unit: str) -> str:
    """Return the path of the role's settings for a unit."""
    return f"/etc/systemd/system/{unit}.service.d/50-pooled.conf"


# What the plan needs to know of the host


def look(inputs: Inputs) -> dict[str, Any]:
    """Return the arguments of host_info."""
    return {
        "packages": packages(inputs),
        "paths": [
            "/etc/prometheus/rules/*.yml",
            "/etc/systemd/system/prometheus.service.d/*.conf",
            "/etc/systemd/system/prometheus-alertmanager.service.d/*.conf",
            "/etc/systemd/system/grafana-server.service.d/*.conf",
            GRAFANA_UNIT,
            GRAFANA_RESET,
        ],
        "contents": ["/etc/passwd"] if in_containers(inputs) else [],
    }


def account_ids(passwd: str) -> str:
    """Return user and group of Prometheus' account as ``uid:gid``, empty where the host has none."""
    found = re.search(rf"(?m)^{ACCOUNT}:[^:]*:(\d+):(\d+):", passwd)
    return f"{found[1]}:{found[2]}" if found else ""


# The plan


def plan(
    inputs: Inputs,
    seen: Mapping[str, Any],
    render: Callable[..., str],
    *,
    rules: Callable[..., str],
    dashboards: Mapping[str, str],
) -> dict[str, Any]:
    """Plan the monitoring of one host.

    Args:
        inputs: typed inputs of the role by name.
        seen: what host_info saw.
        render: renders a template of the role.
        rules: the same for the rules, which have another syntax for variables.
        dashboards: contents of the collection's dashboards by file name.

    Returns:
        ``problems``; ``packages`` that are missing; ``account_missing``; files for ``prepare``, before the
        packages come, and all ``files``; ``services``; ``servers`` to verify; ``containers`` to run; and
        ``grafana``: empty (not wanted), ``missing`` or ``installed``. ``grafana_reset`` is the time of the
        last reset of its password.
    """
    found = problems(inputs) + host_problems(inputs, seen)
    if found:
        return {"problems": found}
    containers, paths = in_containers(inputs), seen["paths"]
    ids = account_ids(seen["contents"].get("/etc/passwd", "")) if containers else ""
    grafana = ""
    if inputs["monitoring_grafana"]:
        grafana = "installed" if containers or GRAFANA_UNIT in paths else "missing"
    prepare = [] if containers else _drop_ins(inputs, render)
    files = [*prepare, *_prometheus(inputs, render, rules), *_alertmanager(inputs, render)]
    if grafana == "installed":
        files += _grafana(inputs, render, dashboards)
    if containers:
        # In check mode the account may not exist yet.
        files += _compose(inputs, render, ids or "65534:65534")
    return {
        "problems": [],
        "packages": [name for name, state in seen["packages"].items() if not state["installed"]],
        "account_missing": containers and not ids,
        "prepare": prepare,
        "files": files,
        "services": [] if containers else _services(inputs, paths, grafana),
        "servers": _servers(inputs, paths, grafana),
        "containers": _containers(inputs) if containers else [],
        "images": _images(inputs),
        "grafana": grafana,
        "grafana_reset": paths.get(GRAFANA_RESET, {}).get("mtime", 0.0),
    }


def own_url(inputs: Inputs, port: str) -> str:
    """Return where the host reaches its own Prometheus or Grafana."""
    return f"http://{model.own_address(inputs['monitoring_listen_address'])}:{inputs[port]}"


def flags(inputs: Inputs) -> list[str]:
    """Return Prometheus' options. HTTP gives access neither to its administration nor to its lifecycle."""
    address = bracketed(inputs["monitoring_listen_address"])
    return [
        f"--config.file={CONFIG}",
        f"--web.listen-address={address}:{inputs['monitoring_prometheus_port']}",
        f"--web.external-url={inputs['monitoring_external_url']}",
        # The path of that URL is for links only: on its port Prometheus answers below /.
        "--web.route-prefix=/",
        f"--storage.tsdb.retention.time={inputs['monitoring_retention_time']}",
        f"--storage.tsdb.retention.size={inputs['monitoring_retention_size']}",
    ]


def scrape_configs(inputs: Inputs) -> list[dict[str, Any]]:
    """Return the scrape configurations: the role's two, then those of the inputs.

    Two, so that a target without TLS never gets the password. A target without a scheme is one of those.
    """

    def job(name: str, action: str) -> dict[str, Any]:
        relabel = {"source_labels": ["__scheme__"], "regex": "https", "action": action}
        return {"job_name": name, "file_sd_configs": [{"files": [TARGETS]}], "relabel_configs": [relabel]}

    https = {**job("pooled-https", "keep"), **inputs["monitoring_scrape_settings"]}
    return [job("pooled", "drop"), https, *inputs["monitoring_scrape_configs"]]


def thresholds(inputs: Inputs) -> dict[str, Any]:
    """Return all thresholds, a whole number without a fraction."""
    given = {**THRESHOLDS, **inputs["monitoring_thresholds"]}
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in given.items()
    }


def alertmanager(inputs: Inputs) -> dict[str, Any]:
    """Return Alertmanager's configuration, which names the files of secrets."""
    receiver: dict[str, Any] = {"name": "pooled"}
    webhook, email, slack = (inputs[f"monitoring_{name}"] for name in ("webhook", "email", "slack"))
    if webhook:
        config: dict[str, Any] = {"url_file": f"{SECRETS}/webhook-url"}
        if webhook.get("username"):
            auth = {"username": webhook["username"], "password_file": f"{SECRETS}/webhook-password"}
            config["http_config"] = {"basic_auth": auth}
        receiver["webhook_configs"] = [config]
    if email:
        config = {name: email[name] for name in ("to", "from", "smarthost")}
        config |= {"require_tls": email.get("require_tls", True), "send_resolved": True}
        if email.get("username"):
            config |= {"auth_username": email["username"], "auth_password_file": f"{SECRETS}/email-password"}
        receiver["email_configs"] = [config]
    if slack:
        config = {"api_url_file": f"{SECRETS}/slack-url", "send_resolved": True}
        receiver["slack_configs"] = [config | ({"channel": slack["channel"]} if slack.get("channel") else {})]
    return {
        "route": {
            "receiver": "pooled",
            "group_by": ["alertname", "stack", "host"],
            "group_wait": inputs["monitoring_group_wait"],
            "group_interval": "5m",
            "repeat_interval": inputs["monitoring_repeat_interval"],
        },
        # PostgresDown and PgBouncerDown explain what their clients see.
        "inhibit_rules": [
            {
                "source_matchers": ["alertname = PostgresDown"],
                "target_matchers": ["alertname = PgBouncerPoolSaturated"],
                "equal": ["stack", "host"],
            },
            {
                "source_matchers": ["alertname = PgBouncerDown"],
                "target_matchers": ["alertname = PgBouncerClientsWaiting"],
                # Another process takes over the clients, and may saturate for its own reasons.
                "equal": ["stack", "host", "process"],
            },
        ],
        "receivers": [receiver],
    }


# Files


def _directory(path: str, **attributes: str) -> Entry:
    return {"path": path, "state": "directory", **attributes}


def _file(path: str, content: str, **attributes: str) -> Entry:
    return {"path": path, "content": content, **attributes}


def _checker(inputs: Inputs, tool: str, server: str, command: str) -> str:
    if in_containers(inputs):
        return _CHECK_IN_CONTAINER.format(tool=tool, image=_images(inputs)[server], command=command)
    return f"{tool} {command} %s"


def _drop_ins(inputs: Inputs, render: Callable[..., str]) -> list[Entry]:
    values = {"flags": flags(inputs), "alertmanager_address": ALERTMANAGER_ADDRESS}
    return [
        entry
        for unit in units(inputs)
        for entry in (
            _directory(f"/etc/systemd/system/{unit}.service.d"),
            _file(drop_in(unit), render(f"{unit}.conf.j2", **values)),
        )
    ]


def _prometheus(inputs: Inputs, render: Callable[..., str], rules: Callable[..., str]) -> list[Entry]:
    rule_values = {
        "thresholds": thresholds(inputs),
        "disks": DISKS,
        "runbook_url": inputs["monitoring_runbook_url"],
        "groups": inputs["monitoring_rule_groups"],
    }
    config_values = {
        "scrape_interval": inputs["monitoring_scrape_interval"],
        "evaluation_interval": inputs["monitoring_evaluation_interval"],
        "alertmanager": ALERTMANAGER_ADDRESS if alerting(inputs) else "",
        "scrape_configs": scrape_configs(inputs),
    }
    return [
        _directory("/etc/prometheus"),
        _directory("/etc/prometheus/rules"),
        _directory("/etc/prometheus/file_sd"),
        _file(TARGETS, render("targets.yml.j2", targets=file_sd(inputs["monitoring_targets"]))),
        _file(
            RULES,
            rules("rules.yml.j2", **rule_values),
            validate=_checker(inputs, "promtool", "prometheus", "check rules"),
        ),
        _file(
            CONFIG,
            render("prometheus.yml.j2", **config_values),
            group=ACCOUNT,
            mode="0640",
            validate=_checker(inputs, "promtool", "prometheus", "check config"),
        ),
    ]


def file_sd(targets: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return targets for ``file_sd_configs``, where the job is a label."""
    return [
        {"targets": list(one["targets"]), "labels": {"job": one["job"], **(one.get("labels") or {})}}
        for one in targets
    ]


def _alertmanager(inputs: Inputs, render: Callable[..., str]) -> list[Entry]:
    if not alerting(inputs):
        # Without the directory its unit does not start.
        return [{"path": SECRETS, "state": "absent"}]
    secrets = {
        f"{name}-{key}": inputs[f"monitoring_{name}"].get(key)
        for name, key in (
            ("webhook", "url"),
            ("webhook", "password"),
            ("email", "password"),
            ("slack", "url"),
        )
    }
    readable = {"group": ACCOUNT, "mode": "0640"}
    return [
        _directory(SECRETS, group=ACCOUNT, mode="0750"),
        *(
            {
                "path": f"{SECRETS}/{name}",
                **({"secret_content": text, **readable} if text else {"state": "absent"}),
            }
            for name, text in secrets.items()
        ),
        _file(
            ALERTMANAGER,
            render("alertmanager.yml.j2", configuration=alertmanager(inputs)),
            validate=_checker(inputs, "amtool", "alertmanager", "check-config"),
        ),
    ]


def _grafana(inputs: Inputs, render: Callable[..., str], dashboards: Mapping[str, str]) -> list[Entry]:
    values = {
        "url": own_url(inputs, "monitoring_prometheus_port"),
        "scrape_interval": inputs["monitoring_scrape_interval"],
        "dashboards": GRAFANA_DASHBOARDS,
    }
    password: Entry = {"path": GRAFANA_PASSWORD, "secret_content": inputs["monitoring_grafana_password"]}
    entries = [_directory(GRAFANA_DASHBOARDS)]
    if in_containers(inputs):
        provisioning = ("/etc/grafana/provisioning/datasources", "/etc/grafana/provisioning/dashboards")
        entries += [_directory(path) for path in provisioning]
        password |= {"owner": GRAFANA_CONTAINER_UID, "mode": "0400"}
    else:
        password |= {"group": "grafana", "mode": "0640"}
        dropped = {"settings": grafana_settings(inputs)}
        entries += [
            _directory("/etc/systemd/system/grafana-server.service.d"),
            _file(drop_in("grafana-server"), render("grafana-server.conf.j2", **dropped)),
        ]
    return [
        *entries,
        password,
        _file(GRAFANA_DATASOURCE, render("grafana_datasource.yml.j2", **values)),
        _file(GRAFANA_PROVIDER, render("grafana_dashboards.yml.j2", **values)),
        *(_file(f"{GRAFANA_DASHBOARDS}/{name}", text) for name, text in dashboards.items()),
    ]


def grafana_settings(inputs: Inputs) -> dict[str, str]:
    """Return Grafana's settings as environment variables."""
    password = (
        {"GF_SECURITY_ADMIN_PASSWORD__FILE": GRAFANA_PASSWORD}
        if in_containers(inputs)
        else {"GF_SECURITY_ADMIN_PASSWORD": f"$__file{{{GRAFANA_PASSWORD}}}"}
    )
    return {
        "GF_SERVER_HTTP_ADDR": inputs["monitoring_listen_address"],
        "GF_SERVER_HTTP_PORT": str(inputs["monitoring_grafana_port"]),
        **password,
        # The role reads its start time there.
        "GF_METRICS_ENABLED": "true",
        "GF_AUTH_ANONYMOUS_ENABLED": "false",
        "GF_USERS_ALLOW_SIGN_UP": "false",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
    }


def _images(inputs: Inputs) -> dict[str, str]:
    return {**IMAGES, **inputs["monitoring_images"]}


def _containers(inputs: Inputs) -> list[str]:
    return ["prometheus"] + ["alertmanager"] * alerting(inputs) + ["grafana"] * inputs["monitoring_grafana"]


def _compose(inputs: Inputs, render: Callable[..., str], ids: str) -> list[Entry]:
    values = {
        "images": _images(inputs),
        "ids": ids,
        "flags": [*flags(inputs), "--storage.tsdb.path=/prometheus"],
        "alertmanager": alerting(inputs),
        "alertmanager_file": ALERTMANAGER,
        "alertmanager_address": ALERTMANAGER_ADDRESS,
        "grafana": grafana_settings(inputs) if inputs["monitoring_grafana"] else {},
        "grafana_password": GRAFANA_PASSWORD,
        "grafana_dashboards": GRAFANA_DASHBOARDS,
    }
    owned = {"owner": ACCOUNT, "group": ACCOUNT}
    return [
        _directory("/etc/pooled-monitoring"),
        # Where Debian's packages keep them, so that samples survive a change of the runtime.
        _directory("/var/lib/prometheus/metrics2", **owned),
        _directory("/var/lib/prometheus/alertmanager", **owned),
        _file(
            COMPOSE,
            render("compose.yml.j2", **values),
            validate="docker compose --file %s config --quiet",
        ),
    ]


# Units, and what each server reads


def _read(unit: str, paths: Iterable[str]) -> dict[str, list[str]]:
    """Return the files that a server reads at its start and at a reload, those of others among them."""
    folder = f"/etc/systemd/system/{unit}.service.d/"
    at_start = {drop_in(unit), *(path for path in paths if path.startswith(folder))}
    at_reload: set[str] = set()
    if unit == "prometheus":
        at_reload = {CONFIG, RULES, *(path for path in paths if path.startswith("/etc/prometheus/rules/"))}
    elif unit == "prometheus-alertmanager":
        at_reload = {ALERTMANAGER}
    else:
        at_start |= {GRAFANA_DATASOURCE, GRAFANA_PROVIDER}
    return {"restart_on": sorted(at_start), "reload_on": sorted(at_reload)}


def _services(inputs: Inputs, paths: Iterable[str], grafana: str) -> list[dict[str, Any]]:
    wanted = units(inputs) + ["grafana-server"] * (grafana == "installed")
    # The role's drop-in says that an earlier run started the unit.
    former = [
        unit
        for unit, unwanted in (
            ("prometheus-alertmanager", not alerting(inputs)),
            ("grafana-server", not inputs["monitoring_grafana"]),
        )
        if unwanted and drop_in(unit) in paths
    ]
    return [
        *(
            {"name": unit, "state": "stopped", "enabled": False, "reason": "the inputs do not ask for it"}
            for unit in former
        ),
        *({"name": unit, "enabled": True, **_read(unit, paths)} for unit in wanted),
    ]


def _servers(inputs: Inputs, paths: Iterable[str], grafana: str) -> list[dict[str, Any]]:
    """Return the servers to verify, named as their unit or container."""
    found = [("prometheus", own_url(inputs, "monitoring_prometheus_port"))]
    if alerting(inputs):
        found.append(("prometheus-alertmanager", f"http://{ALERTMANAGER_ADDRESS}"))
    if grafana == "installed":
        found.append(("grafana-server", own_url(inputs, "monitoring_grafana_port")))
    containers = in_containers(inputs)
    of_container = (
        dict(zip([unit for unit, _ in found], _containers(inputs), strict=True)) if containers else {}
    )
    servers = []
    for unit, url in found:
        read = _read(unit, paths)
        if containers:
            # The Compose file replaces the drop-in, and Compose makes a new container where it changed.
            read["restart_on"] = [path for path in read["restart_on"] if not path.startswith("/etc/systemd/")]
        servers.append({"name": of_container.get(unit, unit), "url": f"{url}/metrics", **read})
    return servers
