# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the inputs of the role and describe the stack that they ask for. Pure."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ansible_collections.pooled.postgres.plugins.module_utils._network import model as network

Inputs = Mapping[str, Any]

# The tutorial's.
PREFIX = "postgres-db"
GROUP_NAMES = {"monitoring": "monitoring-security-group", "database": "postgres-db-security-group"}
GROUP_DESCRIPTIONS = {
    "monitoring": "Security group for monitoring server",
    "database": "Security group for PostgreSQL database",
}
_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# A region and what sets one of its zones apart: a letter, or that of a local zone (us-west-2-lax-1a).
_ZONE = re.compile(r"([a-z]+(?:-[a-z]+)+-[0-9]+)(?:-[a-z0-9-]+)?[a-z]")


class _VolumeType(NamedTuple):
    """What EBS and M(amazon.aws.ec2_vol) take for a type of volume.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateVolume.html

    Attributes:
        smallest: GiB.
        iops: least and most; None where the type has none to be set.
        iops_per_gib: at most.
        usual_iops: the default; 0 where IOPS are required.
        throughput: least and most, MiB/s; None where the type has none to be set.
    """

    smallest: int = 1
    iops: tuple[int, int] | None = None
    iops_per_gib: int = 0
    usual_iops: int = 0
    throughput: tuple[int, int] | None = None


_VOLUME_TYPES = {
    "gp2": _VolumeType(),
    # EBS takes more by now. The module does not.
    "gp3": _VolumeType(1, (3000, 16000), 500, 3000, (125, 1000)),
    "io1": _VolumeType(4, (100, 64000), 50),
    "io2": _VolumeType(4, (100, 64000), 1000),
    "st1": _VolumeType(125),
    "sc1": _VolumeType(125),
    "standard": _VolumeType(),
}
# Of gp3, MiB/s for each of its IOPS.
_THROUGHPUT_PER_IOPS = 0.25


def _number(inputs: Inputs, name: str) -> int:
    """Return an input as a number; ``-e name=value`` gives text."""
    return int(inputs[name])


def _is_number(value: Any) -> bool:
    return str(value).isdecimal()


def _cidr(text: str) -> str:
    """Return a network as EC2 writes it (``192.0.2.7`` is ``192.0.2.7/32``); other text unchanged."""
    try:
        return str(ipaddress.IPv4Network(text))
    except ValueError:
        return text


def _data_volume_size(inputs: Inputs, instance: Inputs) -> Any:
    """Return the size of a host's data volume as it was given; 0: it has none."""
    usual = inputs["data_volume_size"] if instance["role"] == "database" else 0
    return instance.get("data_volume_size", usual)


def stack_wanted(inputs: Inputs) -> dict[str, Any]:
    """Return the stack that the role's inputs describe.

    Args:
        inputs: the role's variables by name, without ``infrastructure_``, sound by :func:`input_problems`;
            ``public_key`` is the content of the public key's file, or empty.

    Returns:
        ``wanted`` of :func:`..plan.stack_plan`.
    """
    encrypted = bool(inputs["volume_encrypted"])
    volume = {
        "type": inputs["volume_type"],
        "iops": _number(inputs, "volume_iops"),
        "throughput": _number(inputs, "volume_throughput"),
        "encrypted": encrypted,
    }
    plain = {"type": "gp3", "iops": 0, "throughput": 0, "encrypted": encrypted}

    def instance(one: Inputs) -> dict[str, Any]:
        size = int(_data_volume_size(inputs, one))
        return {
            "name": one["name"],
            "role": one["role"],
            "subnet": one["subnet"],
            "groups": [one["role"]],
            "type": one.get("type", inputs["instance_type"]),
            "profile": inputs["profile"],
            "termination_protection": bool(inputs["termination_protection"]),
            "root_volume": {
                "name": f"{one['name']}-root",
                "size": _number(inputs, "root_volume_size"),
                **plain,
            },
            "data_volume": {"name": f"{one['name']}-data", "size": size, **volume} if size else None,
        }

    return {
        "prefix": PREFIX,
        "vpc": {"name": f"{PREFIX}-vpc", "cidr": _cidr(inputs["vpc_cidr"])},
        "subnets": {
            key: {
                "name": f"{PREFIX}-{key}-subnet",
                "cidr": _cidr(one["cidr"]),
                "zone": one["zone"],
                "public": bool(one["public"]),
            }
            for key, one in inputs["subnets"].items()
        },
        "groups": {
            "monitoring": _group(
                "monitoring",
                inputs["monitoring_ports"],
                _cidr(inputs["admin_cidr"]),
                "Those who run the stack",
            ),
            "database": _group(
                "database", inputs["database_ports"], "monitoring", "Jump host, load generator and Prometheus"
            ),
        },
        "key_pair": {
            "name": inputs["key_name"],
            "file": inputs["key_file"],
            # Type and key, without the comment.
            "public_key": " ".join(inputs["public_key"].split()[:2]),
        },
        "instances": [instance(one) for one in inputs["instances"]],
    }


def _group(key: str, ports: list[Any], source: str, description: str) -> dict[str, Any]:
    numbers = list(dict.fromkeys(int(port) for port in ports))
    return {
        "name": GROUP_NAMES[key],
        "description": GROUP_DESCRIPTIONS[key],
        "rules": [{"ports": numbers, "source": source, "description": description}],
    }


def input_problems(inputs: Inputs) -> list[str]:
    """Return what is wrong with the role's inputs, a sentence each, with what to do.

    Args:
        inputs: as for :func:`stack_wanted`.
    """
    return [
        *_network_problems(inputs),
        *_zone_problems(inputs),
        *_port_problems(inputs),
        *_instance_problems(inputs),
        *_volume_problems(inputs),
    ]


def _network_problems(inputs: Inputs) -> Iterator[str]:
    subnets = inputs["subnets"]
    found = network.cidr_problems(inputs["vpc_cidr"], {key: one["cidr"] for key, one in subnets.items()})
    if found:
        yield (
            f"{'; '.join(found)}. Set infrastructure_vpc_cidr, infrastructure_public_subnet_cidr and"
            " infrastructure_private_subnet_cidr, the subnets side by side within the VPC"
        )
    for key, one in subnets.items():
        # Text such as 'no' would count as true.
        if not isinstance(one["public"], bool):
            yield f"infrastructure_subnets has public: {one['public']!r} for {key}; take true or false"
    for public, kind in ((True, "public"), (False, "private")):
        if not any(bool(one["public"]) is public for one in subnets.values()):
            yield f"infrastructure_subnets has no {kind} subnet; it needs one at least"
    admin = inputs["admin_cidr"]
    try:
        # As text: a bare number would be an address to it.
        ipaddress.IPv4Network(str(admin))
    except ValueError as exc:
        yield (
            f"infrastructure_admin_cidr is {admin!r} ({exc}). Set it to the network that may reach SSH,"
            " Grafana and Prometheus, such as your own address with /32. The whole world is 0.0.0.0/0, if you"
            " mean it"
        )


def _zone_problems(inputs: Inputs) -> Iterator[str]:
    regions = set()
    for key, one in inputs["subnets"].items():
        match = _ZONE.fullmatch(str(one["zone"]))
        if match:
            regions.add(match[1])
        else:
            yield (
                f"the {key} subnet is to go into {one['zone']!r}, which is no availability zone; take one"
                " such as ap-southeast-1a"
            )
    if len(regions) > 1:
        yield (
            f"the subnets are to go into the regions {', '.join(sorted(regions))}; set"
            " infrastructure_availability_zone, or the zones of infrastructure_subnets, to zones of one"
            " region"
        )


def _port_problems(inputs: Inputs) -> Iterator[str]:
    ports = {}
    for name in ("monitoring_ports", "database_ports"):
        ports[name] = {int(port) for port in inputs[name] if _is_number(port)}
        for port in inputs[name]:
            if not _is_number(port) or not 0 < int(port) < 65536:
                yield f"infrastructure_{name} has {port!r}, which is no TCP port; ports go from 1 to 65535"
    if inputs["reach"] != "session-manager" and 22 not in ports["monitoring_ports"]:
        yield (
            "infrastructure_monitoring_ports has no 22, so that SSH can't reach the jump host; add it, or set"
            " infrastructure_reach to session-manager"
        )
    if 22 not in ports["database_ports"]:
        yield (
            "infrastructure_database_ports has no 22, so that the jump host can't reach the database host;"
            " add it"
        )


# Families on Xen, which show a volume under another name than the inventory expects.
# https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-nitro-instances.html
_XEN = re.compile(r"(t1|t2|m[1-4]|c[134]|r[34]|i[23]|d2|h1|g[23]|p[23]|x1e?|f1|cc2|cr1|hs1)\.(?!metal)")


def _instance_problems(inputs: Inputs) -> Iterator[str]:
    instances, subnets = inputs["instances"], inputs["subnets"]
    names = [one["name"] for one in instances]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"infrastructure_instances names {name} twice; give each host a different name"
    for one in instances:
        kind, size = (
            one.get("type", inputs["instance_type"]),
            one.get("data_volume_size", inputs["data_volume_size"]),
        )
        if one["role"] == "database" and _XEN.match(str(kind)) and str(size) != "0":
            yield (
                f"{one['name']} is to be a {kind}, which has no NVMe disks, so that its data volume would not"
                " be found; take a type of the Nitro system, such as t3, or set"
                " infrastructure_data_volume_size to 0"
            )
        if not isinstance(one["name"], str) or not _HOST_NAME.fullmatch(one["name"]):
            yield (
                f"infrastructure_instances has the name {one['name']!r}, which is no host name; take"
                " lower-case letters, digits and hyphens, as text"
            )
        if one["role"] not in GROUP_NAMES:
            yield f"{one['name']} has the role {one['role']!r}; take one of {', '.join(sorted(GROUP_NAMES))}"
        if one["subnet"] not in subnets:
            yield (
                f"{one['name']} is to go into the subnet {one['subnet']!r}; take one of {', '.join(subnets)}"
            )
    for role in GROUP_NAMES:
        if not any(one["role"] == role for one in instances):
            yield f"infrastructure_instances has no host with the role {role}; it needs one at least"
    jump = next((one for one in instances if one["role"] == "monitoring"), None)
    if jump and inputs["reach"] == "public" and not subnets.get(jump["subnet"], {"public": True})["public"]:
        yield (
            f"{jump['name']} is the jump host and in the private subnet {jump['subnet']}, where the internet"
            " can't reach it; put it in a public one, or set infrastructure_reach to private or"
            " session-manager"
        )


def _volume_problems(inputs: Inputs) -> Iterator[str]:
    numbers = {
        f"infrastructure_{name}": inputs[name]
        for name in ("root_volume_size", "data_volume_size", "volume_iops", "volume_throughput")
    }
    for one in inputs["instances"]:
        if "data_volume_size" in one:
            numbers[f"data_volume_size of {one['name']}"] = one["data_volume_size"]
    for name, value in numbers.items():
        if not _is_number(value):
            yield f"{name} is {value!r}, which is no whole number"
    root = inputs["root_volume_size"]
    if _is_number(root) and int(root) < 8:
        yield f"infrastructure_root_volume_size is {root}; the images need 8 GiB at least"
    name = inputs["volume_type"]
    if name not in _VOLUME_TYPES:
        yield f"infrastructure_volume_type is {name!r}; take one of {', '.join(_VOLUME_TYPES)}"
    elif all(map(_is_number, numbers.values())):
        yield from _performance_problems(inputs, name, _VOLUME_TYPES[name])
        yield from _size_problems(inputs, name, _VOLUME_TYPES[name])


def _performance_problems(inputs: Inputs, name: str, limits: _VolumeType) -> Iterator[str]:
    """Yield what EBS does not combine; M(amazon.aws.ec2_vol) would refuse it after minutes of work."""
    iops, throughput = _number(inputs, "volume_iops"), _number(inputs, "volume_throughput")
    for value, what, span, usual in (
        (iops, "iops", limits.iops, limits.usual_iops),
        (throughput, "throughput", limits.throughput, True),
    ):
        said = f"infrastructure_volume_{what} is {value}"
        if span is None:
            if value:
                fit = [one for one, other in _VOLUME_TYPES.items() if getattr(other, what)]
                yield (
                    f"{said}, which a volume of the type {name} does not take; set it to 0, or"
                    f" infrastructure_volume_type to {' or '.join(fit)}"
                )
        elif not (span[0] <= value <= span[1] or (usual and not value)):
            yield (
                f"{said}; a volume of the type {name} takes {span[0]} to {span[1]}"
                f"{', or 0 for the least' if usual else ''}"
            )
    # Not for values out of range, which are named above.
    least_iops = math.ceil(throughput / _THROUGHPUT_PER_IOPS)
    if limits.throughput and throughput <= limits.throughput[1] and (iops or limits.usual_iops) < least_iops:
        yield (
            f"infrastructure_volume_throughput is {throughput}, for which a volume needs {least_iops} IOPS;"
            " set infrastructure_volume_iops to that at least"
        )


def _size_problems(inputs: Inputs, name: str, limits: _VolumeType) -> Iterator[str]:
    iops = _number(inputs, "volume_iops")
    for one in inputs["instances"]:
        size = int(_data_volume_size(inputs, one))
        if not size:
            continue
        said = f"the data volume of {one['name']} has {size} GiB"
        if size < limits.smallest:
            yield (
                f"{said}; one of the type {name} has {limits.smallest} at least. Set"
                " infrastructure_data_volume_size"
            )
        elif limits.iops and limits.usual_iops < iops <= limits.iops[1] and iops > size * limits.iops_per_gib:
            yield (
                f"{said}, which gives {size * limits.iops_per_gib} IOPS at most as {name}; set"
                f" infrastructure_volume_iops, which is {iops}, to less, or infrastructure_data_volume_size"
                f" to {math.ceil(iops / limits.iops_per_gib)} at least"
            )
