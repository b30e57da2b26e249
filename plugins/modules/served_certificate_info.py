#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: served_certificate_info
short_description: Compare the certificate that PostgreSQL or PgBouncer serves with a file
version_added: 0.1.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Connects as a client, requests TLS, and compares the certificate of the server with a file.
  - A server keeps the certificate that it has read until it is reloaded, whatever the file contains.
  - C(community.crypto.get_certificate) does not speak PostgreSQL's protocol, which TLS is part of.
  - It does not verify the certificate, and does not log in.
extends_documentation_fragment:
  - pooled.postgres.attributes
  - pooled.postgres.attributes.info_module
options:
  path:
    description: File. Its first certificate counts.
    type: path
    required: true
  host:
    description: Address of the server.
    type: str
    default: 127.0.0.1
  port:
    description: TCP port of the server.
    type: int
    required: true
  connections:
    description:
      - Number of connections. If several processes share the port, each connection may reach another one.
    type: int
    default: 1
  wait:
    description:
      - Seconds to wait until the server has the certificate. After that the task fails.
      - With V(0) the module looks once and does not fail.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Verify that PostgreSQL serves its certificate
  pooled.postgres.served_certificate_info:
    path: /etc/ssl/pooled/postgres/server.crt
    port: 5432
    wait: 10
"""

RETURN = r"""
current:
  description: Whether every connection got the certificate of the file.
  returned: success
  type: bool
  sample: true
answered:
  description: Whether the server answered.
  returned: success
  type: bool
  sample: true
served:
  description: SHA-256 fingerprints of the certificates that the server presented. Empty without TLS.
  returned: success
  type: list
  elements: str
  sample: [0f343b0931126a20f133d67c2b018a3b5f1c4d0d9ad5b8a6c7f7e1f4f0a6b4a2]
expected:
  description: Fingerprint of the certificate in the file. Empty if the file is missing.
  returned: success
  type: str
  sample: 0f343b0931126a20f133d67c2b018a3b5f1c4d0d9ad5b8a6c7f7e1f4f0a6b4a2
"""

import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pooled.postgres.plugins.module_utils._tls import api
from ansible_collections.pooled.postgres.plugins.module_utils._tls.errors import CertificateError


def look(params: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Look once; return the result and what is wrong with it, empty if nothing is."""
    expected = api.fingerprint(params["path"]) if params["wait"] or Path(params["path"]).exists() else ""
    shown: set[str | None] = set()
    cause = ""
    try:
        for _count in range(params["connections"]):
            shown.add(api.served(params["host"], params["port"]))
    except OSError as error:
        cause = f"it does not answer: {error}"
    if not cause and None in shown:
        cause = "it speaks no TLS"
    elif not cause and shown != {expected}:
        cause = f"it serves {', '.join(sorted(filter(None, shown - {expected})))} (SHA-256)"
    return {
        "changed": False,
        "current": not cause,
        "answered": bool(shown),
        "served": sorted(filter(None, shown)),
        "expected": expected,
    }, cause


def ensure(params: dict[str, Any]) -> dict[str, Any]:
    """Look until the certificate is current or the time is over. Raises CertificateError."""
    deadline = time.monotonic() + params["wait"]
    while True:
        result, cause = look(params)
        if not cause or not params["wait"]:
            return result
        if time.monotonic() > deadline:
            raise CertificateError(
                f"Failed to verify that the server at {params['host']} port {params['port']} has the"
                f" certificate {params['path']}: {cause}. The server's log says why it did not load the file"
            )
        time.sleep(0.2)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "host": {"type": "str", "default": "127.0.0.1"},
            "port": {"type": "int", "required": True},
            "connections": {"type": "int", "default": 1},
            "wait": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    try:
        result = ensure(module.params)
    except CertificateError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
