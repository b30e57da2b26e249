#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: prometheus_load_info
short_description: Check whether Prometheus, Alertmanager and Grafana loaded their files
version_added: 0.2.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Reads from each server's C(/metrics) when it started and when it last loaded its configuration, and
    compares that with the modification times of its files.
  - A server that refuses a configuration keeps the old one. Its process and its unit do not show that.
extends_documentation_fragment: [pooled.postgres.attributes, pooled.postgres.attributes.info_module]
options:
  servers:
    description: Servers of this host.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name for the result and for messages.
        type: str
        required: true
      url:
        description: URL of its metrics.
        type: str
        required: true
      restart_on:
        description: Files that it reads at its start only. A file that does not exist is ignored.
        type: list
        elements: str
        default: []
      reload_on:
        description: Files that it reads at a reload, too.
        type: list
        elements: str
        default: []
  answer_timeout:
    description: Seconds to wait for an answer. After that the task fails.
    type: int
    default: 60
  load_timeout:
    description: Seconds to wait until a server that answers has loaded its files. V(0) looks once.
    type: int
    default: 10
  required:
    description: Whether the task fails if a server has not loaded its files.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Check whether Prometheus loaded its files
  pooled.postgres.prometheus_load_info:
    servers:
      - name: prometheus
        url: http://127.0.0.1:9090/metrics
        reload_on: [/etc/prometheus/prometheus.yml]
  register: prometheus_load
"""

RETURN = r"""
stale:
  description: Servers that have not loaded their files, and whether they need a restart or a reload.
  returned: success
  type: list
  elements: dict
  sample: [{name: prometheus, action: reload}]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pooled.postgres.plugins.module_utils._monitoring import loaded

_PATHS = {"type": "list", "elements": "str", "default": []}
_SERVER = {
    "name": {"type": "str", "required": True},
    "url": {"type": "str", "required": True},
    "restart_on": dict(_PATHS),
    "reload_on": dict(_PATHS),
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "servers": {"type": "list", "elements": "dict", "required": True, "options": _SERVER},
            "answer_timeout": {"type": "int", "default": 60},
            "load_timeout": {"type": "int", "default": 10},
            "required": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        stale = loaded.wait(params["servers"], params["answer_timeout"], params["load_timeout"])
    except loaded.LoadError as error:
        module.fail_json(msg=str(error))
    if stale and params["required"]:
        names = ", ".join(server["name"] for server in stale)
        module.fail_json(
            msg=f"Failed to load the files of {names}: it keeps its old configuration. Look at its log.",
            stale=stale,
        )
    module.exit_json(changed=False, stale=stale)


if __name__ == "__main__":
    main()
