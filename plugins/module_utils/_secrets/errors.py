# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors of generated secrets that their user can do something about."""

from __future__ import annotations


class SecretsError(Exception):
    """Base class. The text is a whole message, ``Failed to <verb> <object>: <cause>``, without secrets."""


class InvalidInputError(SecretsError):
    """The store does not accept these names. Nothing has been changed."""


class UnfitSecretError(SecretsError):
    """The stored value can't serve as a secret."""


class SecretFileError(SecretsError):
    """A file or directory can't be read or written, or others than its owner can read it."""


class VaultError(SecretsError):
    """The vault file can't be decrypted or encrypted, or is not YAML of names and values."""


class SecretsManagerError(SecretsError):
    """AWS Secrets Manager refused a call or could not be reached."""
