# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors of the modules that look at a host, write its files and run its services."""

from __future__ import annotations


class HostError(Exception):
    """The host refused something; the text is for the user."""
