# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a benchmark runs, over which paths, how often and in which order. Pure."""

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

# Under a minute with all that Ansible does before and after, and with making the tables.
_QUICK: Plan = {
    "seconds": 2,
    "repeats": 3,
    "warmup_seconds": 1,
    "cases": [
        {"script": "select-only", "clients": 50},
        {"script": "tpcb-like", "clients": 50},
        # Connections are opened and closed all the time: a second of it has hundreds.
        {"script": "select-only", "clients": 20, "mode": "reconnect", "seconds": 1},
        # One repeat: that a direct client is refused takes no statistics.
        {"script": "select-only", "clients": "beyond", "repeats": 1},
    ],
}
# The most that goes directly is below max_connections of 100 by what others hold of it: 3 are reserved for
# superusers, and the pooler keeps its 20 server connections open for a while. The most that are pooled leave
# room in max_client_conn, which is 1000 by default, for the exporter and whoever else is a client.
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

# What a run costs beside its own time: Ansible, the login, reading the log (seen on 2 cores: 0.5 to 0.9 s).
OVERHEAD_SECONDS = 0.7
# Where a number of transactions is given, what it will take is a guess: this many are done in a second.
_GUESSED_TPS = 2000
# No load host here comes near: the log of transactions is reckoned with it.
_MOST_TPS = 100_000
_BYTES_OF_LOG = 35
# Each thread opens files of its own, and there is one for each processor of a host that is not known yet.
_MANY_PROCESSORS = 64
# So many connect in a second even where they use TLS (seen on 2 cores: 600 with, 3,000 without).
_CLIENTS_A_SECOND = 500
# Clients beyond max_connections, where a plan says `beyond`.
_BEYOND = 50


def _whole(least: int, most: int) -> Callable[[object], str | None]:
    def check(value: object) -> str | None:
        right = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return None if right else f"must be a whole number from {least:,} to {most:,}"

    return check


def _one_of(*known: str) -> Callable[[object], str | None]:
    return lambda value: None if value in known else f"must be one of {', '.join(known)}"


def _text(value: object) -> str | None:
    return None if isinstance(value, str) and value.strip() else "must be a text that is not empty"


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
    return None if right else "must be numbers or texts by name"


def _names(known: Sequence[str] | None) -> Callable[[object], str | None]:
    def check(value: object) -> str | None:
        names = value if isinstance(value, list) else []
        if not names or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            return "must be a list of different names, at least one"
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
    """Return a plan as somebody wrote it, complete but for ``from``.

    Args:
        given: what was read.
        where: where from, for messages.

    Raises:
        PlanError: it says all that is wrong with it.
    """
    if not isinstance(given, Mapping):
        raise PlanError(
            f"Failed to read the plan {where}: it is no mapping with `cases`; see docs/benchmark.md"
        )
    problems = _problems(given, _PLAN_KEYS, "")
    cases = given.get("cases")
    if cases is None:
        problems.append("`cases` is missing")
    for number, case in enumerate(cases if isinstance(cases, list) else [], start=1):
        label = f"case {number}: "
        if not isinstance(case, Mapping):
            problems.append(f"{label}it is no mapping such as {{script: select-only, clients: 50}}")
            continue
        problems += _problems(case, _CASE_KEYS, label)
        problems += [f"{label}`{key}` is missing" for key in ("script", "clients") if key not in case]
        if case.get("script") in BUILTIN_SCRIPTS and "content" in case:
            problems.append(
                f"{label}{case['script']} is pgbench's own script: give your `content` another name"
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
    """Return which cases could not be told apart in a result."""
    seen: dict[tuple[Any, ...], int] = {}
    problems = []
    for number, case in enumerate(given, start=1):
        for clients in case["clients"] if isinstance(case["clients"], list) else [case["clients"]]:
            key = (case["script"], case.get("mode", MODES[0]), case.get("protocol", PROTOCOLS[0]), clients)
            if key in seen:
                problems.append(
                    f"case {number} has the script, clients, mode and protocol of case {seen[key]}:"
                    " their results could not be told apart"
                )
            seen.setdefault(key, number)
    return problems


def own_scripts(plan: Plan) -> list[str]:
    """Return the names of the files that the plan's cases want read."""
    names = (case["script"] for case in plan["cases"] if "content" not in case)
    return list(dict.fromkeys(name for name in names if name not in BUILTIN_SCRIPTS))


def with_paths(plan: Plan, paths: Sequence[str]) -> Plan:
    """Return a plan with other paths than its own. Raises PlanError."""
    if wrong := _PLAN_KEYS["paths"](paths):
        raise PlanError(f"Failed to accept benchmark_paths: it {wrong}")
    return {**plan, "paths": list(paths)}


def check_paths(plan: Plan, *, hosts: Sequence[str], database: str, tls: str) -> None:
    """Raise PlanError if a path can't be gone from the load hosts.

    Args:
        plan: with ``from``.
        hosts: all that load may come from.
        database: the host of the database.
        tls: PgBouncer's client_tls_sslmode.
    """
    problems = [
        f"`from` has {name!r}, which is neither in the group benchmark nor the database host; known are "
        + ", ".join(hosts)
        for name in plan["from"]
        if name not in hosts
    ]
    if "socket" in plan["paths"] and plan["from"] != [database]:
        problems.append(f"the path socket is the database host's own; give `from: [{database}]`")
    over_tcp = [path for path in ("pooled", "tls") if path in plan["paths"]]
    if over_tcp and tls.startswith("verify"):
        problems.append(
            f"PgBouncer wants a certificate of each client (pgbouncer_client_tls_mode: {tls}), and the"
            f" benchmark has none: leave out {' and '.join(over_tcp)}"
        )
    if over_tcp == ["pooled", "tls"] and tls == "require":
        problems.append(
            "beside the path tls pooled is without TLS, which PgBouncer does not take"
            " (pgbouncer_client_tls_mode: require): leave out one of them"
        )
    if "tls" in plan["paths"] and tls == "disable":
        problems.append(
            "the path tls needs PgBouncer to take TLS: set pgbouncer_client_tls_mode, see docs/tls.md"
        )
    if problems:
        raise PlanError(f"Failed to accept the plan {plan['name']}: {'; '.join(problems)}")


def cases(plan: Plan, max_connections: int) -> list[dict[str, Any]]:
    """Return the plan's cases complete, one for each number of clients.

    Each has ``script``, ``content``, ``variables``, ``clients``, ``jobs`` (None: as many as fit the load
    host), ``mode``, ``protocol``, ``seconds``, ``transactions`` and ``repeats``.
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
    """Return every run in the order in which they are made.

    Rounds go through all cases, so that the repeats of one lie as far apart as the benchmark allows, and
    their range has what changes with time. Each round takes the paths in the reverse order of the one before,
    so that what changes steadily changes no path more than another. A script is warmed up once, before
    its first case and on the last path: that fills the server's memory, which all paths share, and opens
    the pooler's server connections; a direct client opens its own in each run. Warm-ups have the repeat
    0.
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
            # pgbench's clock already runs while its clients connect.
            item["seconds"] += item["clients"] // _CLIENTS_A_SECOND
    return [
        {
            **item,
            "number": number,
            "of": len(items),
            "expected_seconds": expected_seconds(item),
            "timeout": int(10 * expected_seconds(item) + 60 + item["clients"] / 50)
            # How long transactions take is their own business.
            + (3600 if item["transactions"] else 0),
            "label": label(item),
        }
        for number, item in enumerate(items, start=1)
    ]


def expected_seconds(item: Mapping[str, Any]) -> float:
    """Return what a run will take, all in all."""
    own = item["seconds"] or item["clients"] * item["transactions"] / _GUESSED_TPS
    return float(own + OVERHEAD_SECONDS)


def label(run: Mapping[str, Any]) -> str:
    """Return in words what a run is, without its path."""
    words = [str(run["script"]), f"{run['clients']:,} client{'s' if run['clients'] != 1 else ''}"]
    if run["protocol"] != PROTOCOLS[0]:
        words.append(str(run["protocol"]))
    if run["mode"] == "reconnect":
        words.append("reconnecting")
    return ", ".join(words)


def progress(schedule: Sequence[Item], done: int = 0, started: float = 0, last: str = "") -> str:
    """Return in a line which run begins, and how long what is left will take at the pace so far.

    Args:
        schedule: all runs.
        done: how many of them are made.
        started: when the first of them began, in seconds since 1970.
        last: what came of the last.
    """
    if done == len(schedule):
        return f"{done}/{done} runs are made; last: {last}"
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
    """Return how many of the clients the host of that number, from 0, has."""
    return clients // hosts + (number < clients % hosts)


def jobs(item: Mapping[str, Any], clients: int, processors: int) -> int:
    """Return how many threads pgbench gets for so many clients.

    Where they stay connected, one for each processor. Where they reconnect, one for each client: a thread
    opens its clients' connections one after the other.
    """
    wanted = item["jobs"] or (min(clients, 500) if item["mode"] == "reconnect" else processors)
    return int(min(wanted, clients))


def needs(items: Sequence[Item], hosts: int) -> dict[str, int]:
    """Return what each load host must have: ``clients`` and ``jobs`` of the run that opens most files, and
    ``log_bytes`` for pgbench's log.
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
