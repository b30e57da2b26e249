# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The state of a run, and its outcome."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pooled_runner import events, execute
from pooled_runner.events import RunState
from pooled_runner.project import Project
from pooled_runner.request import Request

START = datetime(2026, 1, 1, tzinfo=UTC)


def event(at: float, kind: str, stdout: str = "", /, **data: Any) -> dict[str, Any]:
    """Return an event of ansible-runner."""
    created = (START + timedelta(seconds=at)).isoformat()
    return {"event": kind, "created": created, "stdout": stdout, "event_data": data}


def result(at: float, kind: str, host: str, stdout: str = "", /, **data: Any) -> dict[str, Any]:
    """Return the event of a host's result."""
    return event(at, f"runner_on_{kind}", stdout, host=host, **data)


def stats(at: float, **totals: dict[str, int]) -> dict[str, Any]:
    """Return a playbook's last event."""
    names = ("ok", "changed", "dark", "failures", "skipped", "processed")
    data: dict[str, Any] = {name: totals.get(name, {}) for name in names}
    return event(at, "playbook_on_stats", **data)


def fold(*events: dict[str, Any]) -> tuple[RunState, list[tuple[str, str]]]:
    """Return the state after these events, and the messages."""
    state = RunState(START)
    return state, [(notice.kind, notice.text) for one in events for notice in state.fold(one)]


def test_fold_reports_plays_and_tasks_with_times_and_counts() -> None:
    state, said = fold(
        event(0.5, "playbook_on_start"),
        event(1, "playbook_on_play_start", name="database"),
        event(2, "playbook_on_task_start", task="Ready", role="pooled.postgres.postgres"),
        event(2, "runner_on_start", host="db"),
        result(3, "ok", "db", res={"changed": True}),
        result(3, "skipped", "web"),
        event(4.5, "playbook_on_task_start", task="Done"),
        result(5, "ok", "db", res={"changed": False}),
        stats(6, ok={"db": 2}, changed={"db": 1}, skipped={"web": 1}, processed={"db": 1, "web": 1}),
    )
    assert said == [
        ("play", "database"),
        ("task", "postgres : Ready ... ok=1 changed=1 skipped=1"),
        ("task", "Done ... ok=1"),
        ("played", "    5.0s  database"),
    ]
    assert state.tasks == [(2.5, "postgres : Ready"), (1.5, "Done")]
    none = dict.fromkeys(events.COUNTERS, 0)
    assert state.hosts() == {"db": {**none, "ok": 2, "changed": 1}, "web": {**none, "skipped": 1}}


def test_fold_shows_the_state_of_each_host() -> None:
    state, _said = fold(
        event(1, "playbook_on_task_start", task="Ready"),
        *(event(1, "runner_on_start", host=host) for host in "abcd"),
        result(2, "ok", "a", res={}),
        result(2, "ok", "b", res={"changed": True}),
        result(2, "failed", "c", res={"msg": "no"}),
    )
    assert state.doing == {"a": "ok", "b": "changed", "c": "failed", "d": "running"}


def test_fold_sums_playbooks_and_counts_events_until_the_totals_come() -> None:
    state, _said = fold(
        stats(1, ok={"db": 2}, processed={"db": 1}),
        event(2, "playbook_on_task_start", task="Ready"),
        result(3, "ok", "db", res={"changed": True}),
        result(3, "unreachable", "web", res={"msg": "timed out"}),
    )
    counts = state.hosts()
    assert (counts["db"]["ok"], counts["db"]["changed"], counts["web"]["unreachable"]) == (3, 1, 1)


def test_fold_reports_failures_at_once_and_drops_ignored_and_rescued_ones() -> None:
    state, said = fold(
        event(1, "playbook_on_task_start", task="Try"),
        result(2, "failed", "db", res={"msg": "ignored"}, ignore_errors=True),
        result(2, "failed", "db", res={"msg": "rescued"}),
        result(2, "failed", "web", res={"msg": "rescued, too"}),
        event(3, "playbook_on_task_start", task="Go"),
        result(4, "failed", "db", res={"msg": "real"}, task_path="/r.yml:1"),
    )
    assert [text for kind, text in said if kind == "failure"] == [
        "db: Try: rescued",
        "web: Try: rescued, too",
        "db: Go: real",
    ]
    assert state.hosts()["db"] == {"ok": 1, "changed": 0, "unreachable": 0, "failed": 2, "skipped": 0}
    state.fold(stats(5, failures={"db": 1}, processed={"db": 1, "web": 1}))
    assert state.failures == [{"host": "db", "task": "Go", "message": "real"}]
    assert execute.cause_of_failure(state, 2, 0) == "db: Go: real"


def test_fold_shows_debug_messages_but_no_other_results() -> None:
    debug = {"resolved_action": "ansible.builtin.debug"}
    _state, said = fold(
        result(1, "ok", "db", res={"msg": ["one", "two"]}, **debug),
        event(1, "runner_item_on_ok", host="db", res={"msg": "three"}, **debug),
        result(1, "ok", "db", res={"msg": "All items completed", "results": []}, **debug),
        result(1, "ok", "db", res={"msg": "inner workings"}, resolved_action="ansible.builtin.apt"),
        event(1, "runner_on_file_diff", "--- before\r\n+++ after", host="db"),
    )
    assert said == [("message", "one\ntwo"), ("message", "three"), ("message", "--- before\n+++ after")]


def test_fold_shows_the_progress_of_a_long_task() -> None:
    benchmark = {"resolved_action": "pooled.postgres.benchmark"}
    state, said = fold(
        event(1, "playbook_on_task_start", task="Load is run"),
        event(1, "runner_item_on_ok", host="db", res={"progress": "2/9 next; 4 s left"}, **benchmark),
        event(2, "runner_item_on_ok", host="web", res={"tps": 1}, **benchmark),
        event(2, "runner_item_on_ok", host="db", res={"progress": "of another"}, resolved_action="x.y.z"),
    )
    assert said[-1:] == [("message", "2/9 next; 4 s left")]
    assert state.progress == "2/9 next; 4 s left"
    state.fold(stats(3))
    assert state.progress == ""


def test_fold_shows_warnings_once() -> None:
    text = "[WARNING]: old thing\r\n[DEPRECATION WARNING]: going away\r\nok: [db]"
    _state, said = fold(event(1, "warning", "[WARNING]: old thing"), result(1, "ok", "db", text, res={}))
    assert said == [("warning", "warning: old thing"), ("warning", "deprecation warning: going away")]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            ["[ERROR]: YAML parsing failed", "Origin: site.yml:2:1", "", "2 x"],
            "YAML parsing failed (site.yml:2:1)",
        ),
        (["ERROR! no such thing"], "no such thing"),
        (["ERROR: Ansible requires the locale encoding to be UTF-8"], "Ansible requires the locale encoding"),
        (["usage: …", "ansible-playbook: error: unrecognized"], "unrecognized"),
        (["something"], "ansible-playbook ended with exit code 4"),
    ],
)
def test_cause_of_failure_outside_of_a_task(lines: list[str], expected: str) -> None:
    state, _said = fold(*(event(1, "verbose", line) for line in lines))
    assert (execute.cause_of_failure(state, 4, 0) or "").startswith(expected)


def test_fold_ignores_unknown_events() -> None:
    state, said = fold(event(1, "something_new"), {"created": START.isoformat(), "stdout": None})
    assert (said, state.hosts()) == ([], {})


def plays(monkeypatch: pytest.MonkeyPatch, *runs: tuple[int, list[dict[str, Any]]]) -> list[list[str]]:
    """Replace ansible-playbook: these events, then these exit codes. Return the calls' arguments."""
    called: list[list[str]] = []

    def play(
        _root: Path, arguments: list[str], _interrupt: object, take: Callable[[Any], bool], *_: Any
    ) -> int:
        code, events = runs[len(called)]
        called.append(arguments)
        assert [take(one) for one in events] == [False] * len(events), "ansible-runner must keep nothing"
        return code

    monkeypatch.setattr(execute, "play", play)
    return called


TASK = [event(1, "playbook_on_task_start", "TASK [Go]\r\nok", task="Go"), stats(2)]


@pytest.mark.parametrize(
    ("runs", "tags", "calls", "error"),
    [
        ([(0, TASK), (0, TASK)], [], 2, None),
        ([(4, [event(1, "verbose", "[ERROR]: no lab")])], [], 1, "no lab"),
        ([(0, TASK), (2, TASK)], [], 2, "ansible-playbook ended with exit code 2"),
        ([(0, TASK), (0, [stats(2)])], [], 2, None),
        ([(0, TASK), (0, [stats(2)])], ["x", "y"], 2, "no task has one of the tags x, y"),
        ([(0, TASK), (0, TASK)], ["x"], 2, None),
    ],
)
def test_execute(
    runs: list[tuple[int, list[dict[str, Any]]]],
    tags: list[str],
    calls: int,
    error: str | None,
    tmp_path: Path,
) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with pytest.MonkeyPatch.context() as patch:
        called = plays(patch, *runs)
        document, code = execute.run(Request("up", tags=tags), Project(tmp_path))
    assert (len(called), document["error"], code) == (calls, error, int(error is not None))
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == handlers
    log = Path(document["log"])
    assert log.read_text().startswith("TASK [Go]\nok\n" if runs[0][1] is TASK else "[ERROR]: no lab\n")
    assert json.loads((log.parent / "result.json").read_text()) == document
