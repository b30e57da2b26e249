# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""PgBouncer: do clients get server connections?"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from dashboards import parts
from dashboards.parts import (
    POOL,
    POOLER,
    RECORDED_POOL,
    TRAFFIC,
    Chart,
    Column,
    Figure,
    Query,
    Steps,
    chart,
    figure,
    rows,
)

PROCESS = "stack, host, process"
ONE = f"{PROCESS}, database, user"
_NAME = "{{database}}/{{user}} {{host}}#{{process}}"


def _clients(state: str) -> str:
    return f"pgbouncer_pools_client_{state}_connections{{{POOL}}}"


def _servers(state: str) -> str:
    return f"pgbouncer_pools_server_{state}_connections{{{POOL}}}"


def _rate(counter: str, by: str = "") -> str:
    return parts.rate(f"pgbouncer_stats_{counter}_total", TRAFFIC, by)


def _per(counter: str, counted: str) -> str:
    """Return the growth of one counter per growth of another; nothing while that one does not grow."""
    return f"{_rate(counter)}\n  / ({_rate(counted)} > 0)"


def longest_wait() -> str:
    return f"pooled:pgbouncer_client_wait:max_seconds{{{RECORDED_POOL}}}"


def clients_of_limit(by: str) -> str:
    used = f"max by ({by}) (pgbouncer_used_clients{{{POOLER}}})"
    return f"{used}\n  / max by ({by}) (pgbouncer_config_max_client_connections{{{POOLER}}})"


def figures() -> list[Figure]:
    """Return the first row, which the benchmark dashboard shares."""
    return [
        figure(
            "Poolers down",
            f"count(up{{{POOLER}}})\n  - (sum(pgbouncer_up{{{POOLER}}}) or vector(0))",
            "PgBouncer processes that do not answer, or whose exporter does not answer.",
            steps=Steps(critical=1),
        ),
        figure(
            "Fullest pool",
            f"max({parts.used_of_pool(ONE)})",
            "Server connections in use, as a share of the pool size. At 100 % the next client waits.",
            unit="percentunit",
            steps=Steps(warning=0.9),
        ),
        figure(
            "Clients waiting",
            f"sum({_clients('waiting')})",
            "Clients that sent a query and wait for a server. A few are fine if their wait is short.",
            steps=Steps(warning=1),
        ),
        figure(
            "Longest wait",
            f"max({longest_wait()})",
            "Time that the first client in the queue has been waiting for a server connection.",
            unit="s",
            steps=Steps(1, 5),
        ),
        figure(
            "Client limit used",
            f"max({clients_of_limit('instance')})",
            "Share of max_client_conn of the busiest process. At 100 % it refuses new clients.",
            unit="percentunit",
            steps=Steps(0.8, 0.95),
        ),
        figure(
            "Transactions per second",
            _rate("sql_transactions_pooled"),
            "Sum over all PgBouncer processes.",
            unit="ops",
        ),
    ]


def time_of_a_transaction() -> Chart:
    """Return the panel that separates waiting from working."""
    return chart(
        "Time per transaction",
        [
            Query(_per("client_wait_seconds", "sql_transactions_pooled"), "waiting for a server connection"),
            Query(_per("queries_duration_seconds", "sql_transactions_pooled"), "in queries"),
            Query(
                f"clamp_min({_per('server_in_transaction_seconds', 'sql_transactions_pooled')}\n"
                f"  - {_per('queries_duration_seconds', 'sql_transactions_pooled')}, 0)",
                "between queries",
            ),
        ],
        "Average. Long waits need larger pools or shorter transactions. "
        "Much time between queries means that the application holds server connections without using them.",
        unit="s",
        stacked=True,
    )


def build() -> Dashboard:
    """Return the dashboard."""
    board = parts.dashboard(
        "pooling",
        "pooling",
        "Do clients get server connections? PgBouncer's clients, servers and pools, by process.",
        database=parts.POOL_DATABASES,
        user=parts.POOL_USERS,
    )
    for panel in figures():
        board.with_panel(panel)

    board.with_row(Row("Connections"))
    board.with_panel(
        chart(
            "Clients by state",
            [
                Query(f"sum({_clients('active')})", "active"),
                Query(f"sum({_clients('waiting')})", "waiting"),
                Query(
                    f"sum({_clients('active_cancel')}\n  + {_clients('waiting_cancel')})",
                    "cancelling a query",
                ),
                Query(f"sum(pgbouncer_config_max_client_connections{{{POOLER}}})", "limit, max_client_conn"),
            ],
            "Active clients have a server connection or are idle. Waiting clients need a server connection.",
            stacked=True,
        )
    )
    board.with_panel(
        chart(
            "Servers by state",
            [
                Query(f"sum({_servers('active')})", "active"),
                Query(f"sum({_servers('idle')})", "idle"),
                Query(f"sum({_servers('used')}\n  + {_servers('testing')})", "to be checked"),
                Query(f"sum({_servers('login')})", "logging in"),
                Query(f"sum({parts.pool_size()})", "limit, size of the pools"),
            ],
            "Connections to PostgreSQL. Active ones serve a client. At the limit, more clients wait.",
            stacked=True,
        )
    )
    board.with_panel(
        chart(
            "Pool usage",
            [Query(parts.used_of_pool(ONE), _NAME)],
            "Server connections in use, as a share of the database's pool size. "
            "It exceeds 100 % with a reserve pool or a user's own larger pool.",
            unit="percentunit",
            steps=Steps(warning=0.9),
        )
    )
    board.with_panel(
        chart(
            "Clients waiting in each pool",
            [Query(f"sum by ({ONE}) ({_clients('waiting')})", _NAME)],
            "Clients without a server connection. The pool of one process can be full while others are not.",
        )
    )
    board.with_panel(
        chart(
            "Longest wait in each pool",
            [Query(f"max by ({ONE}) ({longest_wait()})", _NAME)],
            "Age of the oldest request without a server connection. query_wait_timeout ends it.",
            unit="s",
            steps=Steps(1, 5),
        )
    )
    board.with_panel(
        chart(
            "Clients by process",
            [
                Query(
                    f"max by ({PROCESS}) (pgbouncer_used_clients{{{POOLER}}})",
                    "{{host}}#{{process}}",
                ),
            ],
            "The kernel spreads clients over processes at random. Each process has its share of the limits.",
        )
    )

    board.with_row(Row("Work"))
    board.with_panel(
        chart(
            "Transactions and queries",
            [
                Query(_rate("sql_transactions_pooled"), "transactions"),
                Query(_rate("queries_pooled"), "queries"),
            ],
            "Sum over all PgBouncer processes, per second.",
            unit="ops",
        )
    )
    board.with_panel(time_of_a_transaction())
    board.with_panel(
        chart(
            "Transactions by process",
            [Query(_rate("sql_transactions_pooled", PROCESS), "{{host}}#{{process}}")],
            "A process uses at most one core.",
            unit="ops",
        )
    )
    board.with_panel(
        chart(
            "Transactions by database",
            [Query(_rate("sql_transactions_pooled", "stack, database"), "{{database}}")],
            "Database names of PgBouncer, which may differ from PostgreSQL's.",
            unit="ops",
        )
    )
    board.with_panel(
        chart(
            "Prepared statements",
            [
                Query(_rate("client_parses"), "prepared by clients"),
                Query(_rate("server_parses"), "prepared on servers"),
                Query(_rate("binds"), "executed"),
            ],
            "PgBouncer prepares a statement once on each server connection. "
            "If servers prepare many more than clients, raise max_prepared_statements.",
            unit="ops",
        )
    )
    board.with_panel(
        chart(
            "Network",
            [
                Query(_rate("received_bytes"), "from clients"),
                Query(_rate("sent_bytes"), "to clients"),
            ],
            "Traffic between PgBouncer and its clients and servers.",
            unit="Bps",
        )
    )
    board.with_row(Row("Now"))
    board.with_panel(
        rows(
            "Processes",
            {"host": "Host", "process": "Process"},
            [
                Column("Clients", f"max by ({PROCESS}) (pgbouncer_used_clients{{{POOLER}}})"),
                Column("Transactions", _rate("sql_transactions_pooled", PROCESS), "ops"),
                Column("PgBouncer answers", f"max by ({PROCESS}) (pgbouncer_up{{{POOLER}}})"),
                Column("Exporter answers", f"max by ({PROCESS}) (up{{{POOLER}}})"),
            ],
            "1 means yes, 0 means no. Figures are missing if the exporter does not answer.",
        )
    )
    board.with_panel(
        rows(
            "Pools",
            {"host": "Host", "process": "Process", "database": "Database", "user": "User"},
            [
                Column("Waiting", f"sum by ({ONE}) ({_clients('waiting')})"),
                Column("Longest wait", f"max by ({ONE}) ({longest_wait()})", "s"),
                Column("Clients", f"sum by ({ONE}) ({_clients('active')})"),
                Column("Servers in use", f"sum by ({ONE}) ({_servers('active')})"),
                Column("Servers idle", f"sum by ({ONE}) ({_servers('idle')})"),
                Column("Size", f"sum by ({ONE}) ({parts.pool_size()})"),
            ],
            "Each pool of each process, most waiting clients first.",
        )
    )
    return board
