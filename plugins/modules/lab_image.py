#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_image
short_description: Build the image of the lab's hosts
version_added: 0.2.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Builds a Debian image with systemd and cloud-init by mmdebstrap, and imports it into Podman.
  - Does nothing if Podman has it.
  - The tag of the image is derived from its definition. A lock serializes builds on one machine.
  - Needs root, or sudo without a password, and the commands C(mmdebstrap) and C(podman).
extends_documentation_fragment:
  - pooled.postgres.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  name:
    description: Name of the image, without a tag.
    type: str
    required: true
  suite:
    description: Release of Debian. Required for O(state=present).
    type: str
    choices: [bookworm, trixie]
  mirror:
    description: URL of the Debian mirror. Required for O(state=present).
    type: str
  directory:
    description: Directory for the build, on a disk with 1 GB free. Required for O(state=present).
    type: path
  state:
    description: V(absent) removes all images of O(name) that no container uses.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Build the image of the lab's hosts
  pooled.postgres.lab_image:
    name: localhost/pooled-host
    suite: trixie
    mirror: http://deb.debian.org/debian
    directory: /var/tmp
"""

RETURN = r"""
images:
  description: The image with its tag, or the removed images.
  returned: success
  type: list
  elements: str
  sample: ["localhost/pooled-host:trixie-8d7e3e452fa0"]
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pooled.postgres.plugins.module_utils._lab import image


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "suite": {"type": "str", "choices": sorted(image.RELEASES)},
            "mirror": {"type": "str"},
            "directory": {"type": "path"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ("suite", "mirror", "directory"))],
        supports_check_mode=True,
    )
    params = module.params
    try:
        if params["state"] == "absent":
            images = image.unused(params["name"]) if module.check_mode else image.remove(params["name"])
            module.exit_json(changed=bool(images), images=images)
        wanted = image.reference(params["name"], params["suite"], params["mirror"])
        if module.check_mode:
            changed = not image.exists(wanted)
        else:
            changed = image.build(wanted, params["suite"], params["mirror"], Path(params["directory"]))
    except image.ImageError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=changed, images=[wanted])


if __name__ == "__main__":
    main()
