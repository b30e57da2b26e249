# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Databases, users and rules of pg_hba.conf, from the role's inputs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Maps the monitoring's account of the operating system to the monitoring user.
MONITORING_MAP = "pooled_monitoring"

# Maps PgBouncer's account to the user that looks up others.
LOOKUP_MAP = "pooled_lookup"

_DATABASE_KEYS = ("name", "owner", "encoding", "lc_collate", "lc_ctype", "template", "connection_limit")


def input_problems(
    databases: Iterable[Any], users: Iterable[Mapping[str, Any]], roles: Iterable[str], monitoring_user: str
) -> list[str]:
    """Return what is wrong with databases, and with users whose name is taken."""
    problems = []
    for entry in databases:
        if isinstance(entry, str):
            continue
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
            problems.append(
                f"the database {entry!r} is neither a name nor a dictionary with a name. Correct it"
            )
            continue
        unknown = sorted(str(key) for key in entry if key not in _DATABASE_KEYS)
        if unknown:
            problems.append(
                f"the database {entry['name']!r} has {', '.join(unknown)}, which is none of "
                f"{', '.join(_DATABASE_KEYS)}. Correct it"
            )
    taken = {"postgres": "the superuser", **dict.fromkeys(roles, "one of postgres_roles")}
    if monitoring_user:
        taken[monitoring_user] = "postgres_monitoring_user"
    problems += [
        f"user {user['name']!r}: it is {taken[user['name']]}; choose another name"
        for user in users
        if user["name"] in taken
    ]
    return problems


def database_entries(databases: Iterable[str | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return databases as dictionaries with ``name``, where a plain name is one too."""
    return [{"name": entry} if isinstance(entry, str) else dict(entry) for entry in databases]


def present_users(users: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the users without those whose state is absent."""
    return [dict(user) for user in users if user.get("state", "present") == "present"]


def hba_rules(
    *,
    users: Iterable[Mapping[str, Any]],
    rules: Iterable[Mapping[str, Any]],
    addresses: Sequence[str],
    method: str,
    monitoring_user: str,
    tls_required: bool = False,
    lookup_user: str = "",
) -> list[dict[str, Any]]:
    """Return all rules, in the order in which PostgreSQL tries them.

    First come the superuser, the monitoring user and the user that looks up others for PgBouncer, by peer, so
    that no other rule locks them out; then the given rules, so that they can narrow what follows; then each
    user's own databases.

    Args:
        users: with ``name`` and ``databases``; one whose ``state`` is absent gets no rule.
        rules: given ones, which may lack ``address`` and ``options``.
        addresses: that the users may connect from, besides the Unix socket.
        method: that authenticates the users.
        monitoring_user: empty for none.
        lookup_user: likewise.
        tls_required: refuse TCP connections without TLS, whatever other rules say.
    """
    peers: list[dict[str, Any]] = [
        {"type": "local", "databases": ["all"], "users": ["postgres"], "method": "peer", "options": {}}
    ]
    for user, name in ((monitoring_user, MONITORING_MAP), (lookup_user, LOOKUP_MAP)):
        if user:
            peers.append({**peers[0], "users": [user], "options": {"map": name}})
    if tls_required:
        # GSSAPI's encryption is no TLS, so this refuses it as well.
        plain = {"type": "hostnossl", "databases": ["all"], "users": ["all"], "address": "all"}
        peers.append({**plain, "method": "reject", "options": {}})
    own = [
        {
            "type": "host" if address else "local",
            "databases": list(user["databases"]),
            "users": [user["name"]],
            "address": address,
            "method": method,
        }
        for user in users
        if user.get("state", "present") == "present" and user.get("databases")
        for address in ("", *addresses)
    ]
    return [*peers, *(dict(rule) for rule in rules), *own]
