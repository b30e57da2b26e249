# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""PgBouncer's console over its Unix socket."""

from __future__ import annotations

from typing import Any

from ansible_collections.pooled.postgres.plugins.module_utils._pgbouncer.errors import PgbouncerError

try:
    import psycopg2
except ImportError:
    psycopg2 = None


def show(command: str, socket_directory: str, port: int) -> list[dict[str, Any]]:
    """Run a SHOW command and return its rows, each a dictionary by column.

    The user is the console's own, ``pgbouncer``, whom PgBouncer lets in over the Unix socket without a
    password if the caller runs under the same account (https://www.pgbouncer.org/usage.html#admin-console).

    Raises PgbouncerError if the command is no SHOW command, psycopg2 is missing, PgBouncer does not answer,
    or it does not know the command.
    """
    if not command.upper().startswith("SHOW "):
        raise PgbouncerError(f"Failed to run {command!r}: only SHOW commands are run here")
    if psycopg2 is None:
        raise PgbouncerError(
            f"Failed to run {command!r}: psycopg2 is missing; install python3-psycopg2 on the host"
        )
    try:
        connection = psycopg2.connect(host=socket_directory, port=port, user="pgbouncer", dbname="pgbouncer")
    except psycopg2.Error as exc:
        raise PgbouncerError(
            f"Failed to reach PgBouncer's console at {socket_directory} port {port}: {str(exc).strip()}. "
            "Look whether it runs: systemctl status pgbouncer"
        ) from exc
    try:
        # The console knows no transactions.
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(command)
            columns = [column.name for column in cursor.description]
            return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    except psycopg2.Error as exc:
        raise PgbouncerError(f"Failed to run {command!r}: {str(exc).strip()}") from exc
    finally:
        connection.close()
