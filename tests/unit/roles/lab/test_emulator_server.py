"""The emulator as a process: faults, counts, its own calls, and its account after its death."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from running import EMULATOR, Server


@pytest.fixture(autouse=True)
def no_fault_is_left(server: Server) -> Iterator[None]:
    yield
    server.call("POST", "/lab/fault", {})


def vpcs(ec2: Any) -> int:
    return len(ec2.describe_vpcs()["Vpcs"])


def create(ec2: Any) -> str:
    """Create a VPC and return how that went: ``ok`` or the error's code."""
    try:
        ec2.create_vpc(CidrBlock="10.0.0.0/16")
    except ClientError as exc:
        return str(exc.response["Error"]["Code"])
    return "ok"


def test_it_is_found_by_its_name(server: Server) -> None:
    assert Path(f"/proc/{server.process.pid}/comm").read_text() == "pooled-emulator\n"


def test_the_nth_changing_call_fails_and_is_not_carried_out(server: Server, ec2: Any) -> None:
    before = vpcs(ec2)
    fault = {"call": 2, "code": "UnauthorizedOperation", "message": "not <you>", "status": 403}
    assert server.call("POST", "/lab/fault", fault) == (200, {})
    assert create(ec2) == "ok"
    # Calls that only read don't count.
    ec2.describe_vpcs()
    with pytest.raises(ClientError, match="not <you>") as failed:
        ec2.create_vpc(CidrBlock="10.0.0.0/16")
    assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert create(ec2) == "ok"
    assert vpcs(ec2) == before + 2


def test_only_the_answer_is_lost(server: Server, ec2: Any) -> None:
    before = vpcs(ec2)
    server.call("POST", "/lab/fault", {"code": "InternalError", "status": 500, "executed": True})
    assert [create(ec2), create(ec2)] == ["InternalError", "ok"]
    assert vpcs(ec2) == before + 2


def test_several_calls_fail_in_a_row(server: Server, ec2: Any) -> None:
    server.call("POST", "/lab/fault", {"call": 2, "count": 2, "code": "X"})
    assert [create(ec2) for _ in range(4)] == ["ok", "X", "X", "ok"]


def test_only_named_calls_fail(server: Server, ec2: Any) -> None:
    server.call("POST", "/lab/fault", {"code": "X", "actions": ["DescribeVpcs"]})
    assert create(ec2) == "ok"
    with pytest.raises(ClientError, match="X"):
        ec2.describe_vpcs()


def test_an_empty_document_clears_the_fault(server: Server, ec2: Any) -> None:
    server.call("POST", "/lab/fault", {"code": "X"})
    server.call("POST", "/lab/fault", {})
    assert create(ec2) == "ok"


def test_calls_are_counted(server: Server, ec2: Any) -> None:
    before = server.call("GET", "/lab/calls")[1]
    create(ec2)
    ec2.describe_vpcs()
    after = server.call("GET", "/lab/calls")[1]
    assert {key: after[key] - before[key] for key in after} == {"total": 2, "changing": 1}


def test_registered_images_are_listed(server: Server, ec2: Any) -> None:
    ec2.register_image(Name="debian-13-amd64-lab")
    images = server.call("GET", "/lab/images")[1]["images"]
    assert "debian-13-amd64-lab" in images
    # Of the hundreds that moto brings along, none.
    assert not [name for name in images if not name.startswith("debian")]


@pytest.mark.parametrize(
    ("call", "document", "status", "said"),
    [
        ("GET /lab/nothing", None, 404, "GET /lab/nothing is not a call of the lab"),
        ("GET /lab/hosts", None, 404, "not a call of the lab"),
        ("POST /lab/fault", {"code": 1}, 400, "a fault needs a code"),
        ("POST /lab/fault", [], 400, "must be a JSON object"),
        ("POST /lab/hosts", {"stack": "x"}, 400, "image must be given"),
    ],
)
def test_errors_are_a_sentence(server: Server, call: str, document: Any, status: int, said: str) -> None:
    method, path = call.split()
    code, answer = server.call(method, path, document)
    assert code == status
    assert said in answer["message"]


def test_a_web_page_is_not_answered(server: Server) -> None:
    """A browser would send what a page of any origin asks it to, and the hosts are root's."""
    for path in ("/lab/calls", "/"):
        request = urllib.request.Request(server.url + path, headers={"Origin": "http://example.org"})  # noqa: S310
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=5)  # noqa: S310
        assert refused.value.code == 403


def test_a_killed_emulator_comes_back_with_the_same_account(tmp_path: Path) -> None:
    server = Server(tmp_path)
    try:
        server.moto("seed?a=1")
        ec2 = server.ec2()
        server.call("POST", "/lab/fault", {"code": "X"})
        assert [create(ec2) for _ in range(3)] == ["X", "ok", "ok"]
        before = ec2.describe_vpcs()["Vpcs"]
        server.stop()
        server.start()
        server.moto("recorder/replay-recording")
        assert ec2.describe_vpcs()["Vpcs"] == before
        # What was replayed was not received, what failed not recorded, and our own calls neither.
        assert server.call("GET", "/lab/calls")[1] == {"total": 1, "changing": 0}
        recorded = [json.loads(line) for line in server.recording.read_text().splitlines()]
        assert not [entry for entry in recorded if "/lab/" in entry["url"]]
        assert create(ec2) == "ok"
    finally:
        server.stop()


def test_an_account_that_a_replay_does_not_bring_back_is_not_served(tmp_path: Path) -> None:
    """Else its hosts would be removed, as those of instances that are no more."""
    server = Server(tmp_path)
    try:
        server.moto("seed?a=1")
        server.ec2().run_instances(MinCount=1, MaxCount=1, ImageId="ami-1")
        server.stop()
        lines = server.recording.read_text().splitlines(keepends=True)
        # As another version of moto would: with other ids.
        server.recording.write_text(lines[0].replace("seed?a=1", "seed?a=2") + "".join(lines[1:]))
        server.start()
        with pytest.raises(urllib.error.HTTPError) as failed:
            server.moto("recorder/replay-recording")
        assert failed.value.code == 500
        said = [line for line in server.log.read_text().splitlines() if line.startswith("Failed to start")]
        assert "Another version" in said[-1]
    finally:
        server.stop()


def test_the_port_of_another_is_refused_in_a_sentence(server: Server) -> None:
    command = [sys.executable, str(EMULATOR / "server.py"), "--port", str(server.port)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode != 0
    assert "in use" in result.stderr
    assert "Traceback" not in result.stderr
