# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors of PgBouncer and its host that the user can act on."""

from __future__ import annotations


class PgbouncerError(Exception):
    """Base of all; its text is a whole message, ``Failed to <verb> <object>: <cause>``, free of secrets."""


class InvalidInputError(PgbouncerError):
    """An input cannot be written as it was given. Nothing was changed."""


class ProofError(PgbouncerError):
    """The installed PgBouncer refuses the candidate configuration. The old one stays in force."""


class ConsoleError(PgbouncerError):
    """PgBouncer's console cannot be reached, or refuses a command."""


class ServerError(PgbouncerError):
    """PostgreSQL cannot be reached, or refuses a command."""
