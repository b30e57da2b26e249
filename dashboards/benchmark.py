# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Benchmark: the effect of pooling while pgbench runs."""

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

# PgBouncer passes pgbench's application_name on to PostgreSQL, and an idle server connection keeps it.
_RUNS = (
    f'sum by (stack, host) (pg_stat_activity_count{{{SERVER},application_name="pgbench",state!="idle"}}) > 0'
)


def build() -> Dashboard:
    """Return the dashboard."""
    board = parts.dashboard(
        "benchmark",
        "benchmark",
        "The effect of pooling while pgbench runs. Annotations mark the runs, direct and pooled.",
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
    board.with_row(Row("Result"))
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
            "The difference came to PostgreSQL directly.",
            unit="ops",
            width=24,
        )
    )
    board.with_panel(
        chart(
            "Clients and server connections",
            [
                Query(f"sum(pgbouncer_used_clients{{{POOLER}}})", "clients of PgBouncer"),
                Query(
                    f"sum(pgbouncer_pools_server_active_connections{{{POOL}}})", "server connections in use"
                ),
                Query(f"sum(pooled:postgres_connections:count{{{RECORDED}}})", "connections of PostgreSQL"),
                Query(f"sum(pg_settings_max_connections{{{SERVER}}})", "limit, max_connections"),
            ],
            "Only PgBouncer accepts more clients than the limit.",
        )
    )
    board.with_panel(
        chart(
            "Clients waiting for a server connection",
            [Query(f"sum(pgbouncer_pools_client_waiting_connections{{{POOL}}})", "waiting")],
            "With more clients than server connections, many wait often, but briefly.",
        )
    )
    board.with_panel(pooling.time_of_a_transaction())
    board.with_panel(
        chart(
            "Pool usage",
            [
                Query(
                    parts.used_of_pool("stack, host, database, user"),
                    "{{database}}/{{user}}",
                )
            ],
            "Server connections in use, as a share of the pool size, in the fullest process.",
            unit="percentunit",
            steps=Steps(warning=0.9),
        )
    )
    board.with_row(Row("Cost"))
    board.with_panel(
        chart(
            "CPU",
            [Query(hosts.cpu_busy(), "{{host}}")],
            "Busy share of all cores. A load generator without idle CPU measures itself.",
            unit="percentunit",
            highest=1,
        )
    )
    board.with_panel(
        chart(
            "Context switches",
            [Query(f"rate(node_context_switches_total{{{NODE}}}{RANGE})", "{{host}}")],
            "Per second. One server process per client needs more of them than a pool.",
            unit="ops",
        )
    )
    board.with_panel(
        chart(
            "New processes",
            [Query(f"rate(node_forks_total{{{NODE}}}{RANGE})", "{{host}}")],
            "Per second. PostgreSQL starts one for each connection; a reconnect through a pool starts none.",
            unit="ops",
        )
    )
    board.with_panel(
        chart(
            "Connections in TIME_WAIT",
            [Query(f"node_sockstat_TCP_tw{{{NODE}}}", "{{host}}")],
            "Recently closed connections. Clients that reconnect leave many.",
        )
    )
    return board


def _figures() -> list[Figure]:
    down, fullest, waiting, longest, _, transactions = pooling.figures()
    connections = figure(
        "Connection limit used",
        f"max({postgresql.connections_of_limit()})",
        "Connections in use, as a share of those for ordinary users.",
        unit="percentunit",
        steps=Steps(0.8, 0.9),
    )
    return [down, fullest, waiting, longest, connections, transactions]
