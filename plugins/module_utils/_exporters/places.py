# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Account and paths of the exporters on a host."""

from __future__ import annotations

# Debian's account. The role postgres admits it by peer.
ACCOUNT = "prometheus"
DIRECTORY = "/etc/pooled-exporters"
# The other exporters' sandboxes hide this directory. A file alone would show again once it is replaced.
HIDDEN = f"{DIRECTORY}/pgbouncer"
PASSFILE = f"{HIDDEN}/passfile"
OLD_PASSFILE = f"{DIRECTORY}/pgbouncer.passfile"
WEB = f"{DIRECTORY}/web.yml"
RELEASES = "/opt/pooled-exporters"
UNITS = "/etc/systemd/system"
TEXTFILES = "/var/lib/prometheus/node-exporter"
# The role certificates writes here.
CERTIFICATES = "/etc/ssl/pooled/exporters"
