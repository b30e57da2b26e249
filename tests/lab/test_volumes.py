"""A running host follows the emulated API when a volume is attached, grows or is detached."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from lab import Lab, wait

# Limit in seconds for hosts to follow the API on a busy machine.
SOON = 60
GIB = 1024**3


def size(lab: Lab, link: str) -> int:
    """Return the size in bytes of a block device of the monitoring host, 0 without such a device."""
    return int(lab.ssh(lab.monitoring, f"sudo blockdev --getsize64 {link} 2>/dev/null").stdout or 0)


def loops(volume: str) -> str:
    """Return the loop devices of this machine that use a volume's file."""
    listed = subprocess.run(
        ["losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE"],
        capture_output=True,
        text=True,
        check=True,
    )
    return "\n".join(line for line in listed.stdout.splitlines() if volume in line)


def test_a_volume_is_attached_grown_and_detached(lab: Lab, ec2: Any) -> None:
    instance_id = lab.facts()["instance_ids"][lab.monitoring]
    instance = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
    zone = instance["Placement"]["AvailabilityZone"]
    volume = ec2.create_volume(Size=1, AvailabilityZone=zone, VolumeType="gp3")["VolumeId"]
    link = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_" + volume.replace("-", "")
    try:
        ec2.attach_volume(VolumeId=volume, InstanceId=instance_id, Device="/dev/sdx")
        wait(lambda: size(lab, link) == GIB, SOON)
        # Without this unit, systemd would not mount it at the next boot.
        escaped = lab.ssh(lab.monitoring, f"systemd-escape --path --suffix=device {link}").stdout.strip()
        wait(lambda: lab.ssh(lab.monitoring, f"systemctl is-active '{escaped}'").returncode == 0, SOON)
        ec2.modify_volume(VolumeId=volume, Size=2)
        wait(lambda: size(lab, link) == 2 * GIB, SOON)
        ec2.detach_volume(VolumeId=volume)
        wait(lambda: size(lab, link) == 0 and not loops(volume), SOON)
        # Detaching keeps the data.
        assert (lab.state / "volumes" / volume).exists()
    finally:
        if ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Attachments"]:
            ec2.detach_volume(VolumeId=volume)
        ec2.delete_volume(VolumeId=volume)
    wait(lambda: not (lab.state / "volumes" / volume).exists(), SOON)


@pytest.mark.parametrize("host", ["database", "monitoring"])
def test_no_unit_of_a_host_failed(lab: Lab, host: str) -> None:
    """A unit that failed or waits for a device would show here."""
    result = lab.ssh(getattr(lab, host), "timeout 120 systemctl is-system-running --wait")
    assert result.stdout.strip() == "running", lab.ssh(getattr(lab, host), "systemctl --failed").stdout
