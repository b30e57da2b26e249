# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan the exporters of a host: packages, releases, files and services. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from ansible_collections.pooled.postgres.plugins.module_utils._exporters import inputs as checks
from ansible_collections.pooled.postgres.plugins.module_utils._exporters import model, units
from ansible_collections.pooled.postgres.plugins.module_utils._exporters.places import (
    ACCOUNT,
    CERTIFICATES,
    DIRECTORY,
    HIDDEN,
    OLD_PASSFILE,
    PASSFILE,
    RELEASES,
    TEXTFILES,
    UNITS,
    WEB,
)
from ansible_collections.pooled.postgres.plugins.module_utils._tls import model as tls

EXPIRY_TIMER = "certificate_expiry.timer"
EXPIRY_SCRIPT = "/usr/local/lib/pooled-certificate-expiry"
EXPIRY_FILES = (f"{UNITS}/{EXPIRY_TIMER}", f"{UNITS}/certificate_expiry.service", EXPIRY_SCRIPT)
EXPIRY_METRICS = f"{TEXTFILES}/certificates.prom"

# Packages with the programs and versions that the role needs. Debian 12's prometheus-pgbouncer-exporter is
# another program, and its postgres_exporter lacks collectors.
PACKAGED = {"Debian-12": ("node",), "Debian-13": model.KINDS}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_OWN_UNIT = "RuntimeDirectory=pooled-exporters/"
_SINGLE = ("postgres_exporter", "node_exporter")


class Host(NamedTuple):
    """The host, and what other roles plan for it."""

    name: str
    seen: Mapping[str, Any]
    # Number of PgBouncer processes in the plan of the role pgbouncer, 0 without one.
    processes: int = 0


def look(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of host_info."""
    markers = [_marker(kind, one.get("version") or "") for kind, one in checks.releases(inputs).items()]
    return {
        "packages": [*(_package(kind) for kind in model.KINDS), "openssl", "python3-cryptography"],
        "paths": [
            "/etc/pgbouncer/pgbouncer-*.ini",
            "/etc/postgresql/*/*/postgresql.conf",
            f"{RELEASES}/*/*_exporter",
            f"{UNITS}/pgbouncer_exporter@*.service",
            f"{UNITS}/prometheus-*-exporter.service",
            *EXPIRY_FILES,
            EXPIRY_METRICS,
            CERTIFICATES,
            WEB,
            HIDDEN,
            OLD_PASSFILE,
        ],
        "contents": ["/etc/passwd", *(f"{UNITS}/{name}.service" for name in _SINGLE), *markers],
        "units": [f"prometheus-{kind}-exporter.service" for kind in model.KINDS],
    }


def plan(inputs: Mapping[str, Any], host: Host, render: Callable[..., str]) -> dict[str, Any]:
    """Return the plan of the role.

    Args:
        inputs: inputs of the role by name, typed.
        host: the host, as ``look`` asks for it.
        render: renders a template of the role.

    Returns:
        ``problems``, and without any: ``packages`` that are missing; ``account``, whether it is missing;
        ``releases`` to install; ``install``, whether any of these is needed; ``early``, whether the plan may
        change once PostgreSQL or PgBouncer is configured; ``processes`` of PgBouncer; ``address`` of the
        exporters on this host; ``masks``, ``files``, ``leftovers`` (entries of the module files);
        ``surplus``, ``services`` (entries of the module services); ``check`` (arguments of exporters_check).
    """
    made = _Plan(inputs, host, render)
    problems = made.problems()
    return {"problems": problems} if problems else {"problems": [], **made.result()}


def _package(kind: str) -> str:
    return f"prometheus-{kind}-exporter"


def _release_directory(kind: str, version: str) -> str:
    return f"{RELEASES}/{kind}_exporter-{version}"


def _marker(kind: str, version: str) -> str:
    """Return the path of the file that names the checksum of an unpacked release."""
    return f"{_release_directory(kind, version)}/.checksum"


class _Plan:
    def __init__(self, inputs: Mapping[str, Any], host: Host, render: Callable[..., str]) -> None:
        seen = host.seen
        self.inputs, self.host, self.render = inputs, host.name, render
        self.seen = seen
        self.kinds = [kind for kind in model.KINDS if kind in inputs["exporters_kinds"]]
        platform = f"{seen['distribution']}-{seen['distribution_major_version']}"
        packaged = PACKAGED.get(platform, ("node",)) if inputs["exporters_source"] == "package" else ()
        self.packaged = [kind for kind in self.kinds if kind in packaged]
        self.released = [kind for kind in self.kinds if kind not in packaged]
        found = model.process_count(seen["paths"])
        self.configured = {
            "pgbouncer": host.processes or found,
            "postgres": model.server_version(seen["paths"]),
        }
        self.processes = inputs["exporters_pgbouncer_processes"] or host.processes or found or 1
        self.exporters = model.services(self.kinds, checks.ports(inputs), self.processes)
        self.releases = checks.releases(inputs)
        self.tls = inputs["exporters_tls"]
        self.web = bool(self.tls or inputs["exporters_basic_auth"])
        self.address = tls.probe_address(inputs["exporters_listen"])

    def problems(self) -> list[str]:
        architecture = self.seen["architecture"]
        return [
            *checks.problems(self.inputs, ACCOUNT, self.processes),
            *checks.release_problems(
                self.inputs, self.released, ARCHITECTURES.get(architecture, architecture)
            ),
            *self._mask_problems(),
        ]

    def _mask_problems(self) -> list[str]:
        paths = [mask["path"] for mask in self._masks()]
        return [
            f"{path} is your own unit, and the role masks the package's unit there. Remove the file."
            for path in paths
            if self.seen["paths"].get(path, {}).get("type") == "file"
        ]

    def result(self) -> dict[str, Any]:
        packages = self._missing_packages()
        releases = self._missing_releases()
        account = f"\n{ACCOUNT}:" not in f"\n{self.seen['contents'].get('/etc/passwd', '')}"
        surplus = self._surplus()
        return {
            "packages": packages,
            "account": account,
            "releases": releases,
            "install": bool(packages or releases or account),
            "early": any(kind in self.kinds and not count for kind, count in self.configured.items()),
            "processes": self.processes,
            "address": self.address,
            "tls": self.tls,
            "masks": self._masks(),
            "surplus": [
                *({"name": name, "state": "stopped", "enabled": False} for name in surplus),
                *self._package_services(),
                *self._unwanted_timer(),
            ],
            "files": self._files(),
            "services": self._services(),
            "leftovers": [{"path": path, "state": "absent"} for path in self._leftovers(surplus)],
            "check": self._check(),
        }

    def _missing_packages(self) -> list[str]:
        wanted = [_package(kind) for kind in self.packaged]
        wanted += ["python3-cryptography"] * self.tls + ["openssl"] * ("node" in self.kinds)
        return [name for name in wanted if not self.seen["packages"].get(name, {}).get("installed")]

    def _missing_releases(self) -> list[dict[str, str]]:
        missing = []
        for kind in self.released:
            release = self.releases[kind]
            marker = _marker(kind, release["version"])
            program = self.seen["paths"].get(self._binary(kind), {})
            intact = program.get("owner") == "root" and program.get("mode") == "0755"
            if not intact or self.seen["contents"].get(marker, "").strip() != release["checksum"]:
                missing.append(
                    {
                        **release,
                        "kind": kind,
                        "directory": _release_directory(kind, release["version"]),
                        "marker": marker,
                    }
                )
        return missing

    def _binary(self, kind: str) -> str:
        if kind in self.packaged:
            return f"/usr/bin/{_package(kind)}"
        version = self.releases[kind]["version"]
        return f"{_release_directory(kind, version)}/{kind}_exporter"

    def _masks(self) -> list[dict[str, Any]]:
        """Return links that keep the packages' own units from starting."""
        return [
            {"path": f"{UNITS}/{_package(kind)}.service", "state": "link", "target": "/dev/null"}
            for kind in self.packaged
        ]

    def _surplus(self) -> list[str]:
        """Return this role's services that are no longer wanted, the last processes first."""
        wanted = {exporter["name"] for exporter in self.exporters}
        pattern = re.compile(rf"{UNITS}/(pgbouncer_exporter@(\d+))\.service")
        processes = {
            int(match[2]): match[1] for path in self.seen["paths"] if (match := pattern.fullmatch(path))
        }
        # A unit with this name may be the user's own.
        single = [
            name for name in _SINGLE if _OWN_UNIT in self.seen["contents"].get(f"{UNITS}/{name}.service", "")
        ]
        names = [processes[number] for number in sorted(processes, reverse=True)] + single
        return [name for name in names if name not in wanted]

    def _package_services(self) -> list[dict[str, Any]]:
        """Return the packages' own services that run on the role's ports."""
        names = [f"{_package(kind)}.service" for kind in self.packaged]
        return [
            {"name": name, "state": "stopped", "reason": "it holds the port of the role's exporter"}
            for name in names
            if self.seen["units"].get(name, {}).get("active") in ("active", "activating", "reloading")
        ]

    def _unwanted_timer(self) -> list[dict[str, Any]]:
        if "node" in self.kinds or f"{UNITS}/{EXPIRY_TIMER}" not in self.seen["paths"]:
            return []
        return [{"name": EXPIRY_TIMER, "state": "stopped", "enabled": False}]

    def _leftovers(self, surplus: Iterable[str]) -> list[str]:
        """Return paths that nothing uses once the services run as planned."""
        services = [f"{UNITS}/{name}.service" for name in surplus]
        unwanted = [
            *([] if "node" in self.kinds else [*EXPIRY_FILES, EXPIRY_METRICS]),
            # CertificateExpiring would fire for a certificate that nothing renews.
            *([] if self.tls else [CERTIFICATES]),
            *([] if self.web else [WEB]),
            *([] if "pgbouncer" in self.kinds else [HIDDEN]),
            OLD_PASSFILE,
        ]
        return services + [path for path in unwanted if path in self.seen["paths"]]

    def _files(self) -> list[dict[str, Any]]:
        shared = {"owner": "root", "group": ACCOUNT}
        files: list[dict[str, Any]] = [{"path": DIRECTORY, "state": "directory", "mode": "0750", **shared}]
        if "node" in self.kinds:
            files.append({"path": TEXTFILES, "state": "directory", "mode": "0755"})
        files += self._masks()
        if "pgbouncer" in self.kinds:
            files.append({"path": HIDDEN, "state": "directory", "mode": "0750", **shared})
            # lib/pq ignores a password file that its group may read.
            owned = {"owner": ACCOUNT, "group": ACCOUNT, "mode": "0400"}
            files.append({"path": PASSFILE, "secret_content": self._passfile(), **owned})
        if self.web:
            files.append({"path": WEB, "secret_content": self._web(), "mode": "0640", **shared})
        files += [
            {"path": f"{UNITS}/{exporter['name']}.service", "content": self._unit(exporter), "mode": "0644"}
            for exporter in self.exporters
        ]
        if "node" in self.kinds:
            values = {"script": EXPIRY_SCRIPT, "directory": TEXTFILES, "metrics": EXPIRY_METRICS}
            templates = {EXPIRY_SCRIPT: "certificate_expiry.sh"} | {
                path: path.rsplit("/", 1)[1] for path in EXPIRY_FILES[:2]
            }
            files += [
                {
                    "path": path,
                    "content": self.render(f"{template}.j2", **values),
                    "mode": "0755" if path == EXPIRY_SCRIPT else "0644",
                }
                for path, template in templates.items()
            ]
        return files

    def _passfile(self) -> str:
        user = self.inputs["exporters_pgbouncer_user"]
        return f"*:*:pgbouncer:{user}:{model.passfile_word(self.inputs['exporters_pgbouncer_password'])}\n"

    def _web(self) -> str:
        users = {
            user["name"]: user.get("password_hash")
            or model.bcrypt_hash(user["password"], f"{self.host} {user['name']}")
            for user in self.inputs["exporters_basic_auth"]
        }
        return self.render("web.yml.j2", tls=self.tls, directory=CERTIFICATES, users=users)

    def _unit(self, exporter: Mapping[str, Any]) -> str:
        values = units.values(
            exporter, self.inputs, self.configured["postgres"], self._binary(exporter["kind"])
        )
        return self.render("exporter.service.j2", **values)

    def _services(self) -> list[dict[str, Any]]:
        services = [
            {
                "name": f"{exporter['name']}.service",
                "enabled": True,
                "restart_on": [f"{UNITS}/{exporter['name']}.service", *self._read_at_start(exporter["kind"])],
            }
            for exporter in self.exporters
        ]
        if "node" in self.kinds:
            services.append({"name": EXPIRY_TIMER, "enabled": True, "restart_on": list(EXPIRY_FILES)})
        return services

    def _read_at_start(self, kind: str) -> list[str]:
        if kind in self.packaged:
            # dpkg writes this list at each upgrade. The program keeps the time of its build.
            installed = f"/var/lib/dpkg/info/{_package(kind)}.list"
        else:
            installed = _marker(kind, self.releases[kind]["version"])
        return [self._binary(kind), installed, *([PASSFILE] if kind == "pgbouncer" else [])]

    def _check(self) -> dict[str, Any]:
        inputs = self.inputs
        # The role knows no password of a user with a hash only, and then expects a refusal.
        login = next((user for user in inputs["exporters_basic_auth"] if user.get("password")), None)
        given = bool(inputs["exporters_tls_files"])
        return {
            "address": self.address,
            "exporters": [
                {
                    "name": exporter["name"],
                    "port": exporter["port"],
                    "sample": model.SAMPLES[exporter["kind"]],
                    "hint": self._hint(exporter["kind"]),
                }
                for exporter in self.exporters
            ],
            "tls": self.tls,
            # The user's certificate may have other names, so only the built-in CA's is verified.
            "ca_path": f"{CERTIFICATES}/authority.crt" if self.tls and not given else None,
            "user": login["name"] if login else None,
            "password": login["password"] if login else None,
            "refused": bool(inputs["exporters_basic_auth"]) and login is None,
        }

    def _hint(self, kind: str) -> str:
        inputs = self.inputs
        return {
            "postgres": (
                f"It logs in to {inputs['exporters_postgres_socket']} as {inputs['exporters_postgres_user']}."
                f" Check that PostgreSQL runs and admits the account {ACCOUNT} by peer, as the role postgres"
                " configures it (postgres_monitoring_user)."
            ),
            "pgbouncer": (
                f"It logs in to its process as {inputs['exporters_pgbouncer_user']}. Check that"
                " this user is in pgbouncer_users, with the same password and databases: [], and in"
                " pgbouncer_stats_users."
            ),
            "node": "Check that it may read /proc and /sys.",
        }[kind]
