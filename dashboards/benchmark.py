# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A benchmark: what pooling did while pgbench ran."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from dashboards import hosts, parts, pooling, postgresql
from dashboards.parts import (
    DATABASE,
    NODE,
    POOL,
    POOLER,
    RANGE,
    RECORDED,
    SERVER,
    TRAFFIC,
    Figure,
    Query,
    Steps,
    chart,
    figure,
)

# PgBouncer hands pgbench's name on to PostgreSQL, and a server keeps it while it is idle in the pool.
_RUNS = (
    f'sum by (stack, host) (pg_stat_activity_count{{{SERVER},application_name="pgbench",state!="idle"}}) > 0'
)


def build() -> Dashboard:
    """Return the dashboard."""
    board = parts.dashboard(
        "benchmark",
        "benchmark",
        "What pooling did while pgbench ran. Runs are marked, through PgBouncer or not.",
        database=parts.POOL_DATABASES,
        user=parts.POOL_USERS,
    )
    board.annotation(
        builders.AnnotationQuery()
        .name("pgbench")
        .datasource(parts.DATASOURCE)
        .enable(True)
        .icon_color("blue")
        .expr(_RUNS)
        .title_format("pgbench")
        .text_format("on {{host}}")
        .step("15s")
    )
    for panel in _figures():
        board.with_panel(panel)
    board.with_row(Row("What came out"))
    board.with_panel(
        chart(
            "Transactions through PgBouncer and in PostgreSQL",
            [
                Query(
                    parts.rate("pgbouncer_stats_sql_transactions_pooled_total", TRAFFIC),
                    "through PgBouncer",
                ),
                Query(parts.rate("pg_stat_database_xact_commit", DATABASE), "in PostgreSQL"),
            ],
            "What PostgreSQL has more came to it directly.",
            unit="ops",
            width=24,
        )
    )
    board.with_panel(
        chart(
            "Clients and the servers they share",
            [
                Query(f"sum(pgbouncer_used_clients{{{POOLER}}})", "clients of PgBouncer"),
                Query(f"sum(pgbouncer_pools_server_active_connections{{{POOL}}})", "servers in use"),
                Query(f"sum(pooled:postgres_connections:count{{{RECORDED}}})", "connections of PostgreSQL"),
                Query(f"sum(pg_settings_max_connections{{{SERVER}}})", "limit, max_connections"),
            ],
            "More clients than the limit can only come through PgBouncer.",
        )
    )
    board.with_panel(
        chart(
            "Clients waiting for a server",
            [Query(f"sum(pgbouncer_pools_client_waiting_connections{{{POOL}}})", "waiting")],
            "With more clients than servers, most of them wait most of the time, and briefly.",
        )
    )
    board.with_panel(pooling.time_of_a_transaction())
    board.with_panel(
        chart(
            "Use of the pools",
            [
                Query(
                    parts.used_of_pool("stack, host, database, user"),
                    "{{database}}/{{user}}",
                )
            ],
            "Servers in use, of the pool's size; of the fullest process.",
            unit="percentunit",
            steps=Steps(warning=0.9),
        )
    )
    board.with_row(Row("What it took"))
    board.with_panel(
        chart(
            "Processor",
            [Query(hosts.cpu_busy(), "{{host}}")],
            "Share of all cores. A load generator without idle time measures itself.",
            unit="percentunit",
            highest=1,
        )
    )
    board.with_panel(
        chart(
            "Switches between processes",
            [Query(f"rate(node_context_switches_total{{{NODE}}}{RANGE})", "{{host}}")],
            "A second. A server process for each client costs more of them than a pool.",
            unit="ops",
        )
    )
    board.with_panel(
        chart(
            "New processes",
            [Query(f"rate(node_forks_total{{{NODE}}}{RANGE})", "{{host}}")],
            "A second. PostgreSQL starts one for each connection; reconnecting through a pool starts none.",
            unit="ops",
        )
    )
    board.with_panel(
        chart(
            "Connections in TIME_WAIT",
            [Query(f"node_sockstat_TCP_tw{{{NODE}}}", "{{host}}")],
            "Closed lately: many of them where clients reconnect.",
        )
    )
    return board


def _figures() -> list[Figure]:
    down, fullest, waiting, longest, _, transactions = pooling.figures()
    connections = figure(
        "Connections of limit",
        f"max({postgresql.connections_of_limit()})",
        "Of those that PostgreSQL has for ordinary users.",
        unit="percentunit",
        steps=Steps(0.8, 0.9),
    )
    return [down, fullest, waiting, longest, connections, transactions]
