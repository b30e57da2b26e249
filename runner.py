#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Scripted runs of this checkout's playbooks, and what they built as a page of charts.

Progress goes to stderr; a report, or with --json exactly one JSON document, goes to stdout.
Exit codes: 0 it worked, 1 the run failed, 2 refused and nothing was done, 128 + signal when interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fcntl
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, TextIO

try:
    from ansible_runner import Runner
    from ansible_runner.config.command import CommandConfig
    from rich.console import Console, Group
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text
except ModuleNotFoundError as missing:
    _venv = Path(__file__).resolve().parent / ".venv"
    if __name__ != "__main__":
        raise
    if (_venv / "bin/python").exists() and Path(sys.prefix).resolve() != _venv.resolve():
        os.execv(_venv / "bin/python", [str(_venv / "bin/python"), __file__, *sys.argv[1:]])  # noqa: S606
    _error = f"Python module {missing.name} is missing: run `make env`, then the same command again"
    if "--json" in sys.argv:
        print(json.dumps({"verb": None, "target": None, "ok": False, "error": _error}))
    else:
        print(f"runner.py: {_error}", file=sys.stderr)
    raise SystemExit(2) from None

VERBS = {
    "up": "site.yml",
    "bench": "playbooks/benchmark.yml",
    "advise": "playbooks/advise.yml",
    "status": "playbooks/status.yml",
    "down": "playbooks/teardown.yml",
}
# How what the inventory says comes to the database hosts.
ROLL_OUT = "playbooks/database.yml"
# Runs no playbook: it asks Prometheus.
REPORT = "report"
BENCH = "bench"
ADVISE = "advise"
COLLECT = "playbooks/benchmark_results.yml"
PLANS = ("quick", "standard", "tutorial")
TARGETS = ("lab", "aws")
COUNTERS = ("ok", "changed", "unreachable", "failed", "skipped")
NO_STATUS = {"hosts": [], "services": [], "pools": [], "targets": [], "endpoints": {}, "healthy": False}
KEPT_RUNS = 10
POLL_SECONDS = 0.2
# Told to stop, ansible-playbook gives its workers 5 s; one that takes longer hangs.
GRACE_SECONDS = 8.0
Event = Mapping[str, Any]
Document = dict[str, Any]


class Refusal(Exception):
    """The request can't be carried out, and nothing was done. The text says what to do instead."""


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    verb: str
    target: str = "lab"
    json: bool = False
    check: bool = False
    tags: Sequence[str] = ()
    extra_vars: Sequence[str] = ()
    yes: bool = False
    delete_data: bool = False
    since: int = 3600
    plan: str = ""
    compare: Sequence[Path] = ()
    collect: bool = False  # what a benchmark that was broken off has left
    apply: bool = False
    playbook: str = ""  # other than the verb's

    @property
    def must_be_confirmed(self) -> bool:
        """Whether this removes what costs money, and the only copy of data, without having been told to."""
        return (self.verb, self.target) == ("down", "aws") and not (self.yes or self.check)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Refusal(f"{message} (see --help)")


def _tags(value: str) -> list[str]:
    names = value.split(",")
    if not all(re.fullmatch(r"\w[\w.:-]*", name) for name in names):
        raise argparse.ArgumentTypeError(f"{value!r} is no list of tags such as database,verify")
    return names


def _since(value: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,5}[smhd]", value):
        raise argparse.ArgumentTypeError(f"{value!r} is no time such as 30m, 1h or 2d")
    return int(value[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[value[-1]]


def _extra_vars(value: str) -> str:
    if value.startswith("@"):
        # ansible-playbook runs in the checkout; the path was meant from here.
        path = Path(value[1:]).expanduser().absolute()
        if not path.is_file():
            raise argparse.ArgumentTypeError(f"there is no file {path}")
        return f"@{path}"
    if value.startswith("{"):
        with contextlib.suppress(ValueError):
            if isinstance(json.loads(value), dict):
                return value
    elif re.match(r"[A-Za-z_]\w*=", value):
        return value
    # Not repeated in the message: it may be half of a secret.
    raise argparse.ArgumentTypeError("expected NAME=VALUE, @FILE or a JSON object")


def _plan(value: str) -> str:
    # ansible-playbook runs in the checkout; the path was meant from here.
    return value if value in ("", *PLANS) else str(Path(value).expanduser().absolute())


def parse(argv: Sequence[str]) -> Request:
    """Read the command line. Raises Refusal for what is unknown or malformed."""
    parser = _Parser(prog="runner.py", description="Scripted runs of the playbooks.", allow_abbrev=False)
    add = parser.add_argument
    text = "build it, measure it, tune its pool, look at it, remove it, draw it"
    add("verb", choices=[*VERBS, REPORT], help=text)
    add("--target", choices=TARGETS, default="lab", help="where (default: %(default)s, which is free)")
    add("--json", action="store_true", help="print one JSON document on stdout and nothing else")
    add("--check", action="store_true", help="change nothing, say what would change")
    add("--tags", type=_tags, action="extend", default=[], metavar="A,B", help="only these parts")
    text = "variables for the playbooks: NAME=VALUE, or @FILE, which keeps secrets out of sight of ps"
    add("-e", "--extra-vars", type=_extra_vars, action="append", default=[], metavar="VARS", help=text)
    add("--yes", action="store_true", help="down: remove what runs on aws without asking")
    add("--delete-data", action="store_true", help="down: remove the data volumes on aws, too")
    add("--apply", action="store_true", help="advise: roll out what is recommended, and measure again")
    text = "report: the time that its charts show, such as 30m or 2d (default: 1h)"
    add("--since", type=_since, default=Request.since, metavar="TIME", help=text)
    text = f"bench: what to run, {', '.join(PLANS)} or a YAML file (default: {PLANS[0]})"
    add("--plan", type=_plan, default=Request.plan, metavar="PLAN", help=text)
    text = "bench: run nothing, say how the result B differs from A"
    add("--compare", type=Path, nargs=2, default=Request.compare, metavar=("A.json", "B.json"), help=text)
    request = Request(**vars(parser.parse_args(argv)))
    for name, verb in (("plan", BENCH), ("compare", BENCH), ("apply", ADVISE)):
        if request.verb != verb and getattr(request, name) != getattr(Request, name):
            raise Refusal(f"--{name} belongs to {verb} (see --help)")
    return request


def command_lines(request: Request) -> list[list[str]]:
    """Return the arguments of each ansible-playbook run that the request needs, in order."""
    options = [part for given in request.extra_vars for part in ("-e", given)]
    if request.delete_data:
        options += ["-e", "infrastructure_delete_data=true"]
    if request.check and request.verb != "status":
        options += ["--check", "--diff"] if request.verb == "up" else ["--check"]
    if request.plan:
        # As JSON, for a path may have spaces.
        name = "benchmark_plan" if request.plan in PLANS else "benchmark_plan_file"
        options += ["-e", json.dumps({name: request.plan})]
    tags = ["--tags", ",".join(request.tags)] if request.tags else []
    inventory = f"inventory/{request.target}"
    if (request.verb, request.target) == ("down", "lab"):
        # The lab is removed as a whole: its hosts need not be asked for, and its API may be down already.
        inventory += "/hosts.yml"
    if request.collect:
        return [["-i", inventory, *options, "-e", "benchmark_complete=false", COLLECT]]
    runs = [["-i", inventory, *options, *tags, request.playbook or VERBS[request.verb]]]
    if request.verb == "up" and request.target == "lab":
        # The lab's dynamic inventory asks the emulated API, which this playbook starts: it comes first, and
        # whole, since tags choose among what is done on the hosts.
        runs.insert(0, ["-i", "inventory/lab/hosts.yml", *options, "playbooks/lab.yml"])
        runs[1] += ["--skip-tags", "lab"]
    return runs


def check_credentials() -> None:
    """Make sure that botocore finds AWS credentials. Raises Refusal if it does not."""
    import botocore.exceptions  # noqa: PLC0415  (half a second that only this target pays)
    import botocore.session  # noqa: PLC0415

    cause = "no AWS credentials found"
    try:
        if botocore.session.get_session().get_credentials() is not None:
            return
    except botocore.exceptions.BotoCoreError as error:
        cause = f"no usable AWS credentials: {error}"
    advice = "run `aws configure` or `aws sso login`, or set AWS_PROFILE; `--target lab` needs no account"
    raise Refusal(f"{cause}: {advice}")


@dataclass(frozen=True)
class Project:
    """A checkout, and what is kept about its targets below `.state`."""

    root: Path

    def state(self, target: str) -> Path:
        """Return the directory that holds everything about one target."""
        return self.root / ".state" / target

    def new_run(self, target: str, verb: str) -> Path:
        """Make a directory for one run's artefacts, keeping the last ten. Raises Refusal if it can't."""
        runs = self.state(target) / "runs"
        run = runs / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{verb}"
        try:
            for directory in (self.root / ".state", self.state(target), runs, run):
                directory.mkdir(mode=0o700, exist_ok=True)
                directory.chmod(0o700)
        except OSError as error:
            advice = f"run as the owner of {self.root}, or make room"
            raise Refusal(f"can't keep state: {error}; {advice}") from None
        for old in sorted(runs.iterdir())[:-KEPT_RUNS]:
            shutil.rmtree(old, ignore_errors=True)
        return run

    def unfinished(self, target: str) -> Path:
        """Return where a benchmark that goes on, or was broken off, keeps what its runs have left."""
        return self.state(target) / "benchmark" / "current"

    def tuned(self, target: str) -> Path:
        """Return the inventory's file with what was advised. It is read after the others there."""
        return self.root / "inventory" / target / "group_vars/all/tuned.yml"

    def read(self, target: str, name: str) -> Document:
        """Return the document that a playbook left in the target's state, empty if there is none."""
        with contextlib.suppress(OSError, ValueError):
            found = json.loads((self.state(target) / name).read_text(encoding="utf-8"))
            return found if isinstance(found, dict) else {}
        return {}


def private_file(path: Path) -> TextIO:
    """Open a new file for writing that only its owner can read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")


@dataclass(frozen=True)
class Notice:
    """Something to tell the user, and when (in seconds).

    Kinds: play (begins), played, task (both ended), failure, warning, message.
    """

    kind: str
    text: str
    at: float


_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")
_WARNING = re.compile(r"^\[((?:DEPRECATION )?WARNING)\]:\s*(.+?)\s*$", re.MULTILINE)
_ERROR = re.compile(r"^(?:\[ERROR\]:|ERROR[!:]|ansible-playbook: error:)\s*(.+)")


def lines_of(value: object) -> list[str]:
    """Return a message as lines, whatever Ansible made of it, without control characters."""
    if isinstance(value, list):
        return [line for item in value for line in lines_of(item)]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return [_CONTROL.sub("", line) for line in text.splitlines()]


def failure_text(result: Event, task_path: str) -> str:
    """Return what a failed result says: its message, and standard error's last line if that adds something.

    Args:
        result: the event's `res`; of a loop, the failed items speak.
        task_path: file and line of the task, where to look when no_log hides the result.
    """
    # A module may return results of its own, and count failures in them; a loop's are marked.
    items = [one for one in result.get("results") or [] if isinstance(one, dict)]
    items = [one for one in items if "censored" in one or ("ansible_loop_var" in one and one.get("failed"))]
    if items:
        return "\n".join(dict.fromkeys(failure_text(item, task_path) for item in items))
    if "censored" in result:
        return f"hidden by no_log; look at the task, {task_path}, and at the service's journal on the host"
    text = "\n".join(lines_of(result.get("msg") or "no message"))
    details = lines_of((result.get("stderr") or result.get("module_stderr") or "").strip())
    return f"{text}: {details[-1].strip()}" if details and details[-1].strip() not in text else text


def _counters() -> defaultdict[str, Counter[str]]:
    return defaultdict(Counter)


@dataclass
class RunState:
    """What is known of a run, folded from ansible-runner's events; all times are the events' own."""

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
        """Take in one event and return what the user should be told of it."""
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
        """Return the counters of each host under Ansible's own names."""
        seen = list({**self._settled, **self._counted})
        return {host: {n: self._settled[host][n] + self._counted[host][n] for n in COUNTERS} for host in seen}

    def _new_warnings(self, stdout: str) -> list[str]:
        found = dict.fromkeys(f"{kind.lower()}: {text}" for kind, text in _WARNING.findall(stdout))
        fresh = [text for text in found if text not in self._said]
        self._said.update(fresh)
        return fresh

    def _remember_error(self, stdout: str) -> None:
        """Keep what ansible-playbook says when it gives up outside of any task."""
        for line in lines_of(stdout):
            if found := _ERROR.match(line):
                self.errors.append(found[1])
            elif line.startswith("Origin: ") and self.errors:
                self.errors[-1] += f" ({line[len('Origin: ') :]})"

    def _close(self, kind: str, at: float) -> list[tuple[str, object]]:
        """End the task that ran until now and, unless it goes on with its next task, the play."""
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
        # The playbook's own totals know more than the events: includes count, rescued failures don't.
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
        """Take over what a task says that it has got to, for it may run for long."""
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


class Progress:
    """What happens, on stderr.

    On a terminal the current task and its hosts stay at the bottom, and what is worth keeping scrolls past.
    Anywhere else each play and task is one plain line.
    """

    def __init__(self, state: RunState, live: bool) -> None:
        self.state = state
        # Redrawn by us only: a thread of its own would read the state while an event changes it.
        how: dict[str, Any] = dict.fromkeys(("auto_refresh", "redirect_stdout", "redirect_stderr"), False)
        how.update(console=Console(stderr=True), get_renderable=self._render, transient=True)
        self._live = Live(**how) if live else None

    def __enter__(self) -> None:
        if self._live:
            self._live.start()

    def __exit__(self, *_error: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, notice: Notice) -> None:
        """Tell the user."""
        if self._live and notice.kind not in ("play", "task"):
            style = {"failure": "bold red", "warning": "yellow", "played": "bold"}.get(notice.kind, "")
            self._live.console.print(Text(notice.text, style), soft_wrap=True)
        elif not self._live and notice.kind != "played":
            mark = {"play": "PLAY ", "failure": "FAILED ", "message": "  "}.get(notice.kind, "")
            text = (mark + notice.text).replace("\n", "\n" + " " * 12)
            print(f"[{notice.at:6.1f}s] {text}", file=sys.stderr, flush=True)
        self.refresh()

    def refresh(self) -> None:
        """Bring what stays on the terminal up to date."""
        if self._live:
            self._live.refresh()

    def _render(self) -> Group:
        state, styles = self.state, {"running": "cyan", "ok": "green", "changed": "yellow", "skipped": "dim"}
        where = f"{state.play}: {state.task}" if state.task else state.play or "ansible-playbook"
        where = state.progress or where
        hosts = Table.grid(padding=(0, 2))
        for host, doing in state.doing.items():
            hosts.add_row("       ", host, Text(doing, styles.get(doing, "bold red")))
        total = sum((Counter(counts) for counts in state.hosts().values()), Counter[str]())
        counted = "  ".join(f"{name} {total[name]}" for name in COUNTERS)
        rows = [hosts] if state.doing else []
        head = Text(f"{state.elapsed():7.1f}s  {where}", "bold")
        return Group(head, *rows, Text(" " * 10 + counted, "dim"))


class Interrupt:
    """Ctrl-C and its like: the first asks ansible-playbook to stop, the second kills it at once.

    ansible-runner kills ansible-playbook's process group, but each of Ansible's workers leads a session of
    its own: they, and the ssh and modules below them, would live on. So they are noted while they still hang
    below us. What detached itself before (ssh's shared connections, the lab's services) is left alone.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.signal = 0
        self._tell = tell
        self._times = 0
        self._asked_at = 0.0
        self._noted: dict[int, int] = {}

    def caught(self, number: int, _frame: object) -> None:
        """Handle a signal: only take it down, the rest happens in `pending`."""
        self.signal = self.signal or number
        self._times += 1

    def pending(self) -> bool:
        """Carry out what was asked for; true if ansible-runner should kill ansible-playbook now."""
        if not self.signal:
            return False
        ours = self.note_processes()
        if not self._asked_at:
            self._asked_at = time.monotonic()
            self._tell("interrupted: ansible-playbook is stopping; once more kills it")
            for pid in ours:
                os.kill(pid, signal.SIGINT)
        return self._times > 1 or time.monotonic() - self._asked_at > GRACE_SECONDS

    def note_processes(self) -> list[int]:
        """Take hold of all processes below us and below those noted before; return our own children."""
        children = defaultdict(list)
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
                children[int(fields[1])].append(int(stat.parent.name))
        known = [os.getpid(), *self._send(0)]
        for parent in known:  # which grows on the way
            for pid in set(children[parent]).difference(known):
                known.append(pid)
                with contextlib.suppress(OSError):
                    # Unlike its number, the descriptor can't come to mean another process.
                    self._noted[pid] = os.pidfd_open(pid)
        return children[os.getpid()]

    def reap(self) -> None:
        """Kill what was noted and still lives."""
        stopped = 0
        while stopped < len(self._noted):
            # Stopped before any is killed, or one would start another when what it waits for dies.
            stopped = len(self._noted)
            self._send(signal.SIGSTOP)
            self.note_processes()
        self._send(signal.SIGKILL)
        while self._noted:
            os.close(self._noted.popitem()[1])

    def _send(self, number: int) -> list[int]:
        """Send a signal to what was noted, and return those who still live."""
        living = []
        for pid, descriptor in self._noted.items():
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(descriptor, number)
                living.append(pid)
        return living


def _forget_command(status: Event, runner_config: Any) -> None:
    # Written just before ansible-playbook starts: our environment, with its cloud keys, and the variables.
    if status["status"] == "running":
        Path(runner_config.artifact_dir, "command").unlink()


def play(
    root: Path,
    arguments: list[str],
    interrupt: Interrupt,
    take: Callable[[Event], bool],
    poll: Callable[[], bool],
) -> int:
    """Run ansible-playbook once, in a session of its own, and return its exit code.

    What ansible-runner keeps goes to a private directory and is removed at the end: its events carry
    arguments and facts that Ansible never prints, and with ansible.builtin.setup our whole environment. The
    directory is outside of the state, which `down` may remove while this runs.
    """
    environment = {
        "ANSIBLE_CONFIG": str(root / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
        # ansible-runner turns host key checking off where the environment doesn't say.
        "ANSIBLE_HOST_KEY_CHECKING": os.environ.get("ANSIBLE_HOST_KEY_CHECKING", "1"),
    }
    with tempfile.TemporaryDirectory(prefix="pooled-runner-", ignore_cleanup_errors=True) as scratch:
        # Any type but jsonfile leaves the facts' cache to ansible.cfg.
        where = {"private_data_dir": scratch, "host_cwd": str(root), "fact_cache_type": "memory"}
        config = CommandConfig(**where, quiet=True, envvars=environment)
        config.prepare_run_command(str(Path(sys.executable).with_name("ansible-playbook")), arguments)
        config.pexpect_timeout = POLL_SECONDS
        runner = Runner(config, event_handler=take, status_handler=_forget_command, cancel_callback=poll)
        try:
            runner.run()
        except BaseException:
            interrupt.note_processes()
            raise
        finally:
            interrupt.reap()
    return 1 if runner.rc is None else int(runner.rc)


def execute(request: Request, project: Project) -> tuple[Document, int]:
    """Run the playbooks; return the document about it and the exit code. Raises Refusal without a state."""
    run = project.new_run(request.target, request.verb)
    state, code, before = RunState(datetime.now(UTC)), 0, 0
    progress = Progress(state, live=sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb")
    interrupt = Interrupt(lambda text: progress.show(Notice("warning", text, state.elapsed())))
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(private_file(run / "ansible.log"))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            stack.callback(signal.signal, number, signal.signal(number, interrupt.caught))
        stack.enter_context(progress)

        def take(event: Event) -> bool:
            if event.get("stdout"):
                print(event["stdout"].replace("\r\n", "\n"), file=log, flush=True)
            for notice in state.fold(event):
                progress.show(notice)
            return False  # nothing for ansible-runner to keep

        def poll() -> bool:
            progress.refresh()
            return interrupt.pending()

        for arguments in command_lines(request):
            before = len(state.tasks)
            code = play(project.root, arguments, interrupt, take, poll)
            if code or interrupt.signal:
                break
    error = what_went_wrong(state, code, interrupt.signal)
    if not error and request.tags and not state.tasks[before:]:
        error = f"no task has one of the tags {', '.join(request.tags)}"
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
        # Removing a target may have removed this, too.
        "log": str(run / "ansible.log") if run.is_dir() else None,
    }
    if run.is_dir():
        with private_file(run / "result.json") as kept:
            json.dump(document, kept, indent=2)
    return document, 128 + interrupt.signal if interrupt.signal else int(error is not None)


def what_went_wrong(state: RunState, code: int, stopped_by: int) -> str | None:
    """Return in one sentence why the run did not do what was asked for, or None."""
    if stopped_by:
        where = f"{state.play}: {state.task}" if state.task else state.play or "the start"
        return f"interrupted in {where}; nothing of it is left running, the same command takes it up again"
    if code and state.failures:
        return "{host}: {task}: {message}".format(**state.failures[0])
    if code:
        return "; ".join(state.errors) or f"ansible-playbook ended with exit code {code}"
    return None


def confirm_removal(request: Request, project: Project) -> tuple[Document, int] | None:
    """Show what would be removed, and ask. Raises Refusal if the answer is no, or nobody is there.

    Returns:
        What the run in check mode said, if it failed; else None.
    """
    if not sys.stdin.isatty():
        advice = "add --yes, or --check to see what would go"
        raise Refusal(f"down --target aws removes hosts, and there is no terminal to ask: {advice}")
    document, code = execute(dataclasses.replace(request, check=True), project)
    if code:
        return document, code
    what = "and the data volumes. " if request.delete_data else "but no data volume. "
    print(f"This removes all of the above, {what}Type yes: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != "yes":
        raise Refusal("not confirmed, nothing was removed")
    return None


def perform(request: Request, project: Project) -> tuple[Document, int]:
    """Do what is asked for; return the document about it and the exit code. Raises Refusal if it can't."""
    if request.target == "aws" and request.verb != REPORT:
        check_credentials()
    if request.must_be_confirmed and (stopped := confirm_removal(request, project)):
        return stopped
    if request.verb not in ("up", "down") and not (project.state(request.target) / "outputs.json").is_file():
        demo = "`make demo` or " if request.target == "lab" else ""
        error = f"no {request.target} is up: run {demo}`python runner.py up --target {request.target}`"
        if request.verb != "status":
            raise Refusal(error)
        return NO_STATUS | {"error": error}, 1
    others = {REPORT: draw, "status": status, BENCH: bench, ADVISE: advise}
    if request.verb in (BENCH, ADVISE):
        with measuring(request, project):
            return others[request.verb](request, project)
    if request.verb in others:
        return others[request.verb](request, project)
    document, code = execute(request, project)
    if (request.verb, request.target) == ("down", "lab") and not (code or request.check):
        # Of a lab that is no more; the next one is as the inventory has it.
        project.tuned(request.target).unlink(missing_ok=True)
    if request.verb == "up":
        document["endpoints"] = project.read(request.target, "outputs.json").get("endpoints", {})
    return document, code


def status(request: Request, project: Project) -> tuple[Document, int]:
    """Ask the target what runs there; return the document about it and the exit code."""
    # What was seen earlier must not pass for what is.
    (project.state(request.target) / "status.json").unlink(missing_ok=True)
    outcome, code = execute(request, project)
    unknown = NO_STATUS | {"error": "no status was written"}
    document = project.read(request.target, "status.json") or unknown
    if outcome["error"]:
        document |= {"healthy": False, "error": outcome["error"]}
    return document, code or int(document.get("healthy") is not True)


@contextlib.contextmanager
def measuring(request: Request, project: Project) -> Iterator[None]:
    """Be the only one who measures a target: two would measure each other. Raises Refusal where one does."""
    directory = project.state(request.target) / "benchmark"
    directory.mkdir(mode=0o700, exist_ok=True)
    with os.fdopen(os.open(directory / "lock", os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            advice = "wait for its end, or end it with Ctrl-C where it runs"
            raise Refusal(f"{request.target} is being measured by another run: {advice}") from None
        yield


def bench(request: Request, project: Project) -> tuple[Document, int]:
    """Run a benchmark; return the document about it and the exit code. One broken off has a result, too."""
    unfinished = project.unfinished(request.target)
    if unfinished.exists() and not request.check:
        print("runner.py: what a benchmark that was killed has measured is kept", file=sys.stderr, flush=True)
        salvage(unfinished)
        shutil.rmtree(unfinished, ignore_errors=True)
    before = project.read(request.target, "benchmark/latest.json")
    document, code = execute(request, project)
    if unfinished.exists() and not request.check:
        print("runner.py: broken off: what has been measured is collected", file=sys.stderr, flush=True)
        execute(dataclasses.replace(request, collect=True), project)
        salvage(unfinished)
    # An earlier benchmark must not pass for one that failed, or was only a check.
    latest = project.read(request.target, "benchmark/latest.json")
    document["benchmark"] = latest if latest != before else None
    page = project.state(request.target) / "benchmark/latest.html"
    document["report"] = str(page) if document["benchmark"] else None
    if document["error"] and document["benchmark"]:
        document["error"] = f"{cause_of(document, code)}; what was measured until then is kept"
    return document, code


def cause_of(document: Document, code: int) -> str | None:
    """Return why a measurement ended early. Unlike other runs, the next one does not take it up."""
    error: str | None = document["error"]
    return "interrupted, and nothing of it is left running" if code > 128 else error


def salvage(unfinished: Path) -> None:
    """Make a result of what a broken-off benchmark has left, where not even its collecting came to an end."""
    if not unfinished.exists():
        return
    from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import api  # noqa: PLC0415
    from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.errors import (  # noqa: PLC0415
        BenchmarkError,
    )

    try:
        api.finish(unfinished.parent, [], complete=False)
    except BenchmarkError as error:
        print(f"runner.py: {error}", file=sys.stderr)


def compare(request: Request, project: Project) -> tuple[Document, int]:
    """Return how two results differ, also as a page, and the exit code. Raises Refusal if a file is none."""
    from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import api  # noqa: PLC0415
    from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import (  # noqa: PLC0415
        compare as comparing,
    )
    from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.errors import (  # noqa: PLC0415
        BenchmarkError,
    )

    try:
        comparison = comparing.compare(*(api.read_result(path) for path in request.compare))
        page = api.write_comparison(project.state(request.target) / "benchmark", comparison)
    except BenchmarkError as error:
        raise Refusal(str(error)) from None
    document: Document = {"verb": request.verb, "target": request.target, "ok": True, "error": None}
    found = {"comparison": comparison, "table": comparing.table(comparison), "report": str(page)}
    return document | found, 0


def advise(request: Request, project: Project) -> tuple[Document, int]:
    """Measure other pool sizes; with --apply roll out the best, and measure again.

    Returns:
        The document about it, with what is recommended as ``advice``, and the exit code.
    """
    state = project.state(request.target)
    runs = state / "benchmark/advise-runs.json"
    if not request.check:
        runs.unlink(missing_ok=True)
    before = project.read(request.target, "benchmark/advice.json")
    document, code = restored(request, project, *execute(request, project))
    advice = project.read(request.target, "benchmark/advice.json")
    # Nor may earlier advice pass for this one's.
    document["advice"] = advice if advice != before else None
    kept = project.read(request.target, "benchmark/advise-runs.json")
    if code and kept and not request.check:
        from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import (  # noqa: PLC0415
            advisor,
        )

        document["measured"] = [*advisor.so_far(kept["runs"], kept["present"]), f"The runs are in {runs}."]
    if code or request.check or not request.apply or not document["advice"]:
        return document, code
    if not advice["faster"]:
        return document, code
    tuned, advised = project.tuned(request.target), state / "benchmark/advised.yml"
    former = tuned.read_bytes() if tuned.exists() else None
    shutil.copyfile(advised, tuned)
    document, code = execute(dataclasses.replace(request, playbook=ROLL_OUT), project)
    if code:
        if former is None:
            tuned.unlink()
        else:
            tuned.write_bytes(former)
        document["error"] = f"{document['error']}; what is recommended is in {advised}, and not rolled out"
        return document | {"advice": advice}, code
    again = (*request.extra_vars, "advise_measure_again=true")
    request = dataclasses.replace(request, extra_vars=again)
    document, code = restored(request, project, *execute(request, project))
    document["advice"] = project.read(request.target, "benchmark/advice.json")
    return document, code


def restored(request: Request, project: Project, document: Document, code: int) -> tuple[Document, int]:
    """Put PgBouncer back where a run ended before it did so itself; return the run's document and code."""
    marker = project.state(request.target) / "benchmark/advise-unfinished"
    if request.check or not marker.exists():
        return document, code
    after, failed = execute(dataclasses.replace(request, playbook=ROLL_OUT, tags=()), project)
    if failed:
        command = f"ansible-playbook -i inventory/{request.target} {ROLL_OUT}"
        text = f"PgBouncer may still have a setting that was only tried ({after['error']}): run `{command}`"
    else:
        marker.unlink(missing_ok=True)
        text = "PgBouncer is as before"
    return document | {"error": "; ".join(filter(None, (cause_of(document, code), text)))}, code or 1


def draw(request: Request, project: Project) -> tuple[Document, int]:
    """Write the dashboards as a page; return the document about it and the exit code."""
    # These load what the other verbs have no use for.
    from ansible_collections.pooled.postgres.plugins.module_utils._report import api  # noqa: PLC0415
    from ansible_collections.pooled.postgres.plugins.module_utils._report.errors import (  # noqa: PLC0415
        ReportError,
    )

    document: Document = {"verb": request.verb, "target": request.target, "ok": True, "error": None}
    try:
        path = api.write(project.root, project.state(request.target), request.target, request.since)
    except ReportError as error:
        return document | {"ok": False, "error": str(error), "path": None}, 1
    return document | {"path": str(path)}, 0


def columns(rows: Iterable[Sequence[object]], indent: str = "  ") -> list[str]:
    """Return rows of equal length as aligned lines, numbers at the right of their column."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        pairs = zip(row, widths, strict=True)
        lines.append(indent + "  ".join(c.rjust(w) if c.isdigit() else c.ljust(w) for c, w in pairs).rstrip())
    return lines


def report(document: Document, table: str) -> list[str]:
    """Return the document of up, bench or down for people; `table` is the benchmark's."""
    hosts = ((host, *counts.values()) for host, counts in document["hosts"].items())
    lines = columns([("host", *COUNTERS), *hosts], "")
    lines += ["", "Slowest tasks:"] if document["slowest"] else []
    lines += columns((f"{one['seconds']:6.1f} s", one["task"]) for one in document["slowest"])
    for one in document["failures"]:
        text = [f"  {line}" for line in lines_of(one["message"])]
        lines += ["", f"Failed: {one['host']}: {one['task']}", *text]
    if document.get("endpoints"):
        lines += ["", "Endpoints:", *columns(document["endpoints"].items())]
    if document.get("advice"):
        lines += ["", *document["advice"]["table"], "", *document["advice"]["answer"]]
        lines += [document["advice"][name] for name in ("applied",) if name in document["advice"]]
    lines += ["", *document["measured"]] if "measured" in document else []
    if document.get("benchmark"):
        lines += ["", *table.splitlines(), "", f"Report: {document['report']}"]
    verdict = "ok" if document["ok"] else f"FAILED: {document['error']}"
    lines += ["", f"{document['verb']} on {document['target']} after {document['seconds']:.1f} s: {verdict}"]
    return [*lines, f"Log: {document['log']}"] if document["log"] else lines


def status_report(document: Document) -> list[str]:
    """Return a status document for people: what is a list of records becomes a table."""
    lines = []
    for title, found in document.items():
        if isinstance(found, list) and found and isinstance(found[0], dict):
            rows = [list(found[0]), *([one.get(name, "") for name in found[0]] for one in found)]
            lines += [f"{title}:", *columns(rows), ""]
        elif isinstance(found, dict):
            lines += [f"{title}:", *columns(found.items()), ""]
        elif isinstance(found, list):
            lines += [f"{title}: {', '.join(map(str, found)) or 'none'}", ""]
    verdict = "healthy" if document.get("healthy") is True else "NOT HEALTHY"
    return [*lines, f"{verdict}: {document['error']}" if document.get("error") else verdict]


def main(argv: Sequence[str], project: Project) -> int:
    """Carry out a command line, print the outcome, return the exit code."""
    request = None
    try:
        request = parse(argv)
        document, code = compare(request, project) if request.compare else perform(request, project)
    except (Refusal, KeyboardInterrupt) as stop:
        error, code = (str(stop), 2) if isinstance(stop, Refusal) else ("interrupted, nothing was done", 130)
        verb, target = (request.verb, request.target) if request else (None, None)
        if "--json" in argv:
            print(json.dumps({"verb": verb, "target": target, "ok": False, "error": error}))
        else:
            print(f"runner.py: {error}", file=sys.stderr)
        return code
    if request.json:
        print(json.dumps(document, indent=2))
    elif request.verb == "status":
        print("\n".join(status_report(document)))
    elif request.compare:
        print("\n".join([*document["table"], "", f"Report: {document['report']}"]))
    elif request.verb == REPORT:
        # Whoever takes the path from stdout gets a path or nothing.
        print(document["path"] or f"runner.py: {document['error']}", file=sys.stderr if code else sys.stdout)
    else:
        table = project.state(request.target) / "benchmark" / "latest.txt"
        print("\n".join(report(document, table.read_text(encoding="utf-8") if table.exists() else "")))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Project(Path(__file__).resolve().parent)))
