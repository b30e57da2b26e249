# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules that keep a run fast: one look at a host, one plan in Python, and tasks that only apply it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import task_files

ROOT = task_files.ROOT
# Every task and every reference templates these again.
MOST_TEMPLATES = 15
# A longer file is split by subject. A module's documentation does not count.
MOST_LINES = {"plugins/modules": 400, "": 600}
# Each is a remote task of its own; the plan of a role asks host_info once.
GATHERING = {"setup", "gather_facts", "package_facts", "service_facts"}
CONTENTS = {"import_tasks", "include_tasks", "import_role", "include_role", "meta"}


def templates(value: Any) -> int:
    """Return how many strings in a YAML value are templates."""
    if isinstance(value, dict):
        return sum(map(templates, value.values()))
    if isinstance(value, list):
        return sum(map(templates, value))
    return int(isinstance(value, str) and bool(re.search(r"{[{%]", value)))


def modules(text: str) -> set[str]:
    """Return the short names of the modules that a playbook or task file uses."""
    return {key.rpartition(".")[2] for task in task_files.tasks(text) for key in task if "." in key}


def lines_of_code(path: Path) -> int:
    """Return the number of lines of a Python file without a module's documentation."""
    text = re.sub(r'(?ms)^[A-Z]+ = r"""$.*?^"""$', "", path.read_text())
    return len(text.splitlines())


def limit(path: Path) -> int:
    """Return how many lines a file may have."""
    name = str(path.relative_to(ROOT))
    return next(lines for folder, lines in MOST_LINES.items() if name.startswith(folder))


def relative(paths: list[Path]) -> list[str]:
    """Return paths as they are named in the checkout."""
    return [str(path.relative_to(ROOT)) for path in paths]


ROLES_AND_PLAYBOOKS = [path for path in task_files.files() if path.relative_to(ROOT).parts[0] != "molecule"]
# The infrastructure polls its plan until nothing is pending, and shows it.
PLANS = sorted(set(ROOT.glob("plugins/action/*_plan.py")) - {ROOT / "plugins/action/infrastructure_plan.py"})


@pytest.mark.parametrize("path", sorted(ROOT.glob("roles/*/vars/*.yml")), ids=lambda path: path.parts[-3])
def test_vars_hold_constants(path: Path) -> None:
    assert templates(task_files.load(path.read_text())) < MOST_TEMPLATES


def test_problems_come_from_a_plan_and_not_from_asserts() -> None:
    assert relative([path for path in ROLES_AND_PLAYBOOKS if "assert" in modules(path.read_text())]) == []


def test_facts_are_gathered_by_the_plan_alone() -> None:
    assert relative([path for path in ROLES_AND_PLAYBOOKS if GATHERING & modules(path.read_text())]) == []
    plays = [play for path in ROLES_AND_PLAYBOOKS for play in task_files.plays(path.read_text())]
    assert [play["name"] for play in plays if play.get("gather_facts") is not False and "hosts" in play] == []


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_a_plan_is_one_task(path: Path) -> None:
    role = path.stem.removesuffix("_plan")
    text = (ROOT / "roles" / role / "tasks/plan.yml").read_text()
    assert len(task_files.tasks(text)) == 1
    assert modules(text) == {path.stem}


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_the_main_file_of_a_planned_role_is_a_table_of_contents(path: Path) -> None:
    text = (ROOT / "roles" / path.stem.removesuffix("_plan") / "tasks/main.yml").read_text()
    assert modules(text) <= CONTENTS


def test_no_source_file_is_too_long() -> None:
    folders = ("plugins", "pooled_runner", "roles", "tools", "benchmarks", "dashboards")
    found = [path for folder in folders for path in ROOT.glob(f"{folder}/**/*.py")]
    assert len(found) > 50
    assert relative([path for path in found if lines_of_code(path) > limit(path)]) == []


class TestReading:
    def test_templates_are_counted_at_every_depth(self) -> None:
        text = "{a: 1, b: '{{ c }}', d: [{e: '{% if f %}1{% endif %}'}, '{{ g }}', h]}"
        assert templates(task_files.load(text)) == 3

    def test_modules_are_found_in_blocks_and_handlers(self) -> None:
        block = "- name: A\n  block:\n    - name: B\n      ansible.builtin.assert:\n        that: c"
        assert modules(block) == {"assert"}
        play = "- hosts: all\n  handlers:\n    - name: B\n      ansible.builtin.setup:"
        assert modules(play) == {"setup"}

    def test_documentation_does_not_count(self, tmp_path: Path) -> None:
        path = tmp_path / "module.py"
        path.write_text('import re\nDOCUMENTATION = r"""\nmodule: a\n"""\nprint(re)\n')
        assert lines_of_code(path) == 3
