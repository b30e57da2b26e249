"""The lock of a target among processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._site import lock

ARGV = ["/venv/bin/ansible-playbook", "site.yml"]


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """Return a process that is no ancestor of this one."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def test_a_living_process_keeps_the_lock(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    holder = lock.take(tmp_path / "state", "lab", other.pid, ARGV)
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "state/lock").stat().st_mode & 0o777 == 0o600
    assert lock.take(tmp_path / "state", "lab", other.pid, ARGV) == holder
    with pytest.raises(lock.LockError) as refusal:
        lock.take(tmp_path / "state", "lab", os.getpid(), ARGV)
    assert str(refusal.value) == (
        f"Failed to lock lab: `ansible-playbook site.yml` (process {other.pid}) changes it since"
        f" {holder.since}. Wait until it ends, or stop it with `kill -INT {other.pid}`."
    )


@pytest.mark.parametrize("reaped", [True, False])
def test_a_killed_process_leaves_no_lock(
    reaped: bool, tmp_path: Path, other: subprocess.Popen[bytes]
) -> None:
    lock.take(tmp_path, "lab", other.pid, ARGV)
    other.kill()
    if reaped:
        other.wait()
    else:  # a zombie
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert lock.take(tmp_path, "lab", os.getpid(), ARGV).pid == os.getpid()


@pytest.mark.parametrize("changes", [{"start": "1"}, {"boot": "another"}])
def test_a_reused_process_id_holds_no_lock(
    changes: dict[str, str], tmp_path: Path, other: subprocess.Popen[bytes]
) -> None:
    holder = lock.take(tmp_path, "lab", other.pid, ARGV)
    (tmp_path / "lock").write_text(json.dumps({**holder._asdict(), **changes}))
    assert lock.take(tmp_path, "lab", os.getpid(), ARGV).pid == os.getpid()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', "\0" * 100])
def test_a_damaged_file_is_no_lock(content: str, tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(content)
    assert lock.take(tmp_path, "lab", os.getpid(), ARGV).pid == os.getpid()


def test_a_process_shares_the_lock_of_its_ancestor(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    holder = lock.take(tmp_path, "lab", os.getpid(), ARGV)
    assert lock.take(tmp_path, "lab", other.pid, ["ansible-playbook"]) == holder


def test_only_its_holder_releases_a_lock(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    holder = lock.take(tmp_path, "lab", other.pid, ARGV)
    lock.release(tmp_path, holder._replace(pid=1))
    with pytest.raises(lock.LockError):
        lock.take(tmp_path, "lab", os.getpid(), ARGV)
    lock.release(tmp_path, holder)
    lock.take(tmp_path, "lab", os.getpid(), ARGV)
    lock.release(tmp_path / "removed", holder)


def test_one_of_many_processes_takes_the_lock(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys, pathlib\n"
        "from ansible_collections.pooled.postgres.plugins.module_utils._site import lock\n"
        "sys.stdin.read()\n"
        "try: lock.take(pathlib.Path(sys.argv[1]), 'lab', os.getpid())\n"
        "except lock.LockError: print('refused', flush=True)\n"
        "else: print('taken', flush=True)\n"
        "signal.pause()\n"
    )
    pipe: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [sys.executable, "-c", program, str(tmp_path)]
    processes = [subprocess.Popen(command, **pipe) for _ in range(6)]
    try:
        for process in processes:
            assert process.stdin
            process.stdin.close()
        said = [process.stdout.readline() for process in processes if process.stdout]
    finally:
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert sorted(said) == [b"refused\n"] * 5 + [b"taken\n"]


def test_an_unwritable_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(lock.LockError, match=r"Failed to lock lab: .*: Not a directory. Run as the owner of"):
        lock.take(tmp_path / "file/state", "lab", os.getpid(), ARGV)


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["/bin/ansible-playbook", "site.yml"], "ansible-playbook site.yml"),
        (["p", "-e", "password=x", "--tags", "a"], "p -e ... --tags a"),
        (["p", "--extra-vars", "password=x"], "p --extra-vars ..."),
        (["p", "--extra-vars=password=x", "-epassword=x"], "p --extra-vars=... -e ..."),
        (["p", "-e", "-e", "-e", "x"], "p -e ... -e ..."),
        ([], ""),
    ],
)
def test_a_visible_command_hides_extra_variables(argv: list[str], shown: str) -> None:
    assert lock.visible(argv) == shown
