"""What is done so that a stack becomes what is wanted, and what can't be done."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._ec2_stack import model, plan

Found = dict[str, Any]
Wanted = dict[str, Any]
Edit = Callable[[Found], object]

ZONE = "ap-southeast-1a"
KEY = "ssh-ed25519 AAAA"
ADMIN = "Those who run the stack"
DATABASE = "Jump host"
AFRESH = (
    "set it back, or take the stack down and bring it up again, or bring up a second one under another"
    " pooled_stack"
)
PUBLIC_TABLE = "route table p-public-route-table: 0.0.0.0/0 by the internet gateway, for subnets public"
PRIVATE_TABLE = "route table p-private-route-table: 0.0.0.0/0 by the NAT gateway, for subnets private"


def volume(name: str, size: int, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "size": size,
        "type": "gp3",
        "iops": 0,
        "throughput": 0,
        "encrypted": True,
        **changes,
    }


def host(name: str, role: str, subnet: str, data: int = 0) -> dict[str, Any]:
    return {
        "name": name,
        "role": role,
        "subnet": subnet,
        "groups": [role],
        "type": "t3.micro",
        "profile": "",
        "termination_protection": False,
        "root_volume": volume(f"{name}-root", 8),
        "data_volume": volume(f"{name}-data", data) if data else None,
    }


def wish() -> Wanted:
    return {
        "prefix": "p",
        "vpc": {"name": "p-vpc", "cidr": "10.0.0.0/16"},
        "subnets": {
            "public": {"name": "p-public-subnet", "cidr": "10.0.1.0/24", "zone": ZONE, "public": True},
            "private": {"name": "p-private-subnet", "cidr": "10.0.2.0/24", "zone": ZONE, "public": False},
        },
        "groups": {
            "monitoring": {
                "name": "m-group",
                "description": "M",
                "rules": [{"ports": [22, 3000], "source": "192.0.2.7/32", "description": ADMIN}],
            },
            "database": {
                "name": "d-group",
                "description": "D",
                "rules": [{"ports": [22, 5432], "source": "monitoring", "description": DATABASE}],
            },
        },
        "key_pair": {"name": "k", "file": "ssh_key", "public_key": KEY},
        "instances": [host("mon", "monitoring", "public"), host("db", "database", "private", 20)],
    }


def tagged(name: str = "", **tags: str) -> list[dict[str, str]]:
    return [
        {"Key": key, "Value": value} for key, value in {"Name": name, "Stack": "s", **tags}.items() if value
    ]


def subnet(key: str, cidr: str, public: bool, zone: str = ZONE) -> dict[str, Any]:
    return {
        "SubnetId": f"subnet-{key}",
        "VpcId": "vpc-1",
        "CidrBlock": cidr,
        "AvailabilityZone": zone,
        "MapPublicIpOnLaunch": public,
        "Tags": tagged(f"p-{key}-subnet"),
    }


def table(key: str, *subnets: str) -> dict[str, Any]:
    target = {"GatewayId": "igw-1"} if key == "public" else {"NatGatewayId": "nat-1"}
    return {
        "RouteTableId": f"rtb-{key}",
        "VpcId": "vpc-1",
        "Routes": [
            {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"},
            {"DestinationCidrBlock": "0.0.0.0/0", "State": "active", **target},
        ],
        "Associations": [{"Main": False, "SubnetId": f"subnet-{one}"} for one in subnets],
        "Tags": tagged(f"p-{key}-route-table"),
    }


def permission(port: int, **source: Any) -> dict[str, Any]:
    return {
        "IpProtocol": "tcp",
        "FromPort": port,
        "ToPort": port,
        "IpRanges": [],
        "Ipv6Ranges": [],
        "PrefixListIds": [],
        "UserIdGroupPairs": [],
        **source,
    }


def instance(name: str, role: str, subnet_key: str, **changes: Any) -> dict[str, Any]:
    return {
        "InstanceId": f"i-{name}",
        "VpcId": "vpc-1",
        "SubnetId": f"subnet-{subnet_key}",
        "InstanceType": "t3.micro",
        "State": {"Name": "running"},
        "SecurityGroups": [{"GroupId": f"sg-{role}", "GroupName": "?"}],
        "MetadataOptions": {"HttpTokens": "required"},
        "RootDeviceName": "/dev/xvda",
        "BlockDeviceMappings": [
            {"DeviceName": "/dev/sdf", "Ebs": {"VolumeId": f"vol-{name}-data"}},
            {"DeviceName": "/dev/xvda", "Ebs": {"VolumeId": f"vol-{name}-root"}},
        ],
        "Tags": tagged(name, Role=role),
        **changes,
    }


def disk(key: str, name: str, size: int, user: str) -> dict[str, Any]:
    return {
        "VolumeId": f"vol-{key}",
        "Size": size,
        "VolumeType": "gp3",
        "Iops": 3000,
        "Throughput": 125,
        "Encrypted": True,
        "AvailabilityZone": ZONE,
        "State": "in-use",
        "Attachments": [{"InstanceId": user, "State": "attached"}],
        "Tags": tagged(name),
    }


def answers() -> dict[str, list[dict[str, Any]]]:
    """Return the finished stack as boto3 tells it."""
    admin = {"IpRanges": [{"CidrIp": "192.0.2.7/32", "Description": ADMIN}]}
    jump = {"UserIdGroupPairs": [{"GroupId": "sg-monitoring", "Description": DATABASE, "UserId": "1"}]}
    return {
        "vpcs": [{"VpcId": "vpc-1", "CidrBlock": "10.0.0.0/16", "Tags": tagged("p-vpc")}],
        "subnets": [subnet("public", "10.0.1.0/24", True), subnet("private", "10.0.2.0/24", False)],
        "internet_gateways": [
            {
                "InternetGatewayId": "igw-1",
                "Attachments": [{"State": "available", "VpcId": "vpc-1"}],
                "Tags": tagged(),
            }
        ],
        "nat_gateways": [
            {"NatGatewayId": "nat-1", "VpcId": "vpc-1", "State": "available", "Tags": tagged()},
        ],
        "addresses": [{"AllocationId": "eip-1", "AssociationId": "eipassoc-1", "Tags": tagged()}],
        "route_tables": [table("public", "public"), table("private", "private")],
        "security_groups": [
            {
                "GroupId": "sg-monitoring",
                "GroupName": "m-group",
                "VpcId": "vpc-1",
                "IpPermissions": [permission(22, **admin), permission(3000, **admin)],
                "Tags": tagged("m-group"),
            },
            {
                "GroupId": "sg-database",
                "GroupName": "d-group",
                "VpcId": "vpc-1",
                "IpPermissions": [permission(22, **jump), permission(5432, **jump)],
                "Tags": tagged("d-group"),
            },
        ],
        "key_pairs": [
            {"KeyPairId": "key-1", "KeyName": "k", "PublicKey": f"{KEY} who@where", "Tags": tagged()}
        ],
        "volumes": [
            disk("db-data", "db-data", 20, "i-db"),
            disk("db-root", "db", 8, "i-db"),
            disk("mon-root", "mon", 8, "i-mon"),
        ],
        "instances": [instance("db", "database", "private"), instance("mon", "monitoring", "public")],
    }


def found_of(told: dict[str, list[dict[str, Any]]]) -> Found:
    """Return what the module returns of it."""
    found: Found = {
        kind: model.resources(
            kind, {key: [{"Instances": told[kind]}] if kind == "instances" else told[kind]}, "s"
        )
        for kind, (key, _) in model.KINDS.items()
    }
    for vpc in found["vpcs"]:
        vpc |= {"enable_dns_support": True, "enable_dns_hostnames": True}
    return found


def finished() -> Found:
    return found_of(answers())


def empty() -> Found:
    return {kind: [] for kind in model.KINDS}


def one(found: Found, kind: str, ident: str) -> dict[str, Any]:
    """Return the resource of an id, to be edited."""
    return next(item for item in found[kind] if ident in item.values())


def without(kind: str, ident: str) -> Edit:
    return lambda found: found[kind].remove(one(found, kind, ident))


def change(kind: str, ident: str, **values: Any) -> Edit:
    return lambda found: one(found, kind, ident).update(values)


def both(*edits: Edit) -> Edit:
    return lambda found: [edit(found) for edit in edits]


def planned(
    edit: Edit | None = None, wanted: Wanted | None = None, found: Found | None = None
) -> dict[str, Any]:
    there = finished() if found is None else found
    if edit:
        edit(there)
    wanted = wanted or wish()
    before = copy.deepcopy((there, wanted))
    result = plan.stack_plan(there, wanted)
    assert (there, wanted) == before, "the arguments are looked at only"
    assert set(result["todo"]) == set(plan.KINDS)
    assert sum(map(len, result["todo"].values())) == len(result["lines"])
    return result


def todo(result: dict[str, Any]) -> dict[str, list[str]]:
    return {kind: keys for kind, keys in result["todo"].items() if keys}


class TestWhole:
    def test_an_empty_account_gets_everything_in_the_order_in_which_it_is_made(self) -> None:
        result = planned(found=empty())
        assert result["problems"] == []
        assert result["lines"] == [
            "+ VPC p-vpc 10.0.0.0/16",
            "+ subnet p-public-subnet 10.0.1.0/24 in ap-southeast-1a",
            "+ subnet p-private-subnet 10.0.2.0/24 in ap-southeast-1a",
            "+ internet gateway p-internet-gateway",
            "+ elastic IP p-nat-eip",
            "+ NAT gateway p-nat-gateway",
            "+ security group m-group: opens 22, 3000 to 192.0.2.7/32",
            "+ security group d-group: opens 22, 5432 to m-group",
            "+ key pair k",
            "+ instance mon (t3.micro) in the public subnet",
            "+ volume db-data (gp3, 20 GiB), encrypted",
            "+ instance db (t3.micro) in the private subnet",
            "+ volume db-data attached to db",
            f"+ {PUBLIC_TABLE}",
            f"+ {PRIVATE_TABLE}",
        ]
        assert todo(result) == {
            "vpc": ["vpc"],
            "subnet": ["public", "private"],
            "internet_gateway": [""],
            "address": [""],
            "nat_gateway": [""],
            "group": ["monitoring", "database"],
            "key_pair": ["k"],
            "instance": ["mon", "db"],
            "volume": ["db"],
            "attachment": ["db"],
            "route_table": ["public", "private"],
        }
        assert result["ids"] == {
            "vpc": "",
            "subnets": {},
            "groups": {},
            "internet_gateway": "",
            "address": "",
            "nat_gateway": "",
            "instances": {},
            "volumes": {},
        }

    def test_a_finished_stack_needs_nothing(self) -> None:
        result = planned()
        assert (result["problems"], result["lines"], todo(result)) == ([], [], {})
        assert (result["groups"], result["volumes"]) == ([], [])
        assert result["ids"] == {
            "vpc": "vpc-1",
            "subnets": {"public": "subnet-public", "private": "subnet-private"},
            "groups": {"monitoring": "sg-monitoring", "database": "sg-database"},
            "internet_gateway": "igw-1",
            "address": "eip-1",
            "nat_gateway": "nat-1",
            "instances": {"mon": "i-mon", "db": "i-db"},
            "volumes": {"db": "vol-db-data"},
        }

    @pytest.mark.parametrize("kind", plan.KINDS)
    def test_every_kind_is_a_key_of_an_empty_account_or_a_start(self, kind: str) -> None:
        assert planned(found=empty())["todo"][kind] or kind == "start"


FREE_ADDRESS = change("addresses", "eip-1", association_id=None)


@pytest.mark.parametrize(
    ("edit", "expected", "lines"),
    [
        (
            without("internet_gateways", "igw-1"),
            {"internet_gateway": [""], "route_table": ["public"]},
            ["+ internet gateway p-internet-gateway", f"~ {PUBLIC_TABLE}"],
        ),
        (
            both(without("nat_gateways", "nat-1"), FREE_ADDRESS),
            {"nat_gateway": [""], "route_table": ["private"]},
            ["+ NAT gateway p-nat-gateway", f"~ {PRIVATE_TABLE}"],
        ),
        (
            both(without("nat_gateways", "nat-1"), without("addresses", "eip-1")),
            {"address": [""], "nat_gateway": [""], "route_table": ["private"]},
            ["+ elastic IP p-nat-eip", "+ NAT gateway p-nat-gateway", f"~ {PRIVATE_TABLE}"],
        ),
        # The gateway that is there has one, whether it carries the tag or not.
        (without("addresses", "eip-1"), {}, []),
        (without("route_tables", "rtb-public"), {"route_table": ["public"]}, [f"+ {PUBLIC_TABLE}"]),
        (without("route_tables", "rtb-private"), {"route_table": ["private"]}, [f"+ {PRIVATE_TABLE}"]),
        (without("key_pairs", "key-1"), {"key_pair": ["k"]}, ["+ key pair k"]),
        (change("key_pairs", "key-1", key_name="k2"), {"key_pair": ["k"]}, ["+ key pair k"]),
        (
            without("volumes", "vol-db-data"),
            {"volume": ["db"], "attachment": ["db"]},
            ["+ volume db-data (gp3, 20 GiB), encrypted", "+ volume db-data attached to db"],
        ),
        (
            change("volumes", "vol-db-data", state="deleting"),
            {"volume": ["db"], "attachment": ["db"]},
            ["+ volume db-data (gp3, 20 GiB), encrypted", "+ volume db-data attached to db"],
        ),
        # A root disk that does not carry the tag is not judged.
        (without("volumes", "vol-db-root"), {}, []),
        (
            both(without("instances", "i-db"), change("volumes", "vol-db-data", attachments=[])),
            {"instance": ["db"], "attachment": ["db"]},
            ["+ instance db (t3.micro) in the private subnet", "+ volume db-data attached to db"],
        ),
        (
            without("instances", "i-mon"),
            {"instance": ["mon"]},
            ["+ instance mon (t3.micro) in the public subnet"],
        ),
        # The rules of the other one refer to it.
        (
            both(without("security_groups", "sg-monitoring"), without("instances", "i-mon")),
            {"group": ["monitoring", "database"], "instance": ["mon"]},
            [
                "+ security group m-group: opens 22, 3000 to 192.0.2.7/32",
                "~ security group d-group: opens 22, 5432 to m-group; closes 22, 5432 for sg-monitoring",
                "+ instance mon (t3.micro) in the public subnet",
            ],
        ),
        (
            without("security_groups", "sg-database"),
            {"group": ["database"], "instance": ["db"]},
            [
                "+ security group d-group: opens 22, 5432 to m-group",
                "~ instance i-db (db): security groups database",
            ],
        ),
    ],
)
def test_what_is_missing_is_made(edit: Edit, expected: dict[str, list[str]], lines: list[str]) -> None:
    result = planned(edit)
    assert result["problems"] == []
    assert todo(result) == expected
    assert result["lines"] == lines


def test_a_missing_subnet_is_made_and_routed() -> None:
    wanted = wish()
    wanted["instances"] = []
    result = planned(
        both(without("subnets", "subnet-private"), change("route_tables", "rtb-private", associations=[])),
        wanted,
    )
    assert todo(result) == {"subnet": ["private"], "route_table": ["private"]}
    assert result["lines"] == [f"+ subnet p-private-subnet 10.0.2.0/24 in {ZONE}", f"~ {PRIVATE_TABLE}"]
    assert result["ids"]["subnets"] == {"public": "subnet-public"}


def routes(*targets: dict[str, str]) -> list[dict[str, str]]:
    local = {"destination_cidr_block": "10.0.0.0/16", "gateway_id": "local"}
    return [local, *({"destination_cidr_block": "0.0.0.0/0", **target} for target in targets)]


def members(*subnets: str) -> list[dict[str, Any]]:
    return [{"main": False, "subnet_id": f"subnet-{key}"} for key in subnets]


@pytest.mark.parametrize(
    ("edit", "expected", "line"),
    [
        *(
            (
                change("vpcs", "vpc-1", **{name: False}),
                {"vpc": ["vpc"]},
                "VPC vpc-1: resolves names and gives host names",
            )
            for name in ("enable_dns_support", "enable_dns_hostnames")
        ),
        (
            change("subnets", "subnet-public", map_public_ip_on_launch=False),
            {"subnet": ["public"]},
            f"subnet p-public-subnet 10.0.1.0/24 in {ZONE}: gives public addresses",
        ),
        (
            change("subnets", "subnet-private", map_public_ip_on_launch=True),
            {"subnet": ["private"]},
            f"subnet p-private-subnet 10.0.2.0/24 in {ZONE}: gives no public addresses",
        ),
        # By its CIDR it is found still, and the instance in it stays where it is.
        (
            change("subnets", "subnet-private", tags={"Stack": "s"}),
            {"subnet": ["private"]},
            f"subnet p-private-subnet 10.0.2.0/24 in {ZONE}: tag Name=p-private-subnet",
        ),
        (
            change("subnets", "subnet-public", tags={"Name": "mine"}, map_public_ip_on_launch=False),
            {"subnet": ["public"]},
            f"subnet p-public-subnet 10.0.1.0/24 in {ZONE}: tag Name=p-public-subnet; gives public addresses",
        ),
        (
            change("internet_gateways", "igw-1", attachments=[]),
            {"internet_gateway": [""]},
            "internet gateway igw-1: attached to the VPC",
        ),
        (
            lambda found: one(found, "internet_gateways", "igw-1").pop("attachments"),
            {"internet_gateway": [""]},
            "internet gateway igw-1: attached to the VPC",
        ),
        *(
            (
                change("route_tables", "rtb-public", routes=routes(*targets)),
                {"route_table": ["public"]},
                PUBLIC_TABLE,
            )
            for targets in (
                [],
                [{"gateway_id": "igw-2"}],
                [{"transit_gateway_id": "tgw-1"}],
                [{"nat_gateway_id": "nat-1"}],
            )
        ),
        (
            change("route_tables", "rtb-private", routes=routes({"nat_gateway_id": "nat-0"})),
            {"route_table": ["private"]},
            PRIVATE_TABLE,
        ),
        *(
            (
                change("route_tables", "rtb-private", associations=members(*subnets)),
                {"route_table": ["private"]},
                PRIVATE_TABLE,
            )
            for subnets in ([], ["public"], ["private", "public"])
        ),
        (
            change("instances", "i-db", tags={"Name": "db", "Role": "other"}),
            {"instance": ["db"]},
            "instance i-db (db): tag Role=database",
        ),
        (
            change("instances", "i-db", tags={"Name": "db"}),
            {"instance": ["db"]},
            "instance i-db (db): tag Role=database",
        ),
        *(
            (
                change("instances", "i-mon", security_groups=[{"group_id": group} for group in groups]),
                {"instance": ["mon"]},
                "instance i-mon (mon): security groups monitoring",
            )
            for groups in ([], ["sg-database"], ["sg-monitoring", "sg-default"])
        ),
        *(
            (
                change("instances", "i-mon", metadata_options=options),
                {"instance": ["mon"]},
                "instance i-mon (mon): metadata only with a token",
            )
            for options in ({"http_tokens": "optional"}, None)
        ),
        (
            change("instances", "i-db", disable_api_termination=True),
            {"instance": ["db"]},
            "instance i-db (db): termination protection off",
        ),
        (
            change("instances", "i-db", disable_api_termination=True, tags={"Name": "db"}),
            {"instance": ["db"]},
            "instance i-db (db): tag Role=database; termination protection off",
        ),
        *(
            (
                change("instances", "i-db", state={"name": state}),
                {"start": ["db"]},
                "instance i-db (db): started",
            )
            for state in ("stopped", "stopping")
        ),
        (
            change("volumes", "vol-db-data", attachments=[]),
            {"attachment": ["db"]},
            "volume db-data attached to db",
        ),
        (
            change("volumes", "vol-db-data", size=10),
            {"volume": ["db"]},
            "volume vol-db-data (db-data): grows from 10 to 20 GiB",
        ),
        (
            change("volumes", "vol-db-data", volume_type="gp2", iops=100, throughput=None),
            {"volume": ["db"]},
            "volume vol-db-data (db-data): becomes gp3; 3000 IOPS; 125 MiB/s",
        ),
        (
            change("volumes", "vol-db-data", iops=4000),
            {"volume": ["db"]},
            "volume vol-db-data (db-data): 3000 IOPS",
        ),
        (
            change("volumes", "vol-db-data", throughput=500),
            {"volume": ["db"]},
            "volume vol-db-data (db-data): 125 MiB/s",
        ),
        (
            change("volumes", "vol-db-root", size=4, iops=4000),
            {"volume": ["db/root"]},
            "volume vol-db-root (db-root): grows from 4 to 8 GiB; 3000 IOPS",
        ),
    ],
)
def test_what_differs_is_changed(edit: Edit, expected: dict[str, list[str]], line: str) -> None:
    result = planned(edit)
    assert result["problems"] == []
    assert todo(result) == expected
    assert result["lines"] == [f"{'+' if 'attachment' in expected else '~'} {line}"]


@pytest.mark.parametrize(
    "edit",
    [
        *(change("instances", "i-db", state={"name": state}) for state in ("pending", "running")),
        change("nat_gateways", "nat-1", state="pending"),
        # Emulated APIs leave them out.
        change("volumes", "vol-db-data", iops=None, throughput=None),
        change("route_tables", "rtb-public", associations=[{"main": True}, *members("public")]),
        change("key_pairs", "key-1", tags={}),
        change("instances", "i-db", iam_instance_profile={"arn": "arn:aws:iam::1:instance-profile/theirs"}),
    ],
)
def test_what_makes_no_difference(edit: Edit) -> None:
    result = planned(edit)
    assert (result["problems"], result["lines"]) == ([], [])


class TestWishes:
    """What differs because the inputs changed."""

    @pytest.mark.parametrize(
        ("change_of", "there", "line"),
        [
            ({"iops": 4000}, {}, "4000 IOPS"),
            ({"iops": 4000, "throughput": 500}, {}, "4000 IOPS; 500 MiB/s"),
            ({"iops": 3000, "throughput": 125}, {}, None),
            ({"iops": 3000, "throughput": 125}, {"iops": 0, "throughput": 0}, None),
            ({"type": "gp2"}, {}, "becomes gp2"),
            ({"type": "gp2"}, {"volume_type": "gp2", "iops": 100, "throughput": None}, None),
            ({"type": "io2", "iops": 3000}, {}, "becomes io2"),
            ({"type": "io2", "iops": 5000}, {"volume_type": "io2", "iops": 4000}, "5000 IOPS"),
            ({"size": 30}, {}, "grows from 20 to 30 GiB"),
        ],
    )
    def test_volume(self, change_of: dict[str, Any], there: dict[str, Any], line: str | None) -> None:
        wanted = wish()
        wanted["instances"][1]["data_volume"].update(change_of)
        result = planned(change("volumes", "vol-db-data", **there), wanted)
        assert result["problems"] == []
        assert result["lines"] == ([f"~ volume vol-db-data (db-data): {line}"] if line else [])

    @pytest.mark.parametrize(
        ("arn", "count"),
        [
            (None, 1),
            ("arn:aws:iam::1:instance-profile/other", 1),
            ("arn:aws:iam::1:instance-profile/path/mine", 0),
        ],
    )
    def test_profile(self, arn: str | None, count: int) -> None:
        wanted = wish()
        wanted["instances"][1]["profile"] = "mine"
        edit = change("instances", "i-db", iam_instance_profile={"arn": arn} if arn else None)
        result = planned(edit, wanted)
        assert result["lines"] == []
        assert len(result["problems"]) == count
        assert all(
            "i-db (db) was launched without the profile mine" in one.replace("instance ", "")
            for one in result["problems"]
        )

    @pytest.mark.parametrize(("there", "line"), [(False, "termination protection on"), (True, None)])
    def test_termination_protection(self, there: bool, line: str | None) -> None:
        wanted = wish()
        wanted["instances"][0]["termination_protection"] = True
        result = planned(change("instances", "i-mon", disable_api_termination=there), wanted)
        assert result["lines"] == ([f"~ instance i-mon (mon): {line}"] if line else [])

    def test_a_volume_that_is_no_longer_wanted_is_left_alone(self) -> None:
        wanted = wish()
        wanted["instances"][1]["data_volume"] = None
        result = planned(wanted=wanted)
        assert (result["problems"], result["lines"], result["ids"]["volumes"]) == ([], [], {})

    def test_a_volume_that_is_not_encrypted_is_not_said_to_be(self) -> None:
        wanted = wish()
        wanted["instances"][1]["data_volume"]["encrypted"] = False
        result = planned(without("volumes", "vol-db-data"), wanted)
        assert result["lines"][0] == "+ volume db-data (gp3, 20 GiB)"


def permitted(
    protocol: str = "tcp", first: int | None = 22, last: int | None = None, **source: Any
) -> dict[str, Any]:
    ports = {} if first is None else {"from_port": first, "to_port": first if last is None else last}
    return {"ip_protocol": protocol, **ports, **source}


def cidr(text: str, description: str | None = None) -> dict[str, Any]:
    return {"ip_ranges": [{"cidr_ip": text, **({"description": description} if description else {})}]}


OWN = [permitted(first=port, **cidr("192.0.2.7/32", ADMIN)) for port in (22, 3000)]


@pytest.mark.parametrize(
    ("permissions", "line"),
    [
        ([], "opens 22, 3000 to 192.0.2.7/32"),
        (None, "opens 22, 3000 to 192.0.2.7/32"),
        (OWN[:1], "opens 3000 to 192.0.2.7/32"),
        ([*OWN, permitted(first=9090, **cidr("192.0.2.7/32"))], "closes 9090 for 192.0.2.7/32"),
        ([*OWN, permitted(first=8000, last=8010, **cidr("0.0.0.0/0"))], "closes 8000-8010 for 0.0.0.0/0"),
        ([*OWN, permitted("udp", 53, **cidr("10.0.0.0/8"))], "closes udp 53 for 10.0.0.0/8"),
        (
            [*OWN, permitted("-1", None, user_id_group_pairs=[{"group_id": "sg-database"}])],
            "closes everything for d-group",
        ),
        ([*OWN, permitted(ipv6_ranges=[{"cidr_ipv6": "::/0"}])], "closes 22 for ::/0"),
        ([*OWN, permitted(prefix_list_ids=[{"prefix_list_id": "pl-1"}])], "closes 22 for pl-1"),
        (
            [permitted(first=port, **cidr("198.51.100.1/32", ADMIN)) for port in (22, 3000)],
            "opens 22, 3000 to 192.0.2.7/32; closes 22, 3000 for 198.51.100.1/32",
        ),
        (
            [permitted(first=port, **cidr("192.0.2.7/32", "Old")) for port in (22, 3000)],
            "updates the descriptions of its rules",
        ),
        ([OWN[0], permitted(first=3000, **cidr("192.0.2.7/32"))], "updates the descriptions of its rules"),
        # Ranges of ports that happen to hold the same ones are other rules.
        (
            [permitted(first=22, last=3000, **cidr("192.0.2.7/32", ADMIN))],
            "opens 22, 3000 to 192.0.2.7/32; closes 22-3000 for 192.0.2.7/32",
        ),
        (OWN[::-1], None),
        ([{**OWN[0], "ip_ranges": None, **cidr("192.0.2.7/32", ADMIN)}, OWN[1]], None),
    ],
)
def test_rules(permissions: list[dict[str, Any]] | None, line: str | None) -> None:
    result = planned(change("security_groups", "sg-monitoring", ip_permissions=permissions))
    assert todo(result) == ({"group": ["monitoring"]} if line else {})
    assert result["lines"] == ([f"~ security group m-group: {line}"] if line else [])


def test_a_group_that_is_to_open_nothing() -> None:
    wanted = wish()
    wanted["groups"]["monitoring"]["rules"] = []
    assert "+ security group m-group: opens nothing" in planned(found=empty(), wanted=wanted)["lines"]


def test_rules_of_one_permission_with_many_sources() -> None:
    ranges = [{"cidr_ip": "192.0.2.0/24", "description": "A"}, {"cidr_ip": "198.51.100.0/24"}]
    pairs = [{"group_id": "sg-1", "description": None}]
    assert plan.rules_of([permitted(ip_ranges=ranges, user_id_group_pairs=pairs), permitted("-1", None)]) == {
        ("tcp", 22, 22, "192.0.2.0/24", "A"),
        ("tcp", 22, 22, "198.51.100.0/24", ""),
        ("tcp", 22, 22, "sg-1", ""),
    }


class TestArguments:
    def test_groups_refer_by_name_to_one_that_is_made_before(self) -> None:
        assert planned(found=empty())["groups"] == [
            {
                "name": "m-group",
                "description": "M",
                "rules": [
                    {"proto": "tcp", "ports": ["22", "3000"], "rule_desc": ADMIN, "cidr_ip": "192.0.2.7/32"}
                ],
            },
            {
                "name": "d-group",
                "description": "D",
                "rules": [
                    {"proto": "tcp", "ports": ["22", "5432"], "rule_desc": DATABASE, "group_name": "m-group"}
                ],
            },
        ]

    def test_of_groups_only_those_to_act_on(self) -> None:
        result = planned(change("security_groups", "sg-database", ip_permissions=[]))
        assert [group["name"] for group in result["groups"]] == ["d-group"]

    def test_volumes_are_asked_for_in_full(self) -> None:
        """Not told IOPS or throughput, amazon.aws.ec2_vol leaves those that are there, and the plan never"
        " ends."""
        wanted = wish()
        wanted["subnets"]["private"]["zone"] = "ap-southeast-1b"
        result = planned(
            both(
                change("volumes", "vol-db-data", iops=4000, throughput=500),
                change("volumes", "vol-db-root", iops=5000),
            ),
            wanted,
        )
        full = {"iops": 3000, "throughput": 125}
        assert result["volumes"] == [
            {"id": "vol-db-data", "zone": "ap-southeast-1b", "volume": volume("db-data", 20, **full)},
            {"id": "vol-db-root", "zone": "ap-southeast-1b", "volume": volume("db-root", 8, **full)},
        ]

    @pytest.mark.parametrize(
        ("wished", "asked"),
        [
            ({"iops": 4000, "throughput": 500}, {"iops": 4000, "throughput": 500}),
            ({"iops": 4000}, {"iops": 4000, "throughput": 125}),
            ({"type": "gp2"}, {"iops": 0, "throughput": 0}),
            ({"type": "io1", "iops": 500}, {"iops": 500, "throughput": 0}),
        ],
    )
    def test_a_new_volume(self, wished: dict[str, Any], asked: dict[str, Any]) -> None:
        wanted = wish()
        wanted["instances"][1]["data_volume"].update(wished)
        (arguments,) = planned(found=empty(), wanted=wanted)["volumes"]
        assert arguments == {"id": "", "zone": ZONE, "volume": volume("db-data", 20, **{**wished, **asked})}


def twin(kind: str, ident: str, **values: Any) -> Edit:
    """Add a copy of a resource that differs in something."""
    return lambda found: found[kind].append({**copy.deepcopy(one(found, kind, ident)), **values})


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (
            twin("vpcs", "vpc-1", vpc_id="vpc-2"),
            "2 VPCs carry the tag of this stack (vpc-1, vpc-2); give this stack a different name:"
            " pooled_stack",
        ),
        (
            change("vpcs", "vpc-1", cidr_block="10.9.0.0/16"),
            f"the VPC vpc-1 has the CIDR 10.9.0.0/16, which can't become 10.0.0.0/16; {AFRESH}",
        ),
        (
            change("subnets", "subnet-private", cidr_block="10.0.9.0/24"),
            "the private subnet subnet-private has the CIDR 10.0.9.0/24, which can't become 10.0.2.0/24;"
            f" {AFRESH}",
        ),
        (
            change("subnets", "subnet-public", availability_zone="ap-southeast-1b"),
            "the public subnet subnet-public has the availability zone ap-southeast-1b, which can't become"
            f" ap-southeast-1a; {AFRESH}",
        ),
        *(
            (
                change("key_pairs", "key-1", public_key=key),
                "AWS has another key under the name k than ssh_key.pub; copy that private key here, or choose"
                " another name: infrastructure_key_name",
            )
            for key in ("ssh-ed25519 BBBB who@where", "ssh-rsa AAAA", "", None)
        ),
        (
            twin("instances", "i-mon", instance_id="i-mon2"),
            "2 instances are named mon (i-mon, i-mon2); terminate the one that is not in use",
        ),
        (
            change("instances", "i-mon", subnet_id="subnet-other"),
            "the instance i-mon (mon) is in subnet-other, and can't move to the public subnet; terminate it,"
            " and the next run launches it there, with its data volume",
        ),
        (
            change("instances", "i-mon", instance_type="m5.large"),
            "the instance i-mon (mon) is a m5.large, and becomes a t3.micro only while it is stopped. Stop"
            " it, run `aws ec2 modify-instance-attribute --instance-id i-mon --instance-type t3.micro`, and"
            " run this again",
        ),
        (
            change("volumes", "vol-db-data", size=21),
            "the volume vol-db-data (db-data) has 21 GiB, and EBS can't shrink it to 20; set the size back,"
            " or copy the data to a smaller volume yourself",
        ),
        (
            change("volumes", "vol-mon-root", size=9),
            "the volume vol-mon-root (mon-root) has 9 GiB, and EBS can't shrink it to 8; set the size back,"
            " or copy the data to a smaller volume yourself",
        ),
        (
            change("volumes", "vol-db-data", encrypted=False),
            "the volume vol-db-data (db-data) is not encrypted, which can't be changed; set"
            " infrastructure_volume_encrypted to false, or make an encrypted copy of a snapshot",
        ),
        (
            change("volumes", "vol-db-data", availability_zone="ap-southeast-1b"),
            "the volume vol-db-data (db-data) is in ap-southeast-1b, and its host goes to ap-southeast-1a;"
            " set the zone back, or copy the volume there by a snapshot",
        ),
        (
            change("volumes", "vol-db-data", attachments=[{"instance_id": "i-9"}, {"instance_id": "i-8"}]),
            "the data volume vol-db-data of db is attached to i-8, i-9; detach it there first",
        ),
        (
            change("volumes", "vol-db-data", attachments=[{"instance_id": "i-mon"}]),
            "the data volume vol-db-data of db is attached to i-mon; detach it there first",
        ),
        (
            twin("volumes", "vol-db-data", volume_id="vol-old", size=99, attachments=[]),
            "2 volumes are named db-data (vol-db-data, vol-old); take the tag Stack from the one that is not"
            " in use, or delete it",
        ),
    ],
)
def test_what_can_not_be_done(edit: Edit, problem: str) -> None:
    assert planned(edit)["problems"] == [problem]


class TestProblems:
    def test_an_account_may_encrypt_what_need_not_be(self) -> None:
        wanted = wish()
        wanted["instances"][1]["data_volume"]["encrypted"] = False
        result = planned(wanted=wanted)
        assert (result["problems"], result["lines"]) == ([], [])

    @pytest.mark.parametrize(("there", "count"), [(True, 1), (False, 0)])
    def test_own_key_file_is_missing(self, there: bool, count: int) -> None:
        wanted = wish()
        wanted["key_pair"]["public_key"] = ""
        result = planned(None if there else without("key_pairs", "key-1"), wanted)
        assert len(result["problems"]) == count
        assert result["todo"]["key_pair"] == ([] if there else ["k"])

    def test_two_unlike_nothings_are_no_key(self) -> None:
        wanted = wish()
        wanted["key_pair"]["public_key"] = ""
        assert len(planned(change("key_pairs", "key-1", public_key=None), wanted)["problems"]) == 1

    def test_of_two_vpcs_nothing_more_is_said(self) -> None:
        edit = both(twin("vpcs", "vpc-1", vpc_id="vpc-2"), change("instances", "i-db", instance_type="x"))
        assert len(planned(edit)["problems"]) == 1

    def test_all_are_told_at_once(self) -> None:
        edit = both(
            change("vpcs", "vpc-1", cidr_block="10.9.0.0/16"),
            change("key_pairs", "key-1", public_key="ssh-rsa CCCC"),
            change("instances", "i-db", instance_type="m5.large"),
            change("instances", "i-mon", instance_type="m5.large"),
        )
        assert len(planned(edit)["problems"]) == 4

    def test_none_is_told_twice(self) -> None:
        key = {"key_pair_id": "key-2"}
        edit = both(
            change("key_pairs", "key-1", public_key="ssh-rsa CCCC"), twin("key_pairs", "key-1", **key)
        )
        assert len(planned(edit)["problems"]) == 1

    def test_an_instance_whose_subnet_is_not_there_can_not_move_into_it(self) -> None:
        (problem,) = planned(without("subnets", "subnet-private"))["problems"]
        assert "(db) is in subnet-private, and can't move to the private subnet" in problem

    @pytest.mark.parametrize(
        ("state", "told"),
        [
            ("shutting-down", False),
            ("terminated", False),
            ("running", True),
            ("stopped", True),
            ("stopping", True),
        ],
    )
    def test_a_volume_of_an_instance_that_goes_will_be_free(self, state: str, told: bool) -> None:
        edit = both(
            twin("instances", "i-db", instance_id="i-old", state={"name": state}, tags={"Name": "old"}),
            change("volumes", "vol-db-data", attachments=[{"instance_id": "i-old"}]),
        )
        result = planned(edit)
        assert bool(result["problems"]) is told
        assert todo(result) == {"attachment": ["db"]}

    @pytest.mark.parametrize("state", ["pending", "running", "stopping", "stopped"])
    def test_an_instance_that_is_there_is_one(self, state: str) -> None:
        assert (
            "i-two"
            in planned(twin("instances", "i-db", instance_id="i-two", state={"name": state}))["problems"][0]
        )

    @pytest.mark.parametrize("state", ["shutting-down", "terminated"])
    def test_an_instance_that_goes_is_launched_anew(self, state: str) -> None:
        result = planned(change("instances", "i-db", state={"name": state}))
        assert result["problems"] == []
        assert todo(result) == {"instance": ["db"], "attachment": ["db"]}
        assert result["ids"]["instances"] == {"mon": "i-mon"}


class TestNatGateway:
    @pytest.mark.parametrize("state", ["failed", "deleting"])
    def test_one_that_is_no_use_is_made_anew(self, state: str) -> None:
        result = planned(both(change("nat_gateways", "nat-1", state=state), FREE_ADDRESS))
        assert todo(result) == {"nat_gateway": [""], "route_table": ["private"]}
        assert (result["ids"]["nat_gateway"], result["ids"]["address"]) == ("", "eip-1")

    def test_one_that_is_on_its_way_is_waited_for(self) -> None:
        edit = both(change("nat_gateways", "nat-1", state="pending"), without("route_tables", "rtb-private"))
        result = planned(edit)
        assert todo(result) == {"route_table": ["private"]}
        assert result["ids"]["nat_gateway"] == "nat-1"

    def test_one_of_two(self) -> None:
        result = planned(twin("nat_gateways", "nat-1", nat_gateway_id="nat-0", state="failed"))
        assert (result["lines"], result["ids"]["nat_gateway"]) == ([], "nat-1")

    def test_an_address_that_something_else_has_is_not_taken_from_it(self) -> None:
        result = planned(without("nat_gateways", "nat-1"))
        assert todo(result) == {"address": [""], "nat_gateway": [""], "route_table": ["private"]}
        assert result["ids"]["address"] == ""

    def test_of_addresses_the_free_one(self) -> None:
        edit = both(
            without("nat_gateways", "nat-1"),
            twin("addresses", "eip-1", allocation_id="eip-2", association_id=None),
        )
        result = planned(edit)
        assert todo(result) == {"nat_gateway": [""], "route_table": ["private"]}
        assert result["ids"]["address"] == "eip-2"

    def test_a_route_to_something_else_is_no_route_to_a_gateway_that_is_not_there_yet(self) -> None:
        edit = both(
            without("nat_gateways", "nat-1"),
            change("route_tables", "rtb-private", routes=routes({"transit_gateway_id": "tgw-1"})),
        )
        assert planned(edit)["todo"]["route_table"] == ["private"]


class TestPartialStacks:
    """What a run that was broken off left behind, kind by kind in the order in which they are made."""

    STEPS = (
        ("vpcs", "vpc", 1),
        ("subnets", "subnet", 2),
        ("internet_gateways", "internet_gateway", 1),
        ("addresses", "address", 1),
        ("nat_gateways", "nat_gateway", 1),
        ("security_groups", "group", 2),
        ("key_pairs", "key_pair", 1),
        ("volumes", "volume", 1),
        ("instances", "instance", 2),
        ("route_tables", "route_table", 2),
    )

    @pytest.mark.parametrize("done", range(len(STEPS) + 1))
    def test_the_rest_is_made(self, done: int) -> None:
        whole, found = finished(), empty()
        for kind, _, _ in self.STEPS[:done]:
            found[kind] = whole[kind]
        if done <= 4:
            FREE_ADDRESS(found) if done == 4 else None
        if done <= 8:
            for item in found["volumes"]:
                item["attachments"] = []
        result = planned(found=found)
        rest = {kind: count for _, kind, count in self.STEPS[done:]}
        if done <= 8:
            rest["attachment"] = 1
        assert result["problems"] == []
        assert {kind: len(keys) for kind, keys in todo(result).items()} == rest
        assert all(line.startswith("+ ") for line in result["lines"])

    def test_one_of_two_subnets_and_a_gateway_that_is_not_attached(self) -> None:
        found = empty()
        whole = finished()
        found["vpcs"], found["subnets"] = whole["vpcs"], [one(whole, "subnets", "subnet-public")]
        found["internet_gateways"] = [{**whole["internet_gateways"][0], "attachments": []}]
        result = planned(found=found)
        assert result["lines"][:2] == [
            f"+ subnet p-private-subnet 10.0.2.0/24 in {ZONE}",
            "~ internet gateway igw-1: attached to the VPC",
        ]
        assert result["ids"]["internet_gateway"] == "igw-1"

    def test_a_gateway_that_is_attached_comes_before_one_that_is_not(self) -> None:
        def edit(found: Found) -> None:
            spare = {"internet_gateway_id": "igw-0", "attachments": [], "tags": {}}
            found["internet_gateways"].insert(0, spare)

        result = planned(edit)
        assert (result["lines"], result["ids"]["internet_gateway"]) == ([], "igw-1")


class TestElsewhere:
    """What carries the stack's tag and lies in another VPC is another one's."""

    def test_is_ignored_beside_a_finished_stack(self) -> None:
        def edit(found: Found) -> None:
            for kind in ("subnets", "security_groups", "route_tables", "instances", "nat_gateways"):
                other = copy.deepcopy(found[kind])
                for item in other:
                    item["vpc_id"] = "vpc-0"
                    item.update({key: "other" for key in item if key.endswith("_id") and key != "vpc_id"})
                found[kind][:0] = other

        result = planned(edit)
        assert (result["problems"], result["lines"]) == ([], [])
        assert result["ids"] == planned()["ids"]

    def test_is_no_part_of_a_stack_without_a_vpc(self) -> None:
        def edit(found: Found) -> None:
            found["vpcs"] = []
            found["volumes"] = []
            found["key_pairs"] = []
            found["addresses"][0]["association_id"] = "eipassoc-other"

        result = planned(edit)
        assert result["problems"] == []
        assert result["lines"] == planned(found=empty())["lines"]

    def test_a_gateway_of_another_vpc_is_not_moved(self) -> None:
        result = planned(change("internet_gateways", "igw-1", attachments=[{"vpc_id": "vpc-0"}]))
        assert todo(result) == {"internet_gateway": [""], "route_table": ["public"]}
        assert result["ids"]["internet_gateway"] == ""


class TestMany:
    @staticmethod
    def wanted() -> Wanted:
        wanted = wish()
        wanted["subnets"]["private-b"] = {
            "name": "p-private-b-subnet",
            "cidr": "10.0.3.0/24",
            "zone": "ap-southeast-1b",
            "public": False,
        }
        wanted["instances"].append(host("db-2", "database", "private-b", 40))
        return wanted

    def test_a_host_in_another_zone_is_added(self) -> None:
        result = planned(wanted=self.wanted())
        assert result["problems"] == []
        assert result["lines"] == [
            "+ subnet p-private-b-subnet 10.0.3.0/24 in ap-southeast-1b",
            "+ volume db-2-data (gp3, 40 GiB), encrypted",
            "+ instance db-2 (t3.micro) in the private-b subnet",
            "+ volume db-2-data attached to db-2",
            f"~ {PRIVATE_TABLE}, private-b",
        ]
        assert [(one["zone"], one["volume"]["name"]) for one in result["volumes"]] == [
            ("ap-southeast-1b", "db-2-data")
        ]

    def test_nothing_is_left_to_do_then(self) -> None:
        told = answers()
        told["subnets"].append(subnet("private-b", "10.0.3.0/24", False, "ap-southeast-1b"))
        told["route_tables"][1] = table("private", "private", "private-b")
        told["volumes"].append(
            {**disk("db-2-data", "db-2-data", 40, "i-db-2"), "AvailabilityZone": "ap-southeast-1b"}
        )
        told["instances"].append(instance("db-2", "database", "private-b"))
        result = planned(found=found_of(told), wanted=self.wanted())
        assert (result["problems"], result["lines"]) == ([], [])
        assert result["ids"]["instances"] == {"mon": "i-mon", "db": "i-db", "db-2": "i-db-2"}
        assert result["ids"]["volumes"] == {"db": "vol-db-data", "db-2": "vol-db-2-data"}

    def test_a_host_that_is_no_longer_wanted_is_left_alone(self) -> None:
        wanted = wish()
        del wanted["instances"][1]
        result = planned(wanted=wanted)
        assert (result["problems"], result["lines"], result["ids"]["instances"]) == ([], [], {"mon": "i-mon"})


@pytest.mark.parametrize(
    ("referring", "order"),
    [
        ({}, []),
        ({"a": []}, ["a"]),
        ({"a": [], "b": ["a"]}, ["b", "a"]),
        ({"a": ["b"], "b": []}, ["a", "b"]),
        ({"a": [], "b": ["a"], "c": ["b"]}, ["c", "b", "a"]),
        # To itself, to one of another stack and to a network.
        ({"a": ["a"], "b": ["sg-other", "a"]}, ["b", "a"]),
        ({"b": [], "a": ["a", "b"]}, ["a", "b"]),
        ({"a": ["b"], "b": ["a"], "c": ["a"]}, ["c", "a", "b"]),
    ],
)
def test_teardown_order(referring: dict[str, list[str]], order: list[str]) -> None:
    groups = [
        {
            "group_id": key,
            "ip_permissions": [permitted(user_id_group_pairs=[{"group_id": other} for other in others])]
            if others
            else None,
        }
        for key, others in referring.items()
    ]
    # As selectattr gives them: once.
    assert plan.teardown_order(iter(groups)) == order
