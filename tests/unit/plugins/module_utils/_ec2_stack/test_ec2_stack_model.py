"""What is asked of EC2, and what its answers mean."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._ec2_stack import model
from ansible_collections.pooled.postgres.plugins.module_utils._ec2_stack.model import Query

MINE = [{"Key": "Stack", "Value": "mine"}]
OTHER = [{"Key": "Stack", "Value": "mine-2"}]
BY_TAG = [{"Name": "tag:Stack", "Values": ["mine"]}]


class TestQueries:
    def test_each_kind_is_asked_for_by_the_tag(self) -> None:
        asked = model.queries("mine")
        assert asked["account"] == Query("get_caller_identity", service="sts")
        assert set(asked) == {"account", *model.KINDS}
        for kind in model.KINDS:
            name = "Filter" if kind == "nat_gateways" else "Filters"
            assert asked[kind].operation == f"describe_{kind}"
            assert asked[kind].arguments[name] == BY_TAG

    def test_public_keys_are_asked_for(self) -> None:
        asked = model.queries("mine", key_name="key")
        assert asked["key_pairs"].arguments["IncludePublicKey"] is True
        assert asked["named_key_pairs"] == Query(
            "describe_key_pairs",
            {"Filters": [{"Name": "key-name", "Values": ["key"]}], "IncludePublicKey": True},
        )

    @pytest.mark.parametrize(
        ("image", "arguments"),
        [
            ({"id": "ami-1", "owner": None, "name": None}, {"ImageIds": ["ami-1"]}),
            (
                {"id": None, "owner": "self", "name": "debian-*"},
                {
                    "Owners": ["self"],
                    "Filters": [
                        {"Name": "name", "Values": ["debian-*"]},
                        {"Name": "state", "Values": ["available"]},
                    ],
                },
            ),
        ],
    )
    def test_image(self, image: dict[str, str | None], arguments: dict[str, Any]) -> None:
        asked = model.queries("mine", image=image)["images"]
        assert (asked.operation, asked.arguments) == ("describe_images", arguments)
        assert bool(asked.absent) == bool(image["id"])


class TestNormalise:
    def test_keys_tags_and_times(self) -> None:
        assert model.normalise(
            {
                "VpcId": "vpc-1",
                "CidrBlockAssociationSet": [{"CidrBlockState": {"State": "associated"}}],
                "CreateTime": datetime(2025, 6, 1, 12, tzinfo=UTC),
                "Attachments": [{"AttachTime": datetime(2025, 6, 1, 13, tzinfo=UTC)}],
                "Tags": [{"Key": "CamelCase", "Value": "CamelCase"}],
            }
        ) == {
            "vpc_id": "vpc-1",
            "cidr_block_association_set": [{"cidr_block_state": {"state": "associated"}}],
            "create_time": "2025-06-01T12:00:00+00:00",
            "attachments": [{"attach_time": "2025-06-01T13:00:00+00:00"}],
            "tags": {"CamelCase": "CamelCase"},
        }

    @pytest.mark.parametrize("tags", [{}, {"Tags": []}, {"Tags": None}])
    def test_without_tags(self, tags: dict[str, Any]) -> None:
        assert model.normalise({"A": 1, **tags}) == {"a": 1, "tags": {}}


class TestResources:
    @pytest.mark.parametrize("kind", [kind for kind in model.KINDS if kind != "instances"])
    def test_are_the_stacks_in_order(self, kind: str) -> None:
        key, id_key = model.KINDS[kind]
        answer = {
            key: [{id_key: "b", "Tags": MINE}, {id_key: "a", "Tags": MINE}, {id_key: "c", "Tags": OTHER}]
        }
        found = model.resources(kind, answer, "mine")
        assert [next(iter(one.values())) for one in found] == ["a", "b"]
        assert len(model.resources(kind, answer, None)) == 3

    @pytest.mark.parametrize("tags", [[], OTHER, [{"Key": "stack", "Value": "mine"}]])
    def test_others_are_left_out(self, tags: list[dict[str, str]]) -> None:
        assert model.resources("vpcs", {"Vpcs": [{"VpcId": "a", "Tags": tags}]}, "mine") == []

    @pytest.mark.parametrize(
        ("kind", "state", "there"),
        [
            *(("nat_gateways", state, True) for state in ("pending", "available", "failed", "deleting")),
            ("nat_gateways", "deleted", False),
            ("volumes", "deleting", True),
            ("volumes", "deleted", False),
            ("instances", {"Name": "shutting-down"}, True),
            ("instances", {"Name": "stopped"}, True),
            ("instances", {"Name": "terminated"}, False),
        ],
    )
    def test_what_is_gone_is_left_out(self, kind: str, state: Any, there: bool) -> None:
        resource = {"State": state, "Tags": MINE}
        answer = {model.KINDS[kind][0]: [{"Instances": [resource]} if kind == "instances" else resource]}
        assert bool(model.resources(kind, answer, "mine")) is there

    def test_reservations_are_flattened(self) -> None:
        found = [[{"InstanceId": "i-3"}, {"InstanceId": "i-1"}], [{"InstanceId": "i-2"}]]
        answer = {"Reservations": [{"Instances": instances} for instances in found]}
        ids = [instance["instance_id"] for instance in model.resources("instances", answer, None)]
        assert ids == ["i-1", "i-2", "i-3"]

    def test_none(self) -> None:
        assert model.resources("vpcs", {}, "mine") == []


def pair(key: str, name: str, **more: Any) -> dict[str, Any]:
    return {"KeyPairId": key, "KeyName": name, **more}


@pytest.mark.parametrize(
    ("named", "key_name", "ids"),
    [
        ([], None, ["key-1"]),
        ([], "free", ["key-1"]),
        ([pair("key-1", "mine", Tags=MINE)], "mine", ["key-1"]),
        ([pair("key-0", "theirs", Tags=OTHER)], "theirs", ["key-0", "key-1"]),
        # The name is a filter too, with wildcards.
        ([pair("key-0", "theirs")], "their?", ["key-1"]),
    ],
)
def test_key_pairs(named: list[dict[str, Any]], key_name: str | None, ids: list[str]) -> None:
    tagged = {"KeyPairs": [pair("key-1", "mine", Tags=MINE), pair("key-2", "other", Tags=OTHER)]}
    found = model.key_pairs(tagged, {"KeyPairs": named}, "mine", key_name)
    assert [one["key_pair_id"] for one in found] == ids


def image(key: str, date: str | None, state: str = "available") -> dict[str, Any]:
    return {"ImageId": key, "CreationDate": date, "State": state, "Name": key, "Architecture": "x86_64"}


@pytest.mark.parametrize(
    ("images", "newest"),
    [
        ([], None),
        ([image("a", "2025-01-01T00:00:00.000Z", "pending")], None),
        ([image("a", "2025-01-01T00:00:00.000Z"), image("b", "2024-01-01T00:00:00.000Z")], "a"),
        ([image("a", "2025-01-01T00:00:00.000Z", "pending"), image("b", "2024-01-01T00:00:00.000Z")], "b"),
        ([image("a", None), image("b", None)], "b"),
    ],
)
def test_newest_image(images: list[dict[str, Any]], newest: str | None) -> None:
    found = model.newest_image({"Images": images})
    assert (found and found["image_id"]) == newest
    if found:
        assert tuple(found) == model.IMAGE_KEYS
        assert found["root_device_name"] is None


def test_dns_attributes() -> None:
    vpcs = [{"vpc_id": "vpc-1"}, {"vpc_id": "vpc-2"}]
    asked = model.dns_queries(vpcs)
    assert asked["vpc-2", "enableDnsSupport"] == Query(
        "describe_vpc_attribute", {"VpcId": "vpc-2", "Attribute": "enableDnsSupport"}
    )
    on = {("vpc-1", "enableDnsSupport"), ("vpc-2", "enableDnsHostnames")}
    answers = {key: {key[1][0].upper() + key[1][1:]: {"Value": key in on}} for key in asked}
    assert model.with_dns(vpcs, answers) == [
        {"vpc_id": "vpc-1", "enable_dns_support": True, "enable_dns_hostnames": False},
        {"vpc_id": "vpc-2", "enable_dns_support": False, "enable_dns_hostnames": True},
    ]


def test_protection() -> None:
    states = {"i-1": "running", "i-2": "stopped", "i-3": "shutting-down", "i-4": "running"}
    instances = [{"instance_id": key, "state": {"name": state}} for key, state in states.items()]
    asked = model.protection_queries(instances)
    assert {key: query.arguments["Attribute"] for key, query in asked.items()} == dict.fromkeys(
        ("i-1", "i-2", "i-4"), "disableApiTermination"
    )
    # The last one went meanwhile.
    answers = {
        "i-1": {"DisableApiTermination": {"Value": True}},
        "i-2": {"DisableApiTermination": {"Value": False}},
        "i-4": {},
    }
    found = model.with_protection(instances, answers)
    assert [one["disable_api_termination"] for one in found] == [True, False, False, False]
    assert [one["instance_id"] for one in found] == list(states)


def test_result() -> None:
    answers: dict[str, Any] = {kind: {} for kind in model.KINDS}
    answers |= {"account": {"Account": "1"}, "volumes": {"Volumes": [{"VolumeId": "vol-1", "Tags": MINE}]}}
    found = model.result(answers, {"vpcs": [{"vpc_id": "vpc-1"}]}, "mine", None)
    assert (found["account"], found["image"]) == ("1", None)
    assert {kind: len(resources) for kind, resources in found["stack"].items()} == {
        **dict.fromkeys(model.KINDS, 0),
        "vpcs": 1,
        "volumes": 1,
    }


@pytest.mark.parametrize(
    ("console", "count", "lines"),
    [
        ("", 5, []),
        ("a\r\nb\n\n  \nc", 2, ["b", "c"]),
        ("\x1b[0;32m  OK  \x1b[0m Started\x07", 5, ["  OK   Started"]),
        ("a\nb", 0, []),
    ],
)
def test_last_lines(console: str, count: int, lines: list[str]) -> None:
    assert model.last_lines(console, count) == lines
