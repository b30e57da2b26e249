# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Between callers and moto: faults, counts, the lab's own calls, and one call at a time."""

from __future__ import annotations

import io
import json
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import faults
import hosts
from keeper import Keeper
from machine import MachineError
from memory import Memory
from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Request, Response

REPLAY = "/moto-api/recorder/replay-recording"
REQUEST_ID = "00000000-0000-0000-0000-000000000000"


class Middleware:
    """A WSGI application around moto's.

    It passes on one call at a time: moto records a call before it carries it out, and a replay makes the same
    ids only if both happen in the same order. Paths below ``/lab`` are ours.
    """

    # Set before the first request.
    keeper: Keeper

    def __init__(self, moto: WSGIApplication, memory: Memory, images: Callable[[], list[str]] = list) -> None:
        self.moto = moto
        self.memory = memory
        self.images = images
        self.one_at_a_time = threading.Lock()
        self.replaying = False
        self.calls = {"total": 0, "changing": 0}
        self.fault: faults.Fault | None = None
        self.fault_calls = 0
        self.own: dict[tuple[str, str], Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
            ("POST", "/lab/fault"): self.set_fault,
            ("GET", "/lab/calls"): lambda _document: self.calls,
            ("POST", "/lab/hosts"): self.reconcile,
            ("GET", "/lab/images"): lambda _document: {"images": self.images()},
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        path = environ.get("PATH_INFO", "")
        if "HTTP_ORIGIN" in environ:
            # The hosts run as root: no web page may reach them through this machine's browser.
            return answer(403, {"message": "The lab does not talk to browsers"})(environ, start_response)
        if path.startswith("/lab/"):
            return self.answer_own(Request(environ))(environ, start_response)
        if path == REPLAY:
            return self.replay(environ, start_response)
        action = ec2_action(environ)
        if action is None:
            with self.one_at_a_time:
                return self.moto(environ, start_response)
        return self.ec2(action, environ, start_response)

    def replay(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Have moto replay its recording, by calls to this server.

        These calls get no faults and are not counted.
        """
        self.replaying = True
        try:
            body, status, headers = run_wsgi_app(self.moto, environ, buffered=True)
        finally:
            self.replaying = False
        lost = self.memory.lost()
        if lost:
            message = (
                "Failed to start the emulated EC2 API: the replay of its recording lacks "
                f"{', '.join(lost)}. Another version of the lab or of moto made the recording: "
                "return to that version, or run `make down`, which removes the data of the lab's hosts"
            )
            print(message, file=sys.stderr, flush=True)
            return answer(500, {"message": message})(environ, start_response)
        start_response(status, list(headers))
        return body

    def ec2(self, action: str, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer an EC2 call."""
        with self.one_at_a_time:
            if self.replaying:
                return self.moto(environ, start_response)
            fault = self.count(action)
            if fault and not fault.executed:
                return error(fault)(environ, start_response)
            body, status, headers = run_wsgi_app(self.moto, environ, buffered=True)
            if faults.is_changing(action):
                self.memory.keep()
        if faults.is_changing(action):
            self.keeper.account_changed()
        if fault:
            return error(fault)(environ, start_response)
        start_response(status, list(headers))
        return body

    def count(self, action: str) -> faults.Fault | None:
        """Count a call, and return its fault."""
        self.calls["total"] += 1
        self.calls["changing"] += faults.is_changing(action)
        if self.fault and self.fault.counts(action):
            self.fault_calls += 1
            if self.fault.hits(self.fault_calls):
                return self.fault
        return None

    def answer_own(self, request: Request) -> Response:
        """Answer one of our own calls: JSON in, JSON out, an error as ``message``."""
        handler = self.own.get((request.method, request.path))
        if handler is None:
            return answer(404, {"message": f"{request.method} {request.path} is not a call of the lab"})
        try:
            document = json.loads(request.get_data() or b"{}")
            if not isinstance(document, dict):
                raise ValueError("the document must be a JSON object")
            return answer(200, handler(document))
        except ValueError as exc:
            return answer(400, {"message": f"Failed to understand the call: {exc}"})
        except MachineError as exc:
            return answer(500, {"message": str(exc)})
        except Exception as exc:
            # A bug of ours: the log gets all of it, the caller a sentence.
            traceback.print_exc(file=sys.stderr)
            return answer(500, {"message": f"Failed to answer {request.path}: {type(exc).__name__}: {exc}"})

    def set_fault(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Set the fault for the calls from now on, or none."""
        fault = faults.parse(document)
        with self.one_at_a_time:
            self.fault, self.fault_calls = fault, 0
        return {}

    def reconcile(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Bring the hosts in line with the account, now and after each change of it."""
        self.keeper.arm(hosts.parse(document))
        changes, found = self.keeper.bring_up()
        return {"changes": changes, "hosts": [asdict(host) for host in found]}


def ec2_action(environ: WSGIEnvironment) -> str | None:
    """Return the name of an EC2 call, which is signed for that service; None for any other request."""
    if not re.search(r"Credential=[^,\s]*/ec2/aws4_request", environ.get("HTTP_AUTHORIZATION", "")):
        return None
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    parameters = parse_qs(body.decode(errors="replace") or environ.get("QUERY_STRING", ""))
    return parameters["Action"][0] if "Action" in parameters else None


def error(fault: faults.Fault) -> Response:
    """Return a fault as EC2's answer."""
    return Response(fault.body(REQUEST_ID), status=fault.status, content_type="text/xml;charset=UTF-8")


def answer(status: int, document: Mapping[str, Any]) -> Response:
    """Return a JSON answer of our own."""
    return Response(json.dumps(document) + "\n", status=status, content_type="application/json")
