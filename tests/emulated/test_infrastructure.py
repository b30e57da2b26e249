"""What the infrastructure's playbooks make of an account, told by boto3 and not by the role."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.emulated.conftest import Account, Resources, Run

WORLD = "0.0.0.0/0"
ADMIN = "192.0.2.1/32"
FILES = {"infrastructure.json", "ssh_config", "ssh_key", "ssh_key.pub"}


@dataclass(frozen=True)
class Site:
    """An account with another stack in it, before anything is done, and a first run there."""

    account: Account
    before: Resources
    first: Run
    public_key: str
    outputs: dict[str, Any]

    @property
    def made(self) -> Resources:
        """What the first run made."""
        return self.first.after.since(self.before)


def make_other_stack(account: Account) -> None:
    """Make a stack that differs from the role's in nothing but its tag.

    It has no NAT gateway: the emulator finds those by VPC, but takes no notice of a filter by tag.
    """
    ec2 = account.ec2
    vpc = ec2.create_vpc(
        CidrBlock="10.0.0.0/16", TagSpecifications=account.tags("vpc", "other", "postgres-db-vpc")
    )["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(
        VpcId=vpc,
        CidrBlock="10.0.1.0/24",
        TagSpecifications=account.tags("subnet", "other", "postgres-db-public-subnet"),
    )["Subnet"]["SubnetId"]
    gateway = ec2.create_internet_gateway(
        TagSpecifications=account.tags("internet-gateway", "other", "postgres-db-internet-gateway")
    )["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.allocate_address(Domain="vpc", TagSpecifications=account.tags("elastic-ip", "other"))
    group = ec2.create_security_group(
        GroupName="monitoring-security-group",
        Description="another one's",
        VpcId=vpc,
        TagSpecifications=account.tags("security-group", "other", "monitoring-security-group"),
    )["GroupId"]
    ec2.create_route_table(
        VpcId=vpc, TagSpecifications=account.tags("route-table", "other", "postgres-db-public-route-table")
    )
    ec2.create_key_pair(
        KeyName="other-db-cluster", KeyType="ed25519", TagSpecifications=account.tags("key-pair", "other")
    )
    ec2.run_instances(
        ImageId=account.image(),
        MinCount=1,
        MaxCount=1,
        SubnetId=subnet,
        SecurityGroupIds=[group],
        TagSpecifications=account.tags("instance", "other", "monitoring-server"),
    )


@pytest.fixture(scope="module")
def site(new_account: Callable[[], Account]) -> Site:
    account = new_account()
    make_other_stack(account)
    before = account.resources()
    first = account.playbook("provision")
    assert first.code == 0, first.output
    return Site(
        account,
        before,
        first,
        (account.state / "ssh_key.pub").read_text(),
        json.loads((account.state / "infrastructure.json").read_text()),
    )


@pytest.fixture(scope="module")
def two_vpcs(new_account: Callable[[], Account]) -> tuple[Account, set[str]]:
    account = new_account()
    tags = account.tags("vpc", "pooled")
    vpcs = [account.ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=tags) for _ in range(2)]
    return account, {vpc["Vpc"]["VpcId"] for vpc in vpcs}


@pytest.fixture(scope="module")
def bare(new_account: Callable[[], Account]) -> Account:
    return new_account()


# The life of one stack. Each stage has those before it as its fixtures and keeps what it saw, so that a test
# of any of them can run at any time.


@pytest.fixture(scope="module")
def harmless(site: Site) -> tuple[Run, Run, Run]:
    """A second run, a check and a check of the teardown: at the same time, as none should change anything."""
    with ThreadPoolExecutor() as pool:
        second = pool.submit(site.account.playbook, "provision")
        checked = pool.submit(site.account.playbook, "provision", "--check")
        teardown_checked = pool.submit(site.account.playbook, "teardown", "--check")
        return second.result(), checked.result(), teardown_checked.result()


@pytest.fixture(scope="module")
def second(harmless: tuple[Run, Run, Run]) -> Run:
    return harmless[0]


@pytest.fixture(scope="module")
def checked(harmless: tuple[Run, Run, Run]) -> Run:
    return harmless[1]


@pytest.fixture(scope="module")
def teardown_checked(harmless: tuple[Run, Run, Run]) -> Run:
    return harmless[2]


@pytest.fixture(scope="module")
def torn_down(site: Site, harmless: tuple[Run, Run, Run]) -> Run:
    return site.account.playbook("teardown")


@pytest.fixture(scope="module")
def torn_down_again(site: Site, torn_down: Run) -> Run:
    return site.account.playbook("teardown")


@pytest.fixture(scope="module")
def torn_down_with_data(site: Site, torn_down_again: Run) -> Run:
    return site.account.playbook("teardown", infrastructure_delete_data=True)


def rules(permissions: list[dict[str, Any]]) -> set[tuple[str, int | None, int | None, str]]:
    """Return rules as (protocol, first port, last port, source)."""
    return {
        (rule["IpProtocol"], rule.get("FromPort"), rule.get("ToPort"), source)
        for rule in permissions
        for source in [
            *(found["CidrIp"] for found in rule["IpRanges"]),
            *(found["CidrIpv6"] for found in rule["Ipv6Ranges"]),
            *(found["GroupId"] for found in rule["UserIdGroupPairs"]),
            *(found["PrefixListId"] for found in rule["PrefixListIds"]),
        ]
    }


def routes(table: dict[str, Any]) -> set[tuple[str, str]]:
    """Return routes as (destination, target)."""
    return {
        (route["DestinationCidrBlock"], route.get("NatGatewayId") or route["GatewayId"])
        for route in table["Routes"]
    }


def subnets(table: dict[str, Any]) -> list[str]:
    """Return the subnets that a route table is associated with."""
    return [association["SubnetId"] for association in table["Associations"]]


def test_the_first_run_makes_what_it_should_and_no_more(site: Site, stack_counts: dict[str, int]) -> None:
    assert site.made.counts() == stack_counts
    # What comes with a VPC carries no tag.
    tagged = {**stack_counts, "route_table": 2, "security_group": 2}
    assert site.made.of("pooled").counts() == tagged


def test_the_vpc_resolves_names(site: Site) -> None:
    vpc = site.made.named("vpc", "postgres-db-vpc")
    assert vpc["CidrBlock"] == "10.0.0.0/16"
    assert vpc["enableDnsSupport"] is True
    assert vpc["enableDnsHostnames"] is True


def test_one_subnet_is_public_and_one_is_not(site: Site) -> None:
    vpc = site.made.named("vpc", "postgres-db-vpc")["VpcId"]
    for name, cidr, public in (("public", "10.0.1.0/24", True), ("private", "10.0.2.0/24", False)):
        subnet = site.made.named("subnet", f"postgres-db-{name}-subnet")
        assert subnet["CidrBlock"] == cidr
        assert subnet["MapPublicIpOnLaunch"] is public
        assert subnet["VpcId"] == vpc
        assert subnet["AvailabilityZone"] == f"{site.account.region}a"


def test_the_public_subnet_has_a_way_out_and_in(site: Site) -> None:
    vpc = site.made.named("vpc", "postgres-db-vpc")["VpcId"]
    gateway = site.made.named("igw", "postgres-db-internet-gateway")
    assert [found["VpcId"] for found in gateway["Attachments"]] == [vpc]
    table = site.made.named("route_table", "postgres-db-public-route-table")
    assert routes(table) == {("10.0.0.0/16", "local"), (WORLD, gateway["InternetGatewayId"])}
    assert subnets(table) == [site.made.named("subnet", "postgres-db-public-subnet")["SubnetId"]]


def test_the_private_subnet_has_only_a_way_out(site: Site) -> None:
    gateway = site.made.named("nat", "postgres-db-nat-gateway")
    assert gateway["State"] == "available"
    assert gateway["SubnetId"] == site.made.named("subnet", "postgres-db-public-subnet")["SubnetId"]
    address = site.made.named("eip", "postgres-db-nat-eip")
    assert [found["AllocationId"] for found in gateway["NatGatewayAddresses"]] == [address["AllocationId"]]
    table = site.made.named("route_table", "postgres-db-private-route-table")
    assert routes(table) == {("10.0.0.0/16", "local"), (WORLD, gateway["NatGatewayId"])}
    assert subnets(table) == [site.made.named("subnet", "postgres-db-private-subnet")["SubnetId"]]


def test_only_the_admin_reaches_the_monitoring_host(site: Site) -> None:
    group = site.made.named("security_group", "monitoring-security-group")
    assert rules(group["IpPermissions"]) == {("tcp", port, port, ADMIN) for port in (22, 3000, 9090)}
    assert rules(group["IpPermissionsEgress"]) == {("-1", None, None, WORLD)}


def test_only_the_monitoring_host_reaches_the_database_host(site: Site) -> None:
    group = site.made.named("security_group", "postgres-db-security-group")
    source = site.made.named("security_group", "monitoring-security-group")["GroupId"]
    ports = (22, 5432, 6432, 9100, 9127, 9128, 9129, 9130, 9187)
    assert rules(group["IpPermissions"]) == {("tcp", port, port, source) for port in ports}
    assert rules(group["IpPermissionsEgress"]) == {("-1", None, None, WORLD)}


@pytest.mark.parametrize(
    ("name", "role", "group", "subnet"),
    [
        ("monitoring-server", "monitoring", "monitoring-security-group", "public"),
        ("postgres-db-server", "database", "postgres-db-security-group", "private"),
    ],
)
def test_instances_are_where_they_belong(site: Site, name: str, role: str, group: str, subnet: str) -> None:
    instance = site.made.named("instance", name)
    assert {"Key": "Role", "Value": role} in instance["Tags"]
    assert instance["State"]["Name"] == "running"
    assert instance["InstanceType"] == "t3.micro"
    assert instance["KeyName"] == "pooled-db-cluster"
    assert instance["SubnetId"] == site.made.named("subnet", f"postgres-db-{subnet}-subnet")["SubnetId"]
    groups = [found["GroupId"] for found in instance["SecurityGroups"]]
    assert groups == [site.made.named("security_group", group)["GroupId"]]
    assert ("PublicIpAddress" in instance) is (subnet == "public")
    # Without a token the metadata service, and so the instance's role, would be anyone's who can make a
    # server on it fetch a URL.
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    assert instance["userData"] == f"#cloud-config\nhostname: {name}\n"


def test_disks_are_encrypted_and_the_data_outlives_its_host(site: Site) -> None:
    assert all(volume["Encrypted"] for volume in site.made["volume"].values())
    data = site.made.named("volume", "postgres-db-server-data")
    assert (data["Size"], data["VolumeType"], data["AvailabilityZone"]) == (
        20,
        "gp3",
        f"{site.account.region}a",
    )
    (attachment,) = data["Attachments"]
    host = site.made.named("instance", "postgres-db-server")
    assert (attachment["InstanceId"], attachment["Device"]) == (host["InstanceId"], "/dev/sdf")
    for root in site.made["volume"].values():
        if root is not data:
            assert (root["Size"], root["VolumeType"]) == (8, "gp3")


def test_the_key_pair_is_the_one_in_the_state_directory(site: Site) -> None:
    (pair,) = site.made["key_pair"].values()
    assert pair["KeyName"] == "pooled-db-cluster"
    assert pair["PublicKey"].split()[:2] == site.public_key.split()[:2]
    # The private half was never sent.
    assert not [call for call in site.first.calls if call.action == "CreateKeyPair"]


def test_the_state_directory_says_what_is_there(site: Site) -> None:
    assert site.first.files == FILES
    made = {name: site.made.named("instance", name) for name in ("monitoring-server", "postgres-db-server")}
    assert site.outputs["stack"] == "pooled"
    assert site.outputs["vpc_id"] == site.made.named("vpc", "postgres-db-vpc")["VpcId"]
    assert site.outputs["instance_ids"] == {name: found["InstanceId"] for name, found in made.items()}
    assert site.outputs["private_addresses"] == {
        name: found["PrivateIpAddress"] for name, found in made.items()
    }


def test_a_second_run_changes_nothing(site: Site, second: Run) -> None:
    assert second.code == 0, second.output
    assert (second.changed, second.changes) == (0, [])
    assert second.after == site.first.after


def test_a_check_of_the_finished_stack_finds_nothing_to_change(site: Site, checked: Run) -> None:
    assert checked.code == 0, checked.output
    assert (checked.changed, checked.changes) == (0, [])


def test_a_check_of_an_empty_account_shows_the_plan(account: Account) -> None:
    account.image()
    before = account.resources()
    run = account.playbook("provision", "--check")
    assert run.code == 0, run.output
    for said in (
        f"Stack pooled in account 123456789012, region {account.region}:",
        "+ VPC postgres-db-vpc 10.0.0.0/16",
        "+ subnet postgres-db-public-subnet 10.0.1.0/24",
        "+ subnet postgres-db-private-subnet 10.0.2.0/24",
        "+ internet gateway",
        "+ elastic IP",
        "+ NAT gateway",
        f"+ security group monitoring-security-group: opens 22, 3000, 9090 to {ADMIN}",
        "+ key pair pooled-db-cluster",
        "+ instance monitoring-server (t3.micro) in the public subnet",
        "+ instance postgres-db-server (t3.micro) in the private subnet",
        "+ volume postgres-db-server-data (gp3, 20 GiB), encrypted",
        "+ route table postgres-db-private-route-table",
    ):
        assert said in run.text
    assert (run.changed, run.changes) == (1, [])
    assert run.after == before
    assert not run.files


def test_a_check_of_the_teardown_names_all_and_deletes_nothing(site: Site, teardown_checked: Run) -> None:
    run = teardown_checked
    assert run.code == 0, run.output
    for kind, found in site.made.of("pooled").items():
        for key, resource in found.items():
            # Root disks go with their instance, and key pairs are known by name.
            name = resource["KeyName"] if kind == "key_pair" else key
            root = (
                kind == "volume"
                and {"Key": "Name", "Value": "postgres-db-server-data"} not in resource["Tags"]
            )
            assert root or name in run.output
    assert "(goes with infrastructure_delete_data=true)" in run.text
    others = site.before.of("other").ids()
    assert not [key for key in others if key in run.output]
    assert run.changed > 0
    assert run.changes == []
    assert run.after == site.first.after
    assert run.files == FILES


def test_the_teardown_leaves_the_data_and_nothing_else(site: Site, torn_down: Run) -> None:
    assert torn_down.code == 0, torn_down.output
    # Nor does it leave what came untagged with the VPC.
    left = torn_down.after.since(site.before)
    assert left.counts() == {"volume": 1}
    assert left.named("volume", "postgres-db-server-data")["State"] == "available"
    assert torn_down.files <= {"secrets"}


def test_the_teardown_takes_the_data_where_told(site: Site, torn_down_with_data: Run) -> None:
    assert torn_down_with_data.code == 0, torn_down_with_data.output
    assert torn_down_with_data.changes == ["DeleteVolume"]
    assert torn_down_with_data.after.of("pooled").counts() == {}
    assert torn_down_with_data.after == site.before


def test_the_check_of_the_teardown_told_the_truth(teardown_checked: Run, torn_down: Run) -> None:
    assert teardown_checked.changed == torn_down.changed


# What AWS refuses while something else is there. The emulator would let most of it pass.
ORDER = [
    ("TerminateInstances", "DeleteSecurityGroup"),
    ("TerminateInstances", "DeleteSubnet"),
    # An internet gateway stays while a public address of its VPC is mapped.
    ("TerminateInstances", "DetachInternetGateway"),
    ("ReleaseAddress", "DetachInternetGateway"),
    ("DeleteNatGateway", "ReleaseAddress"),
    ("DeleteNatGateway", "DeleteSubnet"),
    ("DetachInternetGateway", "DeleteInternetGateway"),
    *(
        (action, "DeleteVpc")
        for action in ("DeleteSubnet", "DeleteSecurityGroup", "DeleteRouteTable", "DetachInternetGateway")
    ),
]


@pytest.mark.parametrize(("first", "then"), ORDER)
def test_the_teardown_keeps_the_order_that_aws_wants(torn_down: Run, first: str, then: str) -> None:
    changes = torn_down.changes
    assert len(changes) - changes[::-1].index(first) - 1 < changes.index(then), changes


def test_the_group_that_refers_to_another_goes_before_it(site: Site, torn_down: Run) -> None:
    deleted = [call.parameters["GroupId"] for call in torn_down.calls if call.action == "DeleteSecurityGroup"]
    assert deleted == [
        site.made.named("security_group", name)["GroupId"]
        for name in ("postgres-db-security-group", "monitoring-security-group")
    ]


@pytest.mark.parametrize(
    ("action", "question"),
    [("TerminateInstances", "DescribeInstances"), ("DeleteNatGateway", "DescribeNatGateways")],
)
def test_the_teardown_asks_whether_what_takes_time_is_done(
    torn_down: Run, action: str, question: str
) -> None:
    actions = [call.action for call in torn_down.calls]
    between = torn_down.calls[actions.index(action) : actions.index("ReleaseAddress")]
    assert any(call.action == question for call in between)


def test_a_second_teardown_changes_nothing(torn_down: Run, torn_down_again: Run) -> None:
    assert torn_down_again.code == 0, torn_down_again.output
    assert (torn_down_again.changed, torn_down_again.changes) == (0, [])
    assert torn_down_again.after == torn_down.after


def test_another_stack_is_not_touched(site: Site, torn_down_again: Run) -> None:
    other = site.before.of("other")
    assert other.counts() == {
        "vpc": 1,
        "subnet": 1,
        "igw": 1,
        "eip": 1,
        "route_table": 1,
        "security_group": 1,
        "key_pair": 1,
        "instance": 1,
    }
    assert site.first.after.of("other") == other
    assert torn_down_again.after.of("other") == other


@pytest.mark.parametrize("vpc_is_left", [True, False])
def test_a_teardown_that_was_broken_off_is_finished(account: Account, vpc_is_left: bool) -> None:
    before = account.resources()
    ec2 = account.ec2
    ec2.allocate_address(Domain="vpc", TagSpecifications=account.tags("elastic-ip", "pooled"))
    # Made but never attached.
    ec2.create_internet_gateway(TagSpecifications=account.tags("internet-gateway", "pooled"))
    ec2.create_key_pair(KeyName="pooled-db-cluster", TagSpecifications=account.tags("key-pair", "pooled"))
    if vpc_is_left:
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=account.tags("vpc", "pooled"))
        ec2.create_subnet(
            VpcId=vpc["Vpc"]["VpcId"],
            CidrBlock="10.0.2.0/24",
            TagSpecifications=account.tags("subnet", "pooled"),
        )
    (account.state / "ssh_key").touch()
    (account.state / "kept").touch()
    run = account.playbook("teardown")
    assert run.code == 0, run.output
    assert run.after == before
    assert run.files == {"kept"}


def test_a_teardown_says_what_it_could_not_remove(account: Account) -> None:
    # Someone gave the tag to an instance in a VPC that is not the stack's.
    instance = account.ec2.run_instances(
        ImageId=account.image(),
        MinCount=1,
        MaxCount=1,
        TagSpecifications=account.tags("instance", "pooled"),
    )["Instances"][0]["InstanceId"]
    (account.state / "ssh_key").touch()
    run = account.playbook("teardown")
    assert run.code != 0
    assert f"Failed to tear down the stack: {instance} still carry the tag Stack=pooled." in run.text
    assert run.changes == []
    assert run.files == {"ssh_key"}


@pytest.mark.parametrize("playbook", ["provision", "teardown"])
def test_two_vpcs_of_one_stack_are_refused(two_vpcs: tuple[Account, set[str]], playbook: str) -> None:
    account, vpcs = two_vpcs
    run = account.playbook(playbook)
    assert run.code != 0
    assert "2 VPCs carry the tag" in run.text
    assert ("pooled_stack" if playbook == "provision" else "Take the tag from the one") in run.text
    assert all(vpc in run.text for vpc in vpcs)
    assert (run.changed, run.changes) == (0, [])


@pytest.mark.parametrize("playbook", ["provision", "teardown"])
def test_without_credentials_the_lab_is_named(bare: Account, playbook: str) -> None:
    run = bare.playbook(playbook, credentials=False)
    assert run.code != 0
    assert "Failed to read the stack pooled" in run.text
    assert "aws configure" in run.text
    assert "make demo" in run.text
    assert run.calls == ()


def test_the_teardown_of_the_lab_has_no_host_for_the_play_on_aws(bare: Account) -> None:
    # Where localhost is in the group lab, the lab goes as a whole.
    output = bare.emulator.ansible_playbook(
        "playbooks/teardown.yml", "-i", "inventory/lab/hosts.yml", "--list-hosts"
    ).stdout
    hosts = dict(re.findall(r"play #\d \([^)]*\): ([^\t]*)\t.*\n.*\n    hosts \((\d)\)", output))
    assert hosts == {"Lock the target": "2", "Remove the infrastructure": "0", "Remove the lab": "1"}, output
    assert "WARNING" not in output
