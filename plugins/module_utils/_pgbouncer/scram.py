# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SCRAM-SHA-256 verifiers as PostgreSQL and PgBouncer store them (RFC 5802, RFC 5803, RFC 7677).

The form is PostgreSQL's: ``SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>``, the last three in
base64 (``src/backend/libpq/auth-scram.c``, ``parse_scram_secret``).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import stringprep
import unicodedata
from typing import NamedTuple

DEFAULT_ITERATIONS = 4096
"""PostgreSQL's default of ``scram_iterations``, and the least that RFC 7677 advises."""

MAX_ITERATIONS = 2**31 - 1
"""Both PostgreSQL and PgBouncer keep the number in a C int."""

_SALT_BYTES = 16  # PostgreSQL's SCRAM_DEFAULT_SALT_LEN

_KEY = r"([A-Za-z0-9+/]{43}=)"  # 32 bytes
_VERIFIER = re.compile(r"SCRAM-SHA-256\$([1-9][0-9]{0,9}):([A-Za-z0-9+/]+={0,2})\$" + _KEY + ":" + _KEY)

# RFC 4013, sections 2.3 and 2.5.
_REFUSED_TABLES = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)


class Verifier(NamedTuple):
    """A parsed verifier. ``salt``, ``stored_key`` and ``server_key`` are raw bytes."""

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes


def prepared(password: str) -> bytes:
    """Return the bytes that PostgreSQL hashes for a password: SASLprep's result, or the password as it is.

    Follows ``pg_saslprep`` of PostgreSQL's ``src/common/saslprep.c``, which leaves ASCII alone, maps U+200B
    to a space, and tests the characters before it normalises them; where it refuses, PostgreSQL hashes the
    raw bytes. The SASLprep of ``community.postgresql`` keeps to the RFC's order instead, so that it differs
    for 483 characters (tried with all, each between two ASCII letters), and their users could not log in.

    Raises UnicodeEncodeError if the password holds a lone surrogate.
    """
    if password.isascii():
        return password.encode()
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char
        for char in password
        if stringprep.in_table_c12(char) or not stringprep.in_table_b1(char)
    )
    if not mapped or _is_refused(mapped):
        return password.encode()
    # Python's Unicode version does not matter: all that Unicode 3.2 did not know was refused just now.
    return unicodedata.normalize("NFKC", mapped).encode()


def build(password: str, iterations: int = DEFAULT_ITERATIONS, salt: bytes | None = None) -> str:
    """Return a new verifier for a password, salted at random unless a salt is given.

    The formulas are those of RFC 5802, section 3. Takes about 1.3 ms for 4096 iterations.
    """
    if salt is None:
        salt = os.urandom(_SALT_BYTES)
    stored_key, server_key = _keys(password, iterations, salt)
    return f"SCRAM-SHA-256${iterations}:{_base64(salt)}${_base64(stored_key)}:{_base64(server_key)}"


def parse(text: str) -> Verifier:
    """Return the parts of a verifier. Raises ValueError, which does not quote the text, if it is none."""
    match = _VERIFIER.fullmatch(text)
    if not match:
        raise ValueError("not of the form SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>")
    iterations = int(match[1])
    if iterations > MAX_ITERATIONS:
        raise ValueError(f"more than {MAX_ITERATIONS} iterations")
    try:
        salt, stored_key, server_key = (base64.b64decode(part, validate=True) for part in match.groups()[1:])
    except ValueError:
        raise ValueError("its salt is not base64") from None
    return Verifier(iterations, salt, stored_key, server_key)


def verify(password: str, verifier: Verifier) -> bool:
    """Say whether a verifier was made from this password."""
    stored_key, server_key = _keys(password, verifier.iterations, verifier.salt)
    return hmac.compare_digest(stored_key, verifier.stored_key) and hmac.compare_digest(
        server_key, verifier.server_key
    )


def _is_refused(mapped: str) -> bool:
    if any(table(char) for char in mapped for table in _REFUSED_TABLES):
        return True
    # RFC 3454, section 6: right-to-left text is refused if it is mixed, or does not begin and end as such.
    if not any(stringprep.in_table_d1(char) for char in mapped):
        return False
    return (
        any(stringprep.in_table_d2(char) for char in mapped)
        or not stringprep.in_table_d1(mapped[0])
        or not stringprep.in_table_d1(mapped[-1])
    )


def _keys(password: str, iterations: int, salt: bytes) -> tuple[bytes, bytes]:
    salted = hashlib.pbkdf2_hmac("sha256", prepared(password), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    return hashlib.sha256(client_key).digest(), server_key


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
