"""Look for secrets in the arguments and environment of all processes."""

from __future__ import annotations

import threading
from pathlib import Path


class Watch(threading.Thread):
    """Read the arguments and environment of every process, also of the hosts, while the block runs."""

    def __init__(self, secrets: list[bytes]) -> None:
        super().__init__()
        self.secrets = secrets
        self.found: set[str] = set()
        self._seen: set[tuple[str, bytes]] = set()
        self._ended = threading.Event()

    @property
    def looked_at(self) -> int:
        """Number of programs seen so far."""
        return len(self._seen)

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        """Look until the block ends; each program once, to keep the cost low."""
        while not self._ended.wait(0.05):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    arguments = (process / "cmdline").read_bytes()
                    if (program := (process.name, arguments)) in self._seen:
                        continue
                    environment = (process / "environ").read_bytes()
                except OSError:
                    continue
                self._seen.add(program)
                for name, content in (("cmdline", arguments), ("environ", environment)):
                    if any(secret in content for secret in self.secrets):
                        self.found.add(f"{name}: {arguments[:60]!r}")
