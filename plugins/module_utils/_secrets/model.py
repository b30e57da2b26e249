# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Secrets by name: find the missing ones, generate them, describe changes without values. No I/O."""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from ansible_collections.pooled.postgres.plugins.module_utils._secrets.errors import (
    InvalidInputError,
    UnfitSecretError,
)

LENGTH = 32
"""Characters of a generated secret: 32 of 62 are 190 bits."""

ALPHABET = string.ascii_letters + string.digits

RECOVERY_DAYS = 7
"""The shortest recovery window that Secrets Manager has, in days."""

MAX_FILE_NAME_BYTES = 200
"""File systems accept 255, and a temporary name is longer."""

MAX_AWS_NAME = 512
_AWS_NAME = re.compile(r"[A-Za-z0-9/_+=.@-]+")

ARGUMENT_SPEC: dict[str, Any] = {
    "names": {"type": "list", "elements": "str", "required": True},
    "backend": {"type": "str", "choices": ["files", "vault", "aws"], "default": "files"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "return_values": {"type": "bool", "default": False},
    "variable": {"type": "str"},
    "directory": {"type": "path"},
    "vault_file": {"type": "path"},
    "prefix": {"type": "str", "default": ""},
    "stack": {"type": "str"},
    "force": {"type": "bool", "default": False},
}
REQUIRED_IF = [
    ["backend", "files", ["directory"]],
    ["backend", "vault", ["vault_file"]],
    ["backend", "aws", ["stack"]],
]

AWS_OPTIONS = frozenset(
    {
        *("access_key", "aws_access_key_id", "aws_access_key"),
        *("secret_key", "aws_secret_access_key", "aws_secret_key"),
        *("session_token", "aws_session_token"),
        *("profile", "aws_profile"),
        *("endpoint_url", "aws_endpoint_url"),
        *("region", "aws_region"),
        *("aws_ca_bundle", "aws_config", "debug_botocore_endpoint_logs", "validate_certs"),
    }
)
"""Options of every AWS module with their aliases. Other backends ignore them."""


class Added(NamedTuple):
    """Values by name, and the names of new and of restored secrets."""

    values: dict[str, str]
    created: list[str]
    restored: list[str]


class Store(Protocol):
    """A store of secrets."""

    @property
    def place(self) -> str:
        """The store's name in messages."""

    def check_names(self, names: Sequence[str]) -> None:
        """Raise InvalidInputError if the store does not accept these names."""

    def read(self, names: Sequence[str]) -> dict[str, str]:
        """Return the values of those that exist."""

    def recoverable(self, names: Sequence[str]) -> list[str]:
        """Return those of the missing that `add` would restore; call `read` first."""

    def add(self, fresh: Mapping[str, str]) -> Added:
        """Store new values. Return the value of a faster run, or a restored one, in their place."""

    def present(self, names: Sequence[str]) -> list[str]:
        """Return those that `remove` would remove."""

    def remove(self, names: Sequence[str]) -> None:
        """Remove those that `present` returned."""


def generate() -> str:
    """Return a new secret from the system's source of randomness."""
    return "".join(secrets.choice(ALPHABET) for _index in range(LENGTH))


def check_value(place: str, value: object) -> str:
    """Return the value of the secret in ``place``. Raises UnfitSecretError if it can't serve as one."""
    if not isinstance(value, str):
        raise UnfitSecretError(f"Failed to read {place}: the value is not text; put it in quotes")
    if not value:
        raise UnfitSecretError(
            f"Failed to read {place}: it is empty; put a value there, or remove it and the next run"
            " generates one"
        )
    return value


def plain_names(names: Iterable[str]) -> list[str]:
    """Return each name once, in order, as plain strings: YAML can't represent Ansible's tagged ones."""
    return list(dict.fromkeys(str(name) for name in names))


def check_file_names(names: Iterable[str]) -> None:
    """Raise InvalidInputError for the first name that can't be the name of a file."""
    for name in names:
        if not name or name.startswith(".") or "/" in name or not name.isprintable():
            raise InvalidInputError(
                f"Failed to accept the secret {name!r}: it can't be the name of a file; give one without /"
                " and control characters that does not begin with a dot"
            )
        if len(name.encode()) > MAX_FILE_NAME_BYTES:
            raise InvalidInputError(
                f"Failed to accept the secret {name!r}: it is longer than {MAX_FILE_NAME_BYTES} bytes"
            )


def check_vault_names(names: Iterable[str]) -> None:
    """Raise InvalidInputError for an empty name: any other can be a key of the vault file."""
    if "" in names:
        raise InvalidInputError("Failed to accept the secret '': its name is empty")


def check_aws_names(names: Iterable[str], prefix: str) -> None:
    """Raise InvalidInputError for the first name that Secrets Manager does not accept."""
    for name in names:
        full = prefix + name
        if not name or not _AWS_NAME.fullmatch(full) or len(full) > MAX_AWS_NAME:
            raise InvalidInputError(
                f"Failed to accept the secret {full!r}: Secrets Manager takes letters, digits and /_+=.@-"
                f" only, at most {MAX_AWS_NAME}"
            )


def ensure_present(store: Store, names: Sequence[str], check_mode: bool) -> tuple[dict[str, Any], Added]:
    """Generate the missing secrets, or in check mode predict it; return the result and all values.

    In check mode a secret that would be generated has a random value that nothing stores.
    """
    names = plain_names(names)
    store.check_names(names)
    found = store.read(names)
    missing = [name for name in names if name not in found]
    fresh = {name: generate() for name in missing}
    if not missing:
        added = Added({}, [], [])
    elif check_mode:
        restored = store.recoverable(missing)
        added = Added(fresh, [name for name in missing if name not in restored], restored)
    else:
        added = store.add(fresh)
    result = {
        "changed": bool(added.created or added.restored),
        "created": added.created,
        "restored": added.restored,
        "removed": [],
        "diff": diff(store.place, [name for name in names if name in found], names),
    }
    return result, added._replace(values={**found, **added.values})


def ensure_absent(store: Store, names: Sequence[str], check_mode: bool) -> dict[str, Any]:
    """Remove the secrets that exist, or in check mode predict it, and return the result."""
    names = plain_names(names)
    store.check_names(names)
    present = store.present(names)
    if present and not check_mode:
        store.remove(present)
    return {
        "changed": bool(present),
        "created": [],
        "restored": [],
        "removed": present,
        "diff": diff(store.place, present, []),
    }


def ensure(store: Store, params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Carry out a task with these options and return its result; ``return_values`` adds the values."""
    if params["state"] == "absent":
        return ensure_absent(store, params["names"], check_mode)
    result, there = ensure_present(store, params["names"], check_mode)
    if params["return_values"]:
        result["secrets"] = there.values
    return result


def diff(place: str, before: Iterable[str], after: Iterable[str]) -> dict[str, str]:
    """Return a diff of the secrets' names."""
    return {
        "before_header": place,
        "after_header": place,
        "before": "".join(f"{name}\n" for name in sorted(before)),
        "after": "".join(f"{name}\n" for name in sorted(after)),
    }
