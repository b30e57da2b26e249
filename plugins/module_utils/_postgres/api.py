# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""PostgreSQL's binaries, its running server, and its host.

Runs as the account that owns the data: the server refuses root, and peer admits that account.
"""

from __future__ import annotations

import csv
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._postgres import model, tuning
from ansible_collections.pooled.postgres.plugins.module_utils._postgres.errors import ProofError, ServerError

try:
    import psycopg2
except ImportError:
    psycopg2 = None

# Limits of a host, or of a container on it: cgroup v2 and v1.
_MEMORY_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
# Since 15 the binary computes its shared memory without a start, after all other checks:
# https://www.postgresql.org/docs/17/runtime-config-preset.html#GUC-SHARED-MEMORY-SIZE
_COMPUTES_MEMORY = 15
_SECONDS = 60


@dataclass(frozen=True)
class Candidate:
    """The wanted files of a cluster by path, and the cluster's directories.

    ``settings``, ``hba`` and ``ident`` are the paths of the three.
    """

    files: Mapping[Path, str]
    settings: Path
    hba: Path
    ident: Path
    config_directory: Path
    data_directory: Path
    bin_directory: Path


@dataclass(frozen=True)
class Live:
    """A running server: where it listens, and its state.

    ``load_time`` and ``start_time`` are in seconds since 1970. ``startup`` are the settings that only
    apply at its start, ``pending`` those that wait for a restart, ``overridden`` those that another file sets
    again. ``used`` says whether there is a database of someone's.
    """

    port: int
    socket_directory: str
    load_time: float
    start_time: float
    startup: Mapping[str, str]
    pending: tuple[str, ...]
    overridden: tuple[str, ...]
    used: bool
    errors: tuple[str, ...] = ()


def derived(data_directory: Path, max_connections: int) -> dict[str, str | float]:
    """Return the settings that follow from this host. The data directory may not exist yet."""
    limits = [path.read_text() for path in map(Path, _MEMORY_LIMITS) if path.exists()]
    there = next(path for path in (data_directory, *data_directory.parents) if _is_there(path))
    filesystem = os.statvfs(there)
    return tuning.derived_settings(
        memory=tuning.memory_mb(Path("/proc/meminfo").read_text(), limits),
        cores=len(os.sched_getaffinity(0)),
        disk=filesystem.f_blocks * filesystem.f_frsize // 1024**2,
        max_connections=max_connections,
    )


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return False


def read(path: Path) -> str | None:
    """Return the text of a file, None if it does not exist. Raises ServerError if it can't be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ServerError(f"Failed to read {path}: {error}") from error


def running(data_directory: Path) -> tuple[int, str] | None:
    """Return port and socket directory of the server that runs on the data, None if none does."""
    try:
        pid, port, directory = model.parse_postmaster((data_directory / "postmaster.pid").read_text())
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    return port, directory


def _rows(port: int, directory: str, query: str, values: Mapping[str, Any] | None = None) -> list[Any]:
    if psycopg2 is None:
        raise ServerError(
            "Failed to query PostgreSQL: psycopg2 is missing. Install python3-psycopg2 on the host"
        )
    try:
        connection = psycopg2.connect(host=directory, port=port, user="postgres", dbname="postgres")
    except psycopg2.Error as error:
        raise ServerError(
            f"Failed to reach PostgreSQL at {directory} port {port}: {str(error).strip()}. "
            "Look at systemctl status 'postgresql@*'"
        ) from error
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(query, values or {})
            return list(cursor.fetchall())
    except psycopg2.Error as error:
        raise ServerError(f"Failed to query PostgreSQL: {str(error).strip()}") from error
    finally:
        connection.close()


_LIVE = """
SELECT extract(epoch FROM pg_conf_load_time())::float8,
       extract(epoch FROM pg_postmaster_start_time())::float8,
       (SELECT json_object_agg(name, setting) FROM pg_settings WHERE context = 'postmaster'),
       (SELECT array_agg(name::text ORDER BY name) FROM pg_settings WHERE pending_restart),
       (SELECT array_agg(DISTINCT name::text) FROM pg_file_settings
        WHERE sourcefile = %(path)s AND NOT applied AND error IS NULL),
       EXISTS (SELECT FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'),
       (SELECT array_agg(e.text) FROM (
          SELECT format('pg_hba.conf line %%s: %%s', line_number, error) AS text FROM pg_hba_file_rules
          WHERE error IS NOT NULL OR type IS NULL
          UNION ALL
          SELECT format('%%s line %%s (%%s): %%s', f.sourcefile, f.sourceline, f.name, f.error)
          FROM pg_file_settings f LEFT JOIN pg_settings s USING (name)
          WHERE f.error IS NOT NULL AND NOT coalesce(s.pending_restart, false)) e)
"""


def ask(data_directory: Path, settings: Path) -> Live | None:
    """Return the state of the running server, None if none runs. Raises ServerError."""
    found = running(data_directory)
    if found is None:
        return None
    port, directory = found
    answer = _rows(port, directory, _LIVE, {"path": str(settings)})[0]
    load_time, start_time, startup, pending, overridden, used, errors = answer
    return Live(
        port=port,
        socket_directory=directory,
        load_time=load_time,
        start_time=start_time,
        startup=startup,
        pending=tuple(pending or ()),
        overridden=tuple(sorted(overridden or ())),
        used=used,
        errors=tuple(errors or ()),
    )


def reload(live: Live) -> None:
    """Reload the server and wait until it has read its files. Raises ServerError if it does not."""
    _rows(live.port, live.socket_directory, "SELECT pg_reload_conf()")
    deadline = time.monotonic() + _SECONDS
    while True:
        # Each new session starts with what the server had loaded by then.
        query = "SELECT extract(epoch FROM pg_conf_load_time())::float8"
        if _rows(live.port, live.socket_directory, query)[0][0] > live.load_time:
            return
        if time.monotonic() > deadline:
            raise ServerError(
                f"Failed to reload PostgreSQL: it did not read its files within {_SECONDS} s. "
                "Look at its log in /var/log/postgresql"
            )
        time.sleep(0.05)


def check_port(port: int, live: Live | None, *, restart: bool) -> None:
    """Raise ProofError if the port changes and the new one is taken, or no restart is allowed.

    Clients connect to the new port at once, so the change can't wait for the next restart.
    """
    if live and live.port == port:
        return
    if live and not restart:
        raise ProofError(
            f"Failed to move PostgreSQL from port {live.port} to {port}: that needs a restart. Set "
            "postgres_restart_allowed to true for a run that may restart it. Nothing was changed."
        )
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise ProofError(
                f"Failed to accept the port {port} for PostgreSQL: {error.strerror}. Set postgres_port to a"
                f" free one, or stop what has it (ss -lptn sport = :{port}). Nothing was changed."
            ) from error


def prove(candidate: Candidate, directory: str) -> dict[str, str]:
    """Validate the candidate files with the installed binary, in a scratch cluster that never serves.

    ``postgres -C`` first goes through the startup: it reads names, values, libraries, certificates and keys,
    checks whether they fit together, and computes the shared memory. Single-user mode then reads the other
    two files into pg_hba_file_rules and pg_ident_file_mappings.

    Args:
        candidate: the files. The rest of the configuration is copied, postgresql.auto.conf too.
        directory: for the scratch cluster, which is removed in the end.

    Returns: the settings that the server would have after a start.

    Raises ProofError with every complaint and its line. The cluster itself stays as it is.
    """
    scratch = Path(tempfile.mkdtemp(prefix="proof-", dir=directory))
    try:
        configuration, data = scratch / "etc", scratch / "data"
        _make_scratch(candidate, configuration, data)
        overrides = {
            "config_file": configuration / "postgresql.conf",
            "data_directory": data,
            "hba_file": configuration / "pg_hba.conf",
            "ident_file": configuration / "pg_ident.conf",
            "external_pid_file": scratch / "pid",
            # The running server has the host's.
            "huge_pages": "off",
            # Complaints come here, complete and in English.
            "log_destination": "stderr",
            "logging_collector": "off",
            "log_line_prefix": "",
            "log_min_messages": "warning",
            "lc_messages": "C",
        }
        options = [part for name, value in overrides.items() for part in ("-c", f"{name}={value}")]
        version = int((data / "PG_VERSION").read_text())
        _prove_settings(candidate, data, options, version)
        return _prove_rules(candidate, scratch, options, version)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _run(arguments: list[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            arguments,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
            cwd="/",
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProofError(f"Failed to run {arguments[0]}: {error}. Nothing was changed.") from error


def _make_scratch(candidate: Candidate, configuration: Path, data: Path) -> None:
    made = _run(
        [
            str(candidate.bin_directory / "initdb"),
            "--no-sync",
            "--no-instructions",
            "--auth=reject",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
            f"--pgdata={data}",
        ]
    )
    if made.returncode != 0:
        raise ProofError(
            f"Failed to create a scratch cluster in {data.parent}: {made.stderr.strip()}. Free 50 MB there. "
            "Nothing was changed."
        )
    try:
        shutil.copytree(candidate.config_directory, configuration)
        for path, text in candidate.files.items():
            copy = configuration / path.relative_to(candidate.config_directory)
            copy.parent.mkdir(exist_ok=True)
            copy.write_text(text, encoding="utf-8")
        automatic = "postgresql.auto.conf"
        if (candidate.data_directory / automatic).exists():
            shutil.copy(candidate.data_directory / automatic, data / automatic)
    except (OSError, shutil.Error) as error:
        raise ProofError(
            f"Failed to copy {candidate.config_directory}: {error}. Nothing was changed."
        ) from error


def _refuse(what: str, complaints: list[str]) -> None:
    raise ProofError(
        f"Failed to accept {what}: {'; '.join(complaints)}. Nothing was changed, the old configuration still"
        " applies."
    )


def _blamed(candidate: Candidate, complaints: list[str]) -> list[str]:
    """Return complaints about settings with their lines, and the nearest name for an unknown one."""
    described = _run([str(candidate.bin_directory / "postgres"), "--describe-config"]).stdout.splitlines()
    known = [line.split("\t", 1)[0] for line in described]
    text = candidate.files[candidate.settings]
    return [model.blame(said, text, str(candidate.settings), known) for said in complaints]


def _prove_settings(candidate: Candidate, data: Path, options: list[str], version: int) -> None:
    postgres = str(candidate.bin_directory / "postgres")
    asked = "shared_memory_size" if version >= _COMPUTES_MEMORY else "max_connections"
    started = _run([postgres, "-D", str(data), *options, "-C", asked])
    if started.returncode != 0:
        _refuse("the settings of PostgreSQL", _blamed(candidate, model.complaints(started.stderr)))
    if version >= _COMPUTES_MEMORY:
        needed = int(started.stdout.split()[-1])
        there = tuning.memory_mb(Path("/proc/meminfo").read_text(), [])
        if needed >= there:
            _refuse(
                "the settings of PostgreSQL",
                [
                    f"they need {needed} MB of shared memory, and this host has {there} MB."
                    " Lower shared_buffers"
                ],
            )


def _prove_rules(candidate: Candidate, scratch: Path, options: list[str], version: int) -> dict[str, str]:
    query = "SELECT line_number, error FROM {} WHERE error IS NOT NULL OR {} IS NULL ORDER BY 1"
    views = {"hba": query.format("pg_hba_file_rules", "type")}
    if version >= _COMPUTES_MEMORY:
        views["ident"] = query.format("pg_ident_file_mappings", "map_name")
    views["startup"] = "SELECT name, setting FROM pg_settings WHERE context = 'postmaster'"
    # Single-user mode reads one query a line.
    queries = "".join(
        f"COPY ({query}) TO '{scratch}/{name}.csv' (FORMAT csv)\n" for name, query in views.items()
    )
    postgres = str(candidate.bin_directory / "postgres")
    asked = _run([postgres, "--single", "-D", str(scratch / "data"), *options, "postgres"], queries)
    answers = {name: _csv(scratch / f"{name}.csv") for name in views}
    if asked.returncode != 0 or None in answers.values():
        _refuse("the configuration of PostgreSQL", _blamed(candidate, model.complaints(asked.stderr)))
    unknown = [said for said in model.complaints(asked.stderr) if "invalid configuration parameter" in said]
    if unknown:
        _refuse("the settings of PostgreSQL", _blamed(candidate, unknown))
    complaints = [
        model.blame_rule(str(path), candidate.files[path], int(number), error)
        for name, path in (("hba", candidate.hba), ("ident", candidate.ident))
        for number, error in answers.get(name) or []
    ]
    if complaints:
        _refuse("the client authentication of PostgreSQL", complaints)
    return dict(answers["startup"] or [])


def _csv(path: Path) -> list[list[str]] | None:
    if not path.exists():
        return None
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))
