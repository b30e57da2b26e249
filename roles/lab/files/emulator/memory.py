# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which instances there were, kept beside moto's recording: what a replay must bring back.

A replay makes the same ids only with the same moto, corrections and settings. With others it makes an
account of strangers, and the hosts, with their data, would be removed as nobody's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path


def beside_recording() -> Path | None:
    """Return the file that goes with moto's recording; None where nothing is recorded."""
    if not os.environ.get("MOTO_ENABLE_RECORDING"):
        return None
    return Path(os.environ.get("MOTO_RECORDER_FILEPATH", "moto_recording") + ".instances")


class Memory:
    """Remembers ids of instances, terminated ones too: moto forgets none, so they only grow in number."""

    def __init__(self, file: Path | None, instances: Callable[[], Iterable[str]]) -> None:
        self.file = file
        self.instances = instances

    def keep(self) -> None:
        """Write down the instances that there are."""
        if self.file:
            new = self.file.with_suffix(".new")
            new.write_text(json.dumps(sorted(self.instances())))
            new.replace(self.file)

    def lost(self) -> list[str]:
        """Return the instances that were written down and are no more."""
        if not self.file or not self.file.exists():
            return []
        return sorted(set(json.loads(self.file.read_text())) - set(self.instances()))
