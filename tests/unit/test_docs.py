# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation: links lead somewhere, and no placeholder waits for a figure."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("roles/*/README.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"(?m)^#+ (.*)$")
FENCE = re.compile(r"(?ms)^```.*?^```$")

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = HEADING.findall(FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path, text: str) -> list[str]:
    """Return the links of a text to files or headings that do not exist."""
    found = []
    for link in LINK.findall(FENCE.sub("", text)):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if "://" not in link and (not target.exists() or (anchor and anchor not in anchors(target))):
            found.append(link)
    return found


@every_page
def test_links_lead_to_files_and_headings(page: Path) -> None:
    assert broken(page, page.read_text()) == []


@every_page
def test_every_figure_is_filled_in(page: Path) -> None:
    assert re.findall(r"FIGURE\([^)]*\)", page.read_text()) == []


def test_broken_links_are_found() -> None:
    text = (
        "[a](docs/operations.md#day-2-changes) [b](docs/none.md) [c](README.md#none) [d](https://example.com)"
    )
    assert broken(ROOT / "README.md", text) == ["docs/none.md", "README.md#none"]
