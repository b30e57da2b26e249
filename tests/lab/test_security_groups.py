"""Hosts enforce their security groups at once."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from lab import Lab, wait

SSH, POSTGRESQL, PGBOUNCER = 22, 5432, 6432
# SSH, PostgreSQL, PgBouncer and the three exporters.
PORTS = (SSH, POSTGRESQL, PGBOUNCER, 9187, 9127, 9100)
# Limit in seconds for hosts to follow the API on a busy machine.
SOON = 60
# Limit in seconds for a host to stop its services, or to boot.
LATER = 120

CONNECT = """
import json, socket, sys
address, port = json.load(sys.stdin)
try:
    socket.create_connection((address, port), timeout=2).close(); print("open")
except OSError as e:
    print(type(e).__name__)
"""


@pytest.fixture(scope="module")
def listening(lab: Lab) -> Iterator[list[int]]:
    """Start listeners on silent ports, for five minutes at most, and return those ports."""
    silent = [port for port in PORTS if not listens(lab, port)]
    for port in silent:
        unit = f"--unit=listener-{port} --property=RuntimeMaxSec=300 --collect"
        started = lab.ssh(lab.database, f"sudo systemd-run --quiet {unit} python3 -m http.server {port}")
        assert started.returncode == 0, started.stderr
    wait(lambda: all(listens(lab, port) for port in PORTS), SOON)
    yield silent
    for port in silent:
        lab.ssh(lab.database, f"sudo systemctl stop listener-{port}")


def listens(lab: Lab, port: int) -> bool:
    """Return whether a program on the database host listens on a port."""
    return bool(lab.ssh(lab.database, f"ss -Hltn sport = :{port}").stdout.strip())


def address(lab: Lab) -> str:
    """Return the database host's address."""
    return str(lab.facts()["private_addresses"][lab.database])


def from_here(lab: Lab, port: int) -> str:
    """Connect from this machine, which is outside the VPC, and return ``open`` or the error's name."""
    try:
        socket.create_connection((address(lab), port), timeout=2).close()
    except OSError as exc:
        return type(exc).__name__
    return "open"


def from_monitoring(lab: Lab, port: int) -> str:
    """Connect from the monitoring host, and return ``open`` or the error's name."""
    result = lab.python(lab.monitoring, CONNECT, [address(lab), port])
    return result.stdout.strip() or result.stderr


def permission(ec2: Any, lab: Lab, port: int) -> tuple[str, dict[str, Any]]:
    """Return the database host's group and its one rule that opens a port."""
    instance_id = lab.facts()["instance_ids"][lab.database]
    instance = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
    ids = [group["GroupId"] for group in instance["SecurityGroups"]]
    (found,) = (
        (group["GroupId"], rule)
        for group in ec2.describe_security_groups(GroupIds=ids)["SecurityGroups"]
        for rule in group["IpPermissions"]
        if rule["IpProtocol"] == "tcp" and rule["FromPort"] <= port <= rule["ToPort"]
    )
    return found


@pytest.mark.parametrize("port", PORTS)
def test_only_the_monitoring_host_reaches_the_database_host(
    lab: Lab, listening: list[int], port: int
) -> None:
    # Packets are dropped, not refused.
    assert from_here(lab, port) == "TimeoutError"
    assert from_monitoring(lab, port) == "open"


def test_a_port_without_a_rule_is_closed(lab: Lab) -> None:
    """An open port without a listener would refuse instead."""
    assert from_monitoring(lab, 5433) == "TimeoutError"


def test_revoking_a_rule_closes_its_port_and_authorizing_opens_it(
    lab: Lab, ec2: Any, listening: list[int]
) -> None:
    group, rule = permission(ec2, lab, POSTGRESQL)
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[rule])
    try:
        wait(lambda: from_monitoring(lab, POSTGRESQL) == "TimeoutError", SOON)
        # Other rules stay in force.
        assert from_monitoring(lab, SSH) == "open"
    finally:
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    wait(lambda: from_monitoring(lab, POSTGRESQL) == "open", SOON)
    assert from_here(lab, POSTGRESQL) == "TimeoutError"


def test_a_host_stops_and_starts_with_its_instance(lab: Lab, ec2: Any, listening: list[int]) -> None:
    instance_id = lab.facts()["instance_ids"][lab.database]
    ec2.stop_instances(InstanceIds=[instance_id])
    try:
        wait(lambda: not _runs(lab), LATER)
    finally:
        ec2.start_instances(InstanceIds=[instance_id])
    wait(lambda: _runs(lab), LATER)
    wait(lambda: lab.ssh(lab.database, "true").returncode == 0, LATER)
    # The new network namespace must get the rules again.
    assert from_here(lab, SSH) == "TimeoutError"
    assert from_monitoring(lab, 5433) == "TimeoutError"
    services = [port for port in (POSTGRESQL, PGBOUNCER) if port not in listening]
    wait(lambda: all(from_monitoring(lab, port) == "open" for port in services), LATER)


def _runs(lab: Lab) -> bool:
    names = subprocess.run(
        ["podman", "ps", "--format", "{{.Names}}"], capture_output=True, text=True, check=True
    )
    return f"pooled-{lab.database}" in names.stdout.split()
