# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The end of a test run: counts over all parts, and the names of failing tests."""

from __future__ import annotations

import pytest

from tools.run_tests import Outcome, plain, summary

PYTEST = "==== \x1b[31m1 failed\x1b[0m, \x1b[32m12 passed\x1b[0m, 2 skipped, 1 error in 3.45s ====\n"
# With Molecule's border, and a line that it broke.
MOLECULE = """\
  │ FAILED tests/lab/test_a.py::test_b[docker] - a very
  │   long reason
  │ === 3 passed, 1 failed in 9s ===
"""


def outcome(code: int, log: str, part: str = "unit") -> Outcome:
    return Outcome(part, code, 61.2, plain(log))


@pytest.mark.parametrize(
    ("code", "log", "passed", "failed"),
    [
        (1, PYTEST, 12, 2),
        (1, MOLECULE, 3, 1),
        (0, "== 4 passed in 1.00s ==\n== 5 passed, 1 xfailed in 2.00s ==\n", 9, 0),
        (0, "7 passed in 1.23s\n", 7, 0),
        (0, "All checks passed!\n", 1, 0),
        (2, "mypy: Found 3 errors in 1 file\n", 0, 1),
        (2, "== 4 passed in 1.00s ==\nfatal: [host]: FAILED!\n", 4, 1),
        (5, "== no tests ran in 0.01s ==\n", 0, 1),
    ],
)
def test_counts(code: int, log: str, passed: int, failed: int) -> None:
    counts = outcome(code, log).counts
    assert (counts["passed"], counts["failed"]) == (passed, failed)


def test_failing_tests_are_named_with_their_reason() -> None:
    assert outcome(1, MOLECULE).failures == [
        "FAILED tests/lab/test_a.py::test_b[docker] - a very long reason"
    ]


def test_causes_are_shown_if_no_test_failed() -> None:
    assert outcome(2, "TASK [a]\nfatal: [host]: FAILED! => no\nPLAY RECAP\n").failures == [
        "fatal: [host]: FAILED! => no"
    ]


def test_the_last_line_counts_all_parts() -> None:
    lines = [*summary([outcome(1, PYTEST), outcome(0, "fine", "lint")], 125)]
    assert lines[-1] == "13 passed, 2 failed in 2:05"
    assert lines[0] == "\nunit: see .state/test/unit.log"
    assert "unit                 FAILED (1)     1:01     12 passed    2 failed" in lines
