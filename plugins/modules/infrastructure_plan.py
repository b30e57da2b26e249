#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: infrastructure_plan
short_description: Plan the infrastructure of a stack
version_added: 0.2.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Reads the inputs of the role C(infrastructure) and the stack from EC2, and returns what the role must do.
  - Runs on the control host, inside the role. It changes nothing, and fails with all problems at once.
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - pooled.postgres.attributes
  - pooled.postgres.attributes.info_module
options:
  inputs_only:
    description: Check the inputs only, without any call, and return their problems as RV(problems).
    type: bool
    default: false
  state:
    description: Plan the stack, or its teardown.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: pooled.postgres.ec2_stack_info
"""

EXAMPLES = r"""
- name: Plan the infrastructure
  pooled.postgres.infrastructure_plan:
  register: __infrastructure
"""

RETURN = r"""
problems:
  description: Problems, each with a solution. Empty on success.
  returned: always
  type: list
  elements: str
  sample: []
lines:
  description: Actions of the role, as text.
  returned: success
  type: list
  elements: str
  sample: ["+ VPC postgres-db-vpc 10.0.0.0/16"]
todo:
  description: Keys of the resources that the role must change, by kind.
  returned: success, unless O(state=absent)
  type: dict
  sample: {vpc: [vpc], subnet: [public, private]}
ids:
  description: Ids of existing resources, by kind and key.
  returned: success, unless O(state=absent)
  type: dict
  sample: {vpc: vpc-0123456789abcdef0}
"""
