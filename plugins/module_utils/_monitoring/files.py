# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Render the files of Prometheus, Alertmanager and Grafana. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._exporters.model import bracketed
from ansible_collections.pooled.postgres.plugins.module_utils._monitoring import model
from ansible_collections.pooled.postgres.plugins.module_utils._monitoring.inputs import (
    Inputs,
    alerting,
    in_containers,
)

Entry = dict[str, Any]
Render = Callable[..., str]

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


def units(inputs: Inputs) -> list[str]:
    """Return the units of Prometheus and Alertmanager."""
    return ["prometheus"] + ["prometheus-alertmanager"] * alerting(inputs)


def drop_in(unit: str) -> str:
    """Return the path of the role's settings for a unit."""
    return f"/etc/systemd/system/{unit}.service.d/50-pooled.conf"


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


def _directory(path: str, **attributes: str) -> Entry:
    return {"path": path, "state": "directory", **attributes}


def _file(path: str, content: str, **attributes: str) -> Entry:
    return {"path": path, "content": content, **attributes}


def _checker(inputs: Inputs, tool: str, server: str, command: str) -> str:
    if in_containers(inputs):
        return _CHECK_IN_CONTAINER.format(tool=tool, image=images(inputs)[server], command=command)
    return f"{tool} {command} %s"


def drop_ins(inputs: Inputs, render: Render) -> list[Entry]:
    """Return the settings of the units, which must exist before their packages start them."""
    values = {"flags": flags(inputs), "alertmanager_address": ALERTMANAGER_ADDRESS}
    return [
        entry
        for unit in units(inputs)
        for entry in (
            _directory(f"/etc/systemd/system/{unit}.service.d"),
            _file(drop_in(unit), render(f"{unit}.conf.j2", **values)),
        )
    ]


def prometheus(inputs: Inputs, render: Render, rules: Render, targets: list[dict[str, Any]]) -> list[Entry]:
    """Return the files of Prometheus. ``rules`` renders its rules, where double braces are its own."""
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
        _file(TARGETS, render("targets.yml.j2", targets=targets)),
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


def alertmanager_files(inputs: Inputs, render: Render) -> list[Entry]:
    """Return the files of Alertmanager, or remove its secrets if no alert has a receiver."""
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


def grafana(inputs: Inputs, render: Render, dashboards: Mapping[str, str]) -> list[Entry]:
    """Return the files of Grafana."""
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


def images(inputs: Inputs) -> dict[str, str]:
    """Return the image of each server."""
    return {**IMAGES, **inputs["monitoring_images"]}


def containers(inputs: Inputs) -> list[str]:
    """Return the containers to run, in the order of their units."""
    return ["prometheus"] + ["alertmanager"] * alerting(inputs) + ["grafana"] * inputs["monitoring_grafana"]


def compose(inputs: Inputs, render: Render, ids: str) -> list[Entry]:
    """Return the Compose file and its directories; ``ids`` is ``uid:gid`` of Prometheus' account."""
    values = {
        "images": images(inputs),
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
