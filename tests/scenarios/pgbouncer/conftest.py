"""Fixtures of the tests on the hosts of the scenario ``pgbouncer``."""

from __future__ import annotations

import subprocess

import pytest
from scenario import Scenario


@pytest.fixture(scope="module")
def certified(hosts: Scenario, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return libpq's options for a client of ``tls``, who has a certificate and checks the server's."""
    folder = tmp_path_factory.mktemp("client")
    authority = hosts.state / "certificates/authority"
    for arguments in (
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=myuser"
        " -keyout client.key -out client.csr",
        f"x509 -req -in client.csr -CA {authority}.crt -CAkey {authority}.key -CAcreateserial"
        " -CAserial client.srl -days 1 -out client.crt",
    ):
        subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True)
    contents = {"client.key": folder / "client.key", "client.crt": folder / "client.crt"}
    contents["authority.crt"] = authority.with_suffix(".crt")
    for name, path in contents.items():
        hosts.ssh("tls", f"umask 077; cat > ~/{name}", stdin=path.read_text())
    return {
        # By its name, which is in its certificate; the host itself does not resolve it.
        "host": "tls",
        "hostaddr": "127.0.0.1",
        "sslmode": "verify-full",
        "sslrootcert": "/home/admin/authority.crt",
        "sslcert": "/home/admin/client.crt",
        "sslkey": "/home/admin/client.key",
    }
