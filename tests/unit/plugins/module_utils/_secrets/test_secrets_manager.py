"""Secrets in the Secrets Manager that moto emulates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import boto3
import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._secrets.errors import (
    SecretsManagerError,
    UnfitSecretError,
)
from ansible_collections.pooled.postgres.plugins.module_utils._secrets.manager import ManagerStore
from botocore.stub import Stubber

PREFIX = "pooled/"
VALUE = "a-value-of-a-test"


class Counting:
    """Count the calls to a client."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.calls.append(name)
        return getattr(self.client, name)


@pytest.fixture
def client(aws: Any) -> Counting:
    return Counting(aws.client("secretsmanager"))


@pytest.fixture
def store(client: Counting) -> ManagerStore:
    return ManagerStore(client, PREFIX, "pooled")


@pytest.fixture
def enforced(aws: Any) -> Iterator[Any]:
    """Return a function that makes stores whose credentials allow only the given actions."""
    iam = aws.client("iam")

    def make(*actions: str) -> ManagerStore:
        iam.create_user(UserName="someone")
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        iam.put_user_policy(UserName="someone", PolicyName="p", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName="someone")["AccessKey"]
        aws.ask("reset-auth", b"0")
        client = aws.client("secretsmanager", key["AccessKeyId"], key["SecretAccessKey"])
        return ManagerStore(client, PREFIX, "pooled")

    yield make
    aws.ask("reset-auth", b"inf")


def test_new_secrets_have_the_tag_and_are_read_with_one_call(store: ManagerStore, client: Counting) -> None:
    assert store.read(["a", "b"]) == {}
    assert store.add({"a": "one", "b": "two"}) == ({"a": "one", "b": "two"}, ["a", "b"], [])
    there = {secret["Name"]: secret["Tags"] for secret in client.client.list_secrets()["SecretList"]}
    tags = [{"Key": "Stack", "Value": "pooled"}]
    assert there == {"pooled/a": tags, "pooled/b": tags}
    client.calls.clear()
    assert store.read(["a", "b", "c"]) == {"a": "one", "b": "two"}
    assert client.calls == ["batch_get_secret_value"]


def test_secrets_are_read_in_batches_of_twenty(store: ManagerStore, client: Counting) -> None:
    names = [f"n{number}" for number in range(41)]
    store.add(dict.fromkeys(names, VALUE))
    client.calls.clear()
    assert list(store.read(names)) == names
    assert client.calls == ["batch_get_secret_value"] * 3


def test_the_secret_of_a_faster_run_is_used(store: ManagerStore, client: Counting) -> None:
    client.client.create_secret(Name="pooled/a", SecretString="first")
    assert store.add({"a": "second"}) == ({"a": "first"}, [], [])
    assert client.client.get_secret_value(SecretId="pooled/a")["SecretString"] == "first"


def test_a_removed_secret_is_restored_with_its_value_within_seven_days(
    store: ManagerStore, client: Counting
) -> None:
    store.add({"a": "one"})
    assert store.present(["a", "b"]) == ["a"]
    store.remove(["a"])
    answer = client.client.describe_secret(SecretId="pooled/a")
    assert (answer["DeletedDate"] - answer["CreatedDate"]).days in (6, 7)
    assert store.present(["a"]) == []
    assert store.read(["a"]) == {}
    assert store.recoverable(["a", "b"]) == ["a"]
    assert store.add({"a": "another", "b": "two"}) == ({"a": "one", "b": "two"}, ["b"], ["a"])
    assert store.read(["a"]) == {"a": "one"}


def test_force_leaves_nothing_to_restore(store: ManagerStore, client: Counting) -> None:
    store.add({"a": "one", "b": "two"})
    store.remove(["a"])
    forced = ManagerStore(client, PREFIX, "pooled", force=True)
    assert forced.present(["a", "b"]) == ["a", "b"]
    forced.remove(["a", "b"])
    assert client.client.list_secrets(IncludePlannedDeletion=True)["SecretList"] == []


def test_a_secret_of_another_stack_is_not_removed(store: ManagerStore, client: Counting) -> None:
    client.client.create_secret(Name="pooled/a", SecretString="one")
    client.client.create_secret(Name="pooled/b", SecretString="two", Tags=[{"Key": "Stack", "Value": "x"}])
    assert store.read(["a", "b"]) == {"a": "one", "b": "two"}
    assert store.present(["a", "b"]) == []
    assert store.strangers == ["a", "b"]


def test_a_binary_secret_is_refused(store: ManagerStore, client: Counting) -> None:
    client.client.create_secret(Name="pooled/a", SecretBinary=b"x")
    with pytest.raises(UnfitSecretError, match="secret pooled/a: it is binary"):
        store.read(["a"])


def test_a_denied_action_is_named(enforced: Any) -> None:
    store = enforced("secretsmanager:BatchGetSecretValue", "secretsmanager:GetSecretValue")
    assert store.read(["a"]) == {}
    with pytest.raises(
        SecretsManagerError, match="create secret pooled/a: AWS denied secretsmanager:CreateSec"
    ):
        store.add({"a": VALUE})
    with pytest.raises(SecretsManagerError, match="pooled/a: AWS denied secretsmanager:DescribeSecret;"):
        store.present(["a"])


def _stubbed(*answers: dict[str, Any]) -> tuple[ManagerStore, list[float]]:
    """Return a store whose reads get these answers, and the seconds that it slept."""
    client = boto3.client(
        "secretsmanager", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    stubber = Stubber(client)
    for answer in answers:
        if "error" in answer:
            stubber.add_client_error(answer["call"], answer["error"], answer.get("message", ""))
        else:
            stubber.add_response("batch_get_secret_value", answer)
    stubber.activate()
    slept: list[float] = []
    return ManagerStore(client, PREFIX, "pooled", sleep=slept.append), slept


def _error(code: str, message: str = "") -> dict[str, Any]:
    return {"Errors": [{"SecretId": "pooled/a", "ErrorCode": code, "Message": message}], "SecretValues": []}


FOUND = {"SecretValues": [{"Name": "pooled/a", "SecretString": "one"}], "Errors": []}
TAKEN = {"call": "create_secret", "error": "ResourceExistsException"}


def test_a_secret_whose_value_is_denied_is_named() -> None:
    store, _ = _stubbed(_error("AccessDeniedException", "User: x is not authorized"))
    with pytest.raises(SecretsManagerError, match=r"AWS denied secretsmanager:GetSecretValue; .*User: x"):
        store.read(["a"])


def test_the_denied_action_is_named_even_if_the_operation_has_another_name() -> None:
    text = "User: x is not authorized to perform: secretsmanager:TagResource on resource: y"
    store, _ = _stubbed({"call": "create_secret", "error": "AccessDeniedException", "message": text})
    with pytest.raises(
        SecretsManagerError, match=r"create secret pooled/a: AWS denied .*:TagResource; allow"
    ):
        store.add({"a": VALUE})


def test_another_error_of_a_secret_is_reported() -> None:
    store, _ = _stubbed(_error("DecryptionFailure", "no key"))
    with pytest.raises(SecretsManagerError, match=r"pooled/a: no key \(GetSecretValue: DecryptionFailure\)"):
        store.read(["a"])


def test_an_empty_secret_is_refused() -> None:
    # AWS keeps none today, and botocore refuses to send or stub one.
    client = Mock()
    client.batch_get_secret_value.return_value = {"SecretValues": [{"Name": "pooled/a", "SecretString": ""}]}
    store = ManagerStore(client, PREFIX, "pooled")
    with pytest.raises(UnfitSecretError, match="secret pooled/a: it is empty"):
        store.read(["a"])


def test_a_new_secret_is_read_again_until_it_shows() -> None:
    store, slept = _stubbed(TAKEN, _error("ResourceNotFoundException"), FOUND)
    assert store.add({"a": VALUE}) == ({"a": "one"}, [], [])
    assert slept == [1.0]


def test_a_secret_that_stays_without_a_value_is_an_error() -> None:
    store, slept = _stubbed(TAKEN, *[_error("ResourceNotFoundException")] * 6)
    with pytest.raises(SecretsManagerError, match="pooled/a: it exists but has no value yet"):
        store.add({"a": VALUE})
    assert len(slept) == 5


def test_all_pages_are_read() -> None:
    store, _ = _stubbed({"SecretValues": [], "NextToken": "more"}, FOUND)
    assert store.read(["a"]) == {"a": "one"}


def test_a_missing_answer_is_reported() -> None:
    client = boto3.client(
        "secretsmanager",
        region_name="eu-west-1",
        endpoint_url="http://127.0.0.1:9",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    client.meta.config.retries = {"max_attempts": 0}
    with pytest.raises(SecretsManagerError, match=r"Failed to read secret pooled/a: .*region, credentials"):
        ManagerStore(client, PREFIX, "pooled").read(["a"])
