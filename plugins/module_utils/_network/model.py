# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compare networks by their descriptions. Pure."""

from __future__ import annotations

import ipaddress
import re
from itertools import combinations
from typing import Any

# What AWS takes for a VPC and for a subnet alike.
# https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html
_LONGEST_PREFIX = 28
_SHORTEST_PREFIX = 16


def _parse(label: str, cidr: str) -> tuple[ipaddress.IPv4Network | None, str | None]:
    try:
        network = ipaddress.IPv4Network(cidr)
    except ValueError as exc:
        return None, f"{label} {cidr!r} is no IPv4 network ({exc})"
    if not _SHORTEST_PREFIX <= network.prefixlen <= _LONGEST_PREFIX:
        return (
            None,
            f"{label} {cidr} has a prefix outside /{_SHORTEST_PREFIX} to /{_LONGEST_PREFIX}, AWS' limits",
        )
    return network, None


def cidr_problems(vpc: str, subnets: dict[str, str]) -> list[str]:
    """Return what is wrong with a VPC's CIDR and its subnets'.

    Args:
        vpc: the VPC's CIDR, such as ``10.0.0.0/16``.
        subnets: CIDR by the subnet's name.

    Returns:
        A sentence for each problem.
    """
    parsed_vpc, problem = _parse("the VPC's CIDR", vpc)
    problems = [problem] if problem else []
    parsed: dict[str, ipaddress.IPv4Network] = {}
    for name, cidr in subnets.items():
        network, problem = _parse(f"the CIDR of the {name} subnet", cidr)
        if network is None:
            problems.append(str(problem))
            continue
        parsed[name] = network
        if parsed_vpc is not None and not network.subnet_of(parsed_vpc):
            problems.append(f"the {name} subnet {network} does not lie within the VPC {parsed_vpc}")
    problems += [
        f"the {a} subnet {parsed[a]} overlaps the {b} subnet {parsed[b]}"
        for a, b in combinations(parsed, 2)
        if parsed[a].overlaps(parsed[b])
    ]
    return problems


def parse_routes(text: str) -> list[tuple[str, ipaddress.IPv4Network]]:
    """Parse Linux' routing table.

    Args:
        text: the content of ``/proc/net/route``: a header, then a row a route with the interface, the
            destination and (8th column) the mask, as little-endian hexadecimal numbers
            (https://docs.kernel.org, net/ipv4/fib_trie.c ``fib_route_seq_show``).

    Returns:
        Interface and network of every route but the default one.

    Raises:
        ValueError: a row that is not of that form.
    """
    routes = []
    for row in text.splitlines()[1:]:
        fields = row.split()
        if len(fields) < 8:
            continue
        address, mask = (int.from_bytes(bytes.fromhex(fields[i])[::-1], "big") for i in (1, 7))
        if mask:
            routes.append((fields[0], ipaddress.IPv4Network((address, mask.bit_count()))))
    return routes


def network_conflicts(cidr: str, routes: str, networks: list[dict[str, Any]], own_network: str) -> list[str]:
    """Return what on this machine already uses addresses of a new network.

    Args:
        cidr: the new network.
        routes: the content of ``/proc/net/route``.
        networks: what ``podman network ls --format json`` printed.
        own_network: name of the Podman network that may exist, because it is this one.

    Returns:
        A sentence for each conflict.

    Raises:
        ValueError: ``cidr`` or a route that is no network.
    """
    wanted = ipaddress.IPv4Network(cidr)
    own_interfaces = {n.get("network_interface") for n in networks if n["name"] == own_network}
    foreign_interfaces = {}
    conflicts = []
    for network in networks:
        if network["name"] == own_network:
            continue
        for subnet in network.get("subnets") or []:
            other = ipaddress.ip_network(subnet["subnet"])
            if other.version == 4 and other.overlaps(wanted):
                foreign_interfaces[network.get("network_interface")] = True
                conflicts.append(f"Podman's network {network['name']} uses {other}")
    conflicts += [
        f"this machine has a route to {network} through {interface}"
        for interface, network in parse_routes(routes)
        if network.overlaps(wanted)
        and interface not in own_interfaces
        and interface not in foreign_interfaces
    ]
    return conflicts


def chains_removal(rules: str, before: list[str]) -> str:
    """Return what removes the firewall chains that Podman's network plugins left.

    Args:
        rules: what ``iptables-save`` prints now.
        before: names of the chains that were there before; those stay.

    Returns:
        A script for ``iptables-restore --noflush``; empty without such chains.
    """
    script: list[str] = []
    for table in re.findall(r"(?ms)^(\*\S+$.*?)^COMMIT$", rules):
        header, *lines = table.splitlines()
        chains = [
            name
            for line in lines
            if (match := re.match(r":((?:CNI|NETAVARK)\S*) ", line)) and (name := match[1]) not in before
        ]
        if not chains:
            continue
        jumps = [
            "-D" + line[2:]
            for line in lines
            if (match := re.match(r"-A (\S+) .*-j (\S+)", line))
            and match[1] not in chains
            and match[2] in chains
        ]
        flushes = [f"-F {chain}" for chain in chains]
        deletions = [f"-X {chain}" for chain in chains]
        script += [header, *jumps, *flushes, *deletions, "COMMIT"]
    return "".join(f"{line}\n" for line in script)
