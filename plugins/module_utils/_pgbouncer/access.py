# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Authentication of clients: the text of PgBouncer's HBA file, and problems of the inputs. Pure.

The grammar is that of ``parse_line`` of ``src/hba.c``: like PostgreSQL's pg_hba.conf, without host names,
group roles and regular expressions. PgBouncer skips a line that it cannot read, so that the next one
decides.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

KINDS = ("local", "host", "hostssl", "hostnossl")
METHODS = ("scram-sha-256", "md5", "cert", "peer", "reject", "trust", "password")

UNSAFE = ("trust", "any", "plain", "password")
"""Methods that ask for no password, or for one in the clear."""

_WORDS = {"databases": ("all", "sameuser", "replication"), "users": ("all",)}


class Access(NamedTuple):
    """How clients authenticate.

    ``settings`` are PgBouncer's; ``rules`` those of its HBA file; ``users`` the names of the userlist;
    ``lookup`` says whether PgBouncer looks up others in PostgreSQL; ``unsafe`` whether the inputs allow
    methods without a protected password.
    """

    settings: Mapping[str, Any]
    rules: Sequence[Mapping[str, Any]]
    users: Sequence[str]
    lookup: bool
    unsafe: bool


def hba_file(header: str, rules: Iterable[Mapping[str, Any]]) -> str:
    """Return the text of the HBA file: the first rule that fits a connection decides.

    Args:
        header: what stands above all, without ``#``.
        rules: each with ``type``, ``databases``, ``users``, ``address`` (none for ``local``) and ``method``.
    """
    return "\n".join([f"# {header}", *map(hba_line, rules)]) + "\n"


def hba_line(rule: Mapping[str, Any]) -> str:
    """Return a rule as a line of the HBA file."""
    columns = [
        str(rule["type"]),
        *(",".join(_word(column, str(word)) for word in rule[column]) for column in _WORDS),
        *([str(rule["address"])] if rule.get("address") else []),
        str(rule["method"]),
    ]
    return "  ".join(columns)


def _word(column: str, word: str) -> str:
    return word if word in _WORDS[column] else f'"{word}"'


def hba_problems(rules: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what keeps rules from being lines that PgBouncer reads, a clause each."""
    return [
        f"rule {number} of pgbouncer_hba: {problem}"
        for number, rule in enumerate(rules, 1)
        for problem in _rule_problems(rule)
    ]


def _rule_problems(rule: Mapping[str, Any]) -> list[str]:
    kind, method, address = str(rule["type"]), str(rule["method"]), str(rule.get("address") or "")
    problems = []
    if kind not in KINDS:
        problems.append(f"the type {kind!r} is none of {', '.join(KINDS)}")
    if method not in METHODS:
        problems.append(f"the method {method!r} is none of {', '.join(METHODS)}")
    for column in _WORDS:
        words = [str(word) for word in rule[column]]
        if not words:
            problems.append(f"it names no {column}; give names, or all")
        problems += [
            f"the name {word!r} of {column} is none that the file can hold; give names, no patterns"
            for word in words
            if not word or word[0] in "+@/" or re.search(r"[\"\x00-\x1f\x7f]", word)
        ]
    if kind == "local" and address:
        problems.append(f"the Unix socket has no addresses; leave out {address}, or make it a host rule")
    if kind != "local":
        problems += _address_problems(address)
    if method == "peer" and kind != "local":
        problems.append("peer is for the Unix socket only; make it a local rule or give another method")
    if method == "cert" and kind != "hostssl":
        problems.append("cert needs TLS; make it a hostssl rule")
    return problems


def _address_problems(address: str) -> list[str]:
    if address == "all":
        return []
    if not address:
        return ["it has no address; give a network such as 192.0.2.0/24, or all"]
    try:
        if "/" not in address:
            single = ipaddress.ip_network(address)
            return [f"the address {address} has no length; give {single}"]
        ipaddress.ip_network(address)
    except ValueError:
        try:
            meant = ipaddress.ip_network(address, strict=False)
        except ValueError:
            return [f"the address {address!r} is no network; give one such as 192.0.2.0/24, not a name"]
        return [f"the address {address} has bits beyond its length; give {meant}"]
    return []


def where(complaint: str, text: str) -> str:
    """Return the lines of the HBA file that PgBouncer complains of, to put before the complaint."""
    lines = text.splitlines()
    numbers = sorted({int(number) for number in re.findall(r"hba (?:config )?line (\d+)", complaint)})
    found = [f"line {number} ({lines[number - 1]})" for number in numbers if 0 < number <= len(lines)]
    return f"{', '.join(found)}: " if found else ""


def problems(access: Access) -> list[str]:
    """Return what is wrong with how clients authenticate, a clause each."""
    method = str(access.settings.get("auth_type") or "md5")
    if method != "hba":
        found = [f"pgbouncer_hba has rules, and pgbouncer_auth_type is {method}"] * bool(access.rules)
    elif not access.rules:
        found = ["pgbouncer_auth_type is hba, and pgbouncer_hba has no rule, so no client could log in"]
    else:
        found = hba_problems(access.rules)
    return found or [
        *_tls_problems(access, method),
        *_unsafe_problems(access, method),
        *_admin_problems(access, method),
    ]


def _tls_problems(access: Access, method: str) -> list[str]:
    mode = str(access.settings.get("client_tls_sslmode") or "disable")
    if method == "cert" and mode != "verify-full":
        return [f"cert needs client certificates: client_tls_sslmode has to be verify-full, and is {mode}"]
    with_cert = method == "hba" and any(rule["method"] == "cert" for rule in access.rules)
    if with_cert and mode not in ("verify-ca", "verify-full"):
        return [f"cert in pgbouncer_hba needs client_tls_sslmode verify-ca or verify-full, which is {mode}"]
    return []


def _unsafe_problems(access: Access, method: str) -> list[str]:
    if access.unsafe:
        return []
    used = [method] if method in UNSAFE else []
    used += sorted({str(rule["method"]) for rule in access.rules} & set(UNSAFE))
    return [
        f"the method {name} needs no password or sends it in the clear; use another, or set"
        " pgbouncer_unsafe_auth if you accept that"
        for name in used
    ]


def _admin_problems(access: Access, method: str) -> list[str]:
    """Return how an administrator could log in over TCP without a password or a certificate."""
    admins = [
        (name, user) for name in ("admin_users", "stats_users") for user in names(access.settings.get(name))
    ]
    if not access.lookup and method not in ("trust", "any"):
        found = [
            f"{user!r} of {name} is not in pgbouncer_users: add the user there with a password, or remove"
            f" it here"
            for name, user in admins
            if user not in access.users
        ]
    else:
        found = []
    listens = bool(names(access.settings.get("listen_addr")))
    if method in ("trust", "any") and listens and admins:
        found.append(
            f"the method {method} lets anyone log in as {admins[0][1]!r} of {admins[0][0]}; leave"
            " admin_users and stats_users empty, or give another method"
        )
    for number, rule in enumerate(access.rules, 1):
        if rule["method"] != "trust" or rule["type"] == "local":
            continue
        if not {"all", "pgbouncer"} & set(map(str, rule["databases"])):
            continue
        found += [
            f"rule {number} of pgbouncer_hba lets anyone log in as {user!r} of {name}; name other"
            " databases or users in it"
            for name, user in admins
            if {"all", user} & set(map(str, rule["users"]))
        ]
    return found


def names(value: Any) -> list[str]:
    """Return the names of a list, which may be given as text with commas."""
    given = value if isinstance(value, list | tuple) else str(value or "").split(",")
    return [str(word).strip() for word in given if str(word).strip()]
