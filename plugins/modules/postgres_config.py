#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_config
short_description: Proves the configuration of a PostgreSQL cluster, puts it in place and has it taken over
version_added: 0.1.0
author: Pooled Postgres maintainers (@pooled-postgres)
description:
  - Writes a file of settings for C(conf.d), C(pg_hba.conf) and C(pg_ident.conf) of a cluster as Debian lays
    it out.
  - Before anything is written, the installed binary is given the new files in a scratch cluster. It says
    which names and values it does not take, whether they go together, whether libraries and certificates
    can be read, how much shared memory they need, and what is wrong with which rule. Where it has
    complaints, the task fails with the lines that they are about, and the old files stay.
  - The running server is reloaded, and the task waits until it has taken the files over. It is never
    restarted; the result says whether it needs to be. It is also reloaded where a certificate or key that
    the settings name is newer than what it has read.
  - Settings that follow from the memory, cores and disk of the host are added.
  - Runs as the account that the data belongs to, C(become_user=postgres).
extends_documentation_fragment: [pooled.postgres.attributes]
attributes:
  check_mode:
    support: full
    details: Where there is no cluster yet, or a certificate is still to come, nothing can be proved. Else the
      files are proved and what a restart would be needed for is foretold.
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
      - A setting without a value is left to PostgreSQL's default.
    type: dict
    default: {}
  hba:
    description: Rules of C(pg_hba.conf), in the order in which they are tried.
    type: list
    elements: dict
    required: true
    suboptions:
      type:
        description: Kind of connection.
        type: str
        choices: [local, host, hostssl, hostnossl, hostgssenc, hostnogssenc]
        required: true
      databases:
        description: Names, V(all), V(sameuser), V(samerole), V(replication), or V(/) and a regular
          expression.
        type: list
        elements: str
        required: true
      users:
        description: Names, V(all), C(+) and the name of a role whose members are meant, or V(/) and a
          regular expression.
        type: list
        elements: str
        required: true
      address:
        description: Network in CIDR notation, host name, V(samehost), V(samenet) or V(all). Not for V(local).
        type: str
        default: ""
      method:
        description: How the client proves who it is.
        type: str
        required: true
      options:
        description: Options of the method, by name.
        type: dict
        default: {}
  ident:
    description: Entries of C(pg_ident.conf).
    type: list
    elements: dict
    default: []
    suboptions:
      map:
        description: Name of the map.
        type: str
        required: true
      system:
        description: Account of the operating system, or name of the certificate.
        type: str
        required: true
      user:
        description: User of PostgreSQL.
        type: str
        required: true
  header:
    description: Comment at the top of each file.
    type: str
    default: Ansible managed
  restart_allowed:
    description: Whether the caller restarts the server where RV(restart_needed) says so. Where not, a
      warning names the settings that wait.
    type: bool
    default: false
  unit_file:
    description:
      - File of systemd's that the server takes over at its start only. Where it is newer than the running
        server, that counts as a setting that waits for a restart.
    type: path
  unit_changed:
    description: Whether the caller changes that file. In check mode, where it stays, it counts as newer.
    type: bool
    default: false
requirements: [psycopg2 on the host]
"""

EXAMPLES = r"""
- name: Configuration is proved and in place
  pooled.postgres.postgres_config:
    config_directory: /etc/postgresql/17/main
    data_directory: /var/lib/postgresql/17/main
    bin_directory: /usr/lib/postgresql/17/bin
    settings:
      log_min_duration_statement: 500
    hba:
      - {type: local, databases: [all], users: [postgres], method: peer}
  become: true
  become_user: postgres
  register: configured
"""

RETURN = r"""
pending_restart:
  description: Settings that only a restart brings in force, and C(systemd's unit) where O(unit_file) waits;
    in check mode those that would be.
  returned: success
  type: list
  elements: str
  sample: [shared_buffers]
restart_needed:
  description: Whether the server is to be restarted, because settings wait for it, and it is allowed or
    nobody uses the server yet.
  returned: success
  type: bool
  sample: false
port:
  description: Port that the server listens on once it is restarted, if that is needed; in check mode the
    one now.
  returned: success
  type: int
  sample: 5432
reloaded:
  description: Whether the running server was reloaded.
  returned: success
  type: bool
  sample: true
overridden:
  description: Settings that another file, mostly that of C(ALTER SYSTEM), sets again.
  returned: success
  type: list
  elements: str
  sample: []
derived:
  description: Settings that follow from the host, as far as O(settings) does not have them.
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
    """Return the files as they should be."""
    directory, header = Path(params["config_directory"]), params["header"]
    settings, hba, ident = (
        directory / name for name in ("conf.d/50-pooled.conf", "pg_hba.conf", "pg_ident.conf")
    )
    return api.Candidate(
        files={
            settings: model.settings_file(header, params["settings"], derived),
            hba: model.hba_file(header, params["hba"]),
            ident: model.ident_file(header, params["ident"]),
        },
        settings=settings,
        hba=hba,
        ident=ident,
        config_directory=directory,
        data_directory=Path(params["data_directory"]),
        bin_directory=Path(params["bin_directory"]),
    )


def number(value: object, default: int) -> int:
    """Return a setting's number; the default where it is none, which the proof complains of."""
    text = str(value)
    return int(text) if text.isdigit() and int(text) else default


def write(module: AnsibleModule, path: Path, text: str) -> None:
    """Replace a file in one step. Raises ServerError where the system refuses."""
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
    """Say whether a file is newer than what the server has read: an earlier run broke off in between."""
    return any(path.stat().st_ctime > live.load_time for path in paths)


def tls_files(settings: dict[str, Any]) -> list[Path]:
    """Return the files of certificates and keys, which the server reads when it is reloaded."""
    named = [
        settings[name] for name in sorted(settings) if name.startswith("ssl_") and name.endswith("_file")
    ]
    # A relative one is in the data directory, where nobody but the server's owner puts any.
    return [Path(path) for path in named if str(path or "").startswith("/")]


def unit_waits(module: AnsibleModule, live: api.Live) -> bool:
    """Say whether the server was started before the file of its unit became what it is, or will be."""
    path = Path(module.params["unit_file"] or "/nowhere")
    will_be = bool(module.check_mode and module.params["unit_changed"])
    return will_be or (path.exists() and path.stat().st_mtime > live.start_time)


def ensure(module: AnsibleModule) -> dict[str, Any]:
    """Bring the configuration into the wanted state, or in check mode foresee it, and return the result."""
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
                "Failed to configure PostgreSQL: there is no cluster in "
                f"{candidate.config_directory}; make one first"
            )
        return result
    port = result["port"]
    live = api.ask(candidate.data_directory, candidate.settings)
    missing = [str(path) for path in tls_files(params["settings"]) if not path.exists()]
    if module.check_mode and missing:
        module.warn(f"The configuration was not proved, for {', '.join(missing)} is still to come.")
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
    """Have the running server read the files where they are new to it, and complete the result."""
    result["reloaded"] = result["changed"] or stale(
        [*candidate.files, *filter(Path.exists, tls_files(module.params["settings"]))], live
    )
    result["changed"] = result["reloaded"]
    if result["reloaded"] and not module.check_mode:
        api.reload(live)
        live = api.ask(candidate.data_directory, candidate.settings) or live
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
            f"PostgreSQL goes on with its old {', '.join(result['pending_restart'])} until it is restarted: "
            "set postgres_restart_allowed to true for a run in which it may be"
        )
    if result["overridden"]:
        module.warn(
            f"{', '.join(result['overridden'])}: what {candidate.settings} says does not count, for another"
            " file, mostly that of ALTER SYSTEM, sets it again: ALTER SYSTEM RESET brings it in force"
        )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "config_directory": {"type": "path", "required": True},
            "data_directory": {"type": "path", "required": True},
            "bin_directory": {"type": "path", "required": True},
            "settings": {"type": "dict", "default": {}},
            "hba": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "type": {
                        "type": "str",
                        "required": True,
                        "choices": ["local", "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc"],
                    },
                    "databases": {"type": "list", "elements": "str", "required": True},
                    "users": {"type": "list", "elements": "str", "required": True},
                    "address": {"type": "str", "default": ""},
                    "method": {"type": "str", "required": True},
                    "options": {"type": "dict", "default": {}},
                },
            },
            "ident": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "map": {"type": "str", "required": True},
                    "system": {"type": "str", "required": True},
                    "user": {"type": "str", "required": True},
                },
            },
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
