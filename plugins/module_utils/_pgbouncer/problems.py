# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Problems of the inputs of the role pgbouncer, each with the input's name and a solution. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import (
    access,
    catalogue,
    lookup,
    processes,
    vulnerabilities,
)
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.site import (
    SETTING_INPUTS,
    Inputs,
    Site,
    lookup_databases,
    site,
)
from ansible_collections.pooled.postgres.plugins.module_utils._site.model import user_problems
from ansible_collections.pooled.postgres.plugins.module_utils._tls import model as tls

PACKAGE_UNIT = "/etc/systemd/system/pgbouncer.service"

REMEDY = (
    "Lower pgbouncer_default_pool_size or a pool_size, cap databases (pgbouncer_max_db_connections,"
    " max_db_connections) or users (max_user_connections), or raise pooled_max_connections."
)


def of_inputs(given: Inputs) -> list[str]:
    """Return what is wrong with the inputs, as far as that needs no host."""
    return [
        *_of_site(given, site(given)),
        *(
            _process_problems(site(given), given["pgbouncer_processes"])
            if given["pgbouncer_processes"]
            else []
        ),
    ]


def _of_site(given: Inputs, found: Site) -> list[str]:
    said = list(found.option_problems)
    names = [str(database.get("name")) for database in given["pgbouncer_databases"]]
    if not names:
        said.append("pgbouncer_databases: it is empty. Name the databases that clients connect to.")
    twice = sorted({f"pgbouncer_{name}" for name in given["pgbouncer_settings"]} & set(SETTING_INPUTS))
    said += [
        f"pgbouncer_settings: {name.removeprefix('pgbouncer_')} has a separate input. Set {name} instead."
        for name in twice
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
    if not found.lookup["database"] and "*" in lookup_databases(found):
        return [
            f"pgbouncer_auth_query: PgBouncer {found.package} looks users up in each client's own database,"
            " so pgbouncer_databases cannot have *. Name the databases."
        ]
    return []


def _budget_problems(given: Inputs, found: Site) -> list[str]:
    if found.budget is None:
        return []
    said = []
    if not found.budget.fits:
        others = "".join(f" Other server: {one}." for one in found.budget.others)
        said.append(f"connection budget: {found.budget.arithmetic}. {REMEDY}{others}")
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


def of_host(given: Inputs, found: Site, seen: Mapping[str, Any], count: int) -> list[str]:
    """Return what is wrong with the inputs on this host, with this version."""
    said = [*_of_site(given, found), *_process_problems(found, count)]
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


def of_ports(first: int, count: int, opened: Iterable[Any]) -> list[str]:
    """Return the problem of exporters that a security group hides from the monitoring, or nothing.

    Args:
        first: port of the first process's exporter; those of the others follow.
        count: number of processes.
        opened: ports that the group lets in.
    """
    known = {int(port) for port in opened}
    closed = [str(port) for port in range(first, first + count) if port not in known]
    if not closed:
        return []
    return [
        "pgbouncer_processes: the security group of the database hosts keeps the monitoring hosts from"
        f" {', '.join(closed)}, where exporters of the {count} processes listen. Add them to"
        " infrastructure_database_ports in the inventory and run site.yml, or set fewer processes."
    ]
