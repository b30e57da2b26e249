# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The connection budget: how many server connections PgBouncer may open, and how many PostgreSQL has for it.

Pure. The rules are those of PgBouncer's ``launch_new_connection`` (``src/objects.c``) and of
``pool_pool_size``, ``pool_res_pool_size``, ``database_max_connections`` and ``user_max_connections``
(``src/server.c``): a pool is a pair of database and user; the user's value goes before the database's,
and that before the default; a pool of 0 has no limit; a cap of 0 is none. A cancel request
may exceed its pool, but takes none of PostgreSQL's ``max_connections`` (``ProcessStartupPacket`` ends before
a process of PostgreSQL gets its slot).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

LOCAL_HOSTS = ("", "localhost", "127.0.0.1", "::1")
"""Addresses of this host; those that begin with ``/`` or ``@``, which are Unix sockets, are too."""

_LINES_SHOWN = 8


class Server(NamedTuple):
    """A PostgreSQL: what may be opened to it, None for no limit, and the sum in words."""

    name: str
    own: bool
    needed: int | None
    arithmetic: str


class Budget(NamedTuple):
    """What is needed and granted, None for no limit, and the sums in words.

    ``max_db_connections`` is the cap of each database that has none of its own. ``descriptors`` is the number
    of server connections that file descriptors have to be there for.
    """

    needed: int | None
    granted: int
    fits: bool
    arithmetic: str
    others: list[str]
    max_db_connections: int
    descriptors: int
    own: str


class _Users(NamedTuple):
    """Users with the same options. ``pool_size`` and ``reserve`` are None where the database's count."""

    names: list[str]
    pool_size: int | None
    reserve: int | None
    cap: int


class _Pools(NamedTuple):
    """Pools of one database that are alike. ``size`` is None for no limit."""

    users: _Users
    number: int
    size: int | None
    reserve: int

    @property
    def each(self) -> int | None:
        """Return the most connections of one of them, as far as neither user nor database is capped."""
        return None if self.size is None else self.size + self.reserve


def is_local(host: Any) -> bool:
    """Say whether an address is this host's own, as ``host`` of a database has it."""
    return str(host or "") in LOCAL_HOSTS or str(host)[0] in "/@"


def reckon(
    databases: Sequence[Mapping[str, Any]],
    users: Iterable[Mapping[str, Any]],
    limits: Mapping[str, Any],
    server: Mapping[str, Any],
    lookup: Mapping[str, Any] | None = None,
) -> Budget:
    """Return the connection budget.

    Args:
        databases: with ``name``, ``host``, ``port`` and PgBouncer's options.
        users: with ``name``, PgBouncer's options and ``databases``, the names of those they connect to;
            without
            it they connect to all, and with an empty list to PgBouncer's console only.
        limits: ``pool_size``, ``reserve_pool_size``, ``max_db_connections`` and ``max_user_connections``, for
            whatever has none of its own.
        server: ``host`` and ``port`` of the PostgreSQL whose limits are known, its ``max_connections``, those
            that it has ``reserved``, and what ``others`` take.
        lookup: with auth_query, which lets in unknown users: ``user``, the one that looks them up,
            ``database``, the one that this is done in, empty for each client's own, and ``connections``, the
            cap of that user. Where ``max_db_connections`` is 0, each database gets an equal share of what is
            left.
    """
    known = [*users]
    if lookup:
        only = [lookup["database"]] if lookup["database"] else None
        known.append(
            {"name": lookup["user"], "max_user_connections": lookup["connections"], "databases": only}
        )
    granted = int(server["max_connections"]) - int(server["reserved"]) - int(server["others"])
    words = f"PostgreSQL grants {server['max_connections']} - {server['reserved']} reserved"
    words += f" - {server['others']} for others = {granted}"
    limit = {name: int(value or 0) for name, value in limits.items()}
    if lookup and not limit["max_db_connections"]:
        limit["max_db_connections"] = _share(databases, server, granted)
    groups = _grouped(known)
    servers = []
    for place, there in _by_server(databases, server).items():
        needed, arithmetic = _sum(there, groups, limit, lookup)
        servers.append(Server(place or "PostgreSQL", not place, needed, arithmetic))
    own = next((one for one in servers if one.own), Server("PostgreSQL", True, 0, "no database is on it"))
    return Budget(
        own.needed,
        granted,
        own.needed is not None and own.needed <= granted,
        f"{own.arithmetic}; {words}",
        [
            f"{one.name}: {one.arithmetic}; whether it grants them is not known here"
            for one in servers
            if not one.own
        ],
        limit["max_db_connections"],
        sum(int(server["max_connections"]) if one.needed is None else one.needed for one in servers),
        own.arithmetic,
    )


def _share(databases: Sequence[Mapping[str, Any]], server: Mapping[str, Any], granted: int) -> int:
    """Return the cap that each database without one gets, so that all of them fit."""
    caps = [int(one.get("max_db_connections") or 0) for one in _by_server(databases, server).get("", [])]
    free = caps.count(0)
    return max((granted - sum(caps)) // free, 0) if free else 0


def _by_server(
    databases: Iterable[Mapping[str, Any]], server: Mapping[str, Any]
) -> dict[str, list[Mapping[str, Any]]]:
    """Return databases by the server that they are on, empty for the known one."""

    def place(host: Any, port: Any) -> str:
        return f"{'this host' if is_local(host) else host}:{port or 5432}"

    known = place(server["host"], server["port"])
    found: dict[str, list[Mapping[str, Any]]] = {}
    for database in databases:
        hosts = database.get("host") or ""
        for host in hosts if isinstance(hosts, list | tuple) else str(hosts).split(","):
            name = place(str(host).strip(), database.get("port"))
            found.setdefault("" if name == known else name, []).append(database)
    return found


def _grouped(users: Iterable[Mapping[str, Any]]) -> list[tuple[_Users, tuple[str, ...] | None]]:
    """Return users with the same options, with the databases that they connect to, None for all."""
    found: dict[tuple[Any, ...], _Users] = {}
    for user in users:
        given = user.get("databases")
        databases = None if given is None else tuple(sorted(map(str, given)))
        own = [_number(user.get(name)) for name in ("pool_size", "reserve_pool_size")]
        cap = int(user.get("max_user_connections") or 0)
        found.setdefault((databases, *own, cap), _Users([], own[0], own[1], cap)).names.append(
            str(user["name"])
        )
    return [(group, key[0]) for key, group in found.items()]


def _number(value: Any) -> int | None:
    return None if value is None else int(value)


def _sum(
    databases: Sequence[Mapping[str, Any]],
    groups: Sequence[tuple[_Users, tuple[str, ...] | None]],
    limits: Mapping[str, int],
    lookup: Mapping[str, Any] | None,
) -> tuple[int | None, str]:
    """Return what one server's databases need, None for no limit, and the sum in words.

    It is calculated twice, by database and by user, since caps of both kinds hold at once. The lower one
    counts.
    """
    by_database: list[tuple[int | None, str]] = []
    by_user: dict[int, list[_Pools]] = {}
    members = {id(group): group for group, _databases in groups}
    named = {name: group for group, _databases in groups for name in group.names}
    unknown = False
    for database in databases:
        here = _users_of(database, groups, named)
        pools = [_pools(database, group, count, limits) for group, count in here]
        open_to_all = bool(lookup) and not database.get("user")
        unknown = unknown or open_to_all
        if database["name"] == "*":
            # Each name that a client thinks of is a database with pools of its own.
            pools = [pool._replace(size=None) for pool in pools]
        by_database.append(_database_sum(database, pools, limits, open_to_all))
        for pool in pools:
            members.setdefault(id(pool.users), pool.users)
            by_user.setdefault(id(pool.users), []).append(pool)
    one = _total(by_database)
    lines = [_user_sum(members[key], pools, limits) for key, pools in by_user.items()]
    if unknown:
        lines.append((None, "users that auth_query finds have no limit together"))
    other = _total(lines)
    if other is not None and (one is None or other < one):
        return other, _words(lines, other)
    return one, _words(by_database, one)


def _users_of(
    database: Mapping[str, Any],
    groups: Sequence[tuple[_Users, tuple[str, ...] | None]],
    named: Mapping[str, _Users],
) -> list[tuple[_Users, int]]:
    """Return the users with pools of a database, and how many: its users, or the one that it logs in as."""
    forced = str(database.get("user") or "")
    if forced:
        return [(named.get(forced, _Users([forced], None, None, 0)), 1)]
    name = database["name"]
    return [(group, len(group.names)) for group, only in groups if only is None or name in only]


def _pools(database: Mapping[str, Any], users: _Users, count: int, limits: Mapping[str, int]) -> _Pools:
    """Return the pools that users have of a database."""
    sizes = (users.pool_size, _number(database.get("pool_size")), limits["pool_size"])
    reserve = database.get("reserve_pool_size", database.get("reserve_pool"))
    reserves = (users.reserve, _number(reserve), limits["reserve_pool_size"])
    size = next(value for value in sizes if value is not None)
    return _Pools(
        users,
        count,
        size or None,
        next(value for value in reserves if value is not None),
    )


def _database_sum(
    database: Mapping[str, Any],
    pools: Sequence[_Pools],
    limits: Mapping[str, int],
    open_to_all: bool,
) -> tuple[int | None, str]:
    """Return what a database needs, and the sum in words."""
    parts: list[tuple[int | None, str]] = []
    for pool in pools:
        cap = pool.users.cap or limits["max_user_connections"] or None
        each = _least(pool.each, cap)
        parts.append((None if each is None else pool.number * each, _pool_words(pool, cap)))
    if open_to_all:
        parts.append((None, "all that auth_query finds"))
    total = _total(parts)
    name = "any other database" if database["name"] == "*" else str(database["name"])
    words = f"{name}: {' + '.join(text for _value, text in parts) or 'no user'}"
    cap = int(database.get("max_db_connections") or 0) or limits["max_db_connections"] or None
    if database["name"] == "*" or cap is None or (total is not None and total <= cap):
        return total, f"{words} = {_shown(total)}"
    return cap, f"{words}, capped by max_db_connections at {cap}"


def _user_sum(users: _Users, pools: Sequence[_Pools], limits: Mapping[str, int]) -> tuple[int | None, str]:
    """Return what users with the same options need, and the sum in words."""
    cap = users.cap or limits["max_user_connections"] or None
    each = _total([(pool.each, "") for pool in pools])
    count = max(pool.number for pool in pools)
    least = _least(each, cap)
    total = None if least is None else count * least
    words = f"{_names(users.names, count)} in {len(pools)} database{'s' * (len(pools) > 1)}: "
    if least != each:
        words += f"{count} x {cap}, capped by max_user_connections," if count > 1 else "max_user_connections"
        return total, f"{words} = {_shown(total)}"
    return total, f"{words}{count} x {_shown(each)} = {_shown(total)}"


def _pool_words(pool: _Pools, cap: int | None) -> str:
    if pool.size is None:
        size = "pools without a limit"
    else:
        size = f"({pool.size} + {pool.reserve} in reserve)" if pool.reserve else f"{pool.size}"
    if cap is not None and _least(pool.each, cap) == cap != pool.each:
        size = f"{cap} (max_user_connections)"
    return f"{_names(pool.users.names, pool.number)} x {size}"


def _names(names: Sequence[str], count: int) -> str:
    return names[0] if count == 1 else f"{count} users"


def _words(parts: Sequence[tuple[int | None, str]], total: int | None) -> str:
    """Return parts as a sum in words: those that need most, and what the others need together."""
    ordered = sorted(parts, key=lambda part: (part[0] is not None, -(part[0] or 0)))
    shown, rest = ordered[:_LINES_SHOWN], ordered[_LINES_SHOWN:]
    texts = [text for _value, text in shown]
    if rest:
        texts.append(f"{len(rest)} more = {_shown(_total(rest))}")
    if len(parts) > 1:
        texts.append(f"together {_shown(total)}")
    return "; ".join(texts)


def _shown(value: int | None) -> str:
    return "no limit" if value is None else str(value)


def _total(parts: Iterable[tuple[int | None, str]]) -> int | None:
    total = 0
    for value, _text in parts:
        if value is None:
            return None
        total += value
    return total


def _least(one: int | None, other: int | None) -> int | None:
    return min((value for value in (one, other) if value is not None), default=None)
