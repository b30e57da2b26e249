# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A checkout, and the state of its targets below `.state`."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from pooled_runner.request import Refusal, Request

KEPT_RUNS = 10
Document = dict[str, Any]


@dataclass(frozen=True)
class Project:
    """A checkout, and the state of its targets below `.state`."""

    root: Path

    def state(self, target: str) -> Path:
        """Return the directory of one target's state."""
        return self.root / ".state" / target

    def new_run(self, target: str, verb: str) -> Path:
        """Create the directory of one run's artefacts and keep the last ten. Raises Refusal if it fails."""
        runs = self.state(target) / "runs"
        run = runs / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{verb}"
        try:
            for directory in (self.root / ".state", self.state(target), runs, run):
                directory.mkdir(mode=0o700, exist_ok=True)
                directory.chmod(0o700)
        except OSError as error:
            advice = f"Run as the owner of {self.root}, or free disk space."
            raise Refusal(f"Failed to create {run}: {error.strerror}. {advice}") from None
        for old in sorted(runs.iterdir())[:-KEPT_RUNS]:
            shutil.rmtree(old, ignore_errors=True)
        return run

    def unfinished(self, target: str) -> Path:
        """Return the directory where a running or interrupted benchmark collects its results."""
        return self.state(target) / "benchmark" / "current"

    def tuned(self, target: str) -> Path:
        """Return the inventory's file of applied advice. Ansible reads it after the other files there."""
        return self.root / "inventory" / target / "group_vars/all/tuned.yml"

    def read(self, target: str, name: str) -> Document:
        """Return a JSON document of the target's state, empty if it is missing or unreadable."""
        with contextlib.suppress(OSError, ValueError):
            found = json.loads((self.state(target) / name).read_text(encoding="utf-8"))
            return found if isinstance(found, dict) else {}
        return {}

    @contextlib.contextmanager
    def locked(self, request: Request) -> Iterator[None]:
        """Hold the target's lock if the request changes the target. Raises Refusal if another run does."""
        if not request.changes_target:
            yield
            return
        from ansible_collections.pooled.postgres.plugins.module_utils._site import lock  # noqa: PLC0415

        try:
            holder = lock.take(self.state(request.target), request.target, os.getpid())
        except lock.LockError as error:
            raise Refusal(str(error)) from None
        try:
            yield
        finally:
            lock.release(self.state(request.target), holder)


def private_file(path: Path) -> TextIO:
    """Open a new file for writing that only its owner can read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")
