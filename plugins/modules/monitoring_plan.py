#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: monitoring_plan
short_description: Plan the role monitoring
version_added: 0.2.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Reads the inputs of the role, looks at the host once, and returns what the tasks of the role apply.
  - Fails once with all problems. It changes nothing.
  - This is an action plugin for the role's own use. Its result holds secrets and is never shown.
extends_documentation_fragment: [pooled.postgres.attributes, pooled.postgres.attributes.info_module]
options:
  inputs_only:
    description: Return the problems of the inputs without failing and without a connection to the host.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Plan the monitoring
  pooled.postgres.monitoring_plan:
  become: true
  register: __monitoring
"""

RETURN = r"""
problems:
  description: Problems of the inputs.
  returned: success
  type: list
  elements: str
  sample: []
packages:
  description: Packages to install.
  returned: without O(inputs_only)
  type: list
  elements: str
  sample: [prometheus]
"""
