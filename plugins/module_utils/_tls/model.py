# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names, dates and modes of TLS: what is asked for, and whether it can be. Pure, but for the time."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

# Python 3.9 of a host has no datetime.UTC.
UTC = timezone.utc  # noqa: UP017

# Modes that a connection without TLS does not satisfy: https://www.pgbouncer.org/config.html#client_tls_sslmode
DEMANDING = ("require", "verify-ca", "verify-full")

# RFC 1123, and the underscore that hosts of an inventory may have; a wildcard only as a whole first label.
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")
_LOOPBACK = {"127.0.0.1": ("*", "0.0.0.0", "localhost", "127.0.0.1"), "::1": ("::", "::1")}  # noqa: S104


def _address(name: str) -> str | None:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return None


def alternative_names(names: Iterable[str]) -> list[str]:
    """Return host names and addresses as a certificate has them (``DNS:``, ``IP:``), each once, in order."""
    given = [str(name) for name in names if name]
    return list(dict.fromkeys(f"IP:{_address(name)}" if _address(name) else f"DNS:{name}" for name in given))


def name_problems(names: Iterable[str]) -> list[str]:
    """Return what keeps names from being in a certificate, a clause each."""
    return [
        f"{name!r} is neither a host name nor an address"
        for name in map(str, names)
        if name and not _address(name) and (len(name) > 253 or not _HOST.fullmatch(name))
    ]


def file_problems(files: Mapping[str, Any], authority_only: bool = False) -> list[str]:
    """Return what is missing of given files, a clause each; none at all are fine."""
    wanted = ("authority",) if authority_only else ("certificate", "key", "authority")
    return [
        f"{part} is missing; give the path of its file" for part in wanted if files and not files.get(part)
    ]


def days_left(not_after: str, now: datetime | None = None) -> int:
    """Return the whole days until a certificate ends, negative where it has ended.

    Args:
        not_after: as community.crypto has it, ``YYYYMMDDHHMMSSZ``.
        now: in UTC; none for the time as it is.
    """
    end = datetime.strptime(not_after, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    return (end - (now or datetime.now(UTC))).days


def probe_address(listened: Iterable[str] | str) -> str:
    """Return an address of this host that a server can be reached at, empty where it has no TCP.

    Args:
        listened: addresses that it listens on, as a list or with commas.
    """
    parts = listened.split(",") if isinstance(listened, str) else [str(one) for one in listened]
    addresses = [part.strip() for part in parts if part.strip()]
    for loopback, names in _LOOPBACK.items():
        if any(address in names for address in addresses):
            return loopback
    return addresses[0] if addresses else ""


def server_problems(mode: str, databases: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return which databases a mode of the server connections would be an empty promise for, a clause each.

    PgBouncer speaks no TLS on a Unix socket, whatever ``server_tls_sslmode`` says: it connects without.

    Args:
        mode: of ``server_tls_sslmode``.
        databases: each with its ``name`` and ``host``.
    """
    if mode not in DEMANDING:
        return []
    return [
        f"database {database['name']!r} is reached over the Unix socket"
        f" {database.get('host') or 'of this host'}, where there is no TLS"
        for database in databases
        if any(not host or host[0] in "/@" for host in _hosts(database.get("host")))
    ]


def _hosts(given: Any) -> list[str]:
    parts = given if isinstance(given, (list, tuple)) else str(given or "").split(",")
    return [str(part).strip() for part in parts]
