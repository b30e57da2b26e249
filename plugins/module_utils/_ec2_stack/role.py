# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the tasks of the role infrastructure need: its inputs' problems, plan, outputs and teardown. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._ec2_stack import plan, wanted

Inputs = Mapping[str, Any]
Found = Mapping[str, Any]
PREFIX = "infrastructure_"
# What marks a state directory as that of a stack.
IDENTITY = ("stack", "account", "region")


def stack_inputs(inputs: Inputs, admin_cidr: str, public_key: str = "", profile: str = "") -> dict[str, Any]:
    """Return the inputs of the role as ``wanted`` takes them.

    Args:
        inputs: the role's variables by name.
        admin_cidr: the network that may reach the monitoring hosts.
        public_key: content of the public key's file; empty where it does not exist yet.
        profile: instance profile for Session Manager; empty for none.
    """
    plain = {name.removeprefix(PREFIX): value for name, value in inputs.items()}
    return {**plain, "admin_cidr": admin_cidr, "public_key": public_key, "profile": profile}


def profile(inputs: Inputs, region: str) -> str:
    """Return the name of the instance profile, or nothing. IAM knows no regions, so the name has it."""
    name = f"{inputs['infrastructure_stack']}-{region}-session-manager"
    return name if inputs["infrastructure_session_manager"] else ""


def shape_problems(inputs: Inputs) -> list[str]:
    """Return which subnets lack what a subnet needs: the argument specs have no names for their options."""
    return [
        f"infrastructure_subnets: {key!r} has no {name}; each subnet needs cidr, zone and public"
        for key, one in inputs["infrastructure_subnets"].items()
        for name in ("cidr", "zone", "public")
        if not isinstance(one, dict) or name not in one
    ]


def own_address_problem(said: str, service: str) -> str:
    """Return why an answer is not the caller's address; empty if it is one."""
    if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", said):
        return ""
    return (
        f"Failed to find your own address: {service} says {said[:99]!r}. Set infrastructure_admin_cidr to"
        " the network that may reach SSH, Grafana and Prometheus, such as your own address with /32;"
        " 0.0.0.0/0 is the whole world"
    )


def key_problem(inputs: Inputs, mode: int | None, public_key: str) -> str:
    """Return why the key file can't be used; empty if it can, or if the role makes it.

    Args:
        inputs: the role's variables.
        mode: permissions of the private key's file; None where it does not exist.
        public_key: content of the public key's file.
    """
    file = inputs["infrastructure_key_file"]
    if mode is None:
        if is_own_key(inputs):
            return ""
        why = "it does not exist; set infrastructure_key_file to a private key of yours, or leave it out"
    elif mode & 0o077:
        why = "others can read it; run chmod 0600 on it"
    elif not public_key:
        why = f"its public half does not exist; write it by ssh-keygen -y to {file}.pub"
    else:
        return ""
    return f"the SSH key {file} can't be used: {why}"


def is_own_key(inputs: Inputs) -> bool:
    """Return whether the key is the one that the role makes."""
    return bool(inputs["infrastructure_key_file"] == f"{inputs['infrastructure_state_dir']}/ssh_key")


def state_problem(inputs: Inputs, here: Mapping[str, str], known: Mapping[str, str]) -> str:
    """Return why a state directory must not be used: its key opens the hosts of another stack.

    Args:
        inputs: the role's variables.
        here: ``IDENTITY`` of this stack.
        known: content of ``infrastructure.json``; empty without that file.
    """
    if all(known.get(name, here[name]) == here[name] for name in IDENTITY):
        return ""
    was, now = (
        "the stack {} in account {}, region {}".format(*(one.get(name, "?") for name in IDENTITY))
        for one in (known, here)
    )
    return (
        f"{inputs['infrastructure_state_dir']} can't be used: it is of {was}, and this is {now}. Give each"
        " stack a checkout, or a pooled_state_dir, of its own"
    )


def infrastructure_plan(inputs: Inputs, found: Found, asked: Inputs) -> dict[str, Any]:
    """Return what the tasks need.

    Args:
        inputs: the role's variables.
        found: what M(pooled.postgres.ec2_stack_info) returns.
        asked: what ``stack_inputs`` returns.
    """
    target = wanted.stack_wanted(asked)
    made = plan.stack_plan(found["stack"], target)
    ids, todo = made["ids"], made["todo"]
    hosts = [one for one in found["stack"]["instances"] if one["instance_id"] in ids["instances"].values()]
    to_attach = {ids["volumes"].get(name) for name in todo["attachment"]}
    subnets = {
        kind: [ids["subnets"].get(key) for key, one in target["subnets"].items() if one["public"] == public]
        for kind, public in (("public", True), ("private", False))
    }
    return {
        **made,
        "problems": made["problems"] + list(_environment_problems(inputs, found, target, todo)),
        "account": found["account"],
        "region": found["region"],
        "image": found["image"] or {},
        "profile": asked["profile"],
        "vpc": target["vpc"],
        "prefix": target["prefix"],
        "public_key": target["key_pair"]["public_key"],
        "subnets": [{**one, "key": key} for key, one in target["subnets"].items() if key in todo["subnet"]],
        "subnet_ids": subnets,
        "instances": [
            {
                **one,
                "subnet_id": ids["subnets"].get(one["subnet"]),
                "group_ids": [ids["groups"].get(key) for key in one["groups"]],
                "launched": one["name"] in ids["instances"],
            }
            for one in target["instances"]
            if one["name"] in todo["instance"] + todo["start"]
        ],
        "running": {one["state"]["name"] for one in hosts} == {"running"},
        "nat_states": [one["state"] for one in found["stack"]["nat_gateways"]],
        # An instance that is being terminated may still hold a volume.
        "volumes_free": all(
            one["state"] == "available" for one in found["stack"]["volumes"] if one["volume_id"] in to_attach
        ),
        "nat_failure": _nat_failure(found),
    }


def is_settled(found: Found) -> bool:
    """Return whether nothing is on its way out that the plan would have to judge."""
    stack = found["stack"]
    return "stopping" not in {one["state"]["name"] for one in stack["instances"]} and "deleting" not in {
        one["state"] for one in stack["nat_gateways"]
    }


def _environment_problems(inputs: Inputs, found: Found, target: Inputs, todo: Inputs) -> Iterator[str]:
    region = found["region"]
    zones = sorted({one["zone"] for one in target["subnets"].values()})
    foreign = [zone for zone in zones if not re.match(rf"{re.escape(region)}-?[a-z]", zone)]
    if foreign:
        yield (
            f"{', '.join(foreign)} is no zone of the region {region}; set infrastructure_availability_zone,"
            " or the region (pooled_aws)"
        )
    if todo["instance"] and not found["image"]:
        owner, name = inputs["infrastructure_image_owner"], inputs["infrastructure_image_name"]
        which = inputs["infrastructure_image_id"] or f"owner {owner} has none named {name}"
        yield (
            f"Failed to find an image: {which} in the region {region}; set infrastructure_image_owner and"
            " infrastructure_image_name, or infrastructure_image_id"
        )


def _nat_failure(found: Found) -> str:
    reasons = [
        one.get("failure_message", "AWS gives no reason")
        for one in found["stack"]["nat_gateways"]
        if one["state"] == "failed"
    ]
    return str((reasons or ["it is gone"])[-1])


def headline(inputs: Inputs, found: Found, lines: list[str], nothing: str) -> list[str]:
    """Return the lines of a plan below where it applies; ``nothing`` stands for no lines."""
    where = f"Stack {inputs['infrastructure_stack']} in account {found['account']}, region {found['region']}"
    return [f"{where}:{'' if lines else f' {nothing}'}", *lines]


def jump_host(inputs: Inputs) -> str:
    """Return the name of the host through which SSH reaches the others."""
    return next(str(one["name"]) for one in inputs["infrastructure_instances"] if one["role"] == "monitoring")


def hosts(found: Found, ids: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the instances of the stack in the order of their names."""
    known = set(ids["instances"].values())
    listed = [one for one in found["stack"]["instances"] if one["instance_id"] in known]
    return sorted(listed, key=lambda one: one["tags"]["Name"])


def outputs(inputs: Inputs, found: Found, ids: Mapping[str, Any]) -> str:
    """Return the content of ``infrastructure.json``."""
    listed = hosts(found, ids)
    document = {
        "stack": inputs["infrastructure_stack"],
        "account": found["account"],
        "region": found["region"],
        "vpc_id": ids["vpc"],
        "subnet_ids": ids["subnets"],
        "ssh_config": f"{inputs['infrastructure_state_dir']}/ssh_config",
        "private_addresses": {one["tags"]["Name"]: one["private_ip_address"] for one in listed},
        "public_addresses": {one["tags"]["Name"]: one.get("public_ip_address", "") for one in listed},
        "instance_ids": ids["instances"],
        "volume_ids": ids["volumes"],
    }
    return json.dumps(document, indent=4, sort_keys=True) + "\n"


def teardown_plan(inputs: Inputs, found: Found) -> dict[str, Any]:
    """Return what the teardown removes, by kind, with what keeps it from that and what stays.

    Resources in another VPC than the stack's belong to somebody else, whatever their tag says.
    """
    stack, name = found["stack"], inputs["infrastructure_stack"]
    vpcs = [one["vpc_id"] for one in stack["vpcs"]]
    data = [
        one["volume_id"] for one in stack["volumes"] if re.match(r".+-data$", one["tags"].get("Name", ""))
    ]
    going_data = data if inputs["infrastructure_delete_data"] else []
    gateways = [one for one in stack["nat_gateways"] if one["state"] != "failed"]

    def inside(resources: Iterable[Mapping[str, Any]]) -> list[Any]:
        return [one for one in resources if one.get("vpc_id") in vpcs]

    def attached_elsewhere(gateway: Mapping[str, Any]) -> bool:
        # One without a VPC is what an interrupted run left.
        attachments = gateway.get("attachments") or []
        return bool(attachments) and attachments[0]["vpc_id"] not in vpcs

    going = {
        "instance": [one["instance_id"] for one in inside(stack["instances"])],
        "NAT gateway": [one["nat_gateway_id"] for one in inside(gateways)],
        "elastic IP": [one["allocation_id"] for one in stack["addresses"]],
        "route table": [one["route_table_id"] for one in inside(stack["route_tables"])],
        # AWS keeps a group that another one refers to: those that none refers to go first.
        "security group": plan.teardown_order(inside(stack["security_groups"])),
        "internet gateway": [
            one["internet_gateway_id"] for one in stack["internet_gateways"] if not attached_elsewhere(one)
        ],
        "subnet": [one["subnet_id"] for one in inside(stack["subnets"])],
        "VPC": vpcs,
        "key pair": [one["key_name"] for one in stack["key_pairs"] if one["tags"].get("Stack") == name],
        "data volume": going_data,
    }
    left_volumes = [
        one["volume_id"]
        for one in stack["volumes"]
        if one["state"] != "deleting" and (one["volume_id"] not in data or one["volume_id"] in going_data)
    ]
    lines = [f"- {kind} {', '.join(keys)}" for kind, keys in going.items() if keys]
    staying = [
        f"  stays: data volume {one} (goes with infrastructure_delete_data=true)"
        for one in data
        if one not in going_data
    ]
    return {
        "problems": list(_teardown_problems(name, vpcs, stack)),
        "lines": headline(inputs, found, lines, "nothing to remove") + staying,
        "going": going,
        "nat_gateways": [one["nat_gateway_id"] for one in inside(gateways) if one["state"] != "deleting"],
        "addresses": [
            {"public_ip": one["public_ip"], "id": one["allocation_id"]} for one in stack["addresses"]
        ],
        "subnets": [
            {"vpc_id": one["vpc_id"], "cidr": one["cidr_block"], "id": one["subnet_id"]}
            for one in inside(stack["subnets"])
        ],
        "left_volumes": left_volumes,
        # By the tag alone, in any VPC: these cost money.
        "left": [
            *(one["instance_id"] for one in stack["instances"]),
            *(one["nat_gateway_id"] for one in gateways),
            *(one["allocation_id"] for one in stack["addresses"]),
            *left_volumes,
            *vpcs,
        ],
    }


def _teardown_problems(name: str, vpcs: list[str], stack: Mapping[str, Any]) -> Iterator[str]:
    if len(vpcs) > 1:
        yield (
            f"{len(vpcs)} VPCs carry the tag Stack={name} ({', '.join(vpcs)}). Take the tag from the one that"
            " is not of this stack"
        )
    protected = [one["instance_id"] for one in stack["instances"] if one.get("disable_api_termination")]
    if protected:
        yield (
            f"{', '.join(protected)} may not be terminated. Set infrastructure_termination_protection to"
            " false and bring the stack up once more, then take it down"
        )
