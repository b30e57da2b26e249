# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pages: one model of sections and blocks, which Jinja templates turn into HTML or Markdown. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
SIGNS = ("●", "▲", "✖")
# Starts markup, a link or an element, wherever it stands in a line.
_SPECIAL = re.compile(r"[\\`*_\[\]<>|~#&]")

Block = Mapping[str, Any]
"""A part of a page; its ``kind`` chooses the macro in ``templates/page.html.j2``."""


class Table(NamedTuple):
    """A table; the numbered columns in ``right`` hold figures."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: frozenset[int] = frozenset()
    last_is_text: bool = False


class Section(NamedTuple):
    """A section with its short name for the navigation."""

    short: str
    title: str
    blocks: Sequence[Block]
    id: str = ""

    @property
    def place(self) -> str:
        """The target of links to the section."""
        return self.id or self.short.lower().replace(" ", "-")


class Item(NamedTuple):
    """A line of the summary; a level of 0 is fine, 1 a warning, 2 wrong."""

    level: int
    text: str
    strong: str = ""
    href: str = ""


def text(words: str) -> Block:
    """Return a paragraph."""
    return {"kind": "text", "text": words}


def table(found: Table, title: str = "", folded: bool = False) -> Block:
    """Return a table; a folded one opens on a click."""
    return {"kind": "table", "table": found, "title": title, "folded": folded}


def figures(found: Iterable[Block], title: str = "") -> Block:
    """Return charts beside each other."""
    return {"kind": "figures", "figures": list(found), "title": title}


def code(content: str, language: str) -> Block:
    """Return commands or data."""
    return {"kind": "code", "text": content, "language": language}


def _markdown(value: object) -> str:
    """Return a text that contains no markup and no end of a cell."""
    return _SPECIAL.sub(lambda match: f"\\{match[0]}", " ".join(str(value).split()))


def _fence(value: str) -> str:
    """Return a fence that is longer than any in the text."""
    return "`" * max(3, max((len(found) + 1 for found in re.findall("`+", value)), default=0))


def safe(content: str) -> Markup:
    """Return HTML as such, so that a template does not escape it."""
    from markupsafe import Markup  # noqa: PLC0415 - see _environment()

    return Markup(content)  # noqa: S704


@cache
def _environment() -> Environment:
    # Only the controller has it, and writes pages.
    from jinja2 import (  # noqa: PLC0415
        Environment,
        FileSystemLoader,
        StrictUndefined,
        select_autoescape,
    )

    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"markdown": _markdown, "fence": _fence}
    found.globals |= {"signs": SIGNS}
    return found


def section_html(section: Section) -> Markup:
    """Return one section, for a page that has the same style."""
    blocks: Any = _environment().get_template("blocks.html.j2").module
    return safe(blocks.section(section))


def html(
    title: str,
    when: str,
    lead: Sequence[str],
    items: Sequence[Item],
    sections: Sequence[Section],
    *,
    level: int | None = None,
    more: Block | None = None,
) -> str:
    """Return a page that brings its style and loads nothing.

    Args:
        title: of the page.
        when: what the page is about, in a line.
        lead: sentences that answer the page's question.
        items: further lines of the summary.
        sections: the rest; those without blocks are left out.
        level: how good the lead is, see ``Item``.
        more: a block below the summary.
    """
    values = {"title": title, "when": when, "lead": lead, "items": items, "level": level, "more": more}
    shown = [one for one in sections if one.blocks]
    return _environment().get_template("page.html.j2").render(**values, sections=shown)


def markdown(
    title: str, when: str, lead: Sequence[str], items: Sequence[Item], sections: Sequence[Section]
) -> str:
    """Return the same page as Markdown, without its charts."""
    kinds = ("text", "table", "code", "tiles")
    shown = [
        one._replace(blocks=kept)
        for one in sections
        if (kept := [block for block in one.blocks if block["kind"] in kinds])
    ]
    template = _environment().get_template("page.md.j2")
    found = template.render(title=title, when=when, lead=lead, items=items, sections=shown)
    return re.sub(r"\n{3,}", "\n\n", found).strip() + "\n"
