"""Makes a signed APT archive of one empty package, and serves it on loopback.

Runs on a host, as root. Inputs as JSON on stdin: directory, port, suite, package, version.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

inputs = json.load(sys.stdin)


def run(*command: str) -> None:
    """Run a command, which must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command}: {done.stdout}{done.stderr}")


# The package lists are those that the role has just used.
run("apt-get", "install", "--yes", "--no-install-recommends", "gpg", "gpg-agent")
top = Path(inputs["directory"])
package = top / "made"
(package / "DEBIAN").mkdir(parents=True)
control = f"""\
Package: {inputs["package"]}
Version: {inputs["version"]}
Architecture: all
Maintainer: Nobody <nobody@example.org>
Description: stands for the real one
"""
(package / "DEBIAN/control").write_text(control)
served = top / "served"
served.mkdir()
run("dpkg-deb", "--build", str(package), str(served / "package.deb"))
made = (served / "package.deb").read_bytes()
packages = served / "dists" / inputs["suite"] / "main/binary-amd64/Packages"
packages.parent.mkdir(parents=True)
digest = hashlib.sha256(made).hexdigest()
packages.write_text(f"{control}Filename: package.deb\nSize: {len(made)}\nSHA256: {digest}\n")
index = packages.read_bytes()
release = packages.parents[2] / "Release"
release.write_text(
    f"Suite: {inputs['suite']}\nCodename: {inputs['suite']}\nArchitectures: amd64\nComponents: main\n"
    "Date: Sun, 01 Nov 2026 00:00:00 UTC\n"
    f"SHA256:\n {hashlib.sha256(index).hexdigest()} {len(index)} main/binary-amd64/Packages\n"
)
os.environ["GNUPGHOME"] = str(top / "keys")
for name in ("signer", "stranger"):
    (top / "keys").mkdir(mode=0o700, exist_ok=True)
    run("gpg", "--batch", "--passphrase", "", "--quick-generate-key", f"{name}@example.org", "rsa3072")
    run(
        "gpg",
        "--batch",
        "--armor",
        "--output",
        str(served / f"{name}.asc"),
        "--export",
        f"{name}@example.org",
    )
signed = str(release.with_name("InRelease"))
run("gpg", "--batch", "--local-user", "signer@example.org", "--output", signed, "--clearsign", str(release))
port = str(inputs["port"])
run(
    *("systemd-run", "--quiet", "--collect", "--unit=archive", "--property=RuntimeMaxSec=300"),
    *("python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(served), port),
)
