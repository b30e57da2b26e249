# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One look at a host reads what the tools print."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.pooled.postgres.plugins.module_utils._host import look

DPKG = "pgbouncer\tinstall ok installed\t1.24.1-1\nprometheus\tdeinstall ok config-files\t2.53\n"
POLICY = """\
prometheus:
  Installed: (none)
  Candidate: 2.53.3+ds1-2
  Version table:
     2.53.3+ds1-2 500
nope:
  Installed: (none)
  Candidate: (none)
"""


def test_os_release_is_read_with_and_without_quotes() -> None:
    text = 'PRETTY_NAME="Ubuntu 24.04"\nID=ubuntu\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\n'
    assert look.os_release(text) == {
        "distribution": "Ubuntu",
        "distribution_version": "24.04",
        "distribution_major_version": "24",
        "distribution_release": "noble",
    }


def test_only_missing_packages_are_looked_up_in_the_archive() -> None:
    asked = []

    def run(command: list[str]) -> tuple[int, str, str]:
        asked.append(command)
        return (1, DPKG, "no packages found") if command[0] == "dpkg-query" else (0, POLICY, "")

    assert look.packages(run, ["pgbouncer", "prometheus", "nope"]) == {
        "pgbouncer": {"installed": "1.24.1-1", "candidate": ""},
        "prometheus": {"installed": "", "candidate": "2.53.3+ds1-2"},
        "nope": {"installed": "", "candidate": ""},
    }
    assert asked[1][-2:] == ["prometheus", "nope"]


def test_globs_find_files_and_links(tmp_path: Path) -> None:
    (tmp_path / "a.ini").write_text("text")
    (tmp_path / "b.ini").symlink_to("/nowhere")
    found = look.paths([f"{tmp_path}/*.ini", f"{tmp_path}/missing", str(tmp_path)])
    assert {Path(path).name: state["type"] for path, state in found.items()} == {
        "a.ini": "file",
        "b.ini": "link",
        tmp_path.name: "directory",
    }
    assert found[f"{tmp_path}/b.ini"]["link"] == "/nowhere"


def test_memory_is_in_mebibytes() -> None:
    assert look.memory_mb("MemTotal:       24683520 kB\nMemFree: 1 kB\n") == 24105
