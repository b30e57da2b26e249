# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Several PgBouncer processes on a host: how many, and what each is given so that the totals hold. Pure.

A process uses one core. Several listen on the same port (``so_reuseport``), know of each other as peers, so
that a cancel request reaches its process (https://www.pgbouncer.org/config.html#section-peers), and
count their connections each for itself: a limit of 100 in two of them would be 200.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import catalogue, takeover
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.catalogue import Version

PEERS: Version = (1, 19)
"""The first version that knows peers."""

RUNTIME_DIRECTORY = "/run/pgbouncer"
"""Each process has a directory in it, named after its number, for its socket."""

OWN_SETTINGS = ("peer_id", "pidfile", "so_reuseport", "unix_socket_dir", "user")
"""Settings that follow from the process and its unit."""

# Totals that are divided. Where a process's part would be 0, these would be no limit at all, or a pool that
# never opens a connection.
_AT_LEAST_ONE = {
    "default_pool_size",
    "max_client_conn",
    "max_db_client_connections",
    "max_db_connections",
    "max_user_client_connections",
    "max_user_connections",
    "pool_size",
}
# The least that each process gets where the inputs give no number of processes. The kernel spreads clients
# by chance:
# those on a process whose few server connections are taken wait while another's idle, and one too many is
# refused while others have room.
_SENSIBLE = {"default_pool_size": 5, "max_client_conn": 25, "pool_size": 5}
# Of these a process may have 0.
_MAYBE_NONE = {"min_pool_size", "reserve_pool", "reserve_pool_size"}

# What PgBouncer takes for limits that are not given.
_DEFAULTS = {"default_pool_size": 20, "max_client_conn": 100}


def socket_directory(number: int) -> str:
    """Return the directory of a process's Unix socket."""
    return f"{RUNTIME_DIRECTORY}/{number}"


def share(total: int, count: int, number: int) -> int:
    """Return what process ``number``, from 1, gets of a total: parts that differ by one at most."""
    return total // count + (number <= total % count)


def default_count(
    settings: Mapping[str, Any],
    databases: Iterable[Mapping[str, Any]],
    users: Iterable[Mapping[str, Any]],
    cores: int,
    version: Version | None = None,
) -> int:
    """Return the default number of processes: one for two cores, which leaves half of them to PostgreSQL.

    At least one, and no more than leave each a sensible part of every limit. One where PgBouncer knows no
    peers.
    """
    if version is not None and version < PEERS:
        return 1
    limits = [
        total // _SENSIBLE.get(name, 1)
        for _where, name, total in _totals(settings, databases, users)
        if total
    ]
    return max(1, min([cores // 2, *limits]))


def problems(
    settings: Mapping[str, Any],
    databases: Iterable[Mapping[str, Any]],
    users: Iterable[Mapping[str, Any]],
    count: int,
    version: Version | None = None,
) -> list[str]:
    """Return what keeps that many processes from sharing the limits, a clause each."""
    found = [
        f"setting {name}: each process has its own, which the role gives it; leave it out"
        for name in OWN_SETTINGS
        if name in settings
    ]
    if count > 1 and version is not None and version < PEERS:
        found.append(
            f"{count} processes need PgBouncer {'.'.join(map(str, PEERS))}, whose peers pass on requests to"
            f" cancel a query, and this is {'.'.join(map(str, version))}; set pgbouncer_processes to 1"
        )
    found += [
        f"{where}{name}: {total} can't be divided among {count} processes, since each needs at least one;"
        f" raise it to {count}, or lower pgbouncer_processes to {total}"
        for where, name, total in _totals(settings, databases, users)
        if 0 < total < count
    ]
    return found


def processes(
    settings: Mapping[str, Any],
    databases: Sequence[Mapping[str, Any]],
    users: Sequence[Mapping[str, Any]],
    count: int,
    version: Version | None = None,
) -> list[dict[str, Any]]:
    """Return what each process is configured with: ``id``, ``settings``, ``databases``, ``users``, ``peers``.

    Numbers begin with 1. The limits of all processes add up to those that were given.

    Args:
        settings: of all processes together, without ``OWN_SETTINGS``.
        databases: with their options.
        users: with their options.
        count: number of processes.
        version: of the installed PgBouncer; None for one with all features.

    Raises:
        ValueError: they cannot be divided; see ``problems``.
    """
    found = problems(settings, databases, users, count, version)
    if found:
        raise ValueError(catalogue.summary(found))
    port = settings.get("listen_port", 6432)
    numbers = range(1, count + 1)
    knows_peers = version is None or version >= PEERS
    return [
        {
            "id": number,
            "settings": {
                **_divided({**_DEFAULTS, **settings}, count, number),
                "unix_socket_dir": socket_directory(number),
                # With a single process, too: another can join it without a restart.
                "so_reuseport": True,
                **({"peer_id": number} if knows_peers else {}),
            },
            "databases": [_divided(database, count, number) for database in databases],
            "users": [_divided(user, count, number) for user in users],
            "peers": [
                {"id": other, "host": socket_directory(other), "port": port}
                for other in numbers
                if other != number
            ],
        }
        for number in numbers
    ]


class Turn(NamedTuple):
    """What a process has to do: ``reload``, ``start`` or ``restart``, and what for.

    ``drains`` says whether its clients can leave before, and ``settings`` what is in force afterwards.
    """

    id: int
    action: str
    reasons: list[str]
    drains: bool
    settings: dict[str, str]


def turns(
    results: Sequence[Mapping[str, Any]],
    *,
    reload_for: Sequence[str],
    restart_for: Sequence[str],
    reloads: bool,
    drains: bool,
) -> list[Turn]:
    """Return what each process has to do, in the order to do it in; none of those that have nothing to do.

    First what is reloaded, which may give up some of its limits to what is started next. What is restarted
    comes last, when most others serve.

    Args:
        results: of the module pgbouncer_config for each process, by number from 1.
        reload_for: changed files that all of them read again with a reload.
        restart_for: likewise, what they read at their start only.
        reloads: whether they take commands; with disable_pqexec they don't.
        drains: whether their clients can leave first.
    """
    found = []
    for number, result in enumerate(results, start=1):
        differences = [difference["name"] for difference in result["differences"]]
        itself = ["its configuration file"] if result["changed"] and not differences else []
        reasons = [*differences, *result["also"], *itself, *reload_for, *restart_for]
        if not result["answered"]:
            action, reasons = "start", ["it does not answer on its socket"]
        elif restart_for or result["action"] == takeover.RESTART:
            action = takeover.RESTART
        elif result["action"] == takeover.RELOAD or result["changed"] or reload_for:
            action = takeover.RELOAD if reloads else takeover.RESTART
        else:
            continue
        goes = drains and action == takeover.RESTART and len(results) > 1
        found.append(Turn(number, action, reasons or ["what differs"], goes, dict(result["settings"])))
    order = (takeover.RELOAD, "start", takeover.RESTART)
    return sorted(found, key=lambda turn: (order.index(turn.action), turn.id))


def unread(found: Iterable[Mapping[str, Any]], files: Mapping[str, str], *, at_start: bool) -> list[str]:
    """Return the kinds of files whose present content some process has not read.

    An interrupted run may leave one: the next run finds the file as wanted, but the process has the old one.

    Args:
        found: path and mtime of files, among them sockets of processes, ``.../NUMBER/.s.PGSQL.PORT``, which a
            process makes when it starts, and ``.../NUMBER/loaded``, which is touched after a reload.
        files: the kind of each, by its path.
        at_start: whether processes read them at their start only.
    """
    read: dict[str, float] = {}
    written: dict[str, float] = {}
    for file in found:
        path, when = str(file["path"]), float(file["mtime"])
        process = re.search(r"/(\d+)/(\.s\.PGSQL\.\d+|loaded)$", path)
        if path in files:
            written[path] = when
        elif process and not (at_start and process[2] == "loaded"):
            read[process[1]] = max(when, read.get(process[1], when))
    return [files[path] for path in files if path in written and read and written[path] > min(read.values())]


def _divided(options: Mapping[str, Any], count: int, number: int) -> dict[str, Any]:
    return {
        name: share(int(value), count, number) if name in _AT_LEAST_ONE | _MAYBE_NONE else value
        for name, value in options.items()
    }


def _totals(
    settings: Mapping[str, Any],
    databases: Iterable[Mapping[str, Any]],
    users: Iterable[Mapping[str, Any]],
) -> list[tuple[str, str, int]]:
    """Return where each limit is given that no process may have 0 of, its name, and its value."""
    sections = [
        ("setting ", {**_DEFAULTS, **settings}),
        *((f"database {database.get('name')!r}, option ", database) for database in databases),
        *((f"user {user.get('name')!r}, option ", user) for user in users),
    ]
    return [
        (where, name, int(value))
        for where, options in sections
        for name, value in sorted(options.items())
        if name in _AT_LEAST_ONE
    ]
