"""The action that writes status.json, in a run of ansible-playbook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
PLAYBOOK = """
- name: Answer for one host
  hosts: db1
  gather_facts: false
  tasks:
    - name: Answer
      ansible.builtin.set_fact:
        __status:
          units: {pgbouncer@1.service: {state: running, enabled: enabled}}
          packages: {pgbouncer: "1.24"}
          pools: [{process: 1, database: d}]

- name: Summarize
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Write status.json
      pooled.postgres.site_status:
        directory: "{{ playbook_dir }}"
        variable: __status
"""
INVENTORY = """
all:
  hosts: {localhost: {ansible_connection: local}}
  children:
    database: {hosts: {db1: {ansible_connection: local}, db2: {}}}
    monitoring: {hosts: {mon: {}}}
"""


@pytest.mark.parametrize("has_outputs", [True, False])
def test_status_of_all_hosts(has_outputs: bool, tmp_path: Path) -> None:
    (tmp_path / "status.yml").write_text(PLAYBOOK)
    (tmp_path / "hosts.yml").write_text(INVENTORY)
    if has_outputs:
        outputs = {"hosts": ["db1", "db2", "mon"], "endpoints": {"ssh": "ssh x"}, "prometheus": "x"}
        (tmp_path / "outputs.json").write_text(json.dumps(outputs))
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "MOLECULE_"))}
    run = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            "-i",
            tmp_path / "hosts.yml",
            tmp_path / "status.yml",
        ],
        cwd=ROOT,
        env={**clean, "ANSIBLE_HOME": str(tmp_path / "ansible")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if not has_outputs:
        assert run.returncode == 2
        assert f"Run site.yml, which writes {tmp_path}/outputs.json." in " ".join(run.stdout.split())
        return
    assert run.returncode == 0, run.stdout
    assert (tmp_path / "status.json").stat().st_mode & 0o777 == 0o600
    document = json.loads((tmp_path / "status.json").read_text())
    assert set(document) == {"hosts", "services", "pools", "targets", "endpoints", "healthy"}
    states = {(one["host"], one["name"]): one["state"] for one in document["services"]}
    assert states == {
        ("db1", "postgresql"): "unknown",
        ("db1", "pgbouncer"): "running",
        ("db2", "postgresql"): "unknown",
        ("db2", "pgbouncer"): "unknown",
        ("mon", "prometheus"): "unknown",
    }
    assert document["pools"] == [{"host": "db1", "process": 1, "database": "d"}]
    assert document["healthy"] is False
