# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The answer of a benchmark in two paragraphs, and its caveats. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import plans, statistics
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.report import words
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.report.words import counted

# A host that is busier before the first run is worth a caveat: a share of its processors.
BUSY = 0.1
DIRECT = "direct"
_BEFORE = "busy before the first run"
_ENOUGH = statistics.ENOUGH

Row = Mapping[str, Any]
# A case, and how the pooled path compares with the direct one.
_Pair = tuple[Row, Row]


def answer(document: Row) -> list[str]:
    """Return what pooling gained, then what it cost.

    It claims only what a verdict says: overlapping ranges are no difference, and too few repeats no verdict.
    """
    rows = document["summary"]
    paths = words.ordered(path for row in rows for path in row["paths"])
    if not any(one["tps"]["n"] for row in rows for one in row["paths"].values()):
        return ["No run gave a figure."]
    pooled = next((path for path in paths if path != DIRECT), None)
    if pooled is None or DIRECT not in paths:
        only = " and ".join(map(words.path_name, paths))
        return [f"Only one side was measured ({only}). Run a plan with the paths direct and pooled."]
    pairs = [
        (row, one)
        for row in rows
        for one in row["comparisons"]
        if (one["path"], one["against"]) == (pooled, DIRECT)
    ]
    begin = "The benchmark was interrupted. So far: " if document.get("complete") is False else ""
    who = {"pooled": "PgBouncer"}.get(pooled, f"PgBouncer ({words.path_name(pooled)})")
    return [
        f"{begin}{_gain(who, pairs, rows, pooled)}{_rescue(document, pooled)}",
        _cost(pairs, rows, pooled),
    ]


def _rated(pairs: Sequence[_Pair], verdict: str) -> list[_Pair]:
    return [pair for pair in pairs if pair[1]["verdict"] == verdict and pair[1]["ratio"] is not None]


def _compared(pairs: Sequence[_Pair]) -> str:
    count = sum(
        one["verdict"] in (statistics.FASTER, statistics.SLOWER, statistics.NO_DIFFERENCE)
        for _row, one in pairs
    )
    return counted(count, "comparison")


def _example(how: str, pair: _Pair) -> str:
    return f"({how} {words.ratio(pair[1]['ratio'])}: {plans.label(pair[0])})"


def _gain(who: str, pairs: Sequence[_Pair], rows: Sequence[Row], pooled: str) -> str:
    faster = _rated(pairs, statistics.FASTER)
    if faster:
        best = max(faster, key=lambda pair: pair[1]["ratio"])
        return f"{who} was faster in {len(faster)} of {_compared(pairs)} {_example('up to', best)}."
    if _compared(pairs) == counted(0, "comparison"):
        return f"{who} and direct connections cannot be compared: too few runs succeeded."
    return f"{who} was faster in none of {_compared(pairs)}."


def _rescue(document: Row, pooled: str) -> str:
    """Return a sentence about clients beyond max_connections that PgBouncer served."""
    most = document["system"].get("max_connections")
    served = [row for row in words.beyond(document) if pooled in row["paths"] and not _broken(row, pooled)]
    if not served:
        return ""
    row = max(served, key=lambda one: one["clients"])
    refused = any(DIRECT in one["paths"] and not one["paths"][DIRECT]["tps"]["n"] for one in served)
    failed = "; direct connections failed" if refused else ""
    return f" It served {row['clients']:,} clients, more than max_connections ({most:,}){failed}."


def _broken(row: Row, path: str) -> bool:
    """Return whether a path was tried in a case and failed at least once."""
    one = row["paths"].get(path)
    return one is not None and (not one["tps"]["n"] or one["error"] is not None)


def _cost(pairs: Sequence[_Pair], rows: Sequence[Row], pooled: str) -> str:
    verdicts = Counter(one["verdict"] for _row, one in pairs)
    said = []
    if slower := _rated(pairs, statistics.SLOWER):
        worst = min(slower, key=lambda pair: pair[1]["ratio"])
        said.append(f"It was slower in {len(slower)} of {_compared(pairs)} {_example('down to', worst)}.")
    elif verdicts[statistics.FASTER] or verdicts[statistics.NO_DIFFERENCE]:
        said.append("It was slower in no comparison.")
    if count := verdicts[statistics.NO_DIFFERENCE]:
        said.append(f"In {counted(count, 'comparison')}, the difference is within the spread of the repeats.")
    if few := _rated(pairs, statistics.TOO_FEW):
        ratios = [one["ratio"] for _row, one in few]
        ends = dict.fromkeys((words.ratio(min(ratios)), words.ratio(max(ratios))))
        verb = "has" if len(few) == 1 else "have"
        said.append(
            f"{counted(len(few), 'case')} {verb} too few repeats for a verdict (seen: {' to '.join(ends)})."
        )
    if broken := [row for row in rows if _broken(row, pooled)]:
        first = min(broken, key=lambda row: row["clients"])
        said.append(f"It failed in {counted(len(broken), 'case')} (first: {plans.label(first)}).")
    return " ".join(said) or "No case was measured over both paths."


def caveats(document: Row) -> list[str]:
    """Return what was wrong while the benchmark ran."""
    system, runs = document["system"], document.get("runs") or []
    count = counted(len(runs), "run")
    saturated = [run["generator"] for run in runs if run.get("generator") and run["generator"]["saturated"]]
    share = words.percent(max((one["cpu"] for one in saturated), default=None))
    busy = {name: (system.get("background") or {}).get(name) or 0 for name in ("database_cpu", "load_cpu")}
    repeats = document["plan"].get("repeats") or _ENOUGH
    errors = sum(bool(run.get("error")) for run in runs)
    lost = sum(run.get("failed") or 0 for run in runs)
    found = [
        (document.get("complete") is False, f"The benchmark was interrupted after {count}."),
        (
            saturated,
            f"pgbench was at its limit in {len(saturated)} of {count} (up to {share} of its processors):"
            " the servers can do more.",
        ),
        (
            busy["database_cpu"] > BUSY,
            f"The database host was {words.percent(busy['database_cpu'])} {_BEFORE}.",
        ),
        (busy["load_cpu"] > BUSY, f"The load generator was {words.percent(busy['load_cpu'])} {_BEFORE}."),
        (repeats < _ENOUGH, f"Each case ran {counted(repeats, 'time')}: a verdict needs {_ENOUGH} repeats."),
        (errors, f"{errors:,} of {count} failed; see the tables for the error."),
        (lost, f"{counted(lost, 'transaction')} failed."),
        (
            system.get("load_across_network") is False,
            "The load came from the database host itself: no network.",
        ),
        (
            system.get("same_machine"),
            "Load and database shared one machine: trust the ratios, not the figures.",
        ),
        (system.get("dirty"), "The checkout had uncommitted changes."),
    ]
    return [text for applies, text in found if applies]
