# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What keeps a report from being made."""

from __future__ import annotations


class ReportError(Exception):
    """There is no report. The text says why, and what to do."""
