#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run this checkout's playbooks from a script; see `runner.py --help` and the package pooled_runner."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def use_environment() -> None:
    """Start again with .venv's Python if this one lacks a module that the runner needs."""
    missing = next((name for name in ("ansible", "ansible_runner", "rich") if not _has(name)), None)
    if missing is None:
        return
    venv = ROOT / ".venv"
    python = str(venv / "bin/python")
    if Path(python).exists() and Path(sys.prefix).resolve() != venv.resolve():
        os.execv(python, [python, __file__, *sys.argv[1:]])  # noqa: S606
    error = (
        f"Failed to start: the Python module {missing} is missing. Run `make env`, then this command again."
    )
    if "--json" in sys.argv:
        print(json.dumps({"verb": None, "target": None, "ok": False, "error": error}))
    else:
        print(f"runner.py: {error}", file=sys.stderr)
    raise SystemExit(2)


def _has(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


if __name__ == "__main__":
    use_environment()
    sys.path.insert(0, str(ROOT))
    from pooled_runner.cli import main
    from pooled_runner.project import Project

    sys.exit(main(sys.argv[1:], Project(ROOT)))
