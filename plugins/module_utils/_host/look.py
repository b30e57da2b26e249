# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Look at a host: system, packages, files and units, in one go and without changing anything."""

from __future__ import annotations

import glob
import grp
import os
import platform
import pwd
import re
import stat
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._host import systemd

_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFBLK: "block",
    stat.S_IFSOCK: "socket",
}
_POLICY = re.compile(r"^(\S+):\n  Installed: (\S+)\n  Candidate: (\S+)$", re.MULTILINE)


def os_release(text: str) -> dict[str, str]:
    """Return the fields of /etc/os-release."""
    fields = dict(re.findall(r"(?m)^(\w+)=\"?(.*?)\"?$", text))
    version = fields.get("VERSION_ID", "")
    return {
        "distribution": fields.get("ID", "").capitalize(),
        "distribution_version": version,
        "distribution_major_version": version.split(".")[0],
        "distribution_release": fields.get("VERSION_CODENAME", ""),
    }


def memory_mb(meminfo: str) -> int:
    """Return MemTotal of /proc/meminfo in MiB."""
    found = re.search(r"(?m)^MemTotal:\s+(\d+) kB", meminfo)
    return int(found[1]) // 1024 if found else 0


def system() -> dict[str, Any]:
    """Return what the host is."""
    return {
        **os_release(Path("/etc/os-release").read_text(encoding="utf-8")),
        "architecture": platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "memory_mb": memory_mb(Path("/proc/meminfo").read_text(encoding="utf-8")),
        "hostname": platform.node(),
        "now": time.time(),
    }


def installed_versions(out: str) -> dict[str, str]:
    """Return versions by name of what ``dpkg-query`` printed as name, status and version."""
    rows = (line.split("\t") for line in out.splitlines())
    return {row[0]: row[2] for row in rows if len(row) == 3 and row[1].endswith(" installed")}


def candidates(out: str) -> dict[str, str]:
    """Return the candidate versions of what ``apt-cache policy`` printed, empty where apt knows none."""
    return {name: "" if candidate == "(none)" else candidate for name, _, candidate in _POLICY.findall(out)}


def packages(run: systemd.Run, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return ``installed`` and, where that is empty, ``candidate`` of each package."""
    wanted = list(dict.fromkeys(names))
    if not wanted:
        return {}
    asked = ["dpkg-query", "--show", "--showformat=${Package}\t${Status}\t${Version}\n", *wanted]
    installed = installed_versions(run(asked)[1])
    missing = [name for name in wanted if name not in installed]
    offered = candidates(run(["apt-cache", "policy", *missing])[1]) if missing else {}
    return {
        name: {"installed": installed.get(name, ""), "candidate": offered.get(name, "")} for name in wanted
    }


def _owner(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def path_state(path: str) -> dict[str, Any] | None:
    """Return what a path is, without following a link; None where nothing is."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    kind = _KINDS.get(stat.S_IFMT(found.st_mode), "other")
    return {
        "type": kind,
        "mode": f"{stat.S_IMODE(found.st_mode):04o}",
        "owner": _owner(found.st_uid),
        "group": _group(found.st_gid),
        "uid": found.st_uid,
        "gid": found.st_gid,
        "size": found.st_size,
        "mtime": found.st_mtime,
        "link": str(Path(path).readlink()) if kind == "link" else "",
    }


def paths(patterns: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the state of each path that a glob matches; a plain path counts as a glob."""
    found = {}
    for pattern in patterns:
        for path in sorted(glob.glob(pattern)):  # noqa: PTH207 - absolute globs
            state = path_state(path)
            if state:
                found[path] = state
    return found


def contents(names: Iterable[str]) -> dict[str, str]:
    """Return the text of each file that exists."""
    found = {}
    for name in names:
        path = Path(name)
        if path.is_file():
            found[name] = path.read_text(encoding="utf-8", errors="replace")
    return found


def look(run: systemd.Run, wanted: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return all that ``host_info`` documents. Raises OSError."""
    return {
        **system(),
        "packages": packages(run, wanted["packages"]),
        "paths": paths(wanted["paths"]),
        "contents": contents(wanted["contents"]),
        "units": systemd.show(run, wanted["units"]),
    }
