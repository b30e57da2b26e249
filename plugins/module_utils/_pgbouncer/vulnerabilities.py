# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Known vulnerabilities of PgBouncer, and whether a version and a configuration have them. Pure.

Sources: https://www.pgbouncer.org/changelog.html and the CVE records for upstream; the changelogs of Debian's
packages for what was brought back to older versions. Ubuntu's and PGDG's packages count by their upstream
version: none of them is known to have a fix without it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import budget
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.access import names

_SAFE_PACKET = 2**30
"""What CVE-2026-6668 needs to be exceeded by a packet: its record advises to stay well below."""


class Configuration(NamedTuple):
    """What a vulnerability may depend on.

    ``settings`` and ``databases`` are PgBouncer's; ``rules`` those of its HBA file; ``own_query`` says
    whether auth_query is the role's, which honours VALID UNTIL and qualifies all names.
    """

    settings: Mapping[str, Any]
    databases: Sequence[Mapping[str, Any]] = ()
    rules: Sequence[Mapping[str, Any]] = ()
    own_query: bool = False


class Vulnerability(NamedTuple):
    """A vulnerability.

    Attributes:
        name: its CVE.
        since: first upstream version that has it; empty for all.
        fixed: first upstream version that has it no more.
        backports: first packages of an older upstream version that have the fix.
        applies: whether a configuration is affected.
        meaning: what it lets happen, a clause.
        remedy: what avoids it without a new version, a clause; empty for nothing.
    """

    name: str
    since: str
    fixed: str
    backports: tuple[str, ...]
    applies: Callable[[Configuration], bool]
    meaning: str
    remedy: str = ""


def _methods(config: Configuration) -> set[str]:
    method = str(config.settings.get("auth_type") or "md5")
    return {str(rule["method"]) for rule in config.rules} if method == "hba" else {method}


def _scram(config: Configuration) -> bool:
    # With md5, a user with a SCRAM verifier still authenticates by SCRAM.
    return bool(_methods(config) & {"scram-sha-256", "md5"})


def _cert(config: Configuration) -> bool:
    return "cert" in _methods(config)


def _far_server(config: Configuration) -> bool:
    """Say whether a server is on another host; one on this host is trusted as much as PgBouncer."""
    hosts = [database.get("host") for database in config.databases]
    return any(
        not budget.is_local(host)
        for given in hosts
        for host in (given if isinstance(given, list | tuple) else str(given or "").split(","))
    )


def _looks_up(config: Configuration) -> bool:
    return not config.own_query and any(one.get("auth_user") for one in (config.settings, *config.databases))


def _default_query(config: Configuration) -> bool:
    return _looks_up(config) and any(
        not one.get("auth_query", config.settings.get("auth_query"))
        for one in (config.settings, *config.databases)
    )


def _tracked_path(config: Configuration) -> bool:
    return _looks_up(config) and "search_path" in names(config.settings.get("track_extra_parameters"))


def _kills(config: Configuration) -> bool:
    admins = names(config.settings.get("admin_users"))
    return any(name not in admins for name in names(config.settings.get("stats_users")))


def _packet(config: Configuration) -> int:
    return int(config.settings.get("max_packet_size") or 2**31 - 1)


def _ignores(config: Configuration) -> bool:
    ignored = names(config.settings.get("ignore_startup_parameters"))
    return bool(ignored) and "options" not in ignored


KNOWN = (
    Vulnerability(
        "CVE-2021-3935",
        "",
        "1.16.1",
        ("1.15.0-1+deb11u1",),
        _cert,
        "a machine in the middle between client and PgBouncer can inject SQL, in spite of certificates",
        "use another method than cert",
    ),
    Vulnerability(
        "CVE-2025-2291",
        "",
        "1.24.1",
        ("1.18.0-1+deb12u1",),
        _default_query,
        "an expired password is still accepted, since PgBouncer's own auth_query does not check it",
        "use pgbouncer_auth_query, whose function checks it",
    ),
    Vulnerability(
        "CVE-2025-12819",
        "1.20.0",
        "1.25.1",
        ("1.18.0-1+deb12u1", "1.24.1-1+deb13u1"),
        _tracked_path,
        "anyone can run SQL as auth_user before they log in, through a search_path that PgBouncer passes on",
        "use pgbouncer_auth_query, or take search_path out of track_extra_parameters",
    ),
    Vulnerability(
        "CVE-2026-6664",
        "",
        "1.25.2",
        ("1.24.1-1+deb13u2",),
        _scram,
        "anyone who reaches the port can crash PgBouncer by a malformed SCRAM packet",
    ),
    Vulnerability(
        "CVE-2026-6665",
        "",
        "1.25.2",
        ("1.24.1-1+deb13u2",),
        _far_server,
        "a server that is not what it seems to be can overflow PgBouncer's stack when it logs in by SCRAM",
        "reach PostgreSQL over the Unix socket",
    ),
    Vulnerability(
        "CVE-2026-6666",
        "",
        "1.25.2",
        ("1.24.1-1+deb13u2",),
        _far_server,
        "a server that is not what it seems to be can crash PgBouncer",
        "reach PostgreSQL over the Unix socket",
    ),
    Vulnerability(
        "CVE-2026-6667",
        "1.24.0",
        "1.25.2",
        ("1.24.1-1+deb13u2",),
        _kills,
        "stats_users can end other users' connections (KILL_CLIENT)",
        "leave pgbouncer_stats_users empty",
    ),
    Vulnerability(
        "CVE-2026-6668",
        "",
        "1.26.0",
        (),
        lambda config: _packet(config) >= _SAFE_PACKET,
        "anyone who reaches the port can stop PgBouncer by a packet that is too large for its buffer",
        "set max_packet_size well below 1073741824",
    ),
    Vulnerability(
        "CVE-2026-6669",
        "",
        "1.26.0",
        (),
        _far_server,
        "a server that is not what it seems to be can keep PgBouncer busy for good when it logs in by SCRAM",
        "reach PostgreSQL over the Unix socket",
    ),
    Vulnerability(
        "CVE-2026-19888",
        "1.11.0",
        "1.26.0",
        (),
        _scram,
        "anyone who reaches the port can crash PgBouncer by a SCRAM message without a nonce",
    ),
    Vulnerability(
        "CVE-2026-107348",
        "1.21.0",
        "1.26.1",
        (),
        lambda config: _packet(config) > 2**31,
        "a client can stop PgBouncer by a packet that is too large for its buffer",
        "set max_packet_size well below 1073741824",
    ),
    Vulnerability(
        "CVE-2026-107349",
        "1.20.0",
        "1.26.1",
        (),
        _ignores,
        "anyone who reaches the port can stop PgBouncer by a startup option without a name",
        "name options among pgbouncer_ignore_startup_parameters, or leave that empty",
    ),
    Vulnerability(
        "CVE-2026-107350",
        "1.17.0",
        "1.26.1",
        (),
        _scram,
        "a client that knows the password of one user of the userlist can log in as any other",
    ),
)
"""All that are known up to PgBouncer 1.26.1 of October 2026."""


def affecting(package: str, config: Configuration) -> list[Vulnerability]:
    """Return what a package's version has and the configuration does not avoid."""
    upstream = re.sub(r"^[0-9]+:", "", package).rsplit("-", 1)[0]
    return [
        known
        for known in KNOWN
        if compare(upstream, known.fixed) < 0
        and compare(upstream, known.since or "0") >= 0
        and not any(_has(package, backport) for backport in known.backports)
        and known.applies(config)
    ]


def _has(package: str, backport: str) -> bool:
    """Say whether a package is that one or a later one of the same branch, such as 1.24.1-1+deb13u."""
    branch = re.sub(r"[0-9]+$", "", backport)
    return package.startswith(branch) and compare(package, backport) >= 0


def unknown_names(accepted: Iterable[str]) -> list[str]:
    """Return accepted names that are unknown."""
    known = {one.name for one in KNOWN}
    return sorted(str(name) for name in accepted if name not in known)


def refusal(package: str, config: Configuration, accepted: Iterable[str] = ()) -> str:
    """Return what is wrong with a version, as a sentence without its full stop; empty for nothing.

    Args:
        package: version of the package, such as ``1.24.1-1+deb13u2``.
        config: what it is to run with.
        accepted: vulnerabilities that the inputs accept.
    """
    taken = set(accepted)
    found = [known for known in affecting(package, config) if known.name not in taken]
    if not found:
        return ""
    told = "; ".join(
        f"{known.name} ({known.meaning}), fixed in {known.fixed}"
        + "".join(f" and {backport}" for backport in known.backports)
        + (f"; without a new version: {known.remedy}" if known.remedy else "")
        for known in found
    )
    newest = max(found, key=lambda known: _key(known.fixed)).fixed
    all_of_them = ", ".join(known.name for known in found)
    return (
        f"PgBouncer {package} has {told}."
        f" Install {newest} or newer (postgres_source: pgdg has new ones), or a"
        " package of the distribution that has the fix. To accept the risk, consider which hosts reach the"
        " port, and"
        f" set pgbouncer_accept_cves: [{all_of_them}]"
    )


def _key(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def compare(one: str, other: str) -> int:
    """Return a negative number, 0 or a positive one, as one version of a package is older, the same or newer.

    The rules are Debian's (deb-version(7)): epoch, upstream version and revision in turn; in each, runs of
    non-digits and of digits by turns; letters sort before other characters, ``~`` before everything, the end
    too.
    """
    for first, second in zip(_parts(one), _parts(other), strict=True):
        result = _compare_part(first, second)
        if result:
            return result
    return 0


def _parts(version: str) -> tuple[str, str, str]:
    epoch, found, rest = version.partition(":")
    if not found:
        epoch, rest = "0", version
    upstream, found, revision = rest.rpartition("-")
    return (epoch, upstream, revision) if found else (epoch, rest, "0")


def _compare_part(one: str, other: str) -> int:
    first, second = _runs(one), _runs(other)
    for index in range(max(len(first), len(second))):
        # A shorter version continues with nothing, and with the number 0.
        left, right = (runs[index] if index < len(runs) else ([0], 0) for runs in (first, second))
        if left != right:
            return -1 if left < right else 1
    return 0


def _runs(text: str) -> list[tuple[list[int], int]]:
    """Return pairs of non-digits, as numbers that sort like them, and the number that follows."""
    return [
        ([*(_order(character) for character in letters), 0], int(digits or 0))
        for letters, digits in re.findall(r"([^0-9]*)([0-9]*)", text)
        if letters or digits
    ]


def _order(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256
