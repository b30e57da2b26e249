#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

# This is documentation only. The action plugin of the same name does the work.

from __future__ import annotations

DOCUMENTATION = r"""
module: lock
short_description: Lock a target for this run
version_added: 0.1.0
description:
  - Fails if another run holds the lock, and names that run.
  - The run holds the lock until its main process ends, even if it is killed. No task releases it.
  - A run that C(runner.py) started shares the lock of C(runner.py).
options:
  directory:
    description: The directory of the target's state on the controller. Its base name is the target's name.
    type: path
    required: true
extends_documentation_fragment:
  - pooled.postgres.attributes
attributes:
  check_mode:
    support: full
    details: Check mode takes no lock.
  diff_mode:
    support: none
notes:
  - The lock works among the processes of one machine.
author:
  - Pooled Postgres maintainers (@pooled-postgres)
"""

EXAMPLES = r"""
- name: Lock the target
  pooled.postgres.lock:
    directory: .state/aws
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
holder:
  description: The process that holds the lock. It is this run's main process or one above it.
  returned: when not in check mode
  type: dict
  sample:
    pid: 4711
    command: ansible-playbook site.yml
    since: 2026-11-29 11:02:13 UTC
"""
