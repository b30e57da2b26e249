# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors around pgbench. A failed run is no exception but a result, see ``api.run``."""

from __future__ import annotations


class PgbenchError(Exception):
    """Base class; its text is a whole message without secrets, ``Failed to <verb> <object>: <cause>``."""


class InvalidInputError(PgbenchError):
    """An option is invalid. Nothing was started."""


class LogError(PgbenchError):
    """The log of transactions is incomplete or damaged."""


class InterruptedRunError(PgbenchError):
    """A signal came, or Ansible disconnected; pgbench was killed."""
