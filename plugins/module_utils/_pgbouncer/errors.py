# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can go wrong with a PgBouncer host, as far as its user can do something about it."""

from __future__ import annotations


class PgbouncerError(Exception):
    """Base of all; its text is a whole message, ``Failed to <verb> <object>: <cause>``, free of secrets."""


class InvalidInputError(PgbouncerError):
    """The wanted users can't be written as they were given. Nothing has been touched."""


class UserlistFileError(PgbouncerError):
    """The userlist file can't be read or written."""
