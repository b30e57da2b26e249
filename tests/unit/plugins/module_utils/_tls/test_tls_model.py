"""Names and modes of TLS."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._tls import model


def test_names_and_addresses_come_once() -> None:
    given = ["db-1", "10.0.2.4", "", "db-1", "fd00::0:4", "*.example.com"]
    wanted = ["DNS:db-1", "IP:10.0.2.4", "IP:fd00::4", "DNS:*.example.com"]
    assert model.alternative_names(given) == wanted


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("db_1", True),
        ("db.example.com", True),
        ("*.example.com", True),
        ("10.0.2.4", True),
        ("::1", True),
        ("", True),
        ("a" * 63, True),
        ("a" * 64, False),
        ("db 1", False),
        ("-db", False),
        ("db.*.com", False),
        ("DNS:db", False),
        ("db,IP:1.2.3.4", False),
        ("dä", False),
        ("db\n", False),
        (".".join(["a" * 60] * 5), False),
    ],
)
def test_reject_names_that_are_no_host_names_or_addresses(name: str, good: bool) -> None:
    assert (model.name_problems([name]) == []) is good


@pytest.mark.parametrize(
    ("files", "authority_only", "said"),
    [
        ({}, False, 0),
        ({"certificate": "a", "key": "b", "authority": "c"}, False, 0),
        ({"certificate": "a", "key": "b"}, False, 1),
        ({"certificate": "", "on_host": True}, False, 3),
        ({"authority": "c"}, True, 0),
        ({"key": "b"}, True, 1),
    ],
)
def test_given_files_must_be_complete(files: dict[str, Any], authority_only: bool, said: int) -> None:
    assert len(model.file_problems(files, authority_only)) == said


@pytest.mark.parametrize(
    ("listened", "address"),
    [
        (["*"], "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),  # noqa: S104
        (["10.0.2.4", "localhost"], "127.0.0.1"),
        ("10.0.2.4, ::", "::1"),
        ("10.0.2.4,10.0.3.4", "10.0.2.4"),
        ([], ""),
        ("", ""),
    ],
)
def test_probe_address(listened: list[str] | str, address: str) -> None:
    assert model.probe_address(listened) == address


@pytest.mark.parametrize(
    ("mode", "host", "refused"),
    [
        ("verify-full", "/var/run/postgresql", True),
        ("require", "/var/run/postgresql", True),
        ("verify-ca", "@abstract", True),
        ("verify-full", None, True),
        ("verify-full", "10.0.2.4,/run", True),
        ("verify-full", ["10.0.2.4", "10.0.2.5"], False),
        ("verify-full", "10.0.2.4", False),
        ("prefer", "/var/run/postgresql", False),
        ("disable", "", False),
    ],
)
def test_reject_modes_that_a_unix_socket_cannot_keep(mode: str, host: Any, refused: bool) -> None:
    assert bool(model.server_problems(mode, [{"name": "shop", "host": host}])) is refused
