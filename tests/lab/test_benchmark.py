"""The benchmark on the real thing: what pooling buys, and that nothing leaks while it is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from lab import Lab
from real_hosts import Run
from watch import Watch


@dataclass(frozen=True)
class Benchmarked:
    """A run of the benchmark, its results, and what was seen while it lasted."""

    run: Run
    document: dict[str, Any]
    watch: Watch


@pytest.fixture(scope="module")
def benchmarked(lab: Lab, secrets: list[bytes]) -> Benchmarked:
    """Run the benchmark, watched all the while."""
    with Watch(secrets) as watch:
        run = lab.runner("bench", "--json")
    assert run.returncode == 0, run.stdout + run.stderr
    return Benchmarked(run, json.loads(run.stdout), watch)


def _run(document: dict[str, Any], **wanted: Any) -> dict[str, Any]:
    [found] = [run for run in document["benchmark"]["runs"] if wanted.items() <= run.items()]
    return dict(found)


def test_every_run_is_a_row_for_each_path(benchmarked: Benchmarked, lab: Lab) -> None:
    document = benchmarked.document
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
    benchmarked: Benchmarked,
) -> None:
    direct, pooled = (
        _run(benchmarked.document, mode="reconnect", path=path)["tps"] for path in ("direct", "pooled")
    )
    assert pooled > 10 * direct


def test_more_clients_than_connections_are_refused_directly_and_served_by_the_pooler(
    benchmarked: Benchmarked,
) -> None:
    direct, pooled = (_run(benchmarked.document, clients=150, path=path) for path in ("direct", "pooled"))
    assert (
        "remaining connection slots are reserved" in direct["error"] or "too many clients" in direct["error"]
    )
    assert pooled["error"] is None
    assert pooled["failed"] == 0
    assert pooled["transactions"] == 7_500


def test_no_process_shows_a_password(benchmarked: Benchmarked) -> None:
    assert benchmarked.watch.looked_at > 100
    assert benchmarked.watch.found == set()


def test_nothing_printed_or_kept_holds_a_password(
    benchmarked: Benchmarked, lab: Lab, secrets: list[bytes]
) -> None:
    assert not any(secret in (benchmarked.run.stdout + benchmarked.run.stderr).encode() for secret in secrets)
    assert lab.kept_with(secrets) == []


def test_nothing_that_all_may_read_on_a_host_holds_a_password(
    benchmarked: Benchmarked, lab: Lab, secrets: list[bytes]
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
        result = lab.python(host, script, [secret.decode() for secret in secrets], sudo=True)
        assert result.stderr.count("read") > 1000
        assert result.stdout == "", host


def test_the_watch_sees_a_password_that_is_shown() -> None:
    """The check above can fail: a password in an environment or an argument is found."""
    with Watch([b"shown-in-the-open"]) as watch:
        subprocess.run([sys.executable, "-c", "import time; time.sleep(1)", "shown-in-the-open"], check=True)
    assert watch.found


def test_the_table_names_paths_and_ratio(benchmarked: Benchmarked, lab: Lab) -> None:
    table = (lab.state / "benchmark/latest.txt").read_text()
    assert "pooled/direct" in table.splitlines()[0]
    assert "reconnecting" in table


def test_a_stopped_pooler_is_said_by_status_and_by_the_benchmark(lab: Lab) -> None:
    lab.ssh(lab.database, "sudo systemctl stop 'pgbouncer@*'")
    try:
        status = lab.runner("status", "--json")
        runs = [{"clients": 1, "jobs": 1, "transactions": 1, "script": "select-only"}]
        bench = lab.playbook("playbooks/benchmark.yml", variables={"benchmark_runs": runs})
    finally:
        lab.ssh(lab.database, "sudo systemctl start --all 'pgbouncer@*'")
    assert status.returncode == 1
    assert json.loads(status.stdout)["healthy"] is False
    assert bench.returncode == 0, bench.stdout
    pooled = json.loads((lab.state / "benchmark/latest.json").read_text())["runs"][1]
    assert "Connection refused" in pooled["error"]
    assert lab.runner("status", "--json").returncode == 0
