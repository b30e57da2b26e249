# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors of a PostgreSQL server and its files that a user can do something about."""

from __future__ import annotations


class PostgresError(Exception):
    """Base of all. The text is a whole message, ``Failed to <verb> <object>: <cause>``, free of secrets."""


class InvalidInputError(PostgresError):
    """An input that can't be applied. Nothing was changed."""


class ProofError(PostgresError):
    """The server's own binary refuses the candidate. Nothing was changed."""


class ServerError(PostgresError):
    """The running server does not answer, or did not apply what it was given."""
