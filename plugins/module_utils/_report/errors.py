# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors of the report."""

from __future__ import annotations


class ReportError(Exception):
    """The report cannot be written. The text says why, and what to do."""
