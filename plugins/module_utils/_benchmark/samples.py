# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Samples of PgBouncer's and PostgreSQL's counters during the runs. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

COLUMNS = (
    "time",  # seconds since 1970
    "clients_active",
    "clients_waiting",
    "servers_active",
    "servers_idle",
    "wait_us",  # total time that clients waited for a server connection
    "transactions",  # total through PgBouncer
    "pgbouncer_cpu",  # total seconds of processor time
    "postgresql_cpu",
    "pgbouncer_memory_kb",
)
Row = Sequence[Any]
"""One sample, in the order of COLUMNS. An unknown value is None."""

_MOST_ROWS = 600
_COLUMN = {name: index for index, name in enumerate(COLUMNS)}


class Process(NamedTuple):
    """A process from /proc/PID/stat: parent, name, and ticks of its own and of its dead children."""

    parent: int
    name: str
    own: int
    children: int


def process(stat: str) -> Process:
    """Parse a line of /proc/PID/stat (proc(5)); the name in it may contain spaces and brackets."""
    head, _bracket, tail = stat.rpartition(")")
    fields = tail.split()
    return Process(
        parent=int(fields[1]),
        name=head.partition("(")[2],
        own=int(fields[11]) + int(fields[12]),
        children=int(fields[13]) + int(fields[14]),
    )


def server_ticks(processes: Mapping[int, Process]) -> int:
    """Return the total ticks of all PostgreSQL processes.

    A backend's ticks count as its own while it lives, and as its parent's after its end.
    """
    postgres = {pid: one for pid, one in processes.items() if one.name == "postgres"}
    return sum(one.own + (0 if one.parent in postgres else one.children) for pid, one in postgres.items())


def totals(pools: Iterable[Mapping[str, Any]], stats: Iterable[Mapping[str, Any]]) -> list[int]:
    """Return the columns ``clients_active`` to ``transactions`` from SHOW POOLS and SHOW STATS."""
    counted = [row for row in pools if row["database"] != "pgbouncer"]
    summed = [
        sum(int(row[name]) for row in counted) for name in ("cl_active", "cl_waiting", "sv_active", "sv_idle")
    ]
    handed = [row for row in stats if row["database"] != "pgbouncer"]
    return summed + [
        sum(int(row[name]) for row in handed) for name in ("total_wait_time", "total_xact_count")
    ]


def during(rows: Sequence[Row], start: float, end: float) -> dict[str, Any] | None:
    """Return the ``inside`` of a run, None without a sample in its time.

    Counters are interpolated at both ends.
    """
    seen = [row for row in rows if start <= row[0] <= end]
    if not seen or end <= start:
        return None

    def grown(name: str) -> float | None:
        ends = [_at(rows, name, when) for when in (start, end)]
        # A restarted process counts from 0.
        return None if None in ends else max(0.0, ends[1] - ends[0])  # type: ignore[operator]

    def level(name: str) -> dict[str, Any]:
        values = [row[_COLUMN[name]] for row in seen if row[_COLUMN[name]] is not None]
        return {
            "mean": round(sum(values) / len(values), 2) if values else None,
            "max": max(values, default=None),
        }

    def cores(name: str) -> float | None:
        seconds = grown(name)
        return None if seconds is None else round(seconds / (end - start), 3)

    waited, transactions = grown("wait_us"), grown("transactions")
    return {
        "clients_waiting": level("clients_waiting"),
        "servers_active": level("servers_active"),
        "wait_ms": round(waited / transactions / 1000, 3) if waited is not None and transactions else None,
        "pgbouncer_cpu": cores("pgbouncer_cpu"),
        "postgresql_cpu": cores("postgresql_cpu"),
        "pgbouncer_memory_kb": level("pgbouncer_memory_kb")["max"],
    }


def _at(rows: Sequence[Row], name: str, when: float) -> float | None:
    known = [(row[0], row[_COLUMN[name]]) for row in rows if row[_COLUMN[name]] is not None]
    after = bisect_left(known, (when,))
    if not known:
        return None
    if after == 0 or after == len(known):
        return float(known[min(after, len(known) - 1)][1])
    (earlier, one), (later, other) = known[after - 1], known[after]
    return float(one + (other - one) * (when - earlier) / (later - earlier))


def series(rows: Sequence[Row]) -> list[list[Any]]:
    """Return at most 600 evenly chosen rows of a result: levels, and cores since the row before."""
    step = -(-len(rows) // _MOST_ROWS) or 1
    kept = rows[::step]
    found = []
    for earlier, row in pairwise(kept):
        seconds = row[0] - earlier[0]
        cores = [
            round(max(0.0, row[_COLUMN[name]] - earlier[_COLUMN[name]]) / seconds, 3)
            if None not in (row[_COLUMN[name]], earlier[_COLUMN[name]]) and seconds > 0
            else None
            for name in ("pgbouncer_cpu", "postgresql_cpu")
        ]
        found.append([round(row[0], 1), *row[1:5], *cores])
    return found
