"""Runs the module as Ansible does, against an emulated EC2 API of its own, and in a play."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

if TYPE_CHECKING:
    from tests.unit.plugins.conftest import Aws

MODULE = "ansible_collections.pooled.postgres.plugins.modules.ec2_stack_info"
ROOT = Path(__file__).resolve().parents[4]
BIN = Path(sys.executable).parent
ACCOUNT = "123456789012"
KEYS = {"access_key": "emulated-access-key", "secret_key": "emulated-secret-key"}
# With two stacks; with many instances.
REGION, CROWDED = "eu-west-1", "eu-west-2"
MANY = 105
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFmIWcUkoLgSQh9SGCvG4bX+0Df4oFxQ6n0dQeJjyXq5 test"
ERROR = """<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error><Code>{code}</Code>
<Message>{message}</Message></Error></Errors><RequestID>1</RequestID></Response>"""


def environment(home: Path) -> dict[str, str]:
    """Return an environment with nothing of who runs the tests: neither their settings nor credentials."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "AWS_"))}
    # Without the last one the SDK would look for credentials at an address that is not loopback's.
    return clean | {"HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true"}


class Endpoint:
    """An API that hands calls on to the emulated one, after the answers that a test puts before them.

    Attributes:
        url: where it is.
        before: answers by action, as code and message, each given once.
        seen: how many calls came, by action.
        busiest: how many calls were under way at the same time.
    """

    def __init__(self, behind: str) -> None:
        self.before: dict[str, list[tuple[str, str]]] = {}
        self.seen: Counter[str] = Counter()
        self.busiest = self.busy = 0
        lock = threading.Lock()
        port = urllib.parse.urlsplit(behind).port

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler) -> None:
                body = handler.rfile.read(int(handler.headers["Content-Length"]))
                (action,) = urllib.parse.parse_qs(body.decode())["Action"]
                with lock:
                    self.seen[action] += 1
                    self.busy += 1
                    self.busiest = max(self.busiest, self.busy)
                    answers = self.before.get(action)
                    error = answers.pop(0) if answers else None
                # Long enough for others to come meanwhile.
                time.sleep(0.05)
                if error:
                    status = 503 if error[0] == "RequestLimitExceeded" else 400
                    text = ERROR.format(code=error[0], message=error[1]).encode()
                else:
                    connection = http.client.HTTPConnection("127.0.0.1", port)
                    connection.request("POST", "/", body, dict(handler.headers))
                    response = connection.getresponse()
                    status, text = response.status, response.read()
                    connection.close()
                with lock:
                    self.busy -= 1
                handler.send_response(status)
                handler.send_header("Content-Length", str(len(text)))
                handler.end_headers()
                handler.wfile.write(text)

            def log_message(handler, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def url(emulated_aws: Aws) -> str:
    """An emulated EC2 API in which there is nothing."""
    emulated_aws.ask("reset", b"")
    return emulated_aws.url


@pytest.fixture
def endpoint(url: str) -> Iterator[Endpoint]:
    """An API between the module and the emulated one."""
    started = Endpoint(url)
    yield started
    started.server.shutdown()
    started.server.server_close()


def client(url: str, region: str) -> Any:
    keys = {"aws_access_key_id": KEYS["access_key"], "aws_secret_access_key": KEYS["secret_key"]}
    return boto3.client("ec2", region_name=region, endpoint_url=url, **keys)


def tags(kind: str, stack: str) -> dict[str, Any]:
    return {
        "TagSpecifications": [
            {
                "ResourceType": kind,
                "Tags": [{"Key": "Stack", "Value": stack}, {"Key": "Name", "Value": kind}],
            }
        ]
    }


def make(ec2: Any, stack: str, image: str) -> dict[str, list[str]]:
    """Make one of each kind, and two of which one then goes where what is gone is listed; return the ids."""
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", **tags("vpc", stack))["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24", **tags("subnet", stack))["Subnet"]
    gateway = ec2.create_internet_gateway(**tags("internet-gateway", stack))["InternetGateway"]
    address = ec2.allocate_address(Domain="vpc", **tags("elastic-ip", stack))["AllocationId"]
    nats = [
        ec2.create_nat_gateway(SubnetId=subnet["SubnetId"], **kind, **tags("natgateway", stack))
        for kind in ({"AllocationId": address}, {"ConnectivityType": "private"})
    ]
    nats = [nat["NatGateway"]["NatGatewayId"] for nat in nats]
    ec2.delete_nat_gateway(NatGatewayId=nats.pop())
    table = ec2.create_route_table(VpcId=vpc, **tags("route-table", stack))["RouteTable"]
    group = ec2.create_security_group(
        GroupName="group", Description="group", VpcId=vpc, **tags("security-group", stack)
    )["GroupId"]
    pair = ec2.import_key_pair(
        KeyName=stack, PublicKeyMaterial=PUBLIC_KEY.encode(), **tags("key-pair", stack)
    )
    zone = {"AvailabilityZone": f"{REGION}a", "Size": 1}
    volumes = [ec2.create_volume(**zone, **tags("volume", stack))["VolumeId"] for _ in range(2)]
    ec2.delete_volume(VolumeId=volumes.pop())
    instances = [
        instance["InstanceId"]
        for _ in range(2)
        for instance in ec2.run_instances(ImageId=image, MinCount=2, MaxCount=2, **tags("instance", stack))[
            "Instances"
        ]
    ]
    ec2.stop_instances(InstanceIds=[instances[0]])
    ec2.terminate_instances(InstanceIds=[instances.pop()])
    return {
        "vpcs": [vpc],
        "subnets": [subnet["SubnetId"]],
        "internet_gateways": [gateway["InternetGatewayId"]],
        "nat_gateways": nats,
        "addresses": [address],
        "route_tables": [table["RouteTableId"]],
        "security_groups": [group],
        "key_pairs": [pair["KeyPairId"]],
        "volumes": volumes,
        "instances": sorted(instances),
    }


@pytest.fixture(scope="module")
def made(url: str) -> dict[str, dict[str, list[str]]]:
    """Ids by kind of two stacks in one region, whose names begin alike, beside what belongs to none."""
    ec2 = client(url, REGION)
    for name in ("debian-old", "debian-new"):
        image = ec2.register_image(Name=name)["ImageId"]
        # The emulator's clock for images has seconds only.
        time.sleep(1.1)
    ec2.import_key_pair(KeyName="nobodys", PublicKeyMaterial=PUBLIC_KEY.encode())
    return {stack: make(ec2, stack, image) for stack in ("mine", "mine-2")}


def ids(found: dict[str, Any]) -> dict[str, list[str]]:
    """Return the ids of a result by kind."""
    keys = {"addresses": "allocation_id", "security_groups": "group_id"}
    return {
        kind: [one[keys.get(kind, f"{kind.removesuffix('s')}_id")] for one in resources]
        for kind, resources in found["stack"].items()
    }


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def run(home: Path, credentials: bool = True, **arguments: Any) -> dict[str, Any]:
    """Run the module and return its result. A run without one, such as a traceback, fails the test."""
    # Modules that a test puts into its home come first.
    path = [str(home), *filter(None, [os.environ.get("PYTHONPATH")])]
    given = {"stack": "mine", "region": REGION, **(KEYS if credentials else {}), **arguments}
    process = subprocess.run(
        [sys.executable, "-m", MODULE],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": given}),
        env=environment(home) | {"PYTHONPATH": os.pathsep.join(path)},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.stderr == ""
    result: dict[str, Any] = json.loads(process.stdout)
    assert process.returncode == int(bool(result.get("failed")))
    assert "Traceback" not in process.stdout
    assert "exception" not in result
    return result


class TestStack:
    @pytest.mark.parametrize("stack", ["mine", "mine-2"])
    @pytest.mark.parametrize("check_mode", [False, True])
    def test_is_all_that_carries_its_tag(
        self, home: Path, url: str, made: dict[str, dict[str, list[str]]], stack: str, check_mode: bool
    ) -> None:
        result = run(home, endpoint_url=url, stack=stack, _ansible_check_mode=check_mode)
        assert ids(result) == made[stack]
        assert (result["account"], result["region"], result["image"]) == (ACCOUNT, REGION, None)
        assert result["changed"] is False

    def test_is_told_in_ansibles_words(
        self, home: Path, url: str, made: dict[str, dict[str, list[str]]]
    ) -> None:
        stack = run(home, endpoint_url=url)["stack"]
        for kind, resources in stack.items():
            assert all(one["tags"]["Stack"] == "mine" for one in resources), kind
        (vpc,), (pair,) = stack["vpcs"], stack["key_pairs"]
        assert (vpc["enable_dns_support"], vpc["enable_dns_hostnames"]) == (True, True)
        assert vpc["tags"] == {"Stack": "mine", "Name": "vpc"}
        # The emulator leaves out the comment.
        assert pair["public_key"].split()[:2] == PUBLIC_KEY.split()[:2]
        assert stack["nat_gateways"][0]["state"] == "available"
        assert sorted(one["state"]["name"] for one in stack["instances"]) == ["running", "running", "stopped"]
        assert re.fullmatch(r"[\d-]+T[\d:.]+\+00:00", stack["instances"][0]["launch_time"])

    @pytest.mark.parametrize("stack", ["none", "mine*", "mine-?", "MINE"])
    def test_of_another_name_is_empty(
        self, home: Path, url: str, made: dict[str, dict[str, list[str]]], stack: str
    ) -> None:
        assert not any(ids(run(home, endpoint_url=url, stack=stack)).values())

    def test_of_more_than_a_page_is_whole(self, home: Path, endpoint: Endpoint, url: str) -> None:
        ec2 = client(url, CROWDED)
        image = ec2.register_image(Name="image")["ImageId"]
        one: dict[str, Any] = {"ImageId": image, "MinCount": 1, "MaxCount": 1, **tags("instance", "mine")}
        for _ in range(MANY):
            ec2.run_instances(**one)
        result = run(home, endpoint_url=endpoint.url, region=CROWDED)
        assert len({instance["instance_id"] for instance in result["stack"]["instances"]}) == MANY
        assert endpoint.seen["DescribeInstances"] == 2


class TestKeyPair:
    @pytest.mark.parametrize(
        ("key_name", "names"),
        [
            ("mine", ["mine"]),
            ("mine-2", ["mine", "mine-2"]),
            ("nobodys", ["mine", "nobodys"]),
            ("none", ["mine"]),
            ("nobody?", ["mine"]),
        ],
    )
    def test_of_a_name_is_there_too(
        self, home: Path, url: str, made: dict[str, dict[str, list[str]]], key_name: str, names: list[str]
    ) -> None:
        pairs = run(home, endpoint_url=url, key_name=key_name)["stack"]["key_pairs"]
        assert sorted(pair["key_name"] for pair in pairs) == names
        assert all(pair["public_key"] for pair in pairs)


class TestImage:
    def test_is_the_newest_of_a_name(
        self, home: Path, url: str, made: dict[str, dict[str, list[str]]]
    ) -> None:
        image = run(home, endpoint_url=url, image={"owner": "self", "name": "debian-*"})["image"]
        assert image.pop("image_id").startswith("ami-")
        assert image.pop("creation_date")
        # What the emulator makes of any image.
        assert image == {"name": "debian-new", "root_device_name": "/dev/sda1", "architecture": None}

    def test_is_the_one_of_an_id(self, home: Path, url: str, made: dict[str, dict[str, list[str]]]) -> None:
        old = run(home, endpoint_url=url, image={"owner": "self", "name": "debian-old"})["image"]
        assert old["name"] == "debian-old"
        assert run(home, endpoint_url=url, image={"id": old["image_id"]})["image"] == old

    @pytest.mark.parametrize("image", [{"owner": "self", "name": "none"}, {"id": "ami-0123456789abcdef0"}])
    def test_may_be_none(self, home: Path, url: str, image: dict[str, str]) -> None:
        assert run(home, endpoint_url=url, image=image)["image"] is None

    @pytest.mark.parametrize(
        "image", [{}, {"owner": "self"}, {"name": "a"}, {"id": "ami-1", "owner": "self", "name": "a"}]
    )
    def test_is_asked_for_in_one_way(self, home: Path, image: dict[str, str]) -> None:
        result = run(home, image=image)
        assert result["failed"]
        assert "found in image" in result["msg"]


class TestCalls:
    def test_are_few_and_side_by_side(
        self, home: Path, endpoint: Endpoint, made: dict[str, dict[str, list[str]]]
    ) -> None:
        image = {"owner": "self", "name": "debian-*"}
        result = run(home, endpoint_url=endpoint.url, key_name="nobodys", image=image)
        assert result["calls"] == endpoint.seen.total() == 18
        assert endpoint.busiest > 1

    def test_are_tried_again_where_aws_throttles(
        self, home: Path, endpoint: Endpoint, made: dict[str, dict[str, list[str]]]
    ) -> None:
        limit = ("RequestLimitExceeded", "Request limit exceeded.")
        # More than the SDK itself would bear.
        endpoint.before = {"DescribeInstances": [limit] * 5, "DescribeVpcs": [limit]}
        result = run(home, endpoint_url=endpoint.url)
        assert ids(result) == made["mine"]
        assert endpoint.seen["DescribeInstances"] == 6
        assert result["calls"] == endpoint.seen.total() == 16 + 6

    def test_that_fail_otherwise_are_not_tried_again(self, home: Path, endpoint: Endpoint) -> None:
        endpoint.before = {"DescribeVpcs": [("InvalidParameterValue", "Odd.")]}
        result = run(home, endpoint_url=endpoint.url)
        assert result["msg"].startswith(
            "Failed to read the stack mine: DescribeVpcs failed: Odd (InvalidParameterValue). "
        )
        assert endpoint.seen["DescribeVpcs"] == 1


class TestFailures:
    def test_denied_actions_are_named(self, home: Path, endpoint: Endpoint) -> None:
        user = f"arn:aws:iam::{ACCOUNT}:user/ann"
        for action in ("DescribeVpcs", "DescribeVolumes"):
            text = f"User: {user} is not authorized to perform: ec2:{action} because no policy allows it"
            endpoint.before[action] = [("UnauthorizedOperation", text)]
        assert run(home, endpoint_url=endpoint.url)["msg"].startswith(
            f"Failed to read the stack mine: ec2:DescribeVolumes, ec2:DescribeVpcs denied to {user}. Allow it"
        )

    def test_expired_credentials(self, home: Path, endpoint: Endpoint) -> None:
        endpoint.before = {"DescribeVpcs": [("RequestExpired", "Request has expired.")]}
        message = run(home, endpoint_url=endpoint.url)["msg"]
        assert message.startswith("Failed to read the stack mine: the credentials have expired: Request has")

    def test_no_credentials(self, home: Path, url: str) -> None:
        assert run(home, credentials=False, endpoint_url=url)["msg"].startswith(
            "Failed to read the stack mine: no credentials: Unable to locate credentials. Give credentials by"
        )

    def test_nobody_at_the_endpoint(self, home: Path) -> None:
        with socket.socket() as deaf:
            deaf.bind(("127.0.0.1", 0))
            endpoint_url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
            start = time.monotonic()
            message = run(home, endpoint_url=endpoint_url)["msg"]
        assert message.startswith(f"Failed to read the stack mine: nothing answers at {endpoint_url}: ")
        assert "start it by `make up`" in message
        assert time.monotonic() - start < 30

    @pytest.mark.parametrize(
        ("arguments", "cause"),
        [
            ({"stack": ""}, "'': its name is empty. Set"),
            ({"region": None}, "mine: the region is missing. Set"),
            ({"region": "eu west-1"}, "mine: 'eu west-1' is no region's name. Set"),
            (
                {"endpoint_url": "nonsense"},
                "mine: Invalid endpoint: nonsense (ValueError). Check the options of",
            ),
            ({"aws_config": {"nonsense": 1}}, "mine: Got unexpected keyword argument 'nonsense' (TypeError)"),
            ({"profile": "ann"}, "mine: both the profile ann and an access key are given. Leave one out"),
            (
                {"profile": "ann", **dict.fromkeys(KEYS)},
                "mine: The config profile (ann) could not be found. Name one of",
            ),
        ],
    )
    def test_options_that_make_no_connection(self, home: Path, arguments: dict[str, Any], cause: str) -> None:
        assert run(home, **arguments)["msg"].startswith(f"Failed to read the stack {cause}")

    def test_no_sdk(self, home: Path) -> None:
        for name in ("boto3", "botocore"):
            (home / f"{name}.py").write_text("raise ImportError\n")
        message = run(home)["msg"]
        assert message.startswith("Failed to read the stack mine: ")
        assert "boto3" in message
        assert "Install it: `make env`" in message

    def test_secrets_are_not_in_the_result(self, home: Path, url: str) -> None:
        for result in (run(home, endpoint_url=url), run(home, endpoint_url="nonsense")):
            assert KEYS["secret_key"] not in json.dumps(result)


PLAY = """
- hosts: localhost
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  module_defaults:
    group/pooled.postgres.aws: "{{ connection }}"
  tasks:
    - pooled.postgres.ec2_stack_info:
        stack: mine
      register: ours
    - amazon.aws.ec2_vpc_net_info:
        filters: {"tag:Stack": mine}
      register: theirs
    # A former name of ec2_security_group_info, which the collection redirects.
    - amazon.aws.ec2_group_info:
        filters: {"tag:Stack": mine}
      register: redirected
    - ansible.builtin.assert:
        that:
          - ours.region == connection.region
          - ours.stack.vpcs[0].vpc_id == theirs.vpcs[0].vpc_id
          - ours.stack.security_groups[0].group_id == redirected.security_groups[0].group_id
"""


def test_defaults_of_the_group_reach_ours_and_amazons(
    home: Path, url: str, made: dict[str, dict[str, list[str]]]
) -> None:
    (home / "play.yml").write_text(PLAY)
    connection = {"connection": {"region": REGION, "endpoint_url": url, **KEYS}}
    process = subprocess.run(
        [BIN / "ansible-playbook", "-i", "localhost,", home / "play.yml", "-e", json.dumps(connection)],
        cwd=ROOT,
        env=environment(home) | {"ANSIBLE_HOME": str(home / "ansible")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stdout
    assert "ok=4 " in process.stdout
