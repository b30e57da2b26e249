"""Names, dates and modes of TLS, as pure functions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._tls import model


def test_names_are_told_from_addresses_and_come_once() -> None:
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
def test_names_are_host_names_or_addresses(name: str, good: bool) -> None:
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
def test_given_files_are_complete(files: dict[str, Any], authority_only: bool, said: int) -> None:
    assert len(model.file_problems(files, authority_only)) == said


@pytest.mark.parametrize(
    ("not_after", "days"),
    [
        ("20260131120000Z", 30),
        ("20260131115959Z", 29),
        ("20260101120001Z", 0),
        ("20260101115959Z", -1),
        ("20251201000000Z", -32),
    ],
)
def test_days_left(not_after: str, days: int) -> None:
    assert model.days_left(not_after, datetime(2026, 1, 1, 12, tzinfo=UTC)) == days


def test_days_left_of_now() -> None:
    assert model.days_left("20200101000000Z") < 0 < model.days_left("99990101000000Z")


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
def test_modes_that_a_socket_can_not_keep_are_refused(mode: str, host: Any, refused: bool) -> None:
    assert bool(model.server_problems(mode, [{"name": "shop", "host": host}])) is refused
