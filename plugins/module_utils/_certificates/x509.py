# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judge certificates: their names, their time, who signed them. Pure. Runs on the controller only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
except ImportError:
    # A host has no need of it.
    x509 = None  # type: ignore[assignment]

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
UTC = timezone.utc  # noqa: UP017 - a host's Python 3.9 has no datetime.UTC


def certificates(text: str) -> list[Any]:
    """Return the certificates in a text, none where one of them cannot be read."""
    try:
        return [x509.load_pem_x509_certificate(found.encode()) for found in _PEM.findall(text)]
    except ValueError:
        return []


def first(text: str) -> Any | None:
    """Return the first certificate in a text."""
    return next(iter(certificates(text)), None)


def end(certificate: Any) -> datetime:
    """Return when a certificate expires."""
    return _aware(certificate, "not_valid_after")


def begin(certificate: Any) -> datetime:
    """Return when a certificate begins."""
    return _aware(certificate, "not_valid_before")


def _aware(certificate: Any, name: str) -> datetime:
    # cryptography before 42 has naive times only.
    found = getattr(certificate, f"{name}_utc", None)
    moment: datetime = found if found is not None else getattr(certificate, name).replace(tzinfo=UTC)
    return moment


def days_left(certificate: Any, now: datetime) -> int:
    """Return the whole days until a certificate expires, negative if it has expired."""
    return (end(certificate) - now).days


def names(certificate: Any) -> set[str]:
    """Return the names and addresses of a certificate, as ``model.alternative_names`` writes them."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    hosts = {f"DNS:{name}" for name in found.get_values_for_type(x509.DNSName)}
    return hosts | {f"IP:{address}" for address in found.get_values_for_type(x509.IPAddress)}


def common_name(certificate: Any) -> str:
    """Return the common name of a certificate's subject, empty without one."""
    found = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def same_key(one: Any, other: Any) -> bool:
    """Return whether two certificates have the same key."""
    return _public(one) == _public(other)


def _public(certificate: Any) -> bytes:
    return bytes(certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def signed_by(certificate: Any, authority: Any) -> bool:
    """Return whether one certificate names the other as its issuer and has its signature."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def leads_to(chain: Sequence[Any], authorities: Sequence[Any]) -> bool:
    """Return whether the first certificate leads to one of the CAs, through the others of its chain."""
    current, others = chain[0], list(chain[1:])
    while True:
        if current in authorities or any(signed_by(current, authority) for authority in authorities):
            return True
        issuer = next((other for other in others if signed_by(current, other)), None)
        if issuer is None:
            return False
        others.remove(issuer)
        current = issuer
