# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a benchmark says, in two sentences; and what to bear in mind about it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.report import reading
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.report.reading import (
    Case,
    Comparison,
    counted,
)

# Busy before the benchmark began: more than this share of a host's processors is said.
BUSY = 0.1
DIRECT = "direct"

_Found = Sequence[tuple[Case, Comparison]]


def answer(document: Mapping[str, Any]) -> list[str]:
    """Return what pooling won, and then what it cost and what is not known.

    Only what a verdict says is claimed: where the ranges of the repeats overlap, there is no difference, and
    with too few repeats there is no verdict.
    """
    cases = reading.cases(document)
    pooled = _spoken_of(cases)
    if not any(one.tps.median is not None for case in cases for one in case.paths.values()):
        return ["Nothing was measured: no run gave a figure."]
    if pooled is None or not any(DIRECT in case.paths for case in cases):
        only = " and ".join(
            reading.path_name(one) for one in reading.ordered(path for case in cases for path in case.paths)
        )
        return [
            f"Only one side was measured ({only}), so this says nothing about what pooling gains or costs.",
            "Run the plan with the paths direct and pooled to compare them.",
        ]
    found = [
        (case, one)
        for case in cases
        for one in case.comparisons
        if one.path == pooled and one.against == DIRECT
    ]
    begin = "The benchmark was interrupted; of what was finished: " if interrupted(document) else ""
    who = {"pooled": "PgBouncer"}.get(pooled, f"PgBouncer ({reading.path_name(pooled)})")
    first = _won(who, found, _rescued(document, cases, pooled))
    return [f"{begin}{first}", _lost(who, found, cases, pooled)]


def said(document: Mapping[str, Any]) -> list[str]:
    """Return the document's own answer, or what its figures say."""
    return reading.sentences(document.get("answer")) or answer(document)


def interrupted(document: Mapping[str, Any]) -> bool:
    """Return whether the document says that it is not all of the plan."""
    return document.get("complete") is False


def _spoken_of(cases: Iterable[Case]) -> str | None:
    """Return the pooled path that the answer is about."""
    paths = reading.ordered(path for case in cases for path in case.paths)
    return next((path for path in paths if path != DIRECT), None)


def _failed(case: Case, path: str) -> bool:
    """Return whether a path was tried in a case and gave no figure, or an error once."""
    return _refused(case, path) or (path in case.paths and case.paths[path].error is not None)


def _refused(case: Case, path: str) -> bool:
    """Return whether a path was tried in a case and never gave a figure."""
    return path in case.paths and case.paths[path].tps.median is None


def _rescued(document: Mapping[str, Any], cases: Iterable[Case], pooled: str) -> str:
    """Return what is said about clients that PostgreSQL alone did not take, or nothing."""
    most = reading.limit(document)
    held = [
        case
        for case in cases
        if pooled in case.paths and not _failed(case, pooled) and most is not None and case.clients > most
    ]
    if not held or most is None:
        return ""
    case = max(held, key=lambda one: one.clients)
    refused = any(_refused(one, DIRECT) for one in held)
    said = f"served {case.clients:,} clients, more than max_connections ({most:,.0f})"
    return f"{said}, where direct connections failed" if refused else said


def more(ratio: float) -> str:
    """Return a ratio of throughputs in words."""
    if ratio >= 2:
        return f"{ratio:.1f} times the throughput" if ratio < 10 else f"{ratio:.0f} times the throughput"
    percent = round(abs(ratio - 1) * 100)
    if percent == 0:
        return "a throughput less than 1 % away"
    return f"{percent} % {'more' if ratio > 1 else 'less'} throughput"


def _won(who: str, found: _Found, rescued: str) -> str:
    faster = [pair for pair in found if pair[1].verdict == "faster" and pair[1].ratio is not None]
    if faster:
        case, best = max(faster, key=lambda pair: pair[1].ratio or 0)
        said = f"{who} was faster than direct connections in {_of(len(faster), found)}"
        at_best = f", with {more(best.ratio or 0)} at best ({case.name})"
        return f"{said}{at_best}{f'; it {rescued}' if rescued else ''}."
    if rescued:
        return f"{who} gained no throughput that exceeds the spread, but it {rescued}."
    if not any(one.verdict in ("slower", "no difference") for _case, one in found):
        return f"Whether {who} is faster than direct connections can't be said from these runs."
    return (
        f"{who} gained nothing here: in none of {_comparisons(found)} was it faster than direct connections."
    )


def _lost(who: str, found: _Found, cases: Iterable[Case], pooled: str) -> str:
    verdicts = Counter(one.verdict for _case, one in found)
    slower = [pair for pair in found if pair[1].verdict == "slower" and pair[1].ratio is not None]
    parts = []
    if slower:
        case, worst = min(slower, key=lambda pair: pair[1].ratio or 0)
        less = more(worst.ratio or 0)
        parts.append(f"it was slower in {_of(len(slower), found)}, with {less} at worst ({case.name})")
    elif verdicts["faster"] or verdicts["no difference"]:
        parts.append("it was slower in none")
    if count := verdicts["no difference"]:
        parts.append(f"in {count} no difference exceeds the spread of the repeats")
    if count := verdicts["too few runs"]:
        parts.append(f"in {count} there were too few repeats to claim anything{_seen(found)}")
    broken = [case for case in cases if _failed(case, pooled)]
    if broken:
        case = min(broken, key=lambda one: one.clients)
        parts.append(f"it failed in {counted(len(broken), 'case')} itself ({case.name})")
    if not parts:
        parts.append("no case was measured over both paths")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _comparisons(found: _Found) -> str:
    return counted(len(_compared(found)), "comparison")


def _of(count: int, found: _Found) -> str:
    return f"{count} of {_comparisons(found)}"


def _compared(found: _Found) -> _Found:
    return [pair for pair in found if pair[1].verdict != "not measured"]


def _seen(found: _Found) -> str:
    """Return the ratios without a claim."""
    seen = [one.ratio for _case, one in found if one.verdict == "too few runs" and one.ratio is not None]
    if not seen:
        return ""
    ends = sorted(
        {reading.ratio(value) for value in (min(seen), max(seen))}, key=lambda one: float(one.split()[0])
    )
    return f" (seen: {' to '.join(ends)} direct)"


def caveats(document: Mapping[str, Any]) -> list[str]:
    """Return what to bear in mind: what was not as it should be while it was measured."""
    system = reading.mapping(document.get("system"))
    runs = reading.runs(document)
    found = []
    if interrupted(document):
        found.append(
            f"The benchmark was interrupted: {counted(len(runs), 'run')} are here, the rest is missing."
        )
    found += _of_generator(runs)
    background = reading.mapping(system.get("background"))
    for name, host in (("database_cpu", "the database host"), ("load_cpu", "the load generator")):
        busy = reading.number(background.get(name))
        if busy is not None and busy > BUSY:
            found.append(f"{100 * busy:.0f} % of the processors of {host} were busy before the first run.")
    repeats = reading.number(reading.mapping(document.get("plan")).get("repeats"))
    if repeats is not None and repeats < reading.FEWEST_REPEATS:
        found.append(
            f"Each run was made {'once' if repeats == 1 else 'twice'}: with fewer than "
            f"{reading.FEWEST_REPEATS} repeats the spread is not known, and nothing is claimed."
        )
    if errors := sum(bool(run.get("error")) for run in runs):
        found.append(f"{errors:,} of {counted(len(runs), 'run')} ended with an error; the tables say which.")
    if lost := sum(reading.number(run.get("failed")) or 0 for run in runs):
        found.append(f"{counted(lost, 'transaction')} failed.")
    if system.get("load_across_network") is False:
        found.append("The load came from the database host itself: no network is in these figures.")
    if system.get("same_machine"):
        found.append("Load and database shared one machine: the ratios say something, the figures do not.")
    if system.get("dirty"):
        found.append("The checkout had changes that its commit does not have.")
    return found


def _of_generator(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    generators = [reading.mapping(run.get("generator")) for run in runs]
    saturated = [one for one in generators if one.get("saturated")]
    if not saturated:
        return []
    shares = [share for one in saturated if (share := reading.number(one.get("cpu"))) is not None]
    taken = f" (pgbench took up to {100 * max(shares):.0f} % of its processors)" if shares else ""
    return [
        f"In {len(saturated):,} of {counted(len(runs), 'run')} the load generator was at its own limit"
        f"{taken}: these figures are the least that the servers can do."
    ]
