# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""status."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pooled_runner.cli import main
from pooled_runner.commands import perform
from pooled_runner.project import Project
from pooled_runner.request import Request


@pytest.mark.usefixtures("never_runs")
def test_status_without_a_lab_is_unhealthy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--json"], Project(tmp_path)) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["healthy"] is False
    assert "no lab is up" in document["error"]
    assert set(document) >= {"hosts", "services", "pools", "targets", "endpoints"}


@pytest.mark.parametrize(
    ("written", "error", "expected"),
    [
        ('{"healthy": true}', None, (True, 0)),
        ('{"healthy": false}', None, (False, 1)),
        ('{"healthy": "true"}', None, ("true", 1)),
        ('{"healthy": true}', "db: unreachable", (False, 1)),
        (None, None, (False, 1)),
        ("[]", None, (False, 1)),
    ],
)
def test_status_is_healthy_only_if_this_run_wrote_so(
    written: str | None,
    error: str | None,
    expected: tuple[object, int],
    state: Path,
    writes: Callable[..., None],
) -> None:
    (state / "status.json").write_text('{"healthy": true, "old": true}')
    writes(state / "status.json", written, error)
    document, code = perform(Request("status"), Project(state.parents[1]))
    assert (document["healthy"], code) == expected
    assert "old" not in document
    assert not error or document["error"] == error
