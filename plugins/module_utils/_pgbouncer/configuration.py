# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write PgBouncer's files, validated by the installed PgBouncer, and say what its processes have to do."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.pooled.postgres.plugins.module_utils._host import files
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import (
    access,
    catalogue,
    config,
    processes,
    proof,
    server,
    takeover,
    userlist,
)
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.errors import (
    InvalidInputError,
    ProofError,
    ServerError,
)

NAMES_RETURNED = 200

# What an unchanged configuration shows is kept here until the next boot, so that nothing is proved twice.
_SHOWN = Path("/run/pooled-pgbouncer")

_DRAINS: catalogue.Version = (1, 23)


class Process(NamedTuple):
    """A process: its file, the text of it, and its settings as they are written."""

    path: str
    text: str
    settings: dict[str, str]
    databases: Sequence[Mapping[str, Any]]
    users: Sequence[Mapping[str, Any]]


class Manager:
    """The files of PgBouncer on one host.

    ``params`` are those of the module pgbouncer_config; ``warn`` receives warnings.
    """

    def __init__(self, params: Mapping[str, Any], *, check_mode: bool, warn: Callable[[str], None]) -> None:
        self._params = params
        self._check_mode = check_mode
        self._warn = warn
        self._needs_binary = bool(params["processes"] or params["hba"])
        self._version = proof.version(params["binary"]) if self._needs_binary else None
        self._texts: dict[str, str] = {}
        self._old_entries: dict[str, str] = {}
        self._new_entries: dict[str, str] = {}

    def ensure(self) -> dict[str, Any]:
        """Bring the files into the wanted state, or in check mode foresee it, and return the result.

        Raises PgbouncerError, HostError and OSError; no file was replaced then, unless the disk failed.
        """
        params = self._params
        if self._needs_binary and self._version is None and not self._check_mode:
            raise InvalidInputError(
                f"Failed to validate the PgBouncer configuration: {params['binary']} is missing."
                " Install PgBouncer."
            )
        wanted = self._processes()
        entries = [*params["files"], *self._userlist_entry(), *self._hba_entry(), *map(self._file, wanted)]
        entries = [{"state": "file", **entry} for entry in entries]
        steps = files.compare(entries)
        changes = [step for step in steps if step.differs]
        rewritten = {step.entry["path"] for step in changes if {"content", "state"} & set(step.differs)}
        shown = self._validated(wanted, rewritten)
        if not self._check_mode:
            files.apply(changes)
        result: dict[str, Any] = {
            "changed": bool(changes),
            "changed_paths": [step.entry["path"] for step in changes],
            "version": ".".join(map(str, self._version or ())),
            "turns": self._turns(wanted, shown, rewritten),
            "diff": [self._diff(step) for step in changes],
        }
        if params["userlist"]:
            moves = userlist.compare(self._old_entries, self._new_entries)._asdict()
            result["users"] = {kind: names[:NAMES_RETURNED] for kind, names in moves.items()}
            result["users"]["counts"] = {kind: len(names) for kind, names in moves.items()}
            result["users"]["total"] = len(self._new_entries)
        return result

    # --- What the files hold ------------------------------------------------------------------------------

    def _file(self, process: Process) -> dict[str, Any]:
        return self._own(process.path, process.text)

    def _own(self, path: str, text: str) -> dict[str, Any]:
        self._texts[path] = text
        attributes = {name: self._params[name] for name in ("owner", "group", "mode")}
        return {"path": path, "secret_content": text, **attributes}

    def _processes(self) -> list[Process]:
        found = []
        for given in self._params["processes"]:
            self._check(given)
            text = config.render(
                given["settings"],
                given["databases"],
                given["users"],
                given["peers"],
                header=self._params["header"],
                version=self._version,
            )
            settings = {name: config.setting(name, value) for name, value in given["settings"].items()}
            found.append(Process(given["path"], text, settings, given["databases"], given["users"]))
        return found

    def _check(self, given: Mapping[str, Any]) -> None:
        further: list[str] = []
        if (
            self._version is not None
            and self._version > catalogue.NEWEST
            and given["settings"].keys() - catalogue.SETTINGS.keys()
        ):
            further = [str(row["key"]) for row in self._start("[pgbouncer]\n", proof.DEFAULT_PORT, {}).config]
        problems = [
            *catalogue.setting_problems(given["settings"], self._version, further),
            *catalogue.database_problems(given["databases"], self._version),
            *catalogue.user_problems(given["users"], self._version),
            *catalogue.peer_problems(given["peers"], self._version),
        ]
        if problems:
            raise InvalidInputError(
                f"Failed to validate the PgBouncer configuration: {catalogue.summary(problems)}."
            )

    def _userlist_entry(self) -> list[dict[str, Any]]:
        given = self._params["userlist"]
        if not given:
            return []
        stored = self._stored()
        users = userlist.check_users(
            [
                {**user, "password": None, "verifier": stored[user["name"]]}
                if not user.get("verifier") and not user.get("plain") and user["name"] in stored
                else user
                for user in given["users"]
            ]
        )
        userlist.check_iterations(given["scram_iterations"])
        path = Path(given["path"])
        before = path.read_text(errors="replace") if path.is_file() and not path.is_symlink() else ""
        self._old_entries = userlist.parse(before)
        self._new_entries = userlist.wanted_entries(
            users, self._old_entries, given["encryption"], given["scram_iterations"]
        )
        return [self._own(given["path"], userlist.render(self._new_entries))]

    def _stored(self) -> dict[str, str]:
        """Return PostgreSQL's verifiers. Raises InvalidInputError where the pools exceed what it grants."""
        given = self._params["server"]
        if not given:
            return {}
        try:
            found = server.stored(given["login_unix_socket"], given["login_port"])
        except ServerError as error:
            if not self._check_mode:
                raise
            self._warn(str(error))
            return {}
        granted = found.max_connections - found.reserved - given["others"]
        # In check mode, this run's own change of max_connections is still to come.
        if not self._check_mode and given["needed"] > granted:
            raise InvalidInputError(
                f"Failed to fit the pools into PostgreSQL: {given['arithmetic']}; PostgreSQL runs with"
                f" {found.max_connections} - {found.reserved} reserved - {given['others']} for others"
                f" = {granted}. {given['remedy']} A max_connections that waits for a restart needs"
                " postgres_restart_allowed."
            )
        return found.verifiers

    def _hba_entry(self) -> list[dict[str, Any]]:
        given = self._params["hba"]
        if not given:
            return []
        problems = access.hba_problems(given["rules"])
        if problems:
            raise InvalidInputError(f"Failed to validate {given['path']}: {'; '.join(problems)}.")
        return [self._own(given["path"], access.hba_file(self._params["header"], given["rules"]))]

    def _diff(self, step: files.Step) -> dict[str, Any]:
        path, text = step.entry["path"], self._texts.get(step.entry["path"])
        if text is None or not {"content", "state"} & set(step.differs):
            return files.diff(step)
        is_userlist = self._params["userlist"] and path == self._params["userlist"]["path"]
        before, after = (userlist if is_userlist else config).outline(step.old, text)
        return {"before_header": path, "after_header": path, "before": before, "after": after}

    # --- Validation by the installed PgBouncer ------------------------------------------------------------

    def _validated(self, wanted: Sequence[Process], rewritten: set[str]) -> list[proof.Shown | None]:
        """Return what each process shows once its configuration is in force; None where nothing was proved.

        Every candidate is proved before the first file is replaced. A process is not started where its file,
        PgBouncer and the certificates are those of an earlier proof. Another userlist or HBA file is
        proved with the first process.
        """
        candidates = self._candidates()
        if self._version is None:
            return [None] * len(wanted)
        if not wanted:
            self._prove_hba()
            return []
        self._check_auth_users(wanted, candidates)
        common = bool(rewritten & {entry[0] for entry in candidates.values()})
        found = []
        for number, process in enumerate(wanted):
            key = self._key(process)
            shown = None if common and number == 0 else _kept(process.path, key)
            found.append(shown or self._prove(process, key, candidates))
        return found

    def _candidates(self) -> dict[str, tuple[str, str]]:
        """Return path and text of the files that settings name and that this run may write."""
        given = {"auth_file": self._params["userlist"], "auth_hba_file": self._params["hba"]}
        return {name: (one["path"], self._texts[one["path"]]) for name, one in given.items() if one}

    def _prove_hba(self) -> None:
        hba = self._params["hba"]
        if hba:
            self._start(
                "[pgbouncer]\nauth_type = hba\n",
                proof.DEFAULT_PORT,
                {"auth_hba_file": self._texts[hba["path"]]},
            )

    def _prove(
        self, process: Process, key: str, candidates: Mapping[str, tuple[str, str]]
    ) -> proof.Shown | None:
        settings = process.settings
        used = {name: text for name, (path, text) in candidates.items() if settings.get(name) == path}
        missing = [
            path
            for name, path in sorted(settings.items())
            if name.endswith("_file") and path and name not in used and not Path(path).exists()
        ]
        try:
            runs_as = proof.account(self._params["account"])
        except InvalidInputError as error:
            if not self._check_mode:
                raise
            self._warn(f"The configuration was not validated. {error}")
            return None
        if missing and self._check_mode:
            self._warn(f"The configuration was not validated: {', '.join(missing)} does not exist yet.")
            return None
        port = int(settings.get("listen_port", proof.DEFAULT_PORT))
        shown = self._start(process.text, port, used)
        problems = [
            *proof.path_problems(settings, runs_as),
            *proof.port_problems(settings, self._params["binary"]),
        ]
        if problems:
            raise ProofError(
                f"Failed to validate the PgBouncer configuration: {catalogue.summary(problems)}."
            )
        # The userlist's users are many, and its changes are seen in the file itself.
        named = {str(user["name"]) for user in process.users}
        instead = {name: settings[name] for name in used}
        shown = shown._replace(
            config=[
                {**row, "value": instead[row["key"]]} if row["key"] in instead else row
                for row in shown.config
            ],
            users=[row for row in shown.users if row["name"] in named],
        )
        if not self._check_mode:
            _keep(process.path, key, shown)
        return shown

    def _start(self, text: str, port: int, used: Mapping[str, str]) -> proof.Shown:
        try:
            return proof.shown(
                text,
                binary=self._params["binary"],
                runs_as=proof.account(self._params["account"]),
                port=port,
                seconds=self._params["timeout"],
                files=used,
            )
        except ProofError as error:
            said = str(error).removeprefix(proof.REFUSED)
            if "auth_hba_file" in used and (line := access.where(said, used["auth_hba_file"])):
                raise ProofError(f"Failed to validate {self._params['hba']['path']}: {line}{said}") from error
            raise

    def _key(self, process: Process) -> str:
        """Return a digest of all that a proof of this process depends on, but for userlist and HBA file."""
        paths = [self._params["binary"], *_certificates(process.settings)]
        states = [
            (path, state.st_mtime_ns, state.st_size) for path in paths if (state := _state(path)) is not None
        ]
        return hashlib.sha256(json.dumps([process.text, states]).encode()).hexdigest()

    def _check_auth_users(self, wanted: Sequence[Process], candidates: Mapping[str, tuple[str, str]]) -> None:
        """Raise ProofError where a user that looks up others could not log in to its PostgreSQL."""
        for process in wanted:
            settings = process.settings
            places = {
                str(user): str(database["name"])
                for database in process.databases
                if (user := database.get("auth_user") or settings.get("auth_user"))
                # Over the Unix socket PostgreSQL may know the account instead, and over TLS the certificate.
                and str(database.get("host") or "/")[0] not in "/@"
                and not settings.get("server_tls_cert_file")
            }
            if not places:
                continue
            path = settings.get("auth_file", "")
            known = candidates.get("auth_file", ("", ""))
            text = known[1] if known[0] == path else _text(path)
            names = set(userlist.parse(text))
            problems = [
                f"auth_user {user!r} of database {database!r} is not in the userlist"
                f" {path or '(no auth_file)'}; add it there, since PgBouncer logs in as this user"
                " to look up others"
                for user, database in sorted(places.items())
                if user not in names
            ]
            if problems:
                raise ProofError(f"{proof.REFUSED}{catalogue.summary(problems)}.")

    # --- What runs ----------------------------------------------------------------------------------------

    def _turns(
        self, wanted: Sequence[Process], shown: Sequence[proof.Shown | None], rewritten: set[str]
    ) -> list[dict[str, Any]]:
        """Return what each process has to do, see ``processes.turns``."""
        if self._version is None or not wanted:
            return []
        try:
            runs_as = proof.account(self._params["account"])
        except InvalidInputError:  # in check mode, before the account exists
            return []
        ports: dict[int, int] = {}
        results, marks = [], []
        for number, (process, found) in enumerate(zip(wanted, shown, strict=True), start=1):
            directory = process.settings.get("unix_socket_dir", "")
            sockets = sorted(Path(directory).glob(".s.PGSQL.*")) if directory else []
            sockets = [path for path in sockets if path.suffix[1:].isdigit()]
            if sockets:
                ports[number] = int(sockets[-1].suffix[1:])
            marks += [str(path) for path in (*sockets, Path(directory, "loaded"))] if directory else []
            running = next(
                (one for path in sockets if (one := proof.running(directory, int(path.suffix[1:]), runs_as))),
                None,
            )
            results.append(self._result(process, found, running, rewritten))
        read = self._read(wanted[0].settings)
        unit = {entry["path"]: "the unit" for entry in self._params["files"] if entry.get("restarts")}
        reload_for = [*(read[path] for path in read if path in rewritten), *self._params["reload_for"]]
        restart_for = [unit[path] for path in unit if path in rewritten]
        if not self._check_mode or not rewritten:
            present = [
                {"path": path, "mtime": state.st_mtime}
                for path in (*read, *unit, *marks)
                if (state := _state(path)) is not None
            ]
            reload_for += processes.unread(present, read, at_start=False)
            restart_for += processes.unread(present, unit, at_start=True)
        listens = wanted[0].settings.get("disable_pqexec", "0") != "1"
        turns = processes.turns(
            results,
            reload_for=list(dict.fromkeys(reload_for)),
            restart_for=list(dict.fromkeys(restart_for)),
            reloads=listens,
            drains=listens and self._version >= _DRAINS,
        )
        return [{**turn._asdict(), "port": ports.get(turn.id, 0)} for turn in turns]

    def _read(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Return the files that a reload reads, and what each is."""
        named = {"auth_file": "the userlist", "auth_hba_file": "the HBA rules"}
        found = {settings[name]: what for name, what in named.items() if settings.get(name)}
        return {**found, **dict.fromkeys(_certificates(settings), "the certificates")}

    def _result(
        self,
        process: Process,
        shown: proof.Shown | None,
        running: proof.Running | None,
        rewritten: set[str],
    ) -> dict[str, Any]:
        changed = process.path in rewritten
        result: dict[str, Any] = {
            "changed": changed,
            "answered": running is not None,
            "action": takeover.RESTART,
            "differences": [],
            "also": [],
            "settings": {},
        }
        wanted: dict[str, str] = {}
        if shown is not None:
            own = proof.overridden()
            instead = {name: process.settings.get(name, value) for name, value in own.items()}
            wanted = takeover.wanted_settings(shown.config, instead)
            result["settings"] = {k: v for k, v in wanted.items() if k not in config.SECRET_SETTINGS}
        if running is None:
            return result
        if running.replaced:
            result["also"].append("its binary was replaced")
        if running.open_files < self._params["open_files"]:
            result["also"].append(
                f"it may open {running.open_files} files and needs {self._params['open_files']}"
            )
        if shown is None or not running.shown.config:
            # With disable_pqexec it cannot be asked; without a proof there is nothing to compare with.
            blind = takeover.RESTART if shown is not None else takeover.RELOAD
            action, differences = blind if changed else takeover.NOTHING, []
        else:
            plan = takeover.decide(
                running.shown.config,
                wanted,
                (running.shown.databases, shown.databases),
                (running.shown.users, shown.users),
                written=process.settings,
            )
            action, differences = plan.action, [difference._asdict() for difference in plan.settings]
        result["action"] = takeover.RESTART if result["also"] else action
        result["differences"] = differences
        return result


def _certificates(settings: Mapping[str, str]) -> list[str]:
    names = [f"{side}_tls_{kind}_file" for side in ("client", "server") for kind in ("ca", "cert", "key")]
    return list(dict.fromkeys(settings[name] for name in names if settings.get(name)))


def _state(path: str) -> os.stat_result | None:
    try:
        return Path(path).stat()
    except OSError:
        return None


def _text(path: str) -> str:
    return Path(path).read_text(errors="replace") if path and Path(path).is_file() else ""


def _kept(path: str, key: str) -> proof.Shown | None:
    """Return the result of an earlier proof with this key, or None."""
    try:
        found = json.loads(_place(path).read_text())
        return proof.Shown(*found["shown"]) if found["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(path: str, key: str, shown: proof.Shown) -> None:
    if os.geteuid() != 0:
        return
    # Only root reads it: a setting may hold a password.
    with suppress(OSError):
        _SHOWN.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(_place(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"key": key, "shown": shown}, file, default=str)


def _place(path: str) -> Path:
    return _SHOWN / f"{hashlib.sha256(path.encode()).hexdigest()[:16]}.json"
