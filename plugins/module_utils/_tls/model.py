# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names and modes of TLS. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

# Modes that refuse a connection without TLS: https://www.pgbouncer.org/config.html#client_tls_sslmode
DEMANDING = ("require", "verify-ca", "verify-full")

# RFC 1123, with the underscore of inventory names. A wildcard is a whole first label.
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")
_LOOPBACK = {"127.0.0.1": ("*", "0.0.0.0", "localhost", "127.0.0.1"), "::1": ("::", "::1")}  # noqa: S104


def _address(name: str) -> str | None:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return None


def alternative_names(names: Iterable[str]) -> list[str]:
    """Return host names and addresses in a certificate's form (``DNS:``, ``IP:``), each once, in order."""
    given = [str(name) for name in names if name]
    return list(dict.fromkeys(f"IP:{_address(name)}" if _address(name) else f"DNS:{name}" for name in given))


def name_problems(names: Iterable[str]) -> list[str]:
    """Return a sentence for each name that a certificate cannot have."""
    return [
        f"{name!r} is neither a host name nor an IP address. Remove or correct it."
        for name in map(str, names)
        if name and not _address(name) and (len(name) > 253 or not _HOST.fullmatch(name))
    ]


def file_problems(files: Mapping[str, Any], authority_only: bool = False) -> list[str]:
    """Return a sentence for each given file that is missing; no files at all are fine."""
    wanted = ("authority",) if authority_only else ("certificate", "key", "authority")
    return [
        f"{part} is missing. Set the path of its file." for part in wanted if files and not files.get(part)
    ]


def probe_address(listened: Iterable[str] | str) -> str:
    """Return an address that reaches a server from its own host, empty if it does not listen on TCP.

    Args:
        listened: its listen addresses, as a list or with commas.
    """
    parts = listened.split(",") if isinstance(listened, str) else [str(one) for one in listened]
    addresses = [part.strip() for part in parts if part.strip()]
    for loopback, names in _LOOPBACK.items():
        if any(address in names for address in addresses):
            return loopback
    return addresses[0] if addresses else ""


def server_problems(mode: str, databases: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a clause for each database whose server connections could not use TLS as the mode demands.

    PgBouncer connects to a Unix socket without TLS, whatever ``server_tls_sslmode`` says.

    Args:
        mode: value of ``server_tls_sslmode``.
        databases: each with its ``name`` and ``host``.
    """
    if mode not in DEMANDING:
        return []
    return [
        f"database {database['name']!r} is reached over the Unix socket"
        f" {database.get('host') or 'of this host'}, which has no TLS"
        for database in databases
        if any(not host or host[0] in "/@" for host in _hosts(database.get("host")))
    ]


def _hosts(given: Any) -> list[str]:
    parts = given if isinstance(given, (list, tuple)) else str(given or "").split(",")
    return [str(part).strip() for part in parts]
