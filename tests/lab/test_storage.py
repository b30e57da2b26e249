"""The data volume: mounted by its stable name, and required by PostgreSQL's unit."""

from __future__ import annotations

from lab import Lab

MOUNTPOINT = "/var/lib/postgresql"
BY_ID = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol"


def on_database(lab: Lab, command: str) -> str:
    """Return the output of a command on the database host; the command must succeed."""
    result = lab.ssh(lab.database, command)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_the_volume_is_mounted_now_and_at_boot_by_its_stable_name(lab: Lab) -> None:
    entry = on_database(
        lab, f"findmnt --fstab --noheadings --output SOURCE,FSTYPE,OPTIONS {MOUNTPOINT}"
    ).split()
    assert entry[0].startswith(BY_ID)
    assert entry[1] == "ext4"
    # A host must boot without its volume, for repair.
    assert "nofail" in entry[2].split(",")
    mounted = on_database(
        lab, f"findmnt --mountpoint {MOUNTPOINT} --noheadings --output SOURCE,FSTYPE"
    ).split()
    assert mounted == [on_database(lab, f"readlink --canonicalize {entry[0]}"), "ext4"]


def test_postgresql_keeps_its_data_on_the_volume(lab: Lab) -> None:
    directory = on_database(lab, "sudo -u postgres psql -Atc 'SHOW data_directory'")
    assert on_database(lab, f"sudo findmnt --target {directory} --noheadings --output TARGET") == MOUNTPOINT


def test_postgresql_starts_only_with_the_volume_mounted(lab: Lab) -> None:
    version = on_database(
        lab, "sudo -u postgres psql -Atc \"SELECT current_setting('server_version_num')::int / 10000\""
    )
    unit = f"postgresql@{version}-main"
    paths = on_database(lab, f"systemctl show --property RequiresMountsFor --value {unit}").split()
    assert MOUNTPOINT in paths
    assert "var-lib-postgresql.mount" in on_database(
        lab, f"systemctl show --property Requires --value {unit}"
    )
    assert f"AssertPathIsMountPoint={MOUNTPOINT}" in on_database(lab, f"systemctl cat {unit}")
