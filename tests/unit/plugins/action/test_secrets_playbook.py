"""Runs of playbooks/secrets.yml: values reach the hosts' variables, and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ansible_runner
import pytest

ROOT = Path(__file__).resolve().parents[4]
BIN = Path(sys.executable).parent
Run = subprocess.CompletedProcess[str]
Playbook = Callable[..., Run]

USE = """
- ansible.builtin.import_playbook: {root}/playbooks/secrets.yml
- ansible.builtin.import_playbook: {root}/playbooks/secrets.yml
- hosts: all
  gather_facts: false
  tasks:
    # A digest shows the values to the test only.
    - ansible.builtin.debug:
        msg: "digest={{{{ (pooled_user_password ~ pooled_benchmark_password) | hash('sha256') }}}}."
    - ansible.builtin.command:
        argv: [sleep, "{{{{ wait | default(0) }}}}"]
      run_once: true
"""


def digest(values: Mapping[str, str]) -> str:
    return hashlib.sha256((values["myuser"] + values["benchmark"]).encode()).hexdigest()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "AWS_", "MOLECULE_"))}
    return clean | {
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile",
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(tmp_path / "cache"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture
def arguments(tmp_path: Path, state: Path) -> Callable[..., list[str]]:
    """Return a function that makes ansible-playbook's arguments."""
    (tmp_path / "use.yml").write_text(USE.format(root=ROOT))
    (tmp_path / "hosts.yml").write_text("all: {hosts: {other: {ansible_connection: local}}}\n")

    def make(*options: str, **variables: Any) -> list[str]:
        (tmp_path / "vars.json").write_text(json.dumps({"pooled_state_dir": str(state), **variables}))
        hosts = ["-i", "inventory/aws/hosts.yml", "-i", str(tmp_path / "hosts.yml")]
        return [str(tmp_path / "use.yml"), *hosts, "-e", f"@{tmp_path}/vars.json", *options]

    return make


@pytest.fixture
def playbook(environment: dict[str, str], arguments: Callable[..., list[str]]) -> Playbook:
    """Return a function that runs a play with the passwords."""

    def run(*options: str, **variables: Any) -> Run:
        return subprocess.run(
            [BIN / "ansible-playbook", *arguments(*options, **variables)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def vault_password(tmp_path: Path) -> str:
    (tmp_path / "vault-password").write_text("the password of the vault\n")
    return str(tmp_path / "vault-password")


def files(state: Path) -> dict[str, str]:
    return {path.name: path.read_text().strip() for path in (state / "secrets").iterdir()}


def holding(directory: Path, values: Mapping[str, str], but: Path) -> list[Path]:
    """Return the files below a directory, except in one place, that hold one of the values."""
    every = [path for path in directory.rglob("*") if path.is_file() and but not in (path, *path.parents)]
    assert every
    return [path for path in every if any(value.encode() in path.read_bytes() for value in values.values())]


def test_files_are_generated_once_and_no_output_has_their_values(
    playbook: Playbook, state: Path, tmp_path: Path
) -> None:
    foreseen = playbook("--check", "--diff")
    assert foreseen.returncode == 0, foreseen.stdout
    assert "Secrets would be created: myuser, benchmark, pgbouncer_exporter, grafana\n" in foreseen.stdout
    assert "changed=1" in foreseen.stdout
    assert not state.exists()
    first = playbook("-vvv", "--diff")
    assert first.returncode == 0, first.stdout
    values = files(state)
    assert sorted(values) == ["benchmark", "grafana", "myuser", "pgbouncer_exporter"]
    assert first.stdout.count(f"digest={digest(values)}.") == 2
    second = playbook("-vvv", "--diff")
    assert (files(state), "changed=0" in second.stdout) == (values, True)
    for value in values.values():
        assert value not in first.stdout + first.stderr + second.stdout + second.stderr
    # This includes the fact cache.
    assert holding(tmp_path, values, but=state / "secrets") == []


def test_limit_to_a_host_loads_them_all_the_same(playbook: Playbook, state: Path) -> None:
    run = playbook("--limit", "other")
    assert run.returncode == 0, run.stdout
    assert f"digest={digest(files(state))}." in run.stdout


def test_a_given_password_is_not_generated(playbook: Playbook, state: Path) -> None:
    run = playbook(pooled_user_password="given")
    assert run.returncode == 0, run.stdout
    assert sorted(files(state)) == ["benchmark", "grafana", "pgbouncer_exporter"]
    assert f"digest={digest({'myuser': 'given', **files(state)})}." in run.stdout


def test_an_earlier_password_is_kept(playbook: Playbook, state: Path) -> None:
    """The lookup ansible.builtin.password generated it, as this collection did earlier."""
    path = f"path={state}/secrets/myuser"
    lookup = "{{ lookup('ansible.builtin.password', path, length=32, chars=['ascii_letters', 'digits']) }}"
    subprocess.run(
        [str(BIN / "ansible"), "localhost", "-m", "debug", "-a", json.dumps({"msg": lookup}), "-e", path],
        check=True,
        capture_output=True,
    )
    before = files(state)["myuser"]
    run = playbook()
    assert run.returncode == 0, run.stdout
    assert files(state)["myuser"] == before
    assert f"digest={digest(files(state))}." in run.stdout


def test_a_file_that_others_can_read_is_refused(playbook: Playbook, state: Path) -> None:
    playbook()
    (state / "secrets/myuser").chmod(0o644)
    run = playbook()
    assert run.returncode == 2
    assert f"run `chmod 600 {state}/secrets/myuser`" in " ".join(run.stdout.split())


def test_ansible_vault_reads_the_vault_file(
    playbook: Playbook, state: Path, vault_password: str, tmp_path: Path
) -> None:
    option = ("--vault-password-file", vault_password)
    first = playbook("-vvv", "--diff", *option, pooled_secrets="vault")
    assert first.returncode == 0, first.stdout
    file = state / "secrets.vault.yml"
    view = subprocess.run(
        [BIN / "ansible-vault", "view", *option, file], capture_output=True, text=True, check=True
    )
    values = dict(line.split(": ") for line in view.stdout.splitlines())
    assert first.stdout.count(f"digest={digest(values)}.") == 2
    before = file.read_bytes()
    second = playbook("-vvv", *option, pooled_secrets="vault")
    assert (second.returncode, file.read_bytes()) == (0, before)
    for value in values.values():
        assert value not in first.stdout + first.stderr + second.stdout + second.stderr
    assert holding(tmp_path, values, but=tmp_path / "nothing") == []


def test_vault_needs_its_password(
    playbook: Playbook, state: Path, vault_password: str, tmp_path: Path
) -> None:
    without = playbook(pooled_secrets="vault")
    assert "this run has no vault password; give it by" in " ".join(without.stdout.split())
    assert [path.name for path in state.iterdir()] == ["lock"]
    playbook("--vault-password-file", vault_password, pooled_secrets="vault")
    (tmp_path / "wrong").write_text("wrong\n")
    wrong = playbook("--vault-password-file", str(tmp_path / "wrong"), pooled_secrets="vault")
    assert wrong.returncode == 2
    assert "none of this run's vault passwords fits" in " ".join(wrong.stdout.replace("''", "'").split())
    (state / "secrets.vault.yml").write_text("myuser: in clear\n")
    clear = playbook("--vault-password-file", vault_password, pooled_secrets="vault")
    assert "it is not encrypted; run `ansible-vault encrypt" in " ".join(clear.stdout.split())


def test_secrets_manager(playbook: Playbook, state: Path, aws: Any, tmp_path: Path) -> None:
    inputs = {"pooled_secrets": "aws", "pooled_aws": aws.options}
    foreseen = playbook("--check", "--diff", **inputs)
    assert foreseen.returncode == 0, foreseen.stdout
    assert "Secrets would be created: myuser, benchmark, pgbouncer_exporter, grafana\n" in foreseen.stdout
    client = aws.client("secretsmanager")
    assert client.list_secrets()["SecretList"] == []
    first = playbook("-vvv", "--diff", **inputs)
    assert first.returncode == 0, first.stdout
    values = {
        name: client.get_secret_value(SecretId=f"pooled/{name}")["SecretString"]
        for name in ("myuser", "benchmark", "grafana")
    }
    assert first.stdout.count(f"digest={digest(values)}.") == 2
    for value in values.values():
        assert value not in first.stdout + first.stderr
    assert [path.name for path in state.iterdir()] == ["lock"]
    assert holding(tmp_path, values, but=tmp_path / "nothing") == []


def test_values_that_masking_would_damage_are_not_returned(playbook: Playbook, aws: Any) -> None:
    client = aws.client("secretsmanager")
    client.create_secret(Name="pooled/myuser", SecretString=f"x{aws.options['secret_key']}x")
    run = playbook(pooled_secrets="aws", pooled_aws=aws.options)
    assert run.returncode == 2
    assert "digest=" not in run.stdout


def test_no_process_event_or_file_of_a_scripted_run_holds_a_value(
    arguments: Callable[..., list[str]], environment: dict[str, str], state: Path, tmp_path: Path
) -> None:
    """Neither ansible-runner's events, which runner.py reads, nor the list of processes."""
    found: list[str] = []
    looked_at: set[str] = set()
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            try:
                values = [value.encode() for value in files(state).values()]
            except OSError:
                continue
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    try:
                        content = (process / name).read_bytes()
                    except OSError:
                        continue
                    looked_at.add(process.name)
                    found.extend(name for value in values if value in content)

    watcher = threading.Thread(target=watch)
    watcher.start()
    events: list[dict[str, Any]] = []
    try:
        runner = ansible_runner.run_command(
            executable_cmd=str(BIN / "ansible-playbook"),
            cmdline_args=arguments("-vvv", "--diff", wait=0.5),
            host_cwd=str(ROOT),
            private_data_dir=str(tmp_path / "runner"),
            envvars=environment,
            event_handler=events.append,
            quiet=True,
        )
    finally:
        time.sleep(0.1)
        stop.set()
        watcher.join()
    assert runner[2] == 0, runner[0]
    values = files(state)
    assert len(events) > 10
    assert len(looked_at) > 3
    assert found == []
    told = json.dumps(events)
    assert f"digest={digest(values)}." in told
    assert not any(value in told for value in values.values())
    assert holding(tmp_path, values, but=state / "secrets") == []


def test_an_inventory_without_localhost_is_refused(
    environment: dict[str, str], arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    (tmp_path / "alone.yml").write_text("all: {hosts: {other: {ansible_connection: local}}}\n")
    command = arguments(
        pooled_secret_names=["one"], pooled_secrets="files", pooled_stack="pooled", pooled_aws={}
    )
    command = [part.replace("inventory/aws/hosts.yml", f"{tmp_path}/alone.yml") for part in command]
    command += [
        "-e",
        '{"pooled_secrets_dir": "/x", "pooled_secrets_vault_file": "x", "pooled_secrets_prefix": "x"}',
    ]
    run = subprocess.run(
        [BIN / "ansible-playbook", *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "the inventory has no localhost to hold them" in " ".join(run.stdout.split())
