# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A benchmark, and two compared, as Markdown. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.report import (
    answer,
    reading,
    tables,
)
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.report.tables import Table

# What could begin markup, a link or an element, wherever it stands in a line.
_SPECIAL = re.compile(r"[\\`*_\[\]<>|~#&]")


def render_markdown(document: Mapping[str, Any]) -> str:
    """Return the report on a benchmark.

    Args:
        document: ``latest.json``, whatever of it there is.
    """
    parts = [f"# {escaped(reading.title(document))}"]
    parts.append(" ".join(escaped(one) for one in answer.said(document)))
    parts += ["\n".join(f"- {escaped(one)}" for one in answer.caveats(document))]
    parts.append(escaped(reading.about(document)))
    results = reading.groups(reading.cases(document))
    parts.append("## Throughput and latency")
    for name, found in results.items():
        parts += [f"### {escaped(name)}", _table(tables.results(found))]
    if not results:
        parts.append("No run has been finished.")
    costs = Table(("connection", "value"), tables.connections(document), frozenset({1}))
    parts += ["## What a connection costs"]
    parts += [
        _table(costs)
        if costs.rows
        else "Neither the time to connect nor the memory of a client was measured."
    ]
    parts += ["## Beyond max_connections".replace("_", "\\_"), escaped(reading.of_limit(document))]
    parts += [_table(tables.beyond(document))]
    runs = reading.runs_by_group(document)
    parts += ["## Each run"] if runs else []
    for name, found_runs in runs.items():
        parts += [f"### {escaped(name)}", _table(tables.runs(found_runs))]
        parts += ["What happened inside:", _table(tables.inside(found_runs))]
    parts += ["## What it was measured on", _table(tables.system(document))]
    for name, one in tables.settings(document).items():
        parts += [f"### Settings of {escaped(name)}", _table(one)]
    parts += ["## How to repeat it", escaped(reading.of_repeat(document))]
    parts.append(_code("\n".join(reading.command(document)), "sh"))
    if plan := reading.own_plan(document):
        parts += ["The plan, `plan.json`:", _code(plan, "json")]
    return _text(parts)


def render_comparison_markdown(comparison: Mapping[str, Any]) -> str:
    """Return the report on two benchmarks, as ``compare.compare`` puts them side by side."""
    parts = ["# Two benchmarks compared"]
    parts.append(" ".join(escaped(one) for one in reading.sentences(comparison.get("answer"))))
    sides = [reading.side(comparison, name) for name in ("a", "b")]
    caveats = reading.sentences(comparison.get("caveats"))
    parts.append("\n".join(f"- {escaped(one)}" for one in (*sides, *caveats)))
    differences = tables.differences(comparison)
    parts += ["## What was different"]
    parts += [_table(differences) if differences.rows else "Settings, versions and hardware were the same."]
    parts += ["## Throughput"]
    groups = reading.compared_groups(comparison)
    for name, rows in groups.items():
        parts += [f"### {escaped(name)}", _table(tables.compared(rows))]
    if not groups:
        parts.append("The two have no run to compare.")
    return _text(parts)


def escaped(value: str) -> str:
    """Return a text that stays one: no markup, no link, no element, no end of a cell."""
    return _SPECIAL.sub(lambda match: f"\\{match[0]}", " ".join(value.split()))


def _text(parts: list[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(found: Table) -> str:
    if not found.rows:
        return ""
    rule = ["---:" if number in found.right else "---" for number in range(len(found.heads))]
    cells = [[escaped(head) for head in found.heads], rule]
    cells += [[escaped(cell) for cell in row] for row in found.rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _code(value: str, language: str) -> str:
    # A fence longer than any in the text.
    longest = max((len(found) for found in re.findall("`+", value)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{value}\n{fence}"
