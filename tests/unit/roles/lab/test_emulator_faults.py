"""Which calls a fault hits, and how it is asked for."""

from __future__ import annotations

from typing import Any

import pytest
from faults import Fault, is_changing, parse


@pytest.mark.parametrize(
    ("action", "changing"),
    [
        ("DescribeVpcs", False),
        ("GetConsoleOutput", False),
        ("ListImagesInRecycleBin", False),
        ("CreateVpc", True),
        ("RevokeSecurityGroupIngress", True),
    ],
)
def test_the_name_tells_whether_a_call_changes_something(action: str, changing: bool) -> None:
    assert is_changing(action) is changing


def test_an_empty_document_asks_for_none() -> None:
    assert parse({}) is None


def test_all_that_can_be_asked_for_is_read() -> None:
    assert parse(
        {
            "call": 3,
            "code": "X",
            "message": "m",
            "status": 503,
            "executed": True,
            "count": 2,
            "actions": ["A"],
        }
    ) == Fault(3, "X", "m", 503, True, 2, frozenset({"A"}))


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"call": 1}, "needs a code"),
        ({"code": ""}, "needs a code"),
        ({"code": "X", "calls": 1}, "no calls"),
        ({"code": "X", "call": 0}, "call must be a whole number from 1 on"),
        ({"code": "X", "count": True}, "count must be a whole number"),
        ({"code": "X", "status": 200}, "status must be a whole number from 400 on"),
        ({"code": "X", "executed": "yes"}, "executed must be"),
        ({"code": "X", "actions": "CreateVpc"}, "actions must be a list"),
    ],
)
def test_what_makes_no_sense_is_refused(document: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(document)


@pytest.mark.parametrize(
    ("fault", "hit"),
    [(Fault(1, "X", ""), [1]), (Fault(3, "X", ""), [3]), (Fault(2, "X", "", count=3), [2, 3, 4])],
)
def test_calls_are_hit_by_number(fault: Fault, hit: list[int]) -> None:
    assert [number for number in range(1, 10) if fault.hits(number)] == hit


def test_named_calls_are_counted_alone_and_may_read() -> None:
    fault = Fault(1, "X", "", actions=frozenset({"DescribeVpcs"}))
    assert fault.counts("DescribeVpcs")
    assert not fault.counts("CreateVpc")
    assert Fault(1, "X", "").counts("CreateVpc")
    assert not Fault(1, "X", "").counts("DescribeVpcs")


def test_the_body_is_xml_whatever_the_message() -> None:
    assert "<Message>a &lt;b&gt; &amp; c</Message>" in Fault(1, "X", "a <b> & c").body("id")
