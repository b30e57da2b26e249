# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compare a stack with what is wanted: the changes, and what can't be changed. Pure.

``found`` is what M(pooled.postgres.ec2_stack_info) returns as ``stack``, ``wanted`` what the role's inputs
say:

- ``vpc``: ``name``, ``cidr``.
- ``subnets``: ``name``, ``cidr``, ``zone``, ``public``; by key.
- ``groups``: ``name``, ``description`` and ``rules`` (``ports``, ``source``: a CIDR or the key of a group,
  ``description``); by key.
- ``key_pair``: ``name``, ``file``, ``public_key`` (type and key; empty where it is not made yet).
- ``instances``: ``name``, ``role``, ``subnet`` (key), ``groups`` (keys), ``type``, ``profile`` (name or
  empty), ``termination_protection``, ``root_volume`` and ``data_volume`` (``name``, ``size`` in GiB,
  ``type``, ``iops``, ``throughput`` in MiB/s, ``encrypted``; no data volume: ``None``).
- ``prefix``: what the names of gateways and route tables begin with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Resource = Mapping[str, Any]

WORLD = "0.0.0.0/0"
# States of an instance that exists.
ALIVE = ("pending", "running", "stopping", "stopped")
# Defaults of a gp3 volume. https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html
_GP3 = {"iops": 3000, "throughput": 125}


class Rule(NamedTuple):
    """A rule of a security group: ``source`` is a network, a prefix list or a group's id.

    ``protocol`` is EC2's name, where ``-1`` is all of them, which then have no ports.
    """

    protocol: str
    first: int | None
    last: int | None
    source: str
    description: str


class Change(NamedTuple):
    """One thing to do.

    ``kind`` and ``key`` say what the role acts on; ``sign`` is ``+`` for a creation and ``~`` for a change in
    place; ``text`` is for people.
    """

    kind: str
    key: str
    sign: str
    text: str


def stack_plan(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Compare a stack with what is wanted.

    Args:
        found: the lists of resources by kind, see above.
        wanted: what the stack should be, see above.

    Returns:
        ``problems`` (sentences; what can't be done, with what to do instead), ``lines`` (what will be done,
        for people), ``todo`` (keys to act on, by kind), ``groups`` and ``volumes`` (what to ask for those to
        act on) and ``ids`` (of what exists, by kind and key).
    """
    stack = _Stack(found, wanted)
    changes = list(stack.changes())
    todo: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for change in changes:
        todo[change.kind].append(change.key)
    return {
        "problems": list(dict.fromkeys(stack.problems())),
        "lines": [f"{change.sign} {change.text}" for change in changes],
        "todo": todo,
        "groups": stack.group_arguments(todo["group"]),
        "volumes": stack.volume_arguments(todo["volume"]),
        "ids": stack.ids(),
    }


KINDS = (
    "vpc",
    "subnet",
    "internet_gateway",
    "address",
    "nat_gateway",
    "route_table",
    "group",
    "key_pair",
    "volume",
    "instance",
    "start",
    "attachment",
)


def rules_of(permissions: Iterable[Resource]) -> set[Rule]:
    """Return a group's permissions, as EC2 describes them, as single rules."""
    return {
        Rule(
            permission["ip_protocol"],
            permission.get("from_port"),
            permission.get("to_port"),
            source[name],
            source.get("description") or "",
        )
        for permission in permissions
        for kind, name in (
            ("ip_ranges", "cidr_ip"),
            ("ipv6_ranges", "cidr_ipv6"),
            ("prefix_list_ids", "prefix_list_id"),
            ("user_id_group_pairs", "group_id"),
        )
        for source in permission.get(kind) or []
    }


def teardown_order(groups: Iterable[Resource]) -> list[str]:
    """Return the ids of security groups so that none goes while another one refers to it."""
    left = {group["group_id"]: group for group in groups}
    order: list[str] = []
    while left:
        referred = {
            rule.source
            for key, group in left.items()
            for rule in rules_of(group.get("ip_permissions") or [])
            if rule.source != key
        }
        # Of groups that refer to each other some one has to be tried first.
        free = [key for key in left if key not in referred] or list(left)
        order += free
        for key in free:
            del left[key]
    return order


def _named(resources: Iterable[Resource], name: str) -> list[Resource]:
    return [one for one in resources if one["tags"].get("Name") == name]


def _first(resources: Sequence[Resource]) -> Resource | None:
    return resources[0] if resources else None


class _Stack:
    """A stack as it is beside the stack as it should be."""

    def __init__(self, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        self.found, self.wanted, self.prefix = found, wanted, wanted["prefix"]
        self.vpc = _first(found["vpcs"])
        vpc_id = self.vpc["vpc_id"] if self.vpc else None
        # What lies in another VPC is another one's, whatever its tag says.
        inside = {
            kind: [one for one in found[kind] if one.get("vpc_id") == vpc_id]
            for kind in ("subnets", "security_groups", "route_tables", "instances", "nat_gateways")
        }
        # One that lost its name has its CIDR still, by which M(amazon.aws.ec2_vpc_subnet) finds it.
        self.subnets = {
            key: _first(_named(inside["subnets"], subnet["name"]))
            or next((one for one in inside["subnets"] if one["cidr_block"] == subnet["cidr"]), None)
            for key, subnet in wanted["subnets"].items()
        }
        self.groups = {
            key: next((one for one in inside["security_groups"] if one["group_name"] == group["name"]), None)
            for key, group in wanted["groups"].items()
        }
        self.tables = {
            key: _first(_named(inside["route_tables"], f"{self.prefix}-{key}-route-table"))
            for key in ("public", "private")
        }
        self.gateways = [
            one
            for one in found["internet_gateways"]
            if not one.get("attachments") or one["attachments"][0]["vpc_id"] == vpc_id
        ]
        self.nats = [one for one in inside["nat_gateways"] if one["state"] in ("pending", "available")]
        self.addresses = [one for one in found["addresses"] if not one.get("association_id") or self.nats]
        self.pairs = [one for one in found["key_pairs"] if one["key_name"] == wanted["key_pair"]["name"]]
        alive = [one for one in inside["instances"] if one["state"]["name"] in ALIVE]
        self.instances = {one["name"]: _named(alive, one["name"]) for one in wanted["instances"]}
        kept = [one for one in found["volumes"] if one.get("state") != "deleting"]
        self.named_volumes = {
            one["name"]: _named(kept, one["data_volume"]["name"])
            for one in wanted["instances"]
            if one["data_volume"]
        }
        self.volumes = {name: _first(volumes) for name, volumes in self.named_volumes.items()}

    @property
    def gateway(self) -> Resource | None:
        """The internet gateway: the attached one, or one that a broken-off run left unattached."""
        return _first(sorted(self.gateways, key=lambda one: not one.get("attachments")))

    def ids(self) -> dict[str, Any]:
        """Return the ids of what exists."""
        nat, gateway, address = _first(self.nats), self.gateway, _first(self.addresses)
        return {
            "vpc": self.vpc["vpc_id"] if self.vpc else "",
            "subnets": {key: one["subnet_id"] for key, one in self.subnets.items() if one},
            "groups": {key: one["group_id"] for key, one in self.groups.items() if one},
            "internet_gateway": gateway["internet_gateway_id"] if gateway else "",
            "address": address["allocation_id"] if address else "",
            "nat_gateway": nat["nat_gateway_id"] if nat else "",
            "instances": {key: one[0]["instance_id"] for key, one in self.instances.items() if one},
            "volumes": {key: one["volume_id"] for key, one in self.volumes.items() if one},
        }

    def group_arguments(self, keys: Iterable[str]) -> list[dict[str, Any]]:
        """Return name, description and rules of groups, as M(amazon.aws.ec2_security_group) takes them."""
        groups = self.wanted["groups"]
        return [
            {
                "name": groups[key]["name"],
                "description": groups[key]["description"],
                "rules": [
                    {
                        "proto": "tcp",
                        "ports": [str(port) for port in rule["ports"]],
                        "rule_desc": rule["description"],
                        # The groups are created in their order: the other one exists by then.
                        **(
                            {"group_name": groups[rule["source"]]["name"]}
                            if rule["source"] in groups
                            else {"cidr_ip": rule["source"]}
                        ),
                    }
                    for rule in groups[key]["rules"]
                ],
            }
            for key in keys
        ]

    def volume_arguments(self, keys: Iterable[str]) -> list[dict[str, Any]]:
        """Return id (empty for a new one), zone and wish of volumes; ``HOST/root`` is a root disk's key."""
        arguments = []
        for key in keys:
            name, root = key.partition("/")[::2]
            wanted = next(one for one in self.wanted["instances"] if one["name"] == name)
            there = self._root_volume(self.instances[name][0]) if root else self.volumes[name]
            volume = wanted["root_volume"] if root else wanted["data_volume"]
            arguments.append(
                {
                    "id": there["volume_id"] if there else "",
                    "zone": self.wanted["subnets"][wanted["subnet"]]["zone"],
                    # In full: what M(amazon.aws.ec2_vol) is not told, it leaves as it is.
                    "volume": {**volume, **_performance(volume)},
                }
            )
        return arguments

    # What can't be done.

    def problems(self) -> Iterator[str]:
        """Yield what can't be changed in place, each with what to do."""
        if len(self.found["vpcs"]) > 1:
            ids = ", ".join(one["vpc_id"] for one in self.found["vpcs"])
            yield (
                f"{len(self.found['vpcs'])} VPCs carry the tag of this stack ({ids}); give this stack a"
                " different name: pooled_stack"
            )
            return
        yield from self._network_problems()
        yield from self._key_problems()
        for instance in self.wanted["instances"]:
            yield from self._instance_problems(instance)

    def _network_problems(self) -> Iterator[str]:
        afresh = (
            "take the stack down and bring it up again, or bring up a second one under another pooled_stack"
        )
        vpc = self.wanted["vpc"]
        if self.vpc and self.vpc["cidr_block"] != vpc["cidr"]:
            yield (
                f"the VPC {self.vpc['vpc_id']} has the CIDR {self.vpc['cidr_block']}, which can't become"
                f" {vpc['cidr']}; set it back, or {afresh}"
            )
        for key, wanted in self.wanted["subnets"].items():
            subnet = self.subnets[key]
            if not subnet:
                continue
            for what, is_now, becomes in (
                ("CIDR", subnet["cidr_block"], wanted["cidr"]),
                ("availability zone", subnet["availability_zone"], wanted["zone"]),
            ):
                if is_now != becomes:
                    yield (
                        f"the {key} subnet {subnet['subnet_id']} has the {what} {is_now}, which can't"
                        f" become {becomes}; set it back, or {afresh}"
                    )

    def _key_problems(self) -> Iterator[str]:
        name, own = self.wanted["key_pair"]["name"], self.wanted["key_pair"]["public_key"]
        for pair in self.pairs:
            if _same_key(pair, own):
                continue
            # A new key would not reach running instances: they keep the key of their launch.
            yield (
                f"AWS has another key under the name {name} than {self.wanted['key_pair']['file']}.pub;"
                " copy that private key here, or choose another name:"
                " infrastructure_key_name"
            )

    def _instance_problems(self, wanted: Resource) -> Iterator[str]:
        name = wanted["name"]
        there = self.instances[name]
        if len(there) > 1:
            ids = ", ".join(one["instance_id"] for one in there)
            yield f"{len(there)} instances are named {name} ({ids}); terminate the one that is not in use"
            return
        zone = self.wanted["subnets"][wanted["subnet"]]["zone"]
        if wanted["data_volume"]:
            yield from self._data_volume_problems(wanted, zone)
        if not there:
            return
        (instance,) = there
        subnet = self.subnets[wanted["subnet"]]
        if subnet is None or instance["subnet_id"] != subnet["subnet_id"]:
            yield (
                f"the instance {instance['instance_id']} ({name}) is in {instance['subnet_id']}, and can't"
                f" move to the {wanted['subnet']} subnet; terminate it, and the next run launches it there,"
                " with its data volume"
            )
        if instance["instance_type"] != wanted["type"]:
            yield (
                f"the instance {instance['instance_id']} ({name}) is a {instance['instance_type']}, and"
                f" becomes a {wanted['type']} only while it is stopped. Stop it, run `aws ec2"
                f" modify-instance-attribute --instance-id {instance['instance_id']} --instance-type"
                f" {wanted['type']}`, and run this again"
            )
        profile = ((instance.get("iam_instance_profile") or {}).get("arn") or "").rpartition("/")[2]
        if wanted["profile"] and profile != wanted["profile"]:
            # A profile could be added, but the agent comes with the first boot.
            yield (
                f"the instance {instance['instance_id']} ({name}) was launched without the profile"
                f" {wanted['profile']} and the agent for Session Manager; terminate it, and the next run"
                " launches it with both, and with its data volume"
            )
        root = self._root_volume(instance)
        if root:
            yield from _volume_problems(root, wanted["root_volume"], zone)

    def _data_volume_problems(self, wanted: Resource, zone: str) -> Iterator[str]:
        name = wanted["name"]
        volumes = self.named_volumes[name]
        if len(volumes) > 1:
            # Only people know which of them has the data.
            ids = ", ".join(one["volume_id"] for one in volumes)
            yield (
                f"{len(volumes)} volumes are named {wanted['data_volume']['name']} ({ids}); take the tag"
                " Stack from the one that is not in use, or delete it"
            )
            return
        for volume in volumes:
            yield from _volume_problems(volume, wanted["data_volume"], zone)
            users = {one["instance_id"] for one in volume.get("attachments") or []}
            others = users - {one["instance_id"] for one in self.instances[name]} - self._dying()
            if others:
                yield (
                    f"the data volume {volume['volume_id']} of {name} is attached to"
                    f" {', '.join(sorted(others))}; detach it there first"
                )

    def _dying(self) -> set[str]:
        return {one["instance_id"] for one in self.found["instances"] if one["state"]["name"] not in ALIVE}

    def _root_volume(self, instance: Resource) -> Resource | None:
        ids = {
            one["ebs"]["volume_id"]
            for one in instance.get("block_device_mappings") or []
            if one["device_name"] == instance.get("root_device_name")
        }
        return next((one for one in self.found["volumes"] if one["volume_id"] in ids), None)

    # The changes.

    def changes(self) -> Iterator[Change]:
        """Yield the changes in their order."""
        yield from self._network_changes()
        yield from self._nat_changes()
        for key, group in self.wanted["groups"].items():
            yield from self._group_changes(key, group)
        if not self.pairs:
            name = self.wanted["key_pair"]["name"]
            yield Change("key_pair", name, "+", f"key pair {name}")
        for instance in self.wanted["instances"]:
            yield from self._instance_changes(instance)
        yield from self._route_changes()

    def _network_changes(self) -> Iterator[Change]:
        vpc = self.wanted["vpc"]
        if not self.vpc:
            yield Change("vpc", "vpc", "+", f"VPC {vpc['name']} {vpc['cidr']}")
        elif not (self.vpc.get("enable_dns_support") and self.vpc.get("enable_dns_hostnames")):
            yield Change("vpc", "vpc", "~", f"VPC {self.vpc['vpc_id']}: resolves names and gives host names")
        for key, subnet in self.wanted["subnets"].items():
            text = f"subnet {subnet['name']} {subnet['cidr']} in {subnet['zone']}"
            there = self.subnets[key]
            if not there:
                yield Change("subnet", key, "+", text)
                continue
            drift = []
            if there["tags"].get("Name") != subnet["name"]:
                drift.append(f"tag Name={subnet['name']}")
            if bool(there.get("map_public_ip_on_launch")) != subnet["public"]:
                drift.append("gives public addresses" if subnet["public"] else "gives no public addresses")
            if drift:
                yield Change("subnet", key, "~", f"{text}: {'; '.join(drift)}")
        gateway = self.gateway
        if not gateway:
            yield Change("internet_gateway", "", "+", f"internet gateway {self.prefix}-internet-gateway")
        elif not gateway.get("attachments"):
            text = f"internet gateway {gateway['internet_gateway_id']}: attached to the VPC"
            yield Change("internet_gateway", "", "~", text)

    def _nat_changes(self) -> Iterator[Change]:
        if self.nats:
            return
        if not self.addresses:
            yield Change("address", "", "+", f"elastic IP {self.prefix}-nat-eip")
        yield Change("nat_gateway", "", "+", f"NAT gateway {self.prefix}-nat-gateway")

    def _route_changes(self) -> Iterator[Change]:
        nat, gateway = _first(self.nats), self.gateway
        targets = {
            "public": gateway["internet_gateway_id"] if gateway else None,
            "private": nat["nat_gateway_id"] if nat else None,
        }
        for key, table in self.tables.items():
            members = [
                name for name, one in self.wanted["subnets"].items() if one["public"] == (key == "public")
            ]
            way = "the internet gateway" if key == "public" else "the NAT gateway"
            text = (
                f"route table {self.prefix}-{key}-route-table: {WORLD} by {way}, for subnets"
                f" {', '.join(members)}"
            )
            if not table:
                yield Change("route_table", key, "+", text)
                continue
            target = {
                one.get("nat_gateway_id") or one.get("gateway_id")
                for one in table.get("routes") or []
                if one.get("destination_cidr_block") == WORLD
            }
            associated = {one["subnet_id"] for one in table.get("associations") or [] if one.get("subnet_id")}
            subnets = {one["subnet_id"] if (one := self.subnets[name]) else None for name in members}
            # By another kind of target than these two, it is None as well.
            if not targets[key] or target != {targets[key]} or associated != subnets:
                yield Change("route_table", key, "~", text)

    def _rules(self, group: Resource) -> set[Rule]:
        """Return the rules that a group should have; a source that is not there yet is named by its key."""

        def source(rule: Resource) -> str:
            if rule["source"] not in self.wanted["groups"]:
                return str(rule["source"])
            referred = self.groups[rule["source"]]
            return str(referred["group_id"]) if referred else str(rule["source"])

        return {
            Rule("tcp", int(port), int(port), source(rule), rule["description"])
            for rule in group["rules"]
            for port in rule["ports"]
        }

    def _group_changes(self, key: str, wanted: Resource) -> Iterator[Change]:
        rules, there = self._rules(wanted), self.groups[key]
        if not there:
            yield Change("group", key, "+", f"security group {wanted['name']}: {self._said('opens', rules)}")
            return
        current = rules_of(there.get("ip_permissions") or [])
        if current == rules:
            return
        # A rule with other words only is no other rule.
        bare, bare_current = {rule[:4] for rule in rules}, {rule[:4] for rule in current}
        said = [
            self._said(verb, [rule for rule in of if rule[:4] in which])
            for verb, of, which in (
                ("opens", rules, bare - bare_current),
                ("closes", current, bare_current - bare),
            )
            if which
        ]
        text = (
            f"security group {wanted['name']}: {'; '.join(said) or 'updates the descriptions of its rules'}"
        )
        yield Change("group", key, "~", text)

    def _said(self, verb: str, rules: Iterable[Rule]) -> str:
        names = {
            one["group_id"]: self.wanted["groups"][key]["name"] for key, one in self.groups.items() if one
        }
        names.update({key: one["name"] for key, one in self.wanted["groups"].items()})
        ports: dict[str, list[str]] = {}
        for rule in sorted(rules, key=lambda rule: (rule.source, rule.first or 0)):
            span = str(rule.first) if rule.first == rule.last else f"{rule.first}-{rule.last}"
            if rule.protocol != "tcp":
                span = "everything" if rule.protocol == "-1" else f"{rule.protocol} {span}"
            ports.setdefault(names.get(rule.source, rule.source), []).append(span)
        to = "to" if verb == "opens" else "for"
        said = [f"{verb} {', '.join(found)} {to} {source}" for source, found in ports.items()]
        return " and ".join(said) or "opens nothing"

    def _instance_changes(self, wanted: Resource) -> Iterator[Change]:
        name, data = wanted["name"], wanted["data_volume"]
        there = _first(self.instances[name])
        if data:
            yield from self._volume_changes(name, self.volumes[name], data)
        if not there:
            text = f"instance {name} ({wanted['type']}) in the {wanted['subnet']} subnet"
            yield Change("instance", name, "+", text)
        else:
            root = self._root_volume(there)
            if root:
                yield from self._volume_changes(f"{name}/root", root, wanted["root_volume"])
            drift = "; ".join(self._drift(there, wanted))
            if drift:
                yield Change("instance", name, "~", f"instance {there['instance_id']} ({name}): {drift}")
            if there["state"]["name"] in ("stopping", "stopped"):
                yield Change("start", name, "~", f"instance {there['instance_id']} ({name}): started")
        if data:
            volume = self.volumes[name]
            users = [one["instance_id"] for one in (volume or {}).get("attachments") or []]
            if not there or there["instance_id"] not in users:
                yield Change("attachment", name, "+", f"volume {data['name']} attached to {name}")

    def _drift(self, there: Resource, wanted: Resource) -> Iterator[str]:
        """Yield what differs in an instance and can be changed while it runs."""
        if there["tags"].get("Role") != wanted["role"]:
            yield f"tag Role={wanted['role']}"
        groups = {(self.groups[key] or {}).get("group_id") for key in wanted["groups"]}
        if {one["group_id"] for one in there.get("security_groups") or []} != groups:
            yield f"security groups {', '.join(wanted['groups'])}"
        if (there.get("metadata_options") or {}).get("http_tokens") != "required":
            yield "metadata only with a token"
        if bool(there.get("disable_api_termination")) != wanted["termination_protection"]:
            yield f"termination protection {'on' if wanted['termination_protection'] else 'off'}"

    def _volume_changes(self, key: str, there: Resource | None, wanted: Resource) -> Iterator[Change]:
        text = f"volume {wanted['name']} ({wanted['type']}, {wanted['size']} GiB)"
        if not there:
            yield Change("volume", key, "+", f"{text}{', encrypted' if wanted['encrypted'] else ''}")
        elif said := "; ".join(_volume_drift(there, wanted)):
            yield Change("volume", key, "~", f"volume {there['volume_id']} ({wanted['name']}): {said}")


def _same_key(pair: Resource, own: str) -> bool:
    return (pair.get("public_key") or "").split()[:2] == own.split()[:2] != []


def _volume_problems(volume: Resource, wanted: Resource, zone: str) -> Iterator[str]:
    name = f"the volume {volume['volume_id']} ({wanted['name']})"
    if volume["size"] > wanted["size"]:
        yield (
            f"{name} has {volume['size']} GiB, and EBS can't shrink it to {wanted['size']}; set the size"
            " back, or copy the data to a smaller volume yourself"
        )
    # The other way round is what an account does that encrypts all of its volumes.
    if wanted["encrypted"] and not volume["encrypted"]:
        yield (
            f"{name} is not encrypted, which can't be changed; set infrastructure_volume_encrypted to"
            " false, or make an encrypted copy of a snapshot"
        )
    if volume["availability_zone"] != zone:
        yield (
            f"{name} is in {volume['availability_zone']}, and its host goes to {zone}; set the zone back, or"
            " copy the volume there by a snapshot"
        )


def _volume_drift(volume: Resource, wanted: Resource) -> Iterator[str]:
    if volume["size"] < wanted["size"]:
        yield f"grows from {volume['size']} to {wanted['size']} GiB"
    if volume["volume_type"] != wanted["type"]:
        yield f"becomes {wanted['type']}"
    is_now = _performance({**volume, "type": volume["volume_type"]})
    for (name, value), unit in zip(_performance(wanted).items(), ("IOPS", "MiB/s"), strict=True):
        # What the type does not have is not compared.
        if value and is_now[name] != value:
            yield f"{value} {unit}"


def _performance(volume: Resource) -> dict[str, int]:
    """Return IOPS and throughput of a volume; 0 where its type does not have them."""
    usual = _GP3 if volume["type"] == "gp3" else {}
    return {name: int(volume.get(name) or usual.get(name, 0)) for name in _GP3}
