from __future__ import annotations

import base64
import hashlib
import hmac
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import scram

KEY = base64.b64encode(bytes(32)).decode()


class TestPrepared:
    @pytest.mark.parametrize(
        ("password", "expected"),
        [
            ("mypassword", b"mypassword"),
            (" $%'\"\\ ", b" $%'\"\\ "),
            ("tab\tbell\a", b"tab\tbell\a"),
            ("pässwörd €", "pässwörd €".encode()),
            ("a\u00a0b", b"a b"),
            ("I\u00adX", b"IX"),
            ("\u2168", b"IX"),  # RFC 4013, section 3
            ("\u00aa", b"a"),
            ("e\u0301", "é".encode()),
            ("a\u200bb", b"a b"),
            pytest.param("\u00ad", "\u00ad".encode(), id="nothing left"),
            pytest.param("\u00ad\u2168\a", "\u00ad\u2168\a".encode(), id="control character"),
            pytest.param("\u2168\ue000", "\u2168\ue000".encode(), id="private use"),
            pytest.param("\u2168\U0001f418", "\u2168\U0001f418".encode(), id="unknown to Unicode 3.2"),
            pytest.param("a\u1d2cb", "a\u1d2cb".encode(), id="unknown until normalised"),
            pytest.param("\u0627\ufb50\u0628", "\u0627\u0671\u0628".encode(), id="right to left"),
            pytest.param("\u0627\ufb501", "\u0627\ufb501".encode(), id="ends left to right"),
            pytest.param("\u0627\ufb50a\u0628", "\u0627\ufb50a\u0628".encode(), id="mixed directions"),
        ],
    )
    def test_is_what_postgresql_hashes(self, password: str, expected: bytes) -> None:
        assert scram.prepared(password) == expected


class TestRfc7677Example:
    """The exchange printed in RFC 7677, section 3, which fixes StoredKey and ServerKey."""

    SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    NONCE = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    MESSAGE = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={NONCE}"

    def test_server_key_gives_the_server_signature(self) -> None:
        verifier = scram.parse(scram.build("pencil", 4096, self.SALT))
        signature = hmac.digest(verifier.server_key, self.MESSAGE.encode(), "sha256")
        assert base64.b64encode(signature) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

    def test_stored_key_accepts_the_client_proof(self) -> None:
        verifier = scram.parse(scram.build("pencil", 4096, self.SALT))
        proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
        signature = hmac.digest(verifier.stored_key, self.MESSAGE.encode(), "sha256")
        client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
        assert hashlib.sha256(client_key).digest() == verifier.stored_key


class TestBuild:
    def test_has_postgresqls_form(self) -> None:
        text = scram.build("pencil", 1, bytes(16))
        assert text.startswith("SCRAM-SHA-256$1:AAAAAAAAAAAAAAAAAAAAAA==$")
        assert scram.parse(text)[:2] == (1, bytes(16))

    def test_salts_at_random(self) -> None:
        salts = {scram.parse(scram.build("pencil", 1)).salt for _ in range(10)}
        assert len(salts) == 10
        assert {len(salt) for salt in salts} == {16}


class TestVerify:
    @pytest.mark.parametrize("password", ["pencil", "pässwörd €", "\u0007\u00ad"])
    def test_accepts_the_password_only(self, password: str) -> None:
        verifier = scram.parse(scram.build(password, 2))
        assert scram.verify(password, verifier)
        assert not scram.verify(password + " ", verifier)

    def test_looks_at_every_part(self) -> None:
        verifier = scram.parse(scram.build("pencil", 2))
        assert not scram.verify("pencil", verifier._replace(stored_key=bytes(32)))
        assert not scram.verify("pencil", verifier._replace(server_key=bytes(32)))
        assert not scram.verify("pencil", verifier._replace(salt=bytes(16)))
        assert not scram.verify("pencil", verifier._replace(iterations=3))


class TestParse:
    def test_takes_a_verifier_apart(self) -> None:
        text = f"SCRAM-SHA-256$4096:c2FsdA==${KEY}:{KEY}"
        assert scram.parse(text) == scram.Verifier(4096, b"salt", bytes(32), bytes(32))

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "mypassword",
            f"SCRAM-SHA-1$4096:c2FsdA==${KEY}:{KEY}",
            f"SCRAM-SHA-256$0:c2FsdA==${KEY}:{KEY}",
            f"SCRAM-SHA-256$-1:c2FsdA==${KEY}:{KEY}",
            f"SCRAM-SHA-256$2147483648:c2FsdA==${KEY}:{KEY}",
            f"SCRAM-SHA-256$4096:${KEY}:{KEY}",
            f"SCRAM-SHA-256$4096:c2FsdA=${KEY}:{KEY}",
            f"SCRAM-SHA-256$4096:c2FsdA==${KEY}",
            f"SCRAM-SHA-256$4096:c2FsdA==${KEY[4:]}:{KEY}",
            f"SCRAM-SHA-256$4096:c2FsdA==${KEY}:{KEY}AAAA",
            f"SCRAM-SHA-256$4096:c2FsdA==${KEY}:{KEY}\n",
        ],
    )
    def test_refuses_without_quoting(self, text: str) -> None:
        with pytest.raises(ValueError) as refusal:
            scram.parse(text)
        assert not text or text not in str(refusal.value)


def _postgresql_binaries() -> Path | None:
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    found = shutil.which("initdb") or (versions and versions[-1] / "initdb")
    return Path(found).parent if found else None


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Any]:
    """A cursor on a server of our own, which listens on a Unix socket only and is gone afterwards."""
    binaries = _postgresql_binaries()
    if not binaries:
        pytest.skip("no PostgreSQL server on this machine (apt install postgresql)")
    as_user = []
    if os.geteuid() == 0:
        # initdb refuses to run as root.
        as_user = ["runuser", "-u", "postgres", "--"]
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("root can't run a PostgreSQL server, and there is no user postgres to run it as")
    # Not tmp_path: root's is closed to the user postgres, and too long a path for a socket.
    with tempfile.TemporaryDirectory(prefix="pg-") as directory:
        if as_user:
            shutil.chown(directory, "postgres")
        data = f"{directory}/data"
        initdb = [
            f"{binaries}/initdb",
            "-D",
            data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
        ]
        subprocess.run([*as_user, *initdb, "--no-sync"], check=True, stdout=subprocess.DEVNULL, cwd="/")
        pg_ctl = [*as_user, f"{binaries}/pg_ctl", "-D", data, "-w"]
        options = f"-c listen_addresses='' -c unix_socket_directories={directory} -c fsync=off"
        start = [*pg_ctl, "-l", f"{directory}/log", "-o", options, "start"]
        subprocess.run(start, check=True, stdout=subprocess.DEVNULL, cwd="/")
        try:
            connection = psycopg2.connect(host=directory, user="postgres", dbname="postgres")
            connection.autocommit = True
            yield connection.cursor()
            connection.close()
        finally:
            subprocess.run(
                [*pg_ctl, "-m", "immediate", "stop"], check=True, stdout=subprocess.DEVNULL, cwd="/"
            )


@pytest.mark.parametrize(
    "password",
    [
        "mypassword",
        "quote\" apostrophe' back\\slash $HOME %s  two spaces ",
        "tab\tbell\a",
        "pässwörd €",
        "nbsp\u00a0",
        "soft\u00adhyphen",
        "\u00ad",
        "zero\u200bwidth",
        "\u2168\u00aae\u0301",
        "bell and nbsp \a\u00a0",
        "a\u1d2cb",
        "private \ue000\u2168",
        "elephant \U0001f418\u2168",
        "\u0627\ufb50\u0628",
        "\u0627\ufb50a\u0628",
        "\u0627\ufb501",
    ],
)
def test_a_real_postgresql_makes_the_same_verifier(postgresql: Any, password: str) -> None:
    postgresql.execute("DROP ROLE IF EXISTS tested")
    postgresql.execute("CREATE ROLE tested PASSWORD %s", (password,))
    postgresql.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'tested'")
    stored = postgresql.fetchone()[0]
    verifier = scram.parse(stored)
    assert scram.verify(password, verifier)
    assert scram.build(password, verifier.iterations, verifier.salt) == stored
