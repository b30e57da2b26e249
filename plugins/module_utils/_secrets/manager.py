# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Secrets in AWS Secrets Manager, by a boto3 client."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._secrets import model
from ansible_collections.pooled.postgres.plugins.module_utils._secrets.errors import (
    SecretsManagerError,
    UnfitSecretError,
)

try:  # noqa: SIM105
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:
    pass  # AnsibleAWSModule reports it

BATCH = 20
"""The most secrets of one BatchGetSecretValue."""

TRIES = 6
"""Reads of a new or restored secret. Secrets Manager may take some seconds to show it."""


_DENIED = re.compile(r"not authorized to perform: ([\w-]+:\w+)")


class ManagerStore:
    """Secrets whose names have a prefix. New ones get the stack's tag."""

    def __init__(
        self,
        client: Any,
        prefix: str,
        stack: str,
        force: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._stack = stack
        self._force = force
        self._sleep = sleep
        self._scheduled: set[str] = set()
        self.strangers: list[str] = []
        """Names that `present` left out because the secrets lack the stack's tag."""

    @property
    def place(self) -> str:
        return f"AWS Secrets Manager, {self._prefix}"

    def check_names(self, names: Sequence[str]) -> None:
        model.check_aws_names(names, self._prefix)

    def read(self, names: Sequence[str]) -> dict[str, str]:
        """Return the values of those that exist, with one call for twenty.

        Raises SecretsManagerError, or UnfitSecretError if one is empty or not text.
        """
        values: dict[str, str] = {}
        for start in range(0, len(names), BATCH):
            ids = [self._prefix + name for name in names[start : start + BATCH]]
            token: dict[str, str] = {}
            while True:
                answer = self._call("read", ids[0], "batch_get_secret_value", SecretIdList=ids, **token)
                values.update(self._value(entry) for entry in answer["SecretValues"])
                for error in answer.get("Errors") or []:
                    self._take_error(error)
                if not answer.get("NextToken"):
                    break
                token = {"NextToken": answer["NextToken"]}
        return values

    def recoverable(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if name in self._scheduled]

    def add(self, fresh: Mapping[str, str]) -> model.Added:
        """Create the secrets; restore those scheduled for deletion with their values.

        Raises SecretsManagerError; the secrets before it stay.
        """
        there = model.Added({}, [], [])
        for name, value in fresh.items():
            if name not in self._scheduled and self._create(name, value):
                there.values[name] = value
                there.created.append(name)
                continue
            if name in self._scheduled:
                self._call("restore", self._prefix + name, "restore_secret", SecretId=self._prefix + name)
                there.restored.append(name)
            there.values[name] = self._read_soon(name)
        return there

    def present(self, names: Sequence[str]) -> list[str]:
        """Return those with the stack's tag that are not scheduled for deletion, or that `force` removes."""
        found = []
        for name in names:
            try:
                secret = self._call(
                    "describe", self._prefix + name, "describe_secret", SecretId=self._prefix + name
                )
            except _NotThereError:
                continue
            if {"Key": "Stack", "Value": self._stack} not in (secret.get("Tags") or []):
                self.strangers.append(name)
            elif self._force or not secret.get("DeletedDate"):
                found.append(name)
        return found

    def remove(self, names: Sequence[str]) -> None:
        """Schedule the deletion in seven days, or delete for good now."""
        how: dict[str, Any] = {"RecoveryWindowInDays": model.RECOVERY_DAYS}
        if self._force:
            how = {"ForceDeleteWithoutRecovery": True}
        for name in names:
            self._call("remove", self._prefix + name, "delete_secret", SecretId=self._prefix + name, **how)

    def _create(self, name: str, value: str) -> bool:
        """Create a secret; return False if another run was faster or it is scheduled for deletion."""
        full = self._prefix + name
        try:
            self._call(
                "create",
                full,
                "create_secret",
                Name=full,
                SecretString=value,
                Description=f"Generated for the stack {self._stack}",
                Tags=[{"Key": "Stack", "Value": self._stack}],
            )
        except _TakenError:
            return False
        except _ScheduledError:
            self._scheduled.add(name)
            return False
        return True

    def _read_soon(self, name: str) -> str:
        for attempt in range(TRIES):
            if attempt:
                self._sleep(1.0)
            self._scheduled.discard(name)
            if found := self.read([name]):
                return found[name]
        raise SecretsManagerError(
            f"Failed to read secret {self._prefix}{name}: it exists but has no value yet; run this again"
        )

    def _value(self, entry: Mapping[str, Any]) -> tuple[str, str]:
        full = str(entry["Name"])
        if "SecretString" not in entry:
            raise UnfitSecretError(f"Failed to read secret {full}: it is binary; store its value as text")
        return full.removeprefix(self._prefix), model.check_value(f"secret {full}", entry["SecretString"])

    def _take_error(self, error: Mapping[str, str]) -> None:
        """Handle the error of one secret in a batch."""
        code, full = error["ErrorCode"], error["SecretId"]
        if code == "ResourceNotFoundException":
            return
        if _is_scheduled(code, error.get("Message", "")):
            self._scheduled.add(full.removeprefix(self._prefix))
            return
        raise SecretsManagerError(_sentence("read", full, "GetSecretValue", code, error.get("Message", "")))

    def _call(self, verb: str, full: str, method: str, **arguments: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._client, method)(**arguments)
        except ClientError as error:
            code, text = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
            kind = SecretsManagerError
            if code == "ResourceNotFoundException":
                kind = _NotThereError
            elif code == "ResourceExistsException":
                kind = _TakenError
            elif _is_scheduled(code, text):
                kind = _ScheduledError
            raise kind(_sentence(verb, full, error.operation_name, code, text)) from error
        except BotoCoreError as error:
            raise SecretsManagerError(
                f"Failed to {verb} secret {full}: {error}; check region, credentials and network"
            ) from error
        return answer


class _NotThereError(SecretsManagerError):
    """The secret does not exist."""


class _TakenError(SecretsManagerError):
    """The secret exists already."""


class _ScheduledError(SecretsManagerError):
    """The secret is scheduled for deletion."""


def _is_scheduled(code: str, text: str) -> bool:
    # "You can't perform this operation on the secret because it was marked for deletion", "… because a secret
    # with this name is already scheduled for deletion"
    return code == "InvalidRequestException" and "delet" in text


def _sentence(verb: str, full: str, operation: str, code: str, text: str) -> str:
    # One operation may need several actions: CreateSecret with tags also needs TagResource.
    named = _DENIED.search(text)
    if named or "AccessDenied" in code:
        action = named[1] if named else f"secretsmanager:{operation}"
        return (
            f"Failed to {verb} secret {full}: AWS denied {action}; allow it to these credentials."
            f" AWS says: {text or code}"
        )
    return f"Failed to {verb} secret {full}: {text or code} ({operation}: {code})"
