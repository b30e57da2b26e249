#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: services
short_description: Run several units of systemd in one task
version_added: 0.2.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Starts, stops, enables, restarts and reloads units, each only if needed.
  - A unit is restarted if a file that it reads at its start is newer than its start, and reloaded if a file
    that it reads at a reload is newer than its last start or reload. So a run completes an interrupted one.
  - Reloads systemd if unit files changed.
extends_documentation_fragment: [pooled.postgres.attributes]
attributes:
  check_mode:
    support: full
    details: A unit whose file does not exist yet counts as one that would start.
  diff_mode:
    support: full
options:
  services:
    description: Units. Those that stop come first, then the others in this order.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the unit. A name without a suffix is a service.
        type: str
        required: true
      state:
        description: State of the unit. V(unchanged) leaves it running or stopped.
        type: str
        choices: [started, stopped, restarted, reloaded, unchanged]
        default: started
      enabled:
        description: Whether it starts at boot. Without a value that stays as it is.
        type: bool
      masked:
        description: Whether it is masked. Without a value that stays as it is.
        type: bool
      restart_on:
        description: Files that the unit reads at its start only.
        type: list
        elements: str
        default: []
      reload_on:
        description: Files that the unit reads at each reload.
        type: list
        elements: str
        default: []
      reason:
        description: Why it is stopped, restarted or reloaded, for the output.
        type: str
"""

EXAMPLES = r"""
- name: Run Prometheus
  pooled.postgres.services:
    services:
      - name: prometheus
        enabled: true
        restart_on: [/etc/systemd/system/prometheus.service.d/50-pooled.conf]
        reload_on: [/etc/prometheus/prometheus.yml]
  become: true
"""

RETURN = r"""
actions:
  description: Actions, with their reasons.
  returned: success
  type: list
  elements: dict
  sample: [{name: prometheus.service, action: reload, reasons: [/etc/prometheus/prometheus.yml]}]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pooled.postgres.plugins.module_utils._host import services
from ansible_collections.pooled.postgres.plugins.module_utils._host.errors import HostError

_SERVICE = {
    "name": {"type": "str", "required": True},
    "state": {
        "type": "str",
        "choices": ["started", "stopped", "restarted", "reloaded", "unchanged"],
        "default": "started",
    },
    "enabled": {"type": "bool"},
    "masked": {"type": "bool"},
    "restart_on": {"type": "list", "elements": "str", "default": []},
    "reload_on": {"type": "list", "elements": "str", "default": []},
    "reason": {"type": "str"},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "dict", "required": True, "options": _SERVICE}
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LC_ALL": "C"}
    try:
        steps, reloaded = services.ensure(module.run_command, module.params["services"], module.check_mode)
    except HostError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"Failed to ask systemd: {error}")
    said = [f"{step.action} {step.name}: {', '.join(step.reasons)}" for step in steps]
    module.exit_json(
        changed=bool(steps) or reloaded,
        actions=[step._asdict() for step in steps],
        diff={"before": "", "after": "".join(f"{line}\n" for line in said)},
    )


if __name__ == "__main__":
    main()
