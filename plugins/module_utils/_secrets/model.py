# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Secrets by name: which are missing, what a new one is, and what may be told of them. No I/O."""

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
"""Of the 255 that file systems take: a temporary name is longer."""

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
"""Options of every AWS module, aliases included; they go unused where the backend is another one."""


class Added(NamedTuple):
    """Values by name, and the names of those that are new or were brought back."""

    values: dict[str, str]
    created: list[str]
    restored: list[str]


class Store(Protocol):
    """Where secrets are kept."""

    @property
    def place(self) -> str:
        """What to call it in a message."""

    def check_names(self, names: Sequence[str]) -> None:
        """Raise InvalidInputError if secrets can't have these names there."""

    def read(self, names: Sequence[str]) -> dict[str, str]:
        """Return the values of those that are there."""

    def recoverable(self, names: Sequence[str]) -> list[str]:
        """Return those of the missing that `add` would bring back, once `read` has looked for them."""

    def add(self, fresh: Mapping[str, str]) -> Added:
        """Keep new values, but where another run was faster, or one can be brought back, return that one."""

    def present(self, names: Sequence[str]) -> list[str]:
        """Return those that `remove` would remove."""

    def remove(self, names: Sequence[str]) -> None:
        """Remove those that `present` returned."""


def generate() -> str:
    """Return a new secret from the system's source of randomness."""
    return "".join(secrets.choice(ALPHABET) for _index in range(LENGTH))


def check_value(place: str, value: object) -> str:
    """Return the value of a secret, kept in ``place``. Raises UnfitSecretError if it can't serve as one."""
    if not isinstance(value, str):
        raise UnfitSecretError(f"Failed to read {place}: it is no text; put the value in quotes")
    if not value:
        raise UnfitSecretError(
            f"Failed to read {place}: it is empty; remove it, so that one is generated, or put one there"
        )
    return value


def plain_names(names: Iterable[str]) -> list[str]:
    """Return the names once each, in order, without what Ansible knows of their origin, which is no YAML."""
    return list(dict.fromkeys(str(name) for name in names))


def check_file_names(names: Iterable[str]) -> None:
    """Raise InvalidInputError for the first name that no file of its own can have."""
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
    """Raise InvalidInputError for the first name that Secrets Manager does not take."""
    for name in names:
        full = prefix + name
        if not name or not _AWS_NAME.fullmatch(full) or len(full) > MAX_AWS_NAME:
            raise InvalidInputError(
                f"Failed to accept the secret {full!r}: Secrets Manager takes letters, digits and /_+=.@-"
                f" only, at most {MAX_AWS_NAME}"
            )


def ensure_present(store: Store, names: Sequence[str], check_mode: bool) -> tuple[dict[str, Any], Added]:
    """Make sure that the secrets exist, or in check mode foresee it; return the result, and what there is.

    In check mode those that would be generated have a value that is kept nowhere.
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
    """Remove the secrets that exist, or in check mode foresee it, and return the result."""
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
    """Carry out a task with these options and return its result, with values only if they are asked for."""
    if params["state"] == "absent":
        return ensure_absent(store, params["names"], check_mode)
    result, there = ensure_present(store, params["names"], check_mode)
    if params["return_values"]:
        result["secrets"] = there.values
    return result


def diff(place: str, before: Iterable[str], after: Iterable[str]) -> dict[str, str]:
    """Return a diff that names secrets and says nothing else of them."""
    return {
        "before_header": place,
        "after_header": place,
        "before": "".join(f"{name}\n" for name in sorted(before)),
        "after": "".join(f"{name}\n" for name in sorted(after)),
    }
