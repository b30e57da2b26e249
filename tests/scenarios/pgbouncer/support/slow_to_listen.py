"""Run on a host as root: validate with a PgBouncer whose socket exists a while before it listens.

Reads ``{"sources": {name: text}}``, the modules of ``module_utils/_pgbouncer``, as JSON from stdin. Prints
how many settings it showed, and how many seconds it took.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

PACKAGE = "ansible_collections/pooled/postgres/plugins/module_utils/_pgbouncer"
PORT = 16433
LATE_SECONDS = 0.5
# PgBouncer does the same between bind() and listen(), only shorter: the file exists, and refuses.
BINARY = f"""#!/usr/bin/python3
import os, re, socket, sys, time
directory = re.findall(r"^unix_socket_dir = (.*)$", open(sys.argv[1]).read(), re.MULTILINE)[-1]
bound = socket.socket(socket.AF_UNIX)
bound.bind(directory + "/.s.PGSQL.{PORT}")
time.sleep({LATE_SECONDS})
os.execv("/usr/sbin/pgbouncer", ["pgbouncer", sys.argv[1]])
"""

inputs = json.load(sys.stdin)
library = Path(tempfile.mkdtemp(prefix="library-"))
try:
    package = library / PACKAGE
    package.mkdir(parents=True)
    for name, source in inputs["sources"].items():
        (package / name).write_text(source)
    sys.path.insert(0, str(library))
    # The project's own modules, which are on this host for this test only.
    from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import config, proof

    library.chmod(0o755)
    binary = library / "pgbouncer"
    binary.write_text(BINARY)
    binary.chmod(0o755)
    began = time.monotonic()
    found = proof.shown(
        config.render({"auth_type": "trust", "auth_file": "/dev/null", "listen_port": PORT}),
        binary=str(binary),
        runs_as=proof.account("pgbouncer"),
        port=PORT,
        seconds=20,
    )
    print(json.dumps([len(found.config), time.monotonic() - began]))
finally:
    shutil.rmtree(library, ignore_errors=True)
