"""The image of the lab's hosts: its name, and what becomes of a build that fails."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._lab import bare, image

MIRROR = "http://deb.debian.org/debian"


def test_the_tag_follows_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    first = image.reference("localhost/x", "trixie", MIRROR)
    assert first.startswith("localhost/x:trixie-")
    assert image.reference("localhost/x", "trixie", MIRROR) == first
    assert image.reference("localhost/x", "bookworm", MIRROR) != first
    monkeypatch.setattr(image, "PACKAGES", (*image.PACKAGES, "vim"))
    assert image.reference("localhost/x", "trixie", MIRROR) != first


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        ("I: done\nE: no space left on device.\nE: more\n", "E: no space left on device"),
        ("something\nelse\n", "else"),
        ("", "no reason given"),
    ],
)
def test_the_line_that_explains_a_failure_is_found(stderr: str, said: str) -> None:
    assert image.reason(stderr) == said


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put stand-ins for podman and mmdebstrap first in the path; both write down how they were called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    scripts = {
        "podman": '[ "$2" = exists ] && exec test -e "$0.image"\n[ "$1" = import ] && touch "$0.image"\n:',
        "mmdebstrap": 'sleep 0.3\n[ -e "$0.broken" ] && { echo "E: broken" >&2; exit 25; }\n:',
    }
    for name, script in scripts.items():
        path = folder / name
        path.write_text(f'#!/bin/sh\necho {name} "$1" >>{folder}/calls\n{script}\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.setattr(image, "as_root", lambda *command: list(command))
    monkeypatch.setattr(image, "LOCK", tmp_path / "lock")
    return folder


def test_an_image_that_exists_is_not_built_again(commands: Path, tmp_path: Path) -> None:
    assert image.build("x:1", "trixie", MIRROR, tmp_path / "build")
    assert not image.build("x:1", "trixie", MIRROR, tmp_path / "build")
    assert (commands / "calls").read_text().count("mmdebstrap") == 1
    assert list((tmp_path / "build").iterdir()) == []


def test_two_that_build_at_the_same_time_build_once(commands: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from ansible_collections.pooled.postgres.plugins.module_utils._lab import image\n"
        "image.as_root = lambda *command: list(command)\n"
        f"image.LOCK = Path({str(tmp_path / 'lock')!r})\n"
        f"print(image.build('x:1', 'trixie', 'm', Path({str(tmp_path)!r})))\n"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    assert sorted(one.communicate()[0].strip() for one in both) == ["False", "True"]
    assert (commands / "calls").read_text().count("mmdebstrap") == 1


def test_a_build_that_fails_says_why_and_keeps_nothing(commands: Path, tmp_path: Path) -> None:
    (commands / "mmdebstrap.broken").touch()
    with pytest.raises(image.ImageError, match=r"Failed to build the image of the lab's hosts: E: broken\. "):
        image.build("x:1", "trixie", MIRROR, tmp_path / "build")
    assert not image.exists("x:1")
    assert list((tmp_path / "build").iterdir()) == []


def test_a_bare_host_has_its_owners_label_and_the_image_does_not(tmp_path: Path) -> None:
    settings = bare.Settings(tmp_path, "net", "owner=me")
    command = bare.run_command(settings, "a", "image:1", "ssh-ed25519 AAAA", 1024)
    for option in ("--name=net-a", "--label=owner=me", "--network=net", "--ulimit=nofile=1024:1024"):
        assert option in command
    # Containers inherit the labels of their image: somebody else's would carry this one.
    assert "owner" not in " ".join(image.command("trixie", MIRROR, "/tmp"))


def test_ssh_knows_the_bare_hosts() -> None:
    config = bare.ssh_config(Path("/srv/my bare"), {"a": "10.89.0.2"})
    assert "Host a\n    HostName 10.89.0.2\n    HostKeyAlias a\n" in config
    assert '    IdentityFile "/srv/my bare/id_ed25519"\n' in config
    keys: dict[str, Any] = {"a": "ssh-ed25519 AAAA root@a\n"}
    assert bare.known_hosts(keys) == "a ssh-ed25519 AAAA\n"
