# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run tools/role_docs.py on the checkout and on a copy that tests change."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def role_docs(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the tool of the checkout at ``root``."""
    command = [sys.executable, str(root / "tools/role_docs.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout with up-to-date pages, as far as the tool reads it."""
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools/role_docs.py", tmp_path / "tools")
    shutil.copy(ROOT / "galaxy.yml", tmp_path)
    shutil.copytree(ROOT / "roles", tmp_path / "roles")
    assert role_docs(tmp_path).returncode == 0
    return tmp_path


def test_pages_of_this_checkout_are_up_to_date() -> None:
    result = role_docs(ROOT, "--check")
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("roles/postgres/meta/argument_specs.yml", "default: 5432", "default: 5433"),
        ("roles/postgres/meta/main.yml", "license: GPL-3.0-or-later", "license: MIT"),
        ("roles/postgres/README.md", "# pooled", "# cooled"),
        ("galaxy.yml", 'ansible.posix: ">=2.1.0', 'ansible.posix: ">=2.2.0'),
    ],
)
def test_page_that_is_out_of_date_is_named_and_renewed(checkout: Path, file: str, old: str, new: str) -> None:
    page = checkout / "roles/postgres/README.md"
    text = (checkout / file).read_text()
    assert old in text
    (checkout / file).write_text(text.replace(old, new))
    outdated = page.read_text()

    checked = role_docs(checkout, "--check")
    assert checked.returncode == 1
    assert "roles/postgres/README.md" in checked.stderr
    assert page.read_text() == outdated

    assert role_docs(checkout).returncode == 0
    assert page.read_text() != outdated
    assert role_docs(checkout, "--check").returncode == 0


def test_page_that_is_missing_is_out_of_date(checkout: Path) -> None:
    (checkout / "roles/lab/README.md").unlink()
    assert "roles/lab/README.md" in role_docs(checkout, "--check").stderr


def test_role_without_a_spec_is_refused(checkout: Path) -> None:
    (checkout / "roles/lab/meta/argument_specs.yml").unlink()
    result = role_docs(checkout, "--check")
    assert result.returncode == 1
    assert result.stderr.startswith("Failed to document the role lab: ")
    assert "Traceback" not in result.stderr
