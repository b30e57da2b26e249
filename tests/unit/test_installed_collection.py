"""What an installed collection must have to run the site without a checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
LINKS = ROOT / "collections/ansible_collections/pooled/postgres"


def test_the_site_runs_by_its_name(tmp_path: Path) -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "MOLECULE_"))}
    arguments: list[str | Path] = [
        "pooled.postgres.site",
        "-i",
        LINKS / "inventory/aws/hosts.yml",
        "--list-tasks",
    ]
    run = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), *arguments],
        cwd=tmp_path,
        env={**clean, "ANSIBLE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "pooled/postgres/playbooks/site.yml" in run.stdout
    assert "Lock the target" in run.stdout


def test_the_wheel_and_the_collection_have_the_inventories() -> None:
    assert (LINKS / "inventory").resolve() == ROOT / "inventory"
    assert "inventory" not in yaml.safe_load((ROOT / "galaxy.yml").read_text())["build_ignore"]


def test_the_inventory_needs_no_ansible_cfg() -> None:
    variables = yaml.safe_load((LINKS / "inventory/aws/group_vars/all/site.yml").read_text())
    assert variables["ansible_pipelining"] is True
