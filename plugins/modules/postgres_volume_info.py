#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_volume_info
short_description: Look at the volume of PostgreSQL's data
version_added: 0.2.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Returns what is on a device, where it is mounted, and which clusters are below the mount point.
  - Needs root.
extends_documentation_fragment:
  - pooled.postgres.attributes
  - pooled.postgres.attributes.info_module
options:
  device:
    description: The block device.
    type: path
    required: true
  mountpoint:
    description: Mount point.
    type: path
    required: true
  filesystem:
    description: Filesystem of the volume.
    type: str
    choices: [ext4, xfs]
    required: true
"""

EXAMPLES = r"""
- name: Look at the volume
  pooled.postgres.postgres_volume_info:
    device: /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0
    mountpoint: /var/lib/postgresql
    filesystem: ext4
  become: true
"""

RETURN = r"""
volume:
  description: State of the volume. C(signature) is empty if blkid finds nothing on the device.
  returned: success
  type: dict
  sample:
    block: true
    mounted: {device: /dev/nvme1n1, same: true}
    signature: ext4
    blank: true
    device_bytes: 10737418240
    filesystem_bytes: 10737418240
    fstab: {src: /dev/nvme1n1, fstype: ext4, opts: nofail, passno: "2"}
    tools: true
    clusters: [{path: 17/main, uid: 101, gid: 104}]
    uids: {postgres: 101}
    gids: {postgres: 104}
"""

import grp
import os
import pwd
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

Run = Callable[[list[str]], tuple[int, str, str]]

BLANK_BYTES = 16 * 1024**2


def mounted(mountpoint: Path, device: Path, mounts: str) -> dict[str, Any]:
    """Return the device that is mounted on a directory, from the text of /proc/mounts; empty for none."""
    names = [line.split()[0] for line in mounts.splitlines() if line.split()[1:2] == [str(mountpoint)]]
    if not names:
        return {}
    same = device.exists() and device.stat().st_rdev == mountpoint.stat().st_dev
    return {"device": names[-1], "same": same}


def fstab_entry(text: str, mountpoint: str) -> dict[str, str]:
    """Return the line of a mount point in /etc/fstab; empty for none."""
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 4 and fields[0][:1] != "#" and fields[1] == mountpoint:
            passno = fields[5] if len(fields) > 5 else "0"
            return {"src": fields[0], "fstype": fields[2], "opts": fields[3], "passno": passno}
    return {}


def signature(run: Run, device: str) -> str:
    """Return what is on a device: a filesystem's type, words for something else, or an empty text.

    Raises ValueError if blkid fails to identify it.
    """
    code, out, error = run(["blkid", "--probe", "--output", "export", device])
    if code == 2:
        return ""
    if code == 8:
        return "several signatures"
    if code:
        raise ValueError(f"Failed to probe {device}: {error.strip() or f'blkid ended with {code}'}")
    found = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
    partitions = f"partitions ({found['PTTYPE']})" if "PTTYPE" in found else "something unknown"
    return found.get("TYPE", partitions)


def blank(device: str) -> bool:
    """Return whether a device starts with zeros only."""
    with Path(device).open("rb") as file:
        return not file.read(BLANK_BYTES).strip(b"\0")


def device_bytes(device: str) -> int:
    """Return the size of a device."""
    with Path(device).open("rb") as file:
        return file.seek(0, os.SEEK_END)


def filesystem_bytes(run: Run, device: str, kind: str, mountpoint: str) -> int | None:
    """Return the size of a filesystem, None if its tools do not report it."""
    if kind == "xfs":
        found = re.search(r"(?m)^data\s+=\s+bsize=(\d+)\s+blocks=(\d+)", run(["xfs_info", mountpoint])[1])
    else:
        out = run(["tune2fs", "-l", device])[1]
        found = re.search(r"(?ms)^Block count:\s+(\d+)$.*^Block size:\s+(\d+)$", out)
    return int(found[1]) * int(found[2]) if found else None


def clusters(mountpoint: Path) -> list[dict[str, Any]]:
    """Return the clusters below a directory, each with the numbers of its owner."""
    found = []
    for path in sorted(mountpoint.glob("*/*/PG_VERSION")):
        state = path.stat()
        name = str(path.parent.relative_to(mountpoint))
        found.append({"path": name, "uid": state.st_uid, "gid": state.st_gid})
    return found


def look(run: Run, device: str, mountpoint: str, kind: str) -> dict[str, Any]:
    """Return all that the module documents. Raises OSError and ValueError."""
    place, directory, fstab = Path(device), Path(mountpoint), Path("/etc/fstab")
    block = place.exists() and stat.S_ISBLK(place.stat().st_mode)
    on = mounted(directory, place, Path("/proc/mounts").read_text(encoding="utf-8"))
    found = signature(run, device) if block else ""
    sized = on and found == kind
    return {
        "block": block,
        "mounted": on,
        "signature": found,
        "blank": bool(block and (found or blank(device))),
        "device_bytes": device_bytes(device) if block else 0,
        "filesystem_bytes": filesystem_bytes(run, device, kind, mountpoint) if sized else None,
        "fstab": fstab_entry(fstab.read_text(encoding="utf-8") if fstab.exists() else "", mountpoint),
        "tools": shutil.which(f"mkfs.{kind}", path="/usr/sbin:/sbin:/usr/bin:/bin") is not None,
        "clusters": clusters(directory),
        "uids": {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()},
        "gids": {entry.gr_name: entry.gr_gid for entry in grp.getgrall()},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "device": {"type": "path", "required": True},
            "mountpoint": {"type": "path", "required": True},
            "filesystem": {"type": "str", "choices": ["ext4", "xfs"], "required": True},
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LC_ALL": "C"}
    params = module.params
    try:
        seen = look(module.run_command, params["device"], params["mountpoint"], params["filesystem"])
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"Failed to look at the volume {params['device']}: {error}")
    module.exit_json(changed=False, volume=seen)


if __name__ == "__main__":
    main()
