# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The queries to EC2 about a stack, and the parsing of the answers. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ansible.module_utils.common.dict_transformations import camel_dict_to_snake_dict

Resource = dict[str, Any]

TAG = "Stack"
# The key of boto3's answer and the key of the id, by name. The name is both what the method is called after
# (``describe_<name>``) and the key in the module's result.
KINDS: dict[str, tuple[str, str]] = {
    "vpcs": ("Vpcs", "VpcId"),
    "subnets": ("Subnets", "SubnetId"),
    "internet_gateways": ("InternetGateways", "InternetGatewayId"),
    "nat_gateways": ("NatGateways", "NatGatewayId"),
    "addresses": ("Addresses", "AllocationId"),
    "route_tables": ("RouteTables", "RouteTableId"),
    "security_groups": ("SecurityGroups", "GroupId"),
    "key_pairs": ("KeyPairs", "KeyPairId"),
    "volumes": ("Volumes", "VolumeId"),
    "instances": ("Reservations", "InstanceId"),
}
# EC2 still lists such resources for up to an hour.
GONE = ("deleted", "terminated")
DNS_ATTRIBUTES = ("enableDnsSupport", "enableDnsHostnames")
IMAGE_KEYS = ("image_id", "name", "root_device_name", "architecture", "creation_date")


@dataclass(frozen=True)
class Query:
    """A query to AWS.

    Attributes:
        operation: the method of boto3's client.
        arguments: what it is called with.
        service: the client, as boto3 names it.
        absent: codes of the errors for a resource that does not exist.
    """

    operation: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    service: str = "ec2"
    absent: tuple[str, ...] = ()


def _filters(**values: str) -> list[dict[str, Any]]:
    return [{"Name": name.replace("_", "-"), "Values": [value]} for name, value in values.items()]


def queries(
    stack: str, key_name: str | None = None, image: Mapping[str, str | None] | None = None
) -> dict[str, Query]:
    """Return the queries that depend on no other, by the name under which ``result`` takes the answer.

    Args:
        stack: value of the tag ``Stack``.
        key_name: name of a key pair to return with any tag.
        image: ``id``, or ``owner`` and ``name``, of the image.
    """
    by_tag = [{"Name": f"tag:{TAG}", "Values": [stack]}]
    asked = {
        "account": Query("get_caller_identity", service="sts"),
        **{kind: Query(f"describe_{kind}", {"Filters": by_tag}) for kind in KINDS},
    }
    # The only operation with this name for it.
    asked["nat_gateways"] = Query("describe_nat_gateways", {"Filter": by_tag})
    asked["key_pairs"] = Query("describe_key_pairs", {"Filters": by_tag, "IncludePublicKey": True})
    if key_name:
        # A filter: with KeyNames EC2 fails for a missing key pair.
        named = {"Filters": _filters(key_name=key_name), "IncludePublicKey": True}
        asked["named_key_pairs"] = Query("describe_key_pairs", named)
    if image:
        asked["images"] = image_query(image)
    return asked


def image_query(image: Mapping[str, str | None]) -> Query:
    """Return the query for images: by ``id``, or by ``owner`` and ``name``, where name may have wildcards.

    By id it is no filter: that finds deprecated images too, which still can be launched
    (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-deprecate.html), and without an owner a filter
    would go through all the images of the world.
    """
    if image.get("id"):
        absent = ("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable")
        return Query("describe_images", {"ImageIds": [image["id"]]}, absent=absent)
    filters = _filters(name=str(image["name"]), state="available")
    return Query("describe_images", {"Owners": [image["owner"]], "Filters": filters})


def dns_queries(vpcs: Iterable[Resource]) -> dict[tuple[str, str], Query]:
    """Return the queries for attributes of VPCs, by VPC and attribute.

    Args:
        vpcs: VPCs as ``resources`` returns them.
    """
    return {
        (vpc["vpc_id"], name): Query("describe_vpc_attribute", {"VpcId": vpc["vpc_id"], "Attribute": name})
        for vpc in vpcs
        for name in DNS_ATTRIBUTES
    }


def protection_queries(instances: Iterable[Resource]) -> dict[str, Query]:
    """Return the queries for termination protection, by the instance's id.

    Args:
        instances: instances as ``resources`` returns them.
    """
    return {
        one["instance_id"]: Query(
            "describe_instance_attribute",
            {"InstanceId": one["instance_id"], "Attribute": "disableApiTermination"},
            # It may have gone since.
            absent=("InvalidInstanceID.NotFound",),
        )
        for one in instances
        if one["state"]["name"] != "shutting-down"
    }


def _plain(value: Any) -> Any:
    """Return the value with its times as text, in ISO 8601."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def normalise(resource: Resource) -> Resource:
    """Return a resource of boto3 as Ansible has them: keys in snake case, tags as a dictionary."""
    tags = {tag["Key"]: tag["Value"] for tag in resource.get("Tags") or []}
    rest = {key: value for key, value in resource.items() if key != "Tags"}
    return {**camel_dict_to_snake_dict(_plain(rest)), "tags": tags}


def _state(resource: Resource) -> str | None:
    state = resource.get("State")
    return state.get("Name") if isinstance(state, dict) else state


def resources(kind: str, answer: Mapping[str, Any], stack: str | None) -> list[Resource]:
    """Return the resources of an answer that are of the stack and not gone, by their ids' order.

    This compares the tag again: in EC2's filter ``*`` and ``?`` are wildcards, and an
    emulated API may ignore it.

    Args:
        kind: one of ``KINDS``.
        answer: what boto3 returned.
        stack: value of the tag ``Stack``; None takes all.
    """
    key, id_key = KINDS[kind]
    found = answer.get(key) or []
    if kind == "instances":
        found = [instance for reservation in found for instance in reservation["Instances"]]
    alive = [normalise(resource) for resource in found if _state(resource) not in GONE]
    snake_id = next(iter(camel_dict_to_snake_dict({id_key: ""})))
    return sorted(
        (resource for resource in alive if stack is None or resource["tags"].get(TAG) == stack),
        key=lambda resource: str(resource.get(snake_id, "")),
    )


def key_pairs(
    tagged: Mapping[str, Any], named: Mapping[str, Any], stack: str, key_name: str | None
) -> list[Resource]:
    """Return the stack's key pairs and the one of a name, once each.

    Args:
        tagged: the answer for the tag.
        named: the answer for the name, empty where it was not asked for.
        stack: value of the tag ``Stack``.
        key_name: the name; None where none is wanted.
    """
    of_name = [pair for pair in resources("key_pairs", named, None) if pair["key_name"] == key_name]
    found = {pair["key_pair_id"]: pair for pair in [*resources("key_pairs", tagged, stack), *of_name]}
    return [found[key] for key in sorted(found)]


def newest_image(answer: Mapping[str, Any]) -> Resource | None:
    """Return the newest available image, reduced to ``IMAGE_KEYS``; None without any."""
    images = [normalise(image) for image in answer.get("Images") or [] if image.get("State") == "available"]
    if not images:
        return None
    # ISO 8601, all in UTC: the order of the text is that of the time.
    newest = max(images, key=lambda image: (image.get("creation_date") or "", image["image_id"]))
    return {key: newest.get(key) for key in IMAGE_KEYS}


def with_dns(
    vpcs: Iterable[Resource], answers: Mapping[tuple[str, str], Mapping[str, Any]]
) -> list[Resource]:
    """Return the VPCs with ``enable_dns_support`` and ``enable_dns_hostnames``.

    Args:
        vpcs: VPCs as ``resources`` returns them.
        answers: the answers to ``dns_queries``, under the same keys.
    """
    found = []
    for vpc in vpcs:
        values = {
            name: answers[vpc["vpc_id"], name][name[0].upper() + name[1:]]["Value"] for name in DNS_ATTRIBUTES
        }
        found.append({**vpc, **camel_dict_to_snake_dict(values)})
    return found


def with_protection(
    instances: Iterable[Resource], answers: Mapping[str, Mapping[str, Any]]
) -> list[Resource]:
    """Return the instances with ``disable_api_termination``.

    Args:
        instances: instances as ``resources`` returns them.
        answers: the answers to ``protection_queries``, under the same keys.
    """

    def protected(instance: Resource) -> bool:
        answer = answers.get(instance["instance_id"], {}).get("DisableApiTermination") or {}
        return bool(answer.get("Value"))

    return [{**one, "disable_api_termination": protected(one)} for one in instances]


def result(
    answers: Mapping[str, Mapping[str, Any]],
    complete: Mapping[str, list[Resource]],
    stack: str,
    key_name: str | None,
) -> dict[str, Any]:
    """Return what the module returns of the answers: ``account``, ``stack`` and ``image``.

    Args:
        answers: the answers to ``queries``, under the same names.
        complete: the stack's VPCs and instances, by kind, with what had to be asked one at a time.
        stack: value of the tag ``Stack``.
        key_name: name of the key pair to return with any tag.
    """
    found = {kind: resources(kind, answers[kind], stack) for kind in KINDS}
    named = answers.get("named_key_pairs", {})
    found.update(complete)
    found["key_pairs"] = key_pairs(answers["key_pairs"], named, stack, key_name)
    return {
        "account": answers["account"]["Account"],
        "stack": found,
        "image": newest_image(answers.get("images", {})),
    }


def last_lines(console: str, count: int) -> list[str]:
    """Return the last lines of a console that are not empty, without colours and other control characters."""
    plain = re.sub(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]", "", console.replace("\r", "\n"))
    lines = [line.rstrip() for line in plain.splitlines()]
    return [line for line in lines if line][-count:] if count > 0 else []
