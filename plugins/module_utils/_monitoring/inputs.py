# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the inputs of the role monitoring. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

Inputs = Mapping[str, Any]

_DURATION = re.compile(r"(?=\d)(\d+y)?(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?|0")
_SIZE = re.compile(r"0|\d+(\.\d+)?([KMGTPE]i?)?B")
_RECEIVERS = {
    "monitoring_webhook": ("url",),
    "monitoring_slack": ("url",),
    "monitoring_email": ("to", "from", "smarthost"),
}


def in_containers(inputs: Inputs) -> bool:
    """Return whether the servers run in containers."""
    return bool(inputs["monitoring_runtime"] == "containers")


def alerting(inputs: Inputs) -> bool:
    """Return whether an alert has a receiver, so that Alertmanager is needed."""
    return any(inputs[name] for name in _RECEIVERS)


def problems(inputs: Inputs) -> list[str]:
    """Return what is wrong with the inputs, as far as that needs no host."""
    return [
        *_malformed(inputs),
        *_receiver_problems(inputs),
        *_job_problems(inputs["monitoring_scrape_configs"]),
        *_server_problems(inputs),
    ]


def _malformed(inputs: Inputs) -> list[str]:
    durations = {
        f"monitoring_{name}": inputs[f"monitoring_{name}"]
        for name in (
            "scrape_interval",
            "evaluation_interval",
            "retention_time",
            "group_wait",
            "repeat_interval",
        )
    }
    durations |= {
        f"monitoring_thresholds.{name}": value
        for name, value in inputs["monitoring_thresholds"].items()
        if name.endswith("_for")
    }
    found = [
        f"{name} is {value!r}, which is not a duration. Give one such as 30s, 5m or 1h30m."
        for name, value in durations.items()
        if not _DURATION.fullmatch(value)
    ]
    size = inputs["monitoring_retention_size"]
    if not _SIZE.fullmatch(size):
        found.append(
            f"monitoring_retention_size is {size!r}, which is not a size. Give one such as 512MB or 2GB."
        )
    return found


def _receiver_problems(inputs: Inputs) -> list[str]:
    # Alertmanager takes an empty address and loses every alert.
    found = [
        f"{name} has no {key}. Give it, or leave the receiver out."
        for name, keys in _RECEIVERS.items()
        if inputs[name]
        for key in keys
        if not inputs[name].get(key)
    ]
    found += [
        f"{name} has a username or a password, but not both. Give both, or none."
        for name in ("monitoring_webhook", "monitoring_email")
        if ("username" in inputs[name]) != ("password" in inputs[name])
    ]
    # The URL may hold a token, so the message does not show it.
    found += [
        f"{name}.url is not an HTTP or HTTPS URL. Give one."
        for name in ("monitoring_webhook", "monitoring_slack")
        if inputs[name].get("url") and not inputs[name]["url"].startswith(("http://", "https://"))
    ]
    smarthost = inputs["monitoring_email"].get("smarthost")
    if smarthost and not re.fullmatch(r".+:\d+", smarthost):
        found.append(
            f"monitoring_email.smarthost is {smarthost!r}, without a port. Give it as mail.example.com:587."
        )
    return found


def _job_problems(configs: Iterable[Mapping[str, Any]]) -> list[str]:
    taken, found = {"pooled", "pooled-https"}, []
    for number, config in enumerate(configs):
        name, place = config.get("job_name"), f"monitoring_scrape_configs[{number}]"
        if not name:
            found.append(f"{place} has no job_name. Give it one.")
        elif name in taken:
            found.append(
                f"{place} has the job_name {name}, which is taken (the role itself uses pooled and"
                " pooled-https). Choose another one."
            )
        taken.add(str(name))
    return found


def _server_problems(inputs: Inputs) -> list[str]:
    found = []
    if inputs["monitoring_grafana"] and not inputs["monitoring_grafana_password"]:
        found.append(
            "monitoring_grafana_password is empty, and Grafana would accept the password admin. Give one, or"
            " set monitoring_grafana to false."
        )
    if (
        inputs["monitoring_grafana"]
        and inputs["monitoring_grafana_port"] == inputs["monitoring_prometheus_port"]
    ):
        found.append(
            "monitoring_grafana_port and monitoring_prometheus_port are both"
            f" {inputs['monitoring_grafana_port']}. Give each its own port."
        )
    return found


def host_problems(inputs: Inputs, seen: Mapping[str, Any]) -> list[str]:
    """Return what the host cannot do."""
    system = (seen["distribution"], seen["distribution_major_version"])
    if in_containers(inputs) and system == ("Debian", "12"):
        return [
            "monitoring_runtime is containers, and Debian 12 has neither docker-cli nor Docker Compose 2. Use"
            " Debian 13 for the monitoring host, or set monitoring_runtime to packages."
        ]
    return []


def complete_targets(
    targets: Iterable[Mapping[str, Any]], former: Iterable[Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the targets for ``file_sd_configs``, where the job is a label, and their problems.

    A run that did not plan a database host does not know how many PgBouncer processes it has: it keeps the
    targets of that host in the ``former`` file.
    """
    found: list[dict[str, Any]] = []
    problems = set()
    for one in targets:
        labels = {"job": one["job"], **(one.get("labels") or {})}
        if one["targets"]:
            found.append({"targets": list(one["targets"]), "labels": labels})
            continue
        host = labels.get("host", "a host without the label host")
        kept = [
            dict(entry)
            for entry in former
            if labels["job"] == "pgbouncer"
            and (entry["labels"].get("job"), entry["labels"].get("host")) == ("pgbouncer", host)
        ]
        found += kept
        if labels["job"] != "pgbouncer":
            problems.add(f"monitoring_targets has no address of {host}. Set its pooled_address.")
        elif not kept:
            problems.add(
                f"monitoring_targets has no PgBouncer process of {host}: this run did not plan {host}, and"
                " its pgbouncer_processes is 0."
                " Run site.yml without --limit, or set exporters_pgbouncer_processes."
            )
    return found, sorted(problems)
