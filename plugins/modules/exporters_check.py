#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: exporters_check
short_description: Scrape the Prometheus exporters of a host
version_added: 0.2.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Scrapes all exporters at the same time, and waits until each of them reports its target.
  - It fails once with all exporters that do not.
extends_documentation_fragment:
  - pooled.postgres.attributes
  - pooled.postgres.attributes.info_module
options:
  exporters:
    description: The exporters.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the service.
        type: str
        required: true
      port:
        description: Its TCP port.
        type: int
        required: true
      sample:
        description: Regular expression of a whole line that a working exporter reports.
        type: str
        required: true
      hint:
        description: What to check if the exporter fails.
        type: str
        default: ""
  address:
    description: Address of the exporters.
    type: str
    default: 127.0.0.1
  tls:
    description: Whether the exporters serve TLS.
    type: bool
    default: false
  ca_path:
    description: File with the CA's certificate. Without it, no certificate is verified.
    type: path
  user:
    description: User of the basic authentication.
    type: str
  password:
    description: Password of O(user).
    type: str
  refused:
    description: Whether a scrape must be refused with HTTP status 401. Then no figures are checked.
    type: bool
    default: false
  wait:
    description: Seconds to wait for the first figures of an exporter.
    type: int
    default: 15
"""

EXAMPLES = r"""
- name: Scrape the exporters
  pooled.postgres.exporters_check:
    exporters:
      - {name: postgres_exporter, port: 9187, sample: pg_up 1}
      - {name: pgbouncer_exporter@1, port: 9127, sample: pgbouncer_up 1}
"""

RETURN = r"""
scraped:
  description: Names of the exporters that work.
  returned: success
  type: list
  elements: str
  sample: [postgres_exporter, pgbouncer_exporter@1]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pooled.postgres.plugins.module_utils._exporters import scrape


def main() -> None:
    """Run the module."""
    exporter = {
        "name": {"type": "str", "required": True},
        "port": {"type": "int", "required": True},
        "sample": {"type": "str", "required": True},
        "hint": {"type": "str", "default": ""},
    }
    module = AnsibleModule(
        argument_spec={
            "exporters": {"type": "list", "elements": "dict", "required": True, "options": exporter},
            "address": {"type": "str", "default": "127.0.0.1"},
            "tls": {"type": "bool", "default": False},
            "ca_path": {"type": "path"},
            "user": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "refused": {"type": "bool", "default": False},
            "wait": {"type": "int", "default": 15},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        context = scrape.tls_context(params["ca_path"]) if params["tls"] else None
    except OSError as error:
        module.fail_json(msg=f"Failed to read {params['ca_path']}: {error}. Run the role again.")
    way = scrape.Way(params["address"], context, params["user"], params["password"])
    failed = scrape.wait_for_all(
        params["exporters"], lambda one: scrape.wait(one, way, params["refused"], params["wait"])
    )
    if failed:
        count = "1 exporter" if len(failed) == 1 else f"{len(failed)} exporters"
        lines = "".join(f"\n- {line}" for line in failed)
        module.fail_json(msg=f"Failed to scrape {count}. Look at journalctl -u NAME on this host.{lines}")
    module.exit_json(changed=False, scraped=[one["name"] for one in params["exporters"]])


if __name__ == "__main__":
    main()
