"""Secrets by name: generation, removal, and the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from ansible_collections.amazon.aws.plugins.module_utils.modules import aws_argument_spec
from ansible_collections.pooled.postgres.plugins.module_utils._secrets import model
from ansible_collections.pooled.postgres.plugins.module_utils._secrets.errors import (
    InvalidInputError,
    UnfitSecretError,
)


class Memory:
    """A store in memory."""

    place = "memory"

    def __init__(self, kept: Mapping[str, str], scheduled: Mapping[str, str] | None = None) -> None:
        self.kept = dict(kept)
        self.scheduled = dict(scheduled or {})
        self.calls: list[str] = []

    def check_names(self, names: Sequence[str]) -> None:
        pass

    def read(self, names: Sequence[str]) -> dict[str, str]:
        return {name: self.kept[name] for name in names if name in self.kept}

    def recoverable(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if name in self.scheduled]

    def add(self, fresh: Mapping[str, str]) -> model.Added:
        self.calls.append(f"add {' '.join(fresh)}")
        restored = self.recoverable(list(fresh))
        values = {name: self.scheduled.get(name, value) for name, value in fresh.items()}
        self.kept.update(values)
        return model.Added(values, [name for name in fresh if name not in restored], restored)

    def present(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if name in self.kept]

    def remove(self, names: Sequence[str]) -> None:
        self.calls.append(f"remove {' '.join(names)}")
        for name in names:
            del self.kept[name]


def run(store: Memory, names: list[str], check_mode: bool = False, **params: Any) -> dict[str, Any]:
    given = {"names": names, "state": "present", "return_values": True, **params}
    return model.ensure(store, given, check_mode)


def test_a_missing_secret_is_generated_and_an_existing_one_kept() -> None:
    store = Memory({"a": "mine"})
    result = run(store, ["b", "a", "b"])
    assert store.calls == ["add b"]
    assert (result["changed"], result["created"], result["restored"]) == (True, ["b"], [])
    assert result["secrets"] == {"a": "mine", "b": store.kept["b"]}
    assert result["diff"] == {
        "before_header": "memory",
        "after_header": "memory",
        "before": "a\n",
        "after": "a\nb\n",
    }
    again = run(store, ["b", "a"])
    assert (again["changed"], again["created"], again["secrets"]) == (False, [], result["secrets"])
    assert store.calls == ["add b"]


def test_check_mode_predicts_and_stores_nothing() -> None:
    store = Memory({"a": "mine"}, {"c": "old"})
    result = run(store, ["a", "b", "c"], check_mode=True)
    assert (result["changed"], result["created"], result["restored"]) == (True, ["b"], ["c"])
    assert {name: len(value) for name, value in result["secrets"].items()} == {"a": 4, "b": 32, "c": 32}
    assert store.calls == []
    assert result["secrets"]["b"] not in str(result["diff"])


def test_values_are_returned_only_on_request() -> None:
    store = Memory({"a": "mine"})
    assert "mine" not in str(run(store, ["a"], return_values=False))


@pytest.mark.parametrize(("check_mode", "calls"), [(True, []), (False, ["remove a"])])
def test_removal(check_mode: bool, calls: list[str]) -> None:
    store = Memory({"a": "mine", "other": "stays"})
    result = run(store, ["a", "b"], check_mode, state="absent")
    assert (result["changed"], result["removed"]) == (True, ["a"])
    assert (result["diff"]["before"], result["diff"]["after"]) == ("a\n", "")
    assert store.calls == calls
    assert run(Memory({}), ["a"], state="absent")["changed"] is False


def test_generated_secrets_are_letters_and_digits_and_differ() -> None:
    made = [model.generate() for _ in range(200)]
    assert len(set(made)) == 200
    assert {len(one) for one in made} == {32}
    assert set("".join(made)) == set(model.ALPHABET)


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a\nb", "a\0b", "é" * 101])
def test_invalid_file_names(name: str) -> None:
    with pytest.raises(InvalidInputError, match="Failed to accept the secret"):
        model.check_file_names([name])


def test_valid_file_names() -> None:
    model.check_file_names(["myuser", "my user", 'my"user', "a.b", "é" * 100])


@pytest.mark.parametrize(
    ("prefix", "name", "fits"),
    [
        ("pooled/", "myuser", True),
        ("", "a/_+=.@-1", True),
        ("pooled/", "", False),
        ("pooled/", "my user", False),
        ("poo led/", "myuser", False),
        ("p/", "a" * 510, True),
        ("p/", "a" * 511, False),
    ],
)
def test_names_for_secrets_manager(prefix: str, name: str, fits: bool) -> None:
    if fits:
        model.check_aws_names([name], prefix)
    else:
        with pytest.raises(InvalidInputError, match="Secrets Manager takes letters"):
            model.check_aws_names([name], prefix)


@pytest.mark.parametrize(("value", "says"), [("", "is empty"), (12, "quotes"), (None, "quotes")])
def test_invalid_values(value: object, says: str) -> None:
    with pytest.raises(UnfitSecretError, match=says):
        model.check_value("the place", value)


def test_the_options_of_aws_are_those_of_amazon_aws() -> None:
    names = set()
    for name, option in aws_argument_spec().items():
        names |= {name, *option.get("aliases", [])}
    assert names == model.AWS_OPTIONS
