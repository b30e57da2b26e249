# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can go wrong around pgbench. A benchmark that fails is no exception but a result, see ``api.run``."""

from __future__ import annotations


class PgbenchError(Exception):
    """Base of all; its text is a whole message, ``Failed to <verb> <object>: <cause>``, free of secrets."""


class InvalidInputError(PgbenchError):
    """What was asked for makes no sense. Nothing was started."""


class LogError(PgbenchError):
    """The log of transactions is incomplete or damaged."""


class InterruptedRunError(PgbenchError):
    """A signal came, or whoever waited for the result went away; pgbench was killed."""
