"""The files of PgBouncer: PostgreSQL's verifiers and limits, and validations that are not repeated."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import configuration, proof, server
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.errors import (
    InvalidInputError,
    ProofError,
    ServerError,
)

VERIFIER = "md5" + "0" * 32
SERVER = {
    "login_unix_socket": "/nowhere",
    "login_port": 5432,
    "needed": 50,
    "arithmetic": "shop: 50",
    "others": 5,
    "remedy": "Lower it.",
}


def params(folder: Path, **changes: Any) -> dict[str, Any]:
    """Return the parameters of the module."""
    users = [{"name": "a", "password": "secret"}, {"name": "b", "password": "other"}]
    return {
        "processes": [],
        "userlist": {
            "path": str(folder / "userlist.txt"),
            "users": users,
            "encryption": "md5",
            "scram_iterations": 4096,
        },
        "hba": None,
        "server": SERVER,
        "files": [],
        "reload_for": [],
        "open_files": 0,
        "header": "Managed",
        "owner": pwd.getpwuid(os.geteuid()).pw_name,
        "group": grp.getgrgid(os.getegid()).gr_name,
        "mode": "0640",
        "binary": "/usr/sbin/pgbouncer",
        "account": "root",
        "timeout": 5,
        **changes,
    }


def ensure(given: dict[str, Any], *, check_mode: bool = False) -> tuple[dict[str, Any], list[str]]:
    """Return the result and the warnings."""
    warnings: list[str] = []
    return configuration.Manager(given, check_mode=check_mode, warn=warnings.append).ensure(), warnings


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make PostgreSQL have a verifier of one user, and room for 92 connections."""
    monkeypatch.setattr(server, "stored", lambda *_place: server.Stored({"a": VERIFIER}, 100, 3))


def test_postgresqls_verifier_goes_before_the_password(tmp_path: Path, stored: None) -> None:
    result, _ = ensure(params(tmp_path))
    text = (tmp_path / "userlist.txt").read_text()
    assert f'"a" "{VERIFIER}"\n' in text
    assert text.count("md5") == 2
    assert result["users"]["added"] == ["a", "b"]


def test_pools_that_postgresql_cannot_serve_are_refused(tmp_path: Path, stored: None) -> None:
    given = params(tmp_path, server={**SERVER, "needed": 93})
    with pytest.raises(
        InvalidInputError, match=r"runs with 100 - 3 reserved - 5 for others = 92\. Lower it\."
    ):
        ensure(given)
    assert list(tmp_path.iterdir()) == []
    # The run may change max_connections before it comes here.
    assert ensure(given, check_mode=True)[0]["changed"]


def test_check_mode_goes_on_without_postgresql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_place: Any) -> server.Stored:
        raise ServerError("Failed to ask PostgreSQL.")

    monkeypatch.setattr(server, "stored", refuse)
    assert ensure(params(tmp_path), check_mode=True)[1] == ["Failed to ask PostgreSQL."]
    with pytest.raises(ServerError):
        ensure(params(tmp_path))


class TestProcesses:
    """A PgBouncer that is only pretended."""

    @pytest.fixture
    def started(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Return the texts that PgBouncer is started with; it refuses one with ``job_name = refused``."""
        texts: list[str] = []

        def show(text: str, **_others: Any) -> proof.Shown:
            texts.append(text)
            if "job_name = refused" in text:
                raise ProofError(f"{proof.REFUSED}refused")
            return proof.Shown([{"key": "job_name", "value": "pgbouncer"}], [], [])

        monkeypatch.setattr(proof, "version", lambda _binary: (1, 24))
        monkeypatch.setattr(proof, "shown", show)
        monkeypatch.setattr(configuration, "_SHOWN", tmp_path / "shown")
        return texts

    def process(self, folder: Path, number: int, **settings: Any) -> dict[str, Any]:
        """Return a process of the module's parameters."""
        return {
            "path": str(folder / f"pgbouncer-{number}.ini"),
            "settings": {"auth_file": str(folder / "userlist.txt"), **settings},
            "databases": [],
            "users": [],
            "peers": [],
        }

    @pytest.fixture
    def given(self, tmp_path: Path, stored: None) -> dict[str, Any]:
        """Return parameters with two processes."""
        return params(tmp_path, processes=[self.process(tmp_path, 1), self.process(tmp_path, 2)])

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root keeps what a validation showed")
    def test_an_unchanged_configuration_starts_nothing(
        self, given: dict[str, Any], started: list[str]
    ) -> None:
        result, _ = ensure(given)
        assert (result["changed"], len(started)) == (True, 2)
        assert [(turn["id"], turn["action"]) for turn in result["turns"]] == [(1, "start"), (2, "start")]
        result, _ = ensure(given)
        assert (result["changed"], len(started)) == (False, 2)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root keeps what a validation showed")
    def test_another_userlist_is_validated_with_one_process(
        self, given: dict[str, Any], started: list[str]
    ) -> None:
        ensure(given)
        given["userlist"]["users"].append({"name": "c", "password": "third"})
        result, _ = ensure(given)
        assert (result["users"]["added"], len(started)) == (["c"], 3)

    def test_nothing_is_replaced_where_one_candidate_is_refused(
        self, given: dict[str, Any], started: list[str], tmp_path: Path
    ) -> None:
        given["processes"][1]["settings"]["job_name"] = "refused"
        with pytest.raises(ProofError):
            ensure(given)
        assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []

    def test_a_user_for_lookups_has_to_be_in_the_userlist(
        self, given: dict[str, Any], started: list[str]
    ) -> None:
        given["processes"][0]["databases"] = [{"name": "d", "host": "10.0.0.1", "auth_user": "stranger"}]
        with pytest.raises(ProofError, match="auth_user 'stranger' of database 'd' is not in the userlist"):
            ensure(given)
