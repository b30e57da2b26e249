# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan a benchmark, make its runs, keep each on the controller, and write the result."""

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
    "hosts": {"type": "dict"},
    "settings": {"type": "list", "elements": "dict"},
    "pooler": {"type": "dict"},
    "numbers": {"type": "list", "elements": "int"},
    "endpoints": {"type": "dict"},
    "login_user": {"type": "str"},
    "login_password": {"type": "str", "no_log": True},
    "login_db": {"type": "str"},
    "samples": {"type": "raw"},
    "complete": {"type": "bool", "default": True},
    "monitored": {"type": "bool", "default": False},
}
_BEGIN = ("directory", "plan", "schedule", "system", "database_host", "hosts", "settings", "pooler")
_REQUIRED_IF = [
    ("action", "plan", ("plan", "load_hosts", "database_host", "max_connections")),
    ("action", "begin", _BEGIN),
    ("action", "run", ("directory", "numbers", "endpoints", "login_user", "login_db")),
    ("action", "finish", ("directory", "samples")),
]
# The part of the module's result that an artefact has.
_KEPT = ("run", "details", "measured", "latencies", "command", "stdout", "error")


class ActionModule(ActionBase):  # type: ignore[misc]
    """See the documentation of the module. Everything but pgbench runs on the controller."""

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
            "batches": plans.batches(schedule, len(plan["from"])),
            "needs": plans.needs(schedule, len(plan["from"])),
            "seconds": round(sum(item["expected_seconds"] for item in schedule)),
        }

    def _begin(self, params: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        system = results.system(
            params["system"],
            params["plan"],
            database=params["database_host"],
            hosts=params["hosts"],
            settings=params["settings"],
            pooler=params["pooler"],
        )
        processors = {name: host["processors"] for name, host in params["hosts"].items()}
        begun = {"plan": params["plan"], "schedule": params["schedule"], "system": system}
        # In a checkout this is the playbook's directory.
        root = Path(self._loader.get_basedir())
        api.begin(Path(params["directory"]), {**begun, "processors": processors}, root)
        return {"changed": True, "progress": plans.progress(params["schedule"])}

    def _run(self, params: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        directory = Path(params["directory"])
        begun = api.begun(directory)
        items = [begun["schedule"][number - 1] for number in params["numbers"]]
        hosts, host = begun["plan"]["from"], task_vars["inventory_hostname"]
        artefacts, workloads = [], []
        for item in items:
            clients = plans.share(item["clients"], len(hosts), hosts.index(host))
            if not clients:
                return {"changed": False, "skipped": True, "msg": "there are fewer clients than load hosts"}
            jobs = plans.jobs(item, clients, begun["processors"][host])
            artefacts.append({"number": item["number"], "host": host, "clients": clients, "jobs": jobs})
            workloads.append(_workload(params["endpoints"], item, clients, jobs))
        late: list[str] = []
        if len(hosts) > 1:
            [item] = items
            late = api.meet(directory, item["number"], host, hosts[: item["clients"]], item["timeout"])
        if late:
            outcomes = [{"error": f"{', '.join(late)} was not ready for this run"}]
        else:
            login = {name: params[name] for name in ("login_user", "login_password", "login_db")}
            arguments = {"action": "run", "workloads": workloads, **login}
            outcome = self._execute_module("pooled.postgres.pgbench", arguments, task_vars=task_vars)
            if outcome.get("unreachable"):
                return dict(outcome)
            failed = {"error": outcome.get("msg") or "the module pgbench returned nothing"}
            outcomes = outcome.get("results") or [failed] * len(items)
        for artefact, outcome in zip(artefacts, outcomes, strict=True):
            artefact |= {name: outcome[name] for name in _KEPT if name in outcome}
            api.keep(directory, artefact)
        run = artefacts[-1].get("run", {"tps": None, "error": artefacts[-1].get("error")})
        result = {"changed": True, "tps": run["tps"], "error": run["error"]}
        if host == hosts[0]:
            last = run["error"] or f"{run['tps'] or 0:,.0f} tps"
            done = params["numbers"][-1]
            result["progress"] = plans.progress(begun["schedule"], done, begun["started"], last)
        return result

    def _finish(self, params: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        directory = Path(params["directory"])
        warnings: list[str] = []

        def boards(document: Mapping[str, Any]) -> str:
            span = api.times(document)
            if not params["monitored"] or not span:
                return ""
            target = document["system"]["target"]
            try:
                return seeing.section(_COLLECTION, directory.parent, target, "benchmark", span)
            except ReportError as error:
                warnings.append(f"The report has no data of Prometheus. {error}")
                return ""

        complete = params["complete"]
        document = api.finish(directory, params["samples"] or [], complete=complete, boards=boards)
        if document is None:
            return {"failed": True, "msg": "Failed to write a result: no run has ended"}
        result: dict[str, Any] = {"changed": True, "table": results.table(document)}
        return result | ({"warnings": warnings} if warnings else {})


def _workload(
    endpoints: Mapping[str, Any], item: Mapping[str, Any], clients: int, jobs: int
) -> dict[str, Any]:
    """Return the options of the module pgbench for a run."""
    options = {
        **endpoints[item["path"]],
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
    return {name: value for name, value in options.items() if value is not None}
