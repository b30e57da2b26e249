# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Secrets in one file each, or in one vault file, on the controller."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ansible.module_utils.common.yaml import yaml_dump, yaml_load
from ansible_collections.pooled.postgres.plugins.module_utils._secrets import model
from ansible_collections.pooled.postgres.plugins.module_utils._secrets.errors import (
    SecretFileError,
    SecretsError,
    VaultError,
)

_OTHERS = 0o077


class FileStore:
    """A directory with a file for each secret, which has its name. White space may follow the value."""

    def __init__(self, directory: str) -> None:
        self.directory = Path(directory)

    @property
    def place(self) -> str:
        return str(self.directory)

    def check_names(self, names: Sequence[str]) -> None:
        model.check_file_names(names)

    def read(self, names: Sequence[str]) -> dict[str, str]:
        """Return the values of those that exist.

        Raises SecretFileError if one can't be read or others can read it, UnfitSecretError if it is empty.
        """
        _check_directory(self.directory)
        found = {name: self._read(name) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def recoverable(self, names: Sequence[str]) -> list[str]:
        return []

    def add(self, fresh: Mapping[str, str]) -> model.Added:
        """Write each value to its file. Raises SecretFileError; the files before it stay."""
        _make_directory(self.directory)
        values, created = {}, []
        for name, value in fresh.items():
            path = self.directory / name
            # link() fails if the name exists: it never replaces the secret of a run at the same time.
            with _writing(path), _temporary(path, f"{value}\n".encode()) as temporary:
                try:
                    os.link(temporary, path)
                    created.append(name)
                except FileExistsError:
                    pass
            # The value of another run, if it was faster; None if somebody removed it right away.
            values[name] = value if name in created else self._read(name) or value
        with _writing(self.directory):
            _sync(self.directory)
        return model.Added(values, created, [])

    def present(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if os.path.lexists(self.directory / name)]

    def remove(self, names: Sequence[str]) -> None:
        """Remove the files, and the directory if it is empty then. Raises SecretFileError."""
        for name in names:
            with _writing(self.directory / name, "remove"):
                (self.directory / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.directory.rmdir()

    def _read(self, name: str) -> str | None:
        path = self.directory / name
        content = _read_file(path, private=True)
        if content is None:
            return None
        try:
            return model.check_value(str(path), content.decode().rstrip())
        except UnicodeDecodeError:
            raise SecretFileError(f"Failed to read {path}: it is not text in UTF-8") from None


class Vault(Protocol):
    """Encrypts and decrypts with the vault secrets of a run."""

    def check(self, path: Path) -> None:
        """Raise VaultError if the run has none."""

    def decrypt(self, path: Path, content: bytes) -> tuple[bytes, Any]:
        """Return the plain text, and what `encrypt` needs to use the same secret. Raises VaultError."""

    def encrypt(self, path: Path, plain: bytes, key: Any) -> bytes:
        """Return the encrypted text, by the run's own choice of a secret if the key is None."""


class VaultStore:
    """One file of YAML, encrypted as a whole. Decryption happens in memory only."""

    def __init__(self, path: str, vault: Vault) -> None:
        self.path = Path(path)
        self.vault = vault

    @property
    def place(self) -> str:
        return str(self.path)

    def check_names(self, names: Sequence[str]) -> None:
        model.check_vault_names(names)

    def read(self, names: Sequence[str]) -> dict[str, str]:
        """Return the values of those that exist. Raises VaultError, SecretFileError, UnfitSecretError."""
        return self._values(self._load()[0], names)

    def recoverable(self, names: Sequence[str]) -> list[str]:
        return []

    def add(self, fresh: Mapping[str, str]) -> model.Added:
        """Add the values to the file. Raises as `read` does."""
        _make_directory(self.path.parent)
        with _locked(self.path):
            entries, key = self._load()
            values = self._values(entries, list(fresh))
            new = {name: value for name, value in fresh.items() if name not in values}
            if new:
                self._save({**entries, **new}, key)
        return model.Added({**new, **values}, list(new), [])

    def present(self, names: Sequence[str]) -> list[str]:
        entries = self._load()[0]
        return [name for name in names if name in entries]

    def remove(self, names: Sequence[str]) -> None:
        """Remove the entries, and the file if it is empty then."""
        with _locked(self.path):
            entries, key = self._load()
            left = {name: value for name, value in entries.items() if name not in names}
            if left:
                self._save(left, key)
            else:
                with _writing(self.path, "remove"):
                    self.path.unlink(missing_ok=True)

    def _values(self, entries: Mapping[Any, Any], names: Sequence[str]) -> dict[str, str]:
        there = [name for name in names if name in entries]
        return {name: model.check_value(f"{name} in {self.path}", entries[name]) for name in there}

    def _load(self) -> tuple[dict[Any, Any], Any]:
        self.vault.check(self.path)
        content = _read_file(self.path, private=False)
        if content is None:
            return {}, None
        plain, key = self.vault.decrypt(self.path, content)
        try:
            entries = yaml_load(plain)
        except Exception:  # YAML's errors quote the file
            entries = None
        if not isinstance(entries, dict):
            raise VaultError(
                f"Failed to read {self.path}: its decrypted content is not YAML of the form NAME: VALUE;"
                f" run `ansible-vault edit {self.path}`"
            )
        return entries, key

    def _save(self, entries: Mapping[Any, Any], key: Any) -> None:
        plain = yaml_dump(dict(entries), sort_keys=False, allow_unicode=True).encode()
        content = self.vault.encrypt(self.path, plain, key)
        with _writing(self.path):
            mode = stat.S_IMODE(self.path.stat().st_mode) if self.path.exists() else 0o600
            # Follow a symbolic link: the file may be part of another repository.
            target = self.path.resolve()
            with _temporary(target, content) as temporary:
                temporary.chmod(mode)
                temporary.replace(target)
            _sync(target.parent)


@contextlib.contextmanager
def _writing(path: Path, verb: str = "write") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SecretFileError(f"Failed to {verb} {path}: {error.strerror}") from error


@contextlib.contextmanager
def _temporary(path: Path, content: bytes) -> Iterator[Path]:
    """Write a private file next to another one, and remove it at the end if it still exists."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other runs from the file while this one reads and rewrites it. The lock is on its directory."""
    directory = path.resolve().parent
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise SecretFileError(f"Failed to lock {directory}: {error.strerror}") from error
    try:
        with _writing(directory, "lock"):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_directory(directory: Path) -> None:
    """Create a directory and its parents, each for its owner only."""
    missing = [one for one in (directory, *directory.parents) if not one.exists()]
    with _writing(directory):
        for one in reversed(missing):
            one.mkdir(mode=0o700, exist_ok=True)


def _check_directory(directory: Path) -> None:
    """Raise SecretFileError if the directory exists and is open to others."""
    try:
        status = directory.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise SecretFileError(f"Failed to read {directory}: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode):
        raise SecretFileError(f"Failed to read {directory}: it is not a directory; name another one")
    _refuse_others(directory, status.st_mode, "700")


def _refuse_others(path: Path, mode: int, better: str) -> None:
    if stat.S_IMODE(mode) & _OTHERS:
        raise SecretFileError(
            f"Failed to read {path}: it is open to others (mode {stat.S_IMODE(mode):04o}); change the"
            f" secrets if somebody may have seen them, then run `chmod {better} {path}`"
        )


def _read_file(path: Path, private: bool) -> bytes | None:
    """Return the content of a file, None if it is missing. A private file must be closed to others."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if private:
                _refuse_others(path, mode, "600")
            return file.read()
    except FileNotFoundError:
        return None
    except SecretsError:
        raise
    except OSError as error:
        advice = "; run as its owner" if isinstance(error, PermissionError) else ""
        raise SecretFileError(f"Failed to read {path}: {error.strerror}{advice}") from error
