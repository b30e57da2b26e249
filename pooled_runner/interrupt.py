# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stop ansible-playbook and every process below it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

# ansible-playbook gives its workers 5 s to stop. A worker that takes longer hangs.
GRACE_SECONDS = 8.0


class Interrupt:
    """Handle Ctrl-C and other signals: the first asks ansible-playbook to stop, the second kills it at once.

    ansible-runner kills ansible-playbook's process group, but each of Ansible's workers leads its own
    session: the workers, and the ssh and modules below them, would survive. So this class records all
    descendants while they can still be found. Processes that detached earlier (ssh's shared connections, the
    lab's services) keep running.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.signal = 0
        self._tell = tell
        self._times = 0
        self._asked_at = 0.0
        self._recorded: dict[int, int] = {}

    def caught(self, number: int, _frame: object) -> None:
        """Record a signal; `pending` acts on it."""
        self.signal = self.signal or number
        self._times += 1

    def pending(self) -> bool:
        """Act on a recorded signal. Return whether ansible-runner should kill ansible-playbook now."""
        if not self.signal:
            return False
        ours = self.record_processes()
        if not self._asked_at:
            self._asked_at = time.monotonic()
            self._tell("interrupted: ansible-playbook stops now; interrupt again to kill it")
            for pid in ours:
                os.kill(pid, signal.SIGINT)
        return self._times > 1 or time.monotonic() - self._asked_at > GRACE_SECONDS

    def record_processes(self) -> list[int]:
        """Record all descendants of this process and of recorded processes; return this process' children."""
        children = defaultdict(list)
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
                children[int(fields[1])].append(int(stat.parent.name))
        known = [os.getpid(), *self._send(0)]
        for parent in known:  # grows during the loop
            for pid in set(children[parent]).difference(known):
                known.append(pid)
                with contextlib.suppress(OSError):
                    # A process id is reused; a descriptor is not.
                    self._recorded[pid] = os.pidfd_open(pid)
        return children[os.getpid()]

    def reap(self) -> None:
        """Kill all recorded processes."""
        stopped = 0
        while stopped < len(self._recorded):
            # Stop all before killing one: a process may start another when its child dies.
            stopped = len(self._recorded)
            self._send(signal.SIGSTOP)
            self.record_processes()
        self._send(signal.SIGKILL)
        while self._recorded:
            os.close(self._recorded.popitem()[1])

    def _send(self, number: int) -> list[int]:
        """Send a signal to the recorded processes, and return those that still run."""
        living = []
        for pid, descriptor in self._recorded.items():
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(descriptor, number)
                living.append(pid)
        return living
