# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""moto's server with our corrections, our middleware, and the keeper of the hosts."""

from __future__ import annotations

import os
import signal

import account
import corrections
from hosts import Account
from keeper import Keeper
from memory import Memory, beside_recording
from middleware import Middleware
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

# Seconds for the last round of changes to hosts.
GRACE = 15


def serve(port: int, nat_seconds: float) -> None:
    """Serve the API on 127.0.0.1 until a signal ends it.

    ``nat_seconds`` is how long a NAT gateway is pending. Raises RuntimeError where moto is not built as
    expected, OSError for a port in use.
    """
    corrections.apply(nat_seconds)
    memory = Memory(beside_recording(), account.instance_ids)
    application = Middleware(DomainDispatcherApplication(create_backend_app), memory, account.image_names)

    def read(stack: str) -> Account:
        with application.one_at_a_time:
            return account.read(stack)

    keeper = Keeper(read)
    application.keeper = keeper
    server = make_server("127.0.0.1", port, application, threaded=True, request_handler=MotoRequestHandler)

    def end(*_: object) -> None:
        # A half-created host would disturb the teardown.
        keeper.close(GRACE)
        # The recording is on disk; freeing the account would take Python seconds.
        os._exit(0)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    server.serve_forever()
