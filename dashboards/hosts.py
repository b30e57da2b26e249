# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts: which resource is short?"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from dashboards import parts
from dashboards.parts import NODE, RANGE, RECORDED, Column, Query, Steps, chart, figure, rows

_INTERFACES = f'{NODE},device!~"lo|veth.*|docker.*|podman.*|br-.*"'
_DISKS = f'{NODE},device!~"(loop|ram|sr|zram).*"'


def cpu_busy() -> str:
    """Return the busy share of each host's CPUs."""
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
        "hosts", "hosts", "Which resource is short? CPU, memory, disk and network of each host."
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
            "Busiest CPU",
            f"max({cpu_busy()})",
            "Busiest host, average over its cores.",
            unit="percentunit",
            steps=Steps(warning=0.9),
        )
    )
    board.with_panel(
        figure(
            "Highest memory usage",
            f"max({_memory_used()})",
            "Memory in use without the page cache.",
            unit="percentunit",
            steps=Steps(0.85, 0.95),
        )
    )
    board.with_panel(
        figure(
            "Fullest disk",
            f"max({_disk_used()})",
            "PostgreSQL stops when it cannot write its WAL.",
            unit="percentunit",
            steps=Steps(0.8, 0.9),
        )
    )
    board.with_panel(
        figure(
            "CPU pressure",
            f"max({_pressure('cpu_waiting')})",
            "Share of time in which a process waited for a CPU (PSI).",
            unit="percentunit",
            steps=Steps(warning=0.5),
        )
    )
    board.with_panel(
        figure(
            "Disk pressure",
            f"max({_pressure('io_waiting')})",
            "Share of time in which a process waited for a disk (PSI).",
            unit="percentunit",
            steps=Steps(warning=0.3),
        )
    )

    board.with_row(Row("CPU"))
    board.with_panel(
        chart(
            "CPU by host",
            [Query(cpu_busy(), "{{host}}")],
            "Busy share of all cores.",
            unit="percentunit",
            highest=1,
            steps=Steps(warning=0.9),
        )
    )
    board.with_panel(
        chart(
            "CPU by mode",
            [
                Query(
                    f'sum by (mode) (rate(node_cpu_seconds_total{{{NODE},mode!="idle"}}{RANGE}))', "{{mode}}"
                ),
                Query(f'count(node_cpu_seconds_total{{{NODE},mode="idle"}})', "limit, cores"),
            ],
            "Cores, sum over all hosts. The hypervisor gave steal to others; iowait is idle.",
            stacked=True,
        )
    )
    board.with_panel(
        chart(
            "Load per core",
            [Query(_load_per_core(), "{{host}}")],
            "Processes that run, are ready to run or wait for a disk, averaged over one minute.",
            steps=Steps(1, 2),
        )
    )
    board.with_panel(
        chart(
            "Pressure",
            [
                Query(_pressure("cpu_waiting"), "CPU {{host}}"),
                Query(_pressure("memory_waiting"), "memory {{host}}"),
                Query(_pressure("io_waiting"), "disk {{host}}"),
            ],
            "Share of time in which a process waited for the resource (PSI).",
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
                    "reclaimable cache",
                ),
                Query(f"sum(node_memory_MemFree_bytes{{{NODE}}})", "free"),
                Query(f"sum(node_memory_MemTotal_bytes{{{NODE}}})", "limit, memory"),
            ],
            "Sum over all hosts.",
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
            "A database server should use almost none.",
            unit="bytes",
        )
    )
    board.with_panel(
        chart(
            "Disk space in use",
            [Query(_disk_used(), "{{host}} {{mountpoint}}")],
            "Share of each filesystem, without the space reserved for root.",
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
            "Sum over the disks of a host.",
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
            "EBS volumes limit them.",
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
            "Share of time in which a disk was busy.",
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
            "Sum over the interfaces of a host, without loopback.",
            unit="Bps",
        )
    )
    board.with_panel(
        chart(
            "TCP connections",
            [
                Query(f"node_netstat_Tcp_CurrEstab{{{NODE}}}", "open {{host}}"),
                Query(f"node_sockstat_TCP_tw{{{NODE}}}", "TIME_WAIT {{host}}"),
            ],
            "Many in TIME_WAIT mean that clients connect for each query.",
        )
    )
    board.with_panel(
        chart(
            "Packet loss",
            [
                Query(_sum("node_network_receive_drop_total", _INTERFACES), "received, dropped {{host}}"),
                Query(_sum("node_network_transmit_drop_total", _INTERFACES), "sent, dropped {{host}}"),
                Query(f"rate(node_netstat_Tcp_RetransSegs{{{NODE}}}{RANGE})", "retransmitted (TCP) {{host}}"),
            ],
            "Packets per second.",
            unit="ops",
        )
    )
    board.with_panel(
        chart(
            "Listen queue overflows",
            [Query(f"rate(node_netstat_TcpExt_ListenOverflows{{{NODE}}}{RANGE})", "{{host}}")],
            "Connections per second that exceeded listen_backlog or net.core.somaxconn.",
            unit="ops",
        )
    )
    board.with_row(Row("Now"))
    board.with_panel(
        rows(
            "Hosts",
            {"host": "Host"},
            [
                Column("CPU", f"max by (host) ({cpu_busy()})", "percentunit"),
                Column("Cores", f'count by (host) (node_cpu_seconds_total{{{NODE},mode="idle"}})'),
                Column("Load", f"max by (host) (node_load1{{{NODE}}})"),
                Column("Memory in use", f"max by (host) ({_memory_used()})", "percentunit"),
                Column("Memory", f"max by (host) (node_memory_MemTotal_bytes{{{NODE}}})", "bytes"),
                Column("Fullest disk", f"max by (host) ({_disk_used()})", "percentunit"),
                Column("Uptime", f"max by (host) (time() - node_boot_time_seconds{{{NODE}}})", "s"),
            ],
            "Each host, the busiest first.",
        )
    )
    return board
