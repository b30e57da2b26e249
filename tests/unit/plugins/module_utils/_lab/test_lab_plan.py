"""What the role lab must do, from its inputs and what this machine is."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._lab import plan

INPUTS: dict[str, Any] = {
    "lab_stack": "pooled",
    "lab_state_dir": "/srv/lab",
    "lab_emulator_port": 5111,
    "lab_network_cidr": "10.0.0.0/16",
    "lab_network_gateway": "10.0.0.1",
    "lab_suite": "trixie",
    "lab_image": "localhost/pooled-host",
    "lab_mirror": "http://deb.debian.org/debian",
    "lab_keep_image": False,
}
NETWORK = plan.network_name("/srv/lab")
OWN = {"Id": "a", "Labels": {plan.OWNER_LABEL: "/srv/lab", plan.INSTANCE_LABEL: "i-a"}, "State": "running"}
UP: dict[str, Any] = {
    "root": True,
    "become": False,
    "user": "tester",
    "file_limit": 1024,
    "missing": [],
    "emulator": 42,
    "emulator_starting": 0,
    "recorded": True,
    "published": ["debian-13-amd64-lab"],
    "port_taken": False,
    "before": {"chains": ["INPUT"], "ip_forward": "0"},
    "routes": "",
    "ip_forward": "1",
    "images": [plan.reference(INPUTS)],
    "firewall": "",
    "networks": [{"name": NETWORK}],
    "containers": [OWN],
    "loops": None,
}
NEW: dict[str, Any] = {
    **UP,
    "emulator": 0,
    "recorded": False,
    "published": [],
    "before": None,
    "images": [],
    "firewall": "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\nCOMMIT\n",
    "networks": None,
    "containers": None,
}


def test_a_lab_that_is_up_needs_nothing() -> None:
    made = plan.lab_plan(INPUTS, UP)
    assert made["problems"] == made["packages"] == []
    todo = ("start_emulator", "publish", "create_network", "build_image", "keep_before")
    assert not any(made[name] for name in todo)


def test_a_new_machine_needs_everything() -> None:
    made = plan.lab_plan(INPUTS, NEW)
    assert made["problems"] == []
    assert made["start_emulator"]
    assert not made["replay"]
    assert made["create_network"]
    assert made["build_image"]
    assert made["publish"] == "debian-13-amd64-lab"
    assert '"FORWARD"' in made["keep_before"]


def test_the_firewall_is_saved_only_once_it_can_be_read() -> None:
    missing = {**NEW, "missing": ["podman", "iptables-save"], "firewall": ""}
    made = plan.lab_plan(INPUTS, missing)
    assert made["packages"] == ["iptables", "podman"]
    assert made["keep_before"] == ""


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"lab_state_dir": "lab"}, "take an absolute path"),
        ({"lab_state_dir": "/lab"}, "take an absolute path"),
        ({"lab_state_dir": "/" + "x" * 80 + "/y"}, "move the checkout to a path shorter than 75"),
        ({"lab_emulator_port": 70000}, "lab_emulator_port is 70000"),
        ({"lab_network_cidr": "10.0.0.0/33"}, "is not valid"),
        ({"lab_network_gateway": "192.0.2.1"}, "is not in lab_network_cidr 10.0.0.0/16"),
    ],
)
def test_bad_inputs_are_named(inputs: dict[str, Any], said: str) -> None:
    (problem,) = plan.input_problems({**INPUTS, **inputs})
    assert said in problem
    assert said in "".join(plan.lab_plan({**INPUTS, **inputs}, UP)["problems"])


def test_all_problems_come_at_once() -> None:
    seen = {
        **NEW,
        "root": False,
        "port_taken": True,
        "networks": [{"name": "theirs", "subnets": [{"subnet": "10.0.0.0/16"}]}],
    }
    said = "\n".join(plan.lab_plan(INPUTS, seen)["problems"])
    assert "tester has no passwordless sudo" in said
    assert "port 5111 of 127.0.0.1 is taken" in said
    assert "POOLED_LAB_PORT=5112" in said
    assert "its network 10.0.0.0/16 is in use: Podman's network theirs" in said


def test_the_teardown_removes_what_the_lab_has_and_nothing_else() -> None:
    theirs = {"Id": "b", "Labels": None, "State": "exited"}
    another = {"Id": "c", "Labels": {plan.OWNER_LABEL: "/srv/lab2"}, "State": "exited"}
    loops = {
        "loopdevices": [
            {"name": "/dev/loop0", "back-file": "/srv/lab/volumes/vol-1"},
            {"name": "/dev/loop1", "back-file": "/srv/lab2/volumes/vol-1"},
            {"name": "/dev/loop2", "back-file": None},
        ]
    }
    made = plan.teardown_plan(INPUTS, {**UP, "containers": [OWN, theirs, another], "loops": loops})
    assert made["problems"] == []
    assert made["emulators"] == [42]
    assert made["containers"] == ["a"]
    assert made["network"] == NETWORK
    assert made["images"]
    assert made["loops"] == ["/dev/loop0"]
    assert made["restore"]
    assert made["ip_forward"] == "0"


def test_what_other_containers_need_stays() -> None:
    theirs = {"Id": "b", "Labels": None, "State": "running"}
    made = plan.teardown_plan(INPUTS, {**UP, "containers": [OWN, theirs]})
    assert not made["restore"]
    assert made["ip_forward"] == made["chains_removal"] == ""


def test_a_teardown_without_a_lab_does_nothing() -> None:
    made = plan.teardown_plan({**INPUTS, "lab_keep_image": True}, {**NEW, "images": ["x"]})
    assert not any(made[name] for name in made)
