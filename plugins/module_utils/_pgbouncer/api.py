# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A file of PgBouncer on the host: read it, check that it can be written, write it.

``module`` is an AnsibleModule made with ``add_file_common_args``. Used of it: ``params``, ``check_mode``,
``add_cleanup_file``, ``atomic_move``, ``load_file_common_arguments``, ``set_fs_attributes_if_different``.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.errors import HostFileError

# Options of every module that writes one: PgBouncer only reads its files.
FILE_OPTIONS = {
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "pgbouncer"},
    "mode": {"type": "raw", "default": "0640"},
}
# Options of those that have PgBouncer prove one.
PROOF_OPTIONS = {
    "binary": {"type": "path", "default": "/usr/sbin/pgbouncer"},
    "account": {"type": "str", "default": "pgbouncer"},
    "timeout": {"type": "int", "default": 20},
}


def read_file(path: str) -> bytes | None:
    """Return what the file holds, or None if there is none.

    Raises HostFileError if something else than a plain file has its name, or it can't be read. A symbolic
    link is refused too: its directory is often PgBouncer's own, and root must not follow where that points.
    """
    if not Path(path).is_absolute():
        raise HostFileError(f"Failed to read {path}: the path is relative; give one that begins with /")
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise HostFileError(f"Failed to read {path}: it is not a plain file; give another path")
        return Path(path).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HostFileError(f"Failed to read {path}: {error.strerror}") from error


def check_writable(module: AnsibleModule) -> None:
    """Raise HostFileError if directory, owner or group are missing, or the file can't become theirs."""
    path = module.params["path"]
    directory = Path(path).parent
    if not directory.is_dir():
        raise HostFileError(
            f"Failed to write {path}: there is no directory {directory}; install PgBouncer first or create it"
        )
    ours = {"owner": [os.geteuid()], "group": [os.getegid(), *os.getgroups()]}
    for option, number in _account_ids(module).items():
        account = f"{option} {module.params[option]!r}"
        if number is None:
            raise HostFileError(
                f"Failed to write {path}: this host has no {account}; create it first or give another"
            )
        if os.geteuid() != 0 and number not in ours[option]:
            raise HostFileError(
                f"Failed to write {path}: only root can give it to {account}; run the task with become"
            )


def write_file(module: AnsibleModule, content: bytes) -> None:
    """Replace the file by one with this content and the wanted owner, group and mode, in one step.

    Raises HostFileError if the system refuses; the file is then what it was.
    """
    path = module.params["path"]
    # AnsibleModule.atomic_move gives a file that it creates the mode that the umask leaves.
    os.umask(0o077)
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{Path(path).stem}-", dir=Path(path).parent)
        module.add_cleanup_file(temporary)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        attributes = module.load_file_common_arguments(module.params, path=temporary)
        # Flags such as "immutable" would forbid the move; set_attributes gives them to the file in place.
        module.set_fs_attributes_if_different({**attributes, "attributes": None}, False)
        # The old file's attributes are not wanted: it may have been readable by all.
        unsafe_writes = module.params["unsafe_writes"]
        module.atomic_move(temporary, path, unsafe_writes=unsafe_writes, keep_dest_attrs=False)
    except Exception as error:  # atomic_move raises a bare Exception
        cause = getattr(error, "strerror", None) or error
        raise HostFileError(f"Failed to write {path}: {cause}") from error


def place(module: AnsibleModule, current: bytes | None, content: bytes) -> tuple[bool, dict[str, Any]]:
    """Have the file hold this with the wanted owner, group and mode, or in check mode foresee it.

    Args:
        module: see above.
        current: what the file holds, as ``read_file`` returned it.
        content: what it is to hold.

    Returns:
        Whether anything differed, and which attributes did, as ``set_attributes`` tells it.

    Raises HostFileError if the system refuses; the file is then what it was.
    """
    diff: dict[str, Any] = {}
    changed = current is not None and set_attributes(module, diff)
    if content == current:
        return changed, diff
    if not module.check_mode:
        write_file(module, content)
        set_attributes(module)
    return True, diff


def diff_of(path: str, before: str, after: str, attributes: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what ``--diff`` shows of a file: its content, and its attributes where they differ."""
    header = {"before_header": path, "after_header": path}
    shown: list[dict[str, Any]] = [{"before": before, "after": after, **header}]
    return shown + ([{"before": {}, "after": {}, **attributes, **header}] if attributes else [])


def set_attributes(module: AnsibleModule, diff: dict[str, Any] | None = None) -> bool:
    """Give the file the wanted owner, group, mode and so on, and return whether any of them differed.

    ``diff`` receives what differs, in the keys ``before`` and ``after``. In check mode an account that is
    still to be created counts as different.
    """
    attributes = module.load_file_common_arguments(module.params)
    unknown = [option for option, number in _account_ids(module).items() if number is None]
    for option in unknown:
        if diff is not None:
            diff.setdefault("after", {})[option] = attributes[option]
        attributes[option] = None
    return bool(module.set_fs_attributes_if_different(attributes, bool(unknown), diff))


def _account_ids(module: AnsibleModule) -> dict[str, int | None]:
    """Return the ids behind the options ``owner`` and ``group``, None for an account that does not exist."""
    lookups: dict[str, Callable[[str], int]] = {
        "owner": lambda name: pwd.getpwnam(name).pw_uid,
        "group": lambda name: grp.getgrnam(name).gr_gid,
    }
    given = {option: module.params[option] for option in lookups if module.params[option] is not None}
    return {option: _account_id(account, lookups[option]) for option, account in given.items()}


def _account_id(account: str, lookup: Callable[[str], int]) -> int | None:
    if account.isdecimal():  # Ansible takes a number for an id.
        return int(account)
    try:
        return lookup(account)
    except (KeyError, ValueError):  # ValueError: a NUL in it
        return None
