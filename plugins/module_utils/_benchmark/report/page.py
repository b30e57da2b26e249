# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A benchmark, and two compared, as one HTML page that needs no server, no network and no script. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.report import (
    answer,
    charts,
    reading,
    tables,
)
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.report.tables import Table
from ansible_collections.pooled.postgres.plugins.module_utils._report.markup import Html, element, joined
from ansible_collections.pooled.postgres.plugins.module_utils._report.page import table, whole


def render_html(document: Mapping[str, Any], boards_html: str = "") -> str:
    """Return the report on a benchmark.

    Args:
        document: ``latest.json``, whatever of it there is.
        boards_html: dashboards of the same time, as ``_report.page.board_section`` makes them.
    """
    sections = [
        ("Throughput", "Throughput and latency", _results(document)),
        ("Connections", "What a connection costs", _connections(document)),
        ("Beyond max_connections", "Beyond max_connections", _beyond(document)),
        ("Inside", "What happened inside", _inside(document)),
        ("Prometheus", "What Prometheus saw", [Html(boards_html)] if boards_html else []),
        ("Figures", "All figures", _tables(document)),
        ("Measured on", "What it was measured on", _system(document)),
        ("Repeat", "How to repeat it", _repeat(document)),
    ]
    return _page(
        reading.title(document),
        reading.about(document),
        answer.said(document),
        answer.caveats(document),
        sections,
    )


def render_comparison_html(comparison: Mapping[str, Any]) -> str:
    """Return the report on two benchmarks, as ``compare.compare`` puts them side by side."""
    groups = reading.compared_groups(comparison)
    drawn = [
        part
        for name, rows in groups.items()
        for part in (
            element("h3", name),
            element("div", *charts.compared(rows), class_="charts"),
            _html(tables.compared(rows)),
        )
    ]
    differences = tables.differences(comparison)
    none = "Settings, versions and hardware were the same."
    sections = [
        (
            "Different",
            "What was different",
            [element("div", _html(differences), class_="pairs") if differences.rows else _said(none)],
        ),
        ("Throughput", "Throughput", drawn or [_said("The two have no run to compare.")]),
    ]
    sides = "; ".join(reading.side(comparison, name) for name in ("a", "b"))
    return _page(
        "Two benchmarks compared",
        sides,
        reading.sentences(comparison.get("answer")),
        reading.sentences(comparison.get("caveats")),
        sections,
    )


def _page(
    title: str,
    about: str,
    answers: Sequence[str],
    caveats: Sequence[str],
    sections: Iterable[tuple[str, str, Sequence[Html]]],
) -> str:
    shown = [one for one in sections if one[2]]
    mind = [
        element("li", element("span", "▲", class_="sign", aria_hidden="true"), " ", one, class_="level1")
        for one in caveats
    ]
    return whole(
        title,
        element("header", element("h1", title), element("p", about, class_="when")),
        element(
            "section",
            element("div", *(element("p", one) for one in answers), class_="answer"),
            *([element("ul", *mind, aria_label="To bear in mind")] if mind else []),
            class_="summary",
        ),
        element("nav", *(element("a", short, href=f"#{_place(short)}") for short, _name, _content in shown)),
        element(
            "main",
            *(
                element("section", element("h2", name), *content, id=_place(short), class_="board part")
                for short, name, content in shown
            ),
        ),
    )


def _place(short: str) -> str:
    return short.lower().replace(" ", "-")


def _said(words: str) -> Html:
    return element("p", words, class_="about")


def _html(found: Table) -> Html:
    told = found.heads[-1] in tables.TOLD
    return element("div", table(found.heads, found.rows, found.right), class_="rows told" if told else "rows")


def _results(document: Mapping[str, Any]) -> list[Html]:
    groups = reading.groups(case for case in reading.cases(document) if case.clients > 0 and case.paths)
    if not groups:
        return [_said("No run has been finished.")]
    looks, most = reading.looks(document), reading.limit(document)
    parts: list[Html] = []
    singles = []
    for name, found in groups.items():
        if len({case.clients for case in found}) > 1:
            parts += [
                element("h3", name),
                element("div", *charts.of_group(found, looks, most), class_="charts"),
            ]
        else:
            singles += found
    if singles:
        parts += [element("h3", "Single cases")] if parts else []
        parts.append(element("div", *charts.of_single(singles, looks), class_="charts"))
    return parts


def _connections(document: Mapping[str, Any]) -> list[Html]:
    found = tables.connections(document)
    if not found:
        return [_said("Neither the time to connect nor the memory of a client was measured.")]
    tiles = [
        element("div", element("h4", name), element("p", value, class_="value"), class_="tile")
        for name, value in found
    ]
    drawn = charts.connecting(document, reading.looks(document))
    return [
        element("div", *tiles, class_="tiles"),
        *([element("div", drawn, class_="charts")] if drawn else []),
    ]


def _beyond(document: Mapping[str, Any]) -> list[Html]:
    found = tables.beyond(document)
    return [_said(reading.of_limit(document)), *([_html(found)] if found.rows else [])]


def _inside(document: Mapping[str, Any]) -> list[Html]:
    drawn = charts.inside(document, reading.looks(document))
    if not drawn:
        return [_said("Nothing was sampled while pgbench ran.")]
    return [element("div", *drawn, class_="charts")]


def _tables(document: Mapping[str, Any]) -> list[Html]:
    parts: list[Html] = []
    by_group = reading.runs_by_group(document)
    results = reading.groups(reading.cases(document))
    for name in {**results, **by_group}:
        parts.append(element("h3", name))
        if name in results:
            parts.append(_html(tables.results(results[name])))
        if name in by_group:
            parts += [
                _folded("Each run", tables.runs(by_group[name])),
                _folded("Inside each run", tables.inside(by_group[name])),
            ]
    return parts


def _folded(name: str, found: Table) -> Html:
    return element("details", element("summary", name), _html(found), open="", class_="dense")


def _system(document: Mapping[str, Any]) -> list[Html]:
    found = {"Versions and hardware": tables.system(document)}
    found |= {f"Settings of {name}": one for name, one in tables.settings(document).items()}
    return [
        element(
            "div",
            *(element("div", element("h3", name), _html(one), class_="pairs") for name, one in found.items()),
            class_="charts",
        )
    ]


def _repeat(document: Mapping[str, Any]) -> list[Html]:
    plan = reading.own_plan(document)
    parts = [
        _said(reading.of_repeat(document)),
        element("pre", "\n".join(reading.command(document)), tabindex="0"),
    ]
    if plan is not None:
        parts += [_said("The plan, plan.json:"), element("pre", plan, tabindex="0")]
    return [joined(*parts)]
