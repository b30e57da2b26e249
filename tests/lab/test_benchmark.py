"""The benchmark on the real thing: what pooling buys, and that nothing leaks while it is measured."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import Lab, Run


class Watch(threading.Thread):
    """Reads every process' arguments and environment, those of the hosts included, until it is stopped."""

    def __init__(self, secrets: list[bytes]) -> None:
        super().__init__()
        self.secrets = secrets
        self.found: set[str] = set()
        self.looked_at = 0
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.wait(0.05):
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    try:
                        content = (process / name).read_bytes()
                    except OSError:
                        continue
                    self.looked_at += 1
                    if any(secret in content for secret in self.secrets):
                        self.found.add(f"{name}: {content[:60]!r}")


@pytest.fixture(scope="module")
def secrets(lab: Lab) -> list[bytes]:
    """Return the generated passwords."""
    return [path.read_bytes().strip() for path in (lab.state / "secrets").iterdir()]


@pytest.fixture(scope="module")
def watched(lab: Lab, secrets: list[bytes]) -> Iterator[tuple[dict[str, Any], Watch, list[Run]]]:
    """Run the benchmark and bring the site up again, watched all the while."""
    watch = Watch(secrets)
    watch.start()
    try:
        runs = [lab.runner("bench", "--json"), lab.runner("up", "--json")]
    finally:
        watch.stop.set()
        watch.join()
    assert [run.returncode for run in runs] == [0, 0], [run.stdout + run.stderr for run in runs]
    yield json.loads(runs[0].stdout), watch, runs


def _run(document: dict[str, Any], **wanted: Any) -> dict[str, Any]:
    [found] = [run for run in document["benchmark"]["runs"] if wanted.items() <= run.items()]
    return dict(found)


def test_another_run_changes_nothing(watched: tuple[dict[str, Any], Watch, list[Run]]) -> None:
    """Not even after the benchmark has made its tables."""
    assert json.loads(watched[2][1].stdout)["changed"] is False, watched[2][1].stdout


def test_every_run_is_a_row_for_each_path(watched: tuple[dict[str, Any], Watch, list[Run]], lab: Lab) -> None:
    document = watched[0]
    assert document["benchmark"] == json.loads((lab.state / "benchmark/latest.json").read_text())
    assert document["benchmark"]["schema"] == 1
    runs = document["benchmark"]["runs"]
    assert [run["path"] for run in runs] == ["direct", "pooled"] * (len(runs) // 2)
    for run in runs:
        assert (
            " ".join(sorted(run)) == "clients error failed jobs latency_ms mode path script tps transactions"
        )
        assert (run["tps"] is None) == (run["error"] is not None)
    assert _run(document, path="pooled", clients=50)["transactions"] == 50_000


def test_pooled_beats_direct_by_ten_where_clients_reconnect(
    watched: tuple[dict[str, Any], Watch, list[Run]],
) -> None:
    direct, pooled = (_run(watched[0], mode="reconnect", path=path)["tps"] for path in ("direct", "pooled"))
    assert pooled > 10 * direct


def test_more_clients_than_connections_are_refused_directly_and_served_by_the_pooler(
    watched: tuple[dict[str, Any], Watch, list[Run]],
) -> None:
    direct, pooled = (_run(watched[0], clients=150, path=path) for path in ("direct", "pooled"))
    assert (
        "remaining connection slots are reserved" in direct["error"] or "too many clients" in direct["error"]
    )
    assert pooled["error"] is None
    assert pooled["failed"] == 0
    assert pooled["transactions"] == 7_500


def test_no_process_shows_a_password(watched: tuple[dict[str, Any], Watch, list[Run]]) -> None:
    watch = watched[1]
    assert watch.looked_at > 1000
    assert watch.found == set()


def test_nothing_printed_or_kept_holds_a_password(
    watched: tuple[dict[str, Any], Watch, list[Run]], lab: Lab, secrets: list[bytes]
) -> None:
    printed = "".join(run.stdout + run.stderr for run in watched[2]).encode()
    assert not any(secret in printed for secret in secrets)
    kept = [
        path
        for path in (lab.root / ".state").rglob("*")
        if path.is_file() and lab.state / "secrets" not in path.parents
    ]
    assert any("runs" in path.parts for path in kept)
    assert [path for path in kept if any(secret in path.read_bytes() for secret in secrets)] == []


def test_nothing_that_all_may_read_on_a_host_holds_a_password(
    watched: tuple[dict[str, Any], Watch, list[Run]], lab: Lab, secrets: list[bytes]
) -> None:
    script = (
        "import json, os, stat, sys\n"
        "secrets = [s.encode() for s in json.load(sys.stdin)]\n"
        "for top in ('/etc', '/home', '/opt', '/root', '/run', '/srv', '/tmp', '/usr/local', '/var'):\n"
        "    for folder, _, names in os.walk(top):\n"
        "        for path in (os.path.join(folder, n) for n in names):\n"
        "            try:\n"
        "                s = os.lstat(path)\n"
        "                if stat.S_ISREG(s.st_mode) and s.st_mode & 0o004 and s.st_size < 1 << 26:\n"
        "                    if any(x in open(path, 'rb').read() for x in secrets): print(path)\n"
        "                    print('read', end=' ', file=sys.stderr)\n"
        "            except OSError: pass\n"
    )
    for host in (lab.database, lab.monitoring):
        result = lab.ssh_python(host, script, [secret.decode() for secret in secrets], sudo=True)
        assert result.stderr.count("read") > 1000
        assert result.stdout == "", host


def test_the_watch_sees_a_password_that_is_shown() -> None:
    """The check above can fail: a password in an environment or an argument is found."""
    watch = Watch([b"shown-in-the-open"])
    watch.start()
    try:
        subprocess.run([sys.executable, "-c", "import time; time.sleep(1)", "shown-in-the-open"], check=True)
    finally:
        watch.stop.set()
        watch.join()
    assert watch.found


def test_the_table_names_paths_and_ratio(watched: tuple[dict[str, Any], Watch, list[Run]], lab: Lab) -> None:
    table = (lab.state / "benchmark/latest.txt").read_text()
    assert "pooled/direct" in table.splitlines()[0]
    assert "reconnecting" in table


def test_a_stopped_pooler_is_said_by_status_and_by_the_benchmark(lab: Lab) -> None:
    lab.ssh(lab.database, "sudo systemctl stop pgbouncer")
    try:
        status = lab.runner("status", "--json")
        runs = [{"clients": 1, "jobs": 1, "transactions": 1, "script": "select-only"}]
        bench = lab.playbook("playbooks/benchmark.yml", variables={"benchmark_runs": runs})
    finally:
        lab.ssh(lab.database, "sudo systemctl start pgbouncer")
    assert status.returncode == 1
    assert json.loads(status.stdout)["healthy"] is False
    assert bench.returncode == 0, bench.stdout
    pooled = json.loads((lab.state / "benchmark/latest.json").read_text())["runs"][1]
    assert "Connection refused" in pooled["error"]
    assert lab.runner("status", "--json").returncode == 0
