"""Security groups as nftables rules."""

from __future__ import annotations

import pytest
from firewall import Group, Rule, ruleset

MEMBERS = {"sg-mon": ["10.0.1.4", "10.0.1.5"], "sg-empty": []}
EVERYTHING = (Rule("-1", None, None, "0.0.0.0/0"),)


def accepted(text: str, chain: str) -> list[str]:
    """Return what a chain accepts beyond what every host needs."""
    body = text.split(f"chain {chain} {{\n")[1].split("  }\n", maxsplit=1)[0]
    lines = [line.strip() for line in body.splitlines()]
    always = ("type filter", "ct state", "iifname", "oifname", "icmp type dest", "icmpv6")
    return [line for line in lines if not line.startswith(always)]


@pytest.mark.parametrize(
    ("rule", "lines"),
    [
        (Rule("tcp", 22, 22, "10.0.0.1/32"), ["ip saddr 10.0.0.1/32 tcp dport 22-22 accept"]),
        (Rule("udp", 1000, 2000, "10.0.0.0/8"), ["ip saddr 10.0.0.0/8 udp dport 1000-2000 accept"]),
        (Rule("tcp", 0, 65535, "0.0.0.0/0"), ["ip saddr 0.0.0.0/0 tcp dport 0-65535 accept"]),
        (Rule("tcp", -1, -1, "0.0.0.0/0"), ["ip saddr 0.0.0.0/0 tcp dport 0-65535 accept"]),
        (Rule("-1", None, None, "10.0.0.1/32"), ["ip saddr 10.0.0.1/32 accept"]),
        # As EC2 does, host bits are left out.
        (Rule("-1", None, None, "10.0.3.7/16"), ["ip saddr 10.0.0.0/16 accept"]),
        (Rule("icmp", -1, -1, "0.0.0.0/0"), ["ip saddr 0.0.0.0/0 meta l4proto icmp accept"]),
        (Rule("icmp", 8, -1, "0.0.0.0/0"), ["ip saddr 0.0.0.0/0 icmp type 8 accept"]),
        (Rule("icmp", 3, 1, "0.0.0.0/0"), ["ip saddr 0.0.0.0/0 icmp type 3 icmp code 1 accept"]),
        (Rule("50", None, None, "10.0.0.1/32"), ["ip saddr 10.0.0.1/32 meta l4proto 50 accept"]),
        (
            Rule("tcp", 5432, 5432, group="sg-mon"),
            [
                "ip saddr 10.0.1.4 tcp dport 5432-5432 accept",
                "ip saddr 10.0.1.5 tcp dport 5432-5432 accept",
            ],
        ),
        (Rule("tcp", 5432, 5432, group="sg-empty"), []),
        (Rule("tcp", 5432, 5432, group="sg-unknown"), []),
    ],
)
def test_a_rule_lets_in_what_it_says(rule: Rule, lines: list[str]) -> None:
    assert accepted(ruleset([Group(ingress=(rule,))], MEMBERS), "ingress") == lines


def test_without_rules_nothing_is_let_in_or_out() -> None:
    text = ruleset([Group()], MEMBERS)
    assert accepted(text, "ingress") == accepted(text, "egress") == []
    assert text.count("policy drop;") == 2
    assert text.count("ct state established,related accept") == 2


def test_egress_goes_by_the_destination() -> None:
    text = ruleset([Group(egress=EVERYTHING)], MEMBERS)
    assert accepted(text, "egress") == ["ip daddr 0.0.0.0/0 accept"]
    assert accepted(text, "ingress") == []


def test_dns_is_answered_whatever_the_groups_say() -> None:
    text = ruleset([Group()], MEMBERS, ["192.0.2.53"])
    assert accepted(text, "egress") == ["ip daddr 192.0.2.53 meta l4proto { tcp, udp } th dport 53 accept"]


def test_several_groups_are_a_union() -> None:
    ssh, web = Rule("tcp", 22, 22, "10.0.0.1/32"), Rule("tcp", 80, 80, "0.0.0.0/0")
    both = accepted(ruleset([Group((ssh,)), Group((web, ssh))], MEMBERS), "ingress")
    assert both == [
        "ip saddr 0.0.0.0/0 tcp dport 80-80 accept",
        "ip saddr 10.0.0.1/32 tcp dport 22-22 accept",
    ]


def test_equal_permissions_make_equal_text() -> None:
    rules = (Rule("tcp", 22, 22, "10.0.0.1/32"), Rule("tcp", 80, 80, "0.0.0.0/0"))
    assert ruleset([Group(rules)], MEMBERS) == ruleset([Group(rules[1:]), Group(rules[::-1])], MEMBERS)


def test_the_table_is_replaced_as_a_whole() -> None:
    assert ruleset([], {}).splitlines()[:3] == [
        "add table inet pooled_security_groups",
        "delete table inet pooled_security_groups",
        "table inet pooled_security_groups {",
    ]


def test_a_range_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        ruleset([Group((Rule("tcp", 22, 22, "nonsense"),))], {})
