#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_plan
short_description: Plan the lab
version_added: 0.2.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Reads the inputs of the role C(lab), looks at this machine once, and returns what the role must do.
  - Runs on the control host, inside the role. It changes nothing, and fails with all problems at once.
extends_documentation_fragment:
  - pooled.postgres.attributes
  - pooled.postgres.attributes.info_module
options:
  inputs_only:
    description: Check the inputs only, and return their problems as RV(problems).
    type: bool
    default: false
  state:
    description:
      - Plan of the lab (V(present)), of hosts without an emulated API (V(bare)), or of the teardown of
        either (V(absent)).
    type: str
    choices: [present, bare, absent]
    default: present
"""

EXAMPLES = r"""
- name: Plan the lab
  pooled.postgres.lab_plan:
  register: __lab
"""

RETURN = r"""
problems:
  description: Problems, each with a solution. Empty on success.
  returned: always
  type: list
  elements: str
  sample: []
packages:
  description: Debian packages that the lab needs and this machine lacks.
  returned: success, unless O(state=absent)
  type: list
  elements: str
  sample: [podman, runc]
"""
