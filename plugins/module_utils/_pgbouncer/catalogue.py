# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a PgBouncer configuration may hold: each setting and option, its type, its range, its first version.

Pure. Names and versions are those that the parsers of 1.18 to 1.25 know (``bouncer_params`` of
``src/main.c``, ``parse_database``, ``parse_user`` and ``parse_peer`` of ``src/loader.c``); types and ranges
follow https://www.pgbouncer.org/config.html. PgBouncer itself takes any number for a number and cuts off what
follows one in an option (``atoi``), so that ``pool_size=2O`` is 2: what it takes silently is refused here.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

Version = tuple[int, int]

OLDEST: Version = (1, 18)
NEWEST: Version = (1, 25)
"""The newest version in this catalogue. The settings of a newer one come from its binary."""

MAX_INT = 2**31 - 1
"""A C int, which PgBouncer keeps numbers in without looking for an overflow (``cf_set_int``)."""

QUOTED_NAMES: Version = (1, 25)
"""The first version whose parser reads names in single quotes. Double quotes, which the documentation has,
are a syntax error to 1.18 and 1.24 (tried) and to 1.25 (``parse_ini_file_internal``)."""

PLAIN_NAME = re.compile(r"[0-9A-Za-z_.-]+|\*")
"""A name of a database or user that every version reads."""

_MAX_SECONDS = 10.0**9  # more than 31 years, and far from overflowing microseconds in 64 bits
_PROBLEMS_SHOWN = 5


class Kind(NamedTuple):
    """A type of value. ``low`` and ``high`` bound numbers; ``choices`` are the words of an enumeration."""

    name: str
    low: float = 0
    high: float = MAX_INT
    choices: tuple[str, ...] = ()
    since: Version = OLDEST


_SWITCH = Kind("switch")
_NUMBER = Kind("number")
_POSITIVE = Kind("number", low=1)
_PORT = Kind("number", low=1, high=65535)
_SECONDS = Kind("seconds", high=_MAX_SECONDS)
# PgBouncer reads the options of databases and users with atoi, where half a second is none.
_WHOLE_SECONDS = Kind("number", high=10**9)
_TEXT = Kind("text")
_LIST = Kind("list")
_PATH = Kind("path")
_MODE = Kind("mode", high=0o777)
_POOL_MODE = Kind("word", choices=("session", "transaction", "statement"))
_SSLMODE = Kind("word", choices=("disable", "allow", "prefer", "require", "verify-ca", "verify-full"))
_FACILITY = Kind(
    "word",
    choices=("auth", "authpriv", "daemon", "user", *(f"local{number}" for number in range(8))),
)
_AUTH_TYPE = Kind(
    "word", choices=("any", "trust", "plain", "md5", "cert", "hba", "ldap", "pam", "scram-sha-256")
)


def _since(kind: Kind, *version: int) -> Kind:
    return kind._replace(since=(version[0], version[1]))


SETTINGS: dict[str, Kind] = {
    "admin_users": _LIST,
    "application_name_add_host": _SWITCH,
    "auth_dbname": _since(_TEXT, 1, 19),
    "auth_file": _PATH,
    "auth_hba_file": _PATH,
    "auth_ident_file": _since(_PATH, 1, 23),
    "auth_ldap_options": _since(_TEXT, 1, 25),
    "auth_query": _TEXT,
    "auth_type": _AUTH_TYPE,
    "auth_user": _TEXT,
    "autodb_idle_timeout": _SECONDS,
    "cancel_wait_timeout": _since(_SECONDS, 1, 19),
    "client_idle_timeout": _SECONDS,
    "client_login_timeout": _SECONDS,
    "client_tls13_ciphers": _since(_TEXT, 1, 25),
    "client_tls_ca_file": _PATH,
    "client_tls_cert_file": _PATH,
    "client_tls_ciphers": _TEXT,
    "client_tls_dheparams": _TEXT,
    "client_tls_ecdhcurve": _TEXT,
    "client_tls_key_file": _PATH,
    "client_tls_protocols": _LIST,
    "client_tls_sslmode": _SSLMODE,
    "default_pool_size": _NUMBER,
    "disable_pqexec": _SWITCH,
    "dns_max_ttl": _SECONDS,
    "dns_nxdomain_ttl": _SECONDS,
    "dns_zone_check_period": _SECONDS,
    "idle_transaction_timeout": _SECONDS,
    "ignore_startup_parameters": _LIST,
    "job_name": _TEXT,
    "listen_addr": _LIST,
    "listen_backlog": _POSITIVE,
    "listen_port": _PORT,
    "log_connections": _SWITCH,
    "log_disconnections": _SWITCH,
    "log_pooler_errors": _SWITCH,
    "log_stats": _SWITCH,
    "logfile": _PATH,
    "max_client_conn": _POSITIVE,
    "max_db_client_connections": _since(_NUMBER, 1, 24),
    "max_db_connections": _NUMBER,
    "max_packet_size": Kind("number", low=1024, high=2**32 - 1),
    "max_prepared_statements": _since(_NUMBER, 1, 21),
    "max_user_client_connections": _since(_NUMBER, 1, 24),
    "max_user_connections": _NUMBER,
    "min_pool_size": _NUMBER,
    "peer_id": Kind("number", high=16383, since=(1, 19)),
    "pidfile": _PATH,
    "pkt_buf": Kind("number", low=512, high=2**24),
    "pool_mode": _POOL_MODE,
    "query_timeout": _SECONDS,
    "query_wait_notify": _since(_NUMBER, 1, 25),
    "query_wait_timeout": _SECONDS,
    "reserve_pool_size": _NUMBER,
    "reserve_pool_timeout": _SECONDS,
    "resolv_conf": _PATH,
    "sbuf_loopcnt": _NUMBER,
    "scram_iterations": _since(_POSITIVE, 1, 25),
    "server_check_delay": _SECONDS,
    "server_check_query": _TEXT,
    "server_connect_timeout": _SECONDS,
    "server_fast_close": _SWITCH,
    "server_idle_timeout": _SECONDS,
    "server_lifetime": _SECONDS,
    "server_login_retry": _SECONDS,
    "server_reset_query": _TEXT,
    "server_reset_query_always": _SWITCH,
    "server_round_robin": _SWITCH,
    "server_tls13_ciphers": _since(_TEXT, 1, 25),
    "server_tls_ca_file": _PATH,
    "server_tls_cert_file": _PATH,
    "server_tls_ciphers": _TEXT,
    "server_tls_key_file": _PATH,
    "server_tls_protocols": _LIST,
    "server_tls_sslmode": _SSLMODE,
    "so_reuseport": _SWITCH,
    "stats_period": _POSITIVE,
    "stats_users": _LIST,
    "suspend_timeout": _SECONDS,
    "syslog": _SWITCH,
    "syslog_facility": _FACILITY,
    "syslog_ident": _TEXT,
    "tcp_defer_accept": _SWITCH,
    "tcp_keepalive": _SWITCH,
    "tcp_keepcnt": _NUMBER,
    "tcp_keepidle": _NUMBER,
    "tcp_keepintvl": _NUMBER,
    "tcp_socket_buffer": _NUMBER,
    "tcp_user_timeout": _NUMBER,
    "track_extra_parameters": _since(_LIST, 1, 20),
    "transaction_timeout": _since(_SECONDS, 1, 25),
    "unix_socket_dir": _PATH,
    "unix_socket_group": _TEXT,
    "unix_socket_mode": _MODE,
    "user": _TEXT,
    "verbose": Kind("number", high=10),
}
"""Settings of the section ``[pgbouncer]``, by name."""

UNSETTABLE = {"conffile": "it is where PgBouncer reads the file from; give the path instead"}
"""Names that SHOW CONFIG lists but a file must not hold, and why."""

DATABASE_OPTIONS: dict[str, Kind] = {
    "application_name": _TEXT,
    "auth_dbname": _since(_TEXT, 1, 19),
    "auth_query": _since(_TEXT, 1, 22),
    "auth_user": _TEXT,
    "client_encoding": _TEXT,
    "connect_query": _TEXT,
    "datestyle": _TEXT,
    "dbname": _TEXT,
    "host": _LIST,
    "load_balance_hosts": Kind("word", choices=("disable", "round-robin"), since=(1, 24)),
    "max_db_client_connections": _since(_NUMBER, 1, 24),
    "max_db_connections": _NUMBER,
    "min_pool_size": _NUMBER,
    "password": _TEXT,
    "pool_mode": _POOL_MODE,
    "pool_size": _NUMBER,
    "port": _PORT,
    "reserve_pool_size": _NUMBER,
    "server_lifetime": _since(_WHOLE_SECONDS, 1, 23),
    "timezone": _TEXT,
    "user": _TEXT,
}
"""Options of a database. ``reserve_pool_size`` is written as ``reserve_pool`` for versions before 1.24."""

USER_OPTIONS: dict[str, Kind] = {
    "client_idle_timeout": _since(_WHOLE_SECONDS, 1, 24),
    "idle_transaction_timeout": _since(_WHOLE_SECONDS, 1, 24),
    "max_user_client_connections": _since(_NUMBER, 1, 24),
    "max_user_connections": _NUMBER,
    "pool_mode": _POOL_MODE,
    "pool_size": _since(_NUMBER, 1, 23),
    "query_timeout": _since(_WHOLE_SECONDS, 1, 24),
    "reserve_pool_size": _since(_NUMBER, 1, 24),
    "transaction_timeout": _since(_WHOLE_SECONDS, 1, 25),
}
"""Options of a user."""

PEER_OPTIONS: dict[str, Kind] = {
    "host": _since(_TEXT, 1, 19),
    "pool_size": _since(_NUMBER, 1, 19),
    "port": _since(_PORT, 1, 19),
}
"""Options of a peer."""

_ALIASES = {"reserve_pool": "reserve_pool_size"}

_MAX_BYTES = {"database": 63, "user": 127}  # MAX_DBNAME and MAX_USERNAME of include/bouncer.h, less the NUL
_BREAKING = re.compile(r"[\x00-\x1f\x7f]")
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def value(kind: Kind, given: Any) -> str:
    """Return a value as PgBouncer reads it.

    Args:
        kind: what it has to be.
        given: a scalar as YAML or ``-e`` give it; lists for kind ``list``, where text stands for itself.

    Raises:
        ValueError: it is of another type or out of range; the text says what is expected, without the value.
    """
    convert = _CONVERTERS.get(kind.name, _as_text)
    return convert(kind, given)


def setting_problems(
    settings: Mapping[str, Any], version: Version | None = None, also: Iterable[str] = ()
) -> list[str]:
    """Return what is wrong with settings, a clause each.

    Args:
        settings: values by name.
        version: of the installed PgBouncer; None takes what any known version does.
        also: further names that the binary says it knows, whose values are its own to judge.
    """
    problems = []
    known = {**dict.fromkeys(also, _TEXT), **SETTINGS}
    for name, given in settings.items():
        if name in UNSETTABLE:
            problems.append(f"setting {name}: {UNSETTABLE[name]}")
        else:
            problems += _option_problems(f"setting {name}", name, given, known, version, noun="setting")
    return problems


def database_problems(databases: Iterable[Mapping[str, Any]], version: Version | None = None) -> list[str]:
    """Return what is wrong with databases, each with a ``name`` and options, a clause each."""
    return _section_problems("database", databases, DATABASE_OPTIONS, version)


def user_problems(users: Iterable[Mapping[str, Any]], version: Version | None = None) -> list[str]:
    """Return what is wrong with users, each with a ``name`` and options, a clause each."""
    return _section_problems("user", users, USER_OPTIONS, version)


def peer_problems(peers: Iterable[Mapping[str, Any]], version: Version | None = None) -> list[str]:
    """Return what is wrong with peers, each with an ``id``, a ``host`` and options, a clause each."""
    problems = []
    seen: set[str] = set()
    for index, peer in enumerate(peers):
        label = f"peer {peer.get('id', f'number {index + 1}')}"
        try:
            number = value(Kind("number", low=1, high=16383), peer.get("id"))
        except ValueError as error:
            problems.append(f"{label}: its id must be {error}")
            continue
        if number in seen:
            problems.append(f"{label}: is named twice; give each peer once")
        seen.add(number)
        if not peer.get("host"):
            problems.append(f"{label}: has no host; give its address or its socket directory")
        for name, given in peer.items():
            if name != "id":
                problems += _option_problems(f"{label}, option {name}", name, given, PEER_OPTIONS, version)
    return problems


def summary(problems: list[str]) -> str:
    """Return problems as one sentence without its full stop: the first five, and how many more."""
    more = len(problems) - _PROBLEMS_SHOWN
    return "; ".join(problems[:_PROBLEMS_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def canonical(name: str, version: Version | None) -> str:
    """Return the name of a database's option that this version knows: ``reserve_pool`` has two."""
    if _ALIASES.get(name, name) == "reserve_pool_size":
        return "reserve_pool" if version is not None and version < (1, 24) else "reserve_pool_size"
    return name


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that looks most like another, as words to append; empty where none does."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; the nearest is {found[0]}" if found else ""


def _section_problems(
    what: str, entries: Iterable[Mapping[str, Any]], options: Mapping[str, Kind], version: Version | None
) -> list[str]:
    problems = []
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        name = str(entry.get("name") or "")
        problem = _name_problem(what, name, version)
        if problem:
            problems.append(f"{what} {name!r} (number {index + 1}): {problem}")
            continue
        if name in seen:
            problems.append(f"{what} {name!r}: is named twice; give each {what} once")
        seen.add(name)
        if what == "database" and "reserve_pool" in entry and "reserve_pool_size" in entry:
            problems.append(f"{what} {name!r}: has reserve_pool and reserve_pool_size; give the latter only")
        for option, given in entry.items():
            if option == "name":
                continue
            known = options if what == "user" else {**options, "reserve_pool": _NUMBER}
            problems += _option_problems(
                f"{what} {name!r}, option {option}", option, given, known, version, filled=True
            )
    return problems


def _option_problems(
    label: str,
    name: str,
    given: Any,
    known: Mapping[str, Kind],
    version: Version | None,
    *,
    noun: str = "option",
    filled: bool = False,
) -> list[str]:
    if name not in known:
        if version is not None and version > NEWEST and noun == "option":
            return []  # the binary knows better
        return [f"{label}: PgBouncer has no such {noun}{nearest(name, known)}"]
    kind = known[name]
    if version is not None and version < kind.since:
        return [
            f"{label}: needs PgBouncer {_dotted(kind.since)}, and this is {_dotted(version)}; leave it out"
        ]
    try:
        text = value(kind, given)
    except ValueError as error:
        return [f"{label}: must be {error}"]
    if filled and not text:
        return [f"{label}: must not be empty; leave it out for the default"]
    return []


def _name_problem(what: str, name: str, version: Version | None) -> str | None:
    if not name:
        return "it has no name; give the one that clients use"
    if what == "database" and name == "pgbouncer":
        return "the name is reserved for PgBouncer's console; choose another, and give this one as dbname"
    advice = "choose another, and give this one as dbname" if what == "database" else "rename the user"
    if _BREAKING.search(name) or "'" in name:
        return f"the name has a quote or a control character, which PgBouncer's file cannot hold; {advice}"
    if version is not None and version < QUOTED_NAMES and not PLAIN_NAME.fullmatch(name):
        return (
            f"PgBouncer {_dotted(version)} reads names of ASCII letters, digits and _.- only; {advice},"
            f" or install {_dotted(QUOTED_NAMES)}"
        )
    if len(name.encode()) > _MAX_BYTES[what]:
        return f"the name has more than {_MAX_BYTES[what]} bytes, all that PgBouncer reads; shorten it"
    return None


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))


def _scalar(given: Any) -> str:
    if isinstance(given, bool):
        return str(int(given))
    if given is None or isinstance(given, list | tuple | dict):
        raise ValueError("a single value")
    return str(given).strip()


def _as_switch(kind: Kind, given: Any) -> str:
    text = _scalar(given).lower()
    if text in _TRUE:
        return "1"
    if text in _FALSE:
        return "0"
    raise ValueError("true or false")


def _as_number(kind: Kind, given: Any) -> str:
    expected = f"a whole number from {kind.low:.0f} to {kind.high:.0f}"
    text = _scalar(given)
    if (
        isinstance(given, bool)
        or not re.fullmatch(r"-?[0-9]{1,12}", text)
        or not kind.low <= int(text) <= kind.high
    ):
        raise ValueError(expected)
    return str(int(text))


def _as_seconds(kind: Kind, given: Any) -> str:
    text = _scalar(given)
    if isinstance(given, bool) or not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise ValueError("a number of seconds, 0 or more")
    number = float(text)
    if not math.isfinite(number) or number > kind.high:
        raise ValueError(f"a number of seconds, at most {kind.high:.0f}")
    return text


def _as_mode(kind: Kind, given: Any) -> str:
    text = _scalar(given)
    octal = isinstance(given, str) and re.fullmatch(r"0[0-7]{1,4}", text)
    number = int(text, 8) if octal else int(text) if re.fullmatch(r"[0-9]{1,6}", text) else -1
    if isinstance(given, bool) or not 0 <= number <= kind.high or (isinstance(given, str) and not octal):
        raise ValueError("a file mode in octal, in quotes, such as '0770'")
    return f"0{number:03o}"


def _as_word(kind: Kind, given: Any) -> str:
    text = _scalar(given).lower()
    if text not in kind.choices:
        raise ValueError(f"one of {', '.join(kind.choices)}{nearest(text, kind.choices)}")
    return text


def _as_path(kind: Kind, given: Any) -> str:
    text = _as_text(kind, given)
    if text and text[0] not in "/@":
        raise ValueError("an absolute path, which begins with /")
    return text


def _as_list(kind: Kind, given: Any) -> str:
    if isinstance(given, list | tuple):
        items = [_as_text(kind, item) for item in given]
        if any("," in item or not item for item in items):
            raise ValueError("a list whose items are not empty and have no comma")
        return ",".join(items)
    return _as_text(kind, given)


def _as_text(kind: Kind, given: Any) -> str:
    if isinstance(given, bool):
        raise ValueError("text")
    text = _scalar(given) if not isinstance(given, str) else given
    if _BREAKING.search(text):
        raise ValueError("text on one line, without control characters")
    if text != text.strip():
        raise ValueError("text without spaces at its ends, which PgBouncer would drop")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("valid Unicode text") from None
    return text


_CONVERTERS: dict[str, Callable[[Kind, Any], str]] = {
    "switch": _as_switch,
    "number": _as_number,
    "seconds": _as_seconds,
    "mode": _as_mode,
    "word": _as_word,
    "path": _as_path,
    "list": _as_list,
}
