# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the inputs of the role pgbouncer come to, for all processes together. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import (
    budget,
    catalogue,
    inputs,
    lookup,
)

CONFIG_DIRECTORY = "/etc/pgbouncer"
HBA_FILE = f"{CONFIG_DIRECTORY}/pg_hba.conf"
TLS_DIRECTORY = "/etc/ssl/pooled/pgbouncer"

# CVE-2026-6668: PgBouncer's own default is twice what PostgreSQL accepts, and a packet of nothing but a
# header hangs it.
_MAX_PACKET_SIZE = 536870912

# Settings that have an input of the role, which checks them.
SETTING_INPUTS = (
    "pgbouncer_listen_addr",
    "pgbouncer_listen_port",
    "pgbouncer_auth_type",
    "pgbouncer_pool_mode",
    "pgbouncer_max_client_conn",
    "pgbouncer_default_pool_size",
    "pgbouncer_reserve_pool_size",
    "pgbouncer_max_db_connections",
    "pgbouncer_ignore_startup_parameters",
    "pgbouncer_stats_users",
    "pgbouncer_log_connections",
)

Inputs = Mapping[str, Any]


class Site(NamedTuple):
    """What the inputs come to with one version of PgBouncer, for all processes together.

    ``lookup`` is empty without auth_query; else it has ``user``, ``connections`` and ``database`` (empty
    where each client's own database is asked). ``budget`` is None if the options have problems.
    """

    package: str
    version: catalogue.Version | None
    lookup: dict[str, Any]
    databases: list[dict[str, Any]]
    users: list[dict[str, Any]]
    limits: dict[str, int]
    server: dict[str, Any]
    budget: budget.Budget | None
    settings: dict[str, Any]
    option_problems: list[str]


def version_of(package: str) -> catalogue.Version | None:
    """Return PgBouncer's version from that of its package, such as ``1.24.1-1+deb13u2``; None if unknown."""
    match = re.match(r"(?:\d+:)?(\d+)\.(\d+)", package)
    return (int(match[1]), int(match[2])) if match else None


def package_version(packages: Mapping[str, Mapping[str, str]], source: str) -> str:
    """Return the installed version, or the one that an installation takes; empty if that is unknown.

    Args:
        packages: by name, with ``installed`` and ``candidate``.
        source: ``distro`` or ``pgdg``, whose candidate is unknown until the source is there.
    """
    package = packages.get("pgbouncer", {})
    candidate = str(package.get("candidate") or "")
    if source == "pgdg" and "pgdg" not in candidate:
        candidate = ""
    return str(package.get("installed") or candidate)


def site(given: Inputs, package: str = "") -> Site:
    """Return what the inputs come to with a version of the package, empty for any recent one."""
    version = version_of(package)
    found = _lookup(given, version)
    server = {
        "host": given["pgbouncer_server_host"],
        "port": given["pgbouncer_server_port"],
        "max_connections": given["pgbouncer_server_max_connections"],
        "reserved": given["pgbouncer_server_reserved_connections"],
        "others": given["pgbouncer_server_other_connections"],
    }
    databases = inputs.database_options(
        [*given["pgbouncer_databases"], *_lookup_entry(found, version)],
        {"host": server["host"], "port": server["port"]},
    )
    users = inputs.user_options(given["pgbouncer_users"])
    if found:
        users.append({"name": found["user"], "max_user_connections": found["connections"]})
    own = {name.removeprefix("pgbouncer_"): given[name] for name in SETTING_INPUTS}
    problems = _option_problems(given, own, databases, users)
    limits, sums = {}, None
    if not problems:
        limits = {
            "pool_size": own["default_pool_size"],
            "reserve_pool_size": own["reserve_pool_size"],
            "max_db_connections": own["max_db_connections"],
            "max_user_connections": int(given["pgbouncer_settings"].get("max_user_connections") or 0),
        }
        sums = budget.reckon(databases, given["pgbouncer_users"], limits, server, found or None)
        own["max_db_connections"] = sums.max_db_connections
    settings = {
        "auth_file": f"{CONFIG_DIRECTORY}/userlist.txt",
        "max_packet_size": _MAX_PACKET_SIZE,
        "log_disconnections": given["pgbouncer_log_connections"],
        **_tls_settings(given),
        **given["pgbouncer_settings"],
        **own,
        **({"auth_hba_file": HBA_FILE} if own["auth_type"] == "hba" else {}),
        **({"auth_user": found["user"], "auth_query": lookup.QUERY} if found else {}),
        **({"auth_dbname": found["database"]} if found.get("database") else {}),
    }
    return Site(package, version, found, databases, users, limits, server, sums, settings, problems)


def _lookup(given: Inputs, version: catalogue.Version | None) -> dict[str, Any]:
    if not given["pgbouncer_auth_query"]:
        return {}
    old = version is not None and version < (1, 19)
    return {
        "user": lookup.USER,
        # One for each process at least.
        "connections": max(4, given["pgbouncer_processes"]),
        "database": "" if old else lookup.USER,
    }


def _lookup_entry(found: Mapping[str, Any], version: catalogue.Version | None) -> list[dict[str, Any]]:
    """Return the database for lookups. Clients may ask for it, too; the limits keep room for the lookups."""
    if not found.get("database"):
        return []
    entry = {
        "name": found["database"],
        "dbname": "postgres",
        "pool_size": found["connections"],
        "reserve_pool_size": 0,
        "max_db_connections": 2 * found["connections"],
    }
    if version is None or version >= (1, 24):
        entry["max_db_client_connections"] = found["connections"]
    return [entry]


def _tls_settings(given: Inputs) -> dict[str, Any]:
    clients, server = given["pgbouncer_client_tls_mode"], given["pgbouncer_server_tls_mode"]
    settings = {"client_tls_sslmode": clients, "server_tls_sslmode": server}
    if clients != "disable":
        settings["client_tls_ca_file"] = f"{TLS_DIRECTORY}/authority.crt"
        settings["client_tls_cert_file"] = f"{TLS_DIRECTORY}/server.crt"
        settings["client_tls_key_file"] = f"{TLS_DIRECTORY}/server.key"
    if server.startswith("verify-"):
        settings["server_tls_ca_file"] = f"{TLS_DIRECTORY}/authority.crt"
    return settings


def _option_problems(
    given: Inputs,
    own: Mapping[str, Any],
    databases: Iterable[Mapping[str, Any]],
    users: Iterable[Mapping[str, Any]],
) -> list[str]:
    """Return settings and options that no known PgBouncer accepts, each with its input."""
    found = [
        f"pgbouncer_{name}: {problem}"
        for name, value in own.items()
        for problem in catalogue.setting_problems({name: value})
    ]
    further = {name: value for name, value in given["pgbouncer_settings"].items() if name not in own}
    found += [f"pgbouncer_settings: {problem}" for problem in catalogue.setting_problems(further)]
    found += [f"pgbouncer_databases: {problem}" for problem in catalogue.database_problems(databases)]
    return found + [f"pgbouncer_users: {problem}" for problem in catalogue.user_problems(users)]


def lookup_databases(found: Site) -> list[str]:
    """Return the databases of PostgreSQL that have the function."""
    if found.lookup.get("database"):
        return ["postgres"]
    host = found.server["host"]
    return list(
        dict.fromkeys(str(one.get("dbname", "*")) for one in found.databases if one.get("host") == host)
    )
