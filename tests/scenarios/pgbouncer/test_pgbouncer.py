"""PgBouncer in front of PostgreSQL on bare hosts."""

from __future__ import annotations

from scenario import Scenario

PASSWORD = 'it\'s "secret" enough'


def test_users_come_in_through_the_pooler(hosts: Scenario, host: str) -> None:
    assert hosts.login(host, PASSWORD, port=6432) == "ok"
    assert "password authentication failed" in hosts.login(host, "wrong", port=6432)


def test_passwords_are_kept_as_the_variant_says(hosts: Scenario, host: str) -> None:
    userlist = hosts.root(host, "cat /etc/pgbouncer/userlist.txt")
    assert ('"myuser" "md5' if host == "md5" else '"myuser" "SCRAM-SHA-256$') in userlist
