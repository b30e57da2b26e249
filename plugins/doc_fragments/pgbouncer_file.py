# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations


class ModuleDocFragment:
    """Options of the modules that write a file of PgBouncer's."""

    DOCUMENTATION = r"""
options:
  owner:
    description: The user that owns the file. PgBouncer only reads it.
    type: str
    default: root
  group:
    description: The group that owns the file, which is the one that PgBouncer runs as.
    type: str
    default: pgbouncer
  mode:
    description: The permissions of the file, as octal number in quotes or in symbolic form.
    type: raw
    default: "0640"
"""

    # For those that have PgBouncer prove it.
    PROOF = r"""
options:
  binary:
    description:
      - PgBouncer, which proves the file.
      - In check mode it may be missing, as on a bare host. Nothing is proved then.
    type: path
    default: /usr/sbin/pgbouncer
  account:
    description: The system account that PgBouncer runs under.
    type: str
    default: pgbouncer
  timeout:
    description: Most seconds that the proof may take.
    type: int
    default: 20
"""
