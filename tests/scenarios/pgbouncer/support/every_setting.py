"""Run on a host as root: every setting that the installed PgBouncer lists takes another value, and back.

Reads ``{"sources": {name: text}}``, the modules of ``module_utils/_pgbouncer``, as JSON from stdin. Prints
``{"version", "settings": [{"name", "changeable", "action", "named", "before", "after", "left"}]}``. A
PgBouncer of its own is reloaded or restarted for each, in its own directory; the host's is left alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PACKAGE = "ansible_collections/pooled/postgres/plugins/module_utils/_pgbouncer"
BINARY = "/usr/sbin/pgbouncer"
PORT = 16432

inputs = json.load(sys.stdin)
library = Path(tempfile.mkdtemp(prefix="library-"))
package = library / PACKAGE
package.mkdir(parents=True)
for name, source in inputs["sources"].items():
    (package / name).write_text(source)
sys.path.insert(0, str(library))
# The project's own modules, which are on this host for this test only.
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import (  # noqa: E402
    catalogue,
    config,
    console,
    proof,
    takeover,
)

pooler = proof.account("pgbouncer")
place = Path(tempfile.mkdtemp(prefix="every-setting-"))
other = place / "other"
other.mkdir()
files = {name: place / name for name in ("userlist", "hba", "ident", "key", "certificate", "resolv")}
files["userlist"].write_text('"a" "md5' + "0" * 32 + '"\n')
files["hba"].write_text("local all all trust\n")
files["ident"].write_text("map a b\n")
files["resolv"].write_text("nameserver 127.0.0.1\n")
subprocess.run(
    [
        *(
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=a",
            "-days",
            "1",
            "-keyout",
        ),
        str(files["key"]),
        "-out",
        str(files["certificate"]),
    ],
    check=True,
    capture_output=True,
)
for path in (place, other, *files.values()):
    os.chown(path, pooler.uid, pooler.gid)

BASE: dict[str, Any] = {
    "auth_type": "md5",
    "auth_file": str(files["userlist"]),
    "listen_port": PORT,
    "unix_socket_dir": str(place),
    "pidfile": str(place / "pid"),
    "logfile": str(place / "log.txt"),
}
TLS = {
    "client_tls_sslmode": "allow",
    "client_tls_ca_file": str(files["certificate"]),
    "client_tls_key_file": str(files["key"]),
    "client_tls_cert_file": str(files["certificate"]),
}
# Values for settings of which not any text will do, and what has to be set along with them.
OTHERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "auth_file": (str(files["hba"]).replace("hba", "userlist2"), {}),
    "auth_hba_file": (str(files["hba"]), {}),
    "auth_ident_file": (str(files["ident"]), {}),
    "auth_type": ("trust", {}),
    "client_tls13_ciphers": ("TLS_AES_128_GCM_SHA256", TLS),
    "client_tls_ca_file": (str(files["certificate"]), TLS),
    "client_tls_cert_file": (str(files["certificate"]), TLS),
    "client_tls_ciphers": ("ECDHE-RSA-AES256-GCM-SHA384", TLS),
    "client_tls_dheparams": ("none", TLS),
    "client_tls_ecdhcurve": ("prime256v1", TLS),
    "client_tls_key_file": (str(files["key"]), TLS),
    "client_tls_protocols": ("tlsv1.3", TLS),
    "client_tls_sslmode": ("allow", TLS),
    "listen_addr": ("127.0.0.1", {}),
    "listen_port": (PORT + 1, {}),
    "logfile": (str(other / "log.txt"), {}),
    "pidfile": (str(other / "pid"), {}),
    "resolv_conf": (str(files["resolv"]), {}),
    "server_tls13_ciphers": ("TLS_AES_128_GCM_SHA256", {}),
    "server_tls_ca_file": (str(files["certificate"]), {}),
    "server_tls_cert_file": (str(files["certificate"]), {"server_tls_key_file": str(files["key"])}),
    "server_tls_ciphers": ("ECDHE-RSA-AES256-GCM-SHA384", {}),
    "server_tls_key_file": (str(files["key"]), {"server_tls_cert_file": str(files["certificate"])}),
    "server_tls_protocols": ("tlsv1.3", {}),
    "server_tls_sslmode": ("require", {}),
    "unix_socket_dir": (str(other), {}),
    "unix_socket_group": ("pgbouncer", {}),
    "unix_socket_mode": ("0700", {}),
    "user": ("pgbouncer", {}),
}
shutil.copy(files["userlist"], str(files["userlist"]) + "2")


def another(name: str, value: str | None) -> tuple[Any, dict[str, Any]]:
    """Return a value of a setting that differs from the one shown, and what has to be set along with it."""
    if name in OTHERS:
        return OTHERS[name]
    kind = catalogue.SETTINGS[name]
    if kind.name == "switch":
        return value != "1", {}
    if kind.name == "number":
        return int(value or 0) + 1 if int(value or 0) < kind.high else int(value or 0) - 1, {}
    if kind.name == "seconds":
        return "42.5", {}
    if kind.name == "word":
        return next(choice for choice in kind.choices if choice != value), {}
    return "another", {}


class Instance:
    """A PgBouncer on this test's directory."""

    process: subprocess.Popen[bytes] | None = None

    def start(self, settings: dict[str, Any]) -> None:
        """Restart it with the file as it is. Raises TimeoutError."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        for directory in (place, other):
            for name in ("pid", f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT + 1}"):
                (directory / name).unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [BINARY, "-q", str(place / "ini")],
            user=pooler.uid,
            group=pooler.gid,
            extra_groups=pooler.groups,
        )
        deadline = time.monotonic() + 10
        while self.show(settings) is None:
            if time.monotonic() > deadline:
                raise TimeoutError("PgBouncer does not answer")
            time.sleep(0.01)

    def show(self, settings: dict[str, Any]) -> proof.Shown | None:
        """Return what it shows, or None."""
        found = proof.running(str(settings["unix_socket_dir"]), int(settings["listen_port"]), pooler)
        return found.shown if found else None

    def reload(self, settings: dict[str, Any]) -> None:
        """Have it read its file again."""
        with (
            proof.acting_as(pooler),
            console.Console(str(settings["unix_socket_dir"]), int(settings["listen_port"])) as connection,
        ):
            connection.run("RELOAD")


def prove(settings: dict[str, Any]) -> dict[str, str]:
    """Write a configuration that is proved, and return every setting as it will be shown."""
    text = config.render(settings)
    port = int(settings["listen_port"])
    found = proof.shown(text, binary=BINARY, runs_as=pooler, port=port, seconds=20)
    own = proof.overridden()
    written = {name: config.setting(name, value) for name, value in settings.items()}
    (place / "ini").write_text(text)
    os.chown(place / "ini", pooler.uid, pooler.gid)
    return takeover.wanted_settings(found.config, {**own, **{k: v for k, v in written.items() if k in own}})


def change(
    instance: Instance, settings: dict[str, Any], old: dict[str, Any]
) -> tuple[takeover.Takeover, list[str]]:
    """Bring an instance to other settings; return how, and which settings differ even then."""
    wanted = prove(settings)
    running = instance.show(old)
    assert running is not None
    if running.config:
        plan = takeover.decide(running.config, wanted, written=settings)
    else:  # it had disable_pqexec, whose console takes no commands
        plan = takeover.Takeover(takeover.RESTART, [], [], [])
    if plan.action == takeover.RESTART:
        instance.start(settings)
    elif plan.action == takeover.RELOAD:
        instance.reload(settings)
    after = instance.show(settings)
    assert after is not None
    return plan, [difference.name for difference in takeover.decide(after.config, wanted).settings]


def main() -> list[dict[str, Any]]:
    """Change each setting, and back."""
    instance = Instance()
    results = []
    prove(BASE)
    instance.start(BASE)
    first = instance.show(BASE)
    assert first is not None
    try:
        for row in first.config:
            name = row["key"]
            if name in catalogue.UNSETTABLE:
                continue
            if name not in catalogue.SETTINGS:
                results.append({"name": name, "action": "unknown to the catalogue"})
                continue
            value, along = another(name, row["value"])
            settings = {**BASE, **along, name: value}
            result = {"name": name, "changeable": row["changeable"], "before": row["value"]}
            try:
                plan, left = change(instance, settings, BASE)
                shown = {
                    entry["key"]: entry["value"] for entry in getattr(instance.show(settings), "config", [])
                }
                result |= {
                    "action": plan.action,
                    "named": name in [difference.name for difference in plan.settings],
                    "after": shown.get(name),
                    "left": left,
                }
                _, left_back = change(instance, BASE, settings)
                result["left"] += left_back
            except Exception as error:
                result |= {"action": f"{type(error).__name__}: {error}"}
                prove(BASE)
                instance.start(BASE)
            results.append(result)
    finally:
        if instance.process is not None:
            instance.process.kill()
            instance.process.wait()
    return results


try:
    with contextlib.redirect_stdout(sys.stderr):
        outcome = main()
    print(json.dumps({"version": proof.version(BINARY), "settings": outcome}))
finally:
    shutil.rmtree(place, ignore_errors=True)
    shutil.rmtree(library, ignore_errors=True)
