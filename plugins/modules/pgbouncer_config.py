#!/usr/bin/python
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbouncer_config
short_description: Manage PgBouncer's configuration, proved before it is live
version_added: 0.1.0
description:
  - Writes C(pgbouncer.ini) from settings, databases, users and peers given as data.
  - What PgBouncer does not know is refused with the nearest name that it does, and so is a value of the wrong
    type or out of range.
  - Then the installed PgBouncer is started with the new configuration in a scratch directory, without TCP,
    under its own account and with the real userlist and certificates. It is asked for its settings, databases
    and users, and ended. Only what it takes without an error or a warning replaces the file, in one step.
    Otherwise the old file stays, and the message tells the line.
  - The running PgBouncer, which the old file tells the socket of, is asked as well. RV(action) says what it
    takes to bring it to the new configuration. This module neither reloads nor restarts it.
  - The file is managed as a whole. Comments and C(%include) are removed.
options:
  path:
    description: The configuration file. Its directory must exist.
    type: path
    default: /etc/pgbouncer/pgbouncer.ini
  settings:
    description:
      - Settings of the section C([pgbouncer]), by name; each that the installed version has, except
        C(conffile).
      - Lists may be given as such. V(true) and V(false) are written as V(1) and V(0). A file mode is text,
        such as V('0770').
    type: dict
    default: {}
  databases:
    description:
      - Databases that clients can connect to. Each has a C(name), where V(*) stands for all others, and
        options of PgBouncer - C(host), C(port), C(dbname), C(user), C(password), C(auth_user), C(auth_query),
        C(auth_dbname), C(pool_size), C(min_pool_size), C(reserve_pool_size), C(pool_mode), C(connect_query),
        C(load_balance_hosts), C(max_db_connections), C(max_db_client_connections), C(server_lifetime),
        C(client_encoding), C(datestyle), C(timezone), C(application_name).
    type: list
    elements: dict
    default: []
  users:
    description:
      - Users with options of their own. Each has a C(name), and of C(pool_size), C(reserve_pool_size),
        C(pool_mode), C(max_user_connections), C(max_user_client_connections), C(query_timeout),
        C(idle_transaction_timeout), C(transaction_timeout), C(client_idle_timeout) those that differ.
      - Those without options may be left out. Who is let in is a matter of the userlist.
    type: list
    elements: dict
    default: []
  peers:
    description:
      - Further PgBouncer processes, which requests to cancel a query are passed on to. Each has an C(id), a
        C(host), which may be a socket directory, and C(port) and C(pool_size).
    type: list
    elements: dict
    default: []
  header:
    description: Comment at the top of the file.
    type: str
    default: Ansible managed
  open_files:
    description:
      - File descriptors that PgBouncer needs. One that runs with fewer has to be restarted.
      - Its unit's C(LimitNOFILE) is what it gets.
    type: int
    default: 0
extends_documentation_fragment:
  - ansible.builtin.files
  - pooled.postgres.attributes
  - pooled.postgres.pgbouncer_file
  - pooled.postgres.pgbouncer_file.proof
attributes:
  check_mode:
    support: full
    details: The configuration is proved in check mode, too, unless a file that it names is still to come.
  diff_mode:
    support: full
    details: Passwords are hidden in it.
requirements:
  - psycopg2 on the host
seealso:
  - name: PgBouncer's configuration
    description: What each setting and option does.
    link: https://www.pgbouncer.org/config.html
  - module: pooled.postgres.pgbouncer_console
  - module: pooled.postgres.pgbouncer_userlist
author:
  - Pooled Postgres maintainers (@pooled-postgres)
"""

EXAMPLES = r"""
- name: PgBouncer configuration is proved and in place
  pooled.postgres.pgbouncer_config:
    settings:
      listen_addr: ["127.0.0.1", "10.0.2.10"]
      unix_socket_dir: /run/pgbouncer/1
      auth_type: scram-sha-256
      auth_file: /etc/pgbouncer/userlist.txt
      pool_mode: transaction
      server_idle_timeout: 300
    databases:
      - name: shop
        host: 10.0.2.20
        pool_size: 30
        connect_query: SET search_path TO shop
    users:
      - name: reports
        pool_mode: session
  become: true
  register: proved

- name: Running PgBouncer takes it over
  pooled.postgres.pgbouncer_console:
    command: RELOAD
    expected: "{{ proved.settings }}"
  become: true
  become_user: pgbouncer
  when: proved.action == 'reload'
"""

RETURN = r"""
path:
  description: The configuration file.
  returned: success
  type: str
  sample: /etc/pgbouncer/pgbouncer.ini
version:
  description: Version of the installed PgBouncer; empty where there is none.
  returned: success
  type: str
  sample: "1.24"
proved:
  description: Whether the installed PgBouncer was started with the configuration. Always, but in check mode.
  returned: success
  type: bool
  sample: true
settings:
  description:
    - Every setting as C(SHOW CONFIG) has it once the configuration is in force, but C(auth_ldap_options),
      which may hold a password. Empty where nothing was proved.
  returned: success
  type: dict
  sample: {default_pool_size: "20", pool_mode: transaction}
databases:
  description: Names of the databases that the configuration has, C(*) included.
  returned: success
  type: list
  elements: str
  sample: [shop]
action:
  description:
    - What brings the running PgBouncer to this configuration - V(nothing), V(reload), or V(restart) where a
      setting differs that PgBouncer can't change while it runs, where it does not answer on its socket, or
      for what RV(also) tells.
  returned: success
  type: str
  sample: reload
differences:
  description: Settings that the running PgBouncer has otherwise, and whether a reload changes them.
  returned: success
  type: list
  elements: dict
  sample: [{name: pool_mode, running: session, wanted: transaction, changeable: true}]
also:
  description: What else the running PgBouncer has to be restarted for.
  returned: success
  type: list
  elements: str
  sample: [its binary has been replaced]
answered:
  description: Whether the running PgBouncer answered on its socket.
  returned: success
  type: bool
  sample: true
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import (
    api,
    catalogue,
    config,
    proof,
    takeover,
    userlist,
)
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.errors import (
    InvalidInputError,
    PgbouncerError,
    ProofError,
)


def ensure(module: AnsibleModule) -> dict[str, Any]:
    """Bring the configuration into the wanted state, or in check mode foresee it, and return the result."""
    params = module.params
    version = proof.version(params["binary"])
    if version is None and not module.check_mode:
        raise InvalidInputError(
            f"Failed to prove the PgBouncer configuration: {params['binary']} is missing; install PgBouncer"
        )
    _check_inputs(params, version)
    text = config.render(
        params["settings"],
        params["databases"],
        params["users"],
        params["peers"],
        header=params["header"],
        version=version,
    )
    current = api.read_file(params["path"])
    if not module.check_mode:
        api.check_writable(module)
    before = None if current is None else current.decode(errors="replace")

    settings = {name: config.setting(name, value) for name, value in params["settings"].items()}
    proved, plan, also, answered = _prove(module, version, text, before, settings)

    changed, attributes_diff = api.place(module, current, text.encode())

    result: dict[str, Any] = {
        "changed": changed,
        "path": params["path"],
        "version": ".".join(map(str, version or ())),
        "proved": bool(proved),
        "settings": {name: value for name, value in proved.items() if name not in config.SECRET_SETTINGS},
        "databases": sorted(str(database["name"]) for database in params["databases"]),
        "action": takeover.RESTART if also else plan.action,
        "differences": [_shown(difference) for difference in plan.settings],
        "also": also,
        "answered": answered,
    }
    if module._diff:
        result["diff"] = api.diff_of(params["path"], *config.outline(before, text), attributes_diff)
    return result


def _shown(difference: takeover.Difference) -> dict[str, Any]:
    """Return a difference without what is secret."""
    hidden = {"running": config.MASK, "wanted": config.MASK}
    return {**difference._asdict(), **(hidden if difference.name in config.SECRET_SETTINGS else {})}


def _check_inputs(params: dict[str, Any], version: catalogue.Version | None) -> None:
    problems = [
        *catalogue.setting_problems(params["settings"], version, _further_names(params, version)),
        *catalogue.database_problems(params["databases"], version),
        *catalogue.user_problems(params["users"], version),
        *catalogue.peer_problems(params["peers"], version),
    ]
    if problems:
        raise InvalidInputError(
            f"Failed to accept the PgBouncer configuration: {catalogue.summary(problems)}"
        )


def _further_names(params: dict[str, Any], version: catalogue.Version | None) -> list[str]:
    """Return the settings of a PgBouncer that is newer than what the collection knows, as it lists them."""
    if (
        version is None
        or version <= catalogue.NEWEST
        or params["settings"].keys() <= catalogue.SETTINGS.keys()
    ):
        return []
    rows = proof.shown(
        "[pgbouncer]\n",
        binary=params["binary"],
        runs_as=proof.account(params["account"]),
        port=proof.DEFAULT_PORT,
        seconds=params["timeout"],
    ).config
    return [str(row["key"]) for row in rows]


def _prove(
    module: AnsibleModule,
    version: catalogue.Version | None,
    text: str,
    before: str | None,
    settings: dict[str, str],
) -> tuple[dict[str, str], takeover.Takeover, list[str], bool]:
    """Return every setting as it will be shown, what the running PgBouncer needs, and whether it answered.

    What it needs is to be taken over, and what else it has to be restarted for.
    """
    unknown = takeover.Takeover(takeover.RESTART, [], [], [])
    nothing_known: tuple[takeover.Takeover, list[str], bool] = unknown, [], False
    if version is None:
        return {}, *nothing_known
    params = module.params
    missing = [
        path
        for name, path in sorted(settings.items())
        if name.endswith("_file") and path and not Path(path).exists()
    ]
    if module.check_mode and missing:
        module.warn(f"The configuration was not proved, for {', '.join(missing)} is still to come.")
        return {}, *nothing_known
    try:
        runs_as = proof.account(params["account"])
    except InvalidInputError as error:
        if not module.check_mode:
            raise
        module.warn(f"The configuration was not proved. {error}.")
        return {}, *nothing_known
    shown = proof.shown(
        text,
        binary=params["binary"],
        runs_as=runs_as,
        port=int(settings.get("listen_port", proof.DEFAULT_PORT)),
        seconds=params["timeout"],
    )
    problems = [
        *proof.path_problems(settings, runs_as),
        *proof.port_problems(settings, params["binary"]),
        *_auth_user_problems(settings, params["databases"]),
    ]
    if problems:
        raise ProofError(f"Failed to prove the PgBouncer configuration: {catalogue.summary(problems)}")

    own = proof.overridden()
    wanted = takeover.wanted_settings(
        shown.config, {**own, **{k: v for k, v in settings.items() if k in own}}
    )
    places = [place for place in (proof.place(before or ""), proof.place(text)) if place]
    running = next((found for place in places if (found := proof.running(*place, runs_as))), None)
    if running is None:
        return wanted, *nothing_known
    also = ["its binary has been replaced"] if running.replaced else []
    if running.open_files < params["open_files"]:
        also.append(f"it may open {running.open_files} files and needs {params['open_files']}")
    if not running.shown.config:  # it has disable_pqexec, and can't be asked
        action = takeover.NOTHING if text == before else takeover.RESTART
        return wanted, takeover.Takeover(action, [], [], []), also, True
    plan = takeover.decide(
        running.shown.config,
        wanted,
        (running.shown.databases, shown.databases),
        (running.shown.users, shown.users),
        written=settings,
    )
    return wanted, plan, also, True


def _auth_user_problems(settings: dict[str, str], databases: list[dict[str, Any]]) -> list[str]:
    """Return which users that passwords are asked as could not log in to their PostgreSQL, a clause each."""
    path = settings.get("auth_file", "")
    content = api.read_file(path) if path else None
    names = set(userlist.parse((content or b"").decode(errors="replace")))
    places = {
        str(user): str(database["name"])
        for database in databases
        if (user := database.get("auth_user") or settings.get("auth_user"))
        # Over the Unix socket PostgreSQL may know the account instead, and over TLS the certificate.
        and str(database.get("host") or "/")[0] not in "/@"
        and not settings.get("server_tls_cert_file")
    }
    return [
        f"auth_user {user!r} of database {database!r} is not in the userlist {path or '(no auth_file)'};"
        " add it there, for PgBouncer logs in as this user to look up others"
        for user, database in sorted(places.items())
        if user not in names
    ]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": "/etc/pgbouncer/pgbouncer.ini"},
            # no_log on the whole, for what is not declared can't be told from what is secret at this point.
            "settings": {"type": "dict", "default": {}, "no_log": True},
            "databases": {"type": "list", "elements": "dict", "default": [], "no_log": True},
            "users": {"type": "list", "elements": "dict", "default": []},
            "peers": {"type": "list", "elements": "dict", "default": []},
            "header": {"type": "str", "default": "Ansible managed"},
            **api.PROOF_OPTIONS,
            "open_files": {"type": "int", "default": 0},
            **api.FILE_OPTIONS,
        },
        add_file_common_args=True,
        supports_check_mode=True,
    )
    params = module.params
    # Hidden is what is secret, and nothing else: pool sizes and names would be, wherever they occur.
    module.no_log_values = config.secrets(params["settings"], params["databases"])
    invocation = {
        "module_args": {
            **params,
            "settings": f"{len(params['settings'])} settings",
            "databases": f"{len(params['databases'])} databases",
        }
    }
    try:
        result = ensure(module)
    except PgbouncerError as error:
        module.fail_json(msg=str(error), invocation=invocation)
    # Nothing secret is in the result, in which a password such as "postgres" would be hidden from each path.
    module.no_log_values = set()
    module.exit_json(invocation=invocation, **result)


if __name__ == "__main__":
    main()
