"""The report: what it says, that every figure is in it, and what it needs (nothing)."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import benchmark_documents as documents
import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.report import answer, pages, words
from ansible_collections.pooled.postgres.plugins.module_utils._report import plots, render
from markupsafe import Markup

EVIL = '<script src="https://e.example/x.js">alert(1)</script>"|`x`\n# [a](https://e.example)'
DOCUMENTS: dict[str, Callable[[], dict[str, Any]]] = {
    "whole": documents.document,
    "once": lambda: documents.document(repeats=1),
    "only direct": documents.only_direct,
    "interrupted": documents.interrupted,
    "without samples": documents.without_samples,
    "hostile": lambda: documents.hostile(EVIL),
    "nothing finished": lambda: unfinished(documents.document()),
}
COMPARISONS: dict[str, Callable[[], dict[str, Any]]] = {
    "whole": documents.comparison,
    "nothing in common": lambda: documents.comparison() | {"rows": [], "differences": []},
    "one case": lambda: documents.comparison() | {"rows": documents.comparison()["rows"][:2]},
}
each_document = pytest.mark.parametrize("name", DOCUMENTS)
each_comparison = pytest.mark.parametrize("name", COMPARISONS)


@pytest.fixture(autouse=True)
def _quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no chart but where a test asks for it: each takes a tenth of a second."""
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(
            plots, "svg", lambda _spec, title: Markup("<svg><title>{}</title></svg>").format(title)
        )


@pytest.fixture
def drawn() -> None:
    """Draw the charts."""


def unfinished(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document whose runs all failed, on an unknown host."""
    runs = [{**run, **dict.fromkeys(("start", "end", "tps", "seconds"))} for run in document["runs"][:1]]
    connections: dict[str, Any] = {"connect_ms": {}, "memory_kb_per_client": None, "most_clients": None}
    system: dict[str, Any] = {"time": "now", "target": "lab", "max_connections": None, "settings": {}}
    nothing = {"runs": runs, "summary": [], "connections": connections, "system": system}
    return {**document, **nothing, "samples": {"interval": 1, "rows": []}, "complete": False}


def made(name: str) -> dict[str, Any]:
    """Return a document with its answer, as ``results.document`` makes it."""
    document = DOCUMENTS[name]()
    return document | {"answer": document["answer"] or answer.answer(document)}


class Reader(HTMLParser):
    """What is in a page: its elements, what is not closed where it should be, and its cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.names: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.ids: list[str] = []
        self.cells: list[list[str]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)
        self.wrong += self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if (last := self.open.pop() if self.open else "") != tag:
            self.wrong.append(f"{last} before /{tag}")

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words += f"{data} "
        if {"td", "th"} & set(self.open):
            self.cells[-1][-1] += data


def check(text: str) -> Reader:
    """Read a page, and hold it to what every page has to be."""
    found = Reader(text)
    assert found.wrong == []
    assert not found.names & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "image",
        "use",
    }
    # Nothing that a browser would load, and nothing that would run.
    for name, value in found.attributes:
        assert name not in ("src", "srcset", "xlink:href", "action", "data", "poster")
        assert not name.startswith("on")
        assert name != "href" or value.startswith("#")
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    # Each place is there once, and links lead to one.
    assert len(found.ids) == len(set(found.ids))
    assert {value[1:] for name, value in found.attributes if name == "href"} <= set(found.ids)
    for name, value in found.attributes:
        assert name not in ("d", "transform", "x2", "y2") or not re.search("NaN|nan|inf|None|null", value)
    return found


def test_the_page_with_its_charts_is_whole_and_loads_nothing(drawn: None) -> None:
    check(pages.html(made("hostile")))
    check(pages.comparison_html(documents.comparison()))


@each_document
def test_the_page_is_whole(name: str) -> None:
    check(pages.html(made(name)))


@each_comparison
def test_the_page_of_a_comparison_is_whole(name: str) -> None:
    check(pages.comparison_html(COMPARISONS[name]()))


def rows_of(text: str) -> Iterator[list[str]]:
    """Return the rows of Markdown's tables."""
    for line in text.splitlines():
        if line.startswith("|"):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def tables_of(text: str) -> Iterator[list[list[str]]]:
    for part in text.split("\n\n"):
        if part.startswith("|"):
            yield list(rows_of(part))


@each_document
def test_markdown_has_whole_tables_and_no_markup_of_others(name: str) -> None:
    text = pages.markdown(made(name))
    for table in tables_of(text):
        assert len({len(row) for row in table}) == 1
        assert set("".join(table[1])) <= set("-:")
    outside = re.sub(r"(?s)```.*?```", "", text)
    assert not re.search(r"(?<!\\)[<>]", outside)
    assert not re.search(r"(?<!\\)\]\(", outside)
    assert "\n\n\n" not in text


@each_comparison
def test_markdown_of_a_comparison_has_whole_tables(name: str) -> None:
    text = pages.comparison_markdown(COMPARISONS[name]())
    assert text.startswith("# Two benchmarks compared\n")
    for table in tables_of(text):
        assert len({len(row) for row in table}) == 1


def test_a_text_of_others_is_a_text() -> None:
    document = documents.hostile(EVIL)
    found = check(pages.html(document))
    assert "alert(1)" in found.words
    text = pages.markdown(document)
    assert "\\<script" in text
    assert "\n# [a]" not in text


def figures(run: dict[str, Any]) -> Iterator[Any]:
    for name in (
        "clients",
        "jobs",
        "transactions",
        "seconds",
        "repeat",
        "tps",
        "failed",
        "retried",
        "connect_ms",
    ):
        yield run[name]
    yield from run["latency_ms"].values()
    if inside := run["inside"]:
        yield from (inside["clients_waiting"]["mean"], inside["clients_waiting"]["max"])
        yield from (inside["servers_active"]["mean"], inside["servers_active"]["max"])
        yield from (
            inside[name] for name in ("wait_ms", "pgbouncer_cpu", "postgresql_cpu", "pgbouncer_memory_kb")
        )


def cells_of(form: str, document: dict[str, Any]) -> list[list[str]]:
    if form == "html":
        return Reader(pages.html(document)).cells
    return list(rows_of(pages.markdown(document)))


@pytest.mark.parametrize("form", ["html", "markdown"])
@pytest.mark.parametrize("name", ["whole", "interrupted", "without samples"])
def test_every_figure_of_every_run_and_case_is_in_a_table(form: str, name: str) -> None:
    document = DOCUMENTS[name]()
    rows = cells_of(form, document)
    for run in document["runs"]:
        path = words.path_name(run["path"])
        own = [
            cell
            for row in rows
            if row[:3] == [words.plain(run["clients"]), path, str(run["repeat"])]
            for cell in row
        ]
        assert {words.plain(value) for value in figures(run)} <= set(own)
        assert run["raw"] in own
    for case in document["summary"]:
        for path, side in case["paths"].items():
            wanted = {words.plain(value) for value in (side["tps"]["median"], *side["latency_ms"].values())}
            start = [words.plain(case["clients"]), words.path_name(path)]
            assert any(wanted <= set(row) for row in rows if row[:2] == start)
        for one in case["comparisons"]:
            start = [words.plain(case["clients"]), words.path_name(one["path"])]
            assert any(one["verdict"] in row for row in rows if row[:2] == start)


@pytest.mark.parametrize("form", ["html", "markdown"])
def test_every_row_of_a_comparison_is_in_a_table(form: str) -> None:
    comparison = documents.comparison()
    rows = (
        Reader(pages.comparison_html(comparison)).cells
        if form == "html"
        else list(rows_of(pages.comparison_markdown(comparison)))
    )
    for one in comparison["rows"]:
        start = [words.plain(one["clients"]), words.path_name(one["path"])]
        wanted = [words.plain((one[side] or {}).get(end)) for side in "ab" for end in ("median",)]
        wanted += [words.ratio(one["ratio"])]
        assert any(set(wanted) <= set(row) for row in rows if row[:2] == start)
    for one in comparison["differences"]:
        name = one["what"] if form == "html" else render._markdown(one["what"])
        assert [name, words.text(one["a"]), words.text(one["b"])] in rows


def test_the_page_says_first_what_matters() -> None:
    document = documents.document() | {"answer": ["It pays.", "It costs."]}
    words = check(pages.html(document)).words
    order = [
        "It pays.",
        "It costs.",
        "12 of 105 runs failed",
        "Transactions per second",
        "Latency, p99",
        "What a connection costs",
        "6.12 kB",
        "Beyond max_connections",
        "too many clients already",
        "Inside PgBouncer and PostgreSQL",
        "Clients of PgBouncer",
        "All figures",
        "System",
        "AMD EPYC",
        "shared_buffers",
        "Repeat the benchmark",
        "git checkout 3ba3482",
    ]
    # The names of sections are links before.
    place = 0
    for one in order:
        place = words.index(one, place)
    assert "python runner.py bench --target lab --plan standard" in words


def test_boards_are_put_in_as_they_are() -> None:
    text = pages.html(documents.document(), '<section id="pooled-x"><h2>Pooling</h2></section>')
    assert '<section id="pooled-x"><h2>Pooling</h2></section>' in text
    assert ">Prometheus</h2>" in text
    assert ">Prometheus</h2>" not in pages.html(documents.document())


def test_a_plan_of_ones_own_can_be_given_again() -> None:
    document = documents.document()
    document["plan"] |= {"name": "custom", "seconds": None, "cases": [{"script": "a`b", "clients": 5}]}
    assert words.command(document)[-1] == "python runner.py bench --target lab --plan plan.json"
    for text in (html.unescape(pages.html(document)), pages.markdown(document)):
        assert '"clients": 5' in text
        assert '"seconds"' not in text


def test_a_command_has_the_paths_that_are_not_the_plan_s_own() -> None:
    document = documents.document()
    document["plan"] |= {"name": "quick", "paths": ["direct", "tls"]}
    assert words.command(document)[-1].endswith(
        """--plan quick -e '{"benchmark_paths": ["direct", "tls"]}'"""
    )


def test_a_command_is_quoted() -> None:
    document = documents.document()
    document["system"] |= {"target": "x; rm -r /", "commit": None}
    document["plan"] |= {"name": "$(id)", "paths": ["direct", "pooled"]}
    assert words.command(document) == ["python runner.py bench --target 'x; rm -r /' --plan '$(id)'"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (True, "yes"),
        (0, "0"),
        (0.25, "0.25"),
        ([], "-"),
        (["a", 1], "a, 1"),
        ({"a": 1}, '{"a": 1}'),
        (" a\n b ", "a b"),
    ],
)
def test_a_value_in_one_line(value: Any, shown: str) -> None:
    assert words.text(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (True, "-"),
        (float("nan"), "-"),
        (0, "0"),
        (22812.4, "22,812"),
        (0.0456, "0.046"),
    ],
)
def test_a_figure_of_a_table(value: Any, shown: str) -> None:
    assert words.plain(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("2026-11-24T08:40:00Z", "2026-11-24 08:40 UTC"),
        ("2026-11-24T09:40:00+01:00", "2026-11-24 08:40 UTC"),
        (None, "None"),
        ("yesterday", "yesterday"),
    ],
)
def test_a_moment(value: Any, shown: str) -> None:
    assert words.moment(value) == ("-" if value is None else shown)


def test_a_path_has_the_same_look_whatever_else_was_measured() -> None:
    whole, alone = words.looks(documents.document()), words.looks(documents.only_direct())
    assert whole["direct"] == alone["direct"]
    assert len(set(whole.values())) == len(whole)


def test_one_number_of_clients_gives_bars_and_several_a_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    curves, bars = [], []
    monkeypatch.setattr(plots, "over_number", lambda title, *_, **__: curves.append(title))
    monkeypatch.setattr(plots, "bars", lambda _title, cases, _unit: bars.append([*cases]))
    text = pages.html(documents.document())
    titles = ["Transactions per second", "Latency, p50", "Latency, p95", "Latency, p99"]
    assert curves == titles * 2
    assert bars == [["select-only, 20 clients, reconnecting"]] * len(titles)
    assert "Without the time to connect" in text


def test_latencies_share_an_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    also = []
    monkeypatch.setattr(
        plots, "over_number", lambda _title, _curves, unit, **how: also.append((unit, how.get("also")))
    )
    pages.html(documents.document())
    first = [figures for unit, figures in also if unit == "ms"][:3]
    assert first[0]
    assert first == [first[0]] * 3
