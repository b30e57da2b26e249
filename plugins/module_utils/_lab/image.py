# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The image of the lab's hosts: its definition, its name, and how to build it.

Standard library only: ``tools/early`` runs it before the Python environment exists.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Command that the lab runs, and the Debian package that has it.
COMMANDS = {
    "podman": "podman",
    "runc": "runc",
    "mmdebstrap": "mmdebstrap",
    "iptables-save": "iptables",
    "ssh": "openssh-client",
}
RELEASES = {"bookworm": "12", "trixie": "13"}
PACKAGES = (
    "ca-certificates",
    "cloud-init",
    "dbus",
    "e2fsprogs",
    "iproute2",
    "nftables",
    "openssh-server",
    "python3",
    "python3-apt",
    "sudo",
    "systemd",
    "systemd-sysv",
)
COMPILED = tuple(f"/usr/lib/python3/dist-packages/{name}" for name in ("apt", "cloudinit", "jinja2", "yaml"))
# They fail in a container, which then counts as degraded: it has no modules and no real console.
MASKED = ("systemd-modules-load.service", "console-getty.service")
# What Debian's image for EC2 sets, as far as it applies to a container.
CLOUD_CONFIG = """\
datasource_list: [NoCloud, None]
manage_etc_hosts: localhost
network: {config: disabled}
growpart: {mode: 'off'}
resize_rootfs: false
ssh_genkeytypes: [ed25519]
system_info:
  default_user:
    name: admin
    gecos: Debian
    groups: [adm]
    sudo: ["ALL=(ALL) NOPASSWD:ALL"]
    shell: /bin/bash
    lock_passwd: true
"""
# One builder at a time on this machine, whichever checkout it belongs to.
LOCK = Path("/run/lock/pooled-lab-image")
# Exit code of `podman rmi` for an image that a container uses.
IN_USE = 2


class ImageError(Exception):
    """The image can't be built or removed; the text is a whole message."""


def reference(name: str, suite: str, mirror: str) -> str:
    """Return name and tag of an image. The tag follows the definition: a new definition is a new image."""
    definition = json.dumps([suite, mirror, PACKAGES, MASKED, CLOUD_CONFIG, command(suite, mirror, "")])
    return f"{name}:{suite}-{hashlib.sha256(definition.encode()).hexdigest()[:12]}"


def published_name(suite: str) -> str:
    """Return the name under which the emulated API lists the image; infrastructure_image_name finds it."""
    return f"debian-{RELEASES[suite]}-amd64-lab"


def command(suite: str, mirror: str, directory: str) -> list[str]:
    """Return the command that writes the image's filesystem to ``image.tar`` in a directory.

    Args:
        suite: release of Debian.
        mirror: URL of the mirror.
        directory: where ``90_lab.cfg`` is, too.
    """
    return [
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        f"--include={','.join(PACKAGES)}",
        # It stays in the image: a crash costs a host that the lab can recreate.
        "--dpkgopt=force-unsafe-io",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        # Empty lists that look fresh would keep apt from fetching any.
        "--skip=cleanup/apt/lists",
        f'--customize-hook=chroot "$1" systemctl mask {" ".join(MASKED)}',
        # Debian leaves these uncompiled here, and each host would compile them while it boots.
        f'--customize-hook=chroot "$1" python3 -m compileall -q {" ".join(COMPILED)}',
        # Each host makes its own, as on EC2.
        '--customize-hook=rm -f "$1"/etc/ssh/ssh_host_*',
        f"--customize-hook=copy-in {directory}/90_lab.cfg /etc/cloud/cloud.cfg.d",
        suite,
        f"{directory}/image.tar",
        mirror,
    ]


def reason(stderr: str) -> str:
    """Return the line that explains a failure best, from what a command wrote to standard error."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    telling = [line for line in lines if re.match(r"(E:|W:|mmdebstrap|Error|tar:)", line)]
    return (telling or lines[-1:] or ["no reason given"])[0].rstrip(". ")


def as_root(*command: str) -> list[str]:
    """Return a command as root runs it: as it is, or by sudo, which must not ask for a password."""
    return [*([] if os.geteuid() == 0 else ["sudo", "-n"]), *command]


@contextmanager
def locked() -> Iterator[None]:
    """Hold the lock on the images of this machine."""
    try:
        # Not O_CREAT at first: the kernel refuses it for another user's file in a sticky directory.
        file = os.open(LOCK, os.O_RDONLY)
    except FileNotFoundError:
        file = os.open(LOCK, os.O_RDONLY | os.O_CREAT, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def exists(image: str) -> bool:
    """Return whether Podman has an image."""
    return shutil.which("podman") is not None and not _podman("image", "exists", image).returncode


def _podman(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(as_root("podman", *arguments), capture_output=True, text=True, check=False)


def build(image: str, suite: str, mirror: str, parent: Path) -> bool:
    """Build an image unless it exists, and return whether that was needed. It takes half a minute.

    Args:
        image: name and tag, see ``reference``.
        suite: release of Debian.
        mirror: URL of the mirror.
        parent: directory on a disk with 1 GB free.

    Raises ImageError; nothing of a failed build stays.
    """
    with locked():
        if exists(image):
            return False
        try:
            parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="pooled-image-", dir=parent) as directory:
                Path(directory, "90_lab.cfg").write_text(CLOUD_CONFIG)
                _run(as_root(*command(suite, mirror, directory)))
                _run(as_root("podman", "import", "--quiet", f"{directory}/image.tar", image))
        except (OSError, _StepError) as exc:
            raise ImageError(
                f"Failed to build the image of the lab's hosts: {exc}. Check that this machine reaches the"
                f" mirror {mirror} (lab_mirror names another one) and that {parent} (lab_image_directory)"
                " has 1 GB free. Nothing was kept; the next run builds it again."
            ) from exc
    return True


class _StepError(Exception):
    pass


def _run(step: list[str]) -> None:
    # mmdebstrap kills its whole process group when it fails to write: it gets one of its own.
    done = subprocess.run(step, capture_output=True, text=True, check=False, start_new_session=True)
    if done.returncode:
        raise _StepError(reason(done.stderr))


def tags(name: str) -> list[str]:
    """Return the images of a name."""
    listed = _podman("images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference={name}")
    return sorted(listed.stdout.split())


def unused(name: str) -> list[str]:
    """Return the images of a name that no container uses."""
    used = _podman("ps", "--all", "--format", "{{.Image}}").stdout.split()
    return [image for image in tags(name) if image not in used]


def remove(name: str) -> list[str]:
    """Remove the images of a name that no container uses, and return them. Raises ImageError."""
    removed = []
    with locked():
        for image in unused(name):
            # Without --force, which would remove the containers that somebody else runs from it.
            done = _podman("rmi", image)
            if done.returncode == 0:
                removed.append(image)
            elif done.returncode != IN_USE:
                raise ImageError(f"Failed to remove the image {image}: {reason(done.stderr)}. Run it again.")
    return removed
