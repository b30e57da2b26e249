#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_config
short_description: Validate, install and apply the configuration of a PostgreSQL cluster
version_added: 0.1.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Writes a settings file for C(conf.d), C(pg_hba.conf) and C(pg_ident.conf) of a cluster in Debian's layout.
  - If a file differs, the installed binary first reads the new files in a scratch cluster. It checks names
    and values, whether they fit together, whether libraries and certificates can be read, how much shared
    memory they need, and each rule. If it reports an error, the task fails with the line, and the old files
    stay.
  - Reloads the running server and waits until it has read the files. Also reloads it if a certificate or
    key in the settings is newer than the last reload. Fails if the server finds errors in its files.
  - Never restarts the server. The result says whether that is needed.
  - Adds settings that follow from the memory, cores and disk of the host.
  - Run it as the account that owns the data, C(become_user=postgres).
extends_documentation_fragment: [pooled.postgres.attributes]
attributes:
  check_mode:
    support: full
    details:
      - Without a cluster, or with a certificate that does not exist yet, the module does not validate the
        files. Otherwise it does, and the result predicts whether a restart is needed.
  diff_mode:
    support: full
options:
  config_directory:
    description: Directory of C(postgresql.conf).
    type: path
    required: true
  data_directory:
    description: Directory of the data.
    type: path
    required: true
  bin_directory:
    description: Directory of C(postgres) and C(initdb).
    type: path
    required: true
  settings:
    description:
      - Settings by name. Booleans become C(on) and C(off), lists are joined by commas, texts are quoted.
      - A setting without a value keeps PostgreSQL's default.
    type: dict
    default: {}
  hba:
    description: Text of C(pg_hba.conf).
    type: str
    required: true
  ident:
    description: Text of C(pg_ident.conf).
    type: str
    default: ""
  header:
    description: Comment at the top of the settings file.
    type: str
    default: Ansible managed
  restart_allowed:
    description:
      - Whether the caller restarts the server if RV(restart_needed). If not, a warning names the settings
        that wait for a restart.
    type: bool
    default: false
  unit_file:
    description:
      - File of systemd's that only applies when the server starts. If it is newer than the running server, it
        counts as a setting that waits for a restart.
    type: path
  unit_changed:
    description:
      - Whether the caller changes that file. Check mode, which does not change it, counts it as newer.
    type: bool
    default: false
requirements: [psycopg2 on the host]
"""

EXAMPLES = r"""
- name: Configure PostgreSQL
  pooled.postgres.postgres_config:
    config_directory: /etc/postgresql/17/main
    data_directory: /var/lib/postgresql/17/main
    bin_directory: /usr/lib/postgresql/17/bin
    settings:
      log_min_duration_statement: 500
    hba: |
      local all postgres peer
  become: true
  become_user: postgres
  register: configured
"""

RETURN = r"""
pending_restart:
  description:
    - Settings that wait for a restart, and C(systemd's unit) if O(unit_file) does; in check mode those that
      would.
  returned: success
  type: list
  elements: str
  sample: [shared_buffers]
restart_needed:
  description: Whether to restart the server, because settings wait for it, and O(restart_allowed) or no
    database exists yet.
  returned: success
  type: bool
  sample: false
port:
  description:
    - Port that the server listens on after the restart, if one is needed; in check mode its current port.
  returned: success
  type: int
  sample: 5432
reloaded:
  description: Whether the running server was reloaded.
  returned: success
  type: bool
  sample: true
overridden:
  description: Settings that another file, usually that of C(ALTER SYSTEM), sets again.
  returned: success
  type: list
  elements: str
  sample: []
derived:
  description: Settings that follow from the host, without those in O(settings).
  returned: success
  type: dict
  sample: {shared_buffers: 992MB}
"""

import os
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pooled.postgres.plugins.module_utils._postgres import api, model
from ansible_collections.pooled.postgres.plugins.module_utils._postgres.errors import (
    PostgresError,
    ServerError,
)

MODE = 0o640


def wanted(params: dict[str, Any], derived: dict[str, Any]) -> api.Candidate:
    """Return the wanted files."""
    directory = Path(params["config_directory"])
    settings, hba, ident = (
        directory / name for name in ("conf.d/50-pooled.conf", "pg_hba.conf", "pg_ident.conf")
    )
    return api.Candidate(
        files={
            settings: model.settings_file(params["header"], params["settings"], derived),
            hba: params["hba"],
            ident: params["ident"],
        },
        settings=settings,
        hba=hba,
        ident=ident,
        config_directory=directory,
        data_directory=Path(params["data_directory"]),
        bin_directory=Path(params["bin_directory"]),
    )


def number(value: object, default: int) -> int:
    """Return a setting as a number, or the default if it is not one, which the validation refuses later."""
    text = str(value)
    return int(text) if text.isdigit() and int(text) else default


def write(module: AnsibleModule, path: Path, text: str) -> None:
    """Replace a file in one step. Raises ServerError if the system refuses."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    module.add_cleanup_file(str(temporary))
    try:
        path.parent.mkdir(mode=0o755, exist_ok=True)
        with temporary.open("x", encoding="utf-8") as file:
            temporary.chmod(MODE)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise ServerError(f"Failed to write {path}: {error.strerror}") from error


def stale(paths: list[Path], live: api.Live) -> bool:
    """Return whether a file is newer than what the server has read, after an interrupted run."""
    return any(path.stat().st_ctime > live.load_time for path in paths)


def tls_files(settings: dict[str, Any]) -> list[Path]:
    """Return the files of certificates and keys, which the server reads at a reload."""
    named = [
        settings[name] for name in sorted(settings) if name.startswith("ssl_") and name.endswith("_file")
    ]
    # A relative path is in the data directory, where only the server's owner writes.
    return [Path(path) for path in named if str(path or "").startswith("/")]


def unit_waits(module: AnsibleModule, live: api.Live) -> bool:
    """Return whether the unit file is newer than the running server, or will be."""
    path = Path(module.params["unit_file"] or "/nowhere")
    will_be = bool(module.check_mode and module.params["unit_changed"])
    return will_be or (path.exists() and path.stat().st_mtime > live.start_time)


def ensure(module: AnsibleModule) -> dict[str, Any]:
    """Apply the configuration, or in check mode foresee that, and return the result."""
    params = module.params
    derived = api.derived(
        Path(params["data_directory"]), number(params["settings"].get("max_connections"), 100)
    )
    candidate = wanted(params, derived)
    before = {path: api.read(path) for path in candidate.files}
    differing = [path for path, text in candidate.files.items() if before[path] != text]
    result: dict[str, Any] = {
        "changed": bool(differing),
        "derived": {name: value for name, value in derived.items() if name not in params["settings"]},
        "diff": [
            {
                "before": before[path] or "",
                "after": candidate.files[path],
                "before_header": str(path),
                "after_header": str(path),
            }
            for path in differing
        ],
        "overridden": [],
        "pending_restart": [],
        "port": number(params["settings"].get("port"), 5432),
        "reloaded": False,
        "restart_needed": False,
    }
    if not (candidate.config_directory / "postgresql.conf").exists():
        if not module.check_mode:
            raise ServerError(
                "Failed to configure PostgreSQL: no cluster has its configuration in "
                f"{candidate.config_directory}. Create one (pg_createcluster)"
            )
        return result
    port = result["port"]
    live = api.ask(candidate.data_directory, candidate.settings)
    missing = [str(path) for path in tls_files(params["settings"]) if not path.exists()]
    if module.check_mode and missing:
        module.warn(f"The configuration was not validated: {', '.join(missing)} does not exist yet.")
    elif differing:
        api.check_port(port, live, restart=params["restart_allowed"] or not (live and live.used))
        startup = api.prove(candidate, module.tmpdir)
        if live:
            texts = (before[candidate.settings] or "", candidate.files[candidate.settings])
            named = set().union(*map(model.setting_names, texts))
            result["pending_restart"] = model.waiting_for_restart(live.startup, startup, named)
    if not module.check_mode:
        for path in differing:
            write(module, path, candidate.files[path])
    if live:
        take_over(module, candidate, live, result)
    return result


def take_over(
    module: AnsibleModule, candidate: api.Candidate, live: api.Live, result: dict[str, Any]
) -> None:
    """Reload the running server if the files are new to it, and complete the result."""
    result["reloaded"] = result["changed"] or stale(
        [*candidate.files, *filter(Path.exists, tls_files(module.params["settings"]))], live
    )
    result["changed"] = result["reloaded"]
    if result["reloaded"] and not module.check_mode:
        api.reload(live)
        live = api.ask(candidate.data_directory, candidate.settings) or live
    if live.errors and not module.check_mode:
        raise ServerError(f"Failed to apply the configuration of PostgreSQL: {'; '.join(live.errors)}")
    if not (module.check_mode and result["diff"]):
        result["pending_restart"] = list(live.pending)
        result["overridden"] = list(live.overridden)
    if unit_waits(module, live):
        result["pending_restart"].append("systemd's unit")
    allowed = module.params["restart_allowed"] or not live.used
    result["restart_needed"] = bool(result["pending_restart"]) and allowed
    if module.check_mode or not result["restart_needed"]:
        result["port"] = live.port
    if result["pending_restart"] and not allowed:
        module.warn(
            f"PostgreSQL keeps its old {', '.join(result['pending_restart'])} until a restart. Set"
            " postgres_restart_allowed to true for a run that may restart it."
        )
    if result["overridden"]:
        module.warn(
            f"{', '.join(result['overridden'])}: another file, usually that of ALTER SYSTEM, overrides"
            f" {candidate.settings}. Use ALTER SYSTEM RESET to apply it."
        )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "config_directory": {"type": "path", "required": True},
            "data_directory": {"type": "path", "required": True},
            "bin_directory": {"type": "path", "required": True},
            "settings": {"type": "dict", "default": {}},
            "hba": {"type": "str", "required": True},
            "ident": {"type": "str", "default": ""},
            "header": {"type": "str", "default": "Ansible managed"},
            "unit_file": {"type": "path"},
            "unit_changed": {"type": "bool", "default": False},
            "restart_allowed": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        result = ensure(module)
    except PostgresError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
