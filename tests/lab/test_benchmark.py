"""The benchmark on real servers: its results, and that it leaks nothing."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._pgbench import model
from ansible_collections.pooled.postgres.plugins.module_utils._site import lock
from lab import Lab, wait
from real_hosts import Run
from watch import Watch


@dataclass(frozen=True)
class Benchmarked:
    """A run of the benchmark, its results, and the watch over its processes."""

    run: Run
    document: dict[str, Any]
    watch: Watch


@pytest.fixture(scope="module")
def benchmarked(lab: Lab, secrets: list[bytes]) -> Benchmarked:
    """Run the benchmark under a watch."""
    with Watch(secrets) as watch:
        run = lab.runner("bench", "--json")
    assert run.returncode == 0, run.stdout + run.stderr
    return Benchmarked(run, json.loads(run.stdout), watch)


def _case(document: dict[str, Any], **wanted: Any) -> dict[str, Any]:
    [found] = [row for row in document["benchmark"]["summary"] if wanted.items() <= row.items()]
    return dict(found)


def test_each_run_has_a_row_and_its_raw_output(benchmarked: Benchmarked, lab: Lab) -> None:
    document = benchmarked.document["benchmark"]
    assert document == json.loads((lab.state / "benchmark/latest.json").read_text())
    assert (document["schema"], document["complete"], document["plan"]["name"]) == (1, True, "quick")
    turns = [(run["path"], run["repeat"]) for run in document["runs"]]
    there, back = ["direct", "pooled"], ["pooled", "direct"]
    rounds = [(1, there * 4), (2, back * 3), (3, there * 3)]
    assert turns == [(path, number) for number, paths in rounds for path in paths]
    for run in document["runs"]:
        figures = model.parse_output((lab.state / "benchmark" / run["raw"]).read_text())
        assert [run[name] for name in ("tps", "transactions", "failed")] == [
            figures[name] for name in ("tps", "transactions", "failed")
        ]
        assert (run["tps"] is None) == (run["error"] is not None)


def test_the_result_has_an_answer(benchmarked: Benchmarked) -> None:
    assert benchmarked.document["benchmark"]["answer"][0].startswith("PgBouncer was faster in ")


def test_a_result_describes_its_system(benchmarked: Benchmarked) -> None:
    system = benchmarked.document["benchmark"]["system"]
    assert (system["load_from"], system["load_across_network"]) == (["monitoring-server"], True)
    # The lab's hosts are containers of this machine.
    assert system["same_machine"] is True
    assert system["max_connections"] == 100
    assert system["postgresql"] == system["pgbench"]
    assert system["settings"]["pgbouncer"]["pool_mode"] == "transaction"


def test_a_run_has_samples_from_inside(benchmarked: Benchmarked) -> None:
    runs = [run for run in benchmarked.document["benchmark"]["runs"] if run["script"] == "tpcb-like"]

    def most(path: str, figure: str) -> float:
        """Return the highest figure of the repeats: a busy machine may starve one of them."""
        return float(max(run["inside"][figure] for run in runs if run["path"] == path))

    pooled = [run["inside"] for run in runs if run["path"] == "pooled"]
    assert max(inside["servers_active"]["max"] for inside in pooled) > 0
    assert most("pooled", "wait_ms") > 0
    assert most("pooled", "pgbouncer_cpu") > most("direct", "pgbouncer_cpu")
    assert most("direct", "postgresql_cpu") > 0.1
    assert all(0 < run["generator"]["cpu"] < 1 for run in runs)


def test_the_page_has_the_figures_of_prometheus(benchmarked: Benchmarked) -> None:
    page = Path(benchmarked.document["report"]).read_text()
    seen = page[page.index(">Prometheus</h2>") :]
    assert "Transactions through PgBouncer and in PostgreSQL" in seen
    assert "Without data: " not in seen


def test_pooled_is_ten_times_direct_for_reconnecting_clients(benchmarked: Benchmarked) -> None:
    [compared] = _case(benchmarked.document, mode="reconnect")["comparisons"]
    assert (compared["path"], compared["verdict"]) == ("pooled", "faster")
    assert compared["ratio"] > 10


def test_the_pooler_serves_more_clients_than_max_connections(
    benchmarked: Benchmarked,
) -> None:
    paths = _case(benchmarked.document, clients=150)["paths"]
    error = paths["direct"]["error"]
    assert "remaining connection slots are reserved" in error or "too many clients" in error
    assert (paths["pooled"]["error"], paths["pooled"]["failed"]) == (None, 0)
    assert paths["pooled"]["tps"]["n"] == 1


def test_no_process_shows_a_password(benchmarked: Benchmarked) -> None:
    assert benchmarked.watch.looked_at > 100
    assert benchmarked.watch.found == set()


def test_no_output_or_file_holds_a_password(benchmarked: Benchmarked, lab: Lab, secrets: list[bytes]) -> None:
    assert not any(secret in (benchmarked.run.stdout + benchmarked.run.stderr).encode() for secret in secrets)
    assert lab.kept_with(secrets) == []


def test_no_world_readable_file_of_a_host_holds_a_password(
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


def test_the_watch_finds_a_shown_password() -> None:
    """The watch can fail: it finds a password in an argument."""
    with Watch([b"shown-in-the-open"]) as watch:
        subprocess.run([sys.executable, "-c", "import time; time.sleep(5)", "shown-in-the-open"], check=True)
    assert watch.found


def test_the_table_names_paths_and_the_ratio(benchmarked: Benchmarked, lab: Lab) -> None:
    table = (lab.state / "benchmark/latest.txt").read_text()
    assert "pooled/direct" in table
    assert "reconnecting" in table


def test_a_result_does_not_differ_from_itself(benchmarked: Benchmarked, lab: Lab) -> None:
    latest = str(lab.state / "benchmark/latest.json")
    compared = lab.runner("bench", "--json", "--compare", latest, latest)
    assert compared.returncode == 0
    found = json.loads(compared.stdout)["comparison"]
    assert found["differences"] == []
    assert {row["verdict"] for row in found["rows"]} == {"no difference", "too few runs"}


# docs/benchmark.md measures an unchanged pooler; beside other tests, one may truly be slower.
def test_the_comparison_finds_a_slowed_pooler(lab: Lab, tmp_path: Path) -> None:
    plan = tmp_path / "pooled.yml"
    # PostgreSQL sleeps most of the time, so a busy machine changes little.
    plan.write_text(
        "{seconds: 2, repeats: 3, warmup_seconds: 1, paths: [pooled],"
        " cases: [{script: sleep, content: SELECT pg_sleep(0.01), clients: 20}]}"
    )
    console = "sudo -u pgbouncer psql -h /run/pgbouncer/1 -p 6432 -d pgbouncer -qAtc"
    results: list[Path] = []
    for change in ("RECONNECT", "SET default_pool_size = 2"):
        assert lab.ssh(lab.database, f"{console} '{change}' && {console} RECONNECT").returncode == 0
        try:
            measured = lab.runner("bench", "--plan", str(plan))
        finally:
            lab.ssh(lab.database, f"{console} RELOAD")
        assert measured.returncode == 0, measured.stdout
        results.append(tmp_path / f"{len(results)}.json")
        shutil.copy(lab.state / "benchmark/latest.json", results[-1])
    compared = lab.runner("bench", "--json", "--compare", *map(str, results))
    [row] = json.loads(compared.stdout)["comparison"]["rows"]
    assert (row["path"], row["verdict"]) == ("pooled", "slower")


def test_the_advisor_restores_the_settings(lab: Lab) -> None:
    few = ["-e", '{"advise_pool_sizes": [32]}', "-e", "advise_clients=10", "-e", "advise_seconds=1"]
    run = lab.runner("advise", "--json", *few, "-e", "advise_repeats=3")
    assert run.returncode == 0, run.stdout
    advice = json.loads(run.stdout)["advice"]
    assert [(point["default_pool_size"], point["runs"]) for point in advice["points"]] == [(20, 3), (32, 3)]
    assert advice["recommended"]["default_pool_size"] in (20, 32)
    assert (advice["recommended"]["default_pool_size"] == 32) == advice["faster"]
    console = "sudo -u pgbouncer psql -h /run/pgbouncer/1 -p 6432 -d pgbouncer -Atc 'SHOW CONFIG'"
    assert "default_pool_size|20|" in lab.ssh(lab.database, console).stdout
    assert not (lab.state / "benchmark/advise-unfinished").exists()
    kept = json.loads((lab.state / "benchmark/advise-runs.json").read_text())
    assert kept["present"]["default_pool_size"] == 20, "the last trial instead of the present setting"
    assert sorted((run["default_pool_size"], run["repeat"]) for run in kept["runs"]) == [
        (size, repeat) for size in (20, 32) for repeat in (1, 2, 3)
    ]


def test_a_benchmark_refuses_a_locked_target(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "plan.yml").write_text(OWN)
    with subprocess.Popen(["sleep", "600"]) as other:
        try:
            lock.take(lab.state, "lab", other.pid, ["ansible-playbook", "site.yml"])
            run = lab.runner("bench", "--plan", str(tmp_path / "plan.yml"))
        finally:
            other.kill()
    assert run.returncode == 2
    assert f"Failed to lock lab: `ansible-playbook site.yml` (process {other.pid}) changes it" in run.stderr


OWN = """
seconds: 1
repeats: 1
warmup_seconds: 0
cases: [{script: select-only, clients: 1}]
"""


def test_ctrl_c_keeps_the_finished_runs(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "plan.yml").write_text(
        OWN.replace("repeats: 1", "repeats: 100").replace("seconds: 1", "seconds: 2")
    )
    command = [sys.executable, "runner.py", "bench", "--json", "--plan", str(tmp_path / "plan.yml")]
    with subprocess.Popen(
        command, cwd=lab.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait(lambda: len(list((lab.state / "benchmark/current/runs").glob("*.json"))) > 3, 240)
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=240)
    assert process.returncode == 128 + signal.SIGINT
    document = json.loads(stdout)["benchmark"]
    assert document["complete"] is False
    assert 3 < len(document["runs"]) < 20
    assert all(run["inside"] for run in document["runs"])
    assert document["answer"][0].startswith("The benchmark was interrupted")
    # No process goes on.
    assert lab.ssh(lab.database, "grep benchmark_samples /proc/net/unix").returncode == 1
    assert lab.ssh(lab.monitoring, "pgrep -x pgbench").returncode == 1


def test_status_and_benchmark_report_a_stopped_pooler(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "plan.yml").write_text(OWN)
    lab.ssh(lab.database, "sudo systemctl stop 'pgbouncer@*'")
    try:
        status = lab.runner("status", "--json")
        bench = lab.runner("bench", "--plan", str(tmp_path / "plan.yml"))
    finally:
        lab.ssh(lab.database, "sudo systemctl start --all 'pgbouncer@*'")
    assert status.returncode == 1
    assert json.loads(status.stdout)["healthy"] is False
    assert bench.returncode == 0, bench.stdout
    pooled = json.loads((lab.state / "benchmark/latest.json").read_text())["runs"][1]
    assert "Connection refused" in pooled["error"]
    # Prometheus must scrape again first.
    wait(lambda: lab.runner("status", "--json").returncode == 0, 120)
