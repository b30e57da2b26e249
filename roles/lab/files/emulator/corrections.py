# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make moto answer as EC2 does, where the difference matters to us.

Each correction is independent and says why it exists. They replace methods of moto's classes: apply them
before the first call, and the same ones for a replay as for the recording.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2 import exceptions
from moto.ec2.models.elastic_block_store import EBSBackend, Volume
from moto.ec2.models.instances import Instance, InstanceBackend
from moto.ec2.models.nat_gateways import NatGateway, NatGatewayBackend
from moto.ec2.models.security_groups import SecurityGroupBackend, SecurityGroupRule
from moto.ec2.responses.amis import AmisResponse
from moto.ec2.responses.instances import InstanceResponse
from moto.ec2.responses.security_groups import SecurityGroups
from moto.ec2.utils import tag_filter_matches

Method = Callable[..., Any]


def apply(nat_seconds: float = 0) -> None:
    """Apply all corrections.

    ``nat_seconds`` is how long a NAT gateway takes to become available. Raises RuntimeError where moto is
    not built as expected: then its version is not the one of constraints.txt.
    """
    descriptions_of_rules()
    description_is_no_part_of_a_rule()
    groups_belong_to_the_interface()
    groups_in_use()
    root_device()
    termination_protection()
    attachments()
    modifications()
    nat_gateways(nat_seconds)


def wrapped(owner: type, name: str) -> Callable[[Callable[..., Any]], None]:
    """Replace a method of a class; the replacement gets the original first, then the method's arguments.

    Raises RuntimeError if the class has no such method of its own.
    """
    original = vars(owner).get(name)
    if not callable(original):
        raise RuntimeError(f"moto's {owner.__name__} has no {name}: is it the version of constraints.txt?")

    def replace(replacement: Callable[..., Any]) -> None:
        @functools.wraps(original)
        def method(*args: Any, **kwargs: Any) -> Any:
            return replacement(original, *args, **kwargs)

        setattr(owner, name, method)

    return replace


def descriptions_of_rules() -> None:
    """``Return`` is part of the answer: without it, as moto has it, amazon.aws fails with a KeyError."""
    for name in (
        "update_security_group_rule_descriptions_ingress",
        "update_security_group_rule_descriptions_egress",
    ):

        @wrapped(SecurityGroups, name)
        def update(original: Method, self: Any) -> ActionResult:
            original(self)
            return ActionResult({"Return": True})


def description_is_no_part_of_a_rule() -> None:
    """On EC2 a rule is found by protocol, ports and the other end.

    Moto also compares the description of a group: a rule with one could not be revoked
    without naming it, get another description, nor be recognised as a duplicate.
    """

    @wrapped(SecurityGroupRule, "__eq__")
    def equal(original: Method, self: Any, other: Any) -> bool:
        return _identity(self) == _identity(other)


def _identity(rule: Any) -> tuple[Any, ...]:
    return (
        rule.ip_protocol,
        rule.from_port,
        rule.to_port,
        rule.cidr_ipv4,
        rule.cidr_ipv6,
        rule.source_group.get("GroupId"),
        rule.prefix_list_id,
    )


def groups_belong_to_the_interface() -> None:
    """On EC2 an instance's groups are those of its first interface.

    Moto keeps two lists and shows their union, so an interface never loses a group.
    """

    @wrapped(InstanceBackend, "modify_instance_security_groups")
    def modify(original: Method, self: Any, instance_id: str, new_group_id_list: list[str]) -> Any:
        instance = original(self, instance_id, new_group_id_list)
        instance.nics[0]._group_set = list(instance.security_groups)
        return instance


def groups_in_use() -> None:
    """EC2 refuses to delete a group that an instance or another group's rule uses; moto deletes it.

    A teardown in the wrong order would pass with moto and fail on EC2.
    """

    @wrapped(SecurityGroupBackend, "delete_security_group")
    def delete(original: Method, self: Any, name: str | None = None, group_id: str | None = None) -> Any:
        needed = {
            group.id
            for instance in self.all_instances()
            if instance.state != "terminated"
            for group in instance.security_groups
        } | {
            rule.source_group.get("GroupId")
            for in_vpc in self.groups.values()
            for group in in_vpc.values()
            if group.id != group_id
            for rule in group.ingress_rules + group.egress_rules
        }
        if group_id in needed:
            raise exceptions.DependencyViolationError(f"resource {group_id} has a dependent object")
        return original(self, name, group_id)


def root_device() -> None:
    """The root volume is at the device that the image names; Debian's is /dev/xvda.

    Moto forgets the name at RegisterImage, and launches without any root volume where RunInstances maps
    other devices only.
    """

    @wrapped(AmisResponse, "register_image")
    def register(original: Method, self: Any) -> ActionResult:
        known = set(self.ec2_backend.amis)
        answer: ActionResult = original(self)
        (image_id,) = set(self.ec2_backend.amis) - known
        name = self._get_param("RootDeviceName")
        if name:
            self.ec2_backend.amis[image_id].root_device_name = name
        return answer

    @wrapped(Instance, "setup_defaults")
    def defaults(original: Method, self: Any) -> None:
        volume = self.ec2_backend.create_volume(size=8, zone_name=self.placement.zone)
        self.ec2_backend.attach_volume(volume.id, self.id, self.root_device_name, True)

    @wrapped(InstanceBackend, "run_instances")
    def run(original: Method, self: Any, *args: Any, **kwargs: Any) -> Any:
        reservation = original(self, *args, **kwargs)
        for instance in reservation.instances:
            if instance.root_device_name not in instance.block_device_mapping:
                instance.setup_defaults()
                root = instance.block_device_mapping[instance.root_device_name]
                self.get_volume(root.volume_id).add_tags(kwargs.get("tags", {}).get("volume", {}))
        return reservation


def termination_protection() -> None:
    """Termination protection works in every form of the call, and protects all instances of a call.

    Moto drops it at the launch, stores text for ``Attribute`` and ``Value``, and terminates the instances
    that a call lists before the protected one.
    """

    @wrapped(InstanceResponse, "run_instances")
    def run(original: Method, self: Any) -> ActionResult:
        known = set(self.ec2_backend.reservations)
        answer: ActionResult = original(self)
        if self._get_bool_param("DisableApiTermination", False):
            (made,) = set(self.ec2_backend.reservations) - known
            for instance in self.ec2_backend.reservations[made].instances:
                instance.disable_api_termination = True
        return answer

    @wrapped(InstanceBackend, "modify_instance_attribute")
    def modify(original: Method, self: Any, instance_id: str, key: str, value: Any) -> Any:
        if key == "disable_api_termination":
            value = str(value).lower() == "true"
        return original(self, instance_id, key, value)

    @wrapped(InstanceBackend, "terminate_instances")
    def terminate(original: Method, self: Any, instance_ids: list[str]) -> Any:
        for instance in self.get_multi_instances_by_id(instance_ids):
            if instance.disable_api_termination:
                raise exceptions.OperationNotPermitted4(instance.id)
        return original(self, instance_ids)


def attachments() -> None:
    """A volume is attached once, to a free device, in its zone; moto attaches it anywhere, more than once.

    It can be detached without naming the instance, as amazon.aws does; moto fails with an internal error.
    """

    @wrapped(EBSBackend, "attach_volume")
    def attach(
        original: Method,
        self: Any,
        volume_id: str,
        instance_id: str,
        device_path: str,
        *more: Any,
        **kwargs: Any,
    ) -> Any:
        volume, instance = self.get_volume(volume_id), self.get_instance(instance_id)
        if volume.attachment:
            raise exceptions.EC2ClientError("VolumeInUse", f"{volume_id} is already attached to an instance")
        if device_path in instance.block_device_mapping:
            raise exceptions.EC2ClientError(
                "InvalidParameterValue",
                f"Invalid value '{device_path}' for unixDevice. "
                f"Attachment point {device_path} is already in use",
            )
        if volume.availability_zone != instance.availability_zone:
            raise exceptions.EC2ClientError(
                "InvalidVolume.ZoneMismatch",
                f"The volume '{volume_id}' is not in the same availability zone as instance '{instance_id}'",
            )
        return original(self, volume_id, instance_id, device_path, *more, **kwargs)

    @wrapped(EBSBackend, "detach_volume")
    def detach(original: Method, self: Any, volume_id: str, instance_id: str | None, device_path: str) -> Any:
        attachment = self.get_volume(volume_id).attachment
        if not attachment:
            raise exceptions.EC2ClientError(
                "IncorrectState", f"Volume '{volume_id}' is in the 'available' state."
            )
        return original(self, volume_id, instance_id or attachment.instance.id, device_path)


def modifications() -> None:
    """A volume never shrinks, and DescribeVolumesModifications lists the last modification, in full.

    amazon.aws returns that as the volume's new state. Moto does neither.
    """

    @wrapped(Volume, "modify")
    def modify(original: Method, self: Any, **targets: Any) -> None:
        if (targets.get("target_size") or self.size) < self.size:
            raise exceptions.EC2ClientError(
                "InvalidParameterValue", "New size cannot be smaller than existing size"
            )
        if any(targets.values()):
            targets = {
                target: value or getattr(self, target.removeprefix("target_"))
                for target, value in targets.items()
            }
        original(self, **targets)

    @wrapped(EBSBackend, "describe_volumes_modifications")
    def describe(original: Method, self: Any, *args: Any, **kwargs: Any) -> list[Any]:
        last = {modification.volume.id: modification for modification in original(self, *args, **kwargs)}
        return list(last.values())


def nat_gateways(seconds: float) -> None:
    """DescribeNatGateways filters by tags; moto ignores the filter and returns other stacks' gateways, too.

    A gateway takes ``seconds`` to become available; on EC2 about two minutes, in moto none.
    """

    @wrapped(NatGatewayBackend, "describe_nat_gateways")
    def describe(original: Method, self: Any, filters: Any, nat_gateway_ids: Any) -> list[Any]:
        tags = {key: value for key, value in (filters or {}).items() if key.startswith("tag")}
        return [
            gateway
            for gateway in original(self, filters, nat_gateway_ids)
            if all(tag_filter_matches(gateway, key, value) for key, value in tags.items())
        ]

    if hasattr(NatGateway, "state"):
        raise RuntimeError(
            "moto's NatGateway has another kind of state: is it the version of constraints.txt?"
        )

    def get_state(self: Any) -> str:
        state, since = self.__dict__["state"]
        return "pending" if state == "available" and time.monotonic() - since < seconds else str(state)

    def set_state(self: Any, state: str) -> None:
        self.__dict__["state"] = state, time.monotonic()

    NatGateway.state = property(get_state, set_state)
