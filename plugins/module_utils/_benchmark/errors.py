# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can go wrong around a benchmark, as far as its user can do something about it."""

from __future__ import annotations


class BenchmarkError(Exception):
    """Base of all; its text is a whole message, ``Failed to <verb> <object>: <cause>``, free of secrets."""


class PlanError(BenchmarkError):
    """The plan can't be carried out as it is. Nothing was started."""


class ResultError(BenchmarkError):
    """A file is no result of a benchmark, or of another version."""


class SamplesError(BenchmarkError):
    """What goes on inside can't be sampled."""
