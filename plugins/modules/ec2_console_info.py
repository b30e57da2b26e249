#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: ec2_console_info
short_description: Read the end of an instance's console
version_added: 0.1.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Reads the console of an instance that can't be reached.
  - EC2 shows it with a delay of some minutes.
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - pooled.postgres.attributes
  - pooled.postgres.attributes.info_module
options:
  instance_id:
    description: Id of the instance.
    type: str
    required: true
  count:
    description: Number of lines to return, from the end.
    type: int
    default: 20
"""

EXAMPLES = r"""
- name: Read the host's console
  pooled.postgres.ec2_console_info:
    instance_id: i-0123456789abcdef0
  register: console
"""

RETURN = r"""
lines:
  description: The last lines that are not empty, without control characters.
  returned: success
  type: list
  elements: str
  sample: ["[    5.123456] cloud-init[512]: Cloud-init v. 25.1.4 finished"]
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.pooled.postgres.plugins.module_utils._ec2_stack import errors, model


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "instance_id": {"type": "str", "required": True},
            "count": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    instance_id = module.params["instance_id"]
    try:
        answer = module.client("ec2").get_console_output(InstanceId=instance_id)
    except errors.FAILURES as exc:
        module.fail_json(msg=f"Failed to read the console of {instance_id}: {exc}")
    module.exit_json(
        changed=False, lines=model.last_lines(answer.get("Output") or "", module.params["count"])
    )


if __name__ == "__main__":
    main()
