# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A benchmark: its plan, its runs, each kept on the controller as soon as it has ended, and its document."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import api, plans, results
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.errors import BenchmarkError
from ansible_collections.pooled.postgres.plugins.module_utils._report import api as seeing
from ansible_collections.pooled.postgres.plugins.module_utils._report.errors import ReportError

_COLLECTION = Path(__file__).parents[2]
_SPEC: dict[str, Any] = {
    "action": {"type": "str", "choices": ["plan", "begin", "run", "finish"], "required": True},
    "directory": {"type": "path"},
    "plan": {"type": "raw"},
    "paths": {"type": "list", "elements": "str"},
    "load_hosts": {"type": "list", "elements": "str"},
    "database_host": {"type": "str"},
    "tls": {"type": "str", "default": "disable"},
    "max_connections": {"type": "int"},
    "schedule": {"type": "list", "elements": "dict"},
    "system": {"type": "dict"},
    "number": {"type": "int"},
    "endpoints": {"type": "dict"},
    "processors": {"type": "int"},
    "login_user": {"type": "str"},
    "login_password": {"type": "str", "no_log": True},
    "login_db": {"type": "str"},
    "samples": {"type": "raw"},
    "complete": {"type": "bool", "default": True},
    "monitored": {"type": "bool", "default": False},
}
_REQUIRED_IF = [
    ("action", "plan", ("plan", "load_hosts", "database_host", "max_connections")),
    ("action", "begin", ("directory", "plan", "schedule", "system")),
    ("action", "run", ("directory", "number", "endpoints", "processors", "login_user", "login_db")),
    ("action", "finish", ("directory", "samples")),
]
# What is kept of a run, of all that the module returns.
_KEPT = ("run", "details", "measured", "latencies", "command", "stdout")


class ActionModule(ActionBase):  # type: ignore[misc]
    """Does what the module documents, on the controller but for the runs of pgbench."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result."""
        super().run(tmp, task_vars)
        params = self.validate_argument_spec(_SPEC, required_if=_REQUIRED_IF)[1]
        if params["action"] == "plan":
            work = self._plan
        elif self._task.check_mode:
            return {"changed": False, "skipped": True, "msg": "there is no benchmark in check mode"}
        else:
            work = {"begin": self._begin, "run": self._run, "finish": self._finish}[params["action"]]
        try:
            return work(params, task_vars or {})
        except BenchmarkError as error:
            return {"failed": True, "msg": str(error)}

    def _plan(self, params: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        plan = api.read_plan(str(params["plan"]))
        if params["paths"] is not None:
            plan = plans.with_paths(plan, params["paths"])
        plan.setdefault("from", params["load_hosts"])
        database = params["database_host"]
        plans.check_paths(plan, hosts=[*params["load_hosts"], database], database=database, tls=params["tls"])
        schedule = plans.schedule(plan, params["max_connections"])
        return {
            "changed": False,
            "plan": plan,
            "schedule": schedule,
            "needs": plans.needs(schedule, len(plan["from"])),
            "seconds": round(sum(item["expected_seconds"] for item in schedule)),
        }

    def _begin(self, params: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        begun = {name: params[name] for name in ("plan", "schedule", "system")}
        # The checkout, as far as it is one.
        api.begin(Path(params["directory"]), begun, Path(self._loader.get_basedir()))
        return {"changed": True, "progress": plans.progress(params["schedule"])}

    def _run(self, params: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        directory = Path(params["directory"])
        begun = api.begun(directory)
        item, hosts = begun["schedule"][params["number"] - 1], begun["plan"]["from"]
        host = task_vars["inventory_hostname"]
        clients = plans.share(item["clients"], len(hosts), hosts.index(host))
        if not clients:
            return {"changed": False, "skipped": True, "msg": "there are fewer clients than load hosts"}
        jobs = plans.jobs(item, clients, params["processors"])
        artefact = {"number": item["number"], "host": host, "clients": clients, "jobs": jobs}
        late = (
            api.meet(directory, item["number"], host, hosts[: item["clients"]], item["timeout"])
            if len(hosts) > 1
            else []
        )
        if late:
            artefact["error"] = f"{', '.join(late)} did not come to the start of this run"
        else:
            arguments = _arguments(params, item, clients, jobs)
            outcome = self._execute_module("pooled.postgres.pgbench", arguments, task_vars=task_vars)
            if "run" in outcome:
                artefact |= {name: outcome[name] for name in _KEPT}
            elif outcome.get("unreachable"):
                return dict(outcome)
            else:
                artefact["error"] = outcome.get("msg") or "the module pgbench returned nothing"
        api.keep(directory, artefact)
        run = artefact.get("run", {"tps": None, "error": artefact.get("error")})
        result = {"changed": True, "tps": run["tps"], "error": run["error"]}
        if host == hosts[0]:
            said = run["error"] or f"{run['tps'] or 0:,.0f} tps"
            result["progress"] = plans.progress(begun["schedule"], item["number"], begun["started"], said)
        return result

    def _finish(self, params: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        directory = Path(params["directory"])
        document = api.finish(directory, params["samples"] or [], complete=params["complete"])
        if document is None:
            return {"failed": True, "msg": "Failed to make a result: no run has left anything"}
        result: dict[str, Any] = {"changed": True, "table": results.table(document)}
        span = api.times(document)
        if params["monitored"] and span:
            target = document["system"]["target"]
            try:
                seen = seeing.section(_COLLECTION, directory.parent, target, "benchmark", span)
            except ReportError as error:
                result["warnings"] = [f"The report is without what Prometheus saw. {error}"]
            else:
                api.draw(directory, document, seen)
        return result


def _arguments(params: Mapping[str, Any], item: Mapping[str, Any], clients: int, jobs: int) -> dict[str, Any]:
    """Return the arguments of the module pgbench."""
    arguments = {
        "action": "run",
        **params["endpoints"][item["path"]],
        **{name: params[name] for name in ("login_user", "login_password", "login_db")},
        "clients": clients,
        "jobs": jobs,
        "transactions": item["transactions"],
        "duration": item["seconds"],
        "script": None if item["content"] else item["script"],
        "script_name": item["script"] if item["content"] else None,
        "script_content": item["content"],
        "variables": item["variables"],
        "reconnect": item["mode"] == "reconnect",
        "protocol": item["protocol"],
        "timeout": item["timeout"],
        "on_error": "report",
    }
    return {name: value for name, value in arguments.items() if value is not None}
