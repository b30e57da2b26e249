#!/usr/bin/env python3
"""Run every part of the tests, two at a time, and print the result of each at the end.

The parts are targets of the Makefile. All of them run, even after one failed, and .state/test/ keeps their
output. The last line counts the tests of all parts; a part without pytest counts as one test.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / ".state/test"
# The longest first, so that no long part runs alone at the end.
PARTS = (
    "molecule",
    "scenario-pgbouncer",
    "scenario-postgres",
    "scenario-monitoring",
    "scenario-exporters",
    "emulated",
    "lint",
    "unit",
    "sanity",
)
# Each part keeps about one core busy. More at a time would make the hosts miss their timeouts.
AT_ONCE = 2
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
CLOSING = re.compile(r"\b\d+ (?:passed|failed|skipped|errors?)\b.* in [\d.]+s\b")
COUNT = re.compile(r"(\d+) (passed|failed|error)")
FAILED_TEST = re.compile(r"^(FAILED|ERROR) \S+")
CAUSE = re.compile(r"\bfatal: |\bFAILED!|\berror: |failed=[1-9]|\*\*\* |^Failed: ")
MOST_CAUSES = 12


class Outcome(NamedTuple):
    """How a part ended: its exit code, its seconds, and what its log says."""

    part: str
    code: int
    seconds: float
    log: str

    @property
    def counts(self) -> Counter[str]:
        """How many tests passed and failed. A part that failed beside its tests has one failed test more."""
        found: Counter[str] = Counter()
        for line in filter(CLOSING.search, self.log.splitlines()):
            for number, word in COUNT.findall(line):
                found["passed" if word == "passed" else "failed"] += int(number)
        if self.code == 0 and not found:
            found["passed"] = 1
        if self.code and not found["failed"]:
            found["failed"] = 1
        return found

    @property
    def failures(self) -> list[str]:
        """The failing tests, or else the last lines that name a cause."""
        lines = [line.strip() for line in self.log.splitlines()]
        tests = dict.fromkeys(line for line in lines if FAILED_TEST.search(line))
        return [*tests] or [line for line in lines if CAUSE.search(line)][-MOST_CAUSES:]

    @property
    def row(self) -> str:
        """One line of the table at the end."""
        minutes, seconds = divmod(round(self.seconds), 60)
        result = "ok" if self.code == 0 else f"FAILED ({self.code})"
        passed, failed = self.counts["passed"], self.counts["failed"]
        return f"{self.part:20} {result:12} {minutes:3}:{seconds:02} {passed:6} passed {failed:4} failed"


def run(part: str) -> Outcome:
    """Run one part and print its output, each line with the part's name."""
    start = time.monotonic()
    path = LOGS / f"{part}.log"
    with path.open("w", encoding="utf-8") as log:
        child = subprocess.Popen(
            ["make", part],  # noqa: S607 - the make that runs us, from the same PATH
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        for line in child.stdout or ():
            log.write(line)
            print(f"{part} | {line}", end="", flush=True)
        code = child.wait()
    return Outcome(part, code, time.monotonic() - start, plain(path.read_text(encoding="utf-8")))


def plain(text: str) -> str:
    """Return a log without colours, and without the border and line breaks that Molecule adds."""
    text = ESCAPES.sub("", text)
    return re.sub(r"(?m)^ *│ ", "", re.sub(r"\n *│ {3}(?=\S)", " ", text))


def summary(outcomes: list[Outcome], seconds: float) -> Iterator[str]:
    """Yield the lines that end a run: failures, a table of parts, and the counts of all."""
    for outcome in outcomes:
        if outcome.code:
            yield f"\n{outcome.part}: see {(LOGS / outcome.part).relative_to(ROOT)}.log"
            yield from (f"  {line[:300]}" for line in outcome.failures)
    yield ""
    yield from (outcome.row for outcome in outcomes)
    counts = sum((outcome.counts for outcome in outcomes), Counter[str]())
    minutes, rest = divmod(round(seconds), 60)
    yield f"{counts['passed']} passed, {counts['failed']} failed in {minutes}:{rest:02}"


def main(parts: list[str]) -> int:
    """Run the parts. Returns the exit code."""
    LOGS.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(run, parts))
    print("\n".join(summary(outcomes, time.monotonic() - start)))
    return int(any(outcome.code for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(PARTS)))
