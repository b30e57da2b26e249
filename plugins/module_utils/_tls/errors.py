# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors of certificates."""

from __future__ import annotations


class CertificateError(Exception):
    """Its text is a whole message, ``Failed to <verb> <object>: <cause>``."""
