"""What the lab's hosts should be, and the steps that make them so."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest
from firewall import Group, Rule
from hosts import (
    Account,
    Container,
    Instance,
    Settings,
    Volume,
    create_command,
    links,
    parse,
    parse_containers,
    parse_loops,
    plan,
    udev_database,
)

SETTINGS = Settings(
    image="image:1",
    network="net",
    stack="pooled",
    state_dir="/srv/lab",
    name_prefix="pooled-",
    owner_label="owner",
    instance_label="instance",
    become=False,
    file_limit=1024,
)
A = Instance(
    "i-a", "a", "running", "10.0.1.4", "ip-10-0-1-4", "ssh-ed25519 AAAA", "#cloud-config\n", ("sg",), ()
)
B = replace(A, id="i-b", name="b", address="10.0.2.4")
UP, DOWN = "1760000000 42", ""


def container(instance: Instance, run: str, lost: str = "") -> Container:
    return Container(f"pooled-{instance.name}", instance.id, run, lost)


@pytest.mark.parametrize(
    ("instances", "containers", "steps"),
    [
        pytest.param([A, B], [], {"create": ["a", "b"], "start": ["a", "b"]}, id="new"),
        pytest.param([A, B], [container(A, UP), container(B, UP)], {}, id="as it should be"),
        pytest.param([A], [container(A, DOWN)], {"start": ["a"]}, id="stopped by hand"),
        pytest.param(
            [A],
            [container(A, DOWN, "id-a")],
            {"settle": ["pooled-a"], "start": ["a"]},
            id="processes are gone",
        ),
        pytest.param([replace(A, state="pending")], [], {"create": ["a"], "start": ["a"]}, id="pending"),
        pytest.param(
            [replace(A, state="stopped")], [container(A, UP)], {"stop": ["pooled-a"]}, id="to be stopped"
        ),
        pytest.param(
            [replace(A, state="stopping")], [container(A, UP)], {"stop": ["pooled-a"]}, id="stopping"
        ),
        pytest.param([replace(A, state="stopped")], [container(A, DOWN)], {}, id="stopped"),
        pytest.param([replace(A, state="stopped")], [], {"create": ["a"]}, id="made while stopped"),
        pytest.param([B], [container(A, UP), container(B, UP)], {"remove": ["pooled-a"]}, id="terminated"),
        pytest.param([], [container(A, DOWN)], {"remove": ["pooled-a"]}, id="unknown"),
        # A new instance of the same name: the old one's container must go first, and does.
        pytest.param(
            [replace(A, id="i-new")],
            [container(A, UP)],
            {"remove": ["pooled-a"], "create": ["a"], "start": ["a"]},
            id="replaced",
        ),
    ],
)
def test_plan(instances: list[Instance], containers: list[Container], steps: dict[str, list[str]]) -> None:
    made = plan(instances, containers, SETTINGS)
    assert list(made.remove) == steps.get("remove", [])
    assert list(made.stop) == steps.get("stop", [])
    assert [one.name for one in made.settle] == steps.get("settle", [])
    assert [instance.name for instance in made.create] == steps.get("create", [])
    assert [instance.name for instance in made.start] == steps.get("start", [])


def test_a_container_has_the_instances_address_and_the_labs_label() -> None:
    command = create_command(SETTINGS, A)
    for option in (
        "--name=pooled-a",
        "--ip=10.0.1.4",
        "--network=net",
        "--label=owner=/srv/lab",
        "--label=instance=i-a",
        "--ulimit=nofile=1024:1024",
        "--volume=/srv/lab/hosts/i-a/by-id:/dev/disk/by-id:ro",
    ):
        assert option in command
    assert command[-2:] == ["image:1", "/sbin/init"]


def test_cloud_init_is_told_the_metadata() -> None:
    assert json.loads(A.meta_data()) == {
        "instance-id": "i-a",
        "local-hostname": "ip-10-0-1-4",
        "public-keys": ["ssh-ed25519 AAAA"],
    }
    assert json.loads(replace(A, public_key="").meta_data())["public-keys"] == []


def test_volumes_are_named_as_on_nitro_instances() -> None:
    volume = Volume("vol-0123456789abcdef0", 8)
    name = "nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0"
    assert links({volume: "/dev/loop7"}) == {name: "../../loop7"}
    files = udev_database({volume: (7, 3)})
    assert f"S:disk/by-id/{name}" in files["data/b7:3"].splitlines()
    # Else systemd would wait for it until it gives up.
    assert "G:systemd" in files["data/b7:3"].splitlines()
    assert files["tags/systemd/b7:3"] == ""


def test_rules_are_those_of_the_instances_groups() -> None:
    ssh = Rule("tcp", 22, 22, group="sg-peer")
    account = Account(
        (A,), {"sg": Group((ssh,)), "sg-other": Group()}, {"sg-peer": ["10.0.1.9"]}, frozenset()
    )
    assert "ip saddr 10.0.1.9 tcp dport 22-22 accept" in account.rules(A, [])
    assert "10.0.1.9" not in account.rules(replace(A, groups=("sg-other",)), [])


def test_podmans_listing_is_read() -> None:
    assert read([row("a"), row("b", State="exited", Pid=0)]) == (container(A, UP), container(B, DOWN))
    # Podman 4 prints null for none.
    assert parse_containers("null", "instance", alive) == parse_containers("", "instance", alive) == ()


@pytest.mark.parametrize("state", ["running", "stopping"])
def test_a_container_whose_processes_are_gone_is_lost(state: str) -> None:
    assert read([row("a", State=state, Pid=43)]) == (container(A, DOWN, "id-a"),)


@pytest.mark.parametrize("labels", [None, {"owner": "/srv/lab"}])
def test_a_container_that_somebody_else_started_is_left_alone(labels: dict[str, str] | None) -> None:
    assert read([row("c", Labels=labels)]) == ()


def row(name: str, **changes: Any) -> dict[str, Any]:
    """Return a row of Podman's listing."""
    return {
        "Names": [f"pooled-{name}"],
        "Id": f"id-{name}",
        "Labels": {"owner": "/srv/lab", "instance": f"i-{name}"},
        "State": "running",
        "StartedAt": 1760000000,
        "Pid": 42,
        **changes,
    }


def alive(pid: int, container_id: str) -> bool:
    """Say that the only process there is has the id 42."""
    return pid == 42 and bool(container_id)


def read(rows: list[dict[str, Any]]) -> tuple[Container, ...]:
    return parse_containers(json.dumps(rows), "instance", alive)


def test_losetups_listing_is_read() -> None:
    rows = [
        {"name": "/dev/loop0", "back-file": "/srv/lab/volumes/vol-1"},
        {"name": "/dev/loop1", "back-file": "/srv/lab/volumes/vol-2 (deleted)"},
        {"name": "/dev/loop2", "back-file": None},
    ]
    assert parse_loops(json.dumps({"loopdevices": rows})) == {
        "/srv/lab/volumes/vol-1": "/dev/loop0",
        "/srv/lab/volumes/vol-2": "/dev/loop1",
    }
    # It prints nothing where there is none.
    assert parse_loops("") == {}


def test_settings_are_read() -> None:
    assert parse(asdict(SETTINGS)) == SETTINGS


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image": None}, "image must be given, as str"),
        ({"become": "yes"}, "become must be given, as bool"),
        ({"file_limit": "many"}, "file_limit must be given, as int"),
        ({"colour": "red"}, "colour is not known"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse({**asdict(SETTINGS), **change})
