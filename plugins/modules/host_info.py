#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: host_info
short_description: Look at the system, packages, files and units of a host
version_added: 0.2.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Gathers in one execution what a role needs to plan its work.
  - It changes nothing. It reads what the account of the task may read.
extends_documentation_fragment: [pooled.postgres.attributes, pooled.postgres.attributes.info_module]
options:
  packages:
    description: Debian packages to look up.
    type: list
    elements: str
    default: []
  paths:
    description: Paths or globs. The result omits paths that do not exist.
    type: list
    elements: str
    default: []
  contents:
    description: Files to return as text. Do not name files with secrets.
    type: list
    elements: str
    default: []
  units:
    description: Units of systemd, or globs of loaded units. A name without a suffix is a service.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Look at PgBouncer
  pooled.postgres.host_info:
    packages: [pgbouncer]
    paths: [/etc/pgbouncer/*.ini]
    units: [pgbouncer@*]
  become: true
  register: host
"""

RETURN = r"""
seen:
  description: The host.
  returned: success
  type: dict
  contains:
    distribution: {description: Debian or Ubuntu., returned: success, type: str, sample: Debian}
    distribution_version: {description: Version., returned: success, type: str, sample: "13"}
    distribution_major_version: {description: Major version., returned: success, type: str, sample: "13"}
    distribution_release: {description: Code name., returned: success, type: str, sample: trixie}
    architecture: {description: Output of C(uname -m)., returned: success, type: str, sample: x86_64}
    processors: {description: Usable processors., returned: success, type: int, sample: 2}
    memory_mb: {description: Memory in MiB., returned: success, type: int, sample: 7964}
    hostname: {description: Name of the host., returned: success, type: str, sample: db1}
    now: {description: Unix time of the host., returned: success, type: float, sample: 1764400000.5}
    packages:
      description: Installed version by package, and the candidate if none is installed.
      returned: success
      type: dict
      sample: {pgbouncer: {installed: 1.24.1-1, candidate: ""}}
    paths:
      description: Type, mode, owner, group, uid, gid, size, mtime and link of each path.
      returned: success
      type: dict
      sample: {/etc/pgbouncer/pgbouncer-1.ini: {type: file, mode: "0640", owner: root, group: pgbouncer}}
    contents:
      description: Text by path.
      returned: success
      type: dict
      sample: {}
    units:
      description:
        - State by full unit name. C(since) is the Unix time of its last start, C(changed) that of its last
          change of state, which includes a reload.
      returned: success
      type: dict
      sample: {pgbouncer@1.service: {load: loaded, active: active, sub: running, enabled: enabled}}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pooled.postgres.plugins.module_utils._host.look import look

_LIST = {"type": "list", "elements": "str", "default": []}


def main() -> None:
    """Run the module."""
    names = ("packages", "paths", "contents", "units")
    module = AnsibleModule(argument_spec={name: dict(_LIST) for name in names}, supports_check_mode=True)
    # The parsers below read untranslated output.
    module.run_command_environ_update = {"LC_ALL": "C"}
    try:
        seen = look(module.run_command, module.params)
    except OSError as error:
        module.fail_json(msg=f"Failed to look at the host: {error}")
    module.exit_json(changed=False, seen=seen)


if __name__ == "__main__":
    main()
