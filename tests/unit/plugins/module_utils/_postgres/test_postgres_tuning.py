"""Settings that follow from the host."""

from __future__ import annotations

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._postgres import tuning

MEMINFO = "MemTotal:       16000000 kB\nMemFree:         1 kB\n"


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        # t3.micro: 1 GiB, 2 cores, 8 GB.
        (
            {"memory": 949, "cores": 2, "disk": 7800, "max_connections": 100},
            {
                "shared_buffers": "224MB",
                "effective_cache_size": "704MB",
                "maintenance_work_mem": "64MB",
                "work_mem": "4MB",
                "max_worker_processes": 8,
                "max_parallel_workers": 2,
                "max_parallel_workers_per_gather": 1,
                "max_parallel_maintenance_workers": 1,
                "max_wal_size": "768MB",
                "min_wal_size": "192MB",
            },
        ),
        # One core: no query is spread.
        (
            {"memory": 400, "cores": 1, "disk": 1000, "max_connections": 20},
            {
                "shared_buffers": "128MB",
                "effective_cache_size": "288MB",
                "max_parallel_workers": 1,
                "max_parallel_workers_per_gather": 0,
                "max_parallel_maintenance_workers": 0,
                "max_wal_size": "256MB",
                "min_wal_size": "80MB",
            },
        ),
        # m5.4xlarge: 64 GiB, 16 cores, 500 GB.
        (
            {"memory": 63488, "cores": 16, "disk": 500000, "max_connections": 300},
            {
                "shared_buffers": "15872MB",
                "effective_cache_size": "47616MB",
                "maintenance_work_mem": "1024MB",
                "work_mem": "50MB",
                "max_worker_processes": 16,
                "max_parallel_workers": 16,
                "max_parallel_workers_per_gather": 4,
                "max_parallel_maintenance_workers": 4,
                "max_wal_size": "8192MB",
                "min_wal_size": "2048MB",
            },
        ),
    ],
    ids=["small", "tiny", "large"],
)
def test_derived_settings(host: dict[str, int], wanted: dict[str, str | int]) -> None:
    derived = tuning.derived_settings(**host)
    assert {name: derived[name] for name in wanted} == wanted
    assert derived["random_page_cost"] == 1.1
    assert derived["checkpoint_completion_target"] == 0.9
    # PostgreSQL's own choice follows shared_buffers, whoever sets it.
    assert "wal_buffers" not in derived


def test_another_kernel_is_no_reason_to_restart() -> None:
    host = {"cores": 2, "disk": 20000, "max_connections": 100}
    startup = ("shared_buffers", "max_worker_processes")
    one, other = (tuning.derived_settings(memory=memory, **host) for memory in (7941, 7945))
    assert [one[name] for name in startup] == [other[name] for name in startup]


@pytest.mark.parametrize(
    ("limits", "memory"),
    [
        ([], 15625),
        (["max\n"], 15625),
        (["1073741824\n"], 1024),
        (["9223372036854771712\n", "max"], 15625),
    ],
)
def test_memory_is_the_hosts_or_that_of_a_cgroup_that_has_less(limits: list[str], memory: int) -> None:
    assert tuning.memory_mb(MEMINFO, limits) == memory


def test_meminfo_without_memtotal_is_an_error() -> None:
    with pytest.raises(ValueError, match="MemTotal"):
        tuning.memory_mb("", [])
