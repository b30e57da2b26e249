#!/usr/bin/python
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_plan
short_description: Plan the role postgres
version_added: 0.2.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Reads the inputs of the role C(pooled.postgres.postgres), looks at the host once, and at the volume of
    the data if it has one. Fails with all problems, or returns what the role's tasks apply. It changes
    nothing.
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
- name: Plan PostgreSQL
  pooled.postgres.postgres_plan:
  become: true
  register: __postgres
"""

RETURN = r"""
problems:
  description: Problems of the inputs, with the name of each and what to do.
  returned: always
  type: list
  elements: str
  sample: ["postgres_users and postgres_databases: user 'shop': the password is empty; give one, best from a
    vault"]
version:
  description: Major version of PostgreSQL.
  returned: success, without O(inputs_only)
  type: int
  sample: 17
packages:
  description: Packages that are not installed yet.
  returned: success, without O(inputs_only)
  type: list
  elements: str
  sample: []
"""
