# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run ansible-playbook through ansible-runner."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pooled_runner.events import Event, Notice, RunState
from pooled_runner.interrupt import Interrupt
from pooled_runner.progress import Progress
from pooled_runner.project import Document, Project, private_file
from pooled_runner.request import Request, command_lines

POLL_SECONDS = 0.2


def run(request: Request, project: Project) -> tuple[Document, int]:
    """Run the playbooks; return the run's document and the exit code. Raises Refusal without a state."""
    directory = project.new_run(request.target, request.verb)
    state, code, before = RunState(datetime.now(UTC)), 0, 0
    progress = Progress(state)
    interrupt = Interrupt(lambda text: progress.show(Notice("warning", text, state.elapsed())))
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(private_file(directory / "ansible.log"))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            stack.callback(signal.signal, number, signal.signal(number, interrupt.caught))
        stack.enter_context(progress)

        def take(event: Event) -> bool:
            if event.get("stdout"):
                print(event["stdout"].replace("\r\n", "\n"), file=log, flush=True)
            for notice in state.fold(event):
                progress.show(notice)
            return False  # ansible-runner keeps nothing

        def poll() -> bool:
            progress.refresh()
            return interrupt.pending()

        for arguments in command_lines(request):
            before = len(state.tasks)
            code = play(project.root, arguments, interrupt, take, poll)
            if code or interrupt.signal:
                break
    error = cause_of_failure(state, code, interrupt.signal)
    if not error and request.tags and not state.tasks[before:]:
        error = f"no task has one of the tags {', '.join(request.tags)}"
    document = _document(request, state, error, directory)
    return document, 128 + interrupt.signal if interrupt.signal else int(error is not None)


def play(
    root: Path,
    arguments: list[str],
    interrupt: Interrupt,
    take: Callable[[Event], bool],
    poll: Callable[[], bool],
) -> int:
    """Run ansible-playbook once, in a session of its own, and return its exit code.

    ansible-runner's files hold arguments and facts that Ansible never prints and, after the module setup, the
    whole environment. So they go to a private directory that is removed at the end. It is not part of the
    target's state, which `down` removes during the run.
    """
    from ansible_runner import Runner  # noqa: PLC0415
    from ansible_runner.config.command import CommandConfig  # noqa: PLC0415

    environment = {
        "ANSIBLE_CONFIG": str(root / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
        # ansible-runner disables host key checking unless the environment sets it.
        "ANSIBLE_HOST_KEY_CHECKING": os.environ.get("ANSIBLE_HOST_KEY_CHECKING", "1"),
    }
    with tempfile.TemporaryDirectory(prefix="pooled-runner-", ignore_cleanup_errors=True) as scratch:
        # Any type but jsonfile leaves the fact cache to ansible.cfg.
        where = {"private_data_dir": scratch, "host_cwd": str(root), "fact_cache_type": "memory"}
        config = CommandConfig(**where, quiet=True, envvars=environment)
        config.prepare_run_command(str(Path(sys.executable).with_name("ansible-playbook")), arguments)
        config.pexpect_timeout = POLL_SECONDS
        runner = Runner(config, event_handler=take, status_handler=_forget_command, cancel_callback=poll)
        try:
            runner.run()
        except BaseException:
            interrupt.record_processes()
            raise
        finally:
            interrupt.reap()
    return 1 if runner.rc is None else int(runner.rc)


def cause_of_failure(state: RunState, code: int, stopped_by: int) -> str | None:
    """Return in one sentence why the run failed, or None."""
    if stopped_by:
        where = f"{state.play}: {state.task}" if state.task else state.play or "the start"
        return f"interrupted in {where}; all its processes have ended; the same command continues the work"
    if code and state.failures:
        return "{host}: {task}: {message}".format(**state.failures[0])
    if code:
        return "; ".join(state.errors) or f"ansible-playbook ended with exit code {code}"
    return None


def _forget_command(status: Event, runner_config: Any) -> None:
    # ansible-runner writes our environment, with its cloud keys, and the variables just before it starts.
    if status["status"] == "running":
        Path(runner_config.artifact_dir, "command").unlink()


def _document(request: Request, state: RunState, error: str | None, directory: Path) -> Document:
    document: Document = {
        "verb": request.verb,
        "target": request.target,
        "ok": error is None,
        "error": error,
        "check": request.check,
        "seconds": round(state.elapsed(), 1),
        "hosts": state.hosts(),
        "changed": any(counts["changed"] for counts in state.hosts().values()),
        "slowest": [{"task": task, "seconds": took} for took, task in sorted(state.tasks, reverse=True)[:5]],
        "failures": state.failures,
        # `down` removes the log with the rest of the state.
        "log": str(directory / "ansible.log") if directory.is_dir() else None,
    }
    if directory.is_dir():
        with private_file(directory / "result.json") as kept:
            json.dump(document, kept, indent=2)
    return document
