# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plans of a benchmark, and the schedule of their runs. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.errors import PlanError
from ansible_collections.pooled.postgres.plugins.module_utils._pgbench.model import (
    BUILTIN_SCRIPTS,
    PROTOCOLS,
    Workload,
)

Plan = dict[str, Any]
Item = dict[str, Any]

PATHS = ("direct", "pooled", "socket", "tls")
MODES = ("persistent", "reconnect")
CUSTOM = "custom"

_TUTORIAL_SCRIPT = """\
BEGIN;
SELECT * FROM pgbench_accounts WHERE aid = 1;
UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = 1;
COMMIT;
"""

# Takes under a minute, tables and Ansible included.
_QUICK: Plan = {
    "seconds": 2,
    "repeats": 3,
    "warmup_seconds": 1,
    "cases": [
        {"script": "select-only", "clients": 50},
        {"script": "tpcb-like", "clients": 50},
        # A second opens hundreds of connections.
        {"script": "select-only", "clients": 20, "mode": "reconnect", "seconds": 1},
        # A refused client needs no repeats.
        {"script": "select-only", "clients": "beyond", "repeats": 1},
    ],
}
# 70 direct clients leave room in max_connections of 100 for the 3 of superusers and the pooler's 20. 900
# pooled clients leave room in max_client_conn, 1000 by default, for the exporter and others.
_STANDARD: Plan = {
    "seconds": 3,
    "repeats": 5,
    "warmup_seconds": 2,
    "cases": [
        {"script": "select-only", "clients": [1, 10, 50, 70, "beyond", 900]},
        {"script": "tpcb-like", "clients": [1, 10, 50, "beyond"]},
        {"script": "simple-update", "clients": 50},
        {"script": "select-only", "clients": 50, "protocol": "extended"},
        {"script": "select-only", "clients": 50, "protocol": "prepared"},
        {"script": "select-only", "clients": [20, 60], "mode": "reconnect"},
    ],
}
_TUTORIAL: Plan = {
    "seconds": None,
    "repeats": 1,
    "warmup_seconds": 0,
    "cases": [
        {"script": "tpcb-like", "clients": 10, "jobs": 2, "transactions": 100},
        {"script": "tpcb-like", "clients": 50, "jobs": 4, "transactions": 1000},
        {"script": "tutorial", "content": _TUTORIAL_SCRIPT, "clients": 10, "jobs": 2, "transactions": 100},
        {"script": "select-only", "clients": 20, "jobs": 20, "transactions": 100, "mode": "reconnect"},
        {"script": "tpcb-like", "clients": "beyond", "jobs": 4, "transactions": 50},
    ],
}
BUILTIN = {"quick": _QUICK, "standard": _STANDARD, "tutorial": _TUTORIAL}

# Seconds of a run besides its own time: login, reading the log, and its share of Ansible's task.
OVERHEAD_SECONDS = 0.3
# Ansible's task for a batch of runs takes 0.3 s itself, so a batch takes at least this many seconds.
_BATCH_SECONDS = 8
# A guess, to estimate the time of a number of transactions.
_GUESSED_TPS = 2000
# More than any load host does, to estimate the size of the log of transactions.
_MOST_TPS = 100_000
_BYTES_OF_LOG = 35
# Each thread opens its own files; an unknown load host may have this many processors, and so threads.
_MANY_PROCESSORS = 64
# Even clients with TLS connect at this rate (seen on 2 cores: 600 a second with TLS, 3,000 without).
_CLIENTS_A_SECOND = 500
# Clients that `beyond` adds to max_connections.
_BEYOND = 50


def _whole(least: int, most: int) -> Callable[[object], str | None]:
    def check(value: object) -> str | None:
        right = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return None if right else f"must be a whole number from {least:,} to {most:,}"

    return check


def _one_of(*known: str) -> Callable[[object], str | None]:
    return lambda value: None if value in known else f"must be one of {', '.join(known)}"


def _text(value: object) -> str | None:
    return None if isinstance(value, str) and value.strip() else "must be a non-empty text"


def _clients(value: object) -> str | None:
    found = value if isinstance(value, list) else [value]
    right = _whole(1, 100_000)
    wrong = not found or any(one != "beyond" and right(one) for one in found)
    return (
        "must be a whole number from 1 to 100,000, `beyond` (50 more than max_connections) or a list of these"
        if wrong
        else None
    )


def _variables(value: object) -> str | None:
    right = isinstance(value, dict) and all(
        isinstance(name, str) and name.isidentifier() and isinstance(one, (int, float, str))
        for name, one in value.items()
    )
    return None if right else "must map names to numbers or texts"


def _names(known: Sequence[str] | None) -> Callable[[object], str | None]:
    def check(value: object) -> str | None:
        names = value if isinstance(value, list) else []
        if not names or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            return "must be a non-empty list of different names"
        unknown = [name for name in names if known and name not in known]
        return f"has {unknown[0]!r}; known are {', '.join(known or ())}" if unknown else None

    return check


_PLAN_KEYS: dict[str, Callable[[object], str | None]] = {
    "seconds": _whole(1, 86_400),
    "repeats": _whole(1, 100),
    "scale": _whole(1, 100_000),
    "warmup_seconds": _whole(0, 3600),
    "paths": _names(PATHS),
    "from": _names(None),
    "cases": lambda value: None if isinstance(value, list) and value else "must be a list of at least one",
}
_CASE_KEYS: dict[str, Callable[[object], str | None]] = {
    "script": _text,
    "content": _text,
    "variables": _variables,
    "clients": _clients,
    "jobs": _whole(1, 10_000),
    "mode": _one_of(*MODES),
    "protocol": _one_of(*PROTOCOLS),
    "seconds": _whole(1, 86_400),
    "transactions": _whole(1, 1_000_000_000),
    "repeats": _whole(1, 100),
}
_DEFAULTS: Plan = {
    "seconds": 5,
    "repeats": 3,
    "scale": 50,
    "warmup_seconds": 2,
    "paths": ["direct", "pooled"],
}


def builtin(name: str) -> Plan:
    """Return a built-in plan, complete but for ``from``."""
    return {**_DEFAULTS, **BUILTIN[name], "name": name}


def custom(given: object, where: str) -> Plan:
    """Return a custom plan, complete but for ``from``.

    Args:
        given: the plan as read from its file.
        where: name of the file, for messages.

    Raises:
        PlanError: with all problems of the plan.
    """
    if not isinstance(given, Mapping):
        raise PlanError(
            f"Failed to read the plan {where}: it is no mapping with `cases`. See docs/benchmark.md."
        )
    problems = _problems(given, _PLAN_KEYS, "")
    cases = given.get("cases")
    if cases is None:
        problems.append("`cases` is missing")
    for number, case in enumerate(cases if isinstance(cases, list) else [], start=1):
        label = f"case {number}: "
        if not isinstance(case, Mapping):
            problems.append(f"{label}give a mapping such as {{script: select-only, clients: 50}}")
            continue
        problems += _problems(case, _CASE_KEYS, label)
        problems += [f"{label}`{key}` is missing" for key in ("script", "clients") if key not in case]
        if case.get("script") in BUILTIN_SCRIPTS and "content" in case:
            problems.append(
                f"{label}{case['script']} is one of pgbench's scripts: give your `content` another name"
            )
        if "seconds" in case and "transactions" in case:
            problems.append(f"{label}give either `seconds` or `transactions`")
    if not problems:
        problems = _twins(given["cases"])
    if problems:
        raise PlanError(f"Failed to accept the plan {where}: {'; '.join(problems)}")
    return {**_DEFAULTS, **given, "cases": [dict(case) for case in cases or []], "name": CUSTOM}


def _problems(
    given: Mapping[Any, Any], known: Mapping[str, Callable[[object], str | None]], label: str
) -> list[str]:
    problems = []
    for key, value in given.items():
        if key not in known:
            near = get_close_matches(str(key), known, 1)
            hint = f"did you mean `{near[0]}`" if near else f"known are {', '.join(known)}"
            problems.append(
                f"{label}unknown key `{key}`, {hint}?" if near else f"{label}unknown key `{key}`, {hint}"
            )
        elif wrong := known[key](value):
            problems.append(f"{label}`{key}` {wrong}")
    return problems


def _twins(given: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the cases that a result could not distinguish."""
    seen: dict[tuple[Any, ...], int] = {}
    problems = []
    for number, case in enumerate(given, start=1):
        for clients in case["clients"] if isinstance(case["clients"], list) else [case["clients"]]:
            key = (case["script"], case.get("mode", MODES[0]), case.get("protocol", PROTOCOLS[0]), clients)
            if key in seen:
                problems.append(
                    f"case {number} repeats the script, clients, mode and protocol of case {seen[key]}:"
                    " remove one of them"
                )
            seen.setdefault(key, number)
    return problems


def own_scripts(plan: Plan) -> list[str]:
    """Return the script files of the plan's cases."""
    names = (case["script"] for case in plan["cases"] if "content" not in case)
    return list(dict.fromkeys(name for name in names if name not in BUILTIN_SCRIPTS))


def with_paths(plan: Plan, paths: Sequence[str]) -> Plan:
    """Return the plan with other paths. Raises PlanError."""
    if wrong := _PLAN_KEYS["paths"](paths):
        raise PlanError(f"Failed to accept benchmark_paths: it {wrong}")
    return {**plan, "paths": list(paths)}


def check_paths(plan: Plan, *, hosts: Sequence[str], database: str, tls: str) -> None:
    """Raise PlanError if the load hosts cannot use a path.

    Args:
        plan: with ``from``.
        hosts: all possible load hosts.
        database: the host of the database.
        tls: PgBouncer's client_tls_sslmode.
    """
    problems = [
        f"`from` has {name!r}, which is not in the group benchmark and not the database host; known are "
        + ", ".join(hosts)
        for name in plan["from"]
        if name not in hosts
    ]
    if "socket" in plan["paths"] and plan["from"] != [database]:
        problems.append(f"the path socket only works on the database host: set `from: [{database}]`")
    over_tcp = [path for path in ("pooled", "tls") if path in plan["paths"]]
    if over_tcp and tls.startswith("verify"):
        problems.append(
            f"PgBouncer requires client certificates (pgbouncer_client_tls_mode: {tls}), and the benchmark"
            f" has none: remove {' and '.join(over_tcp)}"
        )
    if over_tcp == ["pooled", "tls"] and tls == "require":
        problems.append(
            "together with the path tls, pooled runs without TLS, which PgBouncer refuses"
            " (pgbouncer_client_tls_mode: require): remove one of them"
        )
    if "tls" in plan["paths"] and tls == "disable":
        problems.append(
            "PgBouncer has no TLS for the path tls: set pgbouncer_client_tls_mode, see docs/tls.md"
        )
    if problems:
        raise PlanError(f"Failed to accept the plan {plan['name']}: {'; '.join(problems)}")


def cases(plan: Plan, max_connections: int) -> list[dict[str, Any]]:
    """Return the plan's complete cases, one for each number of clients.

    Each has ``script``, ``content``, ``variables``, ``clients``, ``jobs`` (None: see ``jobs()``), ``mode``,
    ``protocol``, ``seconds``, ``transactions`` and ``repeats``.
    """
    found = []
    for case in plan["cases"]:
        numbers = case["clients"] if isinstance(case["clients"], list) else [case["clients"]]
        complete = {
            "content": None,
            "variables": {},
            "jobs": None,
            "mode": MODES[0],
            "protocol": PROTOCOLS[0],
            "transactions": None,
            "repeats": plan["repeats"],
            **case,
        }
        complete["seconds"] = (
            None
            if complete["transactions"]
            else case.get("seconds") or plan["seconds"] or _DEFAULTS["seconds"]
        )
        for number in numbers:
            clients = max_connections + _BEYOND if number == "beyond" else number
            found.append({**complete, "clients": clients})
    if problems := _twins(found):
        raise PlanError(f"Failed to accept the plan {plan['name']}: {'; '.join(problems)}")
    return found


def schedule(plan: Plan, max_connections: int) -> list[Item]:
    """Return all runs in their order.

    Each round goes through all cases, so that the repeats of a case are far apart, and their range includes
    changes over time. Each round reverses the order of the paths, so that a steady change affects all paths
    alike. Each script has one warm-up, before its first case and on the last path: it fills the server's
    memory, which all paths share, and opens the pooler's server connections. Warm-ups have the repeat 0.
    """
    items: list[Item] = []
    warm: set[str] = set()
    there = list(enumerate(cases(plan, max_connections)))
    for repeat in range(1, max(one["repeats"] for number, one in there) + 1):
        paths = plan["paths"] if repeat % 2 else plan["paths"][::-1]
        for number, case in there:
            if repeat > case["repeats"]:
                continue
            if plan["warmup_seconds"] and case["script"] not in warm:
                warm.add(case["script"])
                warmup = {"seconds": plan["warmup_seconds"], "transactions": None}
                items.append({**case, **warmup, "case": number, "path": plan["paths"][-1], "repeat": 0})
            items += [{**case, "case": number, "path": path, "repeat": repeat} for path in paths]
    for item in items:
        if item["seconds"]:
            # pgbench's clock runs while its clients connect.
            item["seconds"] += item["clients"] // _CLIENTS_A_SECOND
    return [
        {
            **item,
            "number": number,
            "of": len(items),
            "expected_seconds": expected_seconds(item),
            "timeout": int(10 * expected_seconds(item) + 60 + item["clients"] / 50)
            # The time of transactions is unknown.
            + (3600 if item["transactions"] else 0),
            "label": label(item),
        }
        for number, item in enumerate(items, start=1)
    ]


def expected_seconds(item: Mapping[str, Any]) -> float:
    """Return the seconds of a run with its overhead."""
    own = item["seconds"] or item["clients"] * item["transactions"] / _GUESSED_TPS
    return float(own + OVERHEAD_SECONDS)


def batches(items: Sequence[Item], hosts: int) -> list[list[int]]:
    """Return the numbers of the runs that one task makes: 8 seconds or more, of one load host.

    Several load hosts wait for each other before each run, so that they have one run for each task.
    """
    found: list[list[int]] = []
    seconds = 0.0
    for item in items:
        if not found or hosts > 1 or seconds >= _BATCH_SECONDS:
            found.append([])
            seconds = 0.0
        found[-1].append(item["number"])
        seconds += item["expected_seconds"]
    return found


def label(run: Mapping[str, Any]) -> str:
    """Return the name of a run without its path."""
    words = [str(run["script"]), f"{run['clients']:,} client{'s' if run['clients'] != 1 else ''}"]
    if run["protocol"] != PROTOCOLS[0]:
        words.append(str(run["protocol"]))
    if run["mode"] == "reconnect":
        words.append("reconnecting")
    return ", ".join(words)


def progress(schedule: Sequence[Item], done: int = 0, started: float = 0, last: str = "") -> str:
    """Return in a line the next run and the remaining time at the pace so far.

    Args:
        schedule: all runs.
        done: number of finished runs.
        started: start of the first run, in seconds since 1970.
        last: outcome of the last run.
    """
    if done == len(schedule):
        return f"{done}/{done} runs finished; last: {last}"
    item = schedule[done]
    turn = f"{item['repeat']} of {item['repeats']}" if item["repeat"] else "warm-up"
    behind, ahead = (
        sum(one["expected_seconds"] for one in part) for part in (schedule[:done], schedule[done:])
    )
    minutes, seconds = divmod(round(ahead * (time.time() - started) / behind if behind else ahead), 60)
    parts = [f"{done + 1}/{len(schedule)} {item['label']}, {item['path']}, {turn}"]
    parts += [f"last: {last}"] * bool(done)
    return "; ".join([*parts, f"{minutes} min {seconds} s left" if minutes else f"{seconds} s left"])


def share(clients: int, hosts: int, number: int) -> int:
    """Return the share of the clients of the host with this number, from 0."""
    return clients // hosts + (number < clients % hosts)


def jobs(item: Mapping[str, Any], clients: int, processors: int) -> int:
    """Return the number of pgbench's threads.

    One for each processor; one for each client that reconnects, because a thread opens its connections one
    after the other.
    """
    wanted = item["jobs"] or (min(clients, 500) if item["mode"] == "reconnect" else processors)
    return int(min(wanted, clients))


def needs(items: Sequence[Item], hosts: int) -> dict[str, int]:
    """Return the needs of each load host: ``clients`` and ``jobs`` of the run that opens most files, and the
    ``log_bytes`` of pgbench's log.
    """
    sizes = [
        (clients, jobs(item, clients, _MANY_PROCESSORS))
        for item in items
        for clients in [share(item["clients"], hosts, 0)]
    ]
    transactions = (
        item["transactions"] * clients if item["transactions"] else item["seconds"] * _MOST_TPS
        for item, (clients, _threads) in zip(items, sizes, strict=True)
    )
    most = max(sizes, key=lambda size: Workload(clients=size[0], jobs=size[1]).open_files)
    return {"clients": most[0], "jobs": most[1], "log_bytes": max(transactions) * _BYTES_OF_LOG}
