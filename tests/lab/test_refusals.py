"""Wrong inputs are refused before anything changes, with advice."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lab import Lab
from real_hosts import changed_nothing, recap

NOBODY = 65534


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"pooled_user_password": ""}, "the password is empty"),
        ({"pooled_user_password": "a\0b"}, "newline or a NUL"),
        (
            {"pooled_user": 'my"user', "pooled_user_password": "x"},
            "a quote, a backslash or a control character",
        ),
        ({"pgbouncer_pool_mode": "sessions"}, "value of pgbouncer_pool_mode must be one of"),
        ({"pooled_max_connections": 20}, "20 - 3 reserved - 5 for others = 12"),
        ({"pgbouncer_processes": 6}, "keeps the monitoring hosts from 9131, 9132"),
    ],
    ids=str,
)
def test_wrong_inputs_of_a_host_are_refused(lab: Lab, variables: dict[str, Any], said: str) -> None:
    result = lab.playbook("playbooks/database.yml", variables=variables)
    assert result.returncode != 0
    # YAML folds long messages at spaces.
    assert said in " ".join(result.stdout.split()), result.stdout
    assert changed_nothing(result), result.stdout
    assert "Traceback" not in result.stdout + result.stderr


def test_wrong_inputs_of_all_roles_are_refused_together(lab: Lab) -> None:
    """The refusal comes before the first API call, so it needs no emulator and no host."""
    wrong = {
        "infrastructure_private_subnet_cidr": "10.9.0.0/24",
        "postgres_max_connections": "many",
        "pgbouncer_default_pool_size": "20x",
        "exporters_kinds": ["nothing"],
        "monitoring_scrape_interval": "soon",
    }
    result = lab.playbook("site.yml", variables=wrong)
    assert result.returncode != 0
    said = " ".join(result.stdout.split())
    assert [name for name in wrong if name not in said] == [], result.stdout
    assert "problems. Nothing was changed." in said
    assert list(recap(result)) == ["localhost"], result.stdout
    assert changed_nothing(result), result.stdout
    assert "Traceback" not in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"infrastructure_private_subnet_cidr": "10.9.0.0/24"}, "does not lie within the VPC"),
        (
            {"infrastructure_admin_cidr": "", "infrastructure_address_service": "http://127.0.0.1:9/"},
            "Failed to find your own address",
        ),
    ],
    ids=str,
)
def test_wrong_inputs_of_the_network_are_refused(lab: Lab, variables: dict[str, Any], said: str) -> None:
    result = lab.playbook("playbooks/provision.yml", "--skip-tags", "lab", variables=variables)
    assert result.returncode != 0
    assert said in " ".join(result.stdout.split()), result.stdout
    assert changed_nothing(result), result.stdout


def test_a_refused_plan_ends_the_site(lab: Lab) -> None:
    """A refused infrastructure changes no host."""
    variables = {"infrastructure_data_volume_size": 5, "pooled_max_connections": 150}
    result = lab.playbook("site.yml", "--skip-tags", "lab", variables=variables)
    assert result.returncode != 0
    assert "EBS can't shrink it to 5" in " ".join(result.stdout.split())
    assert changed_nothing(result), result.stdout
    assert re.search(rf"^{lab.database} +: ok=0 ", result.stdout, re.MULTILINE), result.stdout


def test_a_host_that_never_answers_shows_its_console(lab: Lab) -> None:
    host = f"pooled-{lab.database}"
    subprocess.run(["podman", "exec", host, "systemctl", "stop", "ssh"], check=True)
    try:
        skip = ("--skip-tags", "lab,infrastructure")
        result = lab.playbook("playbooks/provision.yml", *skip, variables={"pooled_ssh_timeout": 5})
    finally:
        subprocess.run(["podman", "exec", host, "systemctl", "start", "ssh"], check=True)
    said = " ".join(result.stdout.split())
    assert result.returncode != 0
    assert (
        f"Failed to reach {lab.database} ({lab.facts()['instance_ids'][lab.database]}) over SSH within 5 s"
        in said
    )
    assert "read the end of the host's console: " in said
    assert "empty so far" not in said


def test_a_taken_port_is_refused(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        # A new state directory has no pid file: its emulator is not running.
        result = lab.playbook(
            "playbooks/lab.yml",
            variables={"lab_state_dir": str(lab.state / "another"), "lab_emulator_port": port},
        )
    assert result.returncode != 0
    assert f"port {port} of 127.0.0.1 is taken" in " ".join(result.stdout.split()), result.stdout
    assert not (lab.state / "another").exists()


def test_a_second_lab_on_the_same_network_is_refused(lab: Lab) -> None:
    result = lab.playbook(
        "playbooks/lab.yml",
        variables={"lab_state_dir": str(lab.state / "another"), "lab_emulator_port": 5999},
    )
    assert result.returncode != 0
    assert "its network 10.0.0.0/16 is in use" in " ".join(result.stdout.split()), result.stdout
    assert not (lab.state / "another").exists()


@pytest.mark.parametrize(
    ("mirror", "size"),
    [
        pytest.param("http://127.0.0.1:9/debian", None, id="mirror-unreachable"),
        pytest.param("http://deb.debian.org/debian/", "20m", id="disk-full"),
    ],
)
def test_a_failed_image_leaves_nothing(lab: Lab, tmp_path: Path, mirror: str, size: str | None) -> None:
    directory = tmp_path / "image"
    if size:
        directory.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)], check=True)
    before = _images()
    try:
        result = lab.playbook(
            "playbooks/provision.yml",
            "--skip-tags",
            "lab,infrastructure",
            # Another mirror means another image, which has to be built.
            variables={"lab_mirror": mirror, "lab_image_directory": str(directory / "made")},
        )
    finally:
        if size:
            subprocess.run(["umount", str(directory)], check=True)
    assert result.returncode != 0
    assert "Failed to build the image of the lab" in " ".join(result.stdout.split()), result.stdout[-3000:]
    assert _images() == before
    assert list(directory.glob("made/*")) == []


def _images() -> str:
    return subprocess.run(
        ["podman", "images", "--format", "{{.Repository}}:{{.Tag}}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fly"], "invalid choice: 'fly'"),
        (["up", "--target", "moon"], "invalid choice: 'moon'"),
    ],
)
def test_unknown_words_are_refused(lab: Lab, arguments: list[str], said: str) -> None:
    result = lab.runner(*arguments, "--json")
    assert result.returncode == 2
    assert said in json.loads(result.stdout)["error"]


def test_aws_without_credentials_points_to_the_lab(lab: Lab, tmp_path: Path) -> None:
    nothing = {
        "HOME": str(tmp_path),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": "",
        "AWS_PROFILE": "",
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
    }
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID"):
        nothing.pop(name)
    result = lab.runner("up", "--target", "aws", "--json", env=nothing)
    assert result.returncode == 2
    assert "--target lab" in json.loads(result.stdout)["error"]


def test_a_user_without_sudo_is_refused(lab: Lab, tmp_path: Path) -> None:
    sudo = tmp_path / "sudo"
    sudo.write_text("#!/bin/sh\nexit 1\n")
    # pytest keeps its folders private.
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    sudo.chmod(0o755)
    own = tmp_path / "own"
    own.mkdir()
    os.chown(own, NOBODY, NOBODY)
    result = lab.run(
        *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
        *(str(Path(sys.executable).parent / "ansible-playbook"), "playbooks/lab.yml"),
        *("-i", "inventory/lab/hosts.yml", "-e", f"pooled_state_dir={own}", "-e", "lab_emulator_port=5999"),
        env={"PATH": f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(own), "ANSIBLE_HOME": str(own)},
    )
    assert result.returncode != 0
    assert "no passwordless sudo" in " ".join(result.stdout.split()), result.stdout + result.stderr
