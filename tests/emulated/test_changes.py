"""What becomes of a stack whose inputs change: just that, or a refusal that says what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.emulated.conftest import Account


@pytest.fixture(scope="module")
def stack(new_account: Callable[[], Account]) -> Account:
    """A finished stack, small where that is all the same."""
    account = new_account()
    account.image()
    first = account.playbook("provision")
    assert first.code == 0, first.output
    return account


def test_what_changed_is_changed_and_nothing_else(stack: Account) -> None:
    before = stack.resources()
    inputs: dict[str, Any] = {
        "infrastructure_admin_cidr": "198.51.100.0/24",
        "infrastructure_database_ports": [22, 5432, 6432, 9100, 9127, 9128, 9129, 9130, 9999],
        "infrastructure_data_volume_size": 25,
    }
    run = stack.playbook("provision", **inputs)
    assert run.code == 0, run.output
    assert sorted(run.changes) == [
        *["AuthorizeSecurityGroupIngress"] * 2,
        "ModifyVolume",
        *["RevokeSecurityGroupIngress"] * 2,
    ]
    assert "opens 9999 to monitoring-security-group; closes 9187 for monitoring-security-group" in run.text
    database = run.after.named("security_group", "postgres-db-security-group")
    open_ports = {one["FromPort"] for one in database["IpPermissions"]}
    assert open_ports == set(inputs["infrastructure_database_ports"])
    monitoring = run.after.named("security_group", "monitoring-security-group")
    sources = {found["CidrIp"] for one in monitoring["IpPermissions"] for found in one["IpRanges"]}
    assert sources == {"198.51.100.0/24"}
    volume = run.after.named("volume", "postgres-db-server-data")
    assert volume["Size"] == 25
    assert volume["VolumeId"] == before.named("volume", "postgres-db-server-data")["VolumeId"]
    again = stack.playbook("provision", "--check", **inputs)
    assert "nothing to do" in again.text, again.output
    assert again.changed == 0


def test_what_cannot_change_in_place_is_refused(stack: Account) -> None:
    before = stack.resources()
    run = stack.playbook(
        "provision",
        infrastructure_private_subnet_cidr="10.0.3.0/24",
        infrastructure_instance_type="m6i.large",
        infrastructure_data_volume_size=10,
    )
    assert run.code != 0
    for said in (
        "has the CIDR 10.0.2.0/24, which can't become 10.0.3.0/24; set it back, or take the stack down",
        "becomes a m6i.large only while it is stopped",
        "and EBS can't shrink it to 10; set the size back",
    ):
        assert said in run.text
    assert run.changes == []
    assert run.after == before


def test_bad_input_is_refused_before_aws_is_asked(bare: Account) -> None:
    # It does not even get to miss the credentials.
    run = bare.playbook(
        "provision",
        credentials=False,
        infrastructure_private_subnet_cidr="10.0.1.128/25",
        infrastructure_admin_cidr="the office",
        infrastructure_database_ports=[22, 70000],
    )
    assert run.code != 0
    for said in ("overlaps the", "infrastructure_admin_cidr is 'the office'", "70000, which is no TCP port"):
        assert said in run.text
    assert "Traceback" not in run.output
    assert (run.changed, run.calls) == (0, ())


@pytest.fixture(scope="module")
def bare(new_account: Callable[[], Account]) -> Account:
    return new_account()


def test_without_an_admin_cidr_only_the_caller_gets_in(bare: Account) -> None:
    class OwnAddress(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"203.0.113.9\n")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), OwnAddress) as service:
        Thread(target=service.serve_forever, daemon=True).start()
        run = bare.playbook(
            "provision",
            "--check",
            infrastructure_admin_cidr="",
            infrastructure_address_service=f"http://127.0.0.1:{service.server_port}/",
            infrastructure_image_id=bare.image(),
        )
        service.shutdown()
    assert run.code == 0, run.output
    assert "opens 22, 3000, 9090 to 203.0.113.9/32" in run.text


def test_an_image_that_is_not_there_is_refused(bare: Account) -> None:
    run = bare.playbook("provision", infrastructure_image_name="plan9-*")
    assert run.code != 0
    assert "has none named plan9-* in the region" in run.text
    assert (run.changed, run.changes) == (0, [])


def test_the_state_of_another_stack_is_left_alone(account: Account) -> None:
    account.image()
    known = {"stack": "other", "account": "123456789012", "region": account.region}
    (account.state / "infrastructure.json").write_text(json.dumps(known))
    for playbook in ("provision", "teardown"):
        run = account.playbook(playbook)
        assert run.code != 0
        assert "it is of the stack other in account 123456789012" in run.text
        assert run.changes == []
        assert run.files == {"infrastructure.json"}


def test_a_key_that_others_can_read_is_refused(bare: Account) -> None:
    key = bare.state / "own_key"
    key.touch(mode=0o644)
    run = bare.playbook("provision", credentials=False, infrastructure_key_file=str(key))
    assert run.code != 0
    assert "others can read it; run chmod 0600 on it" in run.text
    assert run.calls == ()


def test_several_hosts_and_zones(account: Account) -> None:
    account.image()
    zones = [f"{account.region}{letter}" for letter in "ab"]
    run = account.playbook(
        "provision",
        infrastructure_subnets={
            "public": {"cidr": "10.0.1.0/24", "zone": zones[0], "public": True},
            "private": {"cidr": "10.0.2.0/24", "zone": zones[0], "public": False},
            "private-b": {"cidr": "10.0.3.0/24", "zone": zones[1], "public": False},
        },
        infrastructure_instances=[
            {"name": "monitoring-server", "role": "monitoring", "subnet": "public"},
            {"name": "db-1", "role": "database", "subnet": "private"},
            {"name": "db-2", "role": "database", "subnet": "private-b", "data_volume_size": 40},
        ],
        infrastructure_session_manager=True,
        infrastructure_termination_protection=True,
    )
    assert run.code == 0, run.output
    for name, zone, size in (("db-1", zones[0], 20), ("db-2", zones[1], 40)):
        host, data = run.after.named("instance", name), run.after.named("volume", f"{name}-data")
        assert host["Placement"]["AvailabilityZone"] == data["AvailabilityZone"] == zone
        assert data["Size"] == size
        assert data["Attachments"][0]["InstanceId"] == host["InstanceId"]
        assert host["IamInstanceProfile"]["Arn"].endswith(f"/pooled-{account.region}-session-manager")
    table = run.after.named("route_table", "postgres-db-private-route-table")
    assert len(table["Associations"]) == 2
    # What is protected stays, and nothing else goes either.
    refused = account.playbook("teardown", infrastructure_session_manager=True)
    assert refused.code != 0
    assert "may not be terminated. Set infrastructure_termination_protection to false" in refused.text
    assert refused.changes == []
