"""The process that looks: it begins, is asked once, and is gone, with PgBouncer and without."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import sampler, samples
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.errors import ConsoleError

SHOWN: dict[str, list[dict[str, Any]]] = {
    "SHOW VERSION": [{"version": "PgBouncer 1.24.1"}],
    "SHOW CONFIG": [
        {"key": "default_pool_size", "value": "20", "default": "20"},
        {"key": "listen_port", "value": "6432", "default": "6432"},
        {"key": "verbose", "value": "1", "default": "0"},
    ],
    "SHOW POOLS": [{"database": "shop", "cl_active": 3, "cl_waiting": 1, "sv_active": 2, "sv_idle": 0}],
    "SHOW STATS": [{"database": "shop", "total_wait_time": 7, "total_xact_count": 9}],
}


class FakeConsole:
    """What PgBouncer would show, as a process that is this one."""

    def __init__(self, *_: Any) -> None: ...

    def run(self, command: str, _seconds: float) -> list[dict[str, Any]]:
        """Return the rows of a command."""
        return SHOWN[command]

    def process(self) -> int:
        """Return the id of the process."""
        return os.getpid()


@pytest.fixture
def sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the directory of a PgBouncer's sockets; what samples is ended at last."""
    monkeypatch.setattr(sampler, "_ADDRESS", f"\0{tmp_path}")
    monkeypatch.setattr(sampler, "Console", FakeConsole)
    (tmp_path / "1").mkdir()
    (tmp_path / "1/.s.PGSQL.6432").touch()
    yield tmp_path
    sampler.stop()


def test_it_begins_and_says_what_it_saw(sockets: Path) -> None:
    found = sampler.start(str(sockets), 6432, 60, 0.05)
    assert found == {
        "version": "1.24.1",
        "settings": {"default_pool_size": "20", "verbose": "1"},
        "processes": 1,
        "problem": None,
    }
    time.sleep(0.5)
    rows = sampler.stop()
    assert rows is not None
    assert len(rows) >= 2
    first = dict(zip(samples.COLUMNS, rows[0], strict=True))
    assert abs(first["time"] - time.time()) < 10
    assert [first[name] for name in samples.COLUMNS[1:7]] == [3, 1, 2, 0, 7, 9]
    assert first["pgbouncer_memory_kb"] > 1000
    assert first["postgresql_cpu"] >= 0
    assert sampler.stop() is None


def test_another_takes_its_place(sockets: Path) -> None:
    sampler.start(str(sockets), 6432, 60, 0.05)
    sampler.start(str(sockets), 6432, 60, 30)
    rows = sampler.stop()
    assert rows is not None
    assert len(rows) <= 2


def test_it_ends_by_itself(sockets: Path) -> None:
    sampler.start(str(sockets), 6432, 0, 0.05)
    deadline = time.monotonic() + 10
    while sampler.stop() is not None:
        assert time.monotonic() < deadline


def test_without_pgbouncer_it_looks_at_the_rest(sockets: Path) -> None:
    (sockets / "1/.s.PGSQL.6432").unlink()
    found = sampler.start(str(sockets), 6432, 60, 0.05)
    assert (found["version"], found["processes"]) == (None, 0)
    assert "no socket for port 6432" in found["problem"]
    rows = sampler.stop()
    assert rows is not None
    assert rows[0][1:8] == [None] * 7
    assert rows[0][8] >= 0


def test_a_console_that_was_lost_is_connected_to_again(
    sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poolers = sampler.Poolers(str(sockets), 6432)
    assert poolers.run("SHOW VERSION")

    def lost(*_: Any) -> list[dict[str, Any]]:
        raise ConsoleError("gone")

    with monkeypatch.context() as patched:
        patched.setattr(FakeConsole, "run", lost)
        with pytest.raises(ConsoleError):
            poolers.run("SHOW VERSION")
    assert poolers.processes() == []
    assert poolers.run("SHOW VERSION")
    assert poolers.processes() == [os.getpid()]
