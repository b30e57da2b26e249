#!/usr/bin/env python3
# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What provisioning costs in seconds and API calls: the first run, with a slow NAT gateway, and a re-run.

    .venv/bin/python benchmarks/provision.py [--nat-seconds 120]

Runs playbooks/provision.yml against the emulated EC2 API: with an instant NAT gateway, with one that takes as
long as on AWS, and again on the finished stack. The emulation does not boot instances, so the figures lack
their boot.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import boto3

ROOT = Path(__file__).resolve().parents[1]
SERVER = ROOT / "roles/lab/files/emulator/server.py"
REGION = "ap-southeast-1"
KEYS = {"access_key": "emulated-access-key", "secret_key": "emulated-secret-key"}


class Cost(NamedTuple):
    """Seconds and API calls of one run."""

    seconds: float
    calls: int
    changing: int


@contextmanager
def emulator(nat_seconds: float, directory: Path) -> Iterator[str]:
    """Serve an empty account and yield its URL. Raises RuntimeError if the emulator does not start."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, str(SERVER), "--port", str(port), "--nat-seconds", str(nat_seconds)]
    with (directory / "emulator.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(100):
            try:
                counted(url)
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.2)
        else:
            raise RuntimeError(f"Failed to start the emulator: {(directory / 'emulator.log').read_text()}")
        ec2 = boto3.client(
            "ec2",
            region_name=REGION,
            endpoint_url=url,
            aws_access_key_id=KEYS["access_key"],
            aws_secret_access_key=KEYS["secret_key"],
        )
        ec2.register_image(Name="debian-13-amd64-benchmark")
        yield url
    finally:
        process.terminate()
        process.wait()


def counted(url: str) -> tuple[int, int]:
    """Return how many calls the emulator received, and how many of them change something."""
    with urllib.request.urlopen(f"{url}/lab/calls", timeout=5) as answer:  # noqa: S310
        found = json.load(answer)
    return found["total"], found["changing"]


def provision(url: str, directory: Path) -> Cost:
    """Run the playbook. Raises RuntimeError with its output if it fails."""
    inputs = {
        "pooled_aws": {"region": REGION, "endpoint_url": url, **KEYS},
        "pooled_state_dir": str(directory / "state"),
        "infrastructure_admin_cidr": "192.0.2.1/32",
        "infrastructure_image_owner": "self",
        "infrastructure_reach": "private",
    }
    (directory / "inputs.json").write_text(json.dumps(inputs))
    before, start = counted(url), time.monotonic()
    run = subprocess.run(
        [
            Path(sys.executable).parent / "ansible-playbook",
            "playbooks/provision.yml",
            "-i",
            "inventory/aws/hosts.yml",
            "-e",
            f"@{directory / 'inputs.json'}",
            # The dynamic inventory would call the real AWS.
            "--skip-tags",
            "inventory",
        ],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "ANSIBLE_"))},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise RuntimeError(run.stdout + run.stderr)
    total, changing = (now - then for now, then in zip(counted(url), before, strict=True))
    return Cost(time.monotonic() - start, total, changing)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nat-seconds", type=float, default=120, help="how long the NAT gateway takes (120)")
    nat = parser.parse_args().nat_seconds
    runs: dict[str, Cost] = {}
    for name, seconds in (("instant NAT gateway", 0.0), (f"NAT gateway after {nat:.0f} s", nat)):
        with tempfile.TemporaryDirectory() as directory, emulator(seconds, Path(directory)) as url:
            print(f"Provisioning: {name} ...", file=sys.stderr, flush=True)
            runs[name] = provision(url, Path(directory))
            if seconds:
                print("Provisioning: re-run ...", file=sys.stderr, flush=True)
                runs["re-run"] = provision(url, Path(directory))
    print(f"{'run':<26}{'seconds':>9}{'calls':>8}{'changing':>10}")
    for name, cost in runs.items():
        print(f"{name:<26}{cost.seconds:9.1f}{cost.calls:8}{cost.changing:10}")
    rest, first, again = runs.values()
    print(
        f"\nIn sequence the steps would take {nat + rest.seconds:.1f} s. Overlapped they take"
        f" {first.seconds / (nat + rest.seconds):.0%} of that,"
        f" {first.seconds - nat:.1f} s more than the gateway alone."
    )
    print(
        f"The re-run takes {again.seconds / rest.seconds:.0%} of the first run's seconds without the gateway"
        f" and {again.calls / first.calls:.0%} of its calls."
    )


if __name__ == "__main__":
    main()
