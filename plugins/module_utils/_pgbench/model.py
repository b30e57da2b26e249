# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""pgbench's arguments, output, log and errors. Pure.

The formats are those of ``src/bin/pgbench/pgbench.c`` (``printResults``, ``doLog``) of PostgreSQL 15 to 18.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._pgbench.errors import (
    InvalidInputError,
    LogError,
)

BUILTIN_SCRIPTS = ("tpcb-like", "simple-update", "select-only")
PROTOCOLS = ("simple", "extended", "prepared")
SSL_MODES = ("disable", "allow", "prefer", "require")

# Relative to pgbench's working directory, so that its output contains no temporary path. An "@" in the name
# of a script would start its weight.
SCRIPT_FILE = "script.sql"
LOG_PREFIX = "log"

KEYED_TABLES = ("pgbench_accounts", "pgbench_branches", "pgbench_tellers")
TABLES = (*KEYED_TABLES, "pgbench_history")


@dataclass(frozen=True)
class Target:
    """A login. ``host`` may be the directory of a Unix socket, or empty for the default one."""

    host: str
    port: int
    user: str
    database: str
    password: str | None = field(default=None, repr=False)
    ssl_mode: str = "prefer"

    def __str__(self) -> str:
        return f"database {self.database} at {self.host or 'local socket'}:{self.port}"


@dataclass(frozen=True)
class Workload:
    """A run of ``transactions`` for each client, or of ``duration`` seconds."""

    clients: int = 1
    jobs: int = 1
    transactions: int | None = None
    duration: int | None = None
    script: str | None = None
    script_content: str | None = None
    script_name: str | None = None
    reconnect: bool = False
    protocol: str = "simple"
    max_tries: int | None = None
    vacuum: bool = False
    log_sampling_rate: float | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the script in results."""
        if self.script_content is None:
            return self.script or BUILTIN_SCRIPTS[0]
        return self.script_name or "custom"

    @property
    def writes(self) -> bool:
        """Whether the run changes the database; a custom script counts as such."""
        return self.name != "select-only" or self.script_content is not None or self.vacuum

    @property
    def open_files(self) -> int:
        """The number of file descriptors that pgbench needs.

        A socket for each client, a log and files of name resolution for each thread, and some for the
        process. pgbench's own estimate, clients + 3, is too low: version 18 failed with 28 at 25 clients.
        """
        return self.clients + 3 * min(self.jobs, self.clients) + 16


@dataclass(frozen=True)
class Tables:
    """pgbench's tables that exist, those with a primary key, and their scale."""

    present: tuple[str, ...]
    keyed: tuple[str, ...]
    scale: int | None

    def are_ready_for(self, scale: int) -> bool:
        """Return whether ``pgbench -i -s scale`` completed.

        It loads all rows in one transaction and creates the primary keys last, so an interrupted one leaves
        no branches or too few keys. The scale is the number of branches, as in ``GetTableInfo``.
        """
        return self == initialised_tables(scale)

    def as_diff(self) -> dict[str, Any]:
        """Return the state for a diff."""
        return {"scale": self.scale, "tables": list(self.present), "primary_keys": list(self.keyed)}


def initialised_tables(scale: int) -> Tables:
    """Return the tables that ``pgbench -i -s scale`` creates."""
    return Tables(present=TABLES, keyed=KEYED_TABLES, scale=scale)


# --- Input ----------------------------------------------------------------------------------------------


def check_target(target: Target) -> None:
    """Raise InvalidInputError if the login is invalid."""
    _check_text(login_host=target.host, login_user=target.user, login_db=target.database)
    for name, value in (("login_user", target.user), ("login_db", target.database)):
        if not value:
            raise InvalidInputError(f"Failed to accept {name}: it is empty")
    _check_at_least(1, login_port=target.port)
    if target.port > 65535:
        raise InvalidInputError(f"Failed to accept login_port: {target.port} is above 65535")
    if target.password == "":
        raise InvalidInputError(
            "Failed to accept login_password: it is empty. Omit it to log in without a password."
        )
    # These end a line of a password file.
    if target.password is not None and re.search(r"[\n\r\0]", target.password):
        raise InvalidInputError("Failed to accept login_password: it contains a line break or a NUL")


def check_workload(workload: Workload, timeout: int) -> None:
    """Raise InvalidInputError if pgbench would refuse the workload or not end within ``timeout`` seconds."""
    _check_text(script_content=workload.script_content or "", script_name=workload.script_name or "")
    _check_at_least(1, clients=workload.clients, jobs=workload.jobs, timeout=timeout)
    _check_at_least(1, transactions=workload.transactions, duration=workload.duration)
    _check_at_least(0, max_tries=workload.max_tries)
    if (workload.transactions is None) == (workload.duration is None):
        raise InvalidInputError("Failed to accept the workload: set either transactions or duration")
    if workload.script_content is not None and not workload.script_content.strip():
        raise InvalidInputError("Failed to accept script_content: it is empty")
    if workload.max_tries == 0 and workload.duration is None:
        raise InvalidInputError("Failed to accept max_tries: 0 has no limit and needs duration")
    if workload.duration is not None and workload.duration >= timeout:
        raise InvalidInputError(
            f"Failed to accept duration: {workload.duration} s exceed the timeout of {timeout} s. "
            "Raise timeout."
        )
    for name, value in workload.variables.items():
        if not re.fullmatch(r"[A-Za-z_0-9\x80-\U0010ffff]+", name):
            raise InvalidInputError(
                f"Failed to accept variables: {name!r} may only have letters, digits and underscores"
            )
        _check_text(variables=str(value))
    if workload.log_sampling_rate is not None and not 0 < workload.log_sampling_rate <= 1:
        raise InvalidInputError("Failed to accept log_sampling_rate: it must be above 0 and at most 1")


def check_scale(scale: int, timeout: int) -> None:
    """Raise InvalidInputError if one of them is below 1."""
    _check_at_least(1, scale=scale, timeout=timeout)


def _check_text(**texts: str) -> None:
    for name, value in texts.items():
        if "\0" in value:
            raise InvalidInputError(f"Failed to accept {name}: it contains a NUL")


def _check_at_least(minimum: int, **numbers: int | None) -> None:
    for name, value in numbers.items():
        if value is not None and value < minimum:
            raise InvalidInputError(f"Failed to accept {name}: {value} is below {minimum}")


def initialise_arguments(target: Target, scale: int) -> list[str]:
    """Return the arguments of ``pgbench -i``, without a secret."""
    return ["-i", "-q", "-s", str(scale), *_login_arguments(target)]


def run_arguments(target: Target, workload: Workload) -> list[str]:
    """Return the arguments of a run, without a secret."""
    arguments = ["-c", str(workload.clients), "-j", str(workload.jobs), "-M", workload.protocol]
    arguments += (
        ["-t", str(workload.transactions)] if workload.duration is None else ["-T", str(workload.duration)]
    )
    arguments += ["-b", workload.name] if workload.script_content is None else ["-f", SCRIPT_FILE]
    if not workload.vacuum:
        arguments.append("-n")
    if workload.reconnect:
        arguments.append("-C")
    arguments += [f"--define={name}={value}" for name, value in workload.variables.items()]
    if workload.max_tries is not None:
        arguments.append(f"--max-tries={workload.max_tries}")
    arguments += ["--failures-detailed", "-l", f"--log-prefix={LOG_PREFIX}"]
    if workload.log_sampling_rate is not None:
        arguments.append(f"--sampling-rate={workload.log_sampling_rate}")
    return arguments + _login_arguments(target)


def _login_arguments(target: Target) -> list[str]:
    host = ["-h", target.host] if target.host else []
    database = target.database
    # libpq would read such a name as a connection string, getopt as an option.
    if "=" in database or database.startswith(("postgresql://", "postgres://", "-")):
        quoted = database.replace("\\", "\\\\").replace("'", "\\'")
        database = f"dbname='{quoted}'"
    return [*host, "-p", str(target.port), "-U", target.user, database]


def password_file(password: str) -> bytes:
    r"""Return a password file with ``password`` for any server.

    ``\`` and ``:`` are escaped (https://www.postgresql.org/docs/current/libpq-pgpass.html).
    """
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    return f"*:*:*:*:{escaped}\n".encode(errors="surrogateescape")


# --- Output ---------------------------------------------------------------------------------------------

_NUMBER = r"-?(?:\d+(?:\.\d+)?|NaN|nan|Infinity|inf)"
_LINES = tuple(
    re.compile(pattern.replace("NUMBER", _NUMBER))
    for pattern in (
        r"pgbench \((?P<pgbench_version>[^ ,)]+)(?:.*, server (?P<server_version>[^ ,)]+))?",
        r"transaction type: (?P<transaction_type>.*)",
        r"scaling factor: (?P<scale>\d+)",
        r"partition method: (?P<partition_method>\w+)",
        r"partitions: (?P<partitions>\d+)",
        r"query mode: (?P<query_mode>\w+)",
        r"number of clients: (?P<clients>\d+)",
        r"number of threads: (?P<threads>\d+)",
        r"maximum number of tries: (?P<max_tries>\d+)",
        r"duration: (?P<duration_s>\d+) s",
        r"number of transactions per client: (?P<transactions_per_client>\d+)",
        r"number of transactions actually processed: (?P<transactions>\d+)(?: \(tps = (?P<tps>NUMBER)\))?",
        r"number of failed transactions: (?P<failed>\d+) \((?P<failed_percent>NUMBER)%\)",
        r"number of serialization failures: (?P<serialization_failures>\d+) "
        r"\((?P<serialization_failures_percent>NUMBER)%\)",
        r"number of deadlock failures: (?P<deadlock_failures>\d+) "
        r"\((?P<deadlock_failures_percent>NUMBER)%\)",
        r"number of transactions retried: (?P<retried>\d+) \((?P<retried_percent>NUMBER)%\)",
        r"total number of retries: (?P<retries>\d+)",
        r"number of transactions skipped: (?P<skipped>\d+) \((?P<skipped_percent>NUMBER)%\)",
        r"number of transactions above the (?P<latency_limit_ms>NUMBER) ms latency limit: "
        r"(?P<late>\d+)/\d+ \((?P<late_percent>NUMBER)%\)",
        r"latency average = (?P<latency_average_ms>NUMBER) ms"
        r"(?P<latency_includes_failures> \(including failures\))?",
        r"latency stddev = (?P<latency_stddev_ms>NUMBER) ms",
        r"rate limit schedule lag: avg (?P<schedule_lag_average_ms>NUMBER) "
        r"\(max (?P<schedule_lag_max_ms>NUMBER)\) ms",
        r"initial connection time = (?P<initial_connection_ms>NUMBER) ms",
        r"average connection time = (?P<average_connection_ms>NUMBER) ms",
        r"tps = (?P<tps>NUMBER) \((?P<tps_counts>[^)]*)\)",
    )
)
_SCRIPT = re.compile(r"SQL script \d+: (?P<script>.*)")
# From version 18 on these counts include failures, and "actually processed" follows.
_SCRIPT_LINES = (
    re.compile(rf"weight: (?P<weight>\d+) \(targets (?P<target_percent>{_NUMBER})% of total\)"),
    re.compile(
        rf"(?P<transactions>\d+) transactions \((?P<share_percent>{_NUMBER})% of total"
        rf"(?:, tps = (?P<tps>{_NUMBER}))?\)"
    ),
    *_LINES,
)
_TEXTS = {
    "pgbench_version",
    "server_version",
    "transaction_type",
    "partition_method",
    "query_mode",
    "tps_counts",
    "script",
}


def parse_output(text: str) -> dict[str, Any]:
    """Return the figures that pgbench of PostgreSQL 15 to 18 prints at the end of a run.

    The keys are the groups of ``_LINES``, always all of them; None if pgbench printed no number. The suffix
    is the unit: ``_ms``, ``_s`` or ``_percent``; ``tps`` is transactions per second, ``tps_counts`` describes
    what it includes. With several scripts ``scripts`` has for each its ``script``, ``weight``,
    ``target_percent``, ``share_percent`` and figures.

    ``latency_average_ms`` is measured only if pgbench prints a standard deviation. Otherwise it is run time
    times clients by transactions, which includes connecting with ``-C``.
    """
    figures: dict[str, Any] = {name: None for line in _LINES for name in line.groupindex}
    figures["latency_includes_failures"] = False
    figures["scripts"] = []
    current, patterns = figures, _LINES
    for line in text.splitlines():
        if script := _SCRIPT.match(line):
            current, patterns = script.groupdict(), _SCRIPT_LINES
            figures["scripts"].append(current)
            continue
        for pattern in patterns:
            if match := pattern.match(line.removeprefix(" - ")):
                current.update((k, _convert(k, v)) for k, v in match.groupdict().items() if v is not None)
    if figures["server_version"] is None:
        figures["server_version"] = figures["pgbench_version"]  # printed only if it differs
    return figures


def _convert(name: str, value: str) -> str | bool | int | float | None:
    if name in _TEXTS:
        return value
    if name == "latency_includes_failures":
        return True
    if name == "tps" or name.endswith(("_ms", "_percent")):
        number = float(value)
        return number if math.isfinite(number) else None
    return int(value)


# --- Log ------------------------------------------------------------------------------------------------

_NO_LATENCY = (b"failed", b"serialization", b"deadlock", b"skipped")
LATENCY_FIGURES = ("avg", "min", "p50", "p95", "p99", "max")


def read_log(lines: Iterable[bytes]) -> Counter[int]:
    """Return the number of transactions by microseconds, from the lines of a log of transactions.

    A line is ``client_id transaction_no time script_no time_epoch time_us [schedule_lag] [retries]``, see
    https://www.postgresql.org/docs/current/pgbench.html#PGBENCH-LOGGING. Failed and skipped transactions,
    which have a word instead of a time, do not count. Raises LogError on anything else.

    Memory grows with the number of different latencies, not of transactions: n different ones need about
    n²/2 µs of the time of all clients together.
    """
    try:
        # Reading the sixth field detects a short line.
        times = Counter(fields[2] for fields in (line.split(b" ", 5) for line in lines) if fields[5])
        for word in _NO_LATENCY:
            times.pop(word, None)
        return Counter({int(time): count for time, count in times.items()})
    except (IndexError, ValueError) as error:
        raise LogError(
            "Failed to read the log of transactions: a line is damaged. Check whether the disk is full."
        ) from error


def latency_figures(latencies: Mapping[int, int]) -> dict[str, float | None]:
    """Return ``avg``, ``min``, ``p50``, ``p95``, ``p99`` and ``max`` in milliseconds to 3 decimals.

    ``latencies`` is the number of transactions by microseconds; without any, all figures are None.
    Percentiles are by nearest rank: the smallest value that at least p percent of all do not exceed, at rank
    ceil(p/100·n), like PostgreSQL's percentile_disc
    (https://www.postgresql.org/docs/current/functions-aggregate.html), definition 1 of Hyndman and Fan,
    "Sample Quantiles in Statistical Packages", The American Statistician 50(4), 1996.
    """
    total = sum(latencies.values())
    if not total:
        return dict.fromkeys(LATENCY_FIGURES)
    values = sorted(latencies)
    ranks = list(accumulate(latencies[value] for value in values))
    microseconds = {
        "avg": sum(value * count for value, count in latencies.items()) / total,
        "min": values[0],
        "max": values[-1],
        # -(-a // b) rounds up without the errors of floating point.
        **{f"p{percent}": values[bisect_left(ranks, -(-percent * total // 100))] for percent in (50, 95, 99)},
    }
    return {name: round(microseconds[name] / 1000, 3) for name in LATENCY_FIGURES}


def coarse(latencies: Mapping[int, int]) -> dict[int, int]:
    """Return latencies to three significant digits, with an error of at most half a percent.

    A hundred thousand different ones become a few hundred.
    """
    found: Counter[int] = Counter()
    for value, count in latencies.items():
        found[round(value, min(0, 3 - len(str(value))))] += count
    return dict(found)


# --- Errors ---------------------------------------------------------------------------------------------

_ERROR = re.compile(r"(?:starting vacuum\.\.\.)?\S+: error: (?P<text>.*)")
# The place of an error, so that the same cause at a hundred clients is one cause.
_WHERE = re.compile(
    r"connection to server .*? failed: |"
    r"client \d+ (?:script \d+ )?aborted(?: in command \d+ (?:query \d+|\(\w+\) of script \d+))?[:;] "
)
# The client and the command of a script, the first of which has number 0.
_COMMAND = re.compile(
    r"client (?P<client>\d+) (?:script \d+ )?aborted in command (?P<command>\d+) "
    r"(?:query \d+: ERROR|\((?!SQL))"
)
_SERVER = re.compile(r"^.*?\b(?:ERROR|FATAL|PANIC): +")
# The last comes from threads that log in while another thread's exit() shuts down OpenSSL.
_CONSEQUENCE = re.compile(
    r"could not create connection for |client \d+ aborted while establishing connection|Run was aborted|"
    r"connection to server .*? failed: could not find digest for NID"
)
_CAUSES_SHOWN = 2
_HINTS = tuple(
    (re.compile(pattern), hint)
    for pattern, hint in (
        (
            r"Connection refused|No such file or directory",
            "Check that the server is running, and login_host and login_port",
        ),
        (r"could not translate host name", "Check login_host"),
        (
            r"timeout expired|timed out|No route to host|unreachable",
            "Check login_host, login_port, firewalls and security groups",
        ),
        (
            r"Cannot assign requested address",
            "All local ports are in use: set net.ipv4.tcp_tw_reuse to 1",
        ),
        (
            r"authentication failed|no password supplied|not permitted to log in|^role .* does not exist",
            "Check login_user, login_password, and PgBouncer's userlist",
        ),
        (r"no pg_hba.conf entry", "Allow this host in pg_hba.conf"),
        (
            r"^database .* does not exist|no such database",
            "Check login_db, and PgBouncer's list of databases",
        ),
        (
            r"too many clients already|remaining connection slots|too many connections for",
            "Use fewer clients, go through PgBouncer, or raise max_connections",
        ),
        (
            r"no more connections allowed|client_conn",
            "Use fewer clients or raise PgBouncer's max_client_conn",
        ),
        (
            r"query_wait_timeout|server login|server_login_retry",
            "PgBouncer got no server connection: check PostgreSQL, default_pool_size, and PAUSE",
        ),
        (r'relation "pgbench_\w+" does not exist', "Create the tables with action=initialise"),
        (r"permission denied|must be owner", "Log in as the owner of the tables, or grant the rights"),
        (
            r"prepared statement .* (?:does not exist|already exists)",
            "Set PgBouncer's max_prepared_statements (1.21 or newer), or use protocol=simple",
        ),
        (
            r"syntax error|invalid command|empty command list|unrecognized time unit|unterminated",
            "Correct script_content",
        ),
        (r"without completing the last transaction", "End the transaction in script_content"),
        (r"unrecognized option|invalid option", "Use pgbench of PostgreSQL 15 or newer, see executable"),
        (r"terminating connection|server closed the connection|backend died", "See the server's log"),
    )
)


def explain(text: str) -> str:
    """Return in one line why pgbench or libpq failed, with advice if possible.

    ``text`` is the standard error of pgbench or the message of a psycopg2 exception. The same cause at many
    clients becomes one, with their number and its first place in a script; consequences of another error do
    not count.
    """
    messages = _error_messages(text) or _first_line(text)
    reasons = [message for message in messages if not _CONSEQUENCE.match(message)] or messages
    by_cause: dict[str, list[str]] = {}
    for message in reasons:
        by_cause.setdefault(_SERVER.sub("", _WHERE.sub("", message)), []).append(message)
    ranking = sorted(by_cause.items(), key=lambda cause: -len(cause[1]))
    shown = [cause + _occurrences(found) for cause, found in ranking[:_CAUSES_SHOWN]]
    if len(ranking) > _CAUSES_SHOWN:
        shown.append(f"and {len(ranking) - _CAUSES_SHOWN} more")
    hints = [hint for cause, _messages in ranking for pattern, hint in _HINTS if pattern.search(cause)]
    return ". ".join(["; ".join(shown), *hints[:1]])


def _occurrences(messages: Sequence[str]) -> str:
    """Return in brackets how often a cause occurred, and its first place in the script."""
    parts = [f"{len(messages)} times"] if len(messages) > 1 else []
    if place := _COMMAND.match(messages[0]):
        first = "first " if len(messages) > 1 else ""
        parts.append(f"{first}in command {int(place['command']) + 1} of the script, client {place['client']}")
    return f" ({', '.join(parts)})" if parts else ""


def _error_messages(text: str) -> list[str]:
    messages: list[str] = []
    for line in text.splitlines():
        if match := _ERROR.match(line):
            messages.append(match["text"].strip())
        elif line.startswith("connection to server"):  # another address of the same host
            messages.append(line.strip())
        elif line.startswith("LINE ") and messages and "syntax error" in messages[-1]:
            messages[-1] += f" ({line.strip()})"
    return [message for message in messages if message]


def _first_line(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[:1] or ["no message"]


# --- Result ---------------------------------------------------------------------------------------------


def run_error(returncode: int, stderr: str, figures: Mapping[str, Any]) -> str | None:
    """Return why a run failed, or None if it succeeded.

    ``returncode`` is negative if a signal ended pgbench. If clients abort, pgbench prints their figures so
    far and returns 2.
    """
    # A thread that aborts calls exit() beside the others, which can cause a segmentation fault.
    if returncode < 0 and not _error_messages(stderr):
        return f"signal {-returncode} killed pgbench. See the kernel's log"
    if returncode != 0:
        partial = "the run was aborted and its figures are incomplete: " if figures["transactions"] else ""
        return partial + explain(stderr)
    if figures["transactions"] is None:
        return "pgbench printed no figures. Check executable"
    if figures["transactions"] == 0 and not figures["failed"]:
        return "no transaction ended in that time. Run for longer, or check for locks"
    return None


def run_warning(stderr: str) -> str | None:
    """Return the warnings of a successful run, or None."""
    return f"pgbench reported: {explain(stderr)}" if _error_messages(stderr) else None


def log_error(workload: Workload, figures: Mapping[str, Any], logged: int) -> str | None:
    """Return an error if the log lacks transactions and is no sample."""
    if workload.log_sampling_rate is not None or logged == figures["transactions"]:
        return None
    return f"the log holds {logged} of {figures['transactions']} transactions. Check whether the disk is full"


def run_result(
    workload: Workload, figures: Mapping[str, Any], latencies: Mapping[int, int], error: str | None
) -> dict[str, Any]:
    """Return ``run``, a row of the benchmark's results, and ``details``, all other figures."""
    run = {
        "script": workload.name,
        "mode": "reconnect" if workload.reconnect else "persistent",
        "clients": workload.clients,
        "jobs": workload.jobs,
        "transactions": figures["transactions"],
        "tps": figures["tps"],
        "failed": figures["failed"],
        "latency_ms": latency_figures(latencies),
        "error": error,
    }
    details = {name: value for name, value in figures.items() if name not in run}
    return {"run": run, "details": {**details, "latencies_logged": sum(latencies.values())}}
