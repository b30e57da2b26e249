#!/usr/bin/python3
"""Stand in for Grafana: answer like its server, and set a password like its CLI."""

import hashlib
import http.server
import os
import re
import sys
import time
from pathlib import Path

START = time.time()


class Answer(http.server.BaseHTTPRequestHandler):
    """Health and metrics."""

    def do_GET(self) -> None:
        """Answer."""
        found = {"/api/health": "{}", "/metrics": f"process_start_time_seconds {START}\n"}.get(self.path)
        self.send_response(404 if found is None else 200)
        self.end_headers()
        self.wfile.write((found or "").encode())

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""


if "reset-admin-password" in sys.argv:
    Path("/tmp/reset-password").write_text(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())
    Path("/tmp/reset-arguments").write_text(" ".join(sys.argv))
    sys.exit()

# Grafana replaces the expression by the content of the file. The image's entry point reads another variable.
file = os.environ.get("GF_SECURITY_ADMIN_PASSWORD__FILE")
given = f"$__file{{{file}}}" if file else os.environ["GF_SECURITY_ADMIN_PASSWORD"]
password = re.sub(r"\$__file\{(.*)\}", lambda match: Path(match[1]).read_text(), given)
assert password
assert "$" not in password
address = os.environ["GF_SERVER_HTTP_ADDR"], int(os.environ["GF_SERVER_HTTP_PORT"])
http.server.ThreadingHTTPServer(address, Answer).serve_forever()
