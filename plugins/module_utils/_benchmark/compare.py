# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two benchmarks side by side: before and after a change, or two kinds of machine. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import plans, results, statistics
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.errors import ResultError
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.report.answer import caveats

# What differs each time, and says nothing.
_OWN = ("time", "settings", "background")


def check(document: object, where: str) -> dict[str, Any]:
    """Return a document as what it is.

    Raises:
        ResultError: it is none of ours, of another version, or without a result.
    """
    if not isinstance(document, dict) or "schema" not in document:
        raise ResultError(
            f"Failed to compare {where}: it is no result of `runner.py bench`; give its latest.json"
        )
    if document["schema"] != results.SCHEMA or not {"summary", "system", "plan"} <= document.keys():
        raise ResultError(
            f"Failed to compare {where}: it was written by another version; measure again with this one"
        )
    try:
        for row in document["summary"]:
            for side in row["paths"].values():
                _key(row, "")
                statistics.difference(side["tps"], side["tps"])
        _about(document)
        _facts(document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ResultError(f"Failed to compare {where}: it is damaged, see {error}; measure again") from error
    if not document["summary"]:
        raise ResultError(f"Failed to compare {where}: no run of it was finished; measure again")
    return document


def compare(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """Return how ``b`` differs from ``a``: what was different before, and case by case what came of it.

    Args:
        a: a document, the earlier.
        b: another.

    Returns:
        ``a`` and ``b`` (what they are), ``differences``, ``rows``, ``answer``, and ``caveats``, what was not
        as it should be while one of them was measured.
    """
    before, after = _sides(a), _sides(b)
    rows = []
    for key in [*before, *(key for key in after if key not in before)]:
        one, other = before.get(key), after.get(key)
        measured = [bool(side and side["n"]) for side in (one, other)]
        if not any(measured):
            continue  # refused in both
        rated = statistics.difference(other or statistics.spread([]), one or statistics.spread([]))
        verdict = rated["verdict"] if all(measured) else "only in a" if measured[0] else "only in b"
        rows.append(
            {
                **dict(zip((*results.CASE, "path"), key, strict=True)),
                "a": one,
                "b": other,
                "ratio": rated["ratio"],
                "verdict": verdict,
            }
        )
    return {
        "a": _about(a),
        "b": _about(b),
        "differences": _differences(a, b),
        "rows": rows,
        "answer": _answer(rows),
        "caveats": [f"{side}: {one}" for side, document in (("a", a), ("b", b)) for one in caveats(document)],
    }


def _key(row: Mapping[str, Any], path: str) -> tuple[Any, ...]:
    return (*(row[name] for name in results.CASE), path)


def _sides(document: Mapping[str, Any]) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {
        _key(row, path): side["tps"] for row in document["summary"] for path, side in row["paths"].items()
    }


def _about(document: Mapping[str, Any]) -> dict[str, Any]:
    system = document["system"]
    return {
        "time": system["time"],
        "target": system["target"],
        "plan": document["plan"]["name"],
        "commit": system["commit"],
    }


def _differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, Any]]:
    sides = [_facts(document) for document in (a, b)]
    names = list(dict.fromkeys([*sides[0], *sides[1]]))
    pairs = [(name, sides[0].get(name), sides[1].get(name)) for name in names]
    return [{"what": name, "a": one, "b": other} for name, one, other in pairs if one != other]


def _facts(document: Mapping[str, Any]) -> dict[str, Any]:
    system = document["system"]
    facts = {name: value for name, value in system.items() if name not in _OWN}
    plan = document["plan"]
    facts |= {f"plan: {name}": plan.get(name) for name in ("seconds", "repeats", "scale", "warmup_seconds")}
    if plan["name"] == plans.CUSTOM:
        # Cases are put side by side by their names, and one's own script may have changed since.
        for number, case in enumerate(plan.get("cases", ()), start=1):
            facts |= {f"plan: case {number}: {name}": value for name, value in case.items()}
    for program, settings in system.get("settings", {}).items():
        facts |= {f"{program}: {name}": value for name, value in settings.items()}
    return facts


def _answer(rows: list[dict[str, Any]]) -> list[str]:
    both = [
        row
        for row in rows
        if row["verdict"] in (statistics.FASTER, statistics.SLOWER, statistics.NO_DIFFERENCE)
    ]
    if not both:
        return ["Nothing can be said: no case was measured often enough in both."]
    found = []
    for verdict in (statistics.FASTER, statistics.SLOWER):
        those = [row for row in both if row["verdict"] == verdict]
        if those:
            most = max(those, key=lambda row: abs(row["ratio"] - 1))
            found.append(
                f"b is {verdict} than a in {len(those)} of {len(both)} cases, most with {plans.label(most)},"
                f" {most['path']} ({most['ratio']:.2f} x)."
            )
    return found or [f"b and a do not differ in any of {len(both)} cases by more than their repeats do."]


def table(comparison: Mapping[str, Any]) -> list[str]:
    """Return a comparison as lines of text."""
    lines = [
        f"{side}: {about['plan']} on {about['target']}, {about['time']},"
        f" commit {(about['commit'] or 'unknown')[:12]}"
        for side, about in ((side, comparison[side]) for side in ("a", "b"))
    ]
    lines += ["", *comparison["answer"], *comparison["caveats"], ""]
    rows = [["run", "path", "a tps", "b tps", "b/a", "verdict"]]
    for row in comparison["rows"]:
        tps = [results.in_words(row[side]) if row[side] and row[side]["n"] else "-" for side in ("a", "b")]
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f} x"
        rows.append([plans.label(row), row["path"], *tps, ratio, row["verdict"]])
    lines += results.aligned(rows)
    if comparison["differences"]:
        different = [["differs", "a", "b"]]
        different += [[one["what"], str(one["a"]), str(one["b"])] for one in comparison["differences"]]
        lines += ["", *results.aligned(different)]
    return lines
