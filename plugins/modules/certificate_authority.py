#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_authority
short_description: Create or renew the site's CA on the machine that runs the playbook
version_added: 0.2.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Creates C(authority.key) and C(authority.crt) if they are missing, and renews the certificate before it
    expires, with the same key.
  - Hosts that run in parallel share the CA. A lock prevents a second one, which C(community.crypto) cannot
    do.
extends_documentation_fragment: [pooled.postgres.attributes]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: It names the files. It shows no key.
options:
  directory:
    description: Directory of the CA. The module creates it with mode C(0700).
    type: str
    required: true
  name:
    description: Common name of the CA.
    type: str
    required: true
  passphrase:
    description: Passphrase of the key. Empty for a key without one.
    type: str
    default: ""
  days:
    description: Days that a new certificate is valid.
    type: int
    required: true
  least_days:
    description: The module renews the certificate if it expires within this number of days.
    type: int
    required: true
"""

EXAMPLES = r"""
- name: Create the CA
  pooled.postgres.certificate_authority:
    directory: .state/aws/certificates
    name: pooled certificate authority
    days: 3650
    least_days: 365
"""

RETURN = r"""
files:
  description: Files that changed.
  returned: success
  type: list
  elements: str
  sample: [.state/aws/certificates/authority.crt]
"""
