#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_objects
short_description: Manage all roles, databases, extensions and rights of a PostgreSQL server in one task
version_added: 0.2.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Reads what the server has with a few queries for each database, reports all problems at once, and then
    changes what differs. Thousands of users take seconds.
  - Everything outside of single databases changes in one transaction, and so does each database. Only
    C(CREATE DATABASE) commits by itself, and more than 1000 roles are created in parallel.
  - PostgreSQL gets a verifier, never a password. A stored verifier that matches the password stays, so that
    copies of it stay valid.
  - Connects over the Unix socket and by peer. Run it as the account that owns the data,
    C(become_user=postgres).
extends_documentation_fragment: [pooled.postgres.attributes]
attributes:
  check_mode:
    support: full
    details: Rights on objects that do not exist yet are reported as far as the input names them.
  diff_mode:
    support: full
    details: No diff shows a password or a verifier.
options:
  data_directory:
    description: Data directory of the running server.
    type: path
    required: true
  roles:
    description: Roles, users among them.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the role.
        type: str
        required: true
      login:
        description: Whether it may log in.
        type: bool
        default: true
      scram_iterations:
        description: Rounds of SCRAM's key derivation.
        type: int
        default: 4096
      connection_limit:
        description: Connections at once. Without a value, a stored limit stays.
        type: int
      member_of:
        description: Roles that it becomes a member of. Other memberships stay.
        type: list
        elements: str
        default: []
      databases:
        description: Databases in which it gets all rights on the database, the schema C(public), and its
          tables and sequences.
        type: list
        elements: str
        default: []
  passwords:
    description:
      - JSON text of an object with the password of each role that has one.
      - It is one text, because Ansible searches its output for each secret value, and the list may have
        thousands.
    type: str
    default: "{}"
  password_encryption:
    description: How passwords are stored.
    type: str
    choices: [scram-sha-256, md5]
    default: scram-sha-256
  absent:
    description:
      - Roles to remove, with their granted rights. The module refuses to remove an owner of objects.
    type: list
    elements: str
    default: []
  databases:
    description: Databases. Only the owner and the connection limit of one that exists can change.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the database.
        type: str
        required: true
      owner:
        description: Role that owns it.
        type: str
      encoding:
        description: Encoding.
        type: str
      lc_collate:
        description: Collation.
        type: str
      lc_ctype:
        description: Character classification.
        type: str
      template:
        description: Database that it is a copy of.
        type: str
      connection_limit:
        description: Connections at once.
        type: int
  extensions:
    description: Extensions, as M(community.postgresql.postgresql_ext) takes them.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the extension.
        type: str
        required: true
      databases:
        description: Databases that it is in.
        type: list
        elements: str
        required: true
      schema:
        description: Schema to create it in.
        type: str
      version:
        description: Version, or V(latest). Without a value, an installed version stays.
        type: str
      cascade:
        description: Whether to create those that it needs, or to drop what needs it.
        type: bool
        default: false
      state:
        description: Whether it exists.
        type: str
        choices: [present, absent]
        default: present
  grants:
    description: Further rights, as M(community.postgresql.postgresql_privs) takes them.
    type: list
    elements: dict
    default: []
    suboptions:
      database:
        description: Database to connect to.
        type: str
        required: true
      roles:
        description: Roles that get the right.
        type: list
        elements: str
        required: true
      type:
        description: Kind of objects.
        type: str
        default: table
      objs:
        description: Objects, or V(ALL_IN_SCHEMA).
        type: list
        elements: str
      schema:
        description: Schema of the objects.
        type: str
      privs:
        description: Privileges.
        type: list
        elements: str
        default: []
      target_roles:
        description: With the type V(default_privs), roles whose future objects it covers.
        type: list
        elements: str
      grant_option:
        description: Whether the roles may grant the right to others. Without a value it stays as it is.
        type: bool
      state:
        description: Whether the roles have the right.
        type: str
        choices: [present, absent]
        default: present
requirements: [psycopg2 on the host]
"""

EXAMPLES = r"""
- name: Create the databases and users of two applications
  pooled.postgres.postgres_objects:
    data_directory: /var/lib/postgresql/17/main
    databases:
      - name: shop
      - name: billing
    roles:
      - name: shop
        databases: [shop]
      - name: accountant
        databases: [shop, billing]
    passwords: "{{ {'shop': shop_password, 'accountant': accountant_password} | to_json }}"
  become: true
  become_user: postgres
"""

RETURN = r"""
changes:
  description: What changed, or in check mode would change, in the order of the changes.
  returned: success
  type: list
  elements: str
  sample: ["add role shop: login, password set"]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pooled.postgres.plugins.module_utils._postgres import manager
from ansible_collections.pooled.postgres.plugins.module_utils._postgres.errors import PostgresError


def main() -> None:
    """Run the module."""
    text, names = {"type": "str"}, {"type": "list", "elements": "str"}
    name, state = (
        {"type": "str", "required": True},
        {"type": "str", "choices": ["present", "absent"], "default": "present"},
    )

    def entries(**options: Any) -> dict[str, Any]:
        return {"type": "list", "elements": "dict", "default": [], "options": options}

    module = AnsibleModule(
        argument_spec={
            "data_directory": {"type": "path", "required": True},
            "roles": entries(
                name=name,
                login={"type": "bool", "default": True},
                scram_iterations={"type": "int", "default": 4096},
                connection_limit={"type": "int"},
                member_of={**names, "default": []},
                databases={**names, "default": []},
            ),
            "passwords": {"type": "str", "default": "{}", "no_log": True},
            "password_encryption": {
                "type": "str",
                "choices": ["scram-sha-256", "md5"],
                "default": "scram-sha-256",
                # It names an algorithm.
                "no_log": False,
            },
            "absent": {**names, "default": []},
            "databases": entries(
                name=name,
                owner=text,
                encoding=text,
                lc_collate=text,
                lc_ctype=text,
                template=text,
                connection_limit={"type": "int"},
            ),
            "extensions": entries(
                name=name,
                databases={**names, "required": True},
                schema=text,
                version=text,
                cascade={"type": "bool", "default": False},
                state=state,
            ),
            "grants": entries(
                database=name,
                roles={**names, "required": True},
                type={"type": "str", "default": "table"},
                objs=names,
                schema=text,
                privs={**names, "default": []},
                target_roles=names,
                grant_option={"type": "bool"},
                state=state,
            ),
        },
        supports_check_mode=True,
    )
    try:
        result = manager.ensure(module.params, module.check_mode, module.warn)
    except PostgresError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
