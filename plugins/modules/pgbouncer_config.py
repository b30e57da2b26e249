#!/usr/bin/python
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbouncer_config
short_description: Configure PgBouncer's processes, validated before any file is replaced
version_added: 0.1.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Writes C(pgbouncer.ini) of each process, the userlist, the HBA file and further files such as units,
    from data.
  - Refuses a name that PgBouncer does not support and suggests the nearest known one. Also refuses a value
    of the wrong type or out of range.
  - Starts the installed PgBouncer with each candidate in a scratch directory, under PgBouncer's account,
    without TCP, and with the candidates of userlist and HBA file, reads its settings, databases and users,
    and stops it. Replaces files only if PgBouncer accepts all candidates without an error or a warning.
    Otherwise the error names the line, and all old files stay.
  - Does not start a candidate again that an earlier run validated with the same PgBouncer and certificates.
  - Also reads the state of the running processes. RV(turns) lists which of them must reload or restart, in
    what order and why. This module does neither.
  - Manages the files as a whole, and removes users, comments and C(%include) that are not listed.
options:
  processes:
    description: PgBouncer processes, in the order of their numbers, which begin with 1.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The configuration file.
        type: path
        required: true
      settings:
        description:
          - Settings of the section C([pgbouncer]) by name, all that the installed version has except
            C(conffile).
          - Lists may be given as such. V(true) and V(false) are written as V(1) and V(0). A file mode is
            text, such as V('0770').
        type: dict
        default: {}
      databases:
        description: Databases, each with C(name) and options of PgBouncer. V(*) stands for all others.
        type: list
        elements: dict
        default: []
      users:
        description: Users with individual options, each with C(name). The userlist decides who may log in.
        type: list
        elements: dict
        default: []
      peers:
        description:
          - Further processes that receive forwarded cancel requests, each with C(id) and C(host).
        type: list
        elements: dict
        default: []
  userlist:
    description: The file that C(auth_file) names.
    type: dict
    suboptions:
      path:
        description: The userlist.
        type: path
        default: /etc/pgbouncer/userlist.txt
      users:
        description: All users, each with either a password or a verifier. An empty list empties the file.
        type: list
        elements: dict
        required: true
        suboptions:
          name:
            description: Name of the role, at most 127 bytes in UTF-8, where a double quote counts twice.
            type: str
            required: true
          password:
            description:
              - The password, without line breaks. It is stored as O(userlist.encryption) says.
              - A SCRAM-SHA-256 entry that matches the password stays as it is. A new one gets a random
                salt, so it differs from PostgreSQL's verifier. Clients can log in to PgBouncer with it, but
                PgBouncer cannot log in to PostgreSQL as this user. For that, give the verifier or
                O(server).
            type: str
          verifier:
            description: The verifier that PostgreSQL holds in C(pg_authid.rolpassword), written as it is.
            type: str
          plain:
            description: Whether to write the password as it is, for a user that PgBouncer itself logs in as.
            type: bool
            default: false
      encryption:
        description: How passwords are stored.
        type: str
        choices: [scram-sha-256, md5]
        default: scram-sha-256
      scram_iterations:
        description: PBKDF2 iterations of a verifier that is made from a password.
        type: int
        default: 4096
  hba:
    description: The file that C(auth_hba_file) names.
    type: dict
    suboptions:
      path:
        description: The HBA file.
        type: path
        default: /etc/pgbouncer/pg_hba.conf
      rules:
        description:
          - Rules in their order. The first that matches a connection decides; without a match PgBouncer
            refuses it.
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
            description:
              - Names, V(all), V(sameuser) or V(replication). The console is the database V(pgbouncer).
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
            description: How the client authenticates.
            type: str
            choices: [scram-sha-256, md5, cert, peer, reject, trust, password]
            required: true
  server:
    description:
      - The PostgreSQL of this host. Its verifiers apply to users that have none, and the pools must fit its
        limits.
      - The module reads them over its Unix socket, as the account V(postgres). The verifiers do not leave
        the host.
    type: dict
    suboptions:
      login_unix_socket:
        description: Directory of the Unix socket.
        type: path
        default: /var/run/postgresql
      login_port:
        description: Port that the socket is named after.
        type: int
        default: 5432
      needed:
        description: Server connections that the pools may open together.
        type: int
        default: 0
      arithmetic:
        description: How the number is calculated, for the error message.
        type: str
        default: ""
      others:
        description: Connections that clients other than PgBouncer need.
        type: int
        default: 0
      remedy:
        description: What to do if the pools do not fit, for the error message.
        type: str
        default: ""
  files:
    description: Further files and directories, written along with PgBouncer's.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      state:
        description: State of the path.
        type: str
        choices: [file, directory]
        default: file
      content:
        description: Text of a file.
        type: str
      owner:
        description: Owner.
        type: str
        default: root
      group:
        description: Group.
        type: str
        default: root
      mode:
        description: Octal mode; V(0644) for files and V(0755) for directories by default.
        type: str
      restarts:
        description: Whether a process must restart if this file changed after its start.
        type: bool
        default: false
  reload_for:
    description: Further reasons to reload all processes, such as new certificates.
    type: list
    elements: str
    default: []
  open_files:
    description: File descriptors that a process needs. A process that runs with fewer must restart.
    type: int
    default: 0
  header:
    description: Comment at the top of PgBouncer's files.
    type: str
    default: Managed by Ansible.
  owner:
    description: Owner of PgBouncer's files, which it only reads.
    type: str
    default: root
  group:
    description: Group of PgBouncer's files, the one that PgBouncer runs as.
    type: str
    default: pgbouncer
  mode:
    description: Octal mode of PgBouncer's files.
    type: str
    default: "0640"
  binary:
    description:
      - PgBouncer, which validates the files. In check mode it may be missing; nothing is validated then.
    type: path
    default: /usr/sbin/pgbouncer
  account:
    description: The system account that PgBouncer runs under.
    type: str
    default: pgbouncer
  timeout:
    description: Most seconds that a validation may take.
    type: int
    default: 20
extends_documentation_fragment: [pooled.postgres.attributes]
attributes:
  check_mode:
    support: full
    details: Validates candidates in check mode, too, unless a certificate that they name does not exist yet.
  diff_mode:
    support: full
    details: It hides passwords. Of the userlist it shows names and kinds of verifiers.
requirements:
  - psycopg2 on the host
seealso:
  - name: PgBouncer's configuration
    description: What each setting and option does.
    link: https://www.pgbouncer.org/config.html
  - module: pooled.postgres.pgbouncer_console
"""

EXAMPLES = r"""
- name: Configure PgBouncer
  pooled.postgres.pgbouncer_config:
    processes:
      - path: /etc/pgbouncer/pgbouncer.ini
        settings:
          listen_addr: ["127.0.0.1", "10.0.2.10"]
          unix_socket_dir: /run/pgbouncer/1
          auth_type: scram-sha-256
          auth_file: /etc/pgbouncer/userlist.txt
          pool_mode: transaction
        databases:
          - {name: shop, host: 10.0.2.20, pool_size: 30, connect_query: SET search_path TO shop}
        users:
          - {name: reports, pool_mode: session}
    userlist:
      users:
        - {name: shop, verifier: "{{ vault_shop_verifier }}"}
  become: true
  register: configured

- name: Reload PgBouncer
  pooled.postgres.pgbouncer_console:
    command: RELOAD
    expected: "{{ configured.turns[0].settings }}"
  become: true
  become_user: pgbouncer
  when: configured.turns | map(attribute='action') | list == ['reload']
"""

RETURN = r"""
changed_paths:
  description: Paths that changed.
  returned: success
  type: list
  elements: str
  sample: [/etc/pgbouncer/userlist.txt]
version:
  description: Version of the installed PgBouncer; empty if it is missing.
  returned: success
  type: str
  sample: "1.24"
turns:
  description:
    - What processes must do, in this order. It omits processes without work.
    - C(action) is V(reload), V(start) if it does not answer on its socket, or V(restart) if a setting
      differs that PgBouncer cannot change while it runs. C(drains) shows whether its clients can leave
      first, C(port) is the port of its current socket, and C(settings) is the expected C(SHOW CONFIG).
  returned: success
  type: list
  elements: dict
  sample:
    - {id: 1, action: reload, reasons: [the userlist], drains: false, port: 6432, settings: {}}
users:
  description:
    - Names of added, removed and updated users of the userlist, at most 200 of each, and their numbers.
  returned: with O(userlist)
  type: dict
  sample: {added: [myuser], removed: [], updated: [], counts: {added: 1, removed: 0, updated: 0}, total: 3}
"""

import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pooled.postgres.plugins.module_utils._host.errors import HostError
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import access, config, scram
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.configuration import Manager
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.errors import PgbouncerError

_DICTS = {"type": "list", "elements": "dict", "default": []}
_NAMES = {"type": "list", "elements": "str", "required": True}
# no_log on whole values: Ansible logs a list as Python writes it, where a password with a quote would
# escape the masking of the password alone; and what is not declared cannot be told from what is secret.
_PROCESS = {
    "path": {"type": "path", "required": True},
    "settings": {"type": "dict", "default": {}},
    "databases": _DICTS,
    "users": _DICTS,
    "peers": _DICTS,
}
_USER = {
    "name": {"type": "str", "required": True},
    "password": {"type": "str", "no_log": True},
    "verifier": {"type": "str", "no_log": True},
    "plain": {"type": "bool", "default": False},
}
_USERLIST = {
    "path": {"type": "path", "default": "/etc/pgbouncer/userlist.txt"},
    "users": {"type": "list", "elements": "dict", "required": True, "options": _USER},
    "encryption": {"type": "str", "choices": ["scram-sha-256", "md5"], "default": "scram-sha-256"},
    "scram_iterations": {"type": "int", "default": scram.DEFAULT_ITERATIONS},
}
_RULE = {
    "type": {"type": "str", "choices": list(access.KINDS), "required": True},
    "databases": _NAMES,
    "users": _NAMES,
    "address": {"type": "str"},
    "method": {"type": "str", "choices": list(access.METHODS), "required": True},
}
_HBA = {
    "path": {"type": "path", "default": "/etc/pgbouncer/pg_hba.conf"},
    "rules": {"type": "list", "elements": "dict", "required": True, "options": _RULE},
}
_SERVER = {
    "login_unix_socket": {"type": "path", "default": "/var/run/postgresql"},
    "login_port": {"type": "int", "default": 5432},
    "needed": {"type": "int", "default": 0},
    "arithmetic": {"type": "str", "default": ""},
    "others": {"type": "int", "default": 0},
    "remedy": {"type": "str", "default": ""},
}
_FILE = {
    "path": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["file", "directory"], "default": "file"},
    "content": {"type": "str"},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "str"},
    "restarts": {"type": "bool", "default": False},
}


def secrets(params: dict[str, Any]) -> set[str]:
    """Return the values that no message may show."""
    users = (params["userlist"] or {}).get("users") or []
    found = {str(user[key]) for user in users for key in ("password", "verifier") if user.get(key)}
    for process in params["processes"]:
        found |= config.secrets(process["settings"], process["databases"])
    # A name is no secret, even if it is also a password.
    return found - {user["name"] for user in users}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "processes": {**_DICTS, "no_log": True, "options": _PROCESS},
            "userlist": {"type": "dict", "no_log": True, "options": _USERLIST},
            "hba": {"type": "dict", "options": _HBA},
            "server": {"type": "dict", "options": _SERVER},
            "files": {"type": "list", "elements": "dict", "default": [], "options": _FILE},
            "reload_for": {"type": "list", "elements": "str", "default": []},
            "open_files": {"type": "int", "default": 0},
            "header": {"type": "str", "default": "Managed by Ansible."},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "pgbouncer"},
            "mode": {"type": "str", "default": "0640"},
            "binary": {"type": "path", "default": "/usr/sbin/pgbouncer"},
            "account": {"type": "str", "default": "pgbouncer"},
            "timeout": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    params = module.params
    # Masking costs the number of secrets times the number of strings: minutes for 10,000 users shown in full.
    invocation = {"module_args": {"processes": [process["path"] for process in params["processes"]]}}
    module.no_log_values = set()
    if not re.fullmatch(r"0?[0-7]{3}", params["mode"]):
        module.fail_json(
            msg="Failed to use the mode: it is not octal. Set one such as 0640.", invocation=invocation
        )
    try:
        result = Manager(params, check_mode=module.check_mode, warn=module.warn).ensure()
    except (PgbouncerError, HostError) as error:
        module.no_log_values = secrets(params)
        module.fail_json(msg=str(error), invocation=invocation)
    except OSError as error:
        module.fail_json(
            msg=f"Failed to write {error.filename or 'a file'}: {error.strerror or error}",
            invocation=invocation,
        )
    if not module._diff:
        del result["diff"]
    # Nothing in the result is secret; a password such as "postgres" would be hidden from each path.
    module.exit_json(invocation=invocation, **result)


if __name__ == "__main__":
    main()
