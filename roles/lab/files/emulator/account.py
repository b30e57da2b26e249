# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The emulated account, read from moto's own objects: no call, so none that would be recorded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from firewall import Group, Rule
from hosts import GONE, Account, Instance, Volume
from moto.ec2.models import ec2_backends


def read(stack: str) -> Account:
    """Return what of the account concerns the hosts of a stack: the value of the tag ``Stack``."""
    instances: list[Instance] = []
    groups: dict[str, Group] = {}
    members: dict[str, list[str]] = defaultdict(list)
    volumes: set[str] = set()
    for _account, _region, backend in list(ec2_backends.iter_backends()):
        volumes.update(backend.volumes)
        for in_vpc in backend.groups.values():
            groups.update({group.id: _group(group) for group in in_vpc.values()})
        for found in backend.all_instances():
            if found.state in GONE:
                continue
            tags = {tag["key"]: tag["value"] for tag in found.get_tags()}
            instance = _instance(backend, found, tags.get("Name", found.id))
            if instance.running:
                for group in instance.groups:
                    members[group].append(instance.address)
            if tags.get("Stack") == stack:
                instances.append(instance)
    return Account(tuple(instances), groups, members, frozenset(volumes))


def instance_ids() -> list[str]:
    """Return the ids of all instances, terminated ones too."""
    backends = [backend for _account, _region, backend in ec2_backends.iter_backends()]
    return [found.id for backend in backends for found in backend.all_instances()]


def image_names() -> list[str]:
    """Return the names of the images that were registered, without those that moto brings along."""
    return sorted(
        image.name
        for account, _region, backend in ec2_backends.iter_backends()
        for image in backend.amis.values()
        if image.owner_id == account
    )


def _instance(backend: Any, found: Any, name: str) -> Instance:
    key = backend.key_pairs.get(found.key_name)
    return Instance(
        id=found.id,
        name=name,
        state=found.state,
        address=found.private_ip_address,
        dns_name=found.private_dns_name,
        public_key=key.public_key.strip() if key else "",
        user_data=found.user_data.decode() if found.user_data else "",
        groups=tuple(group.id for group in found.security_groups),
        volumes=tuple(
            Volume(block.volume_id, backend.volumes[block.volume_id].size)
            for device, block in sorted(found.block_device_mapping.items())
            if device != found.root_device_name
        ),
    )


def _group(group: Any) -> Group:
    return Group(tuple(_rules(group.ingress_rules)), tuple(_rules(group.egress_rules)))


def _rules(rules: list[Any]) -> Iterator[Rule]:
    for rule in rules:
        # Ranges of IPv6 and prefix lists have no address in the lab's network.
        cidr, group = rule.cidr_ipv4, rule.source_group.get("GroupId")
        if cidr or group:
            yield Rule(rule.ip_protocol, rule.from_port, rule.to_port, cidr, group)
