# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Create and renew the site's CA. Runs on the controller only."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.pooled.postgres.plugins.module_utils._certificates import x509
from ansible_collections.pooled.postgres.plugins.module_utils._tls.errors import CertificateError

try:
    from cryptography import x509 as crypto
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
except ImportError:
    # A host has no need of it.
    crypto = None  # type: ignore[assignment]


class Wanted(NamedTuple):
    """The CA: its name, the days of a new certificate, the fewest days left, and the time."""

    name: str
    days: int
    least_days: int
    now: datetime
    passphrase: str = ""


def ensure(directory: Path, wanted: Wanted, check_mode: bool) -> list[str]:
    """Make or renew the CA in a directory; return the files that changed.

    A renewed CA has the same name and key, so the certificates that it signed stay valid. Hosts that run
    side by side share the CA, so this holds a lock. Raises CertificateError and OSError.
    """
    key, certificate = directory / "authority.key", directory / "authority.crt"
    if check_mode:
        return _due(key, certificate, wanted)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(directory):
        due = _due(key, certificate, wanted)
        if str(key) in due:
            _write(key, _key_text(ec.generate_private_key(ec.SECP256R1()), wanted.passphrase), 0o600)
        if due:
            _write(certificate, self_signed(_load(key, wanted.passphrase), wanted), 0o644)
    return due


def _due(key: Path, certificate: Path, wanted: Wanted) -> list[str]:
    if not key.is_file():
        return [str(key), str(certificate)]
    found = (
        x509.first(certificate.read_text(encoding="ascii", errors="replace"))
        if certificate.is_file()
        else None
    )
    current = found is not None and x509.days_left(found, wanted.now) > wanted.least_days
    return [] if current else [str(certificate)]


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, text: bytes, mode: int) -> None:
    staged = path.with_name(f".{path.name}.new")
    staged.unlink(missing_ok=True)
    with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as handle:
        handle.write(text)
    staged.replace(path)


def _key_text(key: Any, passphrase: str) -> bytes:
    encryption = (
        serialization.BestAvailableEncryption(passphrase.encode())
        if passphrase
        else serialization.NoEncryption()
    )
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return bytes(key.private_bytes(encoding, form, encryption))


def _load(path: Path, passphrase: str) -> Any:
    try:
        return serialization.load_pem_private_key(path.read_bytes(), passphrase.encode() or None)
    except (ValueError, TypeError) as error:
        raise CertificateError(
            f"Failed to read {path}: {error}. Set pooled_certificates_passphrase to its passphrase,"
            " or to nothing if it has none."
        ) from error


def self_signed(key: Any, wanted: Wanted) -> bytes:
    """Return the CA's certificate (RFC 5280), which may sign certificates of servers only."""
    name = crypto.Name([crypto.NameAttribute(crypto.NameOID.COMMON_NAME, wanted.name)])
    usage = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    certificate = (
        crypto.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(crypto.random_serial_number())
        # Clocks differ.
        .not_valid_before(wanted.now - timedelta(hours=1))
        .not_valid_after(wanted.now + timedelta(days=wanted.days))
        .add_extension(crypto.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(crypto.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
        .add_extension(crypto.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return bytes(certificate.public_bytes(serialization.Encoding.PEM))
