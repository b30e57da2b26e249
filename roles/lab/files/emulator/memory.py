# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keep the ids of the instances beside moto's recording: a replay must restore them.

A replay makes the same ids only with the same moto, corrections and settings. With others it makes other ids,
and the hosts would be removed, with their data, because no instance has theirs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path


def beside_recording() -> Path | None:
    """Return the file beside moto's recording; None where moto records nothing."""
    if not os.environ.get("MOTO_ENABLE_RECORDING"):
        return None
    return Path(os.environ.get("MOTO_RECORDER_FILEPATH", "moto_recording") + ".instances")


class Memory:
    """Save ids of instances, terminated ones included: moto keeps those, too."""

    def __init__(self, file: Path | None, instances: Callable[[], Iterable[str]]) -> None:
        self.file = file
        self.instances = instances

    def keep(self) -> None:
        """Save the ids of the instances."""
        if self.file:
            new = self.file.with_suffix(".new")
            new.write_text(json.dumps(sorted(self.instances())))
            new.replace(self.file)

    def lost(self) -> list[str]:
        """Return the saved ids that no instance has."""
        if not self.file or not self.file.exists():
            return []
        return sorted(set(json.loads(self.file.read_text())) - set(self.instances()))
