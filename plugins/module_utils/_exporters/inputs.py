# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Problems of the exporters' inputs. Pure. No problem quotes a password or a hash."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._exporters import model
from ansible_collections.pooled.postgres.plugins.module_utils._tls import model as tls

MAX_PORT = 65535
# bcrypt ignores further bytes of a password.
MAX_BCRYPT_BYTES = 72
_BCRYPT = re.compile(r"\$2[aby]?\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}")

Inputs = Mapping[str, Any]


def problems(inputs: Inputs, account: str, processes: int = 0) -> list[str]:
    """Return the problems of the inputs that show without a host.

    Args:
        inputs: inputs of the role by name, typed.
        account: account of the exporters.
        processes: number of PgBouncer processes, if the host has told it.
    """
    return [
        *_kind_problems(inputs),
        *_listen_problems(inputs),
        *_port_problems(inputs, processes or inputs["exporters_pgbouncer_processes"] or 1),
        *_user_problems(inputs),
        *_stats_problems(inputs, account),
        *_tls_problems(inputs),
    ]


def ports(inputs: Inputs) -> dict[str, int]:
    """Return the port of each kind."""
    return {
        "postgres": inputs["exporters_postgres_port"],
        "pgbouncer": inputs["exporters_pgbouncer_port"],
        "node": inputs["exporters_node_port"],
    }


def releases(inputs: Inputs) -> dict[str, dict[str, Any]]:
    """Return the release of each kind."""
    return {
        "postgres": inputs["exporters_postgres_release"],
        "pgbouncer": inputs["exporters_pgbouncer_release"],
        "node": inputs["exporters_node_release"],
    }


def _kind_problems(inputs: Inputs) -> list[str]:
    if inputs["exporters_kinds"]:
        return []
    return [f"exporters_kinds is empty. Name one or more of {', '.join(model.KINDS)}."]


def _listen_problems(inputs: Inputs) -> list[str]:
    addresses = inputs["exporters_listen"]
    found = [] if addresses else ["exporters_listen is empty, so nothing could scrape. Name an address."]
    for address in addresses:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            found.append(
                f"exporters_listen contains {address!r}, which is not an IP address."
                " Give an address without a port."
            )
    return found


def _port_problems(inputs: Inputs, processes: int) -> list[str]:
    if processes < 0:
        return [f"exporters_pgbouncer_processes is {processes}. Set 0 or more."]
    found = []
    taken: dict[int, str] = {}
    for service in model.services(inputs["exporters_kinds"], ports(inputs), processes):
        name, port = service["name"], service["port"]
        source = f"exporters_{service['kind']}_port"
        if not 0 < port <= MAX_PORT:
            found.append(
                f"{name} would listen on port {port}. Set {source} so that it is from 1 to {MAX_PORT}."
            )
        elif port in taken:
            found.append(f"{name} and {taken[port]} would share port {port}. Change {source}.")
        taken.setdefault(port, name)
    return found


def release_problems(inputs: Inputs, kinds: Iterable[str], architecture: str) -> list[str]:
    """Return the problems of the releases that a host needs.

    Args:
        inputs: inputs of the role by name.
        kinds: kinds that come from a release.
        architecture: the host's, as releases name it, such as ``amd64``.
    """
    return [
        problem
        for kind in kinds
        for problem in _release_problems(f"exporters_{kind}_release", releases(inputs)[kind], architecture)
    ]


def _release_problems(where: str, release: Mapping[str, Any], architecture: str) -> list[str]:
    parts = ("version", "url", "checksum")
    missing = [part for part in parts if not release.get(part)]
    if missing:
        return [f"{where} lacks {' and '.join(missing)}. Set all of {', '.join(parts)}."]
    version, url, checksum = (str(release[part]) for part in parts)
    found = []
    if not re.fullmatch(r"[\w.+~-]+", version) or version in (".", ".."):
        found.append(f"{where}.version is {version!r}. Set a version such as 1.9.1.")
    if not re.match(r"https?://", url):
        found.append(f"{where}.url is {url!r}. Set a URL that begins with https://.")
    if not re.fullmatch(r"sha256:([0-9a-f]{64}|https?://\S+)", checksum):
        found.append(
            f"{where}.checksum is invalid. Set sha256: and 64 digits, or sha256: and the URL of a list."
        )
    other = {"amd64": "arm64", "arm64": "amd64"}.get(architecture)
    if other and f"-{other}." in url:
        found.append(
            f"{where}.url is for {other}, and this host is {architecture}. Set the URL for {architecture}."
        )
    return found


def _user_problems(inputs: Inputs) -> list[str]:
    users = inputs["exporters_basic_auth"]
    found = []
    seen: set[str] = set()
    for number, user in enumerate(users, 1):
        name = str(user.get("name") or "")
        where = f"exporters_basic_auth: user {number}"
        if not name or re.search(r"[:\x00-\x1f\x7f]", name):
            found.append(
                f"{where} has an empty name, or one with a colon or control character. Rename the user."
            )
        if name in seen:
            found.append(f"{where} has the name of another user. Remove one of them.")
        seen.add(name)
        found += [f"{where} {problem}" for problem in _login_problems(user)]
    if users and not inputs["exporters_tls"] and not _only_loopback(inputs["exporters_listen"]):
        found.append("exporters_basic_auth would send passwords in the clear. Set exporters_tls: true.")
    if any(user.get("password") for user in users) and not model.HAS_BCRYPT:
        found.append(
            "exporters_basic_auth has a password, and the Python that runs the playbook has no bcrypt."
            " Install it (pip install bcrypt), or set password_hash."
        )
    return found


def _login_problems(user: Mapping[str, Any]) -> list[str]:
    password, hashed = str(user.get("password") or ""), str(user.get("password_hash") or "")
    if bool(password) == bool(hashed):
        return ["needs either password or password_hash. Set one of them."]
    if hashed and not _BCRYPT.fullmatch(hashed):
        return ["has a password_hash that is not a bcrypt hash. Set a bcrypt hash."]
    if len(password.encode()) > MAX_BCRYPT_BYTES or "\0" in password:
        return [f"has a password with a NUL or more than {MAX_BCRYPT_BYTES} bytes. Shorten it."]
    return []


def _only_loopback(addresses: Iterable[str]) -> bool:
    try:
        return all(ipaddress.ip_address(str(address)).is_loopback for address in addresses)
    except ValueError:
        return False


def _stats_problems(inputs: Inputs, account: str) -> list[str]:
    if "pgbouncer" not in inputs["exporters_kinds"]:
        return []
    user, password = inputs["exporters_pgbouncer_user"], inputs["exporters_pgbouncer_password"]
    found = []
    if not re.fullmatch(r"[A-Za-z_][\w-]*", user):
        found.append(f"exporters_pgbouncer_user is {user!r}. Set a name of letters, digits, _ and -.")
    if not password and user != account:
        found.append(
            f"exporters_pgbouncer_password is empty. Set the password of {user!r}, best from a vault,"
            f" or set exporters_pgbouncer_user: {account} and let PgBouncer admit it by peer."
        )
    if re.search(r"[\r\n\x00]", password):
        found.append(
            "exporters_pgbouncer_password has a newline or a NUL, which a password file cannot hold."
            " Change it."
        )
    return found


def _tls_problems(inputs: Inputs) -> list[str]:
    if not inputs["exporters_tls"]:
        return []
    return [
        *(f"exporters_tls_names: {problem}" for problem in tls.name_problems(inputs["exporters_tls_names"])),
        *(f"exporters_tls_files: {problem}" for problem in tls.file_problems(inputs["exporters_tls_files"])),
    ]
