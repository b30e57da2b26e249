# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Progress of a run on stderr."""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import Any

from pooled_runner.events import COUNTERS, Notice, RunState

STYLES = {"running": "cyan", "ok": "green", "changed": "yellow", "skipped": "dim"}


class Progress:
    """Progress on stderr.

    A terminal shows the current task and its hosts at the bottom; messages scroll past above them.
    Anywhere else each play and task is one plain line.
    """

    def __init__(self, state: RunState) -> None:
        self.state = state
        self._live: Any = None
        if sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
            # A pipe needs none of this.
            from rich.console import Console  # noqa: PLC0415
            from rich.live import Live  # noqa: PLC0415

            # Without a thread of its own, which would read the state while an event changes it.
            how: dict[str, Any] = dict.fromkeys(("auto_refresh", "redirect_stdout", "redirect_stderr"), False)
            how.update(console=Console(stderr=True), get_renderable=self._render, transient=True)
            self._live = Live(**how)

    def __enter__(self) -> None:
        if self._live:
            self._live.start()

    def __exit__(self, *_error: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, notice: Notice) -> None:
        """Print a message."""
        if self._live and notice.kind not in ("play", "task"):
            from rich.text import Text  # noqa: PLC0415

            style = {"failure": "bold red", "warning": "yellow", "played": "bold"}.get(notice.kind, "")
            self._live.console.print(Text(notice.text, style), soft_wrap=True)
        elif not self._live and notice.kind != "played":
            mark = {"play": "PLAY ", "failure": "FAILED ", "message": "  "}.get(notice.kind, "")
            text = (mark + notice.text).replace("\n", "\n" + " " * 12)
            print(f"[{notice.at:6.1f}s] {text}", file=sys.stderr, flush=True)
        self.refresh()

    def refresh(self) -> None:
        """Redraw the bottom of the terminal."""
        if self._live:
            self._live.refresh()

    def _render(self) -> Any:
        from rich.console import Group  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        state = self.state
        where = f"{state.play}: {state.task}" if state.task else state.play or "ansible-playbook starts"
        where = state.progress or where
        hosts = Table.grid(padding=(0, 2))
        for host, doing in state.doing.items():
            hosts.add_row("       ", host, Text(doing, STYLES.get(doing, "bold red")))
        total = sum((Counter(counts) for counts in state.hosts().values()), Counter[str]())
        counted = "  ".join(f"{name} {total[name]}" for name in COUNTERS)
        rows = [hosts] if state.doing else []
        head = Text(f"{state.elapsed():7.1f}s  {where}", "bold")
        return Group(head, *rows, Text(" " * 10 + counted, "dim"))
