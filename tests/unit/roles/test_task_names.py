# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``--list-tasks`` reads as a table of contents: plays, tasks and handlers have short imperative names."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
import task_files

# One verb a line. Add a verb only if a maintainer of amazon.aws would use it in a task name.
VERBS = frozenset((Path(__file__).parent / "verbs.txt").read_text().split())
RIDDLE = re.compile(r"\b((is|are) (there|known)|at hand|in place|anew|[Ww]hoever)\b")
LONGEST = 80
FILES = task_files.files()

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(task_files.ROOT)))


def faults(text: str) -> list[str]:
    """Return what is wrong with the names in a playbook or task file."""
    kinds = (task_files.plays(text), task_files.tasks(text))
    counts = [Counter(str(entry["name"]) for entry in kind if "name" in entry) for kind in kinds]
    found = []
    for name, count in (item for counter in counts for item in counter.items()):
        if name.split(maxsplit=1)[0] not in VERBS:
            found.append(f"{name}: starts with no verb of verbs.txt")
        if RIDDLE.search(name):
            found.append(f"{name}: is a riddle")
        if len(name) > LONGEST:
            found.append(f"{name}: is longer than {LONGEST}")
        if count > 1:
            found.append(f"{name}: occurs {count} times")
    return found


@every_file
def test_names_are_plain_imperatives(path: Path) -> None:
    assert faults(path.read_text()) == []


def test_all_folders_are_read() -> None:
    folders = {path.relative_to(task_files.ROOT).parts[0] for path in FILES}
    assert folders == {"site.yml", "playbooks", "roles", "molecule"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("- name: CA exists\n  a.b.c:", "starts with no verb"),
        ("- name: install it\n  a.b.c:", "starts with no verb"),
        ("- name: Check what is known\n  a.b.c:", "is a riddle"),
        ("- name: Start the server anew\n  a.b.c:", "is a riddle"),
        ("- name: Keep secrets at hand\n  a.b.c:", "is a riddle"),
        (f"- name: Install {'it ' * 30}\n  a.b.c:", "is longer than 80"),
        ("- name: Install it\n  a.b.c:\n- name: Install it\n  a.b.c:", "occurs 2 times"),
        ("- name: Run it\n  block:\n    - name: CA exists\n      a.b.c:", "starts with no verb"),
        ("- name: Database\n  ansible.builtin.import_playbook: a.yml", "starts with no verb"),
        ("- name: Hosts answer\n  hosts: all", "starts with no verb"),
        ("- name: Run\n  hosts: all\n  handlers:\n    - name: Units\n      a.b.c:", "starts with no verb"),
    ],
)
def test_bad_names_are_found(text: str, fault: str) -> None:
    found = faults(text)
    assert len(found) == 1
    assert fault in found[0]


def test_plain_names_pass() -> None:
    text = "- name: Install PgBouncer\n  a.b.c:\n- name: Reload PgBouncer process {{ n }}\n  a.b.c:"
    assert faults(text) == []
