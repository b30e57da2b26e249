# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Comparison of two benchmarks: before and after a change, or on two kinds of machine. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import plans, results, statistics
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.errors import ResultError
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.report.answer import caveats

# These differ each time.
_OWN = ("time", "settings", "background")


def check(document: object, where: str) -> dict[str, Any]:
    """Return the document. Raises ResultError if it is no result, damaged, or of another version."""
    if not isinstance(document, dict) or "schema" not in document:
        raise ResultError(
            f"Failed to compare {where}: it is no result of `runner.py bench`. Give its latest.json."
        )
    if document["schema"] != results.SCHEMA or not {"summary", "system", "plan"} <= document.keys():
        raise ResultError(
            f"Failed to compare {where}: another version wrote it. Measure again with this one."
        )
    try:
        for row in document["summary"]:
            for side in row["paths"].values():
                _key(row, "")
                statistics.difference(side["tps"], side["tps"])
        _about(document)
        _facts(document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ResultError(f"Failed to compare {where}: it is damaged ({error!r}). Measure again.") from error
    if not document["summary"]:
        raise ResultError(f"Failed to compare {where}: no run in it finished. Measure again.")
    return document


def compare(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """Return how ``b`` differs from ``a``.

    Args:
        a: a document, the earlier.
        b: another.

    Returns:
        ``a`` and ``b`` (time, target, plan and commit), ``differences`` (of settings, versions and hardware),
        ``rows`` (a verdict for each case and path), ``answer`` and ``caveats``.
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
        "caveats": [
            f"{side.upper()}: {one}" for side, document in (("a", a), ("b", b)) for one in caveats(document)
        ],
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
        # Cases are matched by name, and the text of a custom script may differ.
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
        return ["The benchmarks cannot be compared: no case has enough repeats in both."]
    found = []
    for verdict in (statistics.FASTER, statistics.SLOWER):
        those = [row for row in both if row["verdict"] == verdict]
        if those:
            most = max(those, key=lambda row: abs(row["ratio"] - 1))
            found.append(
                f"B is {verdict} than A in {len(those)} of {len(both)} cases"
                f" (most: {most['ratio']:.2f} x, {plans.label(most)}, {most['path']})."
            )
    return found or [f"A and B differ in none of {len(both)} cases by more than the spread of the repeats."]


def table(comparison: Mapping[str, Any]) -> list[str]:
    """Return a comparison as lines of text."""
    lines = [
        f"{side.upper()}: {about['plan']} on {about['target']}, {about['time']},"
        f" commit {(about['commit'] or 'unknown')[:12]}"
        for side, about in ((side, comparison[side]) for side in ("a", "b"))
    ]
    lines += ["", *comparison["answer"], *comparison["caveats"], ""]
    rows = [["run", "path", "A tps", "B tps", "B/A", "verdict"]]
    for row in comparison["rows"]:
        tps = [results.in_words(row[side]) if row[side] and row[side]["n"] else "-" for side in ("a", "b")]
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f} x"
        rows.append([plans.label(row), row["path"], *tps, ratio, row["verdict"]])
    lines += results.aligned(rows)
    if comparison["differences"]:
        different = [["differs", "A", "B"]]
        different += [[one["what"], str(one["a"]), str(one["b"])] for one in comparison["differences"]]
        lines += ["", *results.aligned(different)]
    return lines
