# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What becomes of the role's inputs: databases, users, roles and rules of pg_hba.conf. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# The map by which the monitoring's account of the operating system becomes the monitoring user.
MONITORING_MAP = "pooled_monitoring"

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
            problems.append(f"the database {entry!r} is neither a name nor a dictionary with a name")
            continue
        unknown = sorted(str(key) for key in entry if key not in _DATABASE_KEYS)
        if unknown:
            problems.append(
                f"the database {entry['name']!r} has {', '.join(unknown)}, which is none of "
                f"{', '.join(_DATABASE_KEYS)}"
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
    """Return the users who are to be there."""
    return [dict(user) for user in users if user.get("state", "present") == "present"]


def absent_users(users: Iterable[Mapping[str, Any]], stored: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of users who are still there, and are to be removed."""
    there = {row["rolname"] for row in stored}
    return [str(user["name"]) for user in users if user.get("state") == "absent" and user["name"] in there]


def hba_rules(
    *,
    users: Iterable[Mapping[str, Any]],
    rules: Iterable[Mapping[str, Any]],
    addresses: Sequence[str],
    method: str,
    monitoring_user: str,
    tls_required: bool = False,
) -> list[dict[str, Any]]:
    """Return all rules, in the order in which they are tried.

    First the superuser and the monitoring user, by peer, so that no other rule locks out who mends it; then
    the given rules, so that they can narrow what follows; then each user's own databases.

    Args:
        users: with ``name`` and ``databases``; those whose ``state`` is absent are not let in.
        rules: given ones, which may lack ``address`` and ``options``.
        addresses: that the users may come in from, besides the Unix socket.
        method: that the users are asked by.
        monitoring_user: empty for none.
        tls_required: refuse whoever comes over TCP without TLS, whatever other rules say.
    """
    peers: list[dict[str, Any]] = [
        {"type": "local", "databases": ["all"], "users": ["postgres"], "method": "peer", "options": {}}
    ]
    if monitoring_user:
        options = {"map": MONITORING_MAP}
        peers.append({**peers[0], "users": [monitoring_user], "options": options})
    if tls_required:
        # GSSAPI's encryption is no TLS, and is refused as well.
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


def roles_to_make(
    wanted: Iterable[Mapping[str, Any]], stored: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the roles that are not there as they should be.

    Args:
        wanted: with ``name``, ``login``, and as far as they have any ``verifier`` and ``connection_limit``.
        stored: rows of pg_authid: ``rolname``, ``rolpassword``, ``rolcanlogin``, ``rolconnlimit``.
    """
    there = {row["rolname"]: row for row in stored}

    def as_wanted(role: Mapping[str, Any]) -> bool:
        row = there.get(role["name"])
        return (
            row is not None
            and row["rolcanlogin"] == role["login"]
            and role.get("verifier") in (None, row["rolpassword"])
            and role.get("connection_limit") in (None, row["rolconnlimit"])
        )

    return [dict(role) for role in wanted if not as_wanted(role)]


def memberships_to_make(
    users: Iterable[Mapping[str, Any]], monitoring_user: str, stored: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the memberships that are lacking: ``role``, and ``members`` who are not yet.

    Args:
        users: with ``name``, and ``roles`` that they are to be members of.
        monitoring_user: empty for none.
        stored: rows with ``rolname`` and ``roles``, the names of those that it is a member of.
    """
    wanted = [(str(user["name"]), str(role)) for user in users for role in user.get("roles") or []]
    if monitoring_user:
        wanted.append((monitoring_user, "pg_monitor"))
    there = {(row["rolname"], role) for row in stored for role in row["roles"] or []}
    lacking = [pair for pair in wanted if pair not in there]
    return [
        {"role": role, "members": [member for member, of in lacking if of == role]}
        for role in dict.fromkeys(role for _member, role in lacking)
    ]


def user_grants(users: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return what each user is granted: each of their databases, and its schema public. Without passwords."""
    return [
        {"user": user["name"], "database": database, "type": kind, "objs": objs}
        for user in users
        for database in user["databases"]
        for kind, objs in (("database", database), ("schema", "public"))
    ]


def owned_words(owned: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what users own, a sentence each, at most ten objects by name.

    Args:
        owned: rows with ``name`` (of the user), ``database`` (empty for what is in none) and ``object``.
    """
    by_user: dict[str, list[str]] = {}
    for row in owned:
        place = f" in {row['database']}" if row["database"] else ""
        by_user.setdefault(row["name"], []).append(f"{row['object']}{place}")
    words = []
    for name, objects in sorted(by_user.items()):
        more = f" and {len(objects) - 10} more" if len(objects) > 10 else ""
        words.append(f"{name} owns {', '.join(sorted(objects)[:10])}{more}")
    return words
