# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the inputs of the role and what this machine is to what the role must do. Pure.

``inputs`` are the role's variables by name, ``seen`` is what ``look`` returns.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._lab import image
from ansible_collections.pooled.postgres.plugins.module_utils._network import model as network

# Every container of a lab says which state directory it belongs to.
OWNER_LABEL = "pooled_lab_owner"
INSTANCE_LABEL = "pooled_lab_instance"

Inputs = Mapping[str, Any]


def network_name(state_dir: str) -> str:
    """Return the name of a lab's network: each state directory has its own."""
    return f"pooled-lab-{hashlib.sha256(state_dir.encode()).hexdigest()[:8]}"


def reference(inputs: Inputs) -> str:
    """Return name and tag of the image of the hosts."""
    return image.reference(inputs["lab_image"], inputs["lab_suite"], inputs["lab_mirror"])


def input_problems(inputs: Inputs) -> list[str]:
    """Return what is wrong with the inputs, each with what to do."""
    return list(_input_problems(inputs))


def _input_problems(inputs: Inputs) -> Iterator[str]:
    state = inputs["lab_state_dir"]
    yield from _state_problems(state)
    if len(state) >= 75:
        yield (
            f"lab_state_dir has {len(state)} characters, and the path of SSH's control sockets below it may"
            " have 107; move the checkout to a path shorter than 75"
        )
    if not 0 < inputs["lab_emulator_port"] < 65536:
        yield f"lab_emulator_port is {inputs['lab_emulator_port']}; take a TCP port from 1 to 65535"
    try:
        cidr = ipaddress.IPv4Network(inputs["lab_network_cidr"])
        if ipaddress.IPv4Address(inputs["lab_network_gateway"]) not in cidr:
            yield f"lab_network_gateway {inputs['lab_network_gateway']} is not in lab_network_cidr {cidr}"
    except ValueError as exc:
        yield f"lab_network_cidr or lab_network_gateway is not valid: {exc}"


def _state_problems(state: str) -> Iterator[str]:
    # The teardown removes it with everything in it.
    if not re.match(r"/.+/.+", state):
        yield f"lab_state_dir is {state!r}; take an absolute path at least two levels deep"


def lab_plan(inputs: Inputs, seen: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the role must do to bring the lab up, with all ``problems``."""
    own = network_name(inputs["lab_state_dir"])
    before = seen["before"]
    if before is None and "iptables-save" not in seen["missing"]:
        chains = sorted(set(re.findall(r"(?m)^:(\S+)", seen["firewall"])))
        before = {"chains": chains, "ip_forward": seen["ip_forward"]}
        keep_before = json.dumps(before, indent=4)
    else:
        keep_before = ""
    published = image.published_name(inputs["lab_suite"])
    return {
        "problems": [*input_problems(inputs), *_problems(inputs, seen, own)],
        "packages": sorted(image.COMMANDS[name] for name in seen["missing"]),
        "start_emulator": not seen["emulator"],
        "stop_starting": bool(seen["emulator_starting"]),
        "replay": seen["recorded"],
        "publish": "" if published in seen["published"] else published,
        "network": own,
        "create_network": own not in {one["name"] for one in seen["networks"] or []},
        "build_image": reference(inputs) not in seen["images"],
        "keep_before": keep_before,
        "hosts": {
            "image": reference(inputs),
            "network": own,
            "stack": inputs["lab_stack"],
            "state_dir": inputs["lab_state_dir"],
            "name_prefix": f"{inputs['lab_stack']}-",
            "owner_label": OWNER_LABEL,
            "instance_label": INSTANCE_LABEL,
            "become": seen["become"],
            # A host's limit of open files can't exceed this machine's.
            "file_limit": seen["file_limit"],
        },
    }


def _root_problem(seen: Mapping[str, Any]) -> Iterator[str]:
    if not seen["root"]:
        yield (
            "the lab creates a bridge and systemd containers, which needs root, and"
            f" {seen['user']} has no passwordless sudo; run it as root, or allow sudo without a password"
        )


def _problems(inputs: Inputs, seen: Mapping[str, Any], own: str) -> Iterator[str]:
    yield from _root_problem(seen)
    if seen["port_taken"] and not seen["emulator_starting"]:
        port = inputs["lab_emulator_port"]
        yield (
            f"port {port} of 127.0.0.1 is taken by another process; stop that process, or choose another"
            f" port: POOLED_LAB_PORT={port + 1}"
        )
    try:
        conflicts = network.network_conflicts(
            inputs["lab_network_cidr"], seen["routes"], seen["networks"] or [], own
        )
    except ValueError:
        # The input is no network, and that problem has been named.
        conflicts = []
    if conflicts:
        yield (
            f"its network {inputs['lab_network_cidr']} is in use: {'; '.join(conflicts)}. If that is the lab"
            " of another checkout, run `make down` there; otherwise choose another network:"
            " infrastructure_vpc_cidr, infrastructure_public_subnet_cidr, infrastructure_private_subnet_cidr"
            " and lab_network_gateway"
        )


def bare_plan(inputs: Inputs, seen: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the role must do before it creates bare hosts, with all ``problems``."""
    state = inputs["lab_state_dir"]
    return {
        "problems": [*_state_problems(state), *_root_problem(seen)],
        "packages": sorted(image.COMMANDS[name] for name in seen["missing"]),
        "network": network_name(state),
        "label": f"{OWNER_LABEL}={state}",
    }


def teardown_plan(inputs: Inputs, seen: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the role must remove, with all ``problems``. What others use stays."""
    state = inputs["lab_state_dir"]
    own = network_name(state)
    containers = seen["containers"] or []
    mine = [one for one in containers if (one.get("Labels") or {}).get(OWNER_LABEL) == state]
    others = [one for one in containers if one not in mine and one["State"] == "running"]
    before = seen["before"] or {}
    # Podman's chains and forwarding stay while somebody else's containers run: they need them.
    restore = bool(before) and not others
    return {
        "problems": [*_state_problems(state), *_root_problem(seen)],
        "emulators": [one for one in (seen["emulator"], seen["emulator_starting"]) if one],
        "containers": [one["Id"] for one in mine],
        "network": own if own in {one["name"] for one in seen["networks"] or []} else "",
        "images": bool(seen["images"]) and not inputs["lab_keep_image"],
        "loops": [
            one["name"]
            for one in (seen["loops"] or {}).get("loopdevices", [])
            if (one["back-file"] or "").startswith(f"{state}/volumes/")
        ],
        "restore": restore,
        "ip_forward": before["ip_forward"] if restore and before["ip_forward"] != seen["ip_forward"] else "",
        "chains_removal": network.chains_removal(seen["firewall"], before["chains"]) if restore else "",
    }
