#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

# This is documentation only. The action plugin of the same name does the work.

from __future__ import annotations

DOCUMENTATION = r"""
module: site_status
short_description: Write the status of the site as status.json
version_added: 0.1.0
description:
  - Combines the results of M(pooled.postgres.status_info) on the hosts of the groups C(database) and
    C(monitoring) with the site's C(outputs.json), on the controller.
  - The site is healthy if every service runs and no scrape target has an error.
options:
  directory:
    description: The directory of the target's state on the controller.
    type: path
    required: true
  variable:
    description: The variable in which each host registered its result. A host without it counts as unknown.
    type: str
    required: true
extends_documentation_fragment:
  - pooled.postgres.attributes
  - pooled.postgres.attributes.info_module
author:
  - Pooled Postgres maintainers (@pooled-postgres)
"""

EXAMPLES = r"""
- name: Write status.json
  pooled.postgres.site_status:
    directory: .state/lab
    variable: found
"""

RETURN = r"""
status:
  description: The content of status.json.
  returned: success
  type: dict
  sample: {hosts: [db1], services: [], pools: [], targets: [], endpoints: {}, healthy: false}
"""
