"""The installed PgBouncer validates the configuration: each setting, and each mistake."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import catalogue
from real_hosts import ROOT, changed_nothing, words
from scenario import Scenario

SUPPORT = Path(__file__).parent / "support"
HOST = "scram"
FILES = "sha256sum /etc/pgbouncer/*; systemctl show --property=MainPID pgbouncer@1"
PASSWORD = 'it\'s "secret" enough'

RULE = {"type": "host", "users": ["all"], "address": "all", "method": "scram-sha-256"}
TLS = {"client_tls_sslmode": "require", "client_tls_key_file": "/etc/hostname"}
REFUSED: list[dict[str, Any]] = [
    {"settings": {"server_idel_timeout": 60}, "said": "no such setting; the nearest is server_idle_timeout"},
    {
        "settings": {"conffile": "/tmp/a"},
        "said": "setting conffile: it is where PgBouncer reads the file from",
    },
    {"settings": {"default_pool_size": "2O"}, "said": "default_pool_size: must be a whole number from 0 to"},
    {"settings": {"listen_port": 70000}, "said": "listen_port: must be a whole number from 1 to 65535"},
    {"settings": {"server_lifetime": -1}, "said": "server_lifetime: must be a number of seconds"},
    {"settings": {"pool_mode": "sesion"}, "said": "transaction, statement; the nearest is session"},
    {"settings": {"unix_socket_mode": 777}, "said": "unix_socket_mode: must be a file mode in octal"},
    {"settings": {"job_name": "a\nuser = root"}, "said": "job_name: must be text on one line"},
    {"settings": {"logfile": "pgbouncer.log"}, "said": "logfile: must be an absolute path"},
    {
        "databases": [{"name": "a", "pool_sise": 3}],
        "said": "option pool_sise: PgBouncer has no such option; the",
    },
    {"databases": [{"name": "pgbouncer"}], "said": "the name is reserved for PgBouncer's console"},
    {"databases": [{"name": "a"}, {"name": "a"}], "said": "database 'a': is named twice"},
    {"databases": [{"name": "a", "password": ""}], "said": "option password: must not be empty"},
    {"users": [{"name": "u", "pool_mode": "x"}], "said": "user 'u', option pool_mode: must be one of"},
    {"settings": TLS, "said": "client_tls_key_file and client_tls_cert_file must be set; give both"},
    {"settings": {**TLS, "client_tls_cert_file": "/nowhere"}, "said": "/nowhere"},
    {"settings": {**TLS, "client_tls_cert_file": "/etc/hostname"}, "said": "check the TLS settings"},
    {"settings": {"server_tls_protocols": "tlsv9"}, "said": "invalid server_tls_protocols: tlsv9"},
    {"settings": {"auth_type": "cert"}, "said": "auth_type=cert requires"},
    {"settings": {"auth_file": "/nowhere"}, "said": "could not open auth_file /nowhere: No such file"},
    {
        "settings": {"auth_file": "/etc/shadow"},
        "said": "could not open auth_file /etc/shadow: Permission denied",
    },
    {"settings": {"auth_file": "/etc/hostname"}, "said": "broken auth file; correct the userlist"},
    {
        "settings": {"auth_type": "hba", "auth_hba_file": "/nowhere"},
        "said": "could not open hba config file /nowhere",
    },
    {"settings": {"auth_type": "hba", "auth_hba_file": "/etc/hostname"}, "said": "hba line 1"},
    {"settings": {"listen_port": 5432}, "said": "5432 of 0.0.0.0 is taken by postgres"},
    {"settings": {"listen_addr": "192.0.2.1"}, "said": "192.0.2.1 is no address of this host"},
    {"settings": {"unix_socket_dir": "/nowhere"}, "said": "unix_socket_dir: /nowhere is no directory"},
    {"settings": {"pidfile": "/etc/pid"}, "said": "pidfile: /etc is not writable for pgbouncer"},
    {"settings": {"unix_socket_group": "nobodys"}, "said": "nobodys"},
    {"settings": {"user": "nobody"}, "said": "user"},
    {
        "settings": {"auth_user": "stranger"},
        "said": "auth_user 'stranger' of database 'mydb' is not in the userlist",
    },
]


def _outcome(hosts: Scenario, script: str) -> Any:
    """Run a script of ``support`` with the modules of ``module_utils/_pgbouncer``; return what it prints."""
    folder = ROOT / "plugins/module_utils/_pgbouncer"
    sources = {path.name: path.read_text() for path in folder.glob("*.py")}
    result = hosts.python(HOST, (SUPPORT / script).read_text(), {"sources": sources}, sudo=True)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_a_pgbouncer_that_is_slow_to_listen_is_validated(hosts: Scenario) -> None:
    settings, seconds = _outcome(hosts, "slow_to_listen.py")
    assert settings > 80
    assert seconds > 0.5


def test_every_setting_is_in_force_after_what_its_changeable_says(hosts: Scenario) -> None:
    before = hosts.root(HOST, FILES)
    outcome = _outcome(hosts, "every_setting.py")
    found = {row["name"]: row for row in outcome["settings"]}
    version = tuple(outcome["version"])
    assert found.keys() == {
        name
        for name, kind in catalogue.SETTINGS.items()
        if kind.since <= version and name not in catalogue.UNSETTABLE
    }
    for row in found.values():
        assert row["action"] == {"yes": "reload", "no": "restart"}[row["changeable"]], row
        assert row["named"], row
        assert row["left"] == [], row
    assert len(found) > 80
    assert hosts.root(HOST, FILES) == before


def test_broken_configurations_are_refused_and_the_old_one_serves(hosts: Scenario, tmp_path: Path) -> None:
    before = hosts.root(HOST, FILES)
    written = tmp_path / "said.json"
    result = hosts.playbook(
        playbook=SUPPORT / "broken_configurations.yml",
        variables={"target": HOST, "broken": REFUSED, "written_to": str(written)},
    )
    assert result.returncode == 0, result.stdout
    messages = json.loads(written.read_text())
    begins = "Failed to validate the PgBouncer configuration: "
    wrong = [
        (case["said"], message)
        for message, case in zip(messages, REFUSED, strict=True)
        if not message.startswith(begins) or case["said"] not in message or "\n" in message
    ]
    assert wrong == []
    assert hosts.root(HOST, FILES) == before
    assert hosts.login(HOST, PASSWORD, port=6432) == "ok"


def test_the_role_refuses_all_problems_before_it_changes_anything(hosts: Scenario) -> None:
    before = hosts.root(HOST, FILES)
    variables = {
        "pgbouncer_settings": {"listen_port": 1},
        "pgbouncer_default_pool_size": 200,
        "pgbouncer_accept_cves": [],
        "pgbouncer_server_tls_mode": "verify-full",
        "pgbouncer_hba": [{**RULE, "databases": ["all"]}],
    }
    result = hosts.playbook("--limit", HOST, "--tags", "plan", variables=variables)
    assert result.returncode != 0
    for said in (
        "Set pgbouncer_listen_port instead",
        "connection budget: mydb: myuser x 200 = 200",
        "CVE-2026-19888",
        "pgbouncer_server_tls_mode: database 'mydb' is reached over the Unix socket",
        "authentication: pgbouncer_hba has rules, and pgbouncer_auth_type is scram-sha-256",
    ):
        assert said in words(result), result.stdout
    assert changed_nothing(result), result.stdout
    assert hosts.root(HOST, FILES) == before


def test_a_userlist_of_ten_thousand_users_takes_seconds(hosts: Scenario) -> None:
    path = "/root/userlist.txt"
    users = [{"name": f"user{number}", "password": f"secret{number}"} for number in range(10000)]
    seconds = []
    for changed in (True, False):
        start = time.monotonic()
        result = hosts.playbook(
            playbook=SUPPORT / "many_users.yml", variables={"target": HOST, "path": path, "users": users}
        )
        seconds.append(time.monotonic() - start)
        assert result.returncode == 0, result.stdout
        assert changed_nothing(result) is not changed
    assert hosts.root(HOST, f"wc --lines < {path}; rm {path}") == "10000"
    # A loop would take most of an hour.
    assert max(seconds) < 30, seconds


@pytest.mark.parametrize("verb", ["PAUSE", "DISABLE"])
def test_a_database_is_held_and_let_go_once(hosts: Scenario, verb: str) -> None:
    undo = {"PAUSE": "RESUME", "DISABLE": "ENABLE"}[verb]
    result = hosts.playbook(
        playbook=SUPPORT / "console.yml", variables={"target": HOST, "verbs": [verb, verb, undo, undo]}
    )
    assert result.returncode == 0, result.stdout
    assert "changed: True False True False" in words(result)
