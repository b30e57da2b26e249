# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings that follow from the host: its memory, its cores, its disk. Pure."""

from __future__ import annotations

import re


def _steps(value: float, step: int) -> int:
    """Round down to whole steps: another kernel has some kB more or less, which is no reason to restart."""
    return int(value) // step * step


def derived_settings(*, memory: int, cores: int, disk: int, max_connections: int) -> dict[str, str | float]:
    """Return settings for a host that PostgreSQL has to itself, with many short transactions and an SSD.

    Args:
        memory: of the host, or of its cgroup where that has less, in MiB.
        cores: that the server may run on.
        disk: size of the filesystem that the data and the WAL are on, in MiB.
        max_connections: PostgreSQL's setting.

    Sizes in the result are in MiB, which PostgreSQL calls MB. Sources, by setting. PG is
    https://www.postgresql.org/docs/17/, page runtime-config-<page>.html; pgtune is
    https://github.com/le0pard/pgtune, src/features/configuration/configurationSlice.js.

    - ``shared_buffers``: a quarter of memory (PG resource: "a reasonable starting value for shared_buffers
      is 25% of the memory in your system"), and not less than the 128 MB of the distribution.
    - ``effective_cache_size``: three quarters, what the kernel's cache and shared_buffers make together (PG
      query;
      https://wiki.postgresql.org/wiki/Tuning_Your_PostgreSQL_Server: "3/4 of memory is a more aggressive but
      still reasonable amount").
    - ``maintenance_work_mem``: a sixteenth (pgtune), 64 MB to 1 GB, for each of autovacuum's three workers
      may take as much (PG resource).
    - ``work_mem``: what shared_buffers leave, divided by three times the processes that there can be, since a
      query may take it several times (pgtune), and not less than PostgreSQL's 4 MB.
    - ``max_worker_processes``: as many as cores, not less than PostgreSQL's 8. ``max_parallel_workers``: as
      many as cores. ``max_parallel_workers_per_gather`` and ``max_parallel_maintenance_workers``: half of
      the cores, at most 4 (pgtune), so that one query does not take them all; none on a single core.
    - ``max_wal_size``: a tenth of the disk, 256 MB to 8 GB, which is pgtune's for many transactions; it is a
      soft limit (PG wal), so a small disk needs a small one. ``min_wal_size``: a quarter of it (pgtune).
    - ``checkpoint_completion_target``: 0.9 (PG wal, the default since 14).
    - ``random_page_cost``: 1.1 (PG query: storage "with a low random read cost relative to sequential, e.g.,
      solid-state drives, might also be better modeled with a lower value"; pgtune for SSD).
    - ``effective_io_concurrency``: 200 (PG resource: "SSDs and other memory-based storage can often process
      many concurrent requests, so the best value might be in the hundreds"; pgtune for SSD).

    ``wal_buffers`` stays PostgreSQL's -1, by which it takes 1/32 of shared_buffers up to 16 MB itself (PG
    wal), whatever shared_buffers is overridden with.
    """
    shared = max(128, _steps(memory / 4, 32))
    workers = max(8, cores)
    wal = min(max(256, _steps(disk / 10, 64)), 8192)
    return {
        "shared_buffers": f"{shared}MB",
        "effective_cache_size": f"{max(shared, _steps(memory * 3 / 4, 32))}MB",
        "maintenance_work_mem": f"{min(max(64, _steps(memory / 16, 16)), 1024)}MB",
        "work_mem": f"{max(4, int((memory - shared) / (3 * (max_connections + workers))))}MB",
        "max_worker_processes": workers,
        "max_parallel_workers": cores,
        "max_parallel_workers_per_gather": min(cores // 2, 4),
        "max_parallel_maintenance_workers": min(cores // 2, 4),
        "max_wal_size": f"{wal}MB",
        "min_wal_size": f"{max(80, _steps(wal / 4, 16))}MB",
        "checkpoint_completion_target": 0.9,
        "random_page_cost": 1.1,
        "effective_io_concurrency": 200,
    }


def memory_mb(meminfo: str, limits: list[str]) -> int:
    """Return the usable memory in MiB: the host's, or a cgroup's that has less.

    Args:
        meminfo: text of /proc/meminfo.
        limits: texts of ``memory.max`` and the like, in bytes; ``max`` is no limit.

    Raises ValueError where /proc/meminfo tells no MemTotal.
    """
    found = re.search(r"(?m)^MemTotal:\s+(\d+) kB$", meminfo)
    if not found:
        raise ValueError("/proc/meminfo tells no MemTotal")
    sizes = [int(found[1]) * 1024] + [int(limit) for limit in limits if limit.strip().isdecimal()]
    return min(sizes) // 1024**2
