"""The filters that plan a stack, as templates call them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.pooled.postgres.plugins.filter.ec2_stack import FilterModule
from ansible_collections.pooled.postgres.plugins.module_utils._ec2_stack import model

FILTERS = FilterModule().filters()


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (
            "stack_wanted",
            [{"volume_encrypted": True}],
            "Failed to read the inputs of the stack: 'volume_type' is",
        ),
        (
            "stack_wanted",
            [{"volume_encrypted": True, "volume_type": "gp3", "volume_iops": "many"}],
            "Failed to read the inputs of the stack: invalid literal for int() with base 10: 'many'",
        ),
        ("stack_problems", [{}], "Failed to read the inputs of the stack: 'subnets' is missing"),
        ("stack_problems", [{"subnets": []}], "Failed to read the inputs of the stack: "),
        ("stack_problems", [None], "Failed to read the inputs of the stack: "),
        ("stack_plan", [{}, {}], "Failed to compare the stack with what is wanted: 'prefix' is missing"),
        (
            "stack_plan",
            [{}, {"prefix": "p"}],
            "Failed to compare the stack with what is wanted: 'vpcs' is missing",
        ),
        ("teardown_order", [[{}]], "Failed to order the security groups: 'group_id' is missing"),
    ],
)
def test_what_can_not_be_read_is_said(name: str, arguments: list[Any], message: str) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        FILTERS[name](*arguments)
    assert str(caught.value).startswith(message)


def test_they_are_those_of_the_modules() -> None:
    assert set(FILTERS) == {"stack_plan", "stack_problems", "stack_wanted", "teardown_order"}
    groups = [{"group_id": "a"}, {"group_id": "b", "ip_permissions": None}]
    assert FILTERS["teardown_order"](groups) == ["a", "b"]
    inputs: dict[str, Any] = {
        "vpc_cidr": "10.0.0.0/16",
        "subnets": {
            "public": {"cidr": "10.0.1.0/24", "zone": "eu-west-1a", "public": True},
            "private": {"cidr": "10.0.2.0/24", "zone": "eu-west-1a", "public": False},
        },
        "admin_cidr": "192.0.2.7/32",
        "monitoring_ports": [22],
        "database_ports": [22],
        "instances": [
            {"name": "m", "role": "monitoring", "subnet": "public"},
            {"name": "d", "role": "database", "subnet": "private"},
        ],
        "instance_type": "t3.micro",
        "root_volume_size": 8,
        "data_volume_size": 20,
        "volume_type": "gp3",
        "volume_iops": 0,
        "volume_throughput": 0,
        "volume_encrypted": True,
        "termination_protection": False,
        "profile": "",
        "reach": "public",
        "key_name": "k",
        "key_file": "k",
        "public_key": "",
    }
    assert FILTERS["stack_problems"](inputs) == []
    planned = FILTERS["stack_plan"]({kind: [] for kind in model.KINDS}, FILTERS["stack_wanted"](inputs))
    assert planned["todo"]["instance"] == ["m", "d"]
