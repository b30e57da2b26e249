# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan the certificate of a service: whether the CA signs a new one, and which files the host gets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from ansible_collections.pooled.postgres.plugins.module_utils._certificates import x509
from ansible_collections.pooled.postgres.plugins.module_utils._tls import model

_AUTHORITY_NAME = "certificate authority"


class Host(NamedTuple):
    """The host: its inventory name, the address that clients use, and what certificate_info saw."""

    name: str
    address: str
    seen: Mapping[str, Any]


class Controller(NamedTuple):
    """The machine that runs the playbook: the CA's certificate and key, and the user's files."""

    authority: str
    has_key: bool
    given: Mapping[str, Any] | None
    now: datetime
    # Part of the CA's name.
    stack: str = "pooled"


def problems(inputs: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the inputs, as far as that shows without a host."""
    files = inputs["certificates_files"]
    found = [
        f"certificates_names: {problem}" for problem in model.name_problems(inputs["certificates_names"])
    ]
    found += [
        f"certificates_files: {problem}"
        for problem in model.file_problems(files, inputs["certificates_authority_only"])
    ]
    if not files and not inputs["certificates_authority_directory"]:
        found.append(
            "certificates_authority_directory is empty, so the CA has no place. Set pooled_certificates_dir"
            " to a directory on the machine that runs the playbook."
        )
    renew, days = inputs["certificates_renew_days"], inputs["certificates_days"]
    if renew >= days:
        found.append(
            f"certificates_renew_days ({renew}) is not less than certificates_days ({days}), so each run"
            " would renew the certificate. Lower it."
        )
    return found


def place(inputs: Mapping[str, Any]) -> str:
    """Return the directory of the service's files on the host."""
    return f"{inputs['certificates_directory']}/{inputs['certificates_service']}"


def plan(inputs: Mapping[str, Any], host: Host, controller: Controller, check_mode: bool) -> dict[str, Any]:
    """Return the plan of the role.

    Returns:
        ``problems``, and without any: ``warnings``; ``place``; ``authority``, whether to make or renew the
        CA; ``authority_name``; ``issue``, whether the CA signs a certificate, with ``reasons``, ``issued``,
        ``common_name`` and ``names``; ``has_key``, whether the host has a key; ``key``, a user's key to copy,
        or none; ``copies`` of certificates; ``attributes`` to repair.
    """
    made = _Plan(inputs, host, controller)
    found = (
        problems(inputs)
        if inputs["certificates_service"]
        else ["certificates_service is empty. Name the service."]
    )
    found = found or made.problems()
    return {"problems": found} if found else {"problems": [], **made.result(check_mode)}


class _Plan:
    def __init__(self, inputs: Mapping[str, Any], host: Host, controller: Controller) -> None:
        self.inputs, self.host, self.controller = inputs, host, controller
        self.seen, self.now = host.seen, controller.now
        self.place = place(inputs)
        self.only = inputs["certificates_authority_only"]
        self.files = inputs["certificates_files"]
        self.on_host = bool(self.files.get("on_host"))
        self.given = self.seen.get("given") if self.on_host else controller.given
        self.directory = inputs["certificates_authority_directory"]
        self.names = model.alternative_names([host.name, host.address, *inputs["certificates_names"]])
        # The role replaces a CA whose key is lost only on request.
        lost = inputs["certificates_new_authority"] and not controller.has_key
        self.authority = None if lost else x509.first(controller.authority)
        self.renewal = (
            self.authority is not None
            and x509.days_left(self.authority, self.now) <= inputs["certificates_days"]
        )
        self.reasons = [] if self.files or self.only else self._reasons()

    def problems(self) -> list[str]:
        names = model.name_problems([self.host.name, self.host.address])
        found = [f"the host's name or address: {problem}" for problem in names]
        return found + (self._given_problems() if self.files else self._authority_problems())

    def _given_problems(self) -> list[str]:
        given = self.given or {"causes": [], "certificate": "", "authority": ""}
        if given["causes"]:
            return [
                f"certificates_files: {cause}. Correct the path or the file." for cause in given["causes"]
            ]
        authorities = x509.certificates(given["authority"])
        if not authorities:
            return [f"{self.files['authority']} contains no certificate. Set the CA's certificate."]
        if self.only:
            return []
        path, chain = self.files["certificate"], x509.certificates(given["certificate"])
        if not chain:
            return [f"{path} contains no certificate. Set the service's certificate."]
        found = []
        if x509.end(chain[0]) <= self.now:
            found.append(f"{path} ended on {x509.end(chain[0]):%Y-%m-%d}. Replace it with a new one.")
        if x509.begin(chain[0]) > self.now:
            found.append(f"{path} begins on {x509.begin(chain[0]):%Y-%m-%d}. Check the clock or the file.")
        if not x509.leads_to(chain, authorities):
            found.append(
                f"{path} does not lead to the CA {self.files['authority']}. Add the intermediate"
                " certificates to it, or set the CA that signed it."
            )
        return found

    def _authority_problems(self) -> list[str]:
        """Return why the CA must not sign: a second CA would lock out the clients of the first one."""
        if self.inputs["certificates_new_authority"]:
            return []
        key = f"{self.directory}/authority.key"
        remedy = (
            f"Copy {self.directory} from the machine that made the CA. To make a new CA, which every client"
            " then needs, set -e pooled_certificates_new_authority=true."
        )
        name = self.host.name
        old = x509.first(self.seen["authority"])
        ours = old is not None and x509.common_name(old).endswith(_AUTHORITY_NAME)
        if ours and self.authority is None and not self.controller.has_key:
            return [f"{key} is missing on this machine, and {name} has certificates of that CA. {remedy}"]
        if ours and self.authority is not None and not x509.same_key(old, self.authority):
            return [f"{name} has certificates of another CA than {self.directory}/authority.crt. {remedy}"]
        if self.authority is not None and not self.controller.has_key and (self.reasons or self.renewal):
            return [f"{key} is missing on this machine, and a certificate is due. {remedy}"]
        return []

    def _reasons(self) -> list[str]:
        """Return why the CA has to sign a certificate; none where the host's is good."""
        certificate = x509.first(self.seen["certificate"])
        if certificate is None:
            return ["the host has no certificate"]
        found = []
        if self.seen["mismatch"]:
            found.append(self.seen["mismatch"])
        if self.authority is None or not x509.signed_by(certificate, self.authority):
            found.append("another CA signed it")
        if x509.names(certificate) != set(self.names):
            found.append(f"its names change to {', '.join(self.names)}")
        if x509.days_left(certificate, self.now) < self.inputs["certificates_renew_days"]:
            found.append(f"it expires on {x509.end(certificate):%Y-%m-%d}")
        if self.inputs["certificates_renew"]:
            found.append("certificates_renew is true")
        return found

    def result(self, check_mode: bool) -> dict[str, Any]:
        paths = self.seen["paths"]
        return {
            "warnings": self._warnings(),
            "place": self.place,
            "authority": not self.files and (self.authority is None or self.renewal),
            "authority_name": f"{self.controller.stack} {_AUTHORITY_NAME}",
            "issue": bool(self.reasons),
            "reasons": self.reasons,
            "issued": self._issued(),
            "common_name": self.host.name[:64],
            "names": self.names,
            "has_key": f"{self.place}/server.key" in paths,
            "key": self._key(check_mode),
            "copies": self._copies(check_mode),
            "attributes": self._attributes(),
        }

    def _issued(self) -> str:
        return f"{self.directory}/{self.host.name}-{self.inputs['certificates_service']}.crt"

    def _warnings(self) -> list[str]:
        if not self.files or self.only:
            return []
        certificate = x509.certificates((self.given or {})["certificate"])[0]
        if x509.days_left(certificate, self.now) >= self.inputs["certificates_renew_days"]:
            return []
        return [f"{self.files['certificate']} expires on {x509.end(certificate):%Y-%m-%d}. Replace it."]

    def _unprepared(self, check_mode: bool) -> bool:
        return check_mode and self.place not in self.seen["paths"]

    def _key(self, check_mode: bool) -> dict[str, Any] | None:
        if not self.files or self.only or self._unprepared(check_mode) or not self.seen["mismatch"]:
            return None
        return self._copy("server.key", self.files["key"], self.inputs["certificates_group"], "0640")

    def _copy(self, name: str, source: str, group: str = "root", mode: str = "0644") -> dict[str, Any]:
        path = f"{self.place}/{name}"
        return {"src": source, "dest": path, "group": group, "mode": mode, "remote_src": self.on_host}

    def _copies(self, check_mode: bool) -> list[dict[str, Any]]:
        if self._unprepared(check_mode):
            return []
        given = self.given or {}
        wanted = [
            ("authority.crt", "authority", given.get("authority") if self.files else self._authority_text())
        ]
        if not self.only:
            own = None if self.reasons else self.seen["certificate"]
            wanted.append(("server.crt", "certificate", given.get("certificate") if self.files else own))
        copies = []
        for name, part, text in wanted:
            own_source = self._issued() if part == "certificate" else f"{self.directory}/authority.crt"
            # Check mode signs nothing, so there is no file to compare.
            if text is None and check_mode:
                continue
            if text is None or text != self.seen[part] or self._differs(name, "root", "0644"):
                copies.append(self._copy(name, self.files[part] if self.files else own_source))
        return copies

    def _authority_text(self) -> str | None:
        return None if self.authority is None or self.renewal else self.controller.authority

    def _differs(self, name: str, group: str, mode: str) -> bool:
        state = self.seen["paths"].get(f"{self.place}/{name}" if name else self.place)
        wanted = {"owner": "root", "group": group, "mode": mode}
        return state is not None and any(state[part] != value for part, value in wanted.items())

    def _attributes(self) -> list[dict[str, str]]:
        """Return the directory and the key where they need another owner or mode."""
        found = []
        if self.place not in self.seen["paths"] or self._differs("", "root", "0755"):
            found.append({"path": self.place, "state": "directory", "group": "root", "mode": "0755"})
        group = self.inputs["certificates_group"]
        if not self.only and self._differs("server.key", group, "0640"):
            found.append(
                {"path": f"{self.place}/server.key", "state": "file", "group": group, "mode": "0640"}
            )
        return found
