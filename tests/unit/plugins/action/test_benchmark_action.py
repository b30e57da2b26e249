"""The benchmark's tasks: what is kept of a run, whatever came of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml
from ansible_collections.pooled.postgres.plugins.action import benchmark as action
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import api
from ansible_collections.pooled.postgres.plugins.module_utils._report import api as seeing
from ansible_collections.pooled.postgres.plugins.module_utils._report import plots
from ansible_collections.pooled.postgres.plugins.module_utils._report.errors import ReportError
from ansible_collections.pooled.postgres.plugins.modules import benchmark as documented
from benchmark_runs import left_by, outputs

PLAN: dict[str, Any] = {
    "plan": "quick",
    "load_hosts": ["load"],
    "database_host": "db",
    "max_connections": 100,
}
MEASURED = {
    "run": {"tps": 1234.5, "error": None},
    "details": {"pgbench_version": "17.6"},
    "measured": {},
    "latencies": {},
    "command": "pgbench",
    "stdout": "tps = 1234.5\n",
    "invocation": {"module_args": {"login_password": "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"}},
}


class Actor:
    """Runs the action's tasks; the modules that it runs do nothing but return this."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.returns: dict[str, Any] = MEASURED
        self.asked: list[dict[str, Any]] = []

    def __call__(
        self, name: str, host: str = "load", check_mode: bool = False, **args: Any
    ) -> dict[str, Any]:
        """Return the result of a task."""
        task = MagicMock(args={"action": name, **args}, check_mode=check_mode, async_val=0)
        loader = MagicMock()
        loader.get_basedir.return_value = str(self.root)
        module = action.ActionModule(task, MagicMock(), MagicMock(), loader, MagicMock(), MagicMock())

        def execute(_name: str, arguments: dict[str, Any], **_: Any) -> dict[str, Any]:
            self.asked.append(arguments)
            if self.returns.get("failed") or self.returns.get("unreachable"):
                return self.returns
            return {"results": [self.returns] * len(arguments["workloads"])}

        module._execute_module = execute
        return dict(module.run(task_vars={"inventory_hostname": host}))

    def begin(self, **plan: Any) -> dict[str, Any]:
        """Begin with a benchmark, and return its plan."""
        planned = self("plan", **{**PLAN, **plan})
        given = {name: planned[name] for name in ("plan", "schedule")}
        about = {"time": "now", "target": "lab", "auth_type": "scram-sha-256"}
        host = {"processors": 2, "busy": 0.01, "boot_id": "x", "system": {"kernel": "6.12"}}
        begun = self(
            "begin",
            directory=str(self.root),
            system=about,
            database_host="db",
            hosts={name: host for name in (*given["plan"]["from"], "db")},
            settings=[
                {"name": "server_version", "value": "17.6 (Debian)"},
                {"name": "max_connections", "value": "100"},
            ],
            pooler={"version": "1.24.1", "processes": 1, "settings": {}},
            **given,
        )
        assert begun["progress"].startswith("1/22 select-only, 50 clients, pooled, warm-up; ")
        return planned

    def make(self, *numbers: int, host: str = "load", **options: Any) -> dict[str, Any]:
        """Make runs."""
        endpoints = {"direct": {"login_port": 5432}, "pooled": {"login_port": 6432}}
        login = {"login_user": "me", "login_password": "s3cret", "login_db": "mine"}
        options = {"endpoints": endpoints, "directory": str(self.root), **login, **options}
        return self("run", host, numbers=list(numbers), **options)

    def kept(self, name: str) -> dict[str, Any]:
        """Return what a run has left."""
        found: dict[str, Any] = json.loads((self.root / f"current/runs/{name}.json").read_text())
        return found


@pytest.fixture
def act(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Actor:
    # No chart is needed here, and the first takes a second.
    monkeypatch.setattr(plots, "svg", lambda *_: "")
    return Actor(tmp_path)


def test_a_plan_is_refused_before_anything_is_touched(act: Actor) -> None:
    refusals: list[tuple[dict[str, Any], str]] = [
        ({"plan": "nothing.yml"}, "Failed to find the plan nothing.yml"),
        ({"paths": ["tls"]}, "PgBouncer has no TLS for the path tls"),
    ]
    for changes, says in refusals:
        refused = act("plan", **{**PLAN, **changes})
        assert refused["failed"] is True
        assert says in refused["msg"]
    assert list(act.root.iterdir()) == []


def test_a_plan_says_what_it_takes(act: Actor) -> None:
    planned = act("plan", **PLAN, check_mode=True)
    assert planned["plan"]["from"] == ["load"]
    assert planned["needs"] == {"clients": 150, "jobs": 64, "log_bytes": 7_000_000}
    assert len(planned["schedule"]) == 22


def test_a_run_is_kept_at_once_without_a_secret(act: Actor) -> None:
    act.begin()
    done = act.make(2)
    assert (done["tps"], done["error"], done["changed"]) == (1234.5, None, True)
    assert done["progress"].startswith("3/22 select-only, 50 clients, pooled, 1 of 3; last: 1,234 tps; ")
    [asked] = act.asked
    [workload] = asked.pop("workloads")
    assert asked == {"action": "run", "login_user": "me", "login_password": "s3cret", "login_db": "mine"}
    assert workload == {
        "login_port": 5432,
        "clients": 50,
        "jobs": 2,
        "duration": 2,
        "script": "select-only",
        "variables": {},
        "reconnect": False,
        "protocol": "simple",
        "timeout": 84,
        "on_error": "report",
    }
    kept = act.kept("0002-load")
    assert (kept["number"], kept["host"], kept["run"]["tps"]) == (2, "load", 1234.5)
    assert kept["stdout"] == "tps = 1234.5\n"
    assert "invocation" not in kept
    assert not any(b"s3cret" in path.read_bytes() for path in act.root.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("returned", "error"),
    [
        ({**MEASURED, "run": {"tps": None, "error": "too many clients"}}, "too many clients"),
        ({"error": "Failed to run pgbench: the limit is 1024"}, "Failed to run pgbench: the limit is 1024"),
        ({"failed": True, "msg": "Failed to find pgbench"}, "Failed to find pgbench"),
        ({"failed": True}, "the module pgbench returned nothing"),
    ],
)
def test_a_run_that_fails_is_kept_and_the_rest_goes_on(
    act: Actor, returned: dict[str, Any], error: str
) -> None:
    act.begin()
    act.returns = returned
    done = act.make(2)
    assert "failed" not in done
    assert done["error"] == error
    assert f"last: {error}; " in done["progress"]
    kept = act.kept("0002-load")
    assert (kept.get("error") or kept["run"]["error"]) == error


def test_runs_of_a_batch_are_kept_one_by_one(act: Actor) -> None:
    planned = act.begin()
    batch = planned["batches"][0]
    done = act.make(*batch)
    assert done["progress"].startswith(f"{batch[-1] + 1}/22 ")
    assert [act.kept(f"{number:04}-load")["number"] for number in batch] == batch
    assert [len(asked["workloads"]) for asked in act.asked] == [len(batch)]


def test_a_load_host_that_is_gone_ends_it(act: Actor) -> None:
    act.begin()
    act.returns = {"unreachable": True, "msg": "gone"}
    assert act.make(2)["unreachable"] is True
    assert list((act.root / "current/runs").iterdir()) == []


def test_load_hosts_have_their_shares(act: Actor) -> None:
    act.begin(load_hosts=["a", "b"])
    (act.root / "current/start").mkdir()
    for came in ("0002-b", "0003-a"):
        (act.root / "current/start" / came).touch()
    assert "progress" in act.make(2, host="a")
    # Once is enough.
    assert "progress" not in act.make(3, host="b")
    assert [asked["workloads"][0]["clients"] for asked in act.asked] == [25, 25]


def test_nothing_runs_in_check_mode(act: Actor) -> None:
    for name in ("begin", "run", "finish"):
        options: dict[str, Any] = {
            "directory": str(act.root),
            "numbers": [1],
            "endpoints": {},
            "samples": [],
        }
        options |= {"plan": {}, "schedule": [], "system": {}, "login_user": "me", "login_db": "mine"}
        options |= {"database_host": "db", "hosts": {}, "settings": [], "pooler": {}}
        assert act(name, check_mode=True, **options)["skipped"] is True
    assert list(act.root.iterdir()) == []


def test_an_end_without_a_run_fails(act: Actor) -> None:
    act.begin()
    ended = act("finish", directory=str(act.root), samples=[])
    assert ended == {"failed": True, "msg": "Failed to write a result: no run has ended"}


@pytest.mark.parametrize("answers", [True, False])
def test_what_prometheus_saw_is_in_the_report_where_it_answers(
    answers: bool, act: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def section(_root: Path, *about: Any) -> str:
        asked.append(about)
        if not answers:
            raise ReportError("Failed to ask Prometheus: it does not answer")
        return "<p>seen by Prometheus</p>"

    monkeypatch.setattr(seeing, "section", section)
    act.begin()
    # The warm-up, which is no run of the result, and two runs.
    for number in (1, 2, 3):
        api.keep(act.root, left_by(number, outputs("17")["tpcb_like"]))
    directory = act.root
    ended = act("finish", directory=str(directory), samples=[], monitored=True)
    assert asked == [(directory.parent, "lab", "benchmark", (2.0, 3.9))]
    assert ("seen by Prometheus" in (directory / "latest.html").read_text()) == answers
    warned = ["The report has no data of Prometheus. Failed to ask Prometheus: it does not answer"]
    assert ended.get("warnings", []) == ([] if answers else warned)


def test_documented_options() -> None:
    options = yaml.safe_load(documented.DOCUMENTATION)["options"]
    for option in options.values():
        assert option.pop("description")
    spec = {name: dict(option) for name, option in action._SPEC.items()}
    assert [name for name, option in spec.items() if option.pop("no_log", False)] == ["login_password"]
    assert options == spec
