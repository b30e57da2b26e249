# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can go wrong with generated secrets, as far as their user can do something about it."""

from __future__ import annotations


class SecretsError(Exception):
    """Base of all; its text is a whole message, ``Failed to <verb> <object>: <cause>``, free of secrets."""


class InvalidInputError(SecretsError):
    """Secrets can't be kept there under these names. Nothing has been touched."""


class UnfitSecretError(SecretsError):
    """What is kept under a name can't serve as a secret."""


class SecretFileError(SecretsError):
    """A file or directory can't be read or written, or others can read it."""


class VaultError(SecretsError):
    """The vault file can't be decrypted or encrypted, or holds something else."""


class SecretsManagerError(SecretsError):
    """AWS Secrets Manager refused a call, or could not be reached."""
