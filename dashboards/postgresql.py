# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""PostgreSQL: are connections free, does work progress, and what blocks it?"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from dashboards import parts
from dashboards.parts import (
    DATABASE,
    RANGE,
    RECORDED,
    RECORDED_DATABASE,
    SERVER,
    SESSION,
    STATEMENT,
    Column,
    Query,
    Steps,
    chart,
    figure,
    rows,
)

# All databases of a server share max_connections, so the selected database does not matter.
# Only clients count, as in the alert: PostgreSQL's own processes have other slots.
_SESSIONS = f"sum by (stack, host) (pooled:postgres_connections:count{{{RECORDED}}})"
_CLIENT = 'backend_type="client backend"'
_MAX = f"max by (stack, host) (pg_settings_max_connections{{{SERVER}}})"


def connections_of_limit() -> str:
    """Return the share of the unreserved connections that is in use, by server."""
    return f"pooled:postgres_connections:ratio{{{RECORDED}}}"


def longest_transaction() -> str:
    return f"max by (stack, host, state) (pg_stat_activity_max_tx_duration{{{DATABASE},{_CLIENT}}})"


def _blocked(by: str) -> str:
    return f'sum by ({by}) (pg_stat_activity_count{{{SESSION},wait_event_type="Lock"}})'


def _lag() -> str:
    return f"max by (stack, host) (pg_replication_lag_seconds{{{SERVER}}})"


def _rate(counter: str) -> str:
    return parts.rate(f"pg_stat_database_{counter}", DATABASE)


def _hits() -> str:
    hits, reads = _rate("blks_hit"), _rate("blks_read")
    return f"{hits}\n  / ({hits} + {reads} > 0)"


def _checkpointer(counter: str) -> str:
    return parts.rate(f"pg_stat_checkpointer_{counter}_total", SERVER)


def _statement(counter: str, by: str) -> str:
    return parts.rate(f"pg_stat_statements_{counter}_total", STATEMENT, by)


def build() -> Dashboard:
    """Return the dashboard."""
    board = parts.dashboard(
        "postgresql",
        "PostgreSQL",
        "Are connections free, does work progress, and what blocks it?",
        database=parts.SERVER_DATABASES,
        user=parts.SERVER_USERS,
    )
    _first(board)
    _sessions(board)
    _work(board)
    _locks(board)
    _storage(board)
    _statements(board)
    _servers(board)
    return board


def _first(board: Dashboard) -> None:
    board.with_panel(
        figure(
            "Servers down",
            f"count(up{{{SERVER}}})\n  - (sum(pg_up{{{SERVER}}}) or vector(0))",
            "PostgreSQL servers that do not answer, or whose exporter does not answer.",
            steps=Steps(critical=1),
        )
    )
    board.with_panel(
        figure(
            "Connection limit used",
            f"max({connections_of_limit()})",
            "Share of max_connections without the reserved ones. "
            "At 100 % PostgreSQL accepts only roles with reserved connections.",
            unit="percentunit",
            steps=Steps(0.8, 0.9),
        )
    )
    board.with_panel(
        figure(
            "Longest transaction",
            f"max(pooled:postgres_transaction_age:max_seconds{{{RECORDED_DATABASE}}})",
            "It holds its locks and a server connection, and keeps VACUUM from removing dead rows.",
            unit="s",
            steps=Steps(300, 1800),
        )
    )
    board.with_panel(
        figure(
            "Blocked sessions",
            f"sum({_blocked('stack, host')}) or vector(0)",
            "Sessions that wait for a lock of another transaction. A few, briefly, are normal.",
            steps=Steps(5, 20),
        )
    )
    board.with_panel(
        figure(
            "Replication lag",
            f"max({_lag()})",
            "Lag of the slowest standby, 0 without a standby.",
            unit="s",
            steps=Steps(10, 60),
        )
    )
    board.with_panel(
        figure("Commits per second", _rate("xact_commit"), "Sum over the selected databases.", unit="ops")
    )


def _sessions(board: Dashboard) -> None:
    board.with_row(Row("Connections"))
    board.with_panel(
        chart(
            "Connections by state",
            [
                Query(
                    f'sum by (state) (pg_stat_activity_count{{{SESSION},{_CLIENT},state!="disabled"}} > 0)',
                    "{{state}}",
                ),
                Query(f"sum({_MAX})", "limit, max_connections"),
            ],
            "A client that is idle in transaction holds a transaction open and does nothing. "
            "The limit applies to the whole server.",
            stacked=True,
        )
    )
    board.with_panel(
        chart(
            "Connections by user",
            [
                Query(
                    f'sum by (datname, usename) (pg_stat_activity_count{{{SESSION},usename!=""}} > 0)',
                    "{{datname}}/{{usename}}",
                )
            ],
            "Behind a pooler, a few users have a few long-lived connections each.",
            stacked=True,
        )
    )
    board.with_panel(
        chart(
            "Longest transaction by state",
            [Query(f"{longest_transaction()} > 0", "{{state}} {{host}}")],
            "If the oldest one is idle in transaction, the application did not end it.",
            unit="s",
        )
    )
    board.with_panel(
        chart(
            "Wait events",
            [
                Query(
                    f'sum by (wait_event_type) (pg_stat_activity_count{{{SESSION},wait_event_type!="",'
                    'wait_event_type!="Activity"} > 0)',
                    "{{wait_event_type}}",
                )
            ],
            "Client waits for the next query, Lock for another transaction. LWLock and IO are internal.",
            stacked=True,
        )
    )


def _work(board: Dashboard) -> None:
    board.with_row(Row("Work"))
    board.with_panel(
        chart(
            "Transactions",
            [Query(_rate("xact_commit"), "committed"), Query(_rate("xact_rollback"), "rolled back")],
            "Transactions per second.",
            unit="ops",
        )
    )
    board.with_panel(
        chart(
            "Rows",
            [
                Query(_rate("tup_fetched"), "fetched"),
                Query(_rate("tup_inserted"), "inserted"),
                Query(_rate("tup_updated"), "updated"),
                Query(_rate("tup_deleted"), "deleted"),
            ],
            "Rows per second.",
            unit="ops",
        )
    )
    board.with_panel(
        chart(
            "Cache hit ratio",
            [Query(_hits(), "hits")],
            "Share of blocks found in shared_buffers. The rest came from the page cache or the disk.",
            unit="percentunit",
            highest=1,
        )
    )
    board.with_panel(
        chart(
            "Temporary files",
            [Query(_rate("temp_bytes"), "written")],
            "Sorts and hashes that exceeded work_mem.",
            unit="Bps",
        )
    )


def _locks(board: Dashboard) -> None:
    board.with_row(Row("Locks"))
    board.with_panel(
        chart(
            "Locks by mode",
            [Query(f"sum by (mode) (pg_locks_count{{{DATABASE}}} > 0)", "{{mode}}")],
            "accessexclusivelock blocks all other access to a table.",
            stacked=True,
        )
    )
    board.with_panel(
        chart(
            "Sessions blocked by a lock",
            [
                Query(
                    f"{_blocked('stack, host')}\n"
                    f"  or 0 * sum by (stack, host) (pg_stat_activity_count{{{SESSION}}})",
                    "{{host}}",
                )
            ],
            "Sessions that wait for a lock of another transaction.",
        )
    )
    board.with_panel(
        chart(
            "Deadlocks and conflicts",
            [
                Query(f"sum(increase(pg_stat_database_deadlocks{{{DATABASE}}}{RANGE}))", "deadlocks"),
                Query(
                    f"sum(increase(pg_stat_database_conflicts{{{DATABASE}}}{RANGE}))",
                    "queries canceled on a standby",
                ),
            ],
            "In a deadlock, PostgreSQL ends one of the transactions.",
        )
    )
    board.with_panel(
        chart(
            "Age of the oldest transaction id",
            [
                Query(
                    "max by (stack, host, datname) (\n"
                    f"  pg_database_wraparound_age_datfrozenxid_seconds{{{DATABASE}}})",
                    "{{datname}} {{host}}",
                )
            ],
            "In transactions, although the metric's name says seconds. "
            "Autovacuum freezes from 200 million on; near 2.1 billion PostgreSQL refuses writes.",
            steps=Steps(500e6, 1500e6),
        )
    )


def _storage(board: Dashboard) -> None:
    board.with_row(Row("WAL, checkpoints, replication"))
    board.with_panel(
        chart(
            "Checkpoints",
            [
                Query(f"60 * {_checkpointer('num_timed')}", "by time"),
                Query(f"60 * {_checkpointer('num_requested')}", "requested"),
            ],
            "Per minute, on PostgreSQL 17 or newer. Many requested ones mean that max_wal_size is too small.",
        )
    )
    board.with_panel(
        chart(
            "Time in checkpoints",
            [
                Query(f"{_checkpointer('write_time')} / 1000", "writing"),
                Query(f"{_checkpointer('sync_time')} / 1000", "syncing"),
            ],
            "Share of time. Writes are spread out on purpose; syncs delay other work.",
            unit="percentunit",
        )
    )
    board.with_panel(
        chart(
            "Buffers written",
            [
                Query(_checkpointer("buffers_written"), "by the checkpointer"),
                Query(
                    parts.rate("pg_stat_bgwriter_buffers_clean_total", SERVER),
                    "by the background writer",
                ),
                Query(parts.rate("pg_stat_bgwriter_buffers_alloc_total", SERVER), "allocated"),
            ],
            "Blocks of 8 KiB per second.",
            unit="ops",
        )
    )
    board.with_panel(
        chart(
            "WAL size",
            [Query(f"max by (stack, host) (pg_wal_size_bytes{{{SERVER}}})", "{{host}}")],
            "Size of pg_wal. It keeps growing if archiving fails or a slot has no reader.",
            unit="bytes",
        )
    )
    board.with_panel(
        chart(
            "Replication lag by host",
            [Query(_lag(), "{{host}}")],
            "Seconds since a standby last replayed a change; 0 on a primary.",
            unit="s",
            steps=Steps(10, 60),
        )
    )
    board.with_panel(
        chart(
            "WAL not yet replayed",
            [
                Query(
                    "max by (stack, host, application_name) (\n"
                    f"  pg_stat_replication_pg_wal_lsn_diff{{{SERVER}}})",
                    "{{application_name}} of {{host}}",
                )
            ],
            "Distance between the primary's WAL and a standby's replay. Without a standby it is empty.",
            unit="bytes",
        )
    )
    board.with_panel(
        chart(
            "Inactive replication slots",
            [
                Query(
                    f"1 - pg_replication_slot_slot_is_active{{{SERVER}}}",
                    "{{slot_name}} of {{host}}",
                )
            ],
            "1 means that PostgreSQL keeps WAL for a slot without a reader. Without a slot it is empty.",
        )
    )
    board.with_panel(
        chart(
            "Size of databases",
            [
                Query(
                    "max by (stack, host, datname) (\n"
                    f'  pg_database_size_bytes{{{DATABASE},datname!~"template."}})',
                    "{{datname}} {{host}}",
                )
            ],
            "Size on disk.",
            unit="bytes",
        )
    )


def _servers(board: Dashboard) -> None:
    by = "stack, host"
    board.with_row(Row("Now"))
    board.with_panel(
        rows(
            "Servers",
            {"host": "Host"},
            [
                Column("Connections", _SESSIONS),
                Column("max_connections", _MAX),
                Column("Standby", f"max by ({by}) (pg_replication_is_replica{{{SERVER}}})"),
                Column("PostgreSQL answers", f"max by ({by}) (pg_up{{{SERVER}}})"),
                Column("Exporter answers", f"max by ({by}) (up{{{SERVER}}})"),
            ],
            "1 means yes, 0 means no. Figures are missing if the exporter does not answer.",
        )
    )


def _statements(board: Dashboard) -> None:
    board.with_row(Row("Statements"))
    by = "stack, host, datname, user, queryid"
    top = f"topk(10, {_statement('seconds', by)})"
    calls = _statement("calls", by)
    board.with_panel(
        chart(
            "Busiest statements",
            [
                Query(
                    f"topk(5, {_statement('seconds', 'datname, user, queryid')})",
                    "{{datname}}/{{user}} {{queryid}}",
                )
            ],
            "Execution time per second. For the text, in the database postgres: "
            "select query from pg_stat_statements where queryid = ….",
            unit="percentunit",
            width=24,
        )
    )
    board.with_panel(
        rows(
            "Busiest statements now",
            {"host": "Host", "datname": "Database", "user": "User", "queryid": "Statement"},
            [
                Column("Share of time", top, "percentunit"),
                Column("Calls", f"{calls}\n  and {top}", "ops"),
                Column("Average time", f"{top}\n  / ({calls} > 0)", "s"),
                Column("Rows", f"{_statement('rows', by)}\n  and {top}", "ops"),
            ],
            "From pg_stat_statements. Calls and rows are per second.",
        )
    )
