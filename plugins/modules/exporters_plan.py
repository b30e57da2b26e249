#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: exporters_plan
short_description: Plan the role exporters on its host
version_added: 0.2.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Reads the inputs of the role C(exporters) from the variables of the host, looks at the host once, and
    returns what the tasks of the role apply.
  - It fails once with all problems. It changes nothing.
extends_documentation_fragment: [pooled.postgres.attributes, pooled.postgres.attributes.info_module]
options:
  inputs_only:
    description: Check the inputs without a connection, and return their problems instead of failing.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Plan the exporters
  pooled.postgres.exporters_plan:
  become: true
  register: __exporters
"""

RETURN = r"""
problems:
  description: Problems of the inputs.
  returned: with O(inputs_only=true), and on failure
  type: list
  elements: str
  sample: ["exporters_kinds is empty. Name one or more of postgres, pgbouncer, node."]
packages:
  description: Packages to install.
  returned: success
  type: list
  elements: str
  sample: [prometheus-node-exporter]
processes:
  description: Number of PgBouncer processes, each with an exporter.
  returned: success
  type: int
  sample: 2
files:
  description: Entries for the module M(pooled.postgres.files).
  returned: success
  type: list
  elements: dict
  sample: []
services:
  description: Entries for the module M(pooled.postgres.services).
  returned: success
  type: list
  elements: dict
  sample: []
"""
