#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: ec2_stack_info
short_description: Read all resources of a stack from EC2
version_added: 0.1.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Reads all resources of a stack, which share one value of the tag C(Stack), in parallel calls.
  - Leaves out terminated instances and deleted NAT gateways, which EC2 lists a while longer.
  - The group C(pooled.postgres.aws) of C(module_defaults) sets the options of the connection of this module
    and of all of C(amazon.aws).
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - pooled.postgres.attributes
  - pooled.postgres.attributes.info_module
options:
  stack:
    description: Value of the tag C(Stack). It is case-sensitive and takes no wildcards.
    type: str
    required: true
  key_name:
    description: Name of a key pair to return, even without the tag.
    type: str
  image:
    description:
      - The image to return, which is the newest available match.
      - Either O(image.id), or O(image.owner) and O(image.name).
    type: dict
    suboptions:
      id:
        description: Id of the image.
        type: str
      owner:
        description: The account that owns the image, or an alias such as V(self) or V(amazon).
        type: str
      name:
        description: Name of the image. C(*) stands for any characters, C(?) for one.
        type: str
seealso:
  - name: EC2's filters
    description: How EC2 finds resources by their tags.
    link: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html
"""

EXAMPLES = r"""
- name: Read the stack
  pooled.postgres.ec2_stack_info:
    stack: pooled
    key_name: pooled-db-cluster
    image:
      owner: "136693071363"
      name: debian-13-amd64-*
  register: found

- name: Set defaults for both collections
  hosts: localhost
  module_defaults:
    group/pooled.postgres.aws:
      region: ap-southeast-1
  tasks:
    - name: Read the stack
      pooled.postgres.ec2_stack_info:
        stack: pooled

    - name: List the zones
      amazon.aws.aws_az_info:
"""

RETURN = r"""
account:
  description: Id of the account.
  returned: success
  type: str
  sample: "123456789012"
region:
  description: Region of the stack.
  returned: success
  type: str
  sample: ap-southeast-1
stack:
  description:
    - The stack's resources by kind, each list in the order of the ids.
    - Each resource is what EC2 describes, with keys in snake case, and C(tags) as a dictionary.
  returned: success
  type: dict
  contains:
    vpcs:
      description: VPCs, each with C(enable_dns_support) and C(enable_dns_hostnames).
      returned: success
      type: list
      elements: dict
      sample:
        - vpc_id: vpc-0123456789abcdef0
          cidr_block: 10.0.0.0/16
          state: available
          enable_dns_support: true
          enable_dns_hostnames: true
          tags: {Name: pooled-vpc, Stack: pooled}
    subnets:
      description: Subnets.
      returned: success
      type: list
      elements: dict
      sample:
        - subnet_id: subnet-0123456789abcdef0
          vpc_id: vpc-0123456789abcdef0
          cidr_block: 10.0.1.0/24
          availability_zone: ap-southeast-1a
          map_public_ip_on_launch: true
          tags: {Name: pooled-public-subnet, Stack: pooled}
    internet_gateways:
      description: Internet gateways.
      returned: success
      type: list
      elements: dict
      sample:
        - internet_gateway_id: igw-0123456789abcdef0
          attachments: [{state: available, vpc_id: vpc-0123456789abcdef0}]
          tags: {Stack: pooled}
    nat_gateways:
      description: NAT gateways that are V(pending), V(available), V(failed) or V(deleting).
      returned: success
      type: list
      elements: dict
      sample:
        - nat_gateway_id: nat-0123456789abcdef0
          state: available
          subnet_id: subnet-0123456789abcdef0
          nat_gateway_addresses: [{allocation_id: eipalloc-0123456789abcdef0, public_ip: 192.0.2.10}]
          tags: {Stack: pooled}
    addresses:
      description: Elastic IP addresses.
      returned: success
      type: list
      elements: dict
      sample:
        - allocation_id: eipalloc-0123456789abcdef0
          public_ip: 192.0.2.10
          tags: {Stack: pooled}
    route_tables:
      description: Route tables.
      returned: success
      type: list
      elements: dict
      sample:
        - route_table_id: rtb-0123456789abcdef0
          associations: [{main: false, subnet_id: subnet-0123456789abcdef0}]
          routes: [{destination_cidr_block: 0.0.0.0/0, gateway_id: igw-0123456789abcdef0, state: active}]
          tags: {Stack: pooled}
    security_groups:
      description: Security groups with their rules.
      returned: success
      type: list
      elements: dict
      sample:
        - group_id: sg-0123456789abcdef0
          group_name: postgres-db-security-group
          ip_permissions:
            - {ip_protocol: tcp, from_port: 22, to_port: 22, ip_ranges: [{cidr_ip: 10.0.1.0/24}]}
          tags: {Stack: pooled}
    key_pairs:
      description: Key pairs, and the one that is named O(key_name), with their public keys.
      returned: success
      type: list
      elements: dict
      sample:
        - key_pair_id: key-0123456789abcdef0
          key_name: pooled-db-cluster
          public_key: ssh-ed25519 AAAA pooled-db-cluster
          tags: {Stack: pooled}
    volumes:
      description: Volumes that are not deleted.
      returned: success
      type: list
      elements: dict
      sample:
        - volume_id: vol-0123456789abcdef0
          size: 20
          volume_type: gp3
          state: in-use
          tags: {Stack: pooled}
    instances:
      description: Instances that are not terminated, each with C(disable_api_termination).
      returned: success
      type: list
      elements: dict
      sample:
        - instance_id: i-0123456789abcdef0
          state: {code: 16, name: running}
          private_ip_address: 10.0.2.10
          launch_time: "2025-06-01T12:00:00+00:00"
          disable_api_termination: false
          tags: {Name: postgres-db-server, Role: database, Stack: pooled}
image:
  description: The newest available image that matches O(image). Null without a match.
  returned: success
  type: dict
  contains:
    image_id:
      description: Id of the image.
      returned: success
      type: str
      sample: ami-0123456789abcdef0
    name:
      description: Name of the image.
      returned: success
      type: str
      sample: debian-13-amd64-20250601-2130
    root_device_name:
      description: The device that the system is on.
      returned: success
      type: str
      sample: /dev/xvda
    architecture:
      description: Architecture of the processor.
      returned: success
      type: str
      sample: x86_64
    creation_date:
      description: When the image was created, in UTC.
      returned: success
      type: str
      sample: "2025-06-01T21:31:00.000Z"
calls:
  description: Number of requests to AWS, retries included.
  returned: success
  type: int
  sample: 15
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.pooled.postgres.plugins.module_utils._ec2_stack import api
from ansible_collections.pooled.postgres.plugins.module_utils._ec2_stack.errors import StackError


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "stack": {"type": "str", "required": True},
            # A name, no key.
            "key_name": {"type": "str", "no_log": False},
            "image": {
                "type": "dict",
                "options": {
                    "id": {"type": "str"},
                    "owner": {"type": "str"},
                    "name": {"type": "str"},
                },
                "required_one_of": [("id", "owner")],
                "required_together": [("owner", "name")],
                "mutually_exclusive": [("id", "owner")],
            },
        },
        supports_check_mode=True,
        # Done by api.read, in its words.
        check_boto3=False,
    )
    try:
        found = api.read(module)
    except StackError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
