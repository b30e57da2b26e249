"""Runs the module as Ansible does, as a process that gets JSON, on files of its own."""

from __future__ import annotations

import base64
import grp
import json
import os
import pwd
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import scram, userlist

MODULE = "ansible_collections.pooled.postgres.plugins.modules.pgbouncer_config"
KEY = base64.b64encode(bytes(32)).decode()
VERIFIER = f"SCRAM-SHA-256$4096:c2FsdA==${KEY}:{KEY}"
MD5 = "md554fdba1dac1d18ce9c2d57a03502a8ff"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")

# Imported by the module's process before anything else. Every call that makes, renames or changes a file is
# announced before it happens, so that this sees each state that the folder was in.
WATCHER = """
import os, sys, syslog
LOG, FOLDER = os.environ["WATCH_LOG"], os.environ["WATCH_FOLDER"]
def note(text):
    with open(LOG, "a") as log:
        log.write(text + "\\n")
syslog.syslog = lambda *arguments: note(f"syslog {arguments}")
busy = False
def hook(event, arguments):
    global busy
    if busy or not event.startswith("os."):
        return
    busy = True
    for name in os.listdir(FOLDER):
        status = os.stat(os.path.join(FOLDER, name))
        note(f"{event} {oct(status.st_mode)} {name}")
        if status.st_mode & 0o007:
            with open(os.path.join(FOLDER, name)) as file:
                note("OPEN TO ALL " + file.read())
    busy = False
sys.addaudithook(hook)
"""


def run(environment: dict[str, str] | None = None, **arguments: Any) -> dict[str, Any]:
    """Run the module and return its result. A run without one, such as a traceback, fails the test."""
    keys = ("path", "users", "encryption", "scram_iterations")
    arguments = {
        "userlist": {key: arguments.pop(key) for key in keys if key in arguments},
        "owner": pwd.getpwuid(os.geteuid()).pw_name,
        "group": grp.getgrgid(os.getegid()).gr_name,
        "_ansible_diff": True,
        **arguments,
    }
    process = subprocess.run(
        [sys.executable, "-m", MODULE],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.stderr == ""
    result: dict[str, Any] = json.loads(process.stdout)
    assert process.returncode == int(bool(result.get("failed")))
    return {**result, **result.get("users", {})}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with nothing but the userlist in it."""
    folder = tmp_path / "pgbouncer"
    folder.mkdir()
    return folder


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "userlist.txt"


@pytest.fixture
def watch(tmp_path: Path, folder: Path) -> dict[str, str]:
    """Environment variables that make the module's process keep a log in WATCH_LOG."""
    (tmp_path / "sitecustomize.py").write_text(WATCHER)
    return {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "WATCH_LOG": str(tmp_path / "watch.log"),
        "WATCH_FOLDER": str(folder),
    }


@pytest.fixture
def common_umask() -> Iterator[None]:
    """The umask of most hosts, which the module's process inherits."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def user(name: str, password: str) -> dict[str, str]:
    return {"name": name, "password": password}


def state_of(path: Path) -> tuple[object, ...]:
    status = path.stat()
    return path.read_text(), status.st_ino, status.st_mtime_ns, status.st_mode, status.st_uid, status.st_gid


class TestContent:
    def test_md5_is_postgresqls(self, path: Path) -> None:
        result = run(path=str(path), encryption="md5", users=[user("myuser", "mypassword")])
        assert result["changed"]
        assert path.read_text() == f'"myuser" "{MD5}"\n'

    def test_scram_verifies_the_password(self, path: Path) -> None:
        run(path=str(path), scram_iterations=5000, users=[user('a"b', 'nasty "\\$%s  pässwörd €')])
        verifier = scram.parse(userlist.parse(path.read_text())['a"b'])
        assert verifier.iterations == 5000
        assert scram.verify('nasty "\\$%s  pässwörd €', verifier)

    def test_ready_verifiers_are_written_as_given(self, path: Path) -> None:
        run(path=str(path), users=[{"name": "b", "verifier": MD5}, {"name": "a", "verifier": VERIFIER}])
        assert path.read_text() == f'"a" "{VERIFIER}"\n"b" "{MD5}"\n'

    def test_no_users_make_an_empty_file(self, path: Path) -> None:
        path.write_text('"a" "b"\n')
        result = run(path=str(path), users=[])
        assert (result["changed"], result["removed"], result["total"]) == (True, ["a"], 0)
        assert path.read_text() == ""

    @pytest.mark.parametrize("encryption", ["md5", "scram-sha-256"])
    def test_a_second_run_changes_nothing(self, path: Path, encryption: str) -> None:
        users = [user("b", "1"), user('a"', "ä€"), {"name": "c", "verifier": VERIFIER}]
        run(path=str(path), encryption=encryption, users=users)
        before = state_of(path)
        result = run(path=str(path), encryption=encryption, users=users[::-1])
        assert not result["changed"]
        assert state_of(path) == before

    def test_only_changed_entries_get_a_new_verifier(self, path: Path) -> None:
        run(path=str(path), users=[user("kept", "pw-1"), user("other", "pw-2"), user("gone", "pw-3")])
        before = userlist.parse(path.read_text())
        result = run(path=str(path), users=[user("kept", "pw-1"), user("other", "pw-4"), user("new", "pw-5")])
        after = userlist.parse(path.read_text())
        assert after["kept"] == before["kept"]
        assert after["other"] != before["other"]
        assert (result["added"], result["removed"], result["updated"]) == (["new"], ["gone"], ["other"])
        assert result["counts"] == {"added": 1, "removed": 1, "updated": 1}
        assert result["total"] == 3

    def test_comments_and_bytes_that_are_no_text_go(self, path: Path) -> None:
        path.write_bytes(b'; by hand\n"caf\xe9" "x"\n')
        result = run(path=str(path), users=[user("a", "pass")])
        assert (result["added"], result["removed"]) == (["a"], ["caf\ufffd"])
        assert list(userlist.parse(path.read_text())) == ["a"]


class TestFile:
    def test_is_closed_to_others(self, path: Path) -> None:
        run(path=str(path), users=[user("a", "pass")])
        assert stat.S_IMODE(path.stat().st_mode) == 0o640

    def test_leaves_nothing_else_behind(self, path: Path) -> None:
        run(path=str(path), users=[user("a", "pass")])
        assert list(path.parent.iterdir()) == [path]

    @pytest.mark.parametrize("mode", ["0600", "600"])
    def test_a_mode_alone_is_a_change(self, path: Path, mode: str) -> None:
        run(path=str(path), users=[user("a", "pass")])
        foreseen = run(path=str(path), users=[user("a", "pass")], mode=mode, _ansible_check_mode=True)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        result = run(path=str(path), users=[user("a", "pass")], mode=mode)
        assert foreseen["changed"]
        assert result["changed"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert foreseen["diff"] == result["diff"]
        assert result["diff"][0]["before"]["mode"] == "0640"
        assert result["diff"][0]["after"]["mode"] == "0600"
        assert not run(path=str(path), users=[user("a", "pass")], mode=mode)["changed"]

    @needs_root
    @pytest.mark.parametrize("owner", ["daemon", "1"])
    def test_owner_and_group_are_as_wanted(self, path: Path, owner: str) -> None:
        run(path=str(path), users=[user("a", "pass")], owner=owner, group=owner)
        assert (path.owner(), path.group()) == ("daemon", "daemon")
        result = run(path=str(path), users=[user("a", "pass")], owner="root", group=owner)
        assert result["changed"]
        assert (path.owner(), path.group()) == ("root", "daemon")
        assert result["diff"][0]["before"]["owner"] == "daemon"
        assert result["diff"][0]["after"]["owner"] == "root"

    @pytest.mark.parametrize("present", [None, 0o644])
    def test_is_never_open_to_all(
        self, path: Path, watch: dict[str, str], present: int | None, common_umask: None
    ) -> None:
        if present:
            path.write_text('"a" "old"\n')
            path.chmod(present)
        run(watch, path=str(path), users=[{"name": "a", "verifier": VERIFIER}])
        log = Path(watch["WATCH_LOG"]).read_text()
        assert "os.rename 0o100640 .pooled-" in log
        assert VERIFIER not in log


class TestCheckMode:
    def test_bare_host(self, tmp_path: Path) -> None:
        path = tmp_path / "no" / "folder" / "userlist.txt"
        users = [user("bob", "pass"), {"name": "alice", "verifier": MD5}]
        result = run(
            path=str(path), users=users, owner="nobody-yet", group="nobody-yet", _ansible_check_mode=True
        )
        assert result["changed"]
        assert result["added"] == ["alice", "bob"]
        assert result["diff"][0]["after"] == '"alice" MD5\n"bob" SCRAM-SHA-256\n'
        assert list(tmp_path.iterdir()) == []

    def test_owner_still_to_come(self, path: Path) -> None:
        run(path=str(path), users=[user("a", "pass")])
        result = run(path=str(path), users=[user("a", "pass")], owner="nobody-yet", _ansible_check_mode=True)
        assert result["changed"]
        assert result["diff"][0]["after"]["owner"] == "nobody-yet"

    def test_foresees_what_then_happens(self, path: Path) -> None:
        run(path=str(path), users=[user("kept", "1"), user("other", "2"), user("gone", "3")])
        before = state_of(path)
        users = [user("kept", "1"), user("other", "two"), user("new", "3")]
        foreseen = run(path=str(path), users=users, _ansible_check_mode=True)
        assert state_of(path) == before
        result = run(path=str(path), users=users)
        for key in ("changed", "added", "removed", "updated", "counts", "total", "diff"):
            assert foreseen[key] == result[key], key

    def test_nothing_to_do(self, path: Path) -> None:
        run(path=str(path), users=[user("a", "pass")])
        assert not run(path=str(path), users=[user("a", "pass")], _ansible_check_mode=True)["changed"]


class TestDiff:
    def test_marks_what_looks_the_same(self, path: Path) -> None:
        run(path=str(path), users=[user("a", "first"), user("b", "second")])
        result = run(path=str(path), users=[user("a", "another"), user("b", "second")])
        assert result["diff"] == [
            {
                "before": '"a" SCRAM-SHA-256\n"b" SCRAM-SHA-256\n',
                "after": '"a" SCRAM-SHA-256 (verifier changed)\n"b" SCRAM-SHA-256\n',
                "before_header": str(path),
                "after_header": str(path),
            }
        ]

    def test_is_made_on_request(self, path: Path) -> None:
        assert "diff" not in run(path=str(path), users=[], _ansible_diff=False)


class TestSecrecy:
    PASSWORD = 'it\'s "s3cret" \\ pässwörd'

    def test_no_secret_in_result_or_log(self, path: Path, watch: dict[str, str]) -> None:
        path.write_text('"plain" "0ldsecret"\n; 0ldsecret\n')
        path.chmod(0o600)
        users = [user("bob", self.PASSWORD), {"name": "alice", "verifier": VERIFIER}]
        result = run(watch, path=str(path), users=users)
        log = Path(watch["WATCH_LOG"]).read_text()
        assert "Invoked with" in log
        written = userlist.parse(path.read_text())["bob"]
        for secret in ("s3cret", "0ldsecret", "c2FsdA", "pässwörd", scram.parse(written).salt.hex(), written):
            assert secret not in str(result)
            assert secret not in log

    @pytest.mark.parametrize(
        "users",
        [
            pytest.param([{"name": "bob", "passwd": "s3cret"}], id="unknown key"),
            pytest.param([{"password": "s3cret"}], id="no name"),
            pytest.param([{"name": "bob", "password": "s3cret\n"}], id="bad password"),
            pytest.param(["s3cret"], id="no dictionary"),
        ],
    )
    def test_no_secret_in_a_failure(self, path: Path, users: list[Any]) -> None:
        result = run(path=str(path), users=users)
        assert result["failed"]
        assert "s3cret" not in str(result)


class TestRefusals:
    @pytest.mark.parametrize("check_mode", [True, False])
    def test_bad_users_change_nothing(self, path: Path, check_mode: bool) -> None:
        path.write_text("as it was")
        result = run(path=str(path), users=[user("bob", "")], _ansible_check_mode=check_mode, mode="0600")
        assert result["failed"]
        assert result["msg"].startswith(
            'Failed to accept users: user "bob" (users[0]): its password is empty'
        )
        assert path.read_text() == "as it was"
        assert stat.S_IMODE(path.stat().st_mode) != 0o600

    def test_bad_iterations(self, path: Path) -> None:
        result = run(path=str(path), users=[], scram_iterations=0)
        assert result["msg"].startswith("Failed to accept scram_iterations: 0 is not between 1 and")

    def test_no_folder(self, tmp_path: Path) -> None:
        result = run(path=f"{tmp_path}/no/userlist.txt", users=[])
        assert result["msg"].startswith(f"Failed to write {tmp_path}/no/")
        assert result["msg"].endswith(": No such file or directory")

    @pytest.mark.parametrize("option", ["owner", "group"])
    def test_unknown_account(self, path: Path, option: str) -> None:
        unknown: dict[str, Any] = {option: "nobody-yet"}
        result = run(path=str(path), users=[], **unknown)
        assert result["msg"].startswith("Failed to find the ")
        assert "nobody-yet" in result["msg"]
        assert not path.exists()

    def test_bad_mode_leaves_nothing_behind(self, path: Path) -> None:
        result = run(path=str(path), users=[], mode="nonsense")
        assert result["msg"].startswith("Failed to use the mode: it is not octal")
        assert list(path.parent.iterdir()) == []

    @pytest.mark.parametrize("check_mode", [True, False])
    def test_link_or_folder(self, path: Path, check_mode: bool) -> None:
        path.symlink_to("/etc/passwd")
        for target in (path, path.parent):
            result = run(path=str(target), users=[], _ansible_check_mode=check_mode)
            assert result["msg"].startswith(f"Failed to write {target}: it is a ")
        assert path.is_symlink()

    def test_a_folder_that_takes_no_files(self) -> None:
        result = run(path="/proc/userlist.txt", users=[])
        assert result["msg"].startswith("Failed to write /proc/")


@pytest.mark.parametrize("secret", ["verifier", "password"])
def test_ten_thousand_users_take_seconds(path: Path, secret: str) -> None:
    """Ansible's masking grows with secrets times strings: told naively, this takes minutes."""
    value = {"verifier": VERIFIER.replace("c2FsdA==", "{:016d}"), "password": "a password of {:05d}"}[secret]
    users = [{"name": f"app_user_{number:05d}", secret: value.format(number)} for number in range(10_000)]
    start = time.monotonic()
    result = run(path=str(path), users=users, scram_iterations=1)
    assert result["total"] == 10_000
    assert len(result["added"]) == 200
    assert "a password of" not in str(result["invocation"])
    assert result["diff"][0]["after"].count("\n") == 10_000
    assert not run(path=str(path), users=users, scram_iterations=1)["changed"]
    assert time.monotonic() - start < 30
