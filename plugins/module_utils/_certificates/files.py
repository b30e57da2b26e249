# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read certificates, and check that a key belongs to one. The key itself is never returned."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PARTS = ("certificate", "key", "authority")


def text(path: str) -> str:
    """Return the text of a file, empty where it does not exist."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""


def mismatch(certificate: str, key: str) -> str:
    """Return why the key in one file does not belong to the certificate in another, empty if it does."""
    for path in (certificate, key):
        try:
            Path(path).read_bytes()
        except OSError as error:
            return f"{path} cannot be read: {error.strerror}"
    try:
        # A key with a passphrase fails instead of asking for it on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
            return f"{key} is not the key of {certificate}"
        cause = error.reason or error
        return f"{certificate} and {key} cannot be loaded ({cause}); the key must not have a passphrase"
    except ValueError as error:
        return f"{certificate} and {key} cannot be loaded ({error})"
    return ""


def given(paths: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``certificate`` and ``authority`` as text, and ``causes`` of what is wrong with the files."""
    causes = []
    found = {}
    for part in ("certificate", "authority"):
        path = paths.get(part)
        if not path:
            continue
        try:
            found[part] = Path(path).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            causes.append(f"{path} cannot be read: {error.strerror}")
    if paths.get("certificate") and paths.get("key") and not causes:
        cause = mismatch(paths["certificate"], paths["key"])
        causes += [cause] if cause else []
    return {"certificate": "", "authority": "", **found, "causes": causes}
