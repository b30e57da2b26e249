# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of the role pgbouncer: from its inputs and the host's state to problems, files and services. Pure."""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import (
    access,
    budget,
    catalogue,
    inputs,
    lookup,
    processes,
    vulnerabilities,
)
from ansible_collections.pooled.postgres.plugins.module_utils._site.model import user_problems
from ansible_collections.pooled.postgres.plugins.module_utils._tls import model as tls

ACCOUNT = "pgbouncer"
CONFIG_DIRECTORY = "/etc/pgbouncer"
HBA_FILE = f"{CONFIG_DIRECTORY}/pg_hba.conf"
PACKAGE_UNIT = "/etc/systemd/system/pgbouncer.service"
UNIT = "/etc/systemd/system/pgbouncer@.service"
LIMITS = "/etc/systemd/system/pgbouncer@.service.d/50-pooled.conf"
SYSCTL = "/etc/sysctl.d/50-pgbouncer.conf"
TLS_DIRECTORY = "/etc/ssl/pooled/pgbouncer"
SERVER_SOCKET_DIRECTORY = "/var/run/postgresql"

HEADER = "Managed by the role pooled.postgres.pgbouncer. Manual changes are lost."

LOGINS = 200
"""Logins of a run; with more users, the run tries a sample of that size."""

_DRAINS: catalogue.Version = (1, 23)
"""The first version that lets clients leave before it ends."""

# CVE-2026-6668: PgBouncer's own default is twice what PostgreSQL accepts, and a packet of nothing but a header hangs it.
_MAX_PACKET_SIZE = 536870912

# Settings that have an input of the role, which checks them.
_INPUT_SETTINGS = (
    "listen_addr",
    "listen_port",
    "auth_type",
    "pool_mode",
    "max_client_conn",
    "default_pool_size",
    "reserve_pool_size",
    "max_db_connections",
    "ignore_startup_parameters",
    "stats_users",
    "log_connections",
)

_REMEDY = (
    "Lower pgbouncer_default_pool_size or a pool_size, cap databases (pgbouncer_max_db_connections,"
    " max_db_connections) or users (max_user_connections), or raise pooled_max_connections."
)

Inputs = Mapping[str, Any]
Render = Callable[..., str]


class Site(NamedTuple):
    """What the inputs come to with one version of PgBouncer, for all processes together.

    ``lookup`` is empty without auth_query; else it has ``user``, ``connections`` and ``database`` (empty where
    each client's own database is asked). ``budget`` is None where options have problems of their own.
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
    own = {name: given[f"pgbouncer_{name}"] for name in _INPUT_SETTINGS}
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


# --- Problems ---------------------------------------------------------------------------------------------


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


def problems(given: Inputs) -> list[str]:
    """Return what is wrong with the inputs, as far as that needs no host."""
    return [
        *_problems(given, site(given)),
        *(_process_problems(site(given), given["pgbouncer_processes"]) if given["pgbouncer_processes"] else []),
    ]


def _problems(given: Inputs, found: Site) -> list[str]:
    said = list(found.option_problems)
    names = [str(database.get("name")) for database in given["pgbouncer_databases"]]
    if not names:
        said.append("pgbouncer_databases: it is empty. Name the databases that clients connect to.")
    twice = sorted(set(given["pgbouncer_settings"]) & set(_INPUT_SETTINGS))
    said += [
        f"pgbouncer_settings: {name} has an input of its own. Set pgbouncer_{name} instead." for name in twice
    ]
    said += [f"pgbouncer_users: {problem}" for problem in user_problems(given["pgbouncer_users"], names)]
    said += [
        f"{_tls_input(given)}: {problem}. Set it to prefer, or reach PostgreSQL by an address that its"
        " certificate names (pgbouncer_server_host)."
        for problem in tls.server_problems(found.settings["server_tls_sslmode"], found.databases)
    ]
    users = [user["name"] for user in given["pgbouncer_users"]]
    asked = access.Access(
        found.settings,
        given["pgbouncer_hba"],
        users,
        bool(found.lookup.get("database")),
        given["pgbouncer_unsafe_auth"],
    )
    said += [f"authentication: {problem}" for problem in access.problems(asked)]
    said += _lookup_problems(given, found)
    said += _budget_problems(given, found)
    said += [
        f"pgbouncer_accept_cves: {name} is unknown. Correct or remove it."
        for name in vulnerabilities.unknown_names(given["pgbouncer_accept_cves"])
    ]
    return said


def _tls_input(given: Inputs) -> str:
    own = "server_tls_sslmode" in given["pgbouncer_settings"]
    return "pgbouncer_settings.server_tls_sslmode" if own else "pgbouncer_server_tls_mode"


def _lookup_problems(given: Inputs, found: Site) -> list[str]:
    if not found.lookup:
        return []
    if not given["pgbouncer_server_host"].startswith("/") and not given["pgbouncer_auth_password"]:
        return [
            f"pgbouncer_auth_query: PostgreSQL is reached over TCP ({given['pgbouncer_server_host']}), where"
            f" {lookup.USER} needs a password. Set pgbouncer_auth_password, best from a vault."
        ]
    if not found.lookup["database"] and "*" in _lookup_databases(found):
        return [
            f"pgbouncer_auth_query: PgBouncer {found.package} looks users up in each client's own database, so"
            " pgbouncer_databases cannot have *. Name the databases."
        ]
    return []


def _budget_problems(given: Inputs, found: Site) -> list[str]:
    if found.budget is None:
        return []
    said = []
    if not found.budget.fits:
        others = "".join(f" Other server: {one}." for one in found.budget.others)
        said.append(f"connection budget: {found.budget.arithmetic}. {_REMEDY}{others}")
    clients, size = given["pgbouncer_max_client_conn"], given["pgbouncer_default_pool_size"]
    if clients < size:
        said.append(
            f"pgbouncer_max_client_conn: {clients} is below pgbouncer_default_pool_size ({size}), so no pool"
            " could fill. Raise it."
        )
    return said


def _process_problems(found: Site, count: int) -> list[str]:
    if found.option_problems:
        return []
    said = processes.problems(found.settings, found.databases, found.users, count, found.version)
    return [f"pgbouncer_processes: {problem}" for problem in said]


def _host_problems(given: Inputs, found: Site, seen: Mapping[str, Any], count: int) -> list[str]:
    """Return what is wrong with the inputs on this host, with this version."""
    said = _process_problems(found, count)
    if found.version is not None and found.version <= catalogue.NEWEST and not found.option_problems:
        said += [
            f"PgBouncer {found.package}: {problem}"
            for problem in (
                *catalogue.setting_problems(found.settings, found.version),
                *catalogue.database_problems(found.databases, found.version),
                *catalogue.user_problems(found.users, found.version),
            )
        ]
    if found.package:
        config = vulnerabilities.Configuration(
            found.settings, found.databases, given["pgbouncer_hba"], bool(found.lookup)
        )
        refusal = vulnerabilities.refusal(found.package, config, given["pgbouncer_accept_cves"])
        said += [refusal] if refusal else []
    unit = seen["paths"].get(PACKAGE_UNIT)
    if unit and unit["type"] != "link":
        said.append(
            f"{PACKAGE_UNIT}: it is a {unit['type']}, and the role masks that unit by a link. Move it away if"
            " nothing needs it."
        )
    return said


# --- The plan ---------------------------------------------------------------------------------------------


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
    given: Inputs, seen: Mapping[str, Any], render: Render, check_mode: bool, *, source: str = "distro"
) -> dict[str, Any]:
    """Return the plan.

    Args:
        given: the role's inputs, typed.
        seen: what host_info found, see ``look``.
        render: renders a template of the role.
        check_mode: whether the run changes nothing.
        source: where packages come from, ``distro`` or ``pgdg``.
    """
    found = site(given, package_version(seen["packages"], source))
    count = _count(given, found, seen)
    said = [*_problems(given, found), *_host_problems(given, found, seen, count)]
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
            {"name": f"pgbouncer@{number}", "state": "started", "enabled": True} for number in range(1, count + 1)
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
    return given["pgbouncer_client_tls_mode"] != "disable" or given["pgbouncer_server_tls_mode"].startswith("verify-")


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


def _lookup_databases(found: Site) -> list[str]:
    """Return the databases of PostgreSQL that have the function."""
    if found.lookup.get("database"):
        return ["postgres"]
    host = found.server["host"]
    return list(
        dict.fromkeys(str(one.get("dbname", "*")) for one in found.databases if one.get("host") == host)
    )


def _lookup_task(given: Inputs, found: Site, reachable: bool) -> dict[str, Any]:
    """Return the arguments of pgbouncer_lookup, empty where it has nothing to do."""
    if not found.lookup or not reachable:
        return {}
    return {
        "databases": _lookup_databases(found),
        "connections": found.lookup["connections"],
        "host": found.server["host"],
        "port": found.server["port"],
        "password": given["pgbouncer_auth_password"],
    }


def _configuration(
    given: Inputs, found: Site, count: int, render: Render, reachable: bool
) -> dict[str, Any]:
    """Return the arguments of pgbouncer_config."""
    assert found.budget is not None  # a Site without one has problems
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
            "remedy": _REMEDY,
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
    """Return the entry of the user that looks up others; over the Unix socket PostgreSQL knows the account."""
    if not found.lookup or given["pgbouncer_server_host"].startswith("/"):
        return []
    return [{"name": found.lookup["user"], "password": given["pgbouncer_auth_password"], "plain": True}]


def _open_files(given: Inputs, sums: budget.Budget, count: int) -> int:
    """Return the descriptors of a process: clients, server connections, peers, and some for files and sockets.

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
        log_directory=os.path.dirname(logfile) if logfile else "",
    )
    unit = render("pgbouncer@.service.j2", header=HEADER, account=ACCOUNT, config_directory=CONFIG_DIRECTORY)
    return [
        # The package gives it to postgres. PgBouncer only reads it.
        {"path": CONFIG_DIRECTORY, "state": "directory", "group": ACCOUNT, "mode": "0750"},
        {"path": os.path.dirname(LIMITS), "state": "directory"},
        {"path": UNIT, "content": unit, "restarts": True},
        # Apart from the unit, whose changes need a restart: systemd applies one of these at once, and each process
        # tells whether it needs a restart for the other.
        {"path": LIMITS, "content": limits},
        {"path": SYSCTL, "content": f"# {HEADER}\n-net.ipv4.tcp_migrate_req = 1\n"},
    ]


def _surplus(paths: Iterable[str], count: int, drains: bool) -> list[dict[str, Any]]:
    """Return processes of an earlier run beyond the last, the highest first, and the port of their sockets."""
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
    """Return the logins to try: all, or a sample of ``LOGINS`` spread over the list.

    With a sample come the users whose entry changed, at most ``LOGINS`` of them, spread likewise.
    """
    if len(every) <= LOGINS:
        return list(every)
    names = set(changed)
    chosen = [*_spread(every, LOGINS), *_spread([one for one in every if one["user"] in names], LOGINS)]
    return list({one["user"]: one for one in chosen}.values())


def _spread(items: Sequence[Mapping[str, str]], count: int) -> list[Mapping[str, str]]:
    if len(items) <= count:
        return list(items)
    return [items[index * (len(items) - 1) // (count - 1)] for index in range(count)]


# --- What other parts of the site ask ---------------------------------------------------------------------


def closed_ports(first: int, count: int, opened: Iterable[Any]) -> list[int]:
    """Return the ports of the processes' exporters that a security group keeps closed.

    Args:
        first: port of the first process's exporter; the others follow.
        count: ``process_count`` of the plan.
        opened: ports that the group lets in.
    """
    known = {int(port) for port in opened}
    return [port for port in range(first, first + count) if port not in known]
