# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Podman, loop devices, and the files of the lab on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hosts import GIB, Container, Instance, Settings, Volume, create_command, parse_containers, parse_loops

# Seconds until Podman kills a host that does not stop.
STOP_TIMEOUT = 30
BOOT_TIMEOUT = 120
# A host that won't stop takes longest.
COMMAND_TIMEOUT = STOP_TIMEOUT + 60


# Where conmon tells root's Podman of a container's end.
EXITS = "/run/libpod/exits"


def is_alive(pid: int, container_id: str) -> bool:
    """Return whether a process exists and is in a container's control group."""
    try:
        return container_id in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False


class MachineError(Exception):
    """A step that failed; the message says which, and why."""


class Machine:
    """Carry out steps. Every method raises MachineError where its step fails."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def run(self, what: str, *command: str, stdin: str | None = None, accept: Sequence[int] = (0,)) -> str:
        """Run a command as root and return what it printed.

        ``what`` completes the sentence "Failed to …" of the error for an exit code that isn't in
        ``accept``.
        """
        # An ordinary user's path may lack losetup's directory.
        path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
        try:
            done = subprocess.run(
                (["sudo", "-n"] if self.settings.become else []) + list(command),
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=COMMAND_TIMEOUT,
                check=False,
                env={**os.environ, "PATH": path},
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise MachineError(f"Failed to {what}: {exc}") from exc
        if done.returncode not in accept:
            said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise MachineError(f"Failed to {what}: {said[-1]}")
        return done.stdout

    def containers(self) -> tuple[Container, ...]:
        """Return the containers of this lab."""
        label = f"label={self.settings.owner_label}={self.settings.state_dir}"
        listing = self.run(
            "list the lab's containers", "podman", "ps", "--all", "--format=json", f"--filter={label}"
        )
        return parse_containers(listing, self.settings.instance_label, is_alive)

    def settle(self, container: Container) -> None:
        """Have Podman notice that a container's processes are gone, so that it can be started.

        Podman waits for the file with the exit code that conmon writes.
        """
        what = f"have Podman notice that the host {container.name} is down"
        # Whole at once and without a newline: anything but a number fails every call of Podman.
        file = f"{EXITS}/{container.lost}"
        self.run(what, "sh", "-ec", 'printf 137 >"$1.new"; mv "$1.new" "$1"', "sh", file)
        self.run(what, "podman", "ps", "--all", "--quiet")

    def create(self, instance: Instance) -> None:
        """Create an instance's container; what it mounts must exist."""
        self.run(f"create the host {instance.name}", "podman", *create_command(self.settings, instance))

    def start(self, name: str) -> None:
        """Start a container."""
        self.run(f"start the host {name}", "podman", "start", name)

    def stop(self, name: str) -> None:
        """Stop a container as a machine is shut down: its units stop first."""
        self.run(f"stop the host {name}", "podman", "stop", f"--time={STOP_TIMEOUT}", name)

    def remove(self, name: str) -> None:
        """Remove a container, running or not."""
        self.run(f"remove the host {name}", "podman", "rm", "--force", "--time=2", name)

    def apply_rules(self, name: str, rules: str) -> None:
        """Give rules to nft in the network namespace of a container."""
        command = ("podman", "exec", "--interactive", name, "nft", "-f", "-")
        self.run(f"apply the security groups of {name}", *command, stdin=rules)

    def show(self, name: str, devices: Sequence[str]) -> None:
        """Create the nodes of attached block devices in a running host, as udevd would.

        A container gets nodes for all devices of the machine at its start, and not later.
        """
        script = 'for d; do b=/dev/${d%%:*}; [ -b "$b" ] || mknod "$b" b $(echo "${d#*:}" | tr : " "); done'
        nodes = ("{}:{}:{}".format(Path(device).name, *self.device_numbers(device)) for device in devices)
        what = f"show the host {name} its volumes"
        self.run(what, "podman", "exec", name, "sh", "-ec", script, "sh", *nodes)
        self.run(what, "podman", "exec", name, "systemctl", "daemon-reload")

    def wait_booted(self, name: str) -> str:
        """Wait until cloud-init is done in a container, and return the host's public key."""
        what = f"boot the host {name} within {BOOT_TIMEOUT} s"
        deadline = time.monotonic() + BOOT_TIMEOUT
        while True:
            try:
                # 2 means done, with warnings.
                self.run(what, "podman", "exec", name, "cloud-init", "status", "--wait", accept=(0, 2))
                break
            except MachineError:
                # It fails until systemd runs.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
        # From inside: another host may answer at its address.
        return self.run(what, "podman", "exec", name, "cat", "/etc/ssh/ssh_host_ed25519_key.pub").strip()

    def loops(self) -> dict[str, str]:
        """Return the loop devices of this machine by their file."""
        return parse_loops(
            self.run("list loop devices", "losetup", "--list", "--json", "--output=NAME,BACK-FILE")
        )

    def provide(self, volume: Volume, loops: Mapping[str, str]) -> tuple[str, str]:
        """Give a volume its file, its size and its loop device.

        Returns the device, and ``created``, ``enlarged`` or nothing.
        """
        file = self.settings.volume_file(volume.id)
        size = volume.size * GIB
        done = ""
        try:
            file.parent.mkdir(mode=0o700, exist_ok=True)
            if not file.exists():
                done = "created"
                file.touch(mode=0o600)
            elif file.stat().st_size < size:
                done = "enlarged"
            if done:
                os.truncate(file, size)
        except OSError as exc:
            raise MachineError(f"Failed to create the volume {volume.id}: {exc}") from exc
        device = loops.get(str(file)) or self.run(
            f"attach the volume {volume.id}", "losetup", "--find", "--show", str(file)
        )
        device = device.strip()
        if done == "enlarged":
            self.run(f"enlarge the volume {volume.id}", "losetup", "--set-capacity", device)
        return device, done

    def volumes(self) -> list[str]:
        """Return the ids of the volumes that have a file."""
        return sorted(path.name for path in (self.settings.state / "volumes").glob("vol-*"))

    def release(self, volume_id: str) -> None:
        """Detach a volume's loop device; the kernel waits until no host has it mounted."""
        device = self.loops().get(str(self.settings.volume_file(volume_id)))
        if device:
            self.run(f"detach the volume {volume_id}", "losetup", "--detach", device)

    def delete(self, volume_id: str) -> None:
        """Remove a volume's file, and its data with it."""
        self.settings.volume_file(volume_id).unlink(missing_ok=True)

    def device_numbers(self, device: str) -> tuple[int, int]:
        """Return the major and minor number of a block device."""
        try:
            number = Path(device).stat().st_rdev
        except OSError as exc:
            raise MachineError(f"Failed to look at {device}: {exc}") from exc
        return os.major(number), os.minor(number)

    def read(self, path: Path) -> str:
        """Return the content of a file; nothing if it does not exist."""
        try:
            return path.read_text()
        except OSError:
            return ""

    def write(self, path: Path, content: str) -> bool:
        """Make a file that only its owner reads hold this content; return whether that changed it."""
        if self.read(path) == content:
            return False
        try:
            path.touch(mode=0o600)
            path.write_text(content)
        except OSError as exc:
            raise MachineError(f"Failed to write {path}: {exc}") from exc
        return True

    def write_tree(self, directory: Path, contents: Mapping[str, str], *, symlinks: bool = False) -> bool:
        """Make a directory hold exactly these files, or symlinks; return whether that changed it.

        Hosts read it, so its mode is open; the state directory above it is closed.
        """
        try:
            return _write_tree(directory, contents, symlinks)
        except OSError as exc:
            raise MachineError(f"Failed to write {directory}: {exc}") from exc

    def forget_hosts(self, wanted: set[str]) -> None:
        """Remove the directories of hosts that no longer exist."""
        for directory in (self.settings.state / "hosts").glob("*"):
            if directory.name not in wanted:
                shutil.rmtree(directory, ignore_errors=True)


def _write_tree(directory: Path, contents: Mapping[str, str], symlinks: bool) -> bool:
    directory.mkdir(parents=True, exist_ok=True)
    changed = False
    for path in list(directory.rglob("*")):
        if (path.is_symlink() or path.is_file()) and str(path.relative_to(directory)) not in contents:
            path.unlink()
            changed = True
    for name, content in contents.items():
        path = directory / name
        if symlinks:
            if path.is_symlink() and str(path.readlink()) == content:
                continue
            path.unlink(missing_ok=True)
            path.symlink_to(content)
        else:
            if path.is_file() and path.read_text() == content:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        changed = True
    return changed
