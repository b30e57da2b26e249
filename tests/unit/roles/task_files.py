# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read task files and playbooks as data: plays, tasks and handlers with their blocks flattened."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
PATTERNS = (
    "site.yml",
    "playbooks/**/*.yml",
    "roles/*/tasks/**/*.yml",
    "roles/*/handlers/*.yml",
    "molecule/*/*.yml",
)
SECTIONS = ("pre_tasks", "tasks", "post_tasks", "handlers")
BLOCKS = ("block", "rescue", "always")
Entry = dict[str, Any]


class _Loader(yaml.CSafeLoader):
    """YAML with Ansible's own tags, whose values do not matter here."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


@cache
def load(text: str) -> Any:
    """Return the content of a YAML text, to be read only. Raises yaml.YAMLError."""
    return yaml.load(text, _Loader)  # noqa: S506 - a safe loader with inert tags


def files() -> list[Path]:
    """Return every task file, handler file and playbook of the collection."""
    found = {path for pattern in PATTERNS for path in ROOT.glob(pattern)}
    return sorted(path for path in found if isinstance(load(path.read_text()), list))


def plays(text: str) -> list[Entry]:
    """Return the plays of a playbook; a task file has none."""
    return [entry for entry in load(text) or [] if _is_play(entry)]


def tasks(text: str) -> list[Entry]:
    """Return the tasks and handlers of a playbook or task file, blocks before what they hold."""
    entries = [entry for entry in load(text) or [] if not _is_play(entry)]
    entries += [task for play in plays(text) for name in SECTIONS for task in play.get(name) or []]
    return [*_flat(entries)]


def _flat(entries: list[Entry]) -> Iterator[Entry]:
    for entry in entries:
        yield entry
        for name in BLOCKS:
            yield from _flat(entry.get(name) or [])


def _is_play(entry: Entry) -> bool:
    return "hosts" in entry or any(key.endswith("import_playbook") for key in entry)
