#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_bare_hosts
short_description: Create systemd containers that answer over SSH
version_added: 0.2.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Builds the images that are missing, starts all hosts at the same time, and waits until they have booted.
  - Writes C(ssh_config), C(known_hosts) and the key C(id_ed25519) to O(state_dir).
  - Needs root, or sudo without a password, and the commands C(mmdebstrap), C(podman) and C(runc).
extends_documentation_fragment:
  - pooled.postgres.attributes
attributes:
  check_mode:
    support: none
  diff_mode:
    support: none
options:
  hosts:
    description: Hosts by name, each with its release of Debian.
    type: dict
    required: true
  state_dir:
    description: Directory for the SSH key and configuration.
    type: path
    required: true
  network:
    description: Name of the Podman network, and the beginning of the containers' names.
    type: str
    required: true
  label:
    description: Label of the containers, as C(NAME=VALUE).
    type: str
    required: true
  image:
    description: Name of the image, without a tag.
    type: str
    required: true
  mirror:
    description: URL of the Debian mirror.
    type: str
    required: true
  directory:
    description: Directory for the build of an image, on a disk with 1 GB free.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Create the hosts
  pooled.postgres.lab_bare_hosts:
    hosts: {old: bookworm, new: trixie}
    state_dir: /srv/bare
    network: bare
    label: owner=/srv/bare
    image: localhost/pooled-host
    mirror: http://deb.debian.org/debian
    directory: /var/tmp
"""

RETURN = r"""
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pooled.postgres.plugins.module_utils._lab import bare, image


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "hosts": {"type": "dict", "required": True},
            "state_dir": {"type": "path", "required": True},
            "network": {"type": "str", "required": True},
            "label": {"type": "str", "required": True},
            "image": {"type": "str", "required": True},
            "mirror": {"type": "str", "required": True},
            "directory": {"type": "path", "required": True},
        },
    )
    params = module.params
    settings = bare.Settings(Path(params["state_dir"]), params["network"], params["label"])
    try:
        bare.create(params["hosts"], settings, params["mirror"], params["image"], Path(params["directory"]))
    except (bare.BareError, image.ImageError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
