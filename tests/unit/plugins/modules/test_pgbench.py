# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module itself: what it takes, what it returns, and that its documentation says so.

What it does is tested in tests/unit/plugins/module_utils/_pgbench, with the module as a process.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.pooled.postgres.plugins.module_utils._pgbench import api, model
from ansible_collections.pooled.postgres.plugins.module_utils._pgbench.errors import (
    InterruptedRunError,
    PgbenchError,
)
from ansible_collections.pooled.postgres.plugins.modules import pgbench

RUN = {"action": "run", "login_db": "mydb", "transactions": 1}
INITIALISE = {"action": "initialise", "login_db": "mydb"}
FIGURES = "number of transactions actually processed: 1/1\nnumber of failed transactions: 0 (0.000%)\n"


def execute(capsys: pytest.CaptureFixture[str], arguments: dict[str, Any]) -> dict[str, Any]:
    """Run the module in this process and return its result."""
    with patch_module_args(arguments), pytest.raises(SystemExit):
        pgbench.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Stand in for ``api.run``, with a run that ends well, and return with what it was called."""
    made: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def run(*positional: Any, **named: Any) -> dict[str, Any]:
        made.append((positional, named))
        return outcome()

    monkeypatch.setattr(api, "run", run)
    return made


def outcome(error: str | None = None, warning: str | None = None) -> dict[str, Any]:
    figures = model.parse_output(FIGURES)
    result = model.run_result(model.Workload(transactions=1), figures, Counter([1000]), error)
    measured = {"start": 1.0, "end": 2.0, "cpu_seconds": 0.5, "processors": 2}
    more = {"stdout": FIGURES, "warning": warning, "measured": measured, "latencies": {1000: 1}}
    return {**result, "command": "pgbench mydb", **more}


def ends_in(monkeypatch: pytest.MonkeyPatch, result: dict[str, Any]) -> None:
    monkeypatch.setattr(api, "run", lambda *_, **__: result)


# --- Run ------------------------------------------------------------------------------------------------


def test_run(capsys: pytest.CaptureFixture[str], calls: list[tuple[tuple[Any, ...], dict[str, Any]]]) -> None:
    result = execute(capsys, RUN)
    assert result["changed"] is True
    assert result["run"] == outcome()["run"]
    assert result["details"] == outcome()["details"]
    assert (result["command"], result["stdout"]) == ("pgbench mydb", FIGURES)
    assert "warning" not in result
    [((target, workload), named)] = calls
    assert target == model.Target(host="", port=5432, user="postgres", database="mydb", password=None)
    assert workload == model.Workload(transactions=1)
    assert {**named, "directory": ""} == {"executable": None, "timeout": 3600, "directory": ""}


def test_all_options(
    capsys: pytest.CaptureFixture[str], calls: list[tuple[tuple[Any, ...], dict[str, Any]]]
) -> None:
    workload: dict[str, Any] = {
        "clients": 50,
        "jobs": 4,
        "duration": 30,
        "script_content": "SELECT 1;",
        "script_name": "mine",
        "reconnect": True,
        "protocol": "prepared",
        "max_tries": 3,
        "vacuum": True,
        "log_sampling_rate": 0.5,
    }
    login = {
        "login_host": "10.0.2.10",
        "login_port": 6432,
        "login_user": "myuser",
        "login_password": "s3cret",
        "login_db": "mydb",
    }
    result = execute(
        capsys, {"action": "run", "executable": "/opt/pgbench", "timeout": 60, **workload, **login}
    )
    [((target, given), named)] = calls
    assert target == model.Target("10.0.2.10", 6432, "myuser", "mydb", "s3cret")
    assert given == model.Workload(**workload)
    assert {**named, "directory": ""} == {"executable": "/opt/pgbench", "timeout": 60, "directory": ""}
    assert "s3cret" not in str(result)


@pytest.mark.parametrize(("script", "changed"), [("select-only", False), ("simple-update", True)])
def test_changed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, script: str, changed: bool
) -> None:
    ends_in(monkeypatch, outcome())
    assert execute(capsys, {**RUN, "script": script})["changed"] is changed


def test_a_failed_run_fails(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ends_in(monkeypatch, outcome(error="Connection refused"))
    result = execute(capsys, {**RUN, "login_host": "h"})
    assert result["failed"] is True
    assert result["msg"] == "Failed to run pgbench on database mydb at h:5432: Connection refused"
    assert result["run"]["error"] == "Connection refused"


def test_a_failed_run_is_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_in(monkeypatch, outcome(error="Connection refused"))
    result = execute(capsys, {**RUN, "on_error": "report"})
    assert "failed" not in result
    assert result["run"]["error"] == "Connection refused"


def test_a_warning(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    # How a warning reaches the result depends on what else ran in this process, so only the call counts.
    warnings: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _, warning: warnings.append(warning))
    ends_in(monkeypatch, outcome(warning="pgbench reported: odd"))
    result = execute(capsys, RUN)
    assert warnings == ["pgbench reported: odd"]
    assert "failed" not in result


@pytest.mark.parametrize("on_error", ["fail", "report"])
def test_what_is_no_result_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, on_error: str
) -> None:
    def run(*_: Any, **__: Any) -> dict[str, Any]:
        raise PgbenchError("Failed to find pgbench: it is gone")

    monkeypatch.setattr(api, "run", run)
    result = execute(capsys, {**RUN, "on_error": on_error})
    assert result["failed"] is True
    assert result["msg"] == "Failed to find pgbench: it is gone"


def test_several_workloads_are_one_task(
    capsys: pytest.CaptureFixture[str], calls: list[tuple[tuple[Any, ...], dict[str, Any]]]
) -> None:
    workloads = [{"clients": 2, "login_port": 6432, "transactions": 1}, {"duration": 1}, {"duration": 9}]
    result = execute(capsys, {"action": "run", "login_db": "mydb", "timeout": 5, "workloads": workloads})
    assert [(target.port, workload.clients) for (target, workload), _named in calls] == [(6432, 2), (5432, 1)]
    assert [one.get("run") for one in result["results"]] == [outcome()["run"]] * 2 + [None]
    # One that cannot start does not keep the others from it.
    assert "9 s exceed the timeout of 5 s" in result["results"][2]["error"]
    assert (result["changed"], result.get("failed")) == (True, None)


def test_an_interruption_ends_all_workloads(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: Any, **__: Any) -> dict[str, Any]:
        raise InterruptedRunError("Failed to run pgbench: stopped by SIGTERM")

    monkeypatch.setattr(api, "run", run)
    result = execute(capsys, {"action": "run", "login_db": "mydb", "workloads": [{"duration": 1}]})
    assert (result["failed"], result["msg"]) == (True, "Failed to run pgbench: stopped by SIGTERM")


def test_check_mode(
    capsys: pytest.CaptureFixture[str], calls: list[tuple[tuple[Any, ...], dict[str, Any]]]
) -> None:
    result = execute(capsys, {**RUN, "_ansible_check_mode": True})
    assert result["skipped"] is True
    assert result["changed"] is False
    assert calls == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"login_db": "mydb"}, "action"),
        ({"action": "initialise"}, "login_db"),
        ({"action": "run", "login_db": "mydb"}, "transactions, duration"),
        ({**RUN, "duration": 1}, "transactions|duration"),
        ({**RUN, "script": "select-only", "script_content": "SELECT 1"}, "script|script_content"),
        ({**RUN, "script_name": "mine"}, "script_content"),
        ({**RUN, "script": "tpcc"}, "tpcb-like, simple-update, select-only"),
    ],
)
def test_arguments_that_make_no_sense(
    capsys: pytest.CaptureFixture[str], arguments: dict[str, Any], message: str
) -> None:
    result = execute(capsys, arguments)
    assert result["failed"] is True
    assert message in result["msg"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({**RUN, "clients": 0}, "Failed to accept clients: 0 is below 1"),
        ({**RUN, "login_password": ""}, "Failed to accept login_password: it is empty"),
        ({**INITIALISE, "scale": 0}, "Failed to accept scale: 0 is below 1"),
        ({**INITIALISE, "login_db": ""}, "Failed to accept login_db: it is empty"),
    ],
)
@pytest.mark.parametrize("check_mode", [False, True])
def test_values_that_make_no_sense(
    capsys: pytest.CaptureFixture[str], arguments: dict[str, Any], message: str, check_mode: bool
) -> None:
    result = execute(capsys, {**arguments, "_ansible_check_mode": check_mode})
    assert result["failed"] is True
    assert result["msg"].startswith(message)


# --- Initialise -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("diff", [False, True])
@pytest.mark.parametrize("check_mode", [False, True])
def test_initialise(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, check_mode: bool, diff: bool
) -> None:
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def initialise(*positional: Any, **named: Any) -> dict[str, Any]:
        calls.append((positional, named))
        before = model.Tables(present=("pgbench_branches",), keyed=(), scale=2)
        return {"changed": True, "before": before, "after": model.initialised_tables(5), "command": "x"}

    monkeypatch.setattr(api, "initialise", initialise)
    result = execute(
        capsys, {**INITIALISE, "scale": 5, "_ansible_check_mode": check_mode, "_ansible_diff": diff}
    )
    [((target, scale), named)] = calls
    assert (target.database, scale, named["check_mode"]) == ("mydb", 5, check_mode)
    assert result["changed"] is True
    assert (result["scale"], result["previous_scale"], result["command"]) == (5, 2, "x")
    expected = {"before": {"scale": 2, "tables": ["pgbench_branches"], "primary_keys": []}}
    expected["after"] = {
        "scale": 5,
        "tables": ["pgbench_accounts", "pgbench_branches", "pgbench_tellers", "pgbench_history"],
        "primary_keys": ["pgbench_accounts", "pgbench_branches", "pgbench_tellers"],
    }
    assert result.get("diff") == (expected if diff else None)


# --- Documentation --------------------------------------------------------------------------------------


@pytest.fixture
def spec(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The argument spec that the module gives to Ansible."""
    given: dict[str, Any] = {}

    def module(**arguments: Any) -> None:
        given.update(arguments["argument_spec"])
        raise SystemExit

    monkeypatch.setattr(pgbench, "AnsibleModule", module)
    with pytest.raises(SystemExit):
        pgbench.main()
    return given


def test_documented_options(spec: dict[str, Any]) -> None:
    documented = yaml.safe_load(pgbench.DOCUMENTATION)["options"]
    for option in documented.values():
        assert option.pop("description")
    for option in spec.values():
        option.pop("no_log", None)
    assert documented == spec


def test_the_password_is_a_secret(spec: dict[str, Any]) -> None:
    assert [name for name, option in spec.items() if option.get("no_log")] == ["login_password"]


def test_examples(
    capsys: pytest.CaptureFixture[str],
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tables = model.initialised_tables(50)
    done = {"changed": False, "before": tables, "after": tables, "command": None}
    monkeypatch.setattr(api, "initialise", lambda *_, **__: done)
    for task in yaml.safe_load(pgbench.EXAMPLES):
        assert "failed" not in execute(capsys, task["pooled.postgres.pgbench"]), task["name"]


def test_documented_results() -> None:
    documented = yaml.safe_load(pgbench.RETURN)
    result = outcome()
    others = {"results", "scale", "previous_scale", "processors", "busy", "boot_id", "system"}
    assert set(documented) == {*result, *others} - {"warning"}
    assert list(documented["run"]["sample"]) == list(result["run"])
    assert list(documented["run"]["sample"]["latency_ms"]) == list(result["run"]["latency_ms"])
    assert set(documented["details"]["sample"]) <= set(result["details"])
    for value in documented.values():
        assert {"description", "returned", "type", "sample"} <= set(value)
