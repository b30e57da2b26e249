# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Security groups as nftables rules. Pure: text in, text out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network

TABLE = "pooled_security_groups"

ANY_PROTOCOL = "-1"
# EC2 writes "all ports" of TCP and UDP and "all types" or "all codes" of ICMP as -1.
ANY_NUMBER = -1
LAST_PORT = 65535

# What EC2's own network lets through in any case, or IPv4 and IPv6 don't work: replies, the host to itself,
# path MTU discovery (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/security-group-rules-reference.html)
# and what answers for ARP in IPv6.
ALWAYS = (
    "ct state established,related accept",
    '{interface}name "lo" accept',
    "icmp type destination-unreachable icmp code frag-needed accept",
    "icmpv6 type { packet-too-big, nd-neighbor-solicit, nd-neighbor-advert } accept",
)


@dataclass(frozen=True)
class Rule:
    """One permission of a security group, for one range of addresses or one group.

    ``protocol`` is ``tcp``, ``udp``, ``icmp``, ``-1`` (all) or a protocol number. ``first`` and ``last`` are
    ports, or the type and code of ICMP. Of ``cidr`` (IPv4) and ``group`` (the id) one is given.
    """

    protocol: str
    first: int | None
    last: int | None
    cidr: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class Group:
    """What a security group lets in and out."""

    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()


def ruleset(
    groups: Iterable[Group], members: Mapping[str, Collection[str]], resolvers: Iterable[str] = ()
) -> str:
    """Return the input of ``nft -f -`` that makes a host's network namespace enforce its groups.

    ``members`` are the private addresses of the running instances in each group, by group id. The text
    replaces the whole table in one transaction, so the host is never without rules. Equal permissions make
    equal text. EC2 answers DNS whatever the groups say, so ``resolvers`` (IPv4) stay reachable.
    Raises ValueError for a range of addresses that is not valid.
    """
    groups = tuple(groups)
    ingress = _chain("ingress", "input", "saddr", [rule for g in groups for rule in g.ingress], members)
    egress = _chain("egress", "output", "daddr", [rule for g in groups for rule in g.egress], members)
    dns = [
        f"ip daddr {address} meta l4proto {{ tcp, udp }} th dport 53 accept" for address in sorted(resolvers)
    ]
    lines = [
        # The first line makes the second one work without a table, too.
        f"add table inet {TABLE}",
        f"delete table inet {TABLE}",
        f"table inet {TABLE} {{",
        *ingress,
        *egress[:-1],
        *(f"    {line}" for line in dns),
        egress[-1],
        "}",
    ]
    return "\n".join(lines) + "\n"


def _chain(
    name: str, hook: str, side: str, rules: Iterable[Rule], members: Mapping[str, Collection[str]]
) -> list[str]:
    accepted = {
        f"{source} {_match(rule)}accept" for rule in rules for source in _addresses(rule, side, members)
    }
    interface = "iif" if hook == "input" else "oif"
    return [
        f"  chain {name} {{",
        f"    type filter hook {hook} priority filter; policy drop;",
        *(f"    {line.replace('{interface}', interface)}" for line in ALWAYS),
        *(f"    {line}" for line in sorted(accepted)),
        "  }",
    ]


def _addresses(rule: Rule, side: str, members: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Return the other end of a rule, in nftables' words: none for a group without running instances."""
    if rule.cidr is not None:
        yield f"ip {side} {IPv4Network(rule.cidr, strict=False)}"
    elif rule.group is not None:
        for address in members.get(rule.group, ()):
            yield f"ip {side} {address}"


def _match(rule: Rule) -> str:
    """Return what of its traffic a rule is about, with a blank at its end, or nothing."""
    if rule.protocol == ANY_PROTOCOL:
        return ""
    if rule.protocol == "icmp":
        return _icmp(rule)
    if rule.protocol in ("tcp", "udp"):
        if rule.first in (None, ANY_NUMBER):
            return f"{rule.protocol} dport 0-{LAST_PORT} "
        return f"{rule.protocol} dport {rule.first}-{rule.last} "
    return f"meta l4proto {int(rule.protocol)} "


def _icmp(rule: Rule) -> str:
    if rule.first in (None, ANY_NUMBER):
        return "meta l4proto icmp "
    if rule.last in (None, ANY_NUMBER):
        return f"icmp type {rule.first} "
    return f"icmp type {rule.first} icmp code {rule.last} "
