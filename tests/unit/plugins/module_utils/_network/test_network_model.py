"""What is said of networks before anything is made in them."""

from __future__ import annotations

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._network import model

GOOD = {"public": "10.0.1.0/24", "private": "10.0.2.0/24"}


@pytest.mark.parametrize(
    ("vpc", "subnets", "said"),
    [
        ("10.0.0.0/16", GOOD, []),
        ("10.0.0.0/33", GOOD, ["no IPv4 network"]),
        ("10.0.0.1/16", GOOD, ["no IPv4 network"]),
        ("10.0.0.0/8", GOOD, ["outside /16 to /28"]),
        ("10.1.0.0/16", GOOD, ["public subnet 10.0.1.0/24 does not lie within", "private subnet"]),
        ("10.0.0.0/16", {"a": "10.0.1.0/24", "b": "10.0.1.128/25"}, ["the a subnet 10.0.1.0/24 overlaps"]),
        ("10.0.0.0/16", {"a": "x"}, ["the a subnet 'x' is no IPv4 network"]),
        ("10.0.0.0/16", {"a": "10.0.1.0/29"}, ["outside /16 to /28"]),
    ],
)
def test_cidr_problems(vpc: str, subnets: dict[str, str], said: list[str]) -> None:
    problems = model.cidr_problems(vpc, subnets)
    assert len(problems) == len(said)
    for problem, part in zip(problems, said, strict=True):
        assert part in problem


ROUTES = """Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
cni0\t0000000A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
"""
OURS = {"name": "ours", "network_interface": "cni0", "subnets": [{"subnet": "10.0.0.0/16"}]}


def test_routes_are_read_without_the_default() -> None:
    assert [(i, str(n)) for i, n in model.parse_routes(ROUTES)] == [
        ("eth0", "192.0.2.0/24"),
        ("cni0", "10.0.0.0/16"),
    ]


@pytest.mark.parametrize(
    ("cidr", "networks", "said"),
    [
        ("10.0.0.0/16", [OURS], []),
        ("10.0.0.0/16", [], ["a route to 10.0.0.0/16 through cni0"]),
        ("10.0.0.0/16", [{**OURS, "name": "theirs"}], ["Podman's network theirs uses 10.0.0.0/16"]),
        ("192.0.2.128/25", [OURS], ["a route to 192.0.2.0/24 through eth0"]),
        ("172.16.0.0/16", [OURS, {"name": "v6", "subnets": [{"subnet": "fd00::/64"}]}], []),
    ],
)
def test_network_conflicts(cidr: str, networks: list[dict[str, object]], said: list[str]) -> None:
    conflicts = model.network_conflicts(cidr, ROUTES, networks, "ours")
    assert len(conflicts) == len(said)
    for conflict, part in zip(conflicts, said, strict=True):
        assert part in conflict


RULES = """*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:CNI-ADMIN - [0:0]
:CNI-FORWARD - [0:0]
:MINE - [0:0]
-A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD
-A FORWARD -j MINE
-A CNI-FORWARD -j CNI-ADMIN
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
COMMIT
"""


def test_chains_that_podman_left_are_removed_and_no_others() -> None:
    assert model.chains_removal(RULES, ["INPUT", "FORWARD"]).splitlines() == [
        "*filter",
        '-D FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD',
        "-F CNI-ADMIN",
        "-F CNI-FORWARD",
        "-X CNI-ADMIN",
        "-X CNI-FORWARD",
        "COMMIT",
    ]


def test_chains_that_were_there_before_stay() -> None:
    assert model.chains_removal(RULES, ["CNI-ADMIN", "CNI-FORWARD"]) == ""
