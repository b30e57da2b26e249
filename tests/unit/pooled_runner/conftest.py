# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fixtures of the tests of the runner."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pooled_runner import execute
from pooled_runner.project import Project
from pooled_runner.request import Request


@pytest.fixture
def never_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if a playbook runs."""
    monkeypatch.setattr(execute, "run", lambda *_args: pytest.fail("a playbook ran"))


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide every source of AWS credentials from botocore."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("BOTO_CONFIG", str(tmp_path / "boto"))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return the state of a running lab."""
    directory = tmp_path / ".state/lab"
    (directory / "benchmark").mkdir(parents=True)
    (directory / "outputs.json").write_text("{}")
    return directory


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace the playbooks by one that only writes a file."""

    def replace(path: Path, text: str | None, error: str | None = None) -> None:
        def run(_request: Request, _project: Project) -> tuple[dict[str, Any], int]:
            if text is not None:
                path.write_text(text)
            document = {"verb": "", "hosts": {}, "slowest": [], "failures": []}
            return {**document, "error": error, "ok": not error}, int(bool(error))

        monkeypatch.setattr(execute, "run", run)

    return replace
