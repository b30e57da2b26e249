# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Exporters of a host: their services, ports, options and passwords. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Any

try:
    import bcrypt
except ImportError:
    bcrypt = None  # type: ignore[assignment]

KINDS = ("postgres", "pgbouncer", "node")
HAS_BCRYPT = bcrypt is not None

# One sample of each kind proves that the exporter reaches its target.
SAMPLES = {"postgres": "pg_up 1", "pgbouncer": "pgbouncer_up 1", "node": r"node_boot_time_seconds \d.*"}

_ROUNDS = 10
_STANDARD = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_OF_BCRYPT = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def services(kinds: Iterable[str], ports: Mapping[str, int], processes: int) -> list[dict[str, Any]]:
    """Return ``name``, ``kind``, ``process`` (0 for none) and ``port`` of each service.

    Args:
        kinds: kinds of exporters to run.
        ports: port by kind. PgBouncer's is that of process 1; the other processes use the next ports.
        processes: number of PgBouncer processes.
    """
    wanted = set(kinds)
    found = []
    for kind in (kind for kind in KINDS if kind in wanted):
        port = int(ports[kind])
        if kind == "pgbouncer":
            found += [
                {"name": f"{kind}_exporter@{n}", "kind": kind, "process": n, "port": port + n - 1}
                for n in range(1, processes + 1)
            ]
        else:
            found.append({"name": f"{kind}_exporter", "kind": kind, "process": 0, "port": port})
    return found


def process_count(paths: Iterable[str]) -> int:
    """Return the number of PgBouncer processes that have a configuration among the paths."""
    numbers = [int(match[1]) for path in paths if (match := re.search(r"/pgbouncer-(\d+)\.ini$", path))]
    return max(numbers, default=0)


def server_version(paths: Iterable[str]) -> int:
    """Return the newest major version of PostgreSQL that has a configuration among the paths, or 0."""
    pattern = re.compile(r"/postgresql/(\d+)/[^/]+/postgresql\.conf$")
    return max((int(match[1]) for path in paths if (match := pattern.search(path))), default=0)


def bracketed(address: str) -> str:
    """Return an address in the form that goes before a port: IPv6 in brackets."""
    return f"[{address}]" if ":" in address else address


def listen_flags(addresses: Iterable[str], port: int) -> list[str]:
    """Return an exporter's options for its listen addresses."""
    return [f"--web.listen-address={bracketed(str(address))}:{port}" for address in addresses]


def command_line(program: str, arguments: Iterable[str]) -> str:
    """Return a command for systemd's ``ExecStart``: https://www.freedesktop.org/software/systemd/man/systemd.service.html."""
    return " ".join(_exec_word(word) for word in [program, *map(str, arguments)])


def _exec_word(word: str) -> str:
    escaped = word.replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[^\s\\\"';]+", word):
        return escaped
    return _quoted(escaped)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def environment(name: str, value: str) -> str:
    """Return a value for systemd's ``Environment``: https://www.freedesktop.org/software/systemd/man/systemd.exec.html."""
    return _quoted(f"{name}={value}".replace("%", "%%"))


def connection(options: Mapping[str, Any]) -> str:
    """Return libpq's connection string: https://www.postgresql.org/docs/17/libpq-connect.html#LIBPQ-CONNSTRING."""
    return " ".join(f"{name}={_connection_word(str(value))}" for name, value in options.items())


def _connection_word(word: str) -> str:
    if re.fullmatch(r"[^\s\\']+", word):
        return word
    return "'" + word.replace("\\", "\\\\").replace("'", "\\'") + "'"


def passfile_word(text: str) -> str:
    """Return a field of PostgreSQL's password file: https://www.postgresql.org/docs/current/libpq-pgpass.html."""
    return re.sub(r"([:\\])", r"\\\1", text)


def bcrypt_salt(password: str, seed: str, rounds: int) -> str:
    """Return a bcrypt salt that is always the same for a password and a seed, so that the hash is, too.

    Each host and name has its own seed, so equal passwords have different hashes.
    """
    digest = hmac.digest(password.encode(), seed.encode(), hashlib.sha256)[:16]
    text = base64.b64encode(digest).decode().rstrip("=")
    return f"$2b${rounds:02}${text.translate(str.maketrans(_STANDARD, _OF_BCRYPT))}"


def bcrypt_hash(password: str, seed: str) -> str:
    """Return the bcrypt hash of a password, always the same for a seed. Needs ``HAS_BCRYPT``."""
    salt = bcrypt_salt(password, seed, _ROUNDS)
    return bcrypt.hashpw(password.encode(), salt.encode()).decode()
