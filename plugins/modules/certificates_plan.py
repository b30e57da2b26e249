#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: certificates_plan
short_description: Plan the role certificates on its host
version_added: 0.2.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Reads the inputs of the role C(certificates) from the variables of the host, looks at the host once, and
    returns what the tasks of the role apply.
  - It fails once with all problems. It changes nothing.
extends_documentation_fragment: [pooled.postgres.attributes, pooled.postgres.attributes.info_module]
options:
  inputs_only:
    description: Check the inputs without a connection, and return their problems instead of failing.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Plan the certificate of PostgreSQL
  pooled.postgres.certificates_plan:
  become: true
  register: __certificates
"""

RETURN = r"""
problems:
  description: Problems of the inputs, your files or the CA.
  returned: with O(inputs_only=true), and on failure
  type: list
  elements: str
  sample: [certificates_service is empty. Name the service.]
authority:
  description: Whether to create or renew the CA.
  returned: success
  type: bool
  sample: false
issue:
  description: Whether the CA signs a certificate.
  returned: success
  type: bool
  sample: false
reasons:
  description: Why the CA signs a certificate.
  returned: success
  type: list
  elements: str
  sample: [it expires on 2026-12-24]
copies:
  description: Certificates to copy to the host.
  returned: success
  type: list
  elements: dict
  sample: []
"""
