# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Durations of runs, each with the bare measurement that was taken in turns with it, and their ratio."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

_TASK = re.compile(r"^(?:[\w.]+ : )?(.*?) -{3,} +([\d.]+)s$", re.MULTILINE)


class Run(NamedTuple):
    """A finished run of Ansible or of a script: its seconds and its output."""

    seconds: float
    output: str = ""

    @property
    def changed(self) -> int:
        """How many tasks changed something, on all hosts."""
        return sum(map(int, re.findall(r" changed=(\d+)", self.output)))

    @property
    def tasks(self) -> list[tuple[str, float]]:
        """The tasks with their seconds, the slowest first, as profile_tasks printed them."""
        found = [(name.strip(), float(seconds)) for name, seconds in _TASK.findall(self.output)]
        return sorted(found, key=lambda task: -task[1])


@dataclass
class Figure:
    """A run and the bare measurement beside it.

    Args:
        goal: the highest ratio, or the most seconds if nothing is beside it.
    """

    name: str
    goal: float
    beside: str = ""
    runs: list[Run] = field(default_factory=list)
    bare: list[Run] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Median of the runs."""
        return statistics.median(run.seconds for run in self.runs)

    @property
    def bare_seconds(self) -> float | None:
        """Median of the bare measurements, if any."""
        return statistics.median(run.seconds for run in self.bare) if self.bare else None

    @property
    def ratio(self) -> float | None:
        """How many times as long as the bare measurement the run takes, if any."""
        return self.seconds / self.bare_seconds if self.bare_seconds else None

    @property
    def reached(self) -> bool:
        """Whether the figure is within its goal."""
        return (self.seconds if self.ratio is None else self.ratio) <= self.goal

    @property
    def median_run(self) -> Run:
        """The run whose duration is the median, or the next one above."""
        return sorted(self.runs)[len(self.runs) // 2]

    def document(self) -> dict[str, Any]:
        """Return the figure as data for JSON."""
        return {
            "name": self.name,
            "seconds": round(self.seconds, 2),
            "beside": self.beside or None,
            "beside_seconds": self.bare_seconds and round(self.bare_seconds, 2),
            "ratio": self.ratio and round(self.ratio, 2),
            "goal": self.goal,
            "reached": self.reached,
            "runs": [round(run.seconds, 2) for run in self.runs],
            "beside_runs": [round(run.seconds, 2) for run in self.bare],
            "tasks": len(self.median_run.tasks) or None,
        }


def in_turns(figure: Figure, rounds: int, bare: Callable[[], Run], run: Callable[[], Run]) -> Figure:
    """Measure bare and run in turns, so that a slow minute of the machine is in both."""
    for _ in range(rounds):
        figure.bare.append(bare())
        figure.runs.append(run())
    return figure


def unchanged(run: Run) -> Run:
    """Return a run that changed nothing. Raises RuntimeError if it did."""
    if run.changed:
        tasks = re.findall(r"(?m)^TASK \[(.*?)\].*\n(?:(?!TASK|PLAY).*\n)*?changed:", run.output)
        raise RuntimeError(f"a re-run changed something: {', '.join(tasks) or run.output[-3000:]}")
    return run


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a table."""
    rows = [("run", "seconds", "beside it", "seconds", "ratio", "goal", "")]
    for figure in figures:
        bare, ratio = figure.bare_seconds, figure.ratio
        rows.append(
            (
                figure.name,
                f"{figure.seconds:.1f}",
                figure.beside or "-",
                "-" if bare is None else f"{bare:.1f}",
                "-" if ratio is None else f"{ratio:.2f} x",
                f"{figure.goal:g} s" if ratio is None else f"{figure.goal:g} x",
                "ok" if figure.reached else "missed",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = (0, 2, 6)
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def slowest(figure: Figure, count: int) -> str:
    """Return the slowest tasks of a figure's median run, one a line."""
    tasks = figure.median_run.tasks[:count]
    return "\n".join(f"{seconds:8.2f} s  {task}" for task, seconds in tasks)
