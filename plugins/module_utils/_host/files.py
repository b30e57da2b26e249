# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compare and write the files of a role: validate all of them, stage them, and only then replace any."""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.pooled.postgres.plugins.module_utils._host.errors import HostError
from ansible_collections.pooled.postgres.plugins.module_utils._host.look import path_state
from ansible_collections.pooled.postgres.plugins.module_utils._host.systemd import Run

ABSENT: Mapping[str, Any] = {"type": "absent"}
_DEFAULT_MODE = {"file": "0644", "directory": "0755"}


class Step(NamedTuple):
    """One entry, the state of its path, the names of what differs, and the old text."""

    entry: Mapping[str, Any]
    before: Mapping[str, Any]
    differs: tuple[str, ...]
    old: str | None


def text_of(entry: Mapping[str, Any]) -> str | None:
    """Return the wanted content of a file, None for other entries."""
    if entry["state"] != "file":
        return None
    secret = entry.get("secret_content")
    return secret if secret is not None else entry.get("content") or ""


def wanted_attributes(entry: Mapping[str, Any]) -> dict[str, str]:
    """Return owner, group and mode of a file or directory, root's and the usual mode by default."""
    mode = entry.get("mode") or _DEFAULT_MODE[entry["state"]]
    return {
        "owner": entry.get("owner") or "root",
        "group": entry.get("group") or "root",
        "mode": f"{int(mode, 8):04o}",
    }


def differences(entry: Mapping[str, Any], before: Mapping[str, Any], old: str | None) -> tuple[str, ...]:
    """Return the names of what an entry changes at its path; empty where nothing does."""
    state = entry["state"]
    if state == "absent":
        return () if before["type"] == "absent" else ("state",)
    if before["type"] != state:
        return ("state",)
    if state == "link":
        return () if before["link"] == entry["target"] else ("target",)
    if entry.get("keep"):
        return ()
    attributes = wanted_attributes(entry)
    # Numbers are as good as names: an account may have no name on this host.
    found = tuple(
        name
        for name, wanted in attributes.items()
        if wanted
        not in (before[name], str(before.get({"owner": "uid", "group": "gid"}.get(name, ""), before[name])))
    )
    return (("content",) if state == "file" and text_of(entry) != old else ()) + found


def diff(step: Step) -> dict[str, Any]:
    """Return the difference of one step for Ansible's ``--diff``, without a secret."""
    entry, path = step.entry, step.entry["path"]
    headers = {"before_header": path, "after_header": path}
    shown = entry.get("secret_content") is None
    if writes(step) and shown:
        return {**headers, "before": step.old or "", "after": text_of(entry) or ""}
    before: dict[str, Any] = {"state": step.before["type"]}
    after: dict[str, Any] = {"state": entry["state"]}
    for name in step.differs:
        if name == "content":
            before[name], after[name] = "secret", "another secret"
        elif name == "target":
            before[name], after[name] = step.before["link"], entry["target"]
        elif name != "state":
            before[name], after[name] = step.before[name], wanted_attributes(entry)[name]
    return {**headers, "before": before, "after": after}


def compare(entries: Iterable[Mapping[str, Any]]) -> list[Step]:
    """Return one step for each entry, in order. Raises HostError if a path has another type."""
    steps = []
    for entry in entries:
        path = Path(entry["path"])
        before = path_state(str(path)) or ABSENT
        if entry["state"] not in ("absent", before["type"]) and before["type"] != "absent":
            raise HostError(
                f"Failed to write {path}: it is a {before['type']}, not a {entry['state']}."
                " Move it away if nothing needs it, then run this again."
            )
        old = None
        if before["type"] == "file" and entry["state"] == "file" and not entry.get("keep"):
            old = path.read_bytes().decode("utf-8", errors="surrogateescape")
        steps.append(Step(entry, before, differences(entry, before, old), old))
    return steps


def writes(step: Step) -> bool:
    """Return whether a step writes the content of a file."""
    return step.entry["state"] == "file" and bool({"content", "state"} & set(step.differs))


def validate(run: Run, steps: Iterable[Step], directory: str, check_mode: bool) -> None:
    """Give each new content to the checker of its entry. Raises HostError with the checker's output."""
    for number, step in enumerate(steps):
        command = step.entry.get("validate")
        if not command or not writes(step):
            continue
        words = shlex.split(command)
        if check_mode and shutil.which(words[0]) is None:
            continue
        # The checker may go by the name of the file.
        place = Path(directory) / str(number)
        place.mkdir()
        candidate = place / Path(step.entry["path"]).name
        candidate.write_bytes((text_of(step.entry) or "").encode("utf-8", errors="surrogateescape"))
        code, out, error = run([word.replace("%s", str(candidate)) for word in words])
        if code:
            # amtool prints the reason to stdout and only a summary to stderr.
            said = " ".join(f"{out} {error}".split()).replace(str(candidate), step.entry["path"])
            raise HostError(f"Failed to validate {step.entry['path']}: {said}. The old files stay in use.")


def _uid(name: str) -> int:
    try:
        return int(name) if name.isdigit() else pwd.getpwnam(name).pw_uid
    except KeyError as exc:
        raise HostError(f"Failed to find the account {name}, the owner of a file.") from exc


def _gid(name: str) -> int:
    try:
        return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid
    except KeyError as exc:
        raise HostError(f"Failed to find the group {name}, the group of a file.") from exc


def _stage(step: Step) -> str:
    """Write the new content beside its place and return where."""
    path, attributes = step.entry["path"], wanted_attributes(step.entry)
    uid, gid = _uid(attributes["owner"]), _gid(attributes["group"])
    descriptor, staged = tempfile.mkstemp(prefix=".pooled-", dir=str(Path(path).parent))
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write((text_of(step.entry) or "").encode("utf-8", errors="surrogateescape"))
            handle.flush()
            os.fsync(handle.fileno())
        os.chown(staged, uid, gid)
        Path(staged).chmod(int(attributes["mode"], 8))
    except OSError:
        Path(staged).unlink()
        raise
    return staged


def _attributes(step: Step) -> None:
    path, attributes = step.entry["path"], wanted_attributes(step.entry)
    os.chown(path, _uid(attributes["owner"]), _gid(attributes["group"]))
    Path(path).chmod(int(attributes["mode"], 8))


def _link(step: Step) -> None:
    path = Path(step.entry["path"])
    staged = path.with_name(f".pooled-{path.name}")
    staged.unlink(missing_ok=True)
    staged.symlink_to(step.entry["target"])
    staged.replace(path)


def _remove(step: Step) -> None:
    if step.before["type"] == "directory":
        shutil.rmtree(step.entry["path"])
    else:
        Path(step.entry["path"]).unlink()


def apply(steps: Iterable[Step]) -> None:
    """Make what the steps say. Contents are staged on their disks before the first file is replaced.

    Raises HostError and OSError; files that were not replaced yet keep their content.
    """
    pending = [step for step in steps if step.differs]
    for step in pending:
        if step.entry["state"] == "directory":
            Path(step.entry["path"]).mkdir(parents=True, exist_ok=True)
            _attributes(step)
    staged: dict[str, str] = {}
    try:
        for step in filter(writes, pending):
            staged[step.entry["path"]] = _stage(step)
        for step in pending:
            _finish(step, staged)
    finally:
        for left in staged.values():
            Path(left).unlink(missing_ok=True)


def _finish(step: Step, staged: dict[str, str]) -> None:
    state, path = step.entry["state"], step.entry["path"]
    if path in staged:
        Path(staged.pop(path)).replace(path)
    elif state == "file":
        _attributes(step)
    elif state == "link":
        _link(step)
    elif state == "absent":
        _remove(step)
