# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The state of a run, folded from ansible-runner's events. No I/O."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pooled_runner.messages import failure_text, lines_of

COUNTERS = ("ok", "changed", "unreachable", "failed", "skipped")
Event = Mapping[str, Any]
_WARNING = re.compile(r"^\[((?:DEPRECATION )?WARNING)\]:\s*(.+?)\s*$", re.MULTILINE)
_ERROR = re.compile(r"^(?:\[ERROR\]:|ERROR[!:]|ansible-playbook: error:)\s*(.+)")


@dataclass(frozen=True)
class Notice:
    """A message for the user, with its time in seconds since the start.

    Kinds: play (begins), played, task (both ended), failure, warning, message.
    """

    kind: str
    text: str
    at: float


def _counters() -> defaultdict[str, Counter[str]]:
    return defaultdict(Counter)


@dataclass
class RunState:
    """The state of a run. All times are those of the events."""

    started: datetime
    play: str = ""
    task: str = ""
    progress: str = ""
    doing: dict[str, str] = field(default_factory=dict)
    failures: list[dict[str, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    tasks: list[tuple[float, str]] = field(default_factory=list)
    _settled: defaultdict[str, Counter[str]] = field(default_factory=_counters)
    _counted: defaultdict[str, Counter[str]] = field(default_factory=_counters)
    _in_task: Counter[str] = field(default_factory=Counter)
    _task_at: float = 0.0
    _play_at: float = 0.0
    _said: set[str] = field(default_factory=set)

    def fold(self, event: Event) -> list[Notice]:
        """Take in one event and return the messages for the user."""
        kind, data, stdout = event.get("event"), event.get("event_data") or {}, event.get("stdout") or ""
        at = (datetime.fromisoformat(event["created"]) - self.started).total_seconds()
        said: list[tuple[str, object]] = [("warning", text) for text in self._new_warnings(stdout)]
        if kind in ("verbose", "error"):
            self._remember_error(stdout)
        elif kind in ("playbook_on_play_start", "playbook_on_task_start", "playbook_on_stats"):
            said += self._close(kind, at)
            said += self._open(kind, data, at)
        elif kind == "runner_on_start":
            self.doing[data["host"]] = "running"
        elif kind == "runner_on_file_diff":
            said.append(("message", stdout))
        elif kind in ("runner_on_ok", "runner_item_on_ok"):
            said += self._debug(data) + self._progress(data)
        if kind in ("runner_on_ok", "runner_on_failed", "runner_on_unreachable", "runner_on_skipped"):
            said += self._count("ignored" if data.get("ignore_errors") else kind[len("runner_on_") :], data)
        texts = [(about, "\n".join(lines_of(what))) for about, what in said]
        return [Notice(about, text, at) for about, text in texts if text.strip()]

    def elapsed(self) -> float:
        """Return the seconds since the start, by the clock."""
        return (datetime.now(UTC) - self.started).total_seconds()

    def hosts(self) -> dict[str, dict[str, int]]:
        """Return the counters of each host by Ansible's names."""
        seen = list({**self._settled, **self._counted})
        return {host: {n: self._settled[host][n] + self._counted[host][n] for n in COUNTERS} for host in seen}

    def _new_warnings(self, stdout: str) -> list[str]:
        found = dict.fromkeys(f"{kind.lower()}: {text}" for kind, text in _WARNING.findall(stdout))
        fresh = [text for text in found if text not in self._said]
        self._said.update(fresh)
        return fresh

    def _remember_error(self, stdout: str) -> None:
        """Keep the error of an ansible-playbook that fails outside of any task."""
        for line in lines_of(stdout):
            if found := _ERROR.match(line):
                self.errors.append(found[1])
            elif line.startswith("Origin: ") and self.errors:
                self.errors[-1] += f" ({line[len('Origin: ') :]})"

    def _close(self, kind: str, at: float) -> list[tuple[str, object]]:
        """End the current task and, unless another task starts, the play."""
        said: list[tuple[str, object]] = []
        if self.task:
            self.tasks.append((round(at - self._task_at, 1), self.task))
            counts = " ".join(f"{name}={number}" for name, number in self._in_task.items())
            said.append(("task", f"{self.task} ... {counts}"))
        if self.play and kind != "playbook_on_task_start":
            said.append(("played", f"{at - self._play_at:7.1f}s  {self.play}"))
            self.play = ""
        self.task, self.progress, self.doing = "", "", {}
        return said

    def _open(self, kind: str, data: Event, at: float) -> list[tuple[str, object]]:
        if kind == "playbook_on_play_start":
            self.play, self._play_at = data["name"], at
            return [("play", self.play)]
        if kind == "playbook_on_task_start":
            role = data.get("role", "").rpartition(".")[2]
            self.task = f"{role} : {data['task']}" if role else data["task"]
            self._task_at, self._in_task = at, Counter()
            return []
        # Ansible's totals replace the sums of the events: they count includes, and no rescued failures.
        for host in data["processed"]:
            totals = {**data, "unreachable": data["dark"], "failed": data["failures"]}
            self._settled[host].update({name: totals[name].get(host, 0) for name in COUNTERS})
        self._counted.clear()
        left = Counter[str](data["failures"]) + Counter[str](data["dark"])
        for index in reversed(range(len(self.failures))):
            if not left[self.failures[index]["host"]]:
                del self.failures[index]
            else:
                left[self.failures[index]["host"]] -= 1
        return []

    def _debug(self, data: Event) -> list[tuple[str, object]]:
        result = data.get("res") or {}
        shown = data.get("resolved_action") == "ansible.builtin.debug" and "results" not in result
        return [("message", result.get("msg", ""))] if shown else []

    def _progress(self, data: Event) -> list[tuple[str, object]]:
        """Show the progress that a long benchmark reports."""
        result = data.get("res") or {}
        if data.get("resolved_action") != "pooled.postgres.benchmark" or "progress" not in result:
            return []
        self.progress = str(result["progress"])
        return [("message", self.progress)]

    def _count(self, outcome: str, data: Event) -> list[tuple[str, object]]:
        host, result = data["host"], data.get("res") or {}
        changed = outcome in ("ok", "ignored") and bool(result.get("changed"))
        counts = ["ok" if outcome == "ignored" else outcome, *(["changed"] if changed else [])]
        self.doing[host] = "changed" if changed else outcome
        self._counted[host].update(counts)
        self._in_task.update(counts)
        if outcome not in ("failed", "unreachable"):
            return []
        text = failure_text(result, data.get("task_path", ""))
        self.failures.append({"host": host, "task": self.task, "message": text})
        return [("failure", f"{host}: {self.task}: {text}")]
