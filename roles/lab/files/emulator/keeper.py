# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bring the lab's hosts in line with the emulated API, on request and after every call that changes it."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from hosts import Account, Instance, Settings, Volume, container_name, links, plan, udev_database
from machine import Machine, MachineError

# Seconds in which calls are collected for one round: they come in bursts.
GATHER = 0.2
# Files with the name servers of the hosts; the second is systemd-resolved's.
RESOLVERS = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))


@dataclass(frozen=True)
class Host:
    """A host of the lab, as the role's tasks and tests read it."""

    name: str
    instance_id: str
    private_address: str
    state: str


class Keeper:
    """Brings the hosts in line with the account, one round at a time."""

    def __init__(self, read: Callable[[str], Account], machine: Callable[[Settings], Any] = Machine) -> None:
        """Take ``read``, which returns a stack's part of the account, and the class of the machine."""
        self._read = read
        self._make_machine = machine
        self._machine: Any = None
        # Host keys of hosts that have booted, by container's name and run.
        self._booted: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()
        self._changed = threading.Event()

    def arm(self, settings: Settings) -> None:
        """Set how hosts are created, and follow the account's changes from now on."""
        with self._lock:
            first = self._machine is None
            self._machine = self._make_machine(settings)
        if first:
            threading.Thread(target=self._follow, daemon=True).start()

    def account_changed(self) -> None:
        """Start a round soon."""
        self._changed.set()

    def close(self, timeout: float) -> None:
        """Wait for the current round, for at most ``timeout`` seconds, and start no other."""
        self._lock.acquire(timeout=timeout)

    def reconcile(self) -> list[str]:
        """Bring the hosts in line, and return the changes, for people.

        Raises MachineError where a step fails; the next round continues from there.
        """
        with self._lock:
            settings: Settings = self._machine.settings
            account = self._read(settings.stack)
            return Round(self._machine, account).carry_out()

    def bring_up(self) -> tuple[list[str], list[Host]]:
        """Bring the hosts in line, wait until they have booted, and trust their SSH keys.

        Returns the changes, for people, and the hosts. Raises MachineError.
        """
        changes = self.reconcile()
        machine, settings = self._machine, self._machine.settings
        instances = self._read(settings.stack).instances
        names = {container_name(settings, one): one.id for one in instances if one.running}
        runs = {container.name: container.run for container in machine.containers()}
        fresh = [(name, runs.get(name, "")) for name in names if (name, runs.get(name)) not in self._booted]
        if fresh:
            with ThreadPoolExecutor(len(fresh)) as threads:
                keys = list(threads.map(machine.wait_booted, [name for name, _run in fresh]))
            self._booted.update(zip(fresh, keys, strict=True))
        lines = [
            f"{instance} {' '.join(self._booted[name, runs.get(name, '')].split()[:2])}\n"
            for name, instance in names.items()
        ]
        if machine.write(settings.state / "known_hosts", "".join(lines)):
            changes.append("wrote known_hosts")
        return changes, [Host(one.name, one.id, one.address, one.state) for one in instances]

    def _follow(self) -> None:
        while True:
            self._changed.wait()
            time.sleep(GATHER)
            self._changed.clear()
            try:
                for change in self.reconcile():
                    print(change, file=sys.stderr, flush=True)
            except MachineError as exc:
                # The next request reports it, if it persists.
                print(exc, file=sys.stderr, flush=True)


class Round:
    """One round: the account at its start, and the changes so far."""

    def __init__(self, machine: Any, account: Account) -> None:
        self.machine = machine
        self.account = account
        self.settings: Settings = machine.settings
        self.resolvers = resolvers(path.read_text() for path in RESOLVERS if path.exists())
        self.changes: list[str] = []

    def carry_out(self) -> list[str]:
        """Carry out all steps and return the changes."""
        instances = self.account.instances
        steps = plan(instances, self.machine.containers(), self.settings)
        for name in steps.remove:
            self.machine.remove(name)
            self.changes.append(f"removed {name}, whose instance is terminated")
        for container in steps.settle:
            self.machine.settle(container)
            self.changes.append(f"found {container.name} without processes")
        for name in steps.stop:
            self.machine.stop(name)
            self.changes.append(f"stopped {name}, as its instance is")
        for instance in instances:
            seed = {"meta-data": instance.meta_data(), "user-data": instance.user_data}
            self.machine.write_tree(self.settings.host_dir(instance.id) / "seed", seed)
        # Before the start: a host mounts its volumes while it boots.
        attached = self.attach_volumes()
        for instance in steps.create:
            self.machine.create(instance)
            self.changes.append(f"created {container_name(self.settings, instance)}")
        for instance in steps.start:
            self.start(instance)
        self.enforce(fresh=steps.start)
        for instance, devices in attached.items():
            if instance.running and instance not in steps.start:
                self.machine.show(container_name(self.settings, instance), devices)
        self.release_volumes()
        self.machine.forget_hosts({instance.id for instance in instances})
        return self.changes

    def start(self, instance: Instance) -> None:
        """Start an instance's container, and apply its rules at once."""
        name = container_name(self.settings, instance)
        self.machine.start(name)
        self.machine.apply_rules(name, self.account.rules(instance, self.resolvers))
        self.changes.append(f"started {name}")

    def enforce(self, fresh: Sequence[Instance]) -> None:
        """Apply the current security groups to every running host.

        A file keeps the applied rules and the run of the container, for the next emulator: another run has
        another network namespace, without rules. The ``fresh`` hosts got their rules at their start.
        """
        runs = {container.instance: container.run for container in self.machine.containers()}
        for instance in self.account.instances:
            if not (instance.running and runs.get(instance.id)):
                continue
            rules = self.account.rules(instance, self.resolvers)
            applied = f"# run {runs[instance.id]}\n{rules}"
            directory = self.settings.host_dir(instance.id) / "rules"
            if self.machine.read(directory / "applied.nft") == applied:
                continue
            if instance not in fresh:
                name = container_name(self.settings, instance)
                self.machine.apply_rules(name, rules)
                self.changes.append(f"applied the security groups of {name}")
            self.machine.write_tree(directory, {"applied.nft": applied})

    def attach_volumes(self) -> dict[Instance, list[str]]:
        """Give every attached volume a loop device, and every host links to its volumes.

        Returns the hosts with other volumes than before, with all their devices.
        """
        attached = {}
        # losetup takes a process: not without volumes.
        loops = self.machine.loops() if any(i.volumes for i in self.account.instances) else {}
        for instance in self.account.instances:
            devices: dict[Volume, str] = {}
            for volume in instance.volumes:
                devices[volume], done = self.machine.provide(volume, loops)
                if done:
                    self.changes.append(f"{done} {volume.id}")
            directory = self.settings.host_dir(instance.id)
            numbers = {volume: self.machine.device_numbers(device) for volume, device in devices.items()}
            self.machine.write_tree(directory / "udev", udev_database(numbers))
            if self.machine.write_tree(directory / "by-id", links(devices), symlinks=True):
                attached[instance] = list(devices.values())
                self.changes.append(f"linked the volumes of {container_name(self.settings, instance)}")
        return attached

    def release_volumes(self) -> None:
        """Detach volumes that no instance has, and remove the files of deleted ones."""
        attached = {volume.id for instance in self.account.instances for volume in instance.volumes}
        for volume_id in self.machine.volumes():
            if volume_id in attached:
                continue
            self.machine.release(volume_id)
            if volume_id not in self.account.volumes:
                self.machine.delete(volume_id)
                self.changes.append(f"deleted {volume_id}")


def resolvers(texts: Iterable[str]) -> list[str]:
    """Return the IPv4 addresses of the name servers in texts such as /etc/resolv.conf.

    Those on loopback serve this machine alone: Podman gives its containers none of them.
    """
    found = {match for text in texts for match in re.findall(r"(?m)^nameserver\s+([0-9.]+)\s*$", text)}
    return sorted(address for address in found if not ip_address(address).is_loopback)
