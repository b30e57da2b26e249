# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can go wrong with a PgBouncer host, as far as its user can do something about it."""

from __future__ import annotations


class PgbouncerError(Exception):
    """Base of all; its text is a whole message, ``Failed to <verb> <object>: <cause>``, free of secrets."""


class InvalidInputError(PgbouncerError):
    """What is wanted can't be written as it was given. Nothing has been touched."""


class HostFileError(PgbouncerError):
    """A file of PgBouncer can't be read or written."""


class ProofError(PgbouncerError):
    """The installed PgBouncer refuses the candidate configuration. What was in force still is."""


class ConsoleError(PgbouncerError):
    """PgBouncer's console can't be reached, or refuses a command."""
