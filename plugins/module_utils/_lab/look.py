# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Look at this machine for the lab: packages, emulator, Podman, firewall. Changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._lab import image

# The emulator's name as the kernel keeps it: 15 characters at most.
EMULATOR = "pooled-emulator"
# An ordinary user's path may lack iptables-save and losetup.
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"


def look(
    state_dir: str, *, port: int, image_name: str, commands: Sequence[str], everything: bool
) -> dict[str, Any]:
    """Return what the lab has on this machine, and what it needs to know of it.

    Args:
        state_dir: the lab's directory.
        port: TCP port of the emulated API.
        image_name: name of the image of the hosts, without a tag.
        commands: which commands of ``missing`` to look for.
        everything: also look at containers, loop devices and the firewall.
    """
    state = Path(state_dir)
    emulator = process_id(state / "emulator/pid")
    before = _json(_text(state / "before.json"))
    missing = [name for name in commands if not shutil.which(name, path=PATH)]
    # One shell for what needs root: sudo takes its time.
    root = _output(*image.as_root("sh", "-c", "ulimit -Hn"))
    podman = root is not None and "podman" not in missing
    wanted = {
        "networks": (podman, ("podman", "network", "ls", "--format=json")),
        "containers": (podman and everything, ("podman", "ps", "--all", "--format=json")),
        "loops": (
            root is not None and everything,
            ("losetup", "--list", "--json", "--output=NAME,BACK-FILE"),
        ),
        "firewall": (
            root is not None and "iptables-save" not in missing and (everything or before is None),
            ("iptables-save",),
        ),
    }
    with ThreadPoolExecutor() as pool:
        outputs = {
            name: pool.submit(_output, *image.as_root(*command))
            for name, (needed, command) in wanted.items()
            if needed
        }
        images = pool.submit(image.tags, image_name) if podman else None
        names = pool.submit(published, port) if emulator else None
    found = {name: (outputs[name].result() or "") if name in outputs else "" for name in wanted}
    return {
        "root": root is not None,
        "user": os.environ.get("USER") or str(os.getuid()),
        "file_limit": int(root or 0),
        "missing": missing,
        "emulator": emulator,
        "emulator_starting": process_id(state / "emulator/pid.starting"),
        "recorded": _size(state / "emulator/recording") > 0,
        "published": names.result() if names else [],
        "port_taken": not emulator and is_open(port),
        "before": before,
        "routes": _text(Path("/proc/net/route")),
        "ip_forward": _text(Path("/proc/sys/net/ipv4/ip_forward")).strip(),
        "images": images.result() if images else [],
        "firewall": found["firewall"],
        **{name: _json(found[name]) for name in ("networks", "containers", "loops")},
    }


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


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


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
