#!/usr/bin/python
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbouncer_plan
short_description: Plan the role pgbouncer
version_added: 0.2.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Reads the inputs of the role C(pooled.postgres.pgbouncer), looks at the host once, and fails with all
    problems or returns what the role's tasks apply. It changes nothing.
options:
  inputs_only:
    description: Whether to check the inputs only, without a connection. The problems are returned then.
    type: bool
    default: false
extends_documentation_fragment: [pooled.postgres.attributes]
attributes:
  check_mode:
    support: full
    details: It changes nothing in any mode.
  diff_mode:
    support: none
    details: It changes nothing.
"""

EXAMPLES = r"""
- name: Plan PgBouncer
  pooled.postgres.pgbouncer_plan:
  become: true
  register: __pgbouncer
"""

RETURN = r"""
problems:
  description: Problems of the inputs, with the name of each and what to do.
  returned: always
  type: list
  elements: str
  sample: ["pgbouncer_users: user 'shop': the password is empty; give one, best from a vault"]
process_count:
  description: Number of PgBouncer processes.
  returned: success, without O(inputs_only)
  type: int
  sample: 2
packages:
  description: Packages that are not installed yet.
  returned: success, without O(inputs_only)
  type: list
  elements: str
  sample: []
"""
