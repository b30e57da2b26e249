"""Where moto is corrected, seen through boto3 as amazon.aws sees it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from running import EMULATOR, NAT_SECONDS

ZONE = "ap-southeast-1a"


def refused(call: Callable[..., Any], **parameters: Any) -> str:
    """Make a call that must fail, and return the error's code."""
    with pytest.raises(ClientError) as failed:
        call(**parameters)
    return str(failed.value.response["Error"]["Code"])


@pytest.fixture
def vpc(ec2: Any) -> str:
    return str(ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])


@pytest.fixture
def subnet(ec2: Any, vpc: str) -> str:
    made = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24", AvailabilityZone=ZONE)
    return str(made["Subnet"]["SubnetId"])


@pytest.fixture
def groups(ec2: Any, vpc: str) -> list[str]:
    """Return two groups; the first has a rule for the second."""
    made = [ec2.create_security_group(GroupName=n, Description=n, VpcId=vpc)["GroupId"] for n in ("a", "b")]
    ec2.authorize_security_group_ingress(GroupId=made[0], IpPermissions=[rule(made[1], "first")])
    return made


def rule(group: str, description: str | None = None) -> dict[str, Any]:
    pair = {"GroupId": group} | ({"Description": description} if description else {})
    return {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "UserIdGroupPairs": [pair]}


def everything(description: str) -> dict[str, Any]:
    return {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": description}]}


@pytest.fixture
def launch(ec2: Any, subnet: str) -> Callable[..., str]:
    image = ec2.register_image(Name="debian", RootDeviceName="/dev/xvda")["ImageId"]

    def run(**parameters: Any) -> str:
        made = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, SubnetId=subnet, **parameters)
        return str(made["Instances"][0]["InstanceId"])

    return run


def instance(ec2: Any, instance_id: str) -> dict[str, Any]:
    found: dict[str, Any] = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][
        0
    ]
    return found


def test_calls_on_rules_return_true(ec2: Any, groups: list[str]) -> None:
    a, b = groups
    for call, permission in (
        (ec2.update_security_group_rule_descriptions_ingress, rule(b, "second")),
        (ec2.update_security_group_rule_descriptions_egress, everything("out")),
        (ec2.revoke_security_group_ingress, rule(b)),
        (ec2.revoke_security_group_egress, everything("out")),
    ):
        assert call(GroupId=a, IpPermissions=[permission])["Return"] is True


def test_a_rule_is_found_without_its_description(ec2: Any, groups: list[str]) -> None:
    a, b = groups

    def shown() -> list[Any]:
        return list(ec2.describe_security_groups(GroupIds=[a])["SecurityGroups"][0]["IpPermissions"])

    assert refused(ec2.authorize_security_group_ingress, GroupId=a, IpPermissions=[rule(b, "another")]) == (
        "InvalidPermission.Duplicate"
    )
    ec2.update_security_group_rule_descriptions_ingress(GroupId=a, IpPermissions=[rule(b, "second")])
    assert [pair["Description"] for pair in shown()[0]["UserIdGroupPairs"]] == ["second"]
    ec2.revoke_security_group_ingress(GroupId=a, IpPermissions=[rule(b)])
    assert shown() == []
    assert refused(ec2.revoke_security_group_ingress, GroupId=a, IpPermissions=[rule(b)]) == (
        "InvalidPermission.NotFound"
    )


def test_an_interface_has_the_groups_of_its_instance(
    ec2: Any, groups: list[str], launch: Callable[..., str]
) -> None:
    made = launch(SecurityGroupIds=groups[:1])
    ec2.modify_instance_attribute(InstanceId=made, Groups=groups[1:])
    shown = instance(ec2, made)
    assert [group["GroupId"] for group in shown["SecurityGroups"]] == groups[1:]
    assert [group["GroupId"] for group in shown["NetworkInterfaces"][0]["Groups"]] == groups[1:]


def test_a_group_in_use_stays(ec2: Any, groups: list[str], launch: Callable[..., str]) -> None:
    a, b = groups
    assert refused(ec2.delete_security_group, GroupId=b) == "DependencyViolation"
    made = launch(SecurityGroupIds=[a])
    assert refused(ec2.delete_security_group, GroupId=a) == "DependencyViolation"
    ec2.terminate_instances(InstanceIds=[made])
    ec2.delete_security_group(GroupId=a)
    ec2.delete_security_group(GroupId=b)


def test_the_root_volume_is_where_the_image_says(ec2: Any, launch: Callable[..., str]) -> None:
    plain = instance(ec2, launch())
    assert plain["RootDeviceName"] == "/dev/xvda"
    assert [mapping["DeviceName"] for mapping in plain["BlockDeviceMappings"]] == ["/dev/xvda"]
    data = {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 2}}
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "Stack", "Value": "x"}]}]
    with_data = instance(ec2, launch(BlockDeviceMappings=[data], TagSpecifications=tags))
    volumes = {m["DeviceName"]: m["Ebs"]["VolumeId"] for m in with_data["BlockDeviceMappings"]}
    assert sorted(volumes) == ["/dev/sdf", "/dev/xvda"]
    for volume in ec2.describe_volumes(VolumeIds=list(volumes.values()))["Volumes"]:
        assert volume["Tags"] == tags[0]["Tags"]


def test_a_protected_instance_is_not_terminated(ec2: Any, launch: Callable[..., str]) -> None:
    at_launch, later, free = launch(DisableApiTermination=True), launch(), launch()
    ec2.modify_instance_attribute(InstanceId=later, Attribute="disableApiTermination", Value="true")
    for protected in (at_launch, later):
        shown = ec2.describe_instance_attribute(InstanceId=protected, Attribute="disableApiTermination")
        assert shown["DisableApiTermination"] == {"Value": True}
        # And takes the others of the call under its wing.
        assert refused(ec2.terminate_instances, InstanceIds=[free, protected]) == "OperationNotPermitted"
        assert instance(ec2, free)["State"]["Name"] == "running"
        ec2.modify_instance_attribute(InstanceId=protected, DisableApiTermination={"Value": False})
    ec2.terminate_instances(InstanceIds=[at_launch, later, free])
    assert instance(ec2, later)["State"]["Name"] == "terminated"


def new_volume(ec2: Any, zone: str = ZONE) -> str:
    return str(ec2.create_volume(Size=2, AvailabilityZone=zone, VolumeType="gp3")["VolumeId"])


def test_a_volume_is_attached_once(ec2: Any, launch: Callable[..., str]) -> None:
    made, volume = launch(), new_volume(ec2)
    ec2.attach_volume(VolumeId=volume, InstanceId=made, Device="/dev/sdf")
    for wrong, device, code in (
        (volume, "/dev/sdg", "VolumeInUse"),
        (new_volume(ec2), "/dev/sdf", "InvalidParameterValue"),
        (new_volume(ec2, "ap-southeast-1b"), "/dev/sdg", "InvalidVolume.ZoneMismatch"),
    ):
        assert refused(ec2.attach_volume, VolumeId=wrong, InstanceId=made, Device=device) == code
    assert refused(ec2.delete_volume, VolumeId=volume) == "VolumeInUse"
    ec2.detach_volume(VolumeId=volume)
    assert refused(ec2.detach_volume, VolumeId=volume) == "IncorrectState"
    ec2.delete_volume(VolumeId=volume)


def test_a_volume_only_grows_and_its_last_modification_is_told(ec2: Any) -> None:
    volume = new_volume(ec2)
    assert refused(ec2.modify_volume, VolumeId=volume, Size=1) == "InvalidParameterValue"
    assert refused(ec2.modify_volume, VolumeId=volume) == "InvalidParameterValue"
    ec2.modify_volume(VolumeId=volume, Size=3)
    changed = ec2.modify_volume(VolumeId=volume, Size=4)["VolumeModification"]
    assert (changed["OriginalSize"], changed["TargetSize"]) == (3, 4)
    assert (changed["TargetVolumeType"], changed["TargetIops"]) == ("gp3", 3000)
    (listed,) = ec2.describe_volumes_modifications(VolumeIds=[volume])["VolumesModifications"]
    assert (listed["TargetSize"], listed["ModificationState"]) == (4, "completed")
    assert ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Size"] == 4


def test_nat_gateways_are_found_by_tag_and_take_their_time(ec2: Any, subnet: str) -> None:
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    tags = [{"ResourceType": "natgateway", "Tags": [{"Key": "Stack", "Value": "mine"}]}]
    made = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address, TagSpecifications=tags)["NatGateway"]
    assert made["State"] == "pending"

    def found(**filters: str) -> list[str]:
        asked = [{"Name": name.replace("_", ":"), "Values": [value]} for name, value in filters.items()]
        return [nat["NatGatewayId"] for nat in ec2.describe_nat_gateways(Filters=asked)["NatGateways"]]

    assert found(tag_Stack="other") == []
    assert found(tag_Stack="mine", state="available") == []
    assert found(tag_Stack="mine", state="pending") == [made["NatGatewayId"]]
    time.sleep(NAT_SECONDS)
    assert found(tag_Stack="mine", state="available") == [made["NatGatewayId"]]
    ec2.delete_nat_gateway(NatGatewayId=made["NatGatewayId"])
    assert found(tag_Stack="mine", state="deleted") == [made["NatGatewayId"]]


def test_another_moto_is_refused_in_a_sentence() -> None:
    script = (
        "import sys; from moto.ec2.models.elastic_block_store import Volume; del Volume.modify; "
        "sys.argv = ['server.py', '--port', '1']; import server; server.main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=EMULATOR, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 1
    assert "emulated EC2 API: moto's Volume has no modify: is it the version of" in result.stderr
    assert "Traceback" not in result.stderr
