# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The texts of PostgreSQL's configuration files, and the lines that its complaints are about. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._postgres.errors import InvalidInputError

# A setting of an extension has a dot in its name: src/backend/utils/misc/guc.c, valid_custom_variable_name.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)*")

# Words that mean something else than themselves, by column of pg_hba.conf:
# https://www.postgresql.org/docs/17/auth-pg-hba-conf.html
_WORDS = {"databases": ("all", "sameuser", "samerole", "replication"), "users": ("all",)}
# First characters that mean something, where quotes do not begin before them: members of a role, a regular
# expression, a file.
_PREFIXES = "+/@"
_SECRETS = ("ldapbindpasswd", "radiussecrets")
_WITHOUT_ADDRESS = ("local",)

# The scratch server has files and huge pages of its own, so these say nothing of the wanted one.
_SCRATCH_SETTINGS = (
    "config_file",
    "data_directory",
    "external_pid_file",
    "hba_file",
    "huge_pages",
    "ident_file",
)

_LEVEL = re.compile(r".*?\b(LOG|ERROR|FATAL|PANIC|WARNING):  (.*)$")
_NO_CAUSE = re.compile(
    r"configuration file \".*\" contains errors|database system (is|was) |starting PostgreSQL|checkpoint "
)


def _refuse_control(what: str, text: str) -> str:
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise InvalidInputError(f"Failed to accept {what}: {text!r} has a control character. Remove it")
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
            f"Failed to accept postgres_settings: {name} is a dictionary. Use a text, a number, a boolean"
            " or a list"
        )
    text = ", ".join(str(part) for part in value) if isinstance(value, list | tuple) else str(value)
    _refuse_control(f"postgres_settings: {name}", text)
    quoted = text.replace("\\", "\\\\").replace("'", "''")
    return f"'{quoted}'"


def _refuse_secret(what: str, name: str, value: Any) -> None:
    """Raise InvalidInputError on a password: files, diffs and the host's journal would show it."""
    if name in _SECRETS or re.search(r"\bpassword\s*=", str(value)):
        raise InvalidInputError(
            f"Failed to accept {what}: {name} holds a password, which diffs and logs would show. Use a"
            " method that needs none there, such as a passfile, peer or a certificate"
        )


def setting_line(name: str, value: Any) -> str:
    """Return a setting as a line of the file. Raises InvalidInputError on what no file can hold."""
    if not _NAME.fullmatch(str(name)):
        raise InvalidInputError(
            f"Failed to accept postgres_settings: {name!r} is no name of a setting. Names consist of letters,"
            " digits and _, and begin with a letter"
        )
    _refuse_secret("postgres_settings", str(name), value)
    return f"{name} = {setting_text(name, value)}"


def settings_file(header: str, given: Mapping[str, Any], derived: Mapping[str, Any]) -> str:
    """Return the text of the settings file.

    Args:
        header: first line, without ``#``.
        given: settings by name. ``None`` leaves a setting, a derived one too, to PostgreSQL's default.
        derived: settings that follow from the host, as far as ``given`` does not have them.

    Raises InvalidInputError on a name that can't be one, and on a value that no file can hold.
    """
    lines = [f"# {header}", "# Read after postgresql.conf, so these settings count."]
    lines += [setting_line(name, given[name]) for name in sorted(given, key=str) if given[name] is not None]
    rest = {name: value for name, value in derived.items() if name not in given}
    if rest:
        lines.append("# From the memory, cores and disk of this host.")
        lines += [setting_line(name, rest[name]) for name in sorted(rest)]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace('"', '""')
    return f'"{escaped}"'


def hba_word(column: str, word: str) -> str:
    """Return a database or user as pg_hba.conf has it; what means more than itself there stays."""
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
                f"Failed to accept postgres_hba: the rule {shown!r} names no {column}. Add names, or all"
            )
    if kind in _WITHOUT_ADDRESS and address:
        raise InvalidInputError(
            f"Failed to accept postgres_hba: the rule {shown!r} is for the Unix socket, which has no"
            f" addresses. Remove {address}, or make it a host rule"
        )
    if kind not in _WITHOUT_ADDRESS and not address:
        raise InvalidInputError(
            f"Failed to accept postgres_hba: the rule {shown!r} has no address. Add a network in CIDR"
            " notation, a host name, samehost, samenet or all"
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


def ident_line(entry: Mapping[str, str]) -> str:
    """Return an entry as a line of pg_ident.conf. Raises InvalidInputError.

    Args:
        entry: ``map``, ``system`` (the account of the operating system) and ``user`` (PostgreSQL's).
    """
    words = (_ident_word(str(entry[column])) for column in ("map", "system", "user"))
    return _refuse_control("postgres_ident", "  ".join(words))


def ident_file(header: str, maps: Iterable[Mapping[str, str]]) -> str:
    """Return the text of pg_ident.conf, with a header that comes without ``#``."""
    return "\n".join([f"# {header}", "# MAP  ACCOUNT  USER", *map(ident_line, maps)]) + "\n"


def _ident_word(word: str) -> str:
    return word[0] + _quoted(word[1:]) if word[:1] in ("/", "+") else _quoted(word)


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
        said += f"; the nearest is {near[0]}" if near else ""
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
        if name in live and name in named and name not in _SCRATCH_SETTINGS and live[name] != value
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
