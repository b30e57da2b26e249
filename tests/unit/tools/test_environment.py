"""The environment on a newcomer's machine: an awkward path, a company's proxy."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# Stands for Python, which creates an environment of further stand-ins; uv shows what it was given.
PYTHON = """#!/bin/sh
case "$*" in
  *venv*--clear*)
    mkdir -p .venv/bin
    cp "$0" .venv/bin/python
    printf '#!/bin/sh\\n' >.venv/bin/pip
    printf '#!/bin/sh\\nmkdir -p "$UV_CACHE_DIR"\\nenv >uv.env\\n' >.venv/bin/uv
    chmod +x .venv/bin/*;;
  *purelib*) pwd;;
esac
"""


@pytest.mark.parametrize("target", ["demo", "down", "test"])
def test_a_path_with_a_space_is_refused_at_once(tmp_path: Path, target: str) -> None:
    checkout = tmp_path / "my checkout"
    checkout.mkdir()
    shutil.copy(ROOT / "Makefile", checkout)
    done = subprocess.run(
        ["make", target], cwd=checkout, capture_output=True, text=True, timeout=5, check=False
    )
    assert done.returncode != 0
    assert 'my checkout" has a space. Move it to a path without one' in done.stderr
    assert [path.name for path in checkout.iterdir()] == ["Makefile"]


def test_uv_trusts_the_certificates_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools/environment", tmp_path / "tools")
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    subprocess.run([tmp_path / "tools/environment", python, "lab"], check=True, timeout=30)
    given = (tmp_path / "uv.env").read_text().splitlines()
    assert "UV_SYSTEM_CERTS=1" in given
    # On the same disk as .venv, so that uv links files.
    assert f"UV_CACHE_DIR={tmp_path}/.state/cache/uv" in given
    assert not (tmp_path / ".state/cache/uv").exists()
