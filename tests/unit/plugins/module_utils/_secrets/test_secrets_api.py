"""Secrets in files and in one encrypted file, on a real file system."""

from __future__ import annotations

import multiprocessing
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._secrets import api
from ansible_collections.pooled.postgres.plugins.module_utils._secrets.errors import (
    SecretFileError,
    SecretsError,
    UnfitSecretError,
    VaultError,
)


class Reversed:
    """A vault whose encryption is the reversed text."""

    def __init__(self) -> None:
        self.encrypted = 0

    def check(self, path: Path) -> None:
        pass

    def decrypt(self, path: Path, content: bytes) -> tuple[bytes, Any]:
        return content[::-1], "the key it was"

    def encrypt(self, path: Path, plain: bytes, key: Any) -> bytes:
        self.encrypted += 1
        assert key in (None, "the key it was")
        return plain[::-1]


@pytest.fixture(autouse=True)
def common_umask() -> Iterator[None]:
    """The umask of most machines."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state/secrets"


@pytest.fixture
def vault_file(tmp_path: Path) -> Path:
    return tmp_path / "state/secrets.vault.yml"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def kept(directory: Path, name: str, content: str | bytes, file_mode: int = 0o600) -> api.FileStore:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(file_mode)
    return api.FileStore(str(directory))


class TestFiles:
    def test_each_secret_has_a_private_file(self, directory: Path) -> None:
        store = api.FileStore(str(directory))
        assert store.read(["a", "b"]) == {}
        assert store.add({"a": "one", "b": "two"}) == ({"a": "one", "b": "two"}, ["a", "b"], [])
        # As the lookup ansible.builtin.password writes it.
        assert {path.name: path.read_bytes() for path in directory.iterdir()} == {
            "a": b"one\n",
            "b": b"two\n",
        }
        assert {mode(path) for path in directory.iterdir()} == {0o600}
        assert {mode(directory), mode(directory.parent)} == {0o700}
        assert store.read(["b", "c"]) == {"b": "two"}

    @pytest.mark.parametrize("content", ["one\n", "one", "one \r\n", "one\n\n"])
    def test_trailing_white_space_is_ignored(self, directory: Path, content: str) -> None:
        assert kept(directory, "a", content).read(["a"]) == {"a": "one"}

    def test_an_existing_secret_is_never_replaced(self, directory: Path) -> None:
        store = kept(directory, "a", "first")
        assert store.add({"a": "second", "b": "new"}) == ({"a": "first", "b": "new"}, ["b"], [])
        assert (directory / "a").read_text() == "first"
        assert sorted(path.name for path in directory.iterdir()) == ["a", "b"]

    @pytest.mark.parametrize("file_mode", [0o640, 0o604, 0o620, 0o601])
    def test_a_file_open_to_others_is_refused(self, directory: Path, file_mode: int) -> None:
        store = kept(directory, "a", "one", file_mode)
        with pytest.raises(SecretFileError, match=f"chmod 600 {directory}/a"):
            store.read(["a"])

    @pytest.mark.parametrize("directory_mode", [0o750, 0o701, 0o722])
    def test_a_directory_open_to_others_is_refused(self, directory: Path, directory_mode: int) -> None:
        store = kept(directory, "a", "one")
        directory.chmod(directory_mode)
        with pytest.raises(SecretFileError, match=f"chmod 700 {directory}"):
            store.read(["a"])

    @pytest.mark.parametrize(("content", "says"), [("", "is empty"), ("\n", "is empty"), (b"\xff", "UTF-8")])
    def test_invalid_content_is_refused(self, directory: Path, content: str | bytes, says: str) -> None:
        with pytest.raises(SecretsError, match=says):
            kept(directory, "a", content).read(["a"])

    def test_a_directory_instead_of_a_file_is_refused(self, directory: Path) -> None:
        (directory / "a").mkdir(parents=True)
        directory.chmod(0o700)
        with pytest.raises(SecretFileError, match=f"Failed to read {directory}/a: Is a directory"):
            api.FileStore(str(directory)).read(["a"])

    def test_an_unreadable_file_is_an_error(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = kept(directory, "a", "one")

        def refuse(*_: Any) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)
        with pytest.raises(SecretFileError, match=f"{directory}/a: Permission denied; run as its owner"):
            store.read(["a"])

    def test_a_failed_write_leaves_nothing(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(SecretFileError, match="No space left on device"):
            api.FileStore(str(directory)).add({"a": "one"})
        assert list(directory.iterdir()) == []

    def test_removal_removes_the_empty_directory(self, directory: Path) -> None:
        store = kept(directory, "a", "one")
        kept(directory, "b", "two")
        assert store.present(["a", "c"]) == ["a"]
        store.remove(["a"])
        assert [path.name for path in directory.iterdir()] == ["b"]
        store.remove(["b"])
        assert not directory.exists()


class TestVaultFile:
    def test_all_secrets_share_one_private_file(self, vault_file: Path) -> None:
        store = api.VaultStore(str(vault_file), Reversed())
        assert store.read(["a"]) == {}
        assert store.add({"a": "1", "b": "two"}) == ({"a": "1", "b": "two"}, ["a", "b"], [])
        assert vault_file.read_bytes()[::-1] == b"a: '1'\nb: two\n"
        assert (mode(vault_file), mode(vault_file.parent)) == (0o600, 0o700)
        assert list(vault_file.parent.iterdir()) == [vault_file]
        assert store.read(["a", "c"]) == {"a": "1"}

    def test_an_existing_entry_is_never_replaced_and_others_stay(self, vault_file: Path) -> None:
        store = api.VaultStore(str(vault_file), Reversed())
        store.add({"a": "first", "other": "stays"})
        vault_file.chmod(0o640)
        assert store.add({"a": "second", "b": "new"}) == ({"a": "first", "b": "new"}, ["b"], [])
        assert vault_file.read_bytes()[::-1] == b"a: first\nother: stays\nb: new\n"
        assert mode(vault_file) == 0o640

    def test_the_file_is_written_only_for_new_secrets(self, vault_file: Path) -> None:
        vault = Reversed()
        store = api.VaultStore(str(vault_file), vault)
        store.add({"a": "first"})
        before = vault_file.stat()
        store.add({"a": "second"})
        assert (vault.encrypted, vault_file.stat()) == (1, before)

    def test_a_link_stays_a_link(self, vault_file: Path, tmp_path: Path) -> None:
        vault_file.parent.mkdir()
        vault_file.symlink_to(tmp_path / "elsewhere.yml")
        api.VaultStore(str(vault_file), Reversed()).add({"a": "one"})
        assert vault_file.is_symlink()
        assert (tmp_path / "elsewhere.yml").read_bytes()[::-1] == b"a: one\n"

    @pytest.mark.parametrize("plain", ["- a list\n", "text\n", "", "a: [\n", "a: !vault x\n"])
    def test_content_that_is_no_mapping_is_refused_and_not_shown(self, vault_file: Path, plain: str) -> None:
        vault_file.parent.mkdir()
        vault_file.write_text(plain[::-1])
        with pytest.raises(VaultError, match="not YAML of the form NAME: VALUE") as caught:
            api.VaultStore(str(vault_file), Reversed()).read(["a"])
        assert "list" not in str(caught.value)

    @pytest.mark.parametrize(("entry", "says"), [("''", "a in .* is empty"), ("12", "a in .*quotes")])
    def test_invalid_values_are_refused(self, vault_file: Path, entry: str, says: str) -> None:
        vault_file.parent.mkdir()
        vault_file.write_text(f"a: {entry}\n"[::-1])
        with pytest.raises(UnfitSecretError, match=says):
            api.VaultStore(str(vault_file), Reversed()).read(["a"])

    def test_removal(self, vault_file: Path) -> None:
        store = api.VaultStore(str(vault_file), Reversed())
        store.add({"a": "one", "b": "two"})
        assert store.present(["a", "c"]) == ["a"]
        store.remove(["a"])
        assert vault_file.read_bytes()[::-1] == b"b: two\n"
        store.remove(["b"])
        assert not vault_file.exists()


def _add(kind: str, path: str, number: int, start: Any, found: Any) -> None:
    store = api.FileStore(path) if kind == "files" else api.VaultStore(path, Reversed())
    start.wait()
    found.put(store.add({"shared": f"value-{number}", f"own-{number}": f"own-{number}"}).values)


@pytest.mark.parametrize("kind", ["files", "vault"])
def test_runs_at_the_same_time_agree_and_lose_nothing(kind: str, directory: Path, vault_file: Path) -> None:
    path = str(directory if kind == "files" else vault_file)
    context = multiprocessing.get_context("fork")
    start, found = context.Barrier(8), context.Queue()
    runs = [context.Process(target=_add, args=(kind, path, number, start, found)) for number in range(8)]
    for run in runs:
        run.start()
    answers = [found.get(timeout=30) for _ in runs]
    for run in runs:
        run.join(30)
    store = api.FileStore(path) if kind == "files" else api.VaultStore(path, Reversed())
    own = [f"own-{number}" for number in range(8)]
    there = store.read(["shared", *own])
    assert {answer["shared"] for answer in answers} == {there["shared"]}
    assert [there[name] for name in own] == own
