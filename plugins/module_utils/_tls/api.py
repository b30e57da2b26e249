# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Get the certificate of a server that speaks PostgreSQL's protocol."""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
import struct
from pathlib import Path

from ansible_collections.pooled.postgres.plugins.module_utils._tls.errors import CertificateError

# SSLRequest: https://www.postgresql.org/docs/17/protocol-message-formats.html
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_SECONDS = 5
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def fingerprint(path: str) -> str:
    """Return the SHA-256 of the first certificate in a file. Raises CertificateError."""
    try:
        found = _CERTIFICATE.search(Path(path).read_text(encoding="ascii", errors="replace"))
        if not found:
            raise CertificateError(f"Failed to read {path}: it contains no certificate")
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(found[0])).hexdigest()
    except (OSError, ValueError) as error:
        raise CertificateError(f"Failed to read {path}: {error}") from error


def served(host: str, port: int) -> str | None:
    """Return the SHA-256 of the certificate that a new client gets, None without TLS.

    The server is on this host, so the certificate is not verified. Raises OSError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((host, port), timeout=_SECONDS) as connection:
        connection.sendall(_SSL_REQUEST)
        if connection.recv(1) != b"S":
            return None
        with context.wrap_socket(connection) as wrapped:
            return hashlib.sha256(wrapped.getpeercert(binary_form=True) or b"").hexdigest()
