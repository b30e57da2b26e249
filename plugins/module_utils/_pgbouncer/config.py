# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The text of pgbouncer.ini: write it, hide what is secret in it, and say what its parser complains of.

Pure. The format is that of ``lib/usual/cfparser.c`` (``parse_ini_file``) for lines, and of ``src/loader.c``
(``cstr_get_pair``) for the options of databases, users and peers: a value of a setting runs to the end of its
line and knows no quotes; a value of an option is quoted by ``'``, which is doubled inside.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import catalogue
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.catalogue import Version

MASK = "********"

SECRET_SETTINGS = frozenset({"auth_ldap_options"})
"""Settings whose value may hold a password."""

_PLAIN_VALUE = re.compile(r"[0-9A-Za-z_./:@,+%-]+")
_FIRST = ("host", "port", "dbname")
_SECRET = re.compile(
    r"(?<![\w])(password|ldapbindpasswd)([ \t]*=[ \t]*)('(?:[^']|'')*'?|\"[^\"]*\"?|[^\s]+)", re.IGNORECASE
)

# 2026-11-22 19:00:00.000 UTC [123] ERROR text
_LOGGED = re.compile(
    r"^\S+ \S+ \S+ \[\d+\] (FATAL|ERROR|WARNING|LOG|INFO|DEBUG|NOISE) (?:@\S+ in \S+: )?(.*)$"
)
_INVALID = re.compile(
    r'invalid value "(?P<value>.*)" for parameter (?P<name>.+) in configuration \(.*:(?P<line>\d+)\)'
)
_AT_LINE = re.compile(r"(?P<what>syntax error|invalid section .*) in configuration \(.*:(?P<line>\d+)\).*")
_CONSEQUENCES = re.compile(
    r"cannot load config file|TLS setup failed$|load_init_file|loading section|fill_defaults fail|"
    r"kernel file descriptor limit|server_base failed"
)
# What to do about what the binary says, the first that fits.
_ADVICE = (
    (r"could not open auth_file (?P<path>.*): .*", "write that file first, or let {account} read it"),
    (r"could not open (?:hba|ident) config file .*", "write that file first, or let {account} read it"),
    (
        r"broken auth file|(?:username|password) too long in auth file",
        "correct the userlist, or write it with pgbouncer_config",
    ),
    (
        r"(?:hba|ident) line \d+.*|could not parse (?:hba|ident) config line \d+|address does not match.*",
        "correct that line",
    ),
    (r"unrecognized (?:connection|user) parameter: .*", "leave it out or correct its name"),
    (r"unknown parameter: .*", "leave it out or correct its name"),
    (r".*(?:client|server)_tls_key_file and .*", "give both, or client_tls_sslmode = disable"),
    (
        r".*(?:tls|TLS|certificate|cert|private key|_ca_file).*",
        "check the TLS settings, and that {account} can read their files",
    ),
    (r"unix socket is in use.*", "end the process that holds it"),
    (r".*(?:group|user).*", "give an account that this host has"),
)
# What is meant where PgBouncer does not name the setting.
_ABOUT = (
    (r"auth_file|auth file", "auth_file"),
    (r"^hba line|hba config", "auth_hba_file"),
    (r"^ident line|ident config", "auth_ident_file"),
    (r"could not find group", "unix_socket_group"),
    (r"could not find user|identity of user", "user"),
)


class Explanation(NamedTuple):
    """Why PgBouncer refuses a configuration, and what to do; neither holds a secret."""

    cause: str
    advice: str


def render(
    settings: Mapping[str, Any],
    databases: Iterable[Mapping[str, Any]] = (),
    users: Iterable[Mapping[str, Any]] = (),
    peers: Iterable[Mapping[str, Any]] = (),
    *,
    header: str = "",
    version: Version | None = None,
) -> str:
    """Return the text of a configuration file. The same inputs give the same text, in whatever order.

    The section ``[pgbouncer]`` comes last, so that settings can be appended: the last of a name is in force.

    Args:
        settings: of the section ``[pgbouncer]``, by name.
        databases: each with a ``name`` and options.
        users: each with a ``name`` and options; those without options are left out.
        peers: each with an ``id`` and options.
        header: lines of a comment at the top.
        version: of PgBouncer, for options that have had two names.

    Raises:
        ValueError: a value that ``catalogue`` would refuse.
    """
    lines = [f"; {line}".rstrip() for line in header.splitlines()]
    lines.append("[databases]")
    lines += _section(databases, catalogue.DATABASE_OPTIONS, version)
    with_options = [user for user in users if len(user) > 1]
    if with_options:
        lines += ["", "[users]", *_section(with_options, catalogue.USER_OPTIONS, version)]
    as_entries = [
        {"name": f"{int(peer['id'])}", **{k: v for k, v in peer.items() if k != "id"}} for peer in peers
    ]
    if as_entries:
        lines += ["", "[peers]", *_section(as_entries, catalogue.PEER_OPTIONS, version)]
    lines += ["", "[pgbouncer]"]
    lines += [f"{name} = {setting(name, settings[name])}".rstrip() for name in sorted(settings)]
    return "\n".join(lines) + "\n"


def setting(name: str, given: Any) -> str:
    """Return a setting's value as it is written. Raises ValueError, see ``catalogue.value``."""
    return catalogue.value(catalogue.SETTINGS.get(name, catalogue.Kind("text")), given)


def quote_name(name: str) -> str:
    """Return the name of a database or user as a key of its section; quotes need PgBouncer 1.25."""
    return name if catalogue.PLAIN_NAME.fullmatch(name) else f"'{name}'"


def quote_value(text: str) -> str:
    """Return a value as an option of a database, user or peer."""
    if _PLAIN_VALUE.fullmatch(text):
        return text
    return "'" + text.replace("'", "''") + "'"


def masked(text: str) -> str:
    """Return a configuration's text, or a part of it, with its passwords hidden."""
    return _SECRET.sub(lambda match: f"{match[1]}{match[2]}{MASK}", text)


def outline(before: str | None, after: str) -> tuple[str, str]:
    """Return two texts for a diff, without secrets. ``before`` is None without a file.

    The two differ wherever the texts do.
    """
    old, new = masked(before or ""), masked(after)
    if before is not None and before != after and old == new:
        new += "; with another password\n"
    return old, new


def secrets(settings: Mapping[str, Any], databases: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the values that no message may hold."""
    found = {str(database["password"]) for database in databases if database.get("password")}
    for match in _SECRET.finditer(str(settings.get("auth_ldap_options") or "")):
        found.add(match[3].strip("'\""))
    return found


def complaints(log: str) -> list[str]:
    """Return what a PgBouncer's log holds of the levels FATAL, ERROR and WARNING, each once, in order.

    Lines that are no log lines, such as those of its getopt or of the dynamic linker, count as well.
    """
    found: dict[str, None] = {}
    for line in log.splitlines():
        match = _LOGGED.match(line)
        if match is None and line.strip():
            found[line.strip()] = None
        elif match is not None and match[1] in ("FATAL", "ERROR", "WARNING"):
            found[match[2]] = None
    return list(found)


def explain(log: str, text: str, account: str) -> Explanation | None:
    """Return why PgBouncer refuses a configuration, or None if its log complains of nothing.

    Args:
        log: all that PgBouncer said.
        text: the configuration, whose lines are quoted.
        account: the system account that PgBouncer runs under.
    """
    said = complaints(log)
    telling = [line for line in said if not _CONSEQUENCES.search(line)] or said
    if not telling:
        return None
    causes: list[str] = []
    where = ""
    for line in telling:
        invalid, at_line = _INVALID.search(line), _AT_LINE.search(line)
        if invalid:
            where = _quoted_line(text, int(invalid["line"]), invalid["name"])
        elif at_line:
            where = _quoted_line(text, int(at_line["line"]), None)
            causes.append(at_line["what"])
        else:
            causes.append(re.sub(r": (\(null\)|Success)$", "", masked(line).rstrip(".")))
    where = where or next(filter(None, (_line_about(text, cause) for cause in causes)), "")
    advice = _advice(causes, account, bool(where))
    cause = ", ".join(causes[:3]) or "PgBouncer does not take this value"
    return Explanation(f"{where}: {cause}" if where else cause, advice)


def _advice(causes: Sequence[str], account: str, located: bool) -> str:
    for pattern, advice in _ADVICE:
        if any(re.fullmatch(pattern, cause) for cause in causes):
            return advice.format(account=account)
    return "give it another value" if located else "correct it"


def _quoted_line(text: str, number: int, name: str | None) -> str:
    """Return a line for a message. PgBouncer numbers the one that comes next, having read over empty ones."""
    lines = text.splitlines()
    index = min(number, len(lines)) - 1
    if name is not None:
        while index > 0 and not lines[index].startswith((f"{name} =", f"{quote_name(name)} =")):
            index -= 1
    return f"line {index + 1} ({masked(lines[index])})"


def _line_about(text: str, cause: str) -> str:
    """Return the line that a complaint is about, for a message; empty if unknown."""
    lines = text.splitlines()
    settings = range(lines.index("[pgbouncer]") + 1, len(lines)) if "[pgbouncer]" in lines else range(0)
    about = next((name for pattern, name in _ABOUT if re.search(pattern, cause)), None)
    for index in settings:
        name, value = (*lines[index].split(" = ", 1), "")[:2]
        if name == about or re.search(rf"(?<![\w]){re.escape(name)}(?![\w])", cause):
            return f"line {index + 1} ({masked(lines[index])})"
        if about is None and value.startswith("/") and re.search(rf"{re.escape(value)}(?![\w/.])", cause):
            return f"line {index + 1} ({masked(lines[index])})"
    return ""


def _section(
    entries: Iterable[Mapping[str, Any]], options: Mapping[str, catalogue.Kind], version: Version | None
) -> list[str]:
    lines = []
    for entry in sorted(entries, key=lambda entry: str(entry["name"])):
        given = {catalogue.canonical(name, version): value for name, value in entry.items() if name != "name"}
        names = [name for name in _FIRST if name in given] + sorted(given.keys() - set(_FIRST))
        kinds = {**options, "reserve_pool": options.get("reserve_pool_size", catalogue.Kind("text"))}
        pairs = [
            f"{name}={quote_value(catalogue.value(kinds.get(name, catalogue.Kind('text')), given[name]))}"
            for name in names
        ]
        lines.append(f"{quote_name(str(entry['name']))} = {' '.join(pairs)}".rstrip())
    return lines
