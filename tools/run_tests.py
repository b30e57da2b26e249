#!/usr/bin/env python3
"""Every part of the tests, two at a time, and at the end what each one said.

The parts are targets of the Makefile. A part that fails does not keep the others from running: one
run shows all that is wrong. The whole output of each is kept in .state/test/.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / ".state/test"
# The longest first, so that none is left alone at the end.
PARTS = (
    "molecule",
    "scenario-pgbouncer",
    "scenario-postgres",
    "scenario-exporters",
    "emulated",
    "unit",
    "lint",
    "sanity",
)
# Each keeps a core busy, and waits little; the whole lab is three hosts.
AT_ONCE = 2
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
TELLING = re.compile(r"^(FAILED|ERROR)\b|\bfatal: |\bFAILED!|\berror: |failed=[1-9]|\*\*\* ")
SHOWN = 12


class Outcome(NamedTuple):
    """How a part ended: its exit code, and how long it took in seconds."""

    part: str
    code: int
    seconds: float

    @property
    def line(self) -> str:
        minutes, seconds = divmod(round(self.seconds), 60)
        said = "ok" if self.code == 0 else f"FAILED ({self.code})"
        return f"{self.part:20} {said:12} {minutes:3}:{seconds:02}"


def run(part: str) -> Outcome:
    """Run one part; its output goes to the terminal, each line with the part's name, and to its log."""
    began = time.monotonic()
    with (LOGS / f"{part}.log").open("w", encoding="utf-8") as log:
        child = subprocess.Popen(
            ["make", part],  # noqa: S607 - the make that runs us, from the same PATH
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert child.stdout is not None  # noqa: S101 - it is a pipe, as asked for
        for line in child.stdout:
            log.write(line)
            print(f"{part} | {line}", end="", flush=True)
        return Outcome(part, child.wait(), time.monotonic() - began)


def telling(part: str) -> list[str]:
    """The last lines of a part's log that name a failure."""
    text = ESCAPES.sub("", (LOGS / f"{part}.log").read_text(encoding="utf-8"))
    return [line.strip() for line in text.splitlines() if TELLING.search(line)][-SHOWN:]


def main(parts: list[str]) -> int:
    LOGS.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(run, parts))
    failed = [outcome for outcome in outcomes if outcome.code]
    for outcome in failed:
        print(f"\n{outcome.part}: see {(LOGS / outcome.part).relative_to(ROOT)}.log")
        print("\n".join(f"  {line[:300]}" for line in telling(outcome.part)))
    print()
    for outcome in outcomes:
        print(outcome.line)
    print(Outcome("all", int(bool(failed)), time.monotonic() - began).line)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(PARTS)))
