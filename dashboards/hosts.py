# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The hosts: what are they short of?"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from dashboards import parts
from dashboards.parts import NODE, RANGE, RECORDED, Column, Query, Steps, chart, figure, rows

_INTERFACES = f'{NODE},device!~"lo|veth.*|docker.*|podman.*|br-.*"'
_DISKS = f'{NODE},device!~"(loop|ram|sr|zram).*"'


def cpu_busy() -> str:
    """Return the share of each host's processors that is not idle."""
    return f'1 - avg by (stack, host) (rate(node_cpu_seconds_total{{{NODE},mode="idle"}}{RANGE}))'


def _memory_used() -> str:
    return f"1 - node_memory_MemAvailable_bytes{{{NODE}}}\n  / node_memory_MemTotal_bytes{{{NODE}}}"


def _disk_used() -> str:
    return f"1 - pooled:host_disk_free:ratio{{{RECORDED}}}"


def _cores() -> str:
    return f'count by (stack, host) (node_cpu_seconds_total{{{NODE},mode="idle"}})'


def _load_per_core() -> str:
    return f"max by (stack, host) (node_load1{{{NODE}}})\n  / {_cores()}"


def _pressure(resource: str) -> str:
    return f"max by (stack, host) (rate(node_pressure_{resource}_seconds_total{{{NODE}}}{RANGE}))"


def _sum(counter: str, selector: str) -> str:
    return parts.rate(counter, selector, "stack, host")


def build() -> Dashboard:
    """Return the dashboard."""
    board = parts.dashboard(
        "hosts", "hosts", "What are the hosts short of? Processor, memory, disk, network."
    )
    board.with_panel(
        figure(
            "Hosts down",
            f"count(up{{{NODE}}}) - sum(up{{{NODE}}})",
            "Hosts whose node_exporter does not answer.",
            steps=Steps(critical=1),
        )
    )
    board.with_panel(
        figure(
            "Busiest processor",
            f"max({cpu_busy()})",
            "Of the host that has most to do; all of its cores together.",
            unit="percentunit",
            steps=Steps(warning=0.9),
        )
    )
    board.with_panel(
        figure(
            "Fullest memory",
            f"max({_memory_used()})",
            "What can't be had without swapping. The page cache is not counted.",
            unit="percentunit",
            steps=Steps(0.85, 0.95),
        )
    )
    board.with_panel(
        figure(
            "Fullest disk",
            f"max({_disk_used()})",
            "PostgreSQL stops when it can't write its WAL.",
            unit="percentunit",
            steps=Steps(0.8, 0.9),
        )
    )
    board.with_panel(
        figure(
            "Processor pressure",
            f"max({_pressure('cpu_waiting')})",
            "Share of the time in which some process was ready to run and could not (PSI).",
            unit="percentunit",
            steps=Steps(warning=0.5),
        )
    )
    board.with_panel(
        figure(
            "Disk pressure",
            f"max({_pressure('io_waiting')})",
            "Share of the time in which some process waited for a disk (PSI).",
            unit="percentunit",
            steps=Steps(warning=0.3),
        )
    )

    board.with_row(Row("Processor"))
    board.with_panel(
        chart(
            "Processor by host",
            [Query(cpu_busy(), "{{host}}")],
            "Share of all cores.",
            unit="percentunit",
            highest=1,
            steps=Steps(warning=0.9),
        )
    )
    board.with_panel(
        chart(
            "Processor by what it does",
            [
                Query(
                    f'sum by (mode) (rate(node_cpu_seconds_total{{{NODE},mode!="idle"}}{RANGE}))', "{{mode}}"
                ),
                Query(f'count(node_cpu_seconds_total{{{NODE},mode="idle"}})', "limit, cores"),
            ],
            "Cores, of all hosts together. steal is what the hypervisor gave to others; iowait is idle.",
            stacked=True,
        )
    )
    board.with_panel(
        chart(
            "Load per core",
            [Query(_load_per_core(), "{{host}}")],
            "Processes that run, want to run or wait for a disk, averaged over a minute.",
            steps=Steps(1, 2),
        )
    )
    board.with_panel(
        chart(
            "Pressure",
            [
                Query(_pressure("cpu_waiting"), "processor {{host}}"),
                Query(_pressure("memory_waiting"), "memory {{host}}"),
                Query(_pressure("io_waiting"), "disk {{host}}"),
            ],
            "Share of the time in which some process waited for what is scarce (PSI).",
            unit="percentunit",
        )
    )

    board.with_row(Row("Memory and disk"))
    board.with_panel(
        chart(
            "Memory",
            [
                Query(
                    f"sum(node_memory_MemTotal_bytes{{{NODE}}} - node_memory_MemAvailable_bytes{{{NODE}}})",
                    "in use",
                ),
                Query(
                    f"sum(node_memory_MemAvailable_bytes{{{NODE}}} - node_memory_MemFree_bytes{{{NODE}}})",
                    "cache that can be given back",
                ),
                Query(f"sum(node_memory_MemFree_bytes{{{NODE}}})", "free"),
                Query(f"sum(node_memory_MemTotal_bytes{{{NODE}}})", "limit, memory"),
            ],
            "Of all hosts together.",
            unit="bytes",
            stacked=True,
        )
    )
    board.with_panel(
        chart(
            "Swap in use",
            [
                Query(
                    f"node_memory_SwapTotal_bytes{{{NODE}}} - node_memory_SwapFree_bytes{{{NODE}}}",
                    "{{host}}",
                )
            ],
            "A database server should have next to nothing there.",
            unit="bytes",
        )
    )
    board.with_panel(
        chart(
            "Disk space in use",
            [Query(_disk_used(), "{{host}} {{mountpoint}}")],
            "Of each file system, without what is reserved for root.",
            unit="percentunit",
            highest=1,
            steps=Steps(0.8, 0.9),
        )
    )
    board.with_panel(
        chart(
            "Disk throughput",
            [
                Query(_sum("node_disk_read_bytes_total", _DISKS), "read {{host}}"),
                Query(_sum("node_disk_written_bytes_total", _DISKS), "written {{host}}"),
            ],
            "All disks of a host together.",
            unit="Bps",
        )
    )
    board.with_panel(
        chart(
            "Disk operations",
            [
                Query(_sum("node_disk_reads_completed_total", _DISKS), "reads {{host}}"),
                Query(_sum("node_disk_writes_completed_total", _DISKS), "writes {{host}}"),
            ],
            "EBS volumes have a limit of these, too.",
            unit="ops",
        )
    )
    board.with_panel(
        chart(
            "Busy disks",
            [
                Query(
                    f"max by (stack, host, device) (\n"
                    f"  rate(node_disk_io_time_seconds_total{{{_DISKS}}}{RANGE}))",
                    "{{host}} {{device}}",
                )
            ],
            "Share of the time in which a disk had something to do.",
            unit="percentunit",
            highest=1,
        )
    )

    board.with_row(Row("Network"))
    board.with_panel(
        chart(
            "Network throughput",
            [
                Query(_sum("node_network_receive_bytes_total", _INTERFACES), "received {{host}}"),
                Query(_sum("node_network_transmit_bytes_total", _INTERFACES), "sent {{host}}"),
            ],
            "All interfaces of a host together, without loopback.",
            unit="Bps",
        )
    )
    board.with_panel(
        chart(
            "TCP connections",
            [
                Query(f"node_netstat_Tcp_CurrEstab{{{NODE}}}", "open {{host}}"),
                Query(f"node_sockstat_TCP_tw{{{NODE}}}", "closed lately {{host}}"),
            ],
            "Many that were closed lately (TIME_WAIT): clients that connect for each query.",
        )
    )
    board.with_panel(
        chart(
            "Packets lost",
            [
                Query(_sum("node_network_receive_drop_total", _INTERFACES), "dropped, received {{host}}"),
                Query(_sum("node_network_transmit_drop_total", _INTERFACES), "dropped, to be sent {{host}}"),
                Query(
                    f"rate(node_netstat_Tcp_RetransSegs{{{NODE}}}{RANGE})", "sent once more (TCP) {{host}}"
                ),
            ],
            "A second.",
            unit="ops",
        )
    )
    board.with_panel(
        chart(
            "Connections refused by a full queue",
            [Query(f"rate(node_netstat_TcpExt_ListenOverflows{{{NODE}}}{RANGE})", "{{host}}")],
            "A second. More clients came at once than listen_backlog and net.core.somaxconn let wait.",
            unit="ops",
        )
    )
    board.with_row(Row("Now"))
    board.with_panel(
        rows(
            "Hosts",
            {"host": "Host"},
            [
                Column("Processor", f"max by (host) ({cpu_busy()})", "percentunit"),
                Column("Cores", f'count by (host) (node_cpu_seconds_total{{{NODE},mode="idle"}})'),
                Column("Load", f"max by (host) (node_load1{{{NODE}}})"),
                Column("Memory in use", f"max by (host) ({_memory_used()})", "percentunit"),
                Column("Memory", f"max by (host) (node_memory_MemTotal_bytes{{{NODE}}})", "bytes"),
                Column("Fullest disk", f"max by (host) ({_disk_used()})", "percentunit"),
                Column("Up for", f"max by (host) (time() - node_boot_time_seconds{{{NODE}}})", "s"),
            ],
            "Each host, the busiest first.",
        )
    )
    return board
