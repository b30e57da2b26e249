"""Roles and playbooks name no host and no address: hosts come from the EC2 API."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LITERAL = re.compile(
    r"postgres-db-server|monitoring-server|\b10(\.\d{1,3}){3}\b|\b(172\.(1[6-9]|2\d|3[01])|192\.168)\.\d"
)
FILES = sorted(
    path
    for pattern in (
        "site.yml",
        "playbooks/*.yml",
        "inventory/*/aws_ec2.yml",
        "inventory/*/hosts.yml",
        "roles/*/tasks/*",
        "roles/*/templates/*",
        "roles/*/handlers/*",
        "roles/*/vars/*",
    )
    for path in ROOT.glob(pattern)
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_host_name_or_address_is_written(path: Path) -> None:
    found = [line for line in path.read_text().splitlines() if LITERAL.search(line)]
    assert found == []


def test_literal_hosts_are_found() -> None:
    assert len(FILES) > 40
    assert LITERAL.search("host: 10.0.2.4")
    assert LITERAL.search("delegate_to: postgres-db-server")
