from __future__ import annotations

import base64
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer import scram, userlist
from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.errors import InvalidInputError

KEY = base64.b64encode(bytes(32)).decode()
VERIFIER = f"SCRAM-SHA-256$4096:c2FsdA==${KEY}:{KEY}"
OTHER_VERIFIER = f"SCRAM-SHA-256$4096:cGVwcGVy${KEY}:{KEY}"
MD5 = "md554fdba1dac1d18ce9c2d57a03502a8ff"


class TestFile:
    @pytest.mark.parametrize(
        ("text", "entries"),
        [
            pytest.param("", {}, id="empty"),
            pytest.param('"myuser" "mypassword"\n', {"myuser": "mypassword"}, id="one"),
            pytest.param('"a" "1"\n"b" "2"', {"a": "1", "b": "2"}, id="no last line feed"),
            pytest.param(
                '\n  "a"\t"1" rest of "the" line\r\n\n"b" "2"\n', {"a": "1", "b": "2"}, id="spacing"
            ),
            pytest.param('; "a" "1"\n"b" "2"\n  ;end', {"b": "2"}, id="comments"),
            pytest.param('"a;b" ";"\n', {"a;b": ";"}, id="semicolons in fields"),
            pytest.param('"a""b" """"\n', {'a"b': '"'}, id="double quotes"),
            pytest.param(r'"a\" "\b\"' + "\n", {"a\\": "\\b\\"}, id="backslashes"),
            pytest.param('"a" ""\n"" "b"\n', {"a": "", "": "b"}, id="empty fields"),
            pytest.param('"a"\n"1"\n', {"a": "1"}, id="two lines"),
            pytest.param('"a" "1"\n"a" "2"\n', {"a": "2"}, id="last one wins"),
            pytest.param('"a" "1"\nb "2"\n"c" "3"\n', {"a": "1"}, id="stops at what is no entry"),
            pytest.param('"a" "1"\n"b" "2""\n', {"a": "1"}, id="stops at an open quote"),
            pytest.param('"a" "1"\n\u00a0"b" "2"\n', {"a": "1"}, id="other spaces are no spaces"),
        ],
    )
    def test_is_read_as_pgbouncer_reads_it(self, text: str, entries: dict[str, str]) -> None:
        assert userlist.parse(text) == entries

    def test_is_sorted_and_quoted(self) -> None:
        entries = {"z": MD5, 'say "hi"': MD5, "A": VERIFIER}
        assert userlist.render(entries) == f'"A" "{VERIFIER}"\n"say ""hi""" "{MD5}"\n"z" "{MD5}"\n'

    @pytest.mark.parametrize(
        "name", ["a", '"', '""', 'a"', '"a', "a\\", " ", ";", "naïve €", "$x %s", "a b\tc"]
    )
    def test_survives_writing_and_reading(self, name: str) -> None:
        entries = {name: VERIFIER, "last": MD5}
        assert userlist.parse(userlist.render(entries)) == entries


class TestKind:
    @pytest.mark.parametrize(
        ("secret", "kind"),
        [
            (MD5, userlist.MD5),
            (VERIFIER, userlist.SCRAM),
            ("mypassword", userlist.PLAIN),
            ("", userlist.PLAIN),
            (MD5.upper().replace("MD5", "md5"), userlist.PLAIN),
            (MD5[:-1], userlist.PLAIN),
            (MD5 + "0", userlist.PLAIN),
            (MD5 + "\n", userlist.PLAIN),
        ],
    )
    def test_is_pgbouncers(self, secret: str, kind: str) -> None:
        assert userlist.kind(secret) == kind


class TestMd5:
    @pytest.mark.parametrize(
        ("name", "password", "verifier"),
        [
            ("myuser", "mypassword", MD5),
            ("admin", "1234", "md545f2603610af569b6155c45067268c6b"),  # PgBouncer's manual
        ],
    )
    def test_is_postgresqls(self, name: str, password: str, verifier: str) -> None:
        assert userlist.md5(name, password) == verifier


def user(name: str | None = "bob", **secret: str | None) -> dict[str, Any]:
    return {"name": name, "password": None, "verifier": None, **secret}


class TestCheckUsers:
    def test_returns_them_sorted(self) -> None:
        users = [user("b", password='p"w'), user('a"', verifier=MD5)]
        assert userlist.check_users(users) == [
            userlist.User('a"', MD5, ready=True),
            userlist.User("b", 'p"w', ready=False),
        ]

    @pytest.mark.parametrize(
        "password", ['"', "\\", "$x", "100%", " ", "pässwörd €", "\t", "md5", "x" * 5000]
    )
    def test_takes_any_password_that_postgresql_takes(self, password: str) -> None:
        assert userlist.check_users([user(password=password)])[0].secret == password

    @pytest.mark.parametrize("name", ["x" * 127, '"' * 63, "é" * 63, "last"])
    def test_takes_names_up_to_the_limit(self, name: str) -> None:
        assert userlist.check_users([user(name, verifier=MD5)])[0].name == name

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (user("", password="s3cret"), "users[1]: its name is empty; give the name of a role"),
            (user(None, password="s3cret"), "users[1]: its name is empty"),
            (user("a\nb", password="s3cret"), "users[1]: its name has a line break or a NUL"),
            (user("a\rb", password="s3cret"), "users[1]: its name has a line break or a NUL"),
            (user("a\0b", password="s3cret"), "users[1]: its name has a line break or a NUL"),
            (user("a\udc80", password="s3cret"), "users[1]: its name is not valid Unicode text"),
            (
                user("x" * 128, password="s3cret"),
                'users[1]: its name, "xxxxxxxxxxxxxxxxxxxx...", takes 128 bytes',
            ),
            (user('"' * 64, password="s3cret"), "takes 128 bytes as quoted and PgBouncer reads at most 127"),
            (user("é" * 64, password="s3cret"), "takes 128 bytes"),
            (
                user("alice", password="s3cret"),
                'user "alice" (users[1]): is already users[0]; give each user once',
            ),
            (user(), 'user "bob" (users[1]): it has neither a password nor a verifier; give one of them'),
            (
                user(password="s3cret", verifier=MD5),
                "it has both a password and a verifier; give one of them",
            ),
            (user(password=""), 'user "bob" (users[1]): its password is empty'),
            (user(password="s3cret\n"), 'user "bob" (users[1]): its password has a line break or a NUL'),
            (user(password="s3cret\r"), "its password has a line break or a NUL; choose one without"),
            (user(password="s3cret\0"), "its password has a line break or a NUL; choose one without"),
            (user(password="s3cret\udc80"), "its password is not valid Unicode text; choose another"),
            (user(password=MD5), "its password is a ready verifier"),
            (user(password=VERIFIER), "its password is a ready verifier"),
            (user(verifier=""), 'user "bob" (users[1]): its verifier is malformed; give md5 and 32'),
            (user(verifier="s3cret"), "its verifier is malformed"),
            (user(verifier=MD5[:-1]), "its verifier is malformed"),
            (user(verifier=VERIFIER + "\n"), "its verifier is malformed"),
            (
                user(verifier=VERIFIER.replace("c2FsdA==", "AAAA" * 128)),
                "bytes long and PostgreSQL takes at most 512",
            ),
        ],
    )
    def test_refuses_by_name_without_the_secret(self, given: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidInputError) as refusal:
            userlist.check_users([user("alice", verifier=MD5), given])
        text = str(refusal.value)
        assert text.startswith("Failed to accept users: ")
        assert message in text
        for secret in ("s3cret", MD5[3:], "AAAA"):
            assert secret not in text

    def test_tells_ten_problems_at_once(self) -> None:
        with pytest.raises(InvalidInputError) as refusal:
            userlist.check_users([user(f"user{index}") for index in range(12)])
        text = str(refusal.value)
        assert text.count("neither") == 10
        assert text.endswith("; and 2 more")


@pytest.mark.parametrize(
    ("iterations", "is_fine"), [(0, False), (1, True), (2**31 - 1, True), (2**31, False)]
)
def test_iterations_are_those_of_postgresql(iterations: int, is_fine: bool) -> None:
    if is_fine:
        userlist.check_iterations(iterations)
    else:
        with pytest.raises(
            InvalidInputError, match=f"Failed to accept scram_iterations: {iterations} is not"
        ):
            userlist.check_iterations(iterations)


class TestWantedEntries:
    PASSWORD = userlist.User("bob", "mypassword", ready=False)

    def wanted(self, user: userlist.User, present: str, encryption: str = "scram-sha-256") -> str:
        return userlist.wanted_entries([user], {"bob": present}, encryption, iterations=2)["bob"]

    @pytest.mark.parametrize("encryption", ["md5", "scram-sha-256"])
    @pytest.mark.parametrize("verifier", [MD5, VERIFIER])
    def test_a_ready_verifier_stays_what_it_is(self, verifier: str, encryption: str) -> None:
        assert self.wanted(userlist.User("bob", verifier, ready=True), OTHER_VERIFIER, encryption) == verifier

    def test_a_fitting_entry_is_kept(self) -> None:
        present = scram.build("mypassword", 2)
        assert self.wanted(self.PASSWORD, present) == present

    @pytest.mark.parametrize(
        "present",
        [
            pytest.param("", id="none"),
            pytest.param("mypassword", id="plain text"),
            pytest.param(userlist.md5("bob", "mypassword"), id="md5"),
            pytest.param(scram.build("otherpassword", 2), id="another password"),
            pytest.param(scram.build("mypassword", 3), id="other iterations"),
        ],
    )
    def test_any_other_entry_is_made_anew(self, present: str) -> None:
        entry = self.wanted(self.PASSWORD, present)
        assert entry != present
        assert scram.parse(entry).iterations == 2
        assert scram.verify("mypassword", scram.parse(entry))

    def test_md5_needs_no_salt(self) -> None:
        user = userlist.User("myuser", "mypassword", ready=False)
        assert userlist.wanted_entries([user], {}, "md5", iterations=2) == {"myuser": MD5}


def test_compare_sorts_names_by_what_happens_to_them() -> None:
    before = {"kept": "1", "gone2": "2", "gone1": "2", "other": "3"}
    after = {"new2": "4", "new1": "4", "kept": "1", "other": "5"}
    assert userlist.compare(before, after) == (["new1", "new2"], ["gone1", "gone2"], ["other"])


class TestOutline:
    @pytest.mark.parametrize(
        ("before", "after", "outlines"),
        [
            pytest.param(None, {}, ("", "; no users\n"), id="new and empty"),
            pytest.param(None, {'a"b': MD5}, ("", '"a""b" MD5\n'), id="new"),
            pytest.param({"a": MD5}, {}, ('"a" MD5\n', "; no users\n"), id="emptied"),
            pytest.param({"a": MD5}, {"a": VERIFIER}, ('"a" MD5\n', '"a" SCRAM-SHA-256\n'), id="other kind"),
            pytest.param({"a": "pw"}, {"a": MD5}, ('"a" plain text\n', '"a" MD5\n'), id="was plain text"),
            pytest.param(
                {"a": VERIFIER, "b": MD5},
                {"a": OTHER_VERIFIER, "b": MD5},
                ('"a" SCRAM-SHA-256\n"b" MD5\n', '"a" SCRAM-SHA-256 (verifier changed)\n"b" MD5\n'),
                id="other verifier",
            ),
            pytest.param({"a": MD5}, {"a": MD5}, ('"a" MD5\n', '"a" MD5\n'), id="the same"),
        ],
    )
    def test_names_users_and_kinds(
        self, before: dict[str, str] | None, after: dict[str, str], outlines: tuple[str, str]
    ) -> None:
        text = None if before is None else userlist.render(before)
        assert userlist.outline(text, userlist.render(after)) == outlines

    def test_tells_a_change_that_is_of_no_user(self) -> None:
        text = userlist.render({"a": MD5})
        before, after = userlist.outline("; by hand: s3cret\n" + text, text)
        assert (before, after) == ('"a" MD5\n; other comments, order or spacing\n', '"a" MD5\n')


def test_a_password_is_written_as_it_is_where_that_is_asked_for() -> None:
    users = userlist.check_users(
        [
            {"name": "lookup", "password": "secret", "plain": True},
            {"name": "a", "password": "secret", "plain": False},
        ]
    )
    entries = userlist.wanted_entries(users, {}, "md5", scram.DEFAULT_ITERATIONS)
    assert entries["lookup"] == "secret"
    assert userlist.kind(entries["a"]) == userlist.MD5
