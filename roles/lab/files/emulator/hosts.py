# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compare the lab's hosts with the account, and return the steps that bring them in line. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from firewall import Group, ruleset

GONE = ("shutting-down", "terminated")
RUNNING = ("pending", "running")
# As udev names the NVMe devices of Nitro instances:
# https://docs.aws.amazon.com/ebs/latest/userguide/identify-nvme-ebs-device.html
LINK_PREFIX = "nvme-Amazon_Elastic_Block_Store_vol"
GIB = 1024**3


@dataclass(frozen=True)
class Settings:
    """Settings of the hosts, from the role's JSON document."""

    image: str
    network: str
    stack: str
    state_dir: str
    name_prefix: str
    owner_label: str
    instance_label: str
    become: bool
    # A host's hard limit of open files. It can't exceed this machine's.
    file_limit: int

    @property
    def state(self) -> Path:
        """The lab's directory."""
        return Path(self.state_dir)

    def host_dir(self, instance_id: str) -> Path:
        """The directory that a host's own files are in: seed of cloud-init, links to volumes."""
        return self.state / "hosts" / instance_id

    def volume_file(self, volume_id: str) -> Path:
        """The file that holds a volume's data."""
        return self.state / "volumes" / volume_id


def parse(document: Mapping[str, Any]) -> Settings:
    """Return the settings in a JSON document. Raises ValueError for missing and unknown ones."""
    types = {"become": bool, "file_limit": int}
    names = [field.name for field in fields(Settings)]
    for name in names:
        kind = types.get(name, str)
        if not isinstance(document.get(name), kind):
            raise ValueError(f"{name} must be given, as {kind.__name__}")
    unknown = sorted(set(document) - set(names))
    if unknown:
        raise ValueError(f"{', '.join(unknown)} is not known")
    return Settings(**document)


@dataclass(frozen=True)
class Volume:
    """An EBS volume: its id, and its size in GiB."""

    id: str
    size: int

    @property
    def link(self) -> str:
        """Its name in /dev/disk/by-id of the host."""
        return LINK_PREFIX + self.id.removeprefix("vol-")


@dataclass(frozen=True)
class Instance:
    """An instance as the API describes it; ``volumes`` are those other than its root volume."""

    id: str
    name: str
    state: str
    address: str
    dns_name: str
    public_key: str
    user_data: str
    groups: tuple[str, ...]
    volumes: tuple[Volume, ...]

    @property
    def running(self) -> bool:
        """Whether its host should run."""
        return self.state in RUNNING

    def meta_data(self) -> str:
        """Return what cloud-init's NoCloud source reads as metadata."""
        # JSON is YAML: nothing to quote.
        return json.dumps(
            {
                "instance-id": self.id,
                "local-hostname": self.dns_name,
                "public-keys": [self.public_key] if self.public_key else [],
            }
        )


@dataclass(frozen=True)
class Account:
    """The part of the emulated account that concerns the hosts of a stack.

    ``members`` are the addresses of the running instances by security group, of all stacks; ``volumes`` the
    ids of all volumes.
    """

    instances: tuple[Instance, ...]
    groups: Mapping[str, Group]
    members: Mapping[str, Collection[str]]
    volumes: frozenset[str]

    def rules(self, instance: Instance, resolvers: Iterable[str]) -> str:
        """Return the rules that an instance's groups make together, as input of nft."""
        return ruleset((self.groups[group] for group in instance.groups), self.members, resolvers)


@dataclass(frozen=True)
class Container:
    """A container of the lab.

    Attributes:
        name: its name.
        instance: id of its instance.
        run: tells one run of it from the next; empty while it does not run.
        lost: its id, if Podman believes that it runs and its processes are gone.
    """

    name: str
    instance: str
    run: str
    lost: str = ""

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return bool(self.run)


def parse_containers(
    listing: str, instance_label: str, alive: Callable[[int, str], bool]
) -> tuple[Container, ...]:
    """Return the containers in what ``podman ps --all --format json`` prints.

    A container without the instance's label is somebody else's.

    Args:
        listing: what Podman prints.
        instance_label: name of the label with the instance's id.
        alive: whether a process, by its id, is that of a container, by its id.
    """
    return tuple(
        _container(row, row["Labels"][instance_label], alive)
        for row in json.loads(listing or "[]") or []
        if instance_label in (row["Labels"] or {})
    )


def _container(row: Mapping[str, Any], instance: str, alive: Callable[[int, str], bool]) -> Container:
    # Podman learns of an end from conmon. If conmon was killed too, or the machine was restored, Podman still
    # says "running", or "stopping" after an attempt to stop it.
    supposed = row["State"] in ("running", "stopping")
    runs = supposed and alive(row["Pid"], row["Id"])
    return Container(
        name=row["Names"][0],
        instance=instance,
        run=f"{row['StartedAt']} {row['Pid']}" if runs else "",
        lost=row["Id"] if supposed and not runs else "",
    )


@dataclass(frozen=True)
class Plan:
    """Steps, in their order."""

    remove: tuple[str, ...]
    stop: tuple[str, ...]
    settle: tuple[Container, ...]
    create: tuple[Instance, ...]
    start: tuple[Instance, ...]


def container_name(settings: Settings, instance: Instance) -> str:
    """Return the name of an instance's container."""
    return settings.name_prefix + instance.name


def plan(instances: Sequence[Instance], containers: Sequence[Container], settings: Settings) -> Plan:
    """Return the steps that bring the containers in line with the instances."""
    wanted = {instance.id: instance for instance in instances}
    there = {container.instance: container for container in containers if container.instance in wanted}
    return Plan(
        remove=tuple(container.name for container in containers if container.instance not in wanted),
        stop=tuple(
            container.name
            for container in there.values()
            if container.running and not wanted[container.instance].running
        ),
        settle=tuple(container for container in there.values() if container.lost),
        create=tuple(instance for instance in instances if instance.id not in there),
        start=tuple(
            instance
            for instance in instances
            if instance.running and not (instance.id in there and there[instance.id].running)
        ),
    )


def create_command(settings: Settings, instance: Instance) -> list[str]:
    """Return the arguments of podman that make an instance's container."""
    directory = settings.host_dir(instance.id)
    files = settings.file_limit
    return [
        "--runtime=runc",
        "create",
        "--pull=never",
        f"--name={container_name(settings, instance)}",
        f"--label={settings.owner_label}={settings.state_dir}",
        f"--label={settings.instance_label}={instance.id}",
        f"--network={settings.network}",
        f"--ip={instance.address}",
        f"--hostname={instance.name}",
        "--no-hosts",
        "--systemd=always",
        "--privileged",
        f"--ulimit=nofile={files}:{files}",
        "--ulimit=nproc=20000:20000",
        f"--volume={directory}/seed:/var/lib/cloud/seed/nocloud:ro",
        f"--volume={directory}/by-id:/dev/disk/by-id:ro",
        f"--volume={directory}/udev:/run/udev:ro",
        settings.image,
        "/sbin/init",
    ]


def links(volumes: Mapping[Volume, str]) -> dict[str, str]:
    """Return the symlinks in /dev/disk/by-id, name to target, for volumes and their loop devices."""
    return {volume.link: f"../../{Path(device).name}" for volume, device in volumes.items()}


def udev_database(volumes: Mapping[Volume, tuple[int, int]]) -> dict[str, str]:
    """Return the files of /run/udev, path to content, for volumes and the numbers of their loop devices.

    A host has no udevd. But its systemd waits for a device to appear in udev's database before it mounts
    anything from it (systemd.device(5)), so the database says what udevd would.
    """
    files = {}
    for volume, (major, minor) in volumes.items():
        files[f"data/b{major}:{minor}"] = f"S:disk/by-id/{volume.link}\nI:1\nG:systemd\nQ:systemd\nV:1\n"
        files[f"tags/systemd/b{major}:{minor}"] = ""
    return files


def parse_loops(listing: str) -> dict[str, str]:
    """Return the loop devices by their file, from ``losetup --list --json --output NAME,BACK-FILE``."""
    rows = json.loads(listing)["loopdevices"] if listing.strip() else []
    return {row["back-file"].removesuffix(" (deleted)"): row["name"] for row in rows if row["back-file"]}
