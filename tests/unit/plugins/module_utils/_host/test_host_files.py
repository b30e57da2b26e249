# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files are compared, validated together, and replaced only if every checker agrees."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._host import files
from ansible_collections.pooled.postgres.plugins.module_utils._host.errors import HostError

OWNER = pwd.getpwuid(os.getuid()).pw_name


def entry(path: Path, **values: Any) -> dict[str, Any]:
    mine = {"owner": str(os.getuid()), "group": str(os.getgid())}
    return {"path": str(path), "state": "file", **mine, **values}


def run(command: list[str]) -> tuple[int, str, str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def write(*entries: Mapping[str, Any]) -> list[str]:
    changes = [step for step in files.compare(entries) if step.differs]
    files.apply(changes)
    return [step.entry["path"] for step in changes]


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    wanted = [
        entry(tmp_path / "d", state="directory", mode="0750"),
        entry(tmp_path / "d/plain", content="a\n", mode="0640"),
        entry(tmp_path / "d/secret", secret_content="s3cr3t\n", mode="0400"),
        entry(tmp_path / "d/link", state="link", target="/dev/null"),
        entry(tmp_path / "gone", state="absent"),
    ]
    assert len(write(*wanted)) == 4
    assert write(*wanted) == []
    assert (tmp_path / "d/plain").read_text() == "a\n"
    assert stat.S_IMODE((tmp_path / "d/secret").stat().st_mode) == 0o400


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        (lambda path: path.write_text("edited\n"), ("content",)),
        (lambda path: path.chmod(0o666), ("mode",)),
        (lambda path: path.unlink(), ("state",)),
    ],
)
def test_drift_is_found_and_repaired(tmp_path: Path, change: Any, differs: tuple[str, ...]) -> None:
    path = tmp_path / "file"
    wanted = entry(path, content="a\n", mode="0640")
    write(wanted)
    change(path)
    (step,) = files.compare([wanted])
    assert step.differs == differs
    write(wanted)
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("a\n", 0o640)


def test_one_refused_content_keeps_all_files(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    write(entry(good, content="old\n"), entry(bad, content="old\n"))
    wanted = [entry(good, content="new\n"), entry(bad, content="new\n", validate="grep -q old %s")]
    work = tmp_path / "work"
    work.mkdir()
    with pytest.raises(HostError, match=r"Failed to validate .*/bad: .*The old files stay in use"):
        files.validate(run, files.compare(wanted), str(work), check_mode=False)
    assert good.read_text() == bad.read_text() == "old\n"


def test_a_content_that_is_in_place_is_not_validated_again(tmp_path: Path) -> None:
    wanted = entry(tmp_path / "file", content="a\n", validate="false %s")
    write(wanted)
    files.validate(run, files.compare([wanted]), str(tmp_path), check_mode=False)


def test_check_mode_skips_a_checker_that_is_not_installed(tmp_path: Path) -> None:
    wanted = entry(tmp_path / "file", content="a\n", validate="not-installed-yet %s")
    files.validate(run, files.compare([wanted]), str(tmp_path), check_mode=True)


def test_a_secret_is_in_no_difference(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old s3cr3t")
    (step,) = files.compare([entry(path, secret_content="new s3cr3t", mode="0600")])
    shown = files.diff(step)
    assert "s3cr3t" not in str(shown)
    assert (shown["before"]["content"], shown["after"]["content"]) == ("secret", "another secret")


def test_a_difference_shows_text_and_attributes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old\n")
    path.chmod(0o644)
    (text,) = files.compare([entry(path, content="new\n")])
    (mode,) = files.compare([entry(path, content="old\n", mode="0600")])
    assert (files.diff(text)["before"], files.diff(text)["after"]) == ("old\n", "new\n")
    assert files.diff(mode)["after"]["mode"] == "0600"


def test_a_path_of_another_type_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(HostError, match="it is a directory, not a file"):
        files.compare([entry(tmp_path / "file", content="a")])


def test_a_kept_file_stays_and_a_missing_one_is_made(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("theirs")
    assert write(
        entry(tmp_path / "there", content="ours", keep=True),
        entry(tmp_path / "new", content="ours", keep=True),
    ) == [str(tmp_path / "new")]
    assert (tmp_path / "there").read_text() == "theirs"


def test_an_unknown_account_leaves_no_temporary_file(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no-such-account"):
        write(entry(tmp_path / "file", content="a", owner="no-such-account"))
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_as_good_as_its_number(tmp_path: Path) -> None:
    write(entry(tmp_path / "file", content="a"))
    assert files.compare([entry(tmp_path / "file", content="a", owner=OWNER)])[0].differs == ()
