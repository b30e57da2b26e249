# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of modules and fragments is YAML, and each of its descriptions is text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

PLUGINS = Path(__file__).resolve().parents[4] / "plugins"
FILES = sorted([*PLUGINS.glob("modules/*.py"), *PLUGINS.glob("doc_fragments/*.py")])
BLOCK = re.compile(r'(?ms)^ *[A-Z_]+ = r"""$(.*?)"""$')


def faults(node: Any) -> Iterator[Any]:
    """Yield the parts of descriptions that YAML does not read as text, such as ``a: b``."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if "description" in str(key) and not isinstance(value, dict):
            yield from (
                part for part in ([value], value)[isinstance(value, list)] if not isinstance(part, str)
            )
        elif isinstance(value, dict | list):
            yield from faults(value)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_descriptions_are_text(path: Path) -> None:
    blocks = [yaml.load(text, yaml.CSafeLoader) for text in BLOCK.findall(path.read_text())]
    assert blocks
    assert [fault for block in blocks if block for fault in faults(block)] == []


def test_a_colon_in_a_description_is_found() -> None:
    assert [*faults(yaml.safe_load("options: {image: {description: [a text, {b: c}]}}"))] == [{"b": "c"}]
