"""The lab keeps to itself, and recovers from what others do to it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest
from lab import Lab


def podman(*arguments: str) -> str:
    """Run podman and return what it prints."""
    return subprocess.run(["podman", *arguments], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def foreign(lab: Lab) -> Iterator[str]:
    """Return a container that somebody else runs from the lab's image."""
    image = podman("inspect", "--format", "{{.ImageName}}", f"pooled-{lab.database}")
    name = "somebody-elses-container"
    limits = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000")
    podman(
        "run", "--detach", "--runtime=runc", "--network=none", *limits, f"--name={name}", image, "sleep", "1h"
    )
    yield name
    podman("rm", "--force", "--time=0", name)


def test_hosts_without_processes_are_started_and_other_containers_left_alone(lab: Lab, foreign: str) -> None:
    # As after a restored machine: Podman says "running", as conmon can't tell it otherwise.
    pids = podman(
        "inspect", "--format", "{{.State.ConmonPid}} {{.State.Pid}}", f"pooled-{lab.monitoring}"
    ).split()
    for pid in pids:
        os.kill(int(pid), signal.SIGKILL)
    podman("kill", f"pooled-{lab.database}")
    result = lab.playbook("playbooks/provision.yml", "--skip-tags", "lab", "-v")
    assert result.returncode == 0, result.stdout
    for change in (f"found pooled-{lab.monitoring} without processes", f"started pooled-{lab.database}"):
        assert change in result.stdout
    for host in (lab.monitoring, lab.database):
        assert lab.ssh(host, "true").returncode == 0
    assert podman("inspect", "--format", "{{.State.Status}}", foreign) == "running"
    check = lab.playbook("playbooks/teardown.yml", "--check", "-v")
    assert check.returncode == 0, check.stdout
    assert podman("inspect", "--format", "{{.Id}}", foreign) not in check.stdout
