# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._report import api as report_api
from ansible_collections.pooled.postgres.plugins.module_utils._report.errors import ReportError

from pooled_runner import request
from pooled_runner.cli import main
from pooled_runner.project import Project


@pytest.mark.usefixtures("never_runs", "no_credentials")
@pytest.mark.parametrize("target", request.TARGETS)
def test_report_without_a_lab_tells_how_to_start_one(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--target", target], Project(tmp_path)) == 2
    assert f"python runner.py up --target {target}" in capsys.readouterr().err


@pytest.mark.usefixtures("never_runs", "no_credentials")
@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_report_prints_the_path_of_the_page(
    fails: bool,
    as_json: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = Project(tmp_path)
    project.state("aws").mkdir(parents=True)
    (project.state("aws") / "outputs.json").write_text("{}")

    def write(root: Path, state: Path, target: str, since: int) -> Path:
        assert (root, state, target, since) == (tmp_path, project.state("aws"), "aws", 1800)
        if fails:
            raise ReportError("Prometheus does not answer")
        return state / "report.html"

    monkeypatch.setattr(report_api, "write", write)
    argv = ["report", "--target", "aws", "--since", "30m", *(["--json"] if as_json else [])]
    assert main(argv, project) == int(fails)
    captured = capsys.readouterr()
    path = None if fails else str(project.state("aws") / "report.html")
    error = "Prometheus does not answer" if fails else None
    if as_json:
        expected = {"verb": "report", "target": "aws", "ok": not fails, "error": error, "path": path}
        assert json.loads(captured.out) == expected
    else:
        assert (captured.out, captured.err) == (("", f"runner.py: {error}\n") if fails else (f"{path}\n", ""))
