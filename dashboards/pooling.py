# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""PgBouncer: do clients get their servers?"""

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
    """Return one counter's growth for each time another one grew; nothing while that one stands still."""
    return f"{_rate(counter)}\n  / ({_rate(counted)} > 0)"


def longest_wait() -> str:
    return f"pooled:pgbouncer_client_wait:max_seconds{{{RECORDED_POOL}}}"


def clients_of_limit(by: str) -> str:
    used = f"max by ({by}) (pgbouncer_used_clients{{{POOLER}}})"
    return f"{used}\n  / max by ({by}) (pgbouncer_config_max_client_connections{{{POOLER}}})"


def figures() -> list[Figure]:
    """Return what is looked at first; the dashboard of benchmarks has some of it, too."""
    return [
        figure(
            "Poolers down",
            f"count(up{{{POOLER}}})\n  - (sum(pgbouncer_up{{{POOLER}}}) or vector(0))",
            "Processes of PgBouncer that don't answer, or whose exporter doesn't.",
            steps=Steps(critical=1),
        ),
        figure(
            "Fullest pool",
            f"max({parts.used_of_pool(ONE)})",
            "Server connections in use, of the pool's size. At 100 % the next client waits; see how long.",
            unit="percentunit",
            steps=Steps(warning=0.9),
        ),
        figure(
            "Clients waiting",
            f"sum({_clients('waiting')})",
            "Clients that sent a query and have no server yet. Some are no trouble: see how long they wait.",
            steps=Steps(warning=1),
        ),
        figure(
            "Longest wait",
            f"max({longest_wait()})",
            "How long the client that comes next has been waiting for a server.",
            unit="s",
            steps=Steps(1, 5),
        ),
        figure(
            "Clients of limit",
            f"max({clients_of_limit('instance')})",
            "Clients of the process that has most, of max_client_conn. At 100 % further ones are refused.",
            unit="percentunit",
            steps=Steps(0.8, 0.95),
        ),
        figure(
            "Transactions per second",
            _rate("sql_transactions_pooled"),
            "Of all poolers.",
            unit="ops",
        ),
    ]


def time_of_a_transaction() -> Chart:
    """Return the panel that tells waiting from working."""
    return chart(
        "Time of a transaction",
        [
            Query(_per("client_wait_seconds", "sql_transactions_pooled"), "waiting for a server"),
            Query(_per("queries_duration_seconds", "sql_transactions_pooled"), "in queries"),
            Query(
                f"clamp_min({_per('server_in_transaction_seconds', 'sql_transactions_pooled')}\n"
                f"  - {_per('queries_duration_seconds', 'sql_transactions_pooled')}, 0)",
                "between queries",
            ),
        ],
        "On average. Much waiting: larger pools, or shorter transactions. "
        "Much between queries: the application holds servers that it does not use.",
        unit="s",
        stacked=True,
    )


def build() -> Dashboard:
    """Return the dashboard."""
    board = parts.dashboard(
        "pooling",
        "pooling",
        "Do clients get their servers? PgBouncer's clients, servers and pools, process by process.",
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
            "Active clients have a server, or ask for nothing. Waiting ones want a server and have none yet.",
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
            "Connections to PostgreSQL. Active ones are a client's. At the limit further clients wait.",
            stacked=True,
        )
    )
    board.with_panel(
        chart(
            "Use of each pool",
            [Query(parts.used_of_pool(ONE), _NAME)],
            "Server connections in use, of the size of the database's pools. "
            "More than 100 %: a reserve, or a user with a larger pool.",
            unit="percentunit",
            steps=Steps(warning=0.9),
        )
    )
    board.with_panel(
        chart(
            "Clients waiting in each pool",
            [Query(f"sum by ({ONE}) ({_clients('waiting')})", _NAME)],
            "Clients without a server. A pool of one process may be full while the others have room.",
        )
    )
    board.with_panel(
        chart(
            "Longest wait in each pool",
            [Query(f"max by ({ONE}) ({longest_wait()})", _NAME)],
            "Age of the oldest request that has no server. query_wait_timeout ends it.",
            unit="s",
            steps=Steps(1, 5),
        )
    )
    board.with_panel(
        chart(
            "Clients of each process",
            [
                Query(
                    f"max by ({PROCESS}) (pgbouncer_used_clients{{{POOLER}}})",
                    "{{host}}#{{process}}",
                ),
            ],
            "The kernel spreads clients over processes by chance; each process has its part of the limits.",
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
            "Through all poolers, a second.",
            unit="ops",
        )
    )
    board.with_panel(time_of_a_transaction())
    board.with_panel(
        chart(
            "Transactions of each process",
            [Query(_rate("sql_transactions_pooled", PROCESS), "{{host}}#{{process}}")],
            "A process uses one core at most.",
            unit="ops",
        )
    )
    board.with_panel(
        chart(
            "Transactions of each database",
            [Query(_rate("sql_transactions_pooled", "stack, database"), "{{database}}")],
            "As PgBouncer's clients name them.",
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
            "PgBouncer prepares a statement once on each server that it is executed on. "
            "Many on servers for few by clients: raise max_prepared_statements.",
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
            "Of PgBouncer.",
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
            "1 answers, 0 does not. What an exporter that does not answer knows is missing.",
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
            "Each pool of each process, those with most waiting clients first.",
        )
    )
    return board
