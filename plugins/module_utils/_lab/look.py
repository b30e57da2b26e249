# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looks at this machine for the lab: packages, emulator, Podman, firewall. Changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._lab import image

# The emulator's name as the kernel keeps it: 15 characters at most.
EMULATOR = "pooled-emulator"
# An ordinary user's path may lack iptables-save and losetup.
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"


def look(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what this machine is to the lab.

    Args:
        params: the options of M(pooled.postgres.lab_info).
    """
    state = Path(params["state_dir"])
    emulator = process_id(state / "emulator/pid")
    root = _output(*image.as_root("true")) is not None
    seen: dict[str, Any] = {
        "root": root,
        "user": os.environ.get("USER") or str(os.getuid()),
        "missing": [name for name in params["commands"] if not shutil.which(name, path=PATH)],
        "emulator": emulator,
        "emulator_starting": process_id(state / "emulator/pid.starting"),
        "recorded": (state / "emulator/recording").is_file()
        and (state / "emulator/recording").stat().st_size > 0,
        "published": published(params["port"]) if emulator else [],
        "port_taken": not emulator and is_open(params["port"]),
        "before": _json(_text(state / "before.json")),
        "routes": _text(Path("/proc/net/route")),
        "ip_forward": _text(Path("/proc/sys/net/ipv4/ip_forward")).strip(),
        "file_limit": int(_output(*image.as_root("sh", "-c", "ulimit -Hn")) or 0) if root else 0,
    }
    podman = root and "podman" not in seen["missing"]
    for name, command, wanted in (
        ("networks", ("podman", "network", "ls", "--format=json"), podman),
        ("containers", ("podman", "ps", "--all", "--format=json"), podman and params["all"]),
        ("loops", ("losetup", "--list", "--json", "--output=NAME,BACK-FILE"), root and params["all"]),
    ):
        seen[name] = _json(_output(*image.as_root(*command)) or "") if wanted else None
    seen["images"] = image.tags(params["image"].partition(":")[0]) if podman else []
    # The firewall is read before the lab, and when it goes.
    firewall = root and "iptables-save" not in seen["missing"] and (params["all"] or seen["before"] is None)
    seen["firewall"] = (_output(*image.as_root("iptables-save")) or "") if firewall else ""
    return seen


def process_id(pid_file: Path) -> int:
    """Return the id of the emulator whose pid file this is; 0 if it does not run."""
    try:
        pid = int(_text(pid_file))
    except ValueError:
        return 0
    return pid if _text(Path(f"/proc/{pid}/comm")).strip() == EMULATOR else 0


def is_open(port: int) -> bool:
    """Return whether a process listens on a port of 127.0.0.1."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def published(port: int) -> list[str]:
    """Return the names of the images that the emulated API lists; none where it does not answer."""
    try:
        # Never through a proxy: it is on loopback.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{port}/lab/images", timeout=10) as answer:
            return list(json.load(answer)["images"])
    except (OSError, ValueError, KeyError, urllib.error.URLError):
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _output(*command: str) -> str | None:
    """Return what a command prints; None where it fails."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PATH": PATH},
        )
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None
