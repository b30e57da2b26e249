# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The texts of PostgreSQL's configuration files, and what its complaints about them mean. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._postgres.errors import InvalidInputError

# A setting of an extension has a dot in its name: src/backend/utils/misc/guc.c, valid_custom_variable_name.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)*")

# The map by which the monitoring's account of the operating system becomes the monitoring user.
MONITORING_MAP = "pooled_monitoring"

# The map by which PgBouncer's account becomes the user that looks up others.
LOOKUP_MAP = "pooled_lookup"

# Words that mean something else than themselves, by column of pg_hba.conf:
# https://www.postgresql.org/docs/17/auth-pg-hba-conf.html
_WORDS = {"databases": ("all", "sameuser", "samerole", "replication"), "users": ("all",)}
# First characters that mean something, where quotes do not begin before them: members of a role, a regular
# expression, a file.
_PREFIXES = "+/@"
_SECRETS = ("ldapbindpasswd", "radiussecrets")
_WITHOUT_ADDRESS = ("local",)


_LEVEL = re.compile(r".*?\b(LOG|ERROR|FATAL|PANIC|WARNING):  (.*)$")
_NO_CAUSE = re.compile(
    r"configuration file \".*\" contains errors|database system (is|was) |starting PostgreSQL|checkpoint "
)


def _refuse_control(what: str, text: str) -> str:
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise InvalidInputError(f"Failed to accept {what}: {text!r} has a control character; leave it out")
    return text


def setting_text(name: str, value: Any) -> str:
    """Return a value as a configuration file has it: ``on``, ``off``, a number, or quoted.

    A list becomes what PostgreSQL's lists are, with commas. In quotes, quotes are doubled and a backslash
    begins an escape (src/backend/utils/misc/guc-file.l), so it is doubled as well.
    """
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping):
        raise InvalidInputError(
            f"Failed to accept postgres_settings: {name} is a dictionary; give a text, a number, a "
            "boolean or a list"
        )
    text = ", ".join(str(part) for part in value) if isinstance(value, list | tuple) else str(value)
    _refuse_control(f"postgres_settings: {name}", text)
    quoted = text.replace("\\", "\\\\").replace("'", "''")
    return f"'{quoted}'"


def _refuse_secret(what: str, name: str, value: Any) -> None:
    """Raise InvalidInputError on a password: files and diffs would show it, and so would the host's
    journal."""
    if name in _SECRETS or re.search(r"\bpassword\s*=", str(value)):
        raise InvalidInputError(
            f"Failed to accept {what}: {name} holds a password, which would end in diffs and logs; "
            "use what needs "
            "none there, such as a passfile, peer or a certificate"
        )


def settings_file(header: str, given: Mapping[str, Any], derived: Mapping[str, Any]) -> str:
    """Return the text of the settings file.

    Args:
        header: what stands above all, without ``#``.
        given: settings by name. ``None`` leaves a setting, a derived one too, to PostgreSQL's default.
        derived: settings that follow from the host, as far as ``given`` does not have them.

    Raises InvalidInputError on a name that can't be one, and on a value that no file can hold.
    """
    for name in given:
        if not _NAME.fullmatch(str(name)):
            raise InvalidInputError(
                f"Failed to accept postgres_settings: {name!r} is no name of a setting; names are "
                "made of letters, "
                "digits and _, and begin with a letter"
            )
        _refuse_secret("postgres_settings", str(name), given[name])
    lines = [f"# {header}", "# Read after postgresql.conf, so what stands here counts."]
    lines += [
        f"{name} = {setting_text(name, given[name])}" for name in sorted(given) if given[name] is not None
    ]
    rest = {name: value for name, value in derived.items() if name not in given}
    if rest:
        lines.append("# From the memory, cores and disk of this host.")
        lines += [f"{name} = {setting_text(name, rest[name])}" for name in sorted(rest)]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace('"', '""')
    return f'"{escaped}"'


def hba_word(column: str, word: str) -> str:
    """Return a database or user as pg_hba.conf has it: words and first characters that mean
    something stay."""
    if word in _WORDS[column]:
        return word
    if word[:1] in _PREFIXES and len(word) > 1:
        return word[0] + _quoted(word[1:])
    return _quoted(word)


def hba_line(rule: Mapping[str, Any]) -> str:
    """Return a rule as a line of pg_hba.conf.

    Args:
        rule: ``type``, ``databases``, ``users``, ``address`` (none for ``local``), ``method``, ``options``
            (by name) as columns of pg_hba.conf.

    Raises InvalidInputError on a rule that no line can hold. Whether it is right is PostgreSQL's to say.
    """
    kind = str(rule["type"])
    address = str(rule.get("address") or "")
    shown = f"{kind} {','.join(rule['databases'])} {','.join(rule['users'])}"
    for column in _WORDS:
        if not rule[column] or not all(rule[column]):
            raise InvalidInputError(
                f"Failed to accept postgres_hba: the rule {shown!r} names no {column}; give names, or all"
            )
    if kind in _WITHOUT_ADDRESS and address:
        raise InvalidInputError(
            f"Failed to accept postgres_hba: the rule {shown!r} is for the Unix socket, which has no "
            "addresses; "
            f"leave out {address}, or make it a host rule"
        )
    if kind not in _WITHOUT_ADDRESS and not address:
        raise InvalidInputError(
            f"Failed to accept postgres_hba: the rule {shown!r} has no address; give a network in "
            "CIDR notation, "
            "a host name, samehost, samenet or all"
        )
    columns = [kind, *(",".join(hba_word(column, str(word)) for word in rule[column]) for column in _WORDS)]
    # Quotes keep a word in one piece, and all that stands in these columns reads the same with and without.
    columns += [word if re.fullmatch(r"[\w./:*-]+", word) else _quoted(word) for word in [address] if word]
    columns.append(
        _quoted(str(rule["method"])) if re.search(r"[^\w-]", str(rule["method"])) else rule["method"]
    )
    for name, value in (rule.get("options") or {}).items():
        _refuse_secret("postgres_hba", name, value)
        text = ("1" if value else "0") if isinstance(value, bool) else str(value)
        columns.append(f"{name}={text if re.fullmatch(r'[A-Za-z0-9_.-]+', text) else _quoted(text)}")
    return _refuse_control("postgres_hba", "  ".join(columns))


def hba_file(header: str, rules: Iterable[Mapping[str, Any]]) -> str:
    """Return the text of pg_hba.conf: the first rule that fits a connection decides."""
    return "\n".join([f"# {header}", "# TYPE  DATABASE  USER  ADDRESS  METHOD", *map(hba_line, rules)]) + "\n"


def ident_file(header: str, maps: Iterable[Mapping[str, str]]) -> str:
    """Return the text of pg_ident.conf.

    Args:
        header: what stands above all, without ``#``.
        maps: each with ``map``, ``system`` (the account of the operating system) and ``user`` (PostgreSQL's).
    """
    lines = [
        _refuse_control(
            "postgres_ident",
            "  ".join(_ident_word(str(entry[column])) for column in ("map", "system", "user")),
        )
        for entry in maps
    ]
    return "\n".join([f"# {header}", "# MAP  ACCOUNT  USER", *lines]) + "\n"


def _ident_word(word: str) -> str:
    return word[0] + _quoted(word[1:]) if word[:1] in ("/", "+") else _quoted(word)


def hba_rules(
    *,
    users: Iterable[Mapping[str, Any]],
    rules: Iterable[Mapping[str, Any]],
    addresses: Sequence[str],
    method: str,
    monitoring_user: str,
    lookup_user: str = "",
) -> list[dict[str, Any]]:
    """Return all rules, in the order in which they are tried.

    First the superuser, the monitoring user and who looks up users for PgBouncer, by peer, so that no other
    rule locks out who mends it; then the given rules, so that they can narrow what follows; then each user's
    own databases.

    Args:
        users: with ``name`` and ``databases``; those whose ``state`` is absent are not let in.
        rules: given ones, which may lack ``address`` and ``options``.
        addresses: that the users may come in from, besides the Unix socket.
        method: that the users are asked by.
        monitoring_user: empty for none.
        lookup_user: likewise.
    """
    peers: list[dict[str, Any]] = [
        {"type": "local", "databases": ["all"], "users": ["postgres"], "method": "peer", "options": {}}
    ]
    for user, name in ((monitoring_user, MONITORING_MAP), (lookup_user, LOOKUP_MAP)):
        if user:
            peers.append({**peers[0], "users": [user], "options": {"map": name}})
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


def complaints(output: str) -> list[str]:
    """Return what the server complained of, from what it wrote to its standard error; never an empty list.

    A ``LOG`` of the startup names the cause, and the ``FATAL`` that follows only says that there was one.
    What an extension does not know of its own it leaves out with a ``WARNING``. A few checks write a plain
    line.
    """
    lines = [re.sub(r"^postgres: ", "", line) for line in output.splitlines() if line.strip()]
    said = [(match[1], match[2]) for line in lines if (match := _LEVEL.match(line))]
    causes = [
        text
        for level, text in said
        if (level != "WARNING" or "invalid configuration parameter" in text) and not _NO_CAUSE.match(text)
    ]
    return causes or lines[-1:] or ["PostgreSQL gives no reason"]


def blame(complaint: str, text: str, path: str, known: Iterable[str] = ()) -> str:
    """Return a complaint with the line of the settings file that it is about, as far as one can be told.

    Args:
        complaint: one of ``complaints``.
        text: of the candidate.
        path: that the file will have; the server names the candidate's.
        known: names of all settings, to suggest the nearest one from.
    """
    lines = text.splitlines()
    # The server reads a copy elsewhere: what counts is the name of the file.
    name = re.escape(path.rsplit("/", 1)[-1])
    at = re.search(rf' in file "[^"]*/{name}"(?:,)? line (\d+)', complaint)
    number = int(at[1]) if at else _line_of(complaint, lines)
    said = complaint.replace(at[0], "") if at else complaint
    unknown = re.search(r'(?:unrecognized|invalid) configuration parameter (?:name )?"([^"]+)"', complaint)
    said = said.removesuffix(", removing it")
    # Extensions' own names are not among the known.
    if unknown and "." not in unknown[1]:
        near = difflib.get_close_matches(unknown[1], list(known), n=1)
        said += f" (did you mean {near[0]}?)" if near else ""
    if number is None or number > len(lines):
        return said
    return f"{path} line {number} ({lines[number - 1]}): {said}"


def _line_of(complaint: str, lines: Sequence[str]) -> int | None:
    """Return the number of the line that sets a setting, or has a value, that the complaint names."""
    words = re.findall(r'"([^"]+)"', complaint) + re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", complaint)
    for word in words:
        for number, line in enumerate(lines, 1):
            setting, found, value = line.partition(" = ")
            if found and word in (setting, *value.strip("'").replace(", ", ",").split(",")):
                return number
    return None


def blame_rule(path: str, text: str, number: int, error: str) -> str:
    """Return what the server says of a line of pg_hba.conf or pg_ident.conf, with the line.

    Of a wrong option it says nothing but that it can't read the line.
    """
    lines = text.splitlines()
    line = lines[number - 1] if 0 < number <= len(lines) else ""
    return f"{path} line {number} ({line}): {error or 'PostgreSQL does not take it; look at its options'}"


def setting_names(text: str) -> set[str]:
    """Return the names of the settings in the text of a settings file."""
    return {line.partition(" = ")[0] for line in text.splitlines() if " = " in line and line[0] != "#"}


# The scratch server has files and huge pages of its own, so these say nothing of the wanted one.
SCRATCH_SETTINGS = (
    "config_file",
    "data_directory",
    "external_pid_file",
    "hba_file",
    "huge_pages",
    "ident_file",
)


def waiting_for_restart(live: Mapping[str, str], wanted: Mapping[str, str], named: set[str]) -> list[str]:
    """Return the settings that only a restart brings in force, sorted.

    Args:
        live: the values, by setting, that the server runs with, of those that it takes at its start.
        wanted: those that the candidate has, in the same units.
        named: settings that the file had or will have; others follow from them.
    """
    return sorted(
        name
        for name, value in wanted.items()
        if name in live and name in named and name not in SCRATCH_SETTINGS and live[name] != value
    )


def parse_postmaster(text: str) -> tuple[int, int, str]:
    """Return process id, port and socket directory of a running server from its ``postmaster.pid``.

    Its lines: https://github.com/postgres/postgres/blob/master/src/include/utils/pidfile.h. Raises
    ValueError on one that is not yet complete.
    """
    lines = text.splitlines()
    if len(lines) < 5:
        raise ValueError("postmaster.pid is not complete")
    return int(lines[0]), int(lines[3]), lines[4].strip()


def database_entries(databases: Iterable[str | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return databases as dictionaries with ``name``, where a plain name is one too."""
    return [{"name": entry} if isinstance(entry, str) else dict(entry) for entry in databases]


_DATABASE_KEYS = ("name", "owner", "encoding", "lc_collate", "lc_ctype", "template", "connection_limit")


def input_problems(
    databases: Iterable[Any], users: Iterable[Mapping[str, Any]], roles: Iterable[str], monitoring_user: str
) -> list[str]:
    """Return what is wrong with databases, and with the roles that users are members of or that are
    removed."""
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


def present_users(users: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the users who are to be there."""
    return [dict(user) for user in users if user.get("state", "present") == "present"]


def absent_users(users: Iterable[Mapping[str, Any]], stored: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of users who are still there, and are to be removed."""
    there = {row["rolname"] for row in stored}
    return [str(user["name"]) for user in users if user.get("state") == "absent" and user["name"] in there]


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
