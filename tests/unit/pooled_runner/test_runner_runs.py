# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real runs of ansible-playbook on a small checkout."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pooled_runner.cli import main
from pooled_runner.project import Project

ROOT = Path(__file__).resolve().parents[3]
SECRET = "s3cr3t-of-the-cloud"
VARIABLE = "s3cr3t-of-a-variable"


@pytest.mark.parametrize("has_environment", [True, False])
def test_runner_starts_again_in_the_environment(has_environment: bool, tmp_path: Path) -> None:
    shutil.copy(ROOT / "runner.py", tmp_path)
    if has_environment:
        python = tmp_path / ".venv/bin/python"
        python.parent.mkdir(parents=True)
        python.write_text('#!/bin/sh\necho "again: $@"\n')
        python.chmod(0o755)
    bare = [sys.executable, "-I", "-S", str(tmp_path / "runner.py"), "up", "--json"]
    done = subprocess.run(bare, capture_output=True, text=True, check=False)
    if has_environment:
        assert done.stdout == f"again: {tmp_path}/runner.py up --json\n"
    else:
        assert done.returncode == 2
        assert "make env" in json.loads(done.stdout)["error"]
    assert done.stderr == ""


INVENTORY = """
all:
  hosts:
    localhost:
      ansible_connection: local
      ansible_python_interpreter: "{{ ansible_playbook_python }}"
"""


PLAYBOOKS = {
    "ansible.cfg": "[defaults]\nhome = .state/ansible\n[connection]\npipelining = true\n",
    "inventory/lab/hosts.yml": INVENTORY,
    "inventory/aws/hosts.yml": INVENTORY,
    "made/latest.json": '{"schema": 1}',
    "made/latest.txt": "direct  pooled\n",
    "playbooks/lab.yml": """
- name: Lab
  hosts: all
  gather_facts: false
  tasks:
    - name: Read the environment
      ansible.builtin.setup:
        gather_subset: [env]
""",
    "site.yml": """
- name: Site
  hosts: all
  gather_facts: false
  tasks:
    - name: Write the endpoints
      ansible.builtin.copy:
        dest: "{{ playbook_dir }}/.state/{{ inventory_dir | basename }}/outputs.json"
        content: '{"endpoints": {"grafana": "http://127.0.0.1:3000"}}'
        mode: "0600"
    - name: Show the result
      ansible.builtin.debug:
        msg:
          - "first \\x1b[31mline"
          - "checks keys: {{ lookup('ansible.builtin.config', 'HOST_KEY_CHECKING') }}"
    - name: Hide the secret
      ansible.builtin.debug:
        msg: "{{ password | default('none') }}"
      no_log: true
""",
    "playbooks/benchmark.yml": """
- name: Benchmark
  hosts: all
  gather_facts: false
  tasks:
    - name: Write the figures
      ansible.builtin.command: cp -r {{ playbook_dir }}/../made/. {{ playbook_dir }}/../.state/lab/benchmark
      changed_when: false
""",
    "playbooks/teardown.yml": """
- name: Teardown
  hosts: all
  gather_facts: false
  tasks:
    - name: Remove the state
      ansible.builtin.file: {path: "{{ playbook_dir }}/../.state/lab", state: absent}
    - name: Show a message
      ansible.builtin.debug: {msg: gone}
""",
}


SAYING = """
- name: Site
  hosts: all
  gather_facts: false
  tasks:
    - name: Show a message
      ansible.builtin.debug: {msg: hello}
"""


FAILING = """
- name: Site
  hosts: all
  gather_facts: false
  tasks:
    - name: Start the service
      ansible.builtin.command: sh -c 'echo first >&2; echo port taken >&2; exit 3'
      changed_when: false
"""


SLEEPING = """
- name: Site
  hosts: all
  gather_facts: false
  tasks:
    - name: Read the environment
      ansible.builtin.setup:
        gather_subset: [env]
    - name: Start the service
      ansible.builtin.command: setsid -f sleep {detached}
      changed_when: false
    - name: Wait
      ansible.builtin.command: sh -c 'trap "" INT TERM HUP; while sleep 0.05; do sleep {asleep} & done'
      changed_when: false
"""


MAIN = """
import pathlib, sys
from pooled_runner.cli import main
from pooled_runner.project import Project
sys.exit(main(sys.argv[2:], Project(pathlib.Path(sys.argv[1]))))
"""


class Checkout:
    """A checkout with small playbooks, and runs of the runner there, each a process of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root / "checkout"
        self.temporary = root / "tmp"
        self.temporary.mkdir()
        (root / "another.cfg").write_text(f"[defaults]\nhome = {root}/another\n")
        self.environment = {
            # Without the variables that `make` and molecule set.
            **{
                name: value
                for name, value in os.environ.items()
                if name not in ("FORCE_COLOR", "NO_COLOR") and not name.startswith("ANSIBLE_")
            },
            # Enough for the target aws, whose playbooks here never leave this machine.
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "ANSIBLE_CONFIG": str(root / "another.cfg"),
            "ANSIBLE_FORCE_COLOR": "1",
            "PYTHONPATH": str(ROOT),
            "TERM": "xterm-256color",
            "TMPDIR": str(self.temporary),
        }
        for name, text in PLAYBOOKS.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        """Put a file into the checkout."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def start(self, *argv: str, **options: Any) -> subprocess.Popen[str]:
        """Start the runner outside of the checkout."""
        command = [sys.executable, "-c", MAIN, str(self.root), *argv]
        pipes: dict[str, Any] = {
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            **options,
        }
        return subprocess.Popen(command, cwd=self.temporary, env=self.environment, **pipes)

    def run(self, *argv: str) -> tuple[int, str, str]:
        """Run the runner to its end; return exit code, stdout and stderr."""
        process = self.start(*argv)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def kept(self) -> str:
        """Return the content of every file that a run left."""
        found = []
        for path in [*(self.root / ".state").rglob("*"), *self.temporary.rglob("*")]:
            with contextlib.suppress(IsADirectoryError, FileNotFoundError):
                found.append(f"{path}\n{path.read_text(errors='replace')}")
        return "\n".join(found)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """Return a fresh checkout."""
    return Checkout(tmp_path)


def test_up_in_a_pipe_shows_plain_progress_and_a_report(checkout: Checkout) -> None:
    code, out, err = checkout.run("up", "-e", f"password={VARIABLE}")
    assert code == 0, err
    assert "\x1b" not in out + err
    assert re.search(r"^\[ +\d+\.\d+s\] PLAY Site$", err, re.MULTILINE)
    assert re.search(r"^\[ +\d+\.\d+s\] Write the endpoints \.\.\. ok=1 changed=1$", err, re.MULTILINE)
    assert re.search(r"^\[ +\d+\.\d+s\]   first line\n +checks keys: True$", err, re.MULTILINE)
    assert re.search(r"^localhost +4 +1 +0 +0 +0$", out, re.MULTILINE)
    assert "grafana  http://127.0.0.1:3000" in out
    assert re.search(r"^up on lab after \d+\.\d s: ok$", out, re.MULTILINE)
    log = Path(out.rstrip().rpartition("Log: ")[2])
    assert "PLAY RECAP" in log.read_text()
    assert "\x1b" not in log.read_text()
    assert (checkout.root / ".state/ansible").is_dir(), "the run must use the checkout's ansible.cfg"
    assert sorted(path.name for path in log.parent.iterdir()) == ["ansible.log", "result.json"]
    assert {path.stat().st_mode & 0o777 for path in log.parent.iterdir()} == {0o600}
    assert not list(checkout.temporary.iterdir())
    for secret in (SECRET, VARIABLE):
        assert secret not in checkout.kept()
        assert secret not in out + err


def test_up_check_as_json(checkout: Checkout) -> None:
    code, out, err = checkout.run("--json", "up", "--target", "aws", "--check")
    document = json.loads(out)
    assert (code, document["ok"], document["check"], document["error"]) == (0, True, True, None), err
    assert (document["verb"], document["target"], document["changed"]) == ("up", "aws", True)
    counts = {"ok": 3, "changed": 1, "unreachable": 0, "failed": 0, "skipped": 0}
    assert document["hosts"] == {"localhost": counts}
    assert document["endpoints"] == {}
    assert not (checkout.root / ".state/aws/outputs.json").exists()
    assert "+{" in err.replace(" ", ""), "the run must show the difference"
    assert len(document["slowest"]) == 3
    assert 0 < sum(one["seconds"] for one in document["slowest"]) <= document["seconds"]
    assert SECRET not in checkout.kept()


def test_a_failed_task_reports_place_and_cause(checkout: Checkout) -> None:
    checkout.write("site.yml", FAILING)
    code, out, err = checkout.run("up", "--json", "--target", "aws")
    document = json.loads(out)
    message = "non-zero return code: port taken"
    assert (code, document["ok"]) == (1, False)
    assert document["failures"] == [{"host": "localhost", "task": "Start the service", "message": message}]
    assert document["error"] == f"localhost: Start the service: {message}"
    assert f"FAILED localhost: Start the service: {message}" in err
    assert "fatal: [localhost]" in Path(document["log"]).read_text()


def test_a_broken_playbook_reports_its_place(checkout: Checkout) -> None:
    checkout.write("site.yml", "- hosts: [\n")
    code, out, _err = checkout.run("up", "--target", "aws")
    assert code == 1
    assert "FAILED: YAML parsing failed" in out
    assert "site.yml:2:1)" in out


def test_bench_and_down(checkout: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    project = Project(checkout.root)
    checkout.write(".state/lab/outputs.json", "{}")

    assert main(["bench"], project) == 0
    assert "\ndirect  pooled\n" in capsys.readouterr().out

    assert main(["down", "--json"], project) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["ok"], document["log"]) == (True, None)
    assert not (checkout.root / ".state/lab").exists()


@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_shows_live_progress(checkout: Checkout, no_color: bool) -> None:
    if no_color:
        checkout.environment["NO_COLOR"] = "1"
    checkout.write("site.yml", SAYING)
    ours, theirs = pty.openpty()
    process = checkout.start("up", "--json", "--target", "aws", stderr=theirs)
    os.close(theirs)
    shown = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        while chunk := read(terminal):
            shown += chunk
    out, _err = process.communicate(timeout=60)
    text = shown.decode()
    assert process.returncode == 0
    assert json.loads(out)["ok"]
    assert "Site: Show a message" in text
    assert re.search(r"localhost +\S*(running|ok)", text)
    assert re.search(r"\d+\.\ds  Site", text)
    assert "\x1b[2K" in text, "the runner must redraw lines"
    assert bool(re.search(r"\x1b\[(3\d|\d;3\d)m", text)) is not no_color


def read(terminal: Any) -> bytes:
    """Return the next output, or nothing at the end (which Linux reports as an error)."""
    try:
        return bytes(terminal.read(4096))
    except OSError:
        return b""


def running(needle: str) -> list[int]:
    """Return the processes whose command line or directory contains this."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().decode(errors="replace")
            if needle in line or needle in str((process / "cwd").readlink()):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait until a condition is true. Raises TimeoutError if it stays false."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.05)


@pytest.fixture
def sleeping(checkout: Checkout) -> Iterator[tuple[Checkout, str, str]]:
    """Return a checkout that starts a service, then ever more processes that ignore signals."""
    # The fractions make these durations unique on this machine.
    asleep, detached = (f"{1000 + number}.{uuid.uuid4().int % 10**9:09}" for number in range(2))
    checkout.write("site.yml", SLEEPING.format(asleep=asleep, detached=detached))
    yield checkout, asleep, detached
    while left := running(asleep) + running(detached):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_interrupt_leaves_no_orphan(sleeping: tuple[Checkout, str, str]) -> None:
    checkout, asleep, detached = sleeping
    process = checkout.start("up", "--target", "aws", "--json", "-e", f"password={VARIABLE}")
    until(lambda: running(asleep) and "TASK [Wait]" in checkout.kept())
    for secret in (SECRET, VARIABLE):
        assert secret not in checkout.kept(), "not even during the run"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    document = json.loads(out)
    assert document["ok"] is False
    assert document["error"].startswith("interrupted in Site: Wait; ")
    assert "interrupt again to kill it" in err
    until(lambda: not running(asleep), 2)
    until(lambda: not running(str(checkout.root)) or running(str(checkout.root)) == running(detached), 2)
    assert running(detached), "the detached service must survive"
    assert not list(checkout.temporary.iterdir())


def test_second_interrupt_kills_at_once(sleeping: tuple[Checkout, str, str]) -> None:
    checkout, asleep, _detached = sleeping
    process = checkout.start("up", "--target", "aws", "--json")
    until(lambda: running(asleep))
    [playbook] = [pid for pid in running("ansible-playbook") if parent(pid) == process.pid]
    os.kill(playbook, signal.SIGSTOP)  # so that it ignores the first signal
    process.send_signal(signal.SIGTERM)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=5)
    assert process.returncode == 143
    until(lambda: not running(asleep) and playbook not in running("ansible-playbook"), 2)


def parent(pid: int) -> int:
    """Return a process's parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
