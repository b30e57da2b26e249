#!/usr/bin/python
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbouncer_hba
short_description: Manage PgBouncer's HBA file, proved before it is live
version_added: 0.1.0
description:
  - Writes the file that C(auth_hba_file) names from rules given as data. It counts where C(auth_type) is
    C(hba).
  - The installed PgBouncer reads the new file in a scratch directory first. Only what it takes without a
    warning replaces the old file, in one step. PgBouncer itself would leave out a line that it can't read,
    and let the next one decide.
  - PgBouncer reads the file again when it is reloaded.
options:
  path:
    description: The HBA file. Its directory must exist.
    type: path
    default: /etc/pgbouncer/pg_hba.conf
  rules:
    description: Rules in their order. The first that fits a connection decides, and where none does it is
        refused.
    type: list
    elements: dict
    required: true
    suboptions:
      type:
        description: Kind of connection.
        type: str
        choices: [local, host, hostssl, hostnossl]
        required: true
      databases:
        description: Names, V(all), V(sameuser) or V(replication). The console is the database V(pgbouncer).
        type: list
        elements: str
        required: true
      users:
        description: Names, or V(all).
        type: list
        elements: str
        required: true
      address:
        description: A network such as V(192.0.2.0/24), or V(all). None for V(local).
        type: str
      method:
        description: How the client proves who it is.
        type: str
        choices: [scram-sha-256, md5, cert, peer, reject, trust, password]
        required: true
  header:
    description: The line of the comment at the top of the file.
    type: str
    default: Managed by Ansible.
extends_documentation_fragment:
  - ansible.builtin.files
  - pooled.postgres.attributes
  - pooled.postgres.pgbouncer_file
  - pooled.postgres.pgbouncer_file.proof
attributes:
  check_mode:
    support: full
    details: The file is proved in check mode, too.
  diff_mode:
    support: full
requirements:
  - psycopg2 on the host
seealso:
  - name: PgBouncer's HBA file format
    description: What it has of PostgreSQL's.
    link: https://www.pgbouncer.org/config.html#hba-file-format
  - module: pooled.postgres.pgbouncer_config
author:
  - Pooled Postgres maintainers (@pooled-postgres)
"""

EXAMPLES = r"""
- name: Rules of PgBouncer are proved and in place
  pooled.postgres.pgbouncer_hba:
    rules:
      - {type: hostssl, databases: [shop], users: [shop], address: 192.0.2.0/24, method: cert}
      - {type: host, databases: [all], users: [all], address: 10.0.0.0/8, method: scram-sha-256}
  become: true
"""

RETURN = r"""
path:
  description: The HBA file.
  returned: success
  type: str
  sample: /etc/pgbouncer/pg_hba.conf
proved:
  description: Whether the installed PgBouncer has read the file. Always, but in check mode.
  returned: success
  type: bool
  sample: true
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import access, api, proof
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.errors import (
    InvalidInputError,
    PgbouncerError,
    ProofError,
)

# It reads the file at its start, whatever else there is.
_CONFIGURATION = "[pgbouncer]\nauth_type = hba\n"


def ensure(module: AnsibleModule) -> dict[str, Any]:
    """Bring the file into the wanted state, or in check mode foresee it, and return the result."""
    params = module.params
    problems = access.hba_problems(params["rules"])
    if problems:
        raise InvalidInputError(f"Failed to accept the rules: {'; '.join(problems)}")
    text = access.hba_file(params["header"], params["rules"])
    current = api.read_file(params["path"])
    if not module.check_mode:
        api.check_writable(module)
    proved = _prove(module, text)

    changed, attributes_diff = api.place(module, current, text.encode())
    result: dict[str, Any] = {"changed": changed, "path": params["path"], "proved": proved}
    if module._diff:
        before = "" if current is None else current.decode(errors="replace")
        result["diff"] = api.diff_of(params["path"], before, text, attributes_diff)
    return result


def _prove(module: AnsibleModule, text: str) -> bool:
    params = module.params
    if proof.version(params["binary"]) is None:
        if module.check_mode:
            return False
        raise InvalidInputError(
            f"Failed to prove {params['path']}: {params['binary']} is missing; install PgBouncer"
        )
    try:
        proof.shown(
            _CONFIGURATION,
            binary=params["binary"],
            runs_as=proof.account(params["account"]),
            port=proof.DEFAULT_PORT,
            seconds=params["timeout"],
            files={"auth_hba_file": text},
        )
    except ProofError as error:
        said = str(error).removeprefix("Failed to prove the PgBouncer configuration: ")
        raise ProofError(f"Failed to prove {params['path']}: {access.where(said, text)}{said}") from error
    return True


def main() -> None:
    """Run the module."""
    rule = {
        "type": {"type": "str", "choices": list(access.KINDS), "required": True},
        "databases": {"type": "list", "elements": "str", "required": True},
        "users": {"type": "list", "elements": "str", "required": True},
        "address": {"type": "str"},
        "method": {"type": "str", "choices": list(access.METHODS), "required": True},
    }
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": "/etc/pgbouncer/pg_hba.conf"},
            "rules": {"type": "list", "elements": "dict", "required": True, "options": rule},
            "header": {"type": "str", "default": "Managed by Ansible."},
            **api.PROOF_OPTIONS,
            **api.FILE_OPTIONS,
        },
        add_file_common_args=True,
        supports_check_mode=True,
    )
    try:
        result = ensure(module)
    except PgbouncerError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
