# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How pgbench is found, started, watched and ended, with programs that stand in for it."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._pgbench import api, model
from ansible_collections.pooled.postgres.plugins.module_utils._pgbench.errors import (
    InterruptedRunError,
    InvalidInputError,
    PgbenchError,
)

if TYPE_CHECKING:
    from tests.unit.plugins.module_utils._pgbench.conftest import Runner

TARGET = model.Target(host="127.0.0.1", port=1, user="myuser", database="mydb", password="s3:cret")
WORKLOAD = model.Workload(clients=2, transactions=1)
FIGURES = """\
pgbench (17.11)
number of transactions actually processed: 2/2
number of failed transactions: 0 (0.000%)
tps = 10.5 (without initial connection time)
"""
Program = Callable[[str], str]
Eventually = Callable[[Callable[[], object]], None]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Return a function that makes a shell script and returns its path."""

    def make(script: str) -> str:
        path = tmp_path / "pgbench"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    return make


def run(
    executable: str, tmp_path: Path, workload: model.Workload = WORKLOAD, timeout: int = 20
) -> dict[str, Any]:
    return api.run(TARGET, workload, executable=executable, timeout=timeout, directory=str(tmp_path))


def is_running(pid: int) -> bool:
    """Return whether the process is there, and not only as a zombie that waits for its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# --- Executable -----------------------------------------------------------------------------------------


def test_executable_of_the_task(program: Program) -> None:
    path = program("")
    assert api.find_executable(path) == path


@pytest.mark.parametrize("mode", [None, 0o644])
def test_no_such_executable(tmp_path: Path, mode: int | None) -> None:
    path = tmp_path / "pgbench"
    if mode is not None:
        path.touch()
        path.chmod(mode)
    with pytest.raises(PgbenchError, match=f"Failed to find pgbench: {path} is not an executable file"):
        api.find_executable(str(path))


def test_executable_on_path(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    path = program("")
    monkeypatch.setenv("PATH", str(Path(path).parent))
    assert api.find_executable(None) == path


def test_newest_executable_of_debian(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("9", "15", "17"):
        directory = tmp_path / version / "bin"
        directory.mkdir(parents=True)
        Path(program("")).rename(directory / "pgbench")
    (tmp_path / "old" / "bin").mkdir(parents=True)
    (tmp_path / "old" / "bin" / "pgbench").touch()
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(api, "DEBIAN_PROGRAMS", tmp_path)
    assert api.find_executable(None) == str(tmp_path / "17" / "bin" / "pgbench")


def test_no_executable_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(api, "DEBIAN_PROGRAMS", tmp_path)
    with pytest.raises(PgbenchError, match=r"Failed to find pgbench: .* postgresql-17, or set executable"):
        api.find_executable(None)


def test_executable_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "pgbench"
    path.write_text("no program at all")
    path.chmod(0o755)
    with pytest.raises(PgbenchError, match=f"Failed to start {path}: Exec format error"):
        run(str(path), tmp_path)


# --- Start ----------------------------------------------------------------------------------------------


def test_what_pgbench_gets(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = tmp_path / "seen"
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.1")
    monkeypatch.setenv("SECRET", "s3:cret")
    script = f"""
mkdir {seen}
tr '\\0' '\\n' < /proc/$$/environ > {seen}/environment
echo "$@" > {seen}/arguments
cat "$PGPASSFILE" > {seen}/passfile
stat -c %a . "$PGPASSFILE" > {seen}/modes
cat script.sql > {seen}/script
pwd > {seen}/directory
"""
    workload = model.Workload(transactions=1, script_content="SELECT 'ä';")
    run(program(script), tmp_path, workload)
    directory = (seen / "directory").read_text().strip()
    environment = dict(line.split("=", 1) for line in (seen / "environment").read_text().splitlines())
    assert environment == {
        "PATH": os.environ["PATH"],
        "HOME": directory,
        "LC_ALL": "C",
        "PGSSLMODE": "prefer",
        "PGPASSFILE": f"{directory}/passfile",
    }
    assert "cret" not in (seen / "arguments").read_text()
    assert (seen / "passfile").read_text() == "*:*:*:*:s3\\:cret\n"
    assert (seen / "modes").read_text().split() == ["700", "600"]
    assert (seen / "script").read_text() == "SELECT 'ä';"
    assert not Path(directory).exists()


def test_what_a_run_took_is_measured(program: Program, tmp_path: Path) -> None:
    measured = run(program(f"i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo '{FIGURES}'"), tmp_path)[
        "measured"
    ]
    assert measured["start"] < measured["end"] <= time.time()
    assert 0 < measured["cpu_seconds"] <= measured["end"] - measured["start"] + 0.02
    assert measured["processors"] == len(os.sched_getaffinity(0))


def test_what_a_killed_run_took_is_not_known(program: Program, tmp_path: Path) -> None:
    assert run(program("sleep 30"), tmp_path, timeout=1)["measured"]["cpu_seconds"] is None


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        (
            (5000, 0),
            "the clients need 5016 open files, and the limit is 2000. Use fewer clients, or raise",
        ),
        ((1, 10**18), r"its log needs up to 1,000,000,000,000 MB in .*, which has .* MB free. Free space"),
    ],
)
def test_a_host_that_can_not_carry_the_load(
    program: Program,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sizes: tuple[int, int],
    says: str,
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 2000))
    with pytest.raises(InvalidInputError, match=says):
        api.check(sizes[0], 0, sizes[1], executable=program(""), directory=str(tmp_path))


def test_a_host_that_can(program: Program, tmp_path: Path) -> None:
    found = api.check(50, 2, 1000, executable=program(""), directory=str(tmp_path))
    assert found["processors"] >= 1
    assert 0 <= found["busy"] <= 1
    assert found["system"]["kernel"] == os.uname().release
    assert found["system"]["memory_mb"] > 0
    assert found["system"]["distribution"]
    assert found["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_no_place_for_files(program: Program, tmp_path: Path) -> None:
    with pytest.raises(PgbenchError, match=r"Failed to write files to .*/nowhere: No such file or directory"):
        run(program(""), tmp_path / "nowhere")


def test_no_password_no_file(program: Program, tmp_path: Path) -> None:
    executable = program('echo "pgbench: error: ${PGPASSFILE-none} $(ls -A)" >&2; exit 1')
    target = model.Target(host="", port=1, user="u", database="d")
    outcome = api.run(target, WORKLOAD, executable=executable, timeout=20, directory=str(tmp_path))
    assert outcome["run"]["error"] == "none"


def test_the_module_keeps_its_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.1")
    before = dict(os.environ)
    with api._environment({"HOME": "/nonexistent"}):
        assert dict(os.environ) == {"HOME": "/nonexistent"}
    assert dict(os.environ) == before


def test_pgbench_has_no_input(run_module: Runner, program: Program) -> None:
    """The module's own is what Ansible sends it."""
    executable = program('echo "pgbench: error: $(readlink /proc/$$/fd/0)" >&2; exit 1')
    result = run_module(action="run", login_db="mydb", transactions=1, executable=executable)
    assert result["run"]["error"] == "/dev/null"


def limits(monkeypatch: pytest.MonkeyPatch, soft: int, hard: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))


def test_more_clients_than_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Program) -> None:
    limits(monkeypatch, 1024, 4096)
    started = tmp_path / "started"
    executable = program(f"touch {started}")
    with pytest.raises(InvalidInputError, match="the clients need 5031 open files, and the limit is 4096"):
        run(executable, tmp_path, model.Workload(clients=5000, jobs=5, transactions=1))
    assert not started.exists()


@pytest.mark.parametrize(
    ("soft", "clients", "expected"),
    [(64, 100, 119), (64, 10, 64), (resource.RLIM_INFINITY, 100, resource.RLIM_INFINITY)],
)
def test_limit_of_open_files_is_raised(
    monkeypatch: pytest.MonkeyPatch, soft: int, clients: int, expected: int
) -> None:
    limits(monkeypatch, soft, resource.RLIM_INFINITY)
    needed = model.Workload(clients=clients, transactions=1).open_files
    assert api._file_limits(needed) == (expected, resource.RLIM_INFINITY)


def test_pgbench_has_the_raised_limit(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limits(monkeypatch, 10, hard)
    outcome = run(program('echo "pgbench: error: $(ulimit -Sn)" >&2; exit 1'), tmp_path)
    assert outcome["run"]["error"] == str(model.Workload(clients=2).open_files)


# --- Result ---------------------------------------------------------------------------------------------


def logging(log: str) -> str:
    """Return a script that ends well and leaves a log."""
    return f"cat <<'EOF'\n{FIGURES}EOF\nprintf '{log}' > log.7; printf '1 1 3000 0 1 2\\n' > log.7.1"


def test_logs_of_all_threads(program: Program, tmp_path: Path) -> None:
    outcome = run(program(logging("0 1 1000 0 1 2\\n")), tmp_path)
    assert outcome["run"]["error"] is None
    assert outcome["run"]["tps"] == 10.5
    assert outcome["run"]["latency_ms"]["avg"] == 2.0
    assert outcome["details"]["latencies_logged"] == 2
    assert outcome["stdout"] == FIGURES
    assert outcome["warning"] is None


@pytest.mark.parametrize(
    ("log", "error"),
    [
        ("", "the log holds 1 of 2 transactions. Check whether the disk is full"),
        (
            "0 1 10",
            "Failed to read the log of transactions: a line is damaged. Check whether the disk is full.",
        ),
    ],
)
def test_damaged_log(program: Program, tmp_path: Path, log: str, error: str) -> None:
    outcome = run(program(logging(log)), tmp_path)
    assert outcome["run"]["error"] == error
    assert outcome["run"]["tps"] == 10.5


def test_warning(program: Program, tmp_path: Path) -> None:
    executable = program(logging("0 1 1000 0 1 2\\n") + "\necho 'pgbench: error: ERROR:  odd' >&2")
    outcome = run(executable, tmp_path)
    assert outcome["run"]["error"] is None
    assert outcome["warning"] == "pgbench reported: odd"


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("exit 0", "pgbench printed no figures. Check executable"),
        ("kill -KILL $$", "signal 9 killed pgbench. See the kernel's log"),
        ("echo 'pgbench: error: so it is' >&2; exit 1", "so it is"),
        ("printf 'pgbench: error: \\377' >&2; exit 1", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_failures_are_results(program: Program, tmp_path: Path, script: str, error: str) -> None:
    outcome = run(program(script), tmp_path)
    assert outcome["run"]["error"] == error
    assert outcome["run"]["transactions"] is outcome["run"]["tps"] is outcome["run"]["failed"] is None


def test_much_output(program: Program, tmp_path: Path) -> None:
    many = 20_000
    executable = program(
        f"seq {many}; i=0; while [ $i -lt {many} ]; do echo 'pgbench: error: again'; i=$((i+1)); done >&2\n"
        "exit 1"
    )
    outcome = run(executable, tmp_path)
    assert outcome["run"]["error"] == f"again ({many} times)"
    assert len(outcome["stdout"].splitlines()) == many


def test_a_failed_initialisation_is_an_exception(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = model.Tables(present=(), keyed=(), scale=None)
    monkeypatch.setattr(api, "_read_tables", lambda *_: nothing)
    executable = program("echo 'pgbench: error: query failed: ERROR:  no such luck' >&2; exit 1")
    with pytest.raises(PgbenchError, match=r"^Failed to initialise database mydb at .*:1: no such luck$"):
        api.initialise(TARGET, 1, executable=executable, timeout=20, directory=str(tmp_path))


def test_without_psycopg2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "psycopg2", None)
    with pytest.raises(PgbenchError, match=r"Failed to read the tables of .* has no psycopg2.* python3-psyc"):
        api.initialise(TARGET, 1, executable=None, timeout=20, directory=str(tmp_path))


# --- End ------------------------------------------------------------------------------------------------


def test_timeout(program: Program, tmp_path: Path, eventually: Eventually) -> None:
    executable = program(f"sleep 600 & echo $! $$ > {tmp_path}/pids; wait")
    begin = time.monotonic()
    outcome = run(executable, tmp_path, timeout=1)
    assert time.monotonic() - begin < 5
    assert outcome["run"]["error"] == ("pgbench was killed after 1 s. Check for locks, or raise timeout")
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    eventually(lambda: not any(map(is_running, pids)))


def test_what_a_script_leaves_in_the_background_does_not_hold_the_run(
    program: Program, tmp_path: Path
) -> None:
    executable = program(f"sleep 600 & echo $! > {tmp_path}/pid; echo 'pgbench: error: done' >&2; exit 1")
    begin = time.monotonic()
    try:
        assert run(executable, tmp_path)["run"]["error"] == "done"
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert time.monotonic() - begin < 5


def test_figures_that_come_when_a_wait_is_just_over_are_not_lost(
    program: Program, tmp_path: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs of whole seconds end when a wait of a second does."""
    executable = program(
        f"echo $$ > {tmp_path}/pid; until test -e {tmp_path}/go; do sleep 0.01; done; printf %s '{FIGURES}'"
    )
    ready = api._Watch.ready

    def slow(watch: api._Watch, events: Mapping[int, int]) -> set[int]:
        found = ready(watch, events)
        if not found:
            (tmp_path / "go").touch()
            eventually(lambda: not is_running(int((tmp_path / "pid").read_text())))
        return found

    monkeypatch.setattr(api._Watch, "ready", slow)
    assert run(executable, tmp_path)["stdout"] == FIGURES


def test_a_server_that_never_answers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = model.Target("127.0.0.1", silent.getsockname()[1], "u", "d")
        begin = time.monotonic()
        with pytest.raises(PgbenchError, match=r"Failed to initialise database d at .*: it took over 1 s"):
            api.initialise(target, 1, executable=None, timeout=1, directory=str(tmp_path))
    assert time.monotonic() - begin < 5


def test_a_second_signal_does_not_disturb() -> None:
    with pytest.raises(InterruptedRunError, match="stopped by SIGTERM"), api._signals_as_exceptions():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            for number in api._SIGNALS:
                signal.raise_signal(number)


def test_signal_handlers_are_put_back(program: Program, tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in api._SIGNALS]
    run(program("exit 1"), tmp_path)
    assert [signal.getsignal(number) for number in api._SIGNALS] == before


# --- Interruption ---------------------------------------------------------------------------------------


class Running(NamedTuple):
    """The module while it waits for a pgbench that goes on for long."""

    process: subprocess.Popen[bytes]
    pids: list[int]


@pytest.fixture
def running(
    run_module: Runner, program: Program, tmp_path: Path, eventually: Eventually
) -> Iterator[Running]:
    """Start the module as a process, with a pgbench that has a child of its own."""
    file = tmp_path / "pids"
    process = run_module.start(
        {
            "action": "run",
            "login_db": "mydb",
            "login_password": "s3cret",
            "transactions": 1,
            "executable": program(f"sleep 600 & echo $! $$ > {file}.new; mv {file}.new {file}; wait"),
        }
    )
    eventually(file.exists)
    pids = [int(pid) for pid in file.read_text().split()]
    assert all(map(is_running, pids))
    assert any(path.name == "passfile" for path in run_module.leftovers())
    yield Running(process, pids)
    for pid in filter(is_running, pids):
        os.kill(pid, signal.SIGKILL)


def test_pgbench_ends_when_nobody_reads_the_result(
    running: Running, run_module: Runner, eventually: Eventually
) -> None:
    assert running.process.stdout is not None
    running.process.stdout.close()
    eventually(lambda: not any(map(is_running, running.pids)))
    running.process.wait(10)
    assert run_module.leftovers() == []


def test_pgbench_ends_when_the_channel_is_hung_up(
    run_module: Runner, program: Program, tmp_path: Path, eventually: Eventually
) -> None:
    """As with sshd, whose end of the module's standard output is a socket."""
    ours, theirs = socket.socketpair()
    executable = program(
        f"echo $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; exec sleep 600"
    )
    arguments = {"action": "run", "login_db": "mydb", "transactions": 1, "executable": executable}
    process = run_module.start(arguments, stdout=theirs.fileno())
    theirs.close()
    eventually((tmp_path / "pid").exists)
    pid = int((tmp_path / "pid").read_text())
    assert is_running(pid)
    ours.close()
    eventually(lambda: not is_running(pid))
    process.wait(10)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_pgbench_ends_at_a_signal(running: Running, run_module: Runner, number: signal.Signals) -> None:
    running.process.send_signal(number)
    result = run_module.result(running.process)
    assert result["failed"] is True
    assert result["msg"] == f"Failed to run pgbench: stopped by {number.name}"
    assert not any(map(is_running, running.pids))
    assert run_module.leftovers() == []


def test_pgbench_ends_even_if_the_module_is_killed(running: Running, eventually: Eventually) -> None:
    running.process.kill()
    pgbench = running.pids[1]
    eventually(lambda: not is_running(pgbench))
