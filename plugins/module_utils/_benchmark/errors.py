# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors of a benchmark that its user can correct."""

from __future__ import annotations


class BenchmarkError(Exception):
    """Base class; its text is a whole message without secrets, ``Failed to <verb> <object>: <cause>``."""


class PlanError(BenchmarkError):
    """The plan is invalid. Nothing was started."""


class ResultError(BenchmarkError):
    """A file is no result of this version."""


class SamplesError(BenchmarkError):
    """PgBouncer and PostgreSQL cannot be sampled."""
