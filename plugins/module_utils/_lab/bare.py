# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts without an account: containers of the lab's image, for tests of single roles."""

from __future__ import annotations

import json
import os
import resource
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.pooled.postgres.plugins.module_utils._lab import image

BOOT_SECONDS = 120
# What cloud-init would do takes seconds a host; this takes none.
BOOT_SCRIPT = """\
if ! [ -e /etc/cloud/cloud-init.disabled ]; then
  useradd --create-home --shell /bin/bash admin
  echo 'admin ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/admin
  install -d -m 0700 -o admin -g admin /home/admin/.ssh
  echo "$1" >/home/admin/.ssh/authorized_keys
  chown admin:admin /home/admin/.ssh/authorized_keys
  echo "127.0.0.1 localhost $2" >/etc/hosts
  ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
  touch /etc/cloud/cloud-init.disabled
fi
exec /sbin/init
"""
# 0: running, 1: degraded, which some role's units may cause later, too. SSH must answer.
BOOTED_SCRIPT = """\
until systemctl is-system-running --wait >/dev/null || systemctl is-active --quiet ssh; do sleep 0.1; done
cat /etc/ssh/ssh_host_ed25519_key.pub
"""


class BareError(Exception):
    """A host can't be created; the text is a whole message."""


@dataclass(frozen=True)
class Settings:
    """What the hosts share.

    Attributes:
        state: directory for the SSH key and configuration.
        network: name of the Podman network, and the beginning of the containers' names.
        label: owner's label, as NAME=VALUE.
    """

    state: Path
    network: str
    label: str

    def container(self, host: str) -> str:
        """Return the name of a host's container."""
        return f"{self.network}-{host}"


def run_command(settings: Settings, host: str, reference: str, public_key: str, files: int) -> list[str]:
    """Return Podman's arguments that start a host; ``files`` is its hard limit of open files."""
    return [
        "--runtime=runc",
        "run",
        "--detach",
        "--pull=never",
        f"--name={settings.container(host)}",
        f"--label={settings.label}",
        f"--network={settings.network}",
        f"--hostname={host}",
        "--no-hosts",
        "--systemd=always",
        "--privileged",
        f"--ulimit=nofile={files}:{files}",
        "--ulimit=nproc=20000:20000",
        reference,
        "/bin/sh",
        "-ec",
        BOOT_SCRIPT,
        "sh",
        public_key,
        host,
    ]


def ssh_config(state: Path, addresses: Mapping[str, str]) -> str:
    """Return an SSH configuration for hosts by name and address."""
    hosts = "".join(
        f"Host {host}\n    HostName {address}\n    HostKeyAlias {host}\n\n"
        for host, address in addresses.items()
    )
    return (
        f"# Usage: ssh -F {state}/ssh_config HOST\n{hosts}"
        "Host *\n"
        "    User admin\n"
        f'    IdentityFile "{state}/id_ed25519"\n'
        "    IdentitiesOnly yes\n"
        f'    UserKnownHostsFile "{state}/known_hosts"\n'
        "    StrictHostKeyChecking yes\n"
    )


def known_hosts(keys: Mapping[str, str]) -> str:
    """Return the content of ``known_hosts`` for public keys by host."""
    return "".join(f"{host} {' '.join(key.split()[:2])}\n" for host, key in keys.items())


def create(hosts: Mapping[str, str], settings: Settings, mirror: str, name: str, directory: Path) -> None:
    """Create hosts, all at the same time, and wait until they have booted.

    Args:
        hosts: release of Debian by the host's name.
        settings: what they share.
        mirror: URL of the Debian mirror.
        name: name of the image, without a tag.
        directory: where an image is built.

    Raises BareError or ``image.ImageError``.
    """
    references = {suite: image.reference(name, suite, mirror) for suite in sorted(set(hosts.values()))}
    for suite, reference in references.items():
        image.build(reference, suite, mirror, directory)
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = settings.state / "id_ed25519"
    if not key.exists():
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "pooled-lab", "-f", str(key))
    public_key = Path(f"{key}.pub").read_text().strip()
    if settings.network not in _podman("network", "ls", "--format", "{{.Name}}").split():
        _podman("network", "create", "--disable-dns", settings.network)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    # sudo has limits of its own.
    if os.geteuid() != 0:
        files = int(_run(*image.as_root("sh", "-c", "ulimit -Hn")))

    def create_one(host: str) -> str:
        _podman(*run_command(settings, host, references[hosts[host]], public_key, files))
        return _podman("exec", settings.container(host), "sh", "-c", BOOTED_SCRIPT)

    with ThreadPoolExecutor(len(hosts)) as pool:
        keys = dict(zip(hosts, pool.map(create_one, hosts), strict=True))
    found = json.loads(_podman("inspect", *map(settings.container, hosts)))
    addresses = {
        one["Config"]["Hostname"]: one["NetworkSettings"]["Networks"][settings.network]["IPAddress"]
        for one in found
    }
    for file, content in (
        ("ssh_config", ssh_config(settings.state, addresses)),
        ("known_hosts", known_hosts(keys)),
    ):
        path = settings.state / file
        path.touch(mode=0o600)
        path.write_text(content)


def _podman(*arguments: str) -> str:
    return _run(*image.as_root("podman", *arguments))


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=BOOT_SECONDS, check=False)
    except subprocess.TimeoutExpired as exc:
        raise BareError(f"Failed to create the hosts: {exc}. Run it again on a less busy machine.") from exc
    if done.returncode:
        said = image.reason(done.stderr)
        raise BareError(f"Failed to create the hosts: {' '.join(command[:5])} …: {said}.")
    return done.stdout
