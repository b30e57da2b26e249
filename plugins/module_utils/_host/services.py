# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decide what units need, and do it: stop, enable, start, restart or reload, each with its reasons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.pooled.postgres.plugins.module_utils._host import systemd
from ansible_collections.pooled.postgres.plugins.module_utils._host.errors import HostError

RUNNING = ("active", "reloading", "activating")
ENABLED = ("enabled", "enabled-runtime", "static", "indirect", "alias", "generated")
# Units that must stop do so before any unit starts.
_ORDER = ("unmask", "stop", "disable", "mask", "enable", "start", "restart", "reload")


class Action(NamedTuple):
    """One verb of systemctl for one unit, and why."""

    name: str
    action: str
    reasons: tuple[str, ...]


def newer(paths: Iterable[str], moment: float, times: Mapping[str, float]) -> tuple[str, ...]:
    """Return the paths that changed after a moment."""
    return tuple(path for path in paths if times.get(path, 0.0) > moment)


def _running(
    wanted: Mapping[str, Any], unit: Mapping[str, Any], times: Mapping[str, float]
) -> tuple[str, tuple[str, ...]] | None:
    """Return what brings a unit to the wanted state and why, None if nothing has to be done."""
    state, active = wanted["state"], unit["active"] in RUNNING
    reason = (wanted.get("reason") or "the task asked for it",)
    outdated = newer(wanted["restart_on"], unit["since"], times)
    unread = newer(wanted["reload_on"], max(unit["since"], unit["changed"]), times)
    step: tuple[str, tuple[str, ...]] | None = None
    if state == "stopped":
        step = ("stop", reason) if active else None
    elif state != "unchanged" and not active:
        step = ("start", ("it was not running",))
    elif state == "restarted" or (outdated and state != "unchanged"):
        step = ("restart", outdated or reason)
    elif state == "reloaded" or (unread and state != "unchanged"):
        step = ("reload", unread or reason)
    return step


def actions(
    services: Iterable[Mapping[str, Any]], units: Mapping[str, Mapping[str, Any]], times: Mapping[str, float]
) -> list[Action]:
    """Return what has to be done, in the order in which to do it.

    ``times`` has the modification time of each path that exists, as Unix time. ``units`` is what
    ``systemd.show`` returns for the services.
    """
    found = []
    for wanted in services:
        name = systemd.full_name(wanted["name"])
        unit = units.get(name) or systemd.unit({"LoadState": "not-found"})
        step = _running(wanted, unit, times)
        steps = [step] if step else []
        if unit["load"] == "masked" and wanted["masked"] is False:
            steps.append(("unmask", ("it was masked",)))
        if wanted["masked"] and unit["load"] != "masked":
            steps.append(("mask", ("it must not start",)))
        enabled = unit["enabled"] in ENABLED
        if wanted["enabled"] is not None and enabled != wanted["enabled"]:
            if wanted["enabled"]:
                steps.append(("enable", ("it did not start at boot",)))
            elif unit["load"] != "not-found":
                steps.append(("disable", ("it started at boot",)))
        found += [Action(name, action, reasons) for action, reasons in steps]
    return sorted(found, key=lambda step: _ORDER.index(step.action))


def modification_times(services: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the modification time of each path that restarts or reloads a service, where it exists."""
    times = {}
    for service in services:
        for path in (*service["restart_on"], *service["reload_on"]):
            place = Path(path)
            if place.exists():
                # A link to an old file may be new.
                times[path] = max(place.stat().st_mtime, place.lstat().st_mtime)
    return times


def _systemctl(run: systemd.Run, *words: str) -> None:
    code, out, error = run(["systemctl", *words])
    if code:
        said = (error.strip() or out.strip() or f"systemctl ended with {code}").rstrip(".")
        hint = f" Look at: journalctl -u {words[1]}" if len(words) > 1 else ""
        raise HostError(f"Failed to {' '.join(words)}: {said}.{hint}")


def ensure(
    run: systemd.Run, services: list[Mapping[str, Any]], check_mode: bool
) -> tuple[list[Action], bool]:
    """Bring the units to what is wanted; return what that took and whether systemd was reloaded.

    Raises HostError and OSError.
    """
    names = [service["name"] for service in services]
    units = systemd.show(run, names)
    steps = actions(services, units, modification_times(services))
    stale = any(unit["need_daemon_reload"] for unit in units.values())
    fresh = any(unit["load"] == "not-found" for unit in units.values()) and bool(steps)
    if check_mode:
        return steps, stale
    if stale or fresh:
        _systemctl(run, "daemon-reload")
    for step in steps:
        _systemctl(run, step.action, step.name)
    touched = [step.name for step in steps if step.action in ("start", "restart", "reload")]
    failed = [name for name, unit in systemd.show(run, touched).items() if unit["active"] == "failed"]
    if failed:
        raise HostError(
            f"Failed to run {', '.join(failed)}: it ended at once. Look at: journalctl -u {failed[0]}"
        )
    return steps, stale
