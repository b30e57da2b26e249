# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of the role postgres, from its inputs and a look at the host. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._postgres import grants, inputs, model, volume
from ansible_collections.pooled.postgres.plugins.module_utils._postgres.errors import InvalidInputError
from ansible_collections.pooled.postgres.plugins.module_utils._site.model import user_problems
from ansible_collections.pooled.postgres.plugins.module_utils._tls.model import probe_address

# What each distribution's own archive carries.
VERSIONS = {"Debian-12": 15, "Debian-13": 17, "Ubuntu-22.04": 14, "Ubuntu-24.04": 16}
HEADER = "Managed by the role pooled.postgres.postgres. Manual changes are lost."
SOURCE_FILE = "/etc/apt/sources.list.d/pooled-pgdg.sources"
DEFAULTS_FILE = "/etc/postgresql-common/createcluster.d/pooled.conf"
STORAGE_FILE = "/etc/systemd/system/postgresql@.service.d/50-pooled-storage.conf"
# Where the role certificates puts them.
TLS_DIRECTORY = "/etc/ssl/pooled/postgres"
# Monitoring never takes more of the connections that all share.
MONITORING_CONNECTIONS = 5

# What PostgreSQL does not log by default, and a search for a cause needs; docs/postgresql.md has the reasons.
_BASE_SETTINGS: Mapping[str, Any] = {
    "log_autovacuum_min_duration": "10s",
    "log_checkpoints": True,
    "log_line_prefix": "%m [%p] %q%u@%d/%a %h ",
    "log_lock_waits": True,
    "log_temp_files": "10MB",
    "shared_preload_libraries": "pg_stat_statements",
    "track_io_timing": True,
}
_TLS_SETTINGS: Mapping[str, Any] = {
    "ssl": True,
    "ssl_ca_file": f"{TLS_DIRECTORY}/authority.crt",
    "ssl_cert_file": f"{TLS_DIRECTORY}/server.crt",
    "ssl_key_file": f"{TLS_DIRECTORY}/server.key",
    "ssl_min_protocol_version": "TLSv1.2",
}

Render = Callable[..., str]


def look(given: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the arguments of host_info. The version may be yet unknown, so they name all of them."""
    versions = [given["postgres_version"]] if given["postgres_version"] else VERSIONS.values()
    return {
        "packages": [
            *(f"postgresql-{version}" for version in versions),
            *("python3-psycopg2", "logrotate"),
            *(["python3-cryptography"] if given["postgres_tls"] else []),
        ],
        "paths": [
            "/etc/postgresql/*/main",
            "/etc/postgresql/*/main/postgresql.conf",
            "/etc/systemd/system/postgresql@*-main.service.d/50-pooled-sandbox.conf",
            "/var/lib/postgresql/*/main/pg_tblspc/*",
            TLS_DIRECTORY,
            key_file(given["postgres_pgdg_key"]),
        ],
        "contents": [SOURCE_FILE],
        "units": [],
    }


def key_file(key: str) -> str:
    """Return the path of the archive's key on the host; it follows the URL, so that a new one is fetched."""
    if not re.match(r"[a-z]+://", key):
        return key
    return f"/etc/apt/keyrings/pooled-pgdg-{hashlib.sha256(key.encode()).hexdigest()[:8]}.asc"


def input_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that are inputs of the role."""
    return {
        "listen_addresses": ", ".join(given["postgres_listen_addresses"]),
        "port": given["postgres_port"],
        "max_connections": given["postgres_max_connections"],
        "password_encryption": given["postgres_password_encryption"],
    }


def settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all settings that do not follow from the host."""
    return {
        **_BASE_SETTINGS,
        **(_TLS_SETTINGS if given["postgres_tls"] else {}),
        **given["postgres_settings"],
        **input_settings(given),
    }


def hba(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return all rules of pg_hba.conf.

    PgBouncer on this host connects over loopback or the Unix socket, other clients from the given addresses.
    """
    return inputs.hba_rules(
        users=given["postgres_users"],
        rules=given["postgres_hba"],
        addresses=["127.0.0.1/32", *given["postgres_client_addresses"]],
        method=given["postgres_password_encryption"],
        monitoring_user=given["postgres_monitoring_user"],
        lookup_user=given["postgres_lookup_user"],
        tls_required=given["postgres_tls_required"],
    )


def ident(given: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return all entries of pg_ident.conf."""
    peers = [
        {"map": name, "system": account, "user": user}
        for name, account, user in (
            (inputs.MONITORING_MAP, given["postgres_monitoring_account"], given["postgres_monitoring_user"]),
            (inputs.LOOKUP_MAP, given["postgres_lookup_account"], given["postgres_lookup_user"]),
        )
        if user
    ]
    return [*peers, *given["postgres_ident"]]


def problems(given: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the inputs, as far as no host is needed to tell."""
    databases, users = given["postgres_databases"], given["postgres_users"]
    found = inputs.input_problems(
        databases, users, given["postgres_roles"], given["postgres_monitoring_user"]
    )
    if not found:
        names = [entry["name"] for entry in inputs.database_entries(databases)]
        found = user_problems(inputs.present_users(users), names)
    found = [f"postgres_users and postgres_databases: {problem}" for problem in found]
    if given["postgres_tls_required"] and not given["postgres_tls"]:
        found.append(
            "postgres_tls_required: without postgres_tls PostgreSQL has Debian's self-signed certificate,"
            " which"
            " clients cannot check. Set postgres_tls to true as well"
        )
    twice = sorted({*given["postgres_settings"]} & {*input_settings(given)})
    if twice:
        found.append(
            f"postgres_settings: {', '.join(twice)} {'is' if len(twice) == 1 else 'are'} the role's own."
            f" Use the inputs of the role, which it checks: postgres_{', postgres_'.join(twice)}"
        )
    found += grants.problems(given["postgres_grants"])
    found += _refused(model.setting_line, given["postgres_settings"].items())
    found += _refused(model.hba_line, [(rule,) for rule in given["postgres_hba"]])
    found += _refused(model.ident_line, [(entry,) for entry in given["postgres_ident"]])
    return found


def _refused(function: Callable[..., str], arguments: Iterable[tuple[Any, ...]]) -> list[str]:
    """Return what a function refuses, of each of its arguments."""
    found = []
    for values in arguments:
        try:
            function(*values)
        except InvalidInputError as error:
            found.append(str(error))
    return found


def _platform(seen: Mapping[str, Any]) -> str:
    major = seen["distribution"] == "Debian"
    return f"{seen['distribution']}-{seen['distribution_major_version' if major else 'distribution_version']}"


def version_problems(given: Mapping[str, Any], seen: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the version of PostgreSQL on this host."""
    platform, wanted = _platform(seen), given["postgres_version"]
    if platform not in VERSIONS:
        return [
            f"the host has {platform}, which is none of {', '.join(VERSIONS)}. Use a host with one of these"
        ]
    found = []
    if given["postgres_source"] != "pgdg" and wanted not in (0, VERSIONS[platform]):
        found.append(
            f"postgres_version: {platform} has PostgreSQL {VERSIONS[platform]}, not {wanted}. Set"
            " postgres_source"
            " to pgdg, whose archive has it, or leave postgres_version at 0"
        )
    others = sorted(
        path.split("/")[3]
        for path in seen["paths"]
        if re.fullmatch(r"/etc/postgresql/\d+/main", path) and path.split("/")[3] != str(wanted)
    )
    if wanted and others:
        found.append(
            f"postgres_version: the host has a cluster of PostgreSQL {', '.join(others)}, not {wanted}."
            " Upgrade the"
            " cluster first (pg_upgradecluster), or set postgres_version to its version"
        )
    return found


def objects(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of postgres_objects."""
    users = inputs.present_users(given["postgres_users"])
    roles: list[dict[str, Any]] = [{"name": name, "login": False} for name in given["postgres_roles"]]
    for user in users:
        named = {"member_of": user.get("roles"), "connection_limit": user.get("connection_limit")}
        role = {key: value for key, value in named.items() if value is not None}
        role["scram_iterations"] = user.get("scram_iterations", 4096)
        roles.append({"name": user["name"], "databases": user["databases"], **role})
    if given["postgres_monitoring_user"]:
        watch = {"connection_limit": MONITORING_CONNECTIONS, "member_of": ["pg_monitor"]}
        roles.append({"name": given["postgres_monitoring_user"], **watch})
    return {
        "roles": roles,
        "passwords": json.dumps({user["name"]: user["password"] for user in users}),
        "absent": [user["name"] for user in given["postgres_users"] if user.get("state") == "absent"],
        "databases": inputs.database_entries(given["postgres_databases"]),
        "extensions": given["postgres_extensions"],
        "grants": given["postgres_grants"],
    }


def sandbox_paths(given: Mapping[str, Any], tablespaces: Iterable[str]) -> list[str]:
    """Return the given paths and the tablespaces elsewhere, all of which PostgreSQL may write to."""
    paths = list(given["postgres_writable_paths"])
    inside = (volume.MOUNTPOINT, *paths)
    return [
        *paths,
        *sorted(
            path
            for path in tablespaces
            if not any(path == place or path.startswith(f"{place}/") for place in inside)
        ),
    ]


def plan(
    given: Mapping[str, Any],
    seen: Mapping[str, Any],
    disk: Mapping[str, Any] | None,
    render: Render,
    check_mode: bool,
) -> dict[str, Any]:
    """Return the plan.

    Args:
        given: typed inputs of the role.
        seen: what host_info returned for ``look``.
        disk: what postgres_volume_info returned; None without postgres_data_device.
        render: renders a template of the role.
        check_mode: whether nothing will change.
    """
    found = [*problems(given), *version_problems(given, seen)]
    if found and _platform(seen) not in VERSIONS:
        return {"problems": found}
    version = given["postgres_version"] or VERSIONS[_platform(seen)]
    config = f"/etc/postgresql/{version}/main"
    data = f"{volume.MOUNTPOINT}/{version}/main"
    cluster = f"{config}/postgresql.conf" in seen["paths"]
    storage: dict[str, Any] = {"needed": False, "take_over": False, "owner": None}
    if disk is not None:
        found += volume.problems(
            given["postgres_data_device"], given["postgres_data_filesystem"], version, disk
        )
        storage = volume.plan(
            given["postgres_data_device"], given["postgres_data_filesystem"], version, disk, cluster
        )
    if found:
        return {"problems": found}
    source = _source(given, seen, render)
    wanted = [name for name in look(given)["packages"] if not name.startswith("postgresql-")]
    missing = [
        name
        for name in (f"postgresql-{version}", *wanted)
        if not seen["packages"].get(name, {}).get("installed")
    ]
    # Check mode adds no source, so apt can't be asked what it would have.
    unasked = [name for name in missing if check_mode and source["needed"] and name.startswith("postgresql-")]
    unit = f"postgresql@{version}-main"
    tablespaces = [
        state["link"]
        for path, state in seen["paths"].items()
        if path.startswith(f"{data}/pg_tblspc/") and state["link"]
    ]
    sandbox = f"/etc/systemd/system/{unit}.service.d/50-pooled-sandbox.conf"
    files = _files(given, sandbox, sandbox in seen["paths"], tablespaces, render)
    packages = [name for name in missing if name not in unasked]
    wanted_settings = settings(given)
    return {
        "problems": [],
        "packages": packages,
        "unasked_packages": unasked,
        "install": bool(missing or source["needed"] or storage["needed"] or storage["take_over"]),
        "source": source,
        "storage": storage,
        "version": version,
        "cluster": cluster,
        "unit": unit,
        "config_directory": config,
        "data_directory": data,
        "bin_directory": f"/usr/lib/postgresql/{version}/bin",
        "sandbox_file": sandbox,
        "files": files,
        "prepare_files": [*([] if cluster else _cluster_defaults(given)), *files],
        "settings": wanted_settings,
        "hba": model.hba_file(HEADER, hba(given)),
        "ident": model.ident_file(HEADER, ident(given)),
        "objects": objects(given),
        "tls": given["postgres_tls"],
        "certificate": wanted_settings.get("ssl_cert_file", ""),
        "probe_address": probe_address(given["postgres_listen_addresses"]),
        "surplus": [{"path": TLS_DIRECTORY, "state": "absent"}]
        if TLS_DIRECTORY in seen["paths"] and not given["postgres_tls"]
        else [],
    }


def _source(given: Mapping[str, Any], seen: Mapping[str, Any], render: Render) -> dict[str, Any]:
    """Return PostgreSQL's own archive as a source of packages, and whether that needs a change."""
    if given["postgres_source"] != "pgdg":
        return {"needed": False}
    key = key_file(given["postgres_pgdg_key"])
    text = render(
        "pgdg.sources.j2", url=given["postgres_pgdg_url"], release=seen["distribution_release"], key=key
    )
    return {
        "needed": seen["contents"].get(SOURCE_FILE) != text or key not in seen["paths"],
        "distribution_version": VERSIONS[_platform(seen)],
        "key": key,
        "download": key != given["postgres_pgdg_key"],
        "file": {"path": SOURCE_FILE, "content": text},
    }


def _cluster_defaults(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the packages read before they create a cluster.

    Checksums from the start cost a percent or two; to enable them later stops the server for as long as it
    takes to read all data.
    """
    options = "--data-checksums" if given["postgres_data_checksums"] else ""
    return [
        {"path": DEFAULTS_FILE.rpartition("/")[0], "state": "directory"},
        {"path": DEFAULTS_FILE, "content": f"initdb_options = '{options}'\n"},
    ]


def _files(
    given: Mapping[str, Any], sandbox: str, known: bool, tablespaces: Sequence[str], render: Render
) -> list[dict[str, Any]]:
    """Return the files of the unit. A server that never had a sandbox needs no restart to have none."""
    files = []
    if given["postgres_sandboxing"] or known:
        text = render(
            "sandbox.conf.j2",
            sandboxing=given["postgres_sandboxing"],
            mountpoint=volume.MOUNTPOINT,
            paths=sandbox_paths(given, tablespaces),
        )
        files.append({"path": sandbox, "content": text})
    if given["postgres_data_device"]:
        files.append(
            {"path": STORAGE_FILE, "content": render("storage.conf.j2", mountpoint=volume.MOUNTPOINT)}
        )
    return [
        entry
        for file in files
        for entry in ({"path": str(file["path"]).rpartition("/")[0], "state": "directory"}, file)
    ]
