#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbouncer_userlist
short_description: Manage the users that PgBouncer lets in
version_added: 0.1.0
description:
  - Writes PgBouncer's userlist (the file named by C(auth_file)) from passwords or ready verifiers.
  - The file is managed as a whole. Users that are not listed are removed, and so are comments.
  - No password is written as plain text, unless that is asked for.
  - PgBouncer reads the file again when it is reloaded (C(RELOAD) on its console, or SIGHUP).
options:
  path:
    description: The userlist. Its directory must exist.
    type: path
    default: /etc/pgbouncer/userlist.txt
  users:
    description:
      - The users that the file shall hold, each with either O(users[].password) or O(users[].verifier).
      - An empty list empties the file.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - Name of the role, as in PostgreSQL.
          - At most 127 bytes in UTF-8, where a double quote counts twice.
        type: str
        required: true
      password:
        description:
          - The password, without line breaks. It is stored as O(encryption) says.
          - A SCRAM-SHA-256 entry that already fits the password and O(scram_iterations) is left as it is.
          - A new one gets a random salt, so it differs from PostgreSQL's verifier of the same password.
            That is enough to log in to PgBouncer, but not for PgBouncer to log in to PostgreSQL as this
            user. For that give O(users[].verifier).
        type: str
      verifier:
        description:
          - The verifier that PostgreSQL holds for the role in C(pg_authid.rolpassword), written as it is.
          - Either C(md5) and 32 lower-case hexadecimal digits, or C(SCRAM-SHA-256$) and what follows,
            whatever O(encryption) says.
        type: str
      plain:
        description:
          - Whether O(users[].password) is written as it is. That is for a user that PgBouncer itself logs in
            to PostgreSQL as, such as C(auth_user), where no client brings what SCRAM takes.
        type: bool
        default: false
  encryption:
    description: How passwords are stored.
    type: str
    choices: [scram-sha-256, md5]
    default: scram-sha-256
  scram_iterations:
    description: The number of PBKDF2 iterations in a SCRAM-SHA-256 verifier that is made from a password.
    type: int
    default: 4096
extends_documentation_fragment:
  - ansible.builtin.files
  - pooled.postgres.attributes
  - pooled.postgres.pgbouncer_file
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: The diff shows names and kinds of verifiers, never a verifier. All names are in it.
requirements:
  - Python 3.9 or newer on the host
seealso:
  - name: PgBouncer's authentication file format
    description: What the file may hold and what a SCRAM verifier can be used for.
    link: https://www.pgbouncer.org/config.html#authentication-file-format
  - module: community.postgresql.postgresql_user
author:
  - Pooled Postgres maintainers (@pooled-postgres)
"""

EXAMPLES = r"""
- name: Application user has a SCRAM-SHA-256 entry
  pooled.postgres.pgbouncer_userlist:
    users:
      - name: myuser
        password: "{{ myuser_password }}"
  notify: Reload PgBouncer

- name: Verifiers of PostgreSQL are read
  community.postgresql.postgresql_query:
    query: >-
      SELECT rolname AS name, rolpassword AS verifier FROM pg_authid
      WHERE rolcanlogin AND rolpassword IS NOT NULL
  become: true
  become_user: postgres
  no_log: true
  register: verifiers

- name: Users are passed on to PostgreSQL, which needs its own verifiers
  pooled.postgres.pgbouncer_userlist:
    users: "{{ verifiers.query_result }}"
  notify: Reload PgBouncer

- name: Old clients find MD5 entries
  pooled.postgres.pgbouncer_userlist:
    encryption: md5
    users:
      - name: myuser
        password: "{{ myuser_password }}"
"""

RETURN = r"""
path:
  description: The userlist.
  returned: success
  type: str
  sample: /etc/pgbouncer/userlist.txt
added:
  description: Names of users that were added, sorted, at most the first 100.
  returned: success
  type: list
  elements: str
  sample: [myuser]
removed:
  description: Names of users that were removed, sorted, at most the first 100.
  returned: success
  type: list
  elements: str
  sample: []
updated:
  description: Names of users with another verifier than before, sorted, at most the first 100.
  returned: success
  type: list
  elements: str
  sample: []
counts:
  description: How many users were added, removed and updated.
  returned: success
  type: dict
  sample: {added: 1, removed: 0, updated: 0}
total:
  description: How many users the file holds.
  returned: success
  type: int
  sample: 3
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import api, scram, userlist
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.errors import PgbouncerError

NAMES_RETURNED = 100


def ensure(module: AnsibleModule) -> dict[str, Any]:
    """Bring the userlist into the wanted state, or in check mode foresee it, and return the result."""
    params = module.params
    users = userlist.check_users(params["users"])
    userlist.check_iterations(params["scram_iterations"])
    current = api.read_file(params["path"])
    if not module.check_mode:
        api.check_writable(module)

    before = None if current is None else current.decode(errors="replace")
    old_entries = userlist.parse(before or "")
    iterations = params["scram_iterations"]
    new_entries = userlist.wanted_entries(users, old_entries, params["encryption"], iterations)
    after = userlist.render(new_entries)
    changes = userlist.compare(old_entries, new_entries)

    changed, attributes_diff = api.place(module, current, after.encode())

    result: dict[str, Any] = {
        "changed": changed,
        "path": params["path"],
        "counts": {kind: len(names) for kind, names in changes._asdict().items()},
        "total": len(new_entries),
    }
    result.update((kind, names[:NAMES_RETURNED]) for kind, names in changes._asdict().items())
    if module._diff:
        result["diff"] = api.diff_of(params["path"], *userlist.outline(before, after), attributes_diff)
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": "/etc/pgbouncer/userlist.txt"},
            # no_log on the whole: Ansible logs a list as Python writes it, where a password with a quote or a
            # backslash no longer looks like itself and would escape the masking of password alone.
            "users": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "no_log": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "password": {"type": "str", "no_log": True},
                    "verifier": {"type": "str", "no_log": True},
                    "plain": {"type": "bool", "default": False},
                },
            },
            "encryption": {"type": "str", "choices": ["scram-sha-256", "md5"], "default": "scram-sha-256"},
            "scram_iterations": {"type": "int", "default": scram.DEFAULT_ITERATIONS},
            **api.FILE_OPTIONS,
        },
        add_file_common_args=True,
        supports_check_mode=True,
    )
    users = module.params["users"]
    secrets = {user[key] for user in users for key in ("password", "verifier")}
    # Names are no secret, unless one is somebody's password as well.
    module.no_log_values -= {user["name"] for user in users} - secrets
    # Masking costs the number of secrets times the number of strings: minutes for 10,000 users told in full.
    invocation = {"module_args": {**module.params, "users": f"{len(users)} users"}}
    try:
        result = ensure(module)
    except PgbouncerError as error:
        module.fail_json(msg=str(error), invocation=invocation)
    module.exit_json(invocation=invocation, **result)


if __name__ == "__main__":
    main()
