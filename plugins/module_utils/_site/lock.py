# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lock of a target: one run at a time changes it.

The lock is a file that names a process. It holds for as long as that process lives, so a killed run leaves no
stale lock. Process id, start time and boot id together identify the process: a process id alone is reused.
A process whose ancestor holds the lock may continue, so that the playbooks of runner.py need no other lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

NAME = "lock"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_HIDDEN = "..."


class LockError(Exception):
    """Another run holds the lock, or the lock file can't be written. The text is a whole message."""


class Holder(NamedTuple):
    """A process that holds the lock."""

    pid: int
    start: str | None  # in clock ticks since boot; None where /proc is missing
    boot: str | None
    command: str
    since: str

    def lives(self) -> bool:
        """Return whether this very process still runs."""
        if self.boot != _boot_id():
            return False
        if self.start is not None:
            return _stat(self.pid)[1] == self.start
        try:
            os.kill(self.pid, 0)
        except PermissionError:
            return True
        except OSError:
            return False
        return True


def take(directory: Path, target: str, pid: int, argv: Sequence[str] | None = None) -> Holder:
    """Take the lock for a process, unless it or one of its ancestors already holds it.

    Args:
        directory: the target's state; created if it is missing.
        target: the target's name, for the message.
        pid: the process.
        argv: the process' command line, for the message; by default that of this process.

    Returns:
        Who holds the lock now.

    Raises:
        LockError: another run holds it.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _opened(directory / NAME) as descriptor:
            holder = _read(descriptor)
            if holder and holder.lives():
                if holder.pid in ancestors(pid):
                    return holder
                raise LockError(_refusal(target, holder))
            since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
            command = visible(sys.argv if argv is None else argv)
            holder = Holder(pid, _stat(pid)[1], _boot_id(), command, since)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder._asdict()).encode(), 0)
    except OSError as error:
        raise LockError(
            f"Failed to lock {target}: {directory / NAME}: {error.strerror}. Run as the owner of {directory}."
        ) from error
    return holder


def release(directory: Path, holder: Holder) -> None:
    """Release the lock if this holder still has it. It may be gone together with the directory."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory / NAME, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _read(descriptor) == holder:
                os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)


def visible(argv: Sequence[str]) -> str:
    """Return a command line without the values of extra variables, which may be secrets."""
    shown: list[str] = []
    hide = False
    for word in [Path(argv[0]).name, *argv[1:]] if argv else []:
        name, is_assignment, _value = word.partition("=")
        if hide:
            shown.append(_HIDDEN)
        elif name == "--extra-vars" and is_assignment:
            shown.append(f"--extra-vars={_HIDDEN}")
        elif word.startswith("-e") and word != "-e":
            shown.append(f"-e {_HIDDEN}")
        else:
            shown.append(word)
        hide = not hide and word in ("-e", "--extra-vars")
    return " ".join(shown)


def ancestors(pid: int) -> list[int]:
    """Return a process and those above it."""
    found: list[int] = []
    while pid > 0 and pid not in found:
        found.append(pid)
        pid = _stat(pid)[0]
    return found


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open the lock file while no other process reads or writes it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # A teardown removes the directory; a file that has no name any more locks nothing.
            if os.fstat(descriptor).st_nlink:
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _read(descriptor: int) -> Holder | None:
    with contextlib.suppress(ValueError, TypeError):
        found: dict[str, Any] = json.loads(os.pread(descriptor, 65536, 0))
        return Holder(**found)
    return None


def _stat(pid: int) -> tuple[int, str | None]:
    """Return a process' parent and start time; 0 and None if it is gone, is a zombie or /proc is missing."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0, None
    # The name, in parentheses, may contain anything.
    fields = text.rpartition(")")[2].split()
    return (0, None) if fields[0] in "ZX" else (int(fields[1]), fields[19])


def _boot_id() -> str | None:
    with contextlib.suppress(OSError):
        return _BOOT_ID.read_text(encoding="utf-8").strip()
    return None


def _refusal(target: str, holder: Holder) -> str:
    return (
        f"Failed to lock {target}: `{holder.command}` (process {holder.pid}) changes it"
        f" since {holder.since}. Wait until it ends, or stop it with `kill -INT {holder.pid}`."
    )
