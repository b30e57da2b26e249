# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can go wrong with a PostgreSQL server's files, as far as its user can do something about it."""

from __future__ import annotations


class PostgresError(Exception):
    """Base of all; its text is a whole message, ``Failed to <verb> <object>: <cause>``, free of secrets."""


class InvalidInputError(PostgresError):
    """The wanted files can't be written as they were given. Nothing has been touched."""


class ProofError(PostgresError):
    """The server's own binary refuses the candidate. Nothing has been touched."""


class ServerError(PostgresError):
    """The running server can't be asked, or did not take over what it was given."""
