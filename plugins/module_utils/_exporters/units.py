# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values of the template of an exporter's unit. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._exporters import model
from ansible_collections.pooled.postgres.plugins.module_utils._exporters.places import (
    ACCOUNT,
    HIDDEN,
    PASSFILE,
    TEXTFILES,
    WEB,
)

# Only units of this collection count.
_UNIT_PATTERN = r"(postgresql@|pgbouncer@|.+_exporter|prometheus|alertmanager|grafana-server).*[.]service"
_TITLES = {"postgres": "PostgreSQL", "pgbouncer": "PgBouncer, process {process}", "node": "this host"}
_AFTER = {"postgres": "postgresql.service", "pgbouncer": "pgbouncer@{process}.service", "node": ""}


def values(
    exporter: Mapping[str, Any], inputs: Mapping[str, Any], server_version: int, program: str
) -> dict[str, Any]:
    """Return the values of the template.

    Args:
        exporter: one service of ``model.services``.
        inputs: inputs of the role by name, typed.
        server_version: major version of PostgreSQL on the host, or 0.
        program: path of the exporter's program.
    """
    kind = exporter["kind"]
    return {
        "kind": kind,
        "name": exporter["name"],
        "title": _TITLES[kind].format(**exporter),
        "after": _AFTER[kind].format(**exporter),
        "account": ACCOUNT,
        "environment": _environment(exporter, inputs),
        "tls": inputs["exporters_tls"],
        "command": model.command_line(program, _arguments(exporter, inputs, server_version)),
        "hidden": HIDDEN,
    }


def _environment(exporter: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[str]:
    if exporter["kind"] == "postgres":
        options = {
            "host": inputs["exporters_postgres_socket"],
            "port": inputs["exporters_postgres_server_port"],
            "user": inputs["exporters_postgres_user"],
            "dbname": inputs["exporters_postgres_database"],
            "sslmode": "disable",
        }
        return [model.environment("DATA_SOURCE_NAME", model.connection(options))]
    if exporter["kind"] == "pgbouncer":
        options = {
            "host": f"/run/pgbouncer/{exporter['process']}",
            "port": inputs["exporters_pgbouncer_server_port"],
            "user": inputs["exporters_pgbouncer_user"],
            "dbname": "pgbouncer",
            "sslmode": "disable",
        }
        return [
            model.environment("PGBOUNCER_EXPORTER_CONNECTION_STRING", model.connection(options)),
            model.environment("PGPASSFILE", PASSFILE),
        ]
    return []


def _arguments(exporter: Mapping[str, Any], inputs: Mapping[str, Any], server_version: int) -> list[str]:
    own = {
        "postgres": _collectors(inputs, server_version),
        # With a PID file it would look for that at each scrape.
        "pgbouncer": ["--pgBouncer.pid-file="],
        # Debian's build has this directory as its default, the release does not.
        "node": [
            f"--collector.textfile.directory={TEXTFILES}",
            "--collector.systemd",
            f"--collector.systemd.unit-include={_UNIT_PATTERN}",
        ],
    }
    kind = exporter["kind"]
    web = inputs["exporters_tls"] or inputs["exporters_basic_auth"]
    return [
        *model.listen_flags(inputs["exporters_listen"], exporter["port"]),
        *([f"--web.config.file={WEB}"] if web else []),
        *own[kind],
        *(inputs["exporters_arguments"].get(kind) or []),
    ]


def _collectors(inputs: Mapping[str, Any], server_version: int) -> list[str]:
    # PostgreSQL 17 has checkpoints in a view of their own. With this collector an older server logs an error
    # at each scrape.
    newer = ["stat_checkpointer"] if server_version >= 17 else []
    collectors = dict.fromkeys([*inputs["exporters_postgres_collectors"], *newer])
    return [f"--collector.{name}" for name in collectors]
