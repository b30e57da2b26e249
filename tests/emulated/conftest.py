"""An emulated AWS account of the tests' own, and ways to run playbooks against it and to look into it."""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
SECRET_KEY = "emulated-secret-key"
# Each test takes a region for itself: regions share nothing.
REGIONS = (
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
)

Resource = dict[str, Any]

# By kind: how boto3 calls it, the key of the answer, the key of the id, and what leaves out the dead.
# Without network interfaces: the emulator keeps those of a deleted NAT gateway.
KINDS: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "vpc": ("describe_vpcs", "Vpcs", "VpcId", {}),
    "subnet": ("describe_subnets", "Subnets", "SubnetId", {}),
    "igw": ("describe_internet_gateways", "InternetGateways", "InternetGatewayId", {}),
    "nat": (
        "describe_nat_gateways",
        "NatGateways",
        "NatGatewayId",
        {"Filters": [{"Name": "state", "Values": ["pending", "available", "failed", "deleting"]}]},
    ),
    "eip": ("describe_addresses", "Addresses", "AllocationId", {}),
    "route_table": ("describe_route_tables", "RouteTables", "RouteTableId", {}),
    "security_group": ("describe_security_groups", "SecurityGroups", "GroupId", {}),
    "key_pair": ("describe_key_pairs", "KeyPairs", "KeyPairId", {"IncludePublicKey": True}),
    "volume": ("describe_volumes", "Volumes", "VolumeId", {}),
}


class Resources(dict[str, dict[str, Resource]]):
    """What an account holds, by kind and id, as boto3 describes it."""

    def since(self, before: Resources) -> Resources:
        """Return what was not there before."""
        return Resources(
            {
                kind: {key: value for key, value in found.items() if key not in before[kind]}
                for kind, found in self.items()
            }
        )

    def of(self, stack: str) -> Resources:
        """Return what carries the tag of a stack."""
        tag = {"Key": "Stack", "Value": stack}
        return Resources(
            {
                kind: {key: value for key, value in found.items() if tag in value.get("Tags", [])}
                for kind, found in self.items()
            }
        )

    def named(self, kind: str, name: str) -> Resource:
        """Return the only resource of a kind with a name."""
        tag = {"Key": "Name", "Value": name}
        (found,) = (value for value in self[kind].values() if tag in value.get("Tags", []))
        return found

    def ids(self) -> set[str]:
        """Return all ids."""
        return {key for found in self.values() for key in found}

    def counts(self) -> dict[str, int]:
        """Return the number of resources by kind."""
        return {kind: len(found) for kind, found in self.items() if found}


@dataclass(frozen=True)
class Call:
    """A call of the API, as the emulator received it."""

    action: str
    parameters: Mapping[str, str]

    @property
    def changes(self) -> bool:
        """Whether the call is one of those that change something."""
        return not self.action.startswith(("Describe", "Get", "List"))


@dataclass(frozen=True)
class Run:
    """A run of a playbook, and what was there after it."""

    code: int
    output: str
    calls: tuple[Call, ...] = field(repr=False)
    after: Resources = field(repr=False)
    files: frozenset[str]

    @property
    def text(self) -> str:
        """The output in one line: YAML folds long messages at spaces."""
        return " ".join(self.output.split())

    @property
    def changed(self) -> int:
        """How many tasks changed something, by the play recap."""
        return sum(
            int(count) for count in re.findall(r"\bchanged=(\d+)", self.output.split("PLAY RECAP")[-1])
        )

    @property
    def changes(self) -> list[str]:
        """The calls that change something, by name, in order."""
        return [call.action for call in self.calls if call.changes]


class Account:
    """One region of the emulated account, with a state directory of its own."""

    def __init__(self, emulator: Emulator, region: str, state: Path) -> None:
        self.emulator = emulator
        self.region = region
        self.numbers = itertools.count(1)
        self.state = state
        state.mkdir(mode=0o700)
        self.ec2 = boto3.client(
            "ec2",
            region_name=region,
            endpoint_url=emulator.url,
            aws_access_key_id="emulated-access-key",
            aws_secret_access_key=SECRET_KEY,
        )

    def tags(self, kind: str, stack: str, name: str = "") -> list[dict[str, Any]]:
        """Return what tags a resource at its creation."""
        tags = [{"Key": "Stack", "Value": stack}] + ([{"Key": "Name", "Value": name}] if name else [])
        return [{"ResourceType": kind, "Tags": tags}]

    def image(self) -> str:
        """Publish an image that the role finds and return its id."""
        image: str = self.ec2.register_image(Name="debian-13-amd64-test")["ImageId"]
        return image

    def resources(self) -> Resources:
        """Return all resources."""
        found = Resources()
        for kind, (method, answer, key, options) in KINDS.items():
            found[kind] = {item[key]: item for item in getattr(self.ec2, method)(**options)[answer]}
        found["instance"] = {
            item["InstanceId"]: item
            for reservation in self.ec2.describe_instances()["Reservations"]
            for item in reservation["Instances"]
            if item["State"]["Name"] != "terminated"
        }
        # What AWS tells of only one resource at a time.
        for key, vpc in found["vpc"].items():
            for name in ("enableDnsSupport", "enableDnsHostnames"):
                answer = self.ec2.describe_vpc_attribute(VpcId=key, Attribute=name)
                vpc[name] = answer[name[0].upper() + name[1:]]["Value"]
        for key, instance in found["instance"].items():
            answer = self.ec2.describe_instance_attribute(InstanceId=key, Attribute="userData")
            instance["userData"] = base64.b64decode(answer["UserData"].get("Value", "")).decode()
        return found

    def playbook(self, name: str, *arguments: str, credentials: bool = True, **variables: Any) -> Run:
        """Run a playbook of the collection with the inventory of AWS and this region as AWS."""
        # The emulator takes any access key: one for each run tells whose calls are whose.
        access_key = f"emulated-{next(self.numbers)}-{self.region}"
        keys = {"access_key": access_key, "secret_key": SECRET_KEY}
        given = {
            "pooled_aws": {
                "region": self.region,
                "endpoint_url": self.emulator.url,
                **(keys if credentials else {}),
            },
            "pooled_state_dir": str(self.state),
            "infrastructure_availability_zone": f"{self.region}a",
            "infrastructure_admin_cidr": "192.0.2.1/32",
            "infrastructure_image_owner": "self",
            "infrastructure_reach": "private",
            **variables,
        }
        # Not in the state directory, of which the tests say what is in it.
        file = self.state.with_name(f"{access_key}.json")
        file.write_text(json.dumps(given))
        # Only the inventory's static half: the other one asks the real AWS.
        options = ("-i", "inventory/aws/hosts.yml", "-e", f"@{file}", "--skip-tags", "inventory", *arguments)
        result = self.emulator.ansible_playbook(f"playbooks/{name}.yml", *options)
        calls = tuple(self.emulator.calls(access_key if credentials else None))
        # Else "no call that changes anything" would say nothing.
        assert calls or not credentials, result.stdout
        found = {str(path.relative_to(self.state)) for path in self.state.rglob("*")}
        # Every playbook locks its target.
        files = frozenset(found - {"lock"})
        return Run(result.returncode, result.stdout, calls, self.resources(), files)


class Emulator:
    """The lab's emulator on a free port of loopback, which records what it is asked."""

    def __init__(self, directory: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.recording = directory / "recording"
        self.recording.touch()
        # Nothing of who runs the tests: neither their settings nor their credentials.
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "AWS_", "MOLECULE_"))}
        self.environment = clean | {
            "ANSIBLE_HOME": str(directory / "ansible"),
            "AWS_CONFIG_FILE": str(directory / "none"),
            "AWS_SHARED_CREDENTIALS_FILE": str(directory / "none"),
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.log = directory / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, ROOT / "roles/lab/files/emulator/server.py", "--port", str(port)],
                cwd=directory,
                env=clean | {"MOTO_ENABLE_RECORDING": "1", "MOTO_RECORDER_FILEPATH": str(self.recording)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait(self) -> None:
        """Wait until it answers. Raises RuntimeError if it does not."""
        for _ in range(300):
            if self.process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.url}/moto-api/", timeout=5):  # noqa: S310
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.2)
        raise RuntimeError(f"the emulator doesn't answer:\n{self.log.read_text()}")

    def stop(self) -> None:
        """End it, whatever it is doing."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def ansible_playbook(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ansible-playbook in the checkout and return what it said, whatever its exit code."""
        return subprocess.run(
            [BIN / "ansible-playbook", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
            check=False,
        )

    def calls(self, access_key: str | None) -> Iterator[Call]:
        """Return the calls with an access key, or those with none."""
        with self.recording.open() as file:
            for line in file:
                entry = json.loads(line)
                signed = re.search(r"Credential=([^/]+)/", entry["headers"].get("Authorization", ""))
                if (signed and signed[1]) != access_key:
                    continue
                body = base64.b64decode(entry["body"]).decode() if entry["body_encoded"] else entry["body"]
                parameters = dict(urllib.parse.parse_qsl(body))
                if "Action" in parameters:
                    yield Call(parameters.pop("Action"), parameters)


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """Return an emulator that answers."""
    started = Emulator(tmp_path_factory.mktemp("emulator"))
    try:
        started.wait()
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="session")
def new_account(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Account]:
    """Return a maker of accounts in which there is nothing but AWS's defaults."""
    regions = itertools.chain(REGIONS)

    def make() -> Account:
        return Account(emulator, next(regions), tmp_path_factory.mktemp("account") / "state")

    return make


@pytest.fixture
def account(new_account: Callable[[], Account]) -> Account:
    """Return an account in which there is nothing but AWS's defaults."""
    return new_account()


@pytest.fixture(scope="session")
def stack_counts() -> dict[str, int]:
    """Return how many resources of each kind come with a stack of the role's defaults."""
    return {
        "vpc": 1,
        "subnet": 2,
        "igw": 1,
        "nat": 1,
        "eip": 1,
        # With each VPC come a main route table and a default security group.
        "route_table": 3,
        "security_group": 3,
        "key_pair": 1,
        "instance": 2,
        # With each instance comes its disk, and the database host has one for the data.
        "volume": 3,
    }
