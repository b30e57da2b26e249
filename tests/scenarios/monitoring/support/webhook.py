"""A webhook for Alertmanager and a target for Prometheus. It stores requests with their sender."""

import base64
import http.server
import json

SENT = "/tmp/sent.jsonl"


class Webhook(http.server.BaseHTTPRequestHandler):
    """Webhook and target."""

    def do_GET(self) -> None:
        """Answer a scrape."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"tested 1\n")

    def log_message(self, *_arguments: object) -> None:
        """Print nothing: the path is a secret, and a test searches the journal for it."""

    def do_POST(self) -> None:
        """Store an alert."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        who = base64.b64decode(self.headers.get("Authorization", "Basic ")[6:]).decode()
        with open(SENT, "a") as file:  # noqa: PTH123
            file.write(json.dumps({"path": self.path, "who": who, "body": body}) + "\n")
        self.send_response(200)
        self.end_headers()


http.server.HTTPServer(("127.0.0.1", 9999), Webhook).serve_forever()
