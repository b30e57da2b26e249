#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_info
short_description: Look at the certificate, the key and the CA of a service
version_added: 0.2.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Reads C(server.crt) and C(authority.crt) in a directory, and checks that C(server.key) belongs to the
    certificate.
  - The key stays on the host.
extends_documentation_fragment:
  - pooled.postgres.attributes
  - pooled.postgres.attributes.info_module
options:
  directory:
    description: Directory of the service's files.
    type: path
    required: true
  certificate:
    description: Text of the certificate that the key must belong to, instead of that in C(server.crt).
    type: str
  given:
    description: Files on this host that the service will get.
    type: dict
    suboptions:
      certificate:
        description: Path of the certificate, with its chain.
        type: path
      key:
        description: Path of its key.
        type: path
      authority:
        description: Path of the CA's certificate.
        type: path
"""

EXAMPLES = r"""
- name: Look at the certificate of PostgreSQL
  pooled.postgres.certificate_info:
    directory: /etc/ssl/pooled/postgres
  become: true
  register: certificate
"""

RETURN = r"""
seen:
  description: What the host has.
  returned: success
  type: dict
  contains:
    paths:
      description: State of the directory and of each file that exists, by path.
      returned: success
      type: dict
      sample: {/etc/ssl/pooled/postgres/server.key: {type: file, mode: "0640", owner: root, group: postgres}}
    certificate: {description: Text of server.crt., returned: success, type: str, sample: ""}
    authority: {description: Text of authority.crt., returned: success, type: str, sample: ""}
    mismatch:
      description: Why the key does not belong to the certificate, empty if it does.
      returned: success
      type: str
      sample: ""
    given:
      description: Text of the certificate and CA in O(given), and the problems of these files.
      returned: if O(given) is set
      type: dict
      sample: {certificate: "", authority: "", causes: []}
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pooled.postgres.plugins.module_utils._certificates import files
from ansible_collections.pooled.postgres.plugins.module_utils._host import look


def seen(params: dict[str, Any], tmpdir: str) -> dict[str, Any]:
    """Return what the module documents. Raises OSError."""
    directory = params["directory"]
    certificate, key, authority = (
        f"{directory}/{name}" for name in ("server.crt", "server.key", "authority.crt")
    )
    given = {part: path for part, path in (params["given"] or {}).items() if path}
    expected = given.get("certificate") or certificate
    if params["certificate"]:
        expected = f"{tmpdir}/expected.crt"
        Path(expected).write_text(params["certificate"], encoding="utf-8")
    return {
        "paths": look.paths([directory, certificate, key, authority]),
        "certificate": files.text(certificate),
        "authority": files.text(authority),
        "mismatch": files.mismatch(expected, key),
        **({"given": files.given(given)} if given else {}),
    }


def main() -> None:
    """Run the module."""
    given = {part: {"type": "path", "no_log": False} for part in files.PARTS}
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "certificate": {"type": "str"},
            "given": {"type": "dict", "options": given},
        },
        supports_check_mode=True,
    )
    try:
        found = seen(module.params, module.tmpdir)
    except OSError as error:
        module.fail_json(msg=f"Failed to look at {module.params['directory']}: {error}")
    module.exit_json(changed=False, seen=found)


if __name__ == "__main__":
    main()
