# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan certificates, with real ones."""

from __future__ import annotations

import ipaddress
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.action.certificates_plan import ActionModule
from ansible_collections.pooled.postgres.plugins.module_utils._certificates import (
    authority,
    files,
    plan,
    x509,
)
from ansible_collections.pooled.postgres.plugins.module_utils._tls.errors import CertificateError
from ansible_collections.pooled.postgres.plugins.modules import certificate_info
from ansible_collections.pooled.postgres.plugins.plugin_utils.plan import renderer, role_options, validated
from cryptography import x509 as crypto
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ["db1", "10.0.2.4", "db.example.com"]
CA = "pooled certificate authority"
DIRECTORY = {"type": "directory", "mode": "0755", "owner": "root", "group": "root"}


class Pair:
    """A certificate and its key, signed by another pair or by itself."""

    def __init__(
        self,
        name: str,
        issuer: Pair | None = None,
        *,
        names: list[str] | None = None,
        days: int = 365,
        begin: int = -1,
        key: Any = None,
    ) -> None:
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        subject = crypto.Name([crypto.NameAttribute(crypto.NameOID.COMMON_NAME, name)])
        builder = (
            crypto.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.certificate.subject if issuer else subject)
            .public_key(self.key.public_key())
            .serial_number(crypto.random_serial_number())
            .not_valid_before(NOW + timedelta(days=begin))
            .not_valid_after(NOW + timedelta(days=days))
        )
        if names:
            values = [
                crypto.IPAddress(ipaddress.ip_address(one)) if one[0].isdigit() else crypto.DNSName(one)
                for one in names
            ]
            builder = builder.add_extension(crypto.SubjectAlternativeName(values), critical=False)
        self.certificate: crypto.Certificate = builder.sign((issuer or self).key, hashes.SHA256())
        self.text: str = self.certificate.public_bytes(Encoding.PEM).decode()

    def key_text(self, passphrase: str = "") -> str:
        """Return the key as PEM."""
        how = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
        return str(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how).decode())


AUTHORITY = Pair(CA, days=3650)
OTHER = Pair(CA, days=3650)
SERVER = Pair("db1", AUTHORITY, names=NAMES)


def inputs(**changes: Any) -> dict[str, Any]:
    """Return typed inputs with short names."""
    values = {"service": "shop", "names": ["db.example.com"], "authority_directory": "/ca", **changes}
    typed, problems = validated(
        role_options("certificates"), {f"certificates_{name}": value for name, value in values.items()}
    )
    assert problems == []
    return typed


def seen(**changes: Any) -> dict[str, Any]:
    """Return a host with the certificate in place."""
    place = "/etc/ssl/pooled/shop"
    file = {"type": "file", "mode": "0644", "owner": "root", "group": "root"}
    paths = {place: DIRECTORY, f"{place}/server.crt": file, f"{place}/authority.crt": file}
    paths[f"{place}/server.key"] = {**file, "mode": "0640"}
    return {
        "paths": paths | changes.pop("paths", {}),
        "certificate": SERVER.text,
        "authority": AUTHORITY.text,
        "mismatch": "",
        **changes,
    }


BARE = {"paths": {}, "certificate": "", "authority": "", "mismatch": "no key"}


def made(
    host: dict[str, Any] | None = None,
    controller: dict[str, Any] | None = None,
    check_mode: bool = False,
    **changes: Any,
) -> dict[str, Any]:
    """Return a plan."""
    here = {"authority": AUTHORITY.text, "has_key": True, "given": None, "now": NOW, **(controller or {})}
    return plan.plan(
        inputs(**changes),
        plan.Host("db1", "10.0.2.4", seen() if host is None else host),
        plan.Controller(**here),
        check_mode,
    )


def work(result: dict[str, Any]) -> list[Any]:
    """Return what a plan has to do, as far as it is anything."""
    names = ("problems", "warnings", "authority", "issue", "key", "copies", "attributes")
    return [result[name] for name in names if result[name]]


def test_a_good_certificate_costs_nothing_more() -> None:
    assert work(made()) == []
    assert made()["names"] == ["DNS:db1", "IP:10.0.2.4", "DNS:db.example.com"]


@pytest.mark.parametrize(
    ("host", "changes", "reason"),
    [
        ({"certificate": ""}, {}, "the host has no certificate"),
        ({"certificate": "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"}, {}, "no certificate"),
        ({"mismatch": "it is not the key"}, {}, "it is not the key"),
        ({}, {"names": ["new.example.com"]}, "its names change to DNS:db1, IP:10.0.2.4, DNS:new.example.com"),
        ({}, {"names": []}, "its names change"),
        ({"certificate": Pair("db1", AUTHORITY, names=NAMES, days=29).text}, {}, "it expires on 2026-01-30"),
        (
            {"certificate": Pair("db1", AUTHORITY, names=NAMES, days=-2, begin=-9).text},
            {},
            "it expires on 2025-12-30",
        ),
        ({"certificate": Pair("db1", OTHER, names=NAMES).text}, {}, "another CA signed it"),
        ({}, {"renew": True}, "certificates_renew is true"),
    ],
)
def test_issue_a_certificate_that_is_due(host: dict[str, Any], changes: dict[str, Any], reason: str) -> None:
    result = made(seen(**host), **changes)
    assert result["problems"] == [] and result["issue"] and not result["authority"]
    assert reason in "; ".join(result["reasons"])
    assert [(one["src"], one["dest"]) for one in result["copies"]] == [
        ("/ca/db1-shop.crt", "/etc/ssl/pooled/shop/server.crt")
    ]


def test_a_certificate_that_lasts_is_not_renewed() -> None:
    lasting = seen(certificate=Pair("db1", AUTHORITY, names=NAMES, days=31).text)
    assert not made(lasting)["issue"]


def test_a_bare_host_gets_all_of_it() -> None:
    result = made(BARE, {"authority": "", "has_key": False})
    assert result["authority"] and result["issue"]
    assert [one["dest"].rsplit("/", 1)[1] for one in result["copies"]] == ["authority.crt", "server.crt"]
    assert result["attributes"] == [
        {"path": "/etc/ssl/pooled/shop", "state": "directory", "group": "root", "mode": "0755"}
    ]
    checked = made(BARE, {"authority": "", "has_key": False}, check_mode=True)
    assert checked["issue"] and checked["copies"] == [] and checked["attributes"]


def test_check_mode_compares_no_certificate_that_is_not_signed() -> None:
    assert made(check_mode=True, renew=True)["copies"] == []


def test_renew_a_ca_that_a_new_certificate_would_outlive() -> None:
    ending = Pair(CA, days=365, key=AUTHORITY.key)
    result = made(seen(authority=ending.text), {"authority": ending.text})
    assert result["authority"] and not result["issue"]
    assert [one["src"] for one in result["copies"]] == ["/ca/authority.crt"]
    # The renewed one has the same key, so the certificate stays.
    renewed = made(seen(authority=ending.text))
    assert not renewed["issue"] and [one["src"] for one in renewed["copies"]] == ["/ca/authority.crt"]


@pytest.mark.parametrize(
    ("controller", "host", "changes", "cause"),
    [
        (
            {"authority": "", "has_key": False},
            {},
            {},
            "/ca/authority.key is missing on this machine, and db1 has",
        ),
        ({"authority": OTHER.text}, {}, {}, "db1 has certificates of another CA than /ca/authority.crt"),
        ({"has_key": False}, {}, {"renew": True}, "a certificate is due"),
    ],
)
def test_refuse_a_lost_ca(controller: Any, host: Any, changes: Any, cause: str) -> None:
    (problem,) = made(seen(**host), controller, **changes)["problems"]
    assert cause in problem and "pooled_certificates_new_authority=true" in problem
    result = made(seen(**host), controller, **changes, new_authority=True)
    assert result["problems"] == [] and result["issue"]
    assert len(result["copies"]) == 2
    assert result["authority"] is ("has_key" in controller)


def test_a_ca_without_its_key_serves_as_long_as_nothing_is_due() -> None:
    assert work(made(controller={"has_key": False})) == []


def test_the_own_ca_replaces_a_given_one() -> None:
    foreign = Pair("Example Root")
    host = seen(authority=foreign.text, certificate=Pair("x", foreign, names=NAMES).text)
    for controller in ({}, {"authority": "", "has_key": False}):
        result = made(host, controller)
        assert result["problems"] == [] and result["issue"]
        assert len(result["copies"]) == 2


def test_only_the_ca_for_a_service_that_checks_others() -> None:
    paths = {"/etc/ssl/pooled/shop": DIRECTORY}
    host = {**BARE, "paths": paths}
    result = made(host, authority_only=True)
    assert not result["issue"]
    assert [one["src"] for one in result["copies"]] == ["/ca/authority.crt"]
    assert work(made(authority_only=True)) == []


@pytest.mark.parametrize(
    ("path", "change", "repaired"),
    [
        ("/etc/ssl/pooled/shop", {"mode": "0777"}, "attributes"),
        ("/etc/ssl/pooled/shop/server.key", {"mode": "0644"}, "attributes"),
        ("/etc/ssl/pooled/shop/server.key", {"group": "users"}, "attributes"),
        ("/etc/ssl/pooled/shop/server.crt", {"mode": "0666"}, "copies"),
        ("/etc/ssl/pooled/shop/authority.crt", {"owner": "nobody"}, "copies"),
    ],
)
def test_repair_modes(path: str, change: dict[str, str], repaired: str) -> None:
    host = seen()
    host["paths"][path] = host["paths"][path] | change
    result = made(host)
    assert [one.get("path", one.get("dest")) for one in result[repaired]] == [path]
    assert len(work(result)) == 1


GIVEN = {"certificate": "/g/s.crt", "key": "/g/s.key", "authority": "/g/ca.crt"}
ROOT = Pair("Example Root")
MIDDLE = Pair("Example Intermediate", ROOT)
LEAF = Pair("shop.example.com", MIDDLE)
CHAIN = {"certificate": LEAF.text + MIDDLE.text, "authority": ROOT.text, "causes": []}


@pytest.mark.parametrize("on_host", [False, True])
def test_place_given_files(on_host: bool) -> None:
    given = {**GIVEN, "on_host": on_host}
    host = seen(mismatch="other key", **({"given": CHAIN} if on_host else {}))
    result = made(host, {"given": None if on_host else CHAIN}, files=given)
    assert result["problems"] == [] and not result["authority"] and not result["issue"]
    assert result["key"] == {
        "src": "/g/s.key",
        "dest": "/etc/ssl/pooled/shop/server.key",
        "group": "root",
        "mode": "0640",
        "remote_src": on_host,
    }
    assert [one["src"] for one in result["copies"]] == ["/g/ca.crt", "/g/s.crt"]
    placed = seen(**{**CHAIN, **({"given": CHAIN} if on_host else {})})
    assert work(made(placed, {"given": None if on_host else CHAIN}, files=given)) == []
    assert (
        made({**BARE, **({"given": CHAIN} if on_host else {})}, {"given": CHAIN}, True, files=given)["copies"]
        == []
    )


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"causes": ["/g/s.key is not the key of /g/s.crt"]}, "is not the key of"),
        ({"certificate": "x"}, "/g/s.crt contains no certificate"),
        ({"authority": "x"}, "/g/ca.crt contains no certificate"),
        ({"certificate": LEAF.text}, "does not lead to the CA /g/ca.crt"),
        ({"authority": OTHER.text}, "does not lead to the CA"),
        ({"certificate": Pair("s", ROOT, days=-2, begin=-9).text}, "/g/s.crt ended on 2025-12-30"),
        ({"certificate": Pair("s", ROOT, begin=2).text}, "/g/s.crt begins on 2026-01-03"),
    ],
)
def test_refuse_given_files_that_do_not_fit(change: dict[str, Any], cause: str) -> None:
    (problem,) = made(None, {"given": {**CHAIN, **change}}, files=GIVEN)["problems"]
    assert cause in problem


def test_warn_before_a_given_certificate_ends() -> None:
    ending = {**CHAIN, "certificate": Pair("s", ROOT, days=29).text}
    result = made(None, {"given": ending}, files=GIVEN)
    assert result["warnings"] == ["/g/s.crt expires on 2026-01-30. Replace it."]
    assert made(None, {"given": CHAIN}, files=GIVEN)["warnings"] == []


def test_only_the_given_ca() -> None:
    result = made(
        None, {"given": {**CHAIN, "certificate": ""}}, files={"authority": "/g/ca.crt"}, authority_only=True
    )
    assert result["problems"] == [] and result["key"] is None
    assert [one["src"] for one in result["copies"]] == ["/g/ca.crt"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"service": ""}, "certificates_service is empty"),
        ({"names": ["a b"]}, "certificates_names: 'a b' is neither"),
        ({"files": {"certificate": "/c", "key": "/k"}}, "certificates_files: authority is missing"),
        ({"authority_directory": ""}, "Set pooled_certificates_dir"),
        ({"renew_days": 365}, "is not less than certificates_days"),
    ],
)
def test_reject_inputs(changes: dict[str, Any], problem: str) -> None:
    (found,) = made(**changes)["problems"]
    assert problem in found
    assert plan.problems(inputs(**{**changes, "service": "x"})) == ([] if "service" in changes else [found])


def test_reject_a_host_that_no_certificate_can_name() -> None:
    controller = plan.Controller(AUTHORITY.text, True, None, NOW)
    (problem,) = plan.plan(inputs(), plan.Host("db 1", "", seen()), controller, False)["problems"]
    assert "'db 1' is neither a host name nor an IP address" in problem


def test_a_key_belongs_to_its_certificate_only(tmp_path: Path) -> None:
    for name, text in (("s.crt", SERVER.text), ("s.key", SERVER.key_text()), ("o.key", OTHER.key_text())):
        (tmp_path / name).write_text(text)
    (tmp_path / "locked.key").write_text(SERVER.key_text("x"))
    (tmp_path / "none.crt").write_text("x")

    def cause(certificate: str, key: str) -> str:
        return files.mismatch(str(tmp_path / certificate), str(tmp_path / key))

    assert cause("s.crt", "s.key") == ""
    assert "o.key is not the key of" in cause("s.crt", "o.key")
    assert "must not have a passphrase" in cause("s.crt", "locked.key")
    assert "cannot be loaded" in cause("none.crt", "s.key")
    assert "missing.key cannot be read: No such file" in cause("s.crt", "missing.key")
    paths = {"certificate": f"{tmp_path}/s.crt", "key": f"{tmp_path}/o.key", "authority": f"{tmp_path}/none"}
    assert len(files.given(paths)["causes"]) == 1
    assert (
        files.given({**paths, "key": f"{tmp_path}/s.key", "authority": f"{tmp_path}/s.crt"})["causes"] == []
    )


def test_look_at_a_host_without_its_key(tmp_path: Path) -> None:
    for name, text in (
        ("server.crt", SERVER.text),
        ("server.key", SERVER.key_text()),
        ("authority.crt", AUTHORITY.text),
    ):
        (tmp_path / name).write_text(text)
    params: dict[str, Any] = {"directory": str(tmp_path), "certificate": None, "given": None}
    found = certificate_info.seen(params, str(tmp_path))
    assert (found["certificate"], found["authority"], found["mismatch"]) == (SERVER.text, AUTHORITY.text, "")
    assert len(found["paths"]) == 4 and "PRIVATE" not in str(found)
    assert certificate_info.seen({**params, "certificate": OTHER.text}, str(tmp_path))["mismatch"]
    given = {"certificate": f"{tmp_path}/server.crt", "key": f"{tmp_path}/server.key", "authority": None}
    assert certificate_info.seen({**params, "given": given}, str(tmp_path))["given"]["causes"] == []
    bare = certificate_info.seen({**params, "directory": str(tmp_path / "none")}, str(tmp_path))
    assert (bare["paths"], bare["certificate"]) == ({}, "") and bare["mismatch"]


def test_the_action_reads_the_ca_of_this_machine(tmp_path: Path) -> None:
    class Templar:
        def template(self, value: Any) -> Any:
            return value

    action = ActionModule.__new__(ActionModule)
    action.host, action.variables, action._templar = "db1", {"ansible_host": "10.0.2.4"}, Templar()
    (tmp_path / "authority.crt").write_text(Pair(CA, days=36500, key=AUTHORITY.key).text)
    given = inputs(authority_directory=str(tmp_path))
    later = Pair("db1", AUTHORITY, names=NAMES, days=36500).text
    result = action.plan(given, seen(certificate=later), renderer("certificates"), False)
    assert result["problems"] == [] and not result["issue"]
    assert action.look(given) == {"directory": "/etc/ssl/pooled/shop"}
    assert action.look(inputs(files={**GIVEN, "on_host": True}))["given"]["key"] == "/g/s.key"
    assert action.look(inputs(files=GIVEN))["certificate"] == ""
    assert action.problems(given) == []


def test_make_one_ca_for_hosts_that_run_side_by_side(tmp_path: Path) -> None:
    wanted = authority.Wanted(CA, 3650, 365, NOW)
    directory = tmp_path / "ca"
    assert len(authority.ensure(directory, wanted, True)) == 2 and not directory.exists()
    with ThreadPoolExecutor(max_workers=8) as pool:
        changes = list(pool.map(lambda _: authority.ensure(directory, wanted, False), range(8)))
    assert sorted(map(len, changes)) == [0] * 7 + [2]
    certificate = x509.first((directory / "authority.crt").read_text())
    assert (
        certificate is not None
        and x509.common_name(certificate) == CA
        and x509.signed_by(certificate, certificate)
    )
    assert [f"{path.stat().st_mode & 0o777:o}" for path in (directory, directory / "authority.key")] == [
        "700",
        "600",
    ]
    subprocess.run(
        ["openssl", "verify", "-CAfile", directory / "authority.crt", directory / "authority.crt"], check=True
    )


def test_renew_the_ca_with_the_same_key(tmp_path: Path) -> None:
    authority.ensure(tmp_path, authority.Wanted(CA, 3650, 365, NOW, "a passphrase"), False)
    old = x509.first((tmp_path / "authority.crt").read_text())
    later = authority.Wanted(CA, 3650, 365, NOW + timedelta(days=3300), "a passphrase")
    assert "ENCRYPTED" in (tmp_path / "authority.key").read_text()
    assert len(authority.ensure(tmp_path, later, True)) == 1
    with pytest.raises(CertificateError, match="pooled_certificates_passphrase"):
        authority.ensure(tmp_path, later._replace(passphrase="wrong"), False)
    assert authority.ensure(tmp_path, later, False) == [str(tmp_path / "authority.crt")]
    new = x509.first((tmp_path / "authority.crt").read_text())
    assert x509.same_key(old, new) and x509.days_left(new, later.now) == 3650
    assert authority.ensure(tmp_path, later, False) == []


def test_certificates_of_a_text() -> None:
    assert len(x509.certificates(LEAF.text + "text" + MIDDLE.text)) == 2
    assert x509.leads_to([ROOT.certificate], [ROOT.certificate])
    assert not x509.signed_by(LEAF.certificate, ROOT.certificate)
    assert x509.days_left(SERVER.certificate, NOW + timedelta(days=366)) == -1
    assert x509.names(ROOT.certificate) == set()
