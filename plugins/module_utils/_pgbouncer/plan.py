# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of the role pgbouncer: from inputs and the host's state to problems, files, services. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import (
    budget,
    catalogue,
    problems,
    processes,
)
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.problems import PACKAGE_UNIT
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.site import (
    CONFIG_DIRECTORY,
    HBA_FILE,
    TLS_DIRECTORY,
    Inputs,
    Site,
    lookup_databases,
    package_version,
    site,
)
from ansible_collections.pooled.postgres.plugins.module_utils._tls import model as tls

ACCOUNT = "pgbouncer"
UNIT = "/etc/systemd/system/pgbouncer@.service"
LIMITS = "/etc/systemd/system/pgbouncer@.service.d/50-pooled.conf"
SYSCTL = "/etc/sysctl.d/50-pgbouncer.conf"
SERVER_SOCKET_DIRECTORY = "/var/run/postgresql"

HEADER = "Managed by the role pooled.postgres.pgbouncer. Manual changes are lost."

LOGINS = 200
"""Logins of a run; with more users, the run tries a sample of that size."""

_DRAINS: catalogue.Version = (1, 23)
"""The first version that lets clients leave before it ends."""


Render = Callable[..., str]


def look(given: Inputs) -> dict[str, list[str]]:
    """Return what the plan needs to know of the host, as arguments of host_info."""
    return {
        "packages": _packages(given),
        "paths": [
            PACKAGE_UNIT,
            TLS_DIRECTORY,
            f"{CONFIG_DIRECTORY}/pgbouncer-*.ini",
            f"{processes.RUNTIME_DIRECTORY}/*/.s.PGSQL.*",
        ],
        "contents": ["/etc/passwd"],
        "units": ["pgbouncer.service"],
    }


def plan(
    given: Inputs,
    seen: Mapping[str, Any],
    render: Render,
    check_mode: bool,
    *,
    source: str = "distro",
    opened: Iterable[Any] | None = None,
    exporter_port: int = 9127,
) -> dict[str, Any]:
    """Return the plan.

    Args:
        given: the role's inputs, typed.
        seen: what host_info found, see ``look``.
        render: renders a template of the role.
        check_mode: whether the run changes nothing.
        source: where packages come from, ``distro`` or ``pgdg``.
        opened: ports that the security group lets the monitoring reach; None if no exporter is watched.
        exporter_port: port of the first process's exporter; those of the others follow.
    """
    found = site(given, package_version(seen["packages"], source))
    count = _count(given, found, seen)
    said = problems.of_host(given, found, seen, count)
    if opened is not None:
        said += problems.of_ports(exporter_port, count, opened)
    if said:
        return {"problems": said}
    installed = bool(seen["packages"].get("pgbouncer", {}).get("installed"))
    # In check mode, a bare host has neither a pooler nor a server to ask.
    reachable = installed or not check_mode
    listens = not _truth(found.settings.get("disable_pqexec"))
    drains = listens and found.version is not None and found.version >= _DRAINS
    return {
        "problems": [],
        "packages": [name for name in _packages(given) if not _installed(seen, name)],
        "prepare": PACKAGE_UNIT not in seen["paths"]
        or not re.search(rf"^{ACCOUNT}:", seen["contents"].get("/etc/passwd", ""), re.MULTILINE),
        "version": found.package,
        "process_count": count,
        "reachable": reachable,
        "listens": listens,
        "site": {
            "databases": found.databases,
            "users": [
                {name: value for name, value in user.items() if name not in ("password", "verifier")}
                for user in given["pgbouncer_users"]
            ],
            "limits": found.limits,
            "server": found.server,
            "lookup": found.lookup,
        },
        "tls": _tls(given, found, seen),
        "lookup": _lookup_task(given, found, reachable),
        "configuration": _configuration(given, found, count, render, reachable),
        "surplus": _surplus(seen["paths"], count, drains),
        "package_unit_runs": seen["units"].get("pgbouncer.service", {}).get("active") == "active",
        "services": [
            {"name": f"pgbouncer@{number}", "state": "started", "enabled": True}
            for number in range(1, count + 1)
        ],
        "login_host": _login_host(given, found),
        "logins": logins(given),
    }


def _packages(given: Inputs) -> list[str]:
    extra = ["python3-cryptography"] if _wants_certificates(given) else []
    return ["pgbouncer", "python3-psycopg2", *extra]


def _installed(seen: Mapping[str, Any], name: str) -> bool:
    return bool(seen["packages"].get(name, {}).get("installed"))


def _count(given: Inputs, found: Site, seen: Mapping[str, Any]) -> int:
    if given["pgbouncer_processes"] or found.option_problems:
        return int(given["pgbouncer_processes"] or 1)
    cores = int(seen.get("processors") or 1)
    return processes.default_count(found.settings, found.databases, found.users, cores, found.version)


def _truth(value: Any) -> bool:
    return str(value or "").lower() in ("1", "true", "yes", "on")


def _wants_certificates(given: Inputs) -> bool:
    server = str(given["pgbouncer_server_tls_mode"])
    return given["pgbouncer_client_tls_mode"] != "disable" or server.startswith("verify-")


def _tls(given: Inputs, found: Site, seen: Mapping[str, Any]) -> dict[str, Any]:
    """Return whether certificates are wanted, where clients are shown one, and whether old ones are left."""
    clients = given["pgbouncer_client_tls_mode"] != "disable"
    address = tls.probe_address(found.settings["listen_addr"])
    wanted = _wants_certificates(given)
    return {
        "wanted": wanted,
        "clients": clients,
        "served": clients and bool(address),
        "address": address,
        "certificate": found.settings.get("client_tls_cert_file", ""),
        # Nobody renews them, and the alert for their end would come some day.
        "surplus": not wanted and TLS_DIRECTORY in seen["paths"],
    }


def _lookup_task(given: Inputs, found: Site, reachable: bool) -> dict[str, Any]:
    """Return the arguments of pgbouncer_lookup, empty where it has nothing to do."""
    if not found.lookup or not reachable:
        return {}
    return {
        "databases": lookup_databases(found),
        "connections": found.lookup["connections"],
        "host": found.server["host"],
        "port": found.server["port"],
        "password": given["pgbouncer_auth_password"],
    }


def _configuration(given: Inputs, found: Site, count: int, render: Render, reachable: bool) -> dict[str, Any]:
    """Return the arguments of pgbouncer_config."""
    if found.budget is None:
        raise ValueError("; ".join(found.option_problems))
    divided = processes.processes(found.settings, found.databases, found.users, count, found.version)
    method = given["pgbouncer_auth_type"]
    files = _open_files(given, found.budget, count)
    read = given["pgbouncer_verifiers_from_server"] and reachable
    return {
        "processes": [
            {
                "path": f"{CONFIG_DIRECTORY}/pgbouncer-{one['id']}.ini",
                **{name: one[name] for name in ("settings", "databases", "users", "peers")},
            }
            for one in divided
        ],
        "userlist": {
            "path": found.settings["auth_file"],
            "users": [*map(_userlist_user, given["pgbouncer_users"]), *_lookup_user(given, found)],
            "encryption": "md5" if method == "md5" else "scram-sha-256",
        },
        "hba": {"path": HBA_FILE, "rules": given["pgbouncer_hba"]} if method == "hba" else None,
        "server": {
            "login_unix_socket": SERVER_SOCKET_DIRECTORY,
            "login_port": given["pgbouncer_server_port"],
            "needed": found.budget.needed,
            "arithmetic": found.budget.own,
            "others": found.server["others"],
            "remedy": problems.REMEDY,
        }
        if read
        else None,
        "files": _files(given, found, files, render),
        "open_files": files,
    }


def _userlist_user(user: Mapping[str, Any]) -> dict[str, Any]:
    secret = "verifier" if user.get("verifier") else "password"
    return {"name": user["name"], secret: user[secret]}


def _lookup_user(given: Inputs, found: Site) -> list[dict[str, Any]]:
    """Return the entry of the user that looks up others; the Unix socket needs no password."""
    if not found.lookup or given["pgbouncer_server_host"].startswith("/"):
        return []
    return [{"name": found.lookup["user"], "password": given["pgbouncer_auth_password"], "plain": True}]


def _open_files(given: Inputs, sums: budget.Budget, count: int) -> int:
    """Return the descriptors of a process: clients, server connections, peers, files and sockets.

    In steps of 1024, so that another pool size alone needs no restart.
    """
    each = (given["pgbouncer_max_client_conn"] + sums.descriptors) / count
    return (int(each + given["pgbouncer_default_pool_size"] + 100) // 1024 + 1) * 1024


def _files(given: Inputs, found: Site, open_files: int, render: Render) -> list[dict[str, Any]]:
    """Return the files that PgBouncer itself does not read, and its directory."""
    logfile = str(found.settings.get("logfile") or "")
    limits = render(
        "limits.conf.j2",
        header=HEADER,
        open_files=open_files,
        stop_seconds=given["pgbouncer_drain_timeout"] + 30,
        log_directory=str(PurePosixPath(logfile).parent) if logfile else "",
    )
    unit = render("pgbouncer@.service.j2", header=HEADER, account=ACCOUNT, config_directory=CONFIG_DIRECTORY)
    return [
        # The package gives it to postgres. PgBouncer only reads it.
        {"path": CONFIG_DIRECTORY, "state": "directory", "group": ACCOUNT, "mode": "0750"},
        {"path": str(PurePosixPath(LIMITS).parent), "state": "directory"},
        {"path": UNIT, "content": unit, "restarts": True},
        # Apart from the unit, whose changes need a restart: systemd applies one of these at once, and each
        # process tells whether it needs a restart for the other.
        {"path": LIMITS, "content": limits},
        {"path": SYSCTL, "content": f"# {HEADER}\n-net.ipv4.tcp_migrate_req = 1\n"},
    ]


def _surplus(paths: Iterable[str], count: int, drains: bool) -> list[dict[str, Any]]:
    """Return surplus processes of an earlier run, the highest first, and the port of their sockets."""
    found = list(paths)
    ports = {
        match[1]: int(match[2]) for path in found if (match := re.search(r"/(\d+)/\.s\.PGSQL\.(\d+)$", path))
    }
    numbers = sorted(
        {
            int(match[1])
            for path in found
            if (match := re.fullmatch(rf"{CONFIG_DIRECTORY}/pgbouncer-(\d+)\.ini", path))
        },
        reverse=True,
    )
    return [
        {"id": number, "port": ports.get(str(number), 0), "drains": drains and str(number) in ports}
        for number in numbers
        if number > count
    ]


def _login_host(given: Inputs, found: Site) -> str:
    """Return where logins are tried: the Unix socket where TCP needs a client certificate, or is off."""
    address = tls.probe_address(found.settings["listen_addr"])
    if given["pgbouncer_client_tls_mode"].startswith("verify-") or not address:
        return processes.socket_directory(1)
    return address


# --- Logins -----------------------------------------------------------------------------------------------


def logins(given: Inputs) -> list[dict[str, str]]:
    """Return ``user``, ``password`` and ``database`` of each user whose login can be tried.

    A user without databases uses PgBouncer's console only. With ``hba`` this host may not be let in, and with
    ``cert`` only a certificate is.
    """
    if given["pgbouncer_auth_type"] in ("hba", "cert"):
        return []
    first = [str(database["name"]) for database in given["pgbouncer_databases"][:1]]
    found = []
    for user in given["pgbouncer_users"]:
        databases = user.get("databases", first)
        if user.get("password") and databases:
            # PostgreSQL always has that one.
            database = "postgres" if databases[0] == "*" else str(databases[0])
            found.append({"user": user["name"], "password": user["password"], "database": database})
    return found


def sample(every: Sequence[Mapping[str, str]], changed: Collection[str]) -> list[Mapping[str, str]]:
    """Return the logins to try: all, or ``LOGINS`` of them.

    Up to half of these are users whose entry changed; the rest is spread over the list.
    """
    if len(every) <= LOGINS:
        return list(every)
    names = set(changed)
    mine = _spread([one for one in every if one["user"] in names], LOGINS // 2)
    chosen = [*mine, *_spread(every, LOGINS - len(mine))]
    return list({one["user"]: one for one in chosen}.values())


def _spread(items: Sequence[Mapping[str, str]], count: int) -> list[Mapping[str, str]]:
    if len(items) <= count:
        return list(items)
    return [items[index * (len(items) - 1) // (count - 1)] for index in range(count)]
