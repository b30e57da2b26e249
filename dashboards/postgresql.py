# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""PostgreSQL: has it connections left, does it get on, and what holds it up?"""

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

# Of the whole server, whatever database is chosen: they come out of the same max_connections.
# Clients alone, as for the alert: what PostgreSQL does itself has slots of its own.
_SESSIONS = f"sum by (stack, host) (pooled:postgres_connections:count{{{RECORDED}}})"
_CLIENT = 'backend_type="client backend"'
_MAX = f"max by (stack, host) (pg_settings_max_connections{{{SERVER}}})"


def connections_of_limit() -> str:
    """Return the share that is in use of the connections that are kept for nobody, by server."""
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
        "Has PostgreSQL connections left, does it get on, and what holds it up?",
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
            "PostgreSQL servers that don't answer, or whose exporter doesn't.",
            steps=Steps(critical=1),
        )
    )
    board.with_panel(
        figure(
            "Connections of limit",
            f"max({connections_of_limit()})",
            "Of max_connections without those that are reserved. "
            "At 100 % PostgreSQL refuses whom it has reserved none for.",
            unit="percentunit",
            steps=Steps(0.8, 0.9),
        )
    )
    board.with_panel(
        figure(
            "Longest transaction",
            f"max(pooled:postgres_transaction_age:max_seconds{{{RECORDED_DATABASE}}})",
            "It holds its locks, keeps VACUUM from cleaning up, and in a pool it keeps a server.",
            unit="s",
            steps=Steps(300, 1800),
        )
    )
    board.with_panel(
        figure(
            "Blocked by a lock",
            f"sum({_blocked('stack, host')}) or vector(0)",
            "Sessions that wait for another one to end its transaction. A few, for moments, are usual.",
            steps=Steps(5, 20),
        )
    )
    board.with_panel(
        figure(
            "Replication lag",
            f"max({_lag()})",
            "How far the standby that is furthest behind is behind. Without a standby it is 0.",
            unit="s",
            steps=Steps(10, 60),
        )
    )
    board.with_panel(
        figure("Commits per second", _rate("xact_commit"), "Of the databases that are chosen.", unit="ops")
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
            "idle in transaction: the client holds a transaction open and does nothing. "
            "The limit is the server's, whatever is chosen.",
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
            "Behind a pooler few users have a few connections each, and keep them.",
            stacked=True,
        )
    )
    board.with_panel(
        chart(
            "Longest transaction by state",
            [Query(f"{longest_transaction()} > 0", "{{state}} {{host}}")],
            "Where the oldest one is idle in transaction, the application forgot it.",
            unit="s",
        )
    )
    board.with_panel(
        chart(
            "What sessions wait for",
            [
                Query(
                    f'sum by (wait_event_type) (pg_stat_activity_count{{{SESSION},wait_event_type!="",'
                    'wait_event_type!="Activity"} > 0)',
                    "{{wait_event_type}}",
                )
            ],
            "Client: for the next query. Lock: for another transaction. LWLock and IO: inside of the server.",
            stacked=True,
        )
    )


def _work(board: Dashboard) -> None:
    board.with_row(Row("Work"))
    board.with_panel(
        chart(
            "Transactions",
            [Query(_rate("xact_commit"), "committed"), Query(_rate("xact_rollback"), "rolled back")],
            "A second.",
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
            "A second.",
            unit="ops",
        )
    )
    board.with_panel(
        chart(
            "Found in the cache",
            [Query(_hits(), "hits")],
            "Share of the blocks that were in shared_buffers. The rest came from the system's cache or disk.",
            unit="percentunit",
            highest=1,
        )
    )
    board.with_panel(
        chart(
            "Temporary files",
            [Query(_rate("temp_bytes"), "written")],
            "Sorts and hashes that did not fit into work_mem.",
            unit="Bps",
        )
    )


def _locks(board: Dashboard) -> None:
    board.with_row(Row("Locks"))
    board.with_panel(
        chart(
            "Locks by mode",
            [Query(f"sum by (mode) (pg_locks_count{{{DATABASE}}} > 0)", "{{mode}}")],
            "accessexclusivelock keeps everybody else out of a table.",
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
            "They wait for another session to end its transaction.",
        )
    )
    board.with_panel(
        chart(
            "Deadlocks and conflicts",
            [
                Query(f"sum(increase(pg_stat_database_deadlocks{{{DATABASE}}}{RANGE}))", "deadlocks"),
                Query(
                    f"sum(increase(pg_stat_database_conflicts{{{DATABASE}}}{RANGE}))",
                    "queries cancelled on a standby",
                ),
            ],
            "PostgreSQL ends one of the transactions that wait for each other.",
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
            "In transactions, though the metric's name says seconds. "
            "Autovacuum freezes from 200 million on; near 2.1 billion PostgreSQL takes no more writes.",
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
            "A minute, on PostgreSQL 17 or newer. Many requested ones: max_wal_size is too small.",
        )
    )
    board.with_panel(
        chart(
            "Time in checkpoints",
            [
                Query(f"{_checkpointer('write_time')} / 1000", "writing"),
                Query(f"{_checkpointer('sync_time')} / 1000", "syncing"),
            ],
            "Share of the time. Writing is spread out on purpose; syncing holds others up.",
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
                Query(parts.rate("pg_stat_bgwriter_buffers_alloc_total", SERVER), "newly filled"),
            ],
            "Blocks of 8 KiB a second.",
            unit="ops",
        )
    )
    board.with_panel(
        chart(
            "WAL kept",
            [Query(f"max by (stack, host) (pg_wal_size_bytes{{{SERVER}}})", "{{host}}")],
            "Size of pg_wal. It grows without end where archiving fails or a slot is not read.",
            unit="bytes",
        )
    )
    board.with_panel(
        chart(
            "Replication lag by host",
            [Query(_lag(), "{{host}}")],
            "Seconds since a standby replayed something; 0 on a primary.",
            unit="s",
            steps=Steps(10, 60),
        )
    )
    board.with_panel(
        chart(
            "WAL that standbys have not got",
            [
                Query(
                    "max by (stack, host, application_name) (\n"
                    f"  pg_stat_replication_pg_wal_lsn_diff{{{SERVER}}})",
                    "{{application_name}} of {{host}}",
                )
            ],
            "Between what the primary wrote and a standby has replayed. No line: there is no standby.",
            unit="bytes",
        )
    )
    board.with_panel(
        chart(
            "Replication slots not in use",
            [
                Query(
                    f"1 - pg_replication_slot_slot_is_active{{{SERVER}}}",
                    "{{slot_name}} of {{host}}",
                )
            ],
            "1: nobody reads the slot, and PostgreSQL keeps all WAL for it. No line: there is no slot.",
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
            "On disk.",
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
            "1 is yes, 0 is no. What an exporter that does not answer knows is missing.",
        )
    )


def _statements(board: Dashboard) -> None:
    board.with_row(Row("Statements"))
    by = "stack, host, datname, user, queryid"
    top = f"topk(10, {_statement('seconds', by)})"
    calls = _statement("calls", by)
    board.with_panel(
        chart(
            "Time of the busiest statements",
            [
                Query(
                    f"topk(5, {_statement('seconds', 'datname, user, queryid')})",
                    "{{datname}}/{{user}} {{queryid}}",
                )
            ],
            "Seconds of execution a second. "
            "select query from pg_stat_statements where queryid = …, in the database postgres, has the text.",
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
                Column("On average", f"{top}\n  / ({calls} > 0)", "s"),
                Column("Rows", f"{_statement('rows', by)}\n  and {top}", "ops"),
            ],
            "Of pg_stat_statements. Calls and rows are a second's.",
        )
    )
