# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the roles ask of their inputs before they touch a host. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# NAMEDATALEN - 1 of PostgreSQL (src/include/pg_config_manual.h); longer names are cut off silently.
MAX_NAME_BYTES = 63

# Services of a database host, by the units that run them.
_SERVICES = {"postgresql": r"postgresql@\d+-main\.service", "pgbouncer": r"pgbouncer@\d+\.service"}
# Those of a monitoring host, with their packages. All but the first are there where they are asked for.
_WATCHERS = {
    "prometheus": ("prometheus.service", "prometheus"),
    "alertmanager": ("prometheus-alertmanager.service", "prometheus-alertmanager"),
    "grafana": ("grafana-server.service", "grafana"),
}


def name_problem(name: str) -> str | None:
    """Return what keeps a name from being a user's or database's here, or None."""
    if not name:
        return "the name is empty"
    if re.search(r"[\"'\\\x00-\x1f\x7f]", name):
        return f"the name {name!r} has a quote, a backslash or a control character; leave them out"
    if len(name.encode()) > MAX_NAME_BYTES:
        return (
            f"the name {name!r} has more than {MAX_NAME_BYTES} bytes, all that PostgreSQL keeps; shorten it"
        )
    return None


def password_problem(password: str) -> str | None:
    """Return what keeps a password from working through PostgreSQL and PgBouncer alike, or None.

    Never quotes the password.
    """
    if not password:
        return "the password is empty; give one, best from a vault"
    if re.search(r"[\n\r\x00]", password):
        return "the password has a newline or a NUL, which no password file can hold; make another one"
    return None


def user_problems(users: Iterable[Mapping[str, Any]], databases: Sequence[str]) -> list[str]:
    """Return what is wrong with users and the databases they use, a sentence each.

    Args:
        users: dictionaries with ``name``, ``password`` or ``verifier``, and ``databases`` (names).
        databases: names of the databases that there will be.
    """
    problems = [problem for name in databases if (problem := name_problem(name))]
    seen: set[str] = set()
    for user in users:
        name = str(user["name"])
        found = [name_problem(name)]
        if not user.get("verifier"):
            found.append(password_problem(str(user.get("password") or "")))
        found += [
            f"the database {database!r} is none of those that are made ({', '.join(databases)})"
            for database in user.get("databases", [])
            if database not in databases
        ]
        if name in seen:
            found.append("it is named twice")
        seen.add(name)
        problems += [f"user {name!r}: {problem}" for problem in found if problem]
    return problems


def process_rows(results: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows that PgBouncer's processes show, in one list, each with the number of its ``process``.

    Args:
        results: of the module pgbouncer_console, one for each process, which is the loop's ``item``.
    """
    return [{"process": int(result["item"]), **row} for result in results for row in result.get("rows", [])]


def _watching(host: str, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the services of a monitoring host that are there, and Prometheus in any case."""
    found = []
    for name, (unit, package) in _WATCHERS.items():
        known = facts.get("services", {}).get(unit, {})
        versions = facts.get("packages", {}).get(package, [])
        state = known.get("state", "unknown")
        if name == "prometheus":
            # Of one in a container systemd knows nothing, or that the package's is stopped.
            state = "running" if facts.get("answers") else "not answering" if state == "running" else state
        elif not versions or known.get("status") == "disabled":
            continue
        version = versions[0]["version"] if versions else None
        found.append({"host": host, "name": name, "state": state, "version": version})
    return found


def site_status(
    outputs: Mapping[str, Any],
    found: Mapping[str, Mapping[str, Any]],
    watching: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return what runs where, and whether all of it does.

    Args:
        outputs: ``hosts`` and ``endpoints`` of the site.
        found: by database host, its ``services`` and ``packages`` as Ansible's facts have them, and the
            rows of ``SHOW POOLS`` as ``pools``, each with its ``process``; empty for a host that did not
            answer.
        watching: the same by monitoring host, with the ``targets`` of its Prometheus and whether that
            ``answers``.

    Returns:
        The document; ``healthy`` where every service runs and no target has been found down. One that was
        not scraped yet is not up, and nothing is known against it.
    """
    services = []
    pools = []
    targets = []
    for host, facts in sorted(found.items()):
        units = facts.get("services", {})
        for name, pattern in _SERVICES.items():
            known = {unit: units[unit] for unit in sorted(units) if re.fullmatch(pattern, unit)}
            states = [unit.get("state", "unknown") for unit in known.values()] or ["unknown"]
            package = re.sub(r"^postgresql@(\d+)-.*", r"postgresql-\1", next(iter(known), "")).split("@")[0]
            versions = facts.get("packages", {}).get(package, [])
            services.append(
                {
                    "host": host,
                    "name": name,
                    # Of several processes the first that does not run.
                    "state": next((state for state in states if state != "running"), "running"),
                    "version": versions[0]["version"] if versions else None,
                }
            )
        pools += [{"host": host, **row} for row in facts.get("pools", [])]
    for host, facts in sorted((watching or {}).items()):
        services += _watching(host, facts)
        targets += facts.get("targets", [])
    running = bool(services) and all(service["state"] == "running" for service in services)
    return {
        "hosts": outputs["hosts"],
        "services": services,
        "pools": pools,
        "targets": targets,
        "endpoints": outputs["endpoints"],
        "healthy": running and not any(target["error"] for target in targets),
    }
