#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: files
short_description: Write several files, directories and links in one task
version_added: 0.2.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Compares all entries with the host, validates every new content, and only then replaces the first file.
  - If a check fails, no file changes.
extends_documentation_fragment: [pooled.postgres.attributes]
attributes:
  check_mode:
    support: full
    details: Accounts, directories and checkers that do not exist yet are no error.
  diff_mode:
    support: full
    details: The content of O(files[].secret_content) is never shown.
options:
  files:
    description: Entries, in the order in which they are applied. Directories come first.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      state:
        description: State of the path. V(absent) removes a directory with its contents.
        type: str
        choices: [file, directory, link, absent]
        default: file
      content:
        description: Text of a file.
        type: str
      secret_content:
        description: Text of a file, which no output shows.
        type: str
      target:
        description: Target of a link.
        type: str
      owner:
        description: Name or number of the owner. Files and directories get C(root) by default.
        type: str
      group:
        description: Name or number of the group. Files and directories get C(root) by default.
        type: str
      mode:
        description: Octal mode. Files get V(0644) and directories V(0755) by default.
        type: str
      validate:
        description: Command that checks the new content, in a file whose path replaces C(%s).
        type: str
      keep:
        description: Whether to leave a file that exists as it is.
        type: bool
        default: false
"""

EXAMPLES = r"""
- name: Configure Prometheus
  pooled.postgres.files:
    files:
      - {path: /etc/prometheus/rules, state: directory}
      - path: /etc/prometheus/rules/pooled.yml
        content: "{{ rules }}"
        validate: promtool check rules %s
  become: true
"""

RETURN = r"""
changed_paths:
  description: Paths that changed, in the order of the entries.
  returned: success
  type: list
  elements: str
  sample: [/etc/prometheus/rules/pooled.yml]
paths:
  description: Modification time of each path that exists, as Unix time.
  returned: success
  type: dict
  sample: {/etc/prometheus/rules/pooled.yml: {mtime: 1764400000.5}}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pooled.postgres.plugins.module_utils._host import files
from ansible_collections.pooled.postgres.plugins.module_utils._host.errors import HostError
from ansible_collections.pooled.postgres.plugins.module_utils._host.look import path_state

_ENTRY = {
    "path": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["file", "directory", "link", "absent"], "default": "file"},
    "content": {"type": "str", "no_log": False},
    "secret_content": {"type": "str", "no_log": True},
    "target": {"type": "str"},
    "owner": {"type": "str"},
    "group": {"type": "str"},
    "mode": {"type": "str"},
    "validate": {"type": "str"},
    "keep": {"type": "bool", "default": False, "no_log": False},
}


def run(module: AnsibleModule) -> dict[str, object]:
    """Compare, validate and write. Raises HostError and OSError."""
    steps = files.compare(module.params["files"])
    changes = [step for step in steps if step.differs]
    files.validate(module.run_command, changes, module.tmpdir, module.check_mode)
    if not module.check_mode:
        files.apply(changes)
    states = {step.entry["path"]: path_state(step.entry["path"]) for step in steps}
    return {
        "changed": bool(changes),
        "changed_paths": [step.entry["path"] for step in changes],
        "diff": [files.diff(step) for step in changes],
        "paths": {path: {"mtime": state["mtime"]} for path, state in states.items() if state},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": _ENTRY,
                "mutually_exclusive": [("content", "secret_content")],
                "required_if": [("state", "link", ("target",))],
            }
        },
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except HostError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"Failed to write {error.filename or 'a file'}: {error.strerror or error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
