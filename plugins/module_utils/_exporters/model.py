# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Exporters of a host: which services there are, what is wrong with the inputs, who has to restart. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

KINDS = ("postgres", "pgbouncer", "node")
MAX_PORT = 65535

# Of each kind, a sample that says that it reaches what it is there for.
_SAMPLES = {"postgres": "pg_up 1", "pgbouncer": "pgbouncer_up 1", "node": r"node_boot_time_seconds \d.*"}

# What bcrypt takes of a password; the rest would count for nothing.
MAX_BCRYPT_BYTES = 72
_BCRYPT = re.compile(r"\$2[aby]?\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}")
_STANDARD = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_OF_BCRYPT = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def services(kinds: Iterable[str], ports: Mapping[str, int], processes: int) -> list[dict[str, Any]]:
    """Return ``name``, ``kind``, ``process`` (0 for none) and ``port`` of each service.

    Args:
        kinds: of the exporters that there should be.
        ports: by kind; PgBouncer's is that of process 1, and the others follow.
        processes: how many processes PgBouncer has.
    """
    wanted = set(kinds)
    found = []
    for kind in KINDS:
        port = int(ports[kind])
        if kind not in wanted:
            continue
        if kind == "pgbouncer":
            found += [
                {
                    "name": f"pgbouncer_exporter@{number}",
                    "kind": kind,
                    "process": number,
                    "port": port + number - 1,
                }
                for number in range(1, int(processes) + 1)
            ]
        else:
            found.append({"name": f"{kind}_exporter", "kind": kind, "process": 0, "port": port})
    return found


def bracketed(address: str) -> str:
    """Return an address as it is before a port: of IPv6, in brackets."""
    return f"[{address}]" if ":" in address else address


def listen_flags(addresses: Iterable[str], port: int) -> list[str]:
    """Return an exporter's options for what it listens on."""
    return [f"--web.listen-address={bracketed(str(address))}:{port}" for address in addresses]


def sample(kind: str) -> str:
    """Return the pattern of a line that a working exporter of the kind gives."""
    return f"(?m)^{_SAMPLES[kind]}$"


def process_count(paths: Iterable[str]) -> int:
    """Return how many PgBouncer processes there are, by the paths of their configurations; at least 1."""
    numbers = [int(match[1]) for path in paths if (match := re.search(r"/pgbouncer-(\d+)\.ini$", path))]
    return max(numbers, default=1)


def server_version(paths: Iterable[str]) -> int:
    """Return the newest major version of PostgreSQL's clusters, by their configurations' paths, or 0."""
    pattern = re.compile(r"/postgresql/(\d+)/[^/]+/postgresql\.conf$")
    return max((int(match[1]) for path in paths if (match := pattern.search(path))), default=0)


class Places(NamedTuple):
    """Where the role has its things: the units, and the directories that running services have."""

    units: str
    runtime: str

    def unit(self, name: str) -> str:
        """Return the path of a service's unit."""
        return f"{self.units}/{name}.service"

    def enabled(self, name: str) -> str:
        """Return the path of the link by which a service starts at a boot."""
        return f"{self.units}/multi-user.target.wants/{name}.service"

    def running(self, name: str) -> str:
        """Return the path of the directory that systemd makes as a service starts, and removes as it ends."""
        return f"{self.runtime}/{name}"


def surplus(found: Iterable[Mapping[str, Any]], places: Places, wanted: Iterable[str]) -> list[str]:
    """Return services of an earlier run that are no longer wanted, the last processes first.

    A unit that is only named like one of ours, such as somebody's own node exporter, is none: it has no
    runtime directory here.

    Args:
        found: files with their ``path``.
        places: where the role has its things.
        wanted: names of the services that there should be.
    """
    patterns = [
        re.compile(rf"{re.escape(places.runtime)}/((?:postgres|node)_exporter|pgbouncer_exporter@\d+)"),
        re.compile(rf"{re.escape(places.units)}/(pgbouncer_exporter@\d+)\.service"),
    ]
    paths = [str(file["path"]) for file in found]
    names = {match[1] for path in paths for pattern in patterns if (match := pattern.fullmatch(path))}

    def order(name: str) -> tuple[str, int]:
        stem, _at, number = name.partition("@")
        return stem, -int(number or 0)

    return sorted(names - set(wanted), key=order)


def turns(
    found: Iterable[Mapping[str, Any]], places: Places, reads: Mapping[str, Sequence[str]]
) -> list[dict[str, str]]:
    """Return ``name`` and ``state`` (``started``, ``restarted``) of the services that have something to do.

    One is started that does not run, or would not after a boot. One is restarted that began before something
    was in place that it reads at its start only. Times are those of the inodes (ctime), for a package's files
    keep the times that they were built at.

    Args:
        found: files with their ``path`` and ``ctime``.
        places: where the role has its things.
        reads: by service, the paths of what it reads besides its unit.
    """
    times = {str(file["path"]): float(file["ctime"]) for file in found}
    due = []
    for name, paths in reads.items():
        began = times.get(places.running(name))
        if began is None:
            due.append({"name": name, "state": "started"})
        elif any(times.get(path, 0.0) > began for path in [places.unit(name), *paths]):
            due.append({"name": name, "state": "restarted"})
        elif places.enabled(name) not in times:
            due.append({"name": name, "state": "started"})
    return due


def command_line(program: str, arguments: Iterable[str]) -> str:
    """Return a command as systemd's ``ExecStart`` takes it: https://www.freedesktop.org/software/systemd/man/systemd.service.html."""
    return " ".join(_exec_word(word) for word in [program, *map(str, arguments)])


def _exec_word(word: str) -> str:
    escaped = word.replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[^\s\\\"';]+", word):
        return escaped
    quoted = escaped.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{quoted}"'


def bcrypt_salt(password: str, seed: str, rounds: int) -> str:
    """Return a salt of bcrypt that is always the same for a password and a seed, so that the hash is, too.

    Another host or name has another seed, so no hash of one is one of the other.
    """
    digest = hmac.digest(password.encode(), seed.encode(), hashlib.sha256)[:16]
    text = base64.b64encode(digest).decode().rstrip("=")
    return f"$2b${rounds:02}${text.translate(str.maketrans(_STANDARD, _OF_BCRYPT))}"


def problems(inputs: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the role's inputs, a clause each. Passwords and hashes are never quoted.

    Args:
        inputs: ``kinds``, ``listen``, ``ports`` (by kind), ``processes``, ``releases`` (of the kinds that
            come from one: ``version``, ``url``, ``checksum``), ``architecture``, ``tls``, ``users``
            (``name``, and ``password`` or ``password_hash``), ``account``, ``stats_user``,
            ``stats_password``.
    """
    return [
        *_kind_problems(inputs),
        *_listen_problems(inputs),
        *_release_problems(inputs),
        *_user_problems(inputs),
        *_stats_problems(inputs),
    ]


def _kind_problems(inputs: Mapping[str, Any]) -> list[str]:
    kinds = [str(kind) for kind in inputs["kinds"]]
    if not kinds:
        return [f"exporters_kinds is empty; name some of {', '.join(KINDS)}"]
    return [
        f"exporters_kinds has {kind!r}, which is none of {', '.join(KINDS)}"
        for kind in kinds
        if kind not in KINDS
    ]


def _listen_problems(inputs: Mapping[str, Any]) -> list[str]:
    found = [] if inputs["listen"] else ["exporters_listen is empty: nobody could scrape; name an address"]
    for address in map(str, inputs["listen"]):
        try:
            ipaddress.ip_address(address)
        except ValueError:
            found.append(f"exporters_listen has {address!r}, which is no address; give one, without a port")
    taken: dict[int, str] = {}
    for service in services(inputs["kinds"], inputs["ports"], inputs["processes"]):
        name, port = service["name"], service["port"]
        if not 0 < port <= MAX_PORT:
            found.append(f"{name} would have the port {port}, which must be from 1 to {MAX_PORT}")
        elif port in taken:
            found.append(f"{name} and {taken[port]} would share the port {port}; move one of them")
        taken.setdefault(port, name)
    return found


def _release_problems(inputs: Mapping[str, Any]) -> list[str]:
    found = []
    for kind, release in inputs["releases"].items():
        where = f"exporters_{kind}_release"
        missing = [part for part in ("version", "url", "checksum") if not release.get(part)]
        if missing:
            found.append(f"{where} lacks {' and '.join(missing)}")
            continue
        version, url, checksum = (str(release[part]) for part in ("version", "url", "checksum"))
        if not re.fullmatch(r"[\w.+~-]+", version):
            found.append(f"{where} has the version {version!r}; give one such as 1.9.1")
        if not re.match(r"https?://", url):
            found.append(f"{where} has the url {url!r}; give one that begins with https://")
        if not re.fullmatch(r"sha256:([0-9a-f]{64}|https?://\S+)", checksum):
            found.append(
                f"{where} has a checksum that is none; give sha256: and its 64 digits, or a list's URL"
            )
        other = {"amd64", "arm64"} - {str(inputs["architecture"])}
        found += [
            f"{where} is for {name} by its url, and this host is {inputs['architecture']}; give the other one"
            for name in sorted(other)
            if len(other) == 1 and f"-{name}." in url
        ]
    return found


def _user_problems(inputs: Mapping[str, Any]) -> list[str]:
    found = []
    seen: set[str] = set()
    for number, user in enumerate(inputs["users"], 1):
        name = str(user.get("name") or "")
        where = f"user {number} of exporters_basic_auth"
        if not name or re.search(r"[:\x00-\x1f\x7f]", name):
            found.append(f"{where} has no name, or one with a colon or a control character")
        if name in seen:
            found.append(f"{where} is named twice")
        seen.add(name)
        password, hashed = str(user.get("password") or ""), str(user.get("password_hash") or "")
        if bool(password) == bool(hashed):
            found.append(f"{where} needs either a password or a password_hash")
        elif hashed and not _BCRYPT.fullmatch(hashed):
            found.append(
                f"{where} has a password_hash that is none of bcrypt, which is all that exporters know"
            )
        elif len(password.encode()) > MAX_BCRYPT_BYTES or "\0" in password:
            found.append(
                f"{where} has a password with a NUL or of more than {MAX_BCRYPT_BYTES} bytes; shorten it"
            )
    if inputs["users"] and not inputs["tls"] and not _only_loopback(inputs["listen"]):
        found.append("exporters_basic_auth would send passwords in the clear; set exporters_tls, too")
    return found


def _only_loopback(addresses: Iterable[str]) -> bool:
    try:
        return all(ipaddress.ip_address(str(address)).is_loopback for address in addresses)
    except ValueError:
        return False


def _stats_problems(inputs: Mapping[str, Any]) -> list[str]:
    if "pgbouncer" not in inputs["kinds"]:
        return []
    user, password = str(inputs["stats_user"]), str(inputs["stats_password"])
    found = []
    if not re.fullmatch(r"[A-Za-z_][\w-]*", user):
        found.append(
            "exporters_pgbouncer_user is none that PgBouncer's exporter can be told of; use letters and _"
        )
    if not password and user != inputs["account"]:
        found.append(
            f"exporters_pgbouncer_password is empty; give that of {user!r}, best from a vault, or have"
            f" PgBouncer let in the account by peer, with exporters_pgbouncer_user: {inputs['account']}"
        )
    if re.search(r"[\r\n\x00]", password):
        found.append("exporters_pgbouncer_password has a newline or a NUL, which no password file can hold")
    return found


def passfile_word(text: str) -> str:
    """Return a field of PostgreSQL's password file: https://www.postgresql.org/docs/current/libpq-pgpass.html."""
    return re.sub(r"([:\\])", r"\\\1", text)
