# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The volume of the data: what speaks against it, and what it needs. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Debian keeps all clusters there.
MOUNTPOINT = "/var/lib/postgresql"
# ext4 would continue after an error; read-only, PostgreSQL stops and the next boot repairs. XFS does both by
# itself. nofail lets the host boot without the volume; PostgreSQL's unit waits for it.
_OPTIONS = "noatime,nodev,nosuid,nofail"
FILESYSTEMS = {
    "ext4": {"package": "e2fsprogs", "options": f"{_OPTIONS},errors=remount-ro", "passno": "2"},
    "xfs": {"package": "xfsprogs", "options": _OPTIONS, "passno": "0"},
}
# A difference of the sizes that no resize uses: 64 blocks of 4 KiB (xfs_growfs).
_SLACK = 64 * 4096


def problems(device: str, filesystem: str, version: int, seen: Mapping[str, Any]) -> list[str]:
    """Return what keeps a device from holding the data; at most one, for each hides the next.

    Args:
        device: its path.
        filesystem: ``ext4`` or ``xfs``.
        version: of PostgreSQL that will run.
        seen: what postgres_volume_info returned.
    """
    name = "postgres_data_device"
    mounted, clusters = seen["mounted"], [cluster["path"] for cluster in seen["clusters"]]
    if not seen["block"]:
        return [
            f"{name}: {device} is no block device of the host. Attach the volume, or set {name} to what"
            " `ls -l /dev/disk/by-id` shows on the host; an empty value leaves the data on the root disk"
        ]
    if mounted and not mounted["same"]:
        return [
            f"{name}: {mounted['device']} is mounted on {MOUNTPOINT}, and not {device}. Set {name} to the"
            " device"
            " that holds the data. To change devices, stop PostgreSQL, copy the data, unmount the old one and"
            " remove its line from /etc/fstab"
        ]
    if not mounted and clusters:
        return [
            f"{name}: {MOUNTPOINT} on the root disk already holds {', '.join(clusters)}, which the volume"
            " would hide."
            f" Move the data first: stop PostgreSQL, create a filesystem on the volume (mkfs.{filesystem}),"
            " mount it on"
            f" /mnt, `cp -a {MOUNTPOINT}/. /mnt/`, unmount it, `mv {MOUNTPOINT} {MOUNTPOINT}.old`, and run"
            " this again."
            f" An empty {name} leaves the data there"
        ]
    return _content_problems(device, filesystem, seen) or _cluster_problems(device, version, clusters)


def _content_problems(device: str, filesystem: str, seen: Mapping[str, Any]) -> list[str]:
    signature = seen["signature"]
    if signature == "":
        # A new volume is all zeros. Anything else has an owner, although blkid does not know it.
        return (
            []
            if seen["blank"]
            else [
                f"postgres_data_device: {device} has no filesystem that blkid knows, but its first 16 MiB"
                " are not"
                " blank. Choose another device, or empty it if nothing on it is needed (`blkdiscard"
                " --zeroout`)."
                " Nothing was formatted"
            ]
        )
    if signature == filesystem:
        return []
    remedy = "Set postgres_data_filesystem to it" if signature in FILESYSTEMS else "Choose another device"
    return [
        f"postgres_data_device: {device} holds {signature}, and not {filesystem}. {remedy}, or empty it if"
        " nothing on"
        " it is needed (`wipefs --all` and `blkdiscard --zeroout`). Nothing was formatted"
    ]


def _cluster_problems(device: str, version: int, clusters: Sequence[str]) -> list[str]:
    if not clusters or f"{version}/main" in clusters:
        return []
    return [
        f"postgres_data_device: {device} holds {', '.join(clusters)}, and this host gets PostgreSQL"
        f" {version} with the"
        f" cluster {version}/main. Use a host of the distribution that the data is from, and upgrade there,"
        " or choose"
        " another device. Nothing on it was changed"
    ]


def plan(
    device: str, filesystem: str, version: int, seen: Mapping[str, Any], cluster: bool
) -> dict[str, Any]:
    """Return what the volume needs.

    Args:
        device, filesystem, version, seen: as for ``problems``.
        cluster: whether the host has the configuration of the cluster.

    Returns:
        ``needed`` where something has to be mounted, written to fstab, or grown; ``tools`` the package to
        install first; ``mount`` the arguments of ansible.posix.mount; ``take_over`` where the volume holds
        the cluster of an earlier host; ``owner`` the account to give its files to, None where it has them.
    """
    kind = FILESYSTEMS[filesystem]
    fstab = {"src": device, "fstype": filesystem, "opts": kind["options"], "passno": kind["passno"]}
    size = seen["filesystem_bytes"]
    grows = size is not None and size + _SLACK < seen["device_bytes"]
    kept = next((item for item in seen["clusters"] if item["path"] == f"{version}/main"), None)
    take_over = bool(kept and not cluster and seen["mounted"])
    return {
        "needed": not seen["mounted"] or seen["fstab"] != fstab or grows,
        "tools": "" if seen["tools"] else kind["package"],
        "mount": {**fstab, "path": MOUNTPOINT},
        "mounted": bool(seen["mounted"]),
        "device": device,
        "filesystem": filesystem,
        "take_over": take_over,
        "owner": _owner(kept, seen, version) if kept and take_over else None,
    }


def _owner(kept: Mapping[str, Any], seen: Mapping[str, Any], version: int) -> dict[str, Any]:
    """Return the account to create and the directory to give it.

    The files' numbers came with the volume, and the packages would create the account with the next free
    ones. Created before, it gets the old numbers, as far as they are free, and no file changes.
    """
    uids, gids = seen["uids"], seen["gids"]
    return {
        "path": f"{MOUNTPOINT}/{version}",
        "create_group": "postgres" not in gids,
        "create_user": "postgres" not in uids,
        "gid": kept["gid"] if kept["gid"] not in gids.values() else None,
        "uid": kept["uid"] if kept["uid"] not in uids.values() else None,
    }
