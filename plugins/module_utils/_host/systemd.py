# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read units of systemd."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

Run = Callable[[list[str]], tuple[int, str, str]]

PROPERTIES = (
    "Id",
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "FragmentPath",
    "MainPID",
    "NeedDaemonReload",
    "ExecMainStartTimestamp",
    "ActiveEnterTimestamp",
    "StateChangeTimestamp",
)


def timestamp(text: str) -> float:
    """Return the Unix time of what ``systemctl show --timestamp=us+utc`` prints, 0 for an empty value."""
    if not text or text == "n/a":
        return 0.0
    moment = datetime.strptime(text.split(" ", 1)[1], "%Y-%m-%d %H:%M:%S.%f UTC")
    return moment.replace(tzinfo=timezone.utc).timestamp()  # noqa: UP017 - Python 3.10 on Ubuntu 22.04


def unit(properties: Mapping[str, str]) -> dict[str, Any]:
    """Return a unit in the form that ``host_info`` documents."""
    active = timestamp(properties.get("ActiveEnterTimestamp", ""))
    return {
        "load": properties.get("LoadState", ""),
        "active": properties.get("ActiveState", ""),
        "sub": properties.get("SubState", ""),
        "enabled": properties.get("UnitFileState", ""),
        "fragment": properties.get("FragmentPath", ""),
        "pid": int(properties.get("MainPID") or 0),
        "need_daemon_reload": properties.get("NeedDaemonReload") == "yes",
        # The process may have read its files before the unit became active.
        "since": timestamp(properties.get("ExecMainStartTimestamp", "")) or active,
        "changed": timestamp(properties.get("StateChangeTimestamp", "")),
    }


def full_name(name: str) -> str:
    """Return the name of a unit with its suffix; a name without one is a service."""
    suffixes = (".service", ".timer", ".socket", ".mount", ".target", ".path", ".slice")
    return name if name.endswith(suffixes) else f"{name}.service"


def show(run: Run, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return units by full name. A glob yields the loaded units that match it.

    Names without a match are left out, but a plain name is there with ``load`` = ``not-found``.
    """
    wanted = [full_name(name) for name in names]
    if not wanted:
        return {}
    code, out, error = run(
        ["systemctl", "show", "--timestamp=us+utc", f"--property={','.join(PROPERTIES)}", "--", *wanted]
    )
    if code and not out:
        raise OSError(error.strip() or f"systemctl show ended with {code}")
    found = {}
    for block in out.strip().split("\n\n"):
        properties = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if properties.get("Id"):
            found[properties["Id"]] = unit(properties)
    return found
