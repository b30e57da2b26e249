# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's EC2 API: moto, corrected, with hosts that follow what it says. Listens on 127.0.0.1 only."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

# As the kernel keeps it, 15 characters at most: start-stop-daemon looks for it.
PROCESS_NAME = "pooled-emulator"


def main() -> None:
    """Read the command line and serve. Errors are one sentence."""
    Path("/proc/self/comm").write_text(PROCESS_NAME)
    parser = argparse.ArgumentParser(description="The lab's EC2 API, on 127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="TCP port")
    parser.add_argument(
        "--nat-seconds",
        type=float,
        default=0,
        metavar="S",
        help="how long a NAT gateway is pending after its creation (default: 0; on EC2 about 120)",
    )
    arguments = parser.parse_args()
    # Roles need AWS' own policies.
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
    try:
        # After the name is set: moto takes a second.
        from serving import serve  # noqa: PLC0415

        serve(arguments.port, arguments.nat_seconds)
    except (ImportError, RuntimeError, OSError) as exc:
        raise SystemExit(f"Failed to start the emulated EC2 API: {exc}") from exc


if __name__ == "__main__":
    main()
