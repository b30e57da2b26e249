"""The module against an emulated API, as ansible runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.unit.plugins.conftest import Aws

MODULE = Path(__file__).resolve().parents[4] / "plugins/modules/ec2_console_info.py"


def run(aws: Aws, **options: Any) -> dict[str, Any]:
    """Run the module as Ansible would, and return what it says."""
    arguments = json.dumps({"ANSIBLE_MODULE_ARGS": {**aws.options, **options}})
    result = subprocess.run(
        [sys.executable, MODULE],
        input=arguments,
        capture_output=True,
        text=True,
        check=False,
        env={key: value for key, value in os.environ.items() if not key.startswith("AWS_")},
    )
    said: dict[str, Any] = json.loads(result.stdout)
    return said


def test_the_end_of_the_console_is_read(emulated_aws: Aws) -> None:
    ec2 = emulated_aws.client("ec2")
    image = ec2.register_image(Name="console")["ImageId"]
    instance = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    lines = run(emulated_aws, instance_id=instance, count=3)["lines"]
    assert len(lines) == 3
    # The emulator's console is that of some Linux.
    assert "Linux version" in "".join(run(emulated_aws, instance_id=instance, count=1000)["lines"])


def test_an_unknown_instance_is_named(emulated_aws: Aws) -> None:
    result = run(emulated_aws, instance_id="i-0123456789abcdef0")
    assert result["failed"]
    assert result["msg"].startswith("Failed to read the console of i-0123456789abcdef0: ")
