"""What the plant remembers of a run: one row for each step, written to a file at the end."""

from pathlib import Path
from typing import Any

import numpy as np
from dvp_mpc_sim.watchdog import Follow

from dvp_mpc.files import whole_file
from dvp_mpc.problem.arms import DOF

MODES = {mode: number for number, mode in enumerate(Follow)}
ROW = np.dtype(
    [
        ("t", float),  # [s] monotonic clock at the begin of the step
        ("stamp_ns", np.int64),  # [ns] of the joint state published then
        ("q", float, DOF),  # [rad]
        ("v", float, DOF),  # [rad/s]
        ("torque", float, DOF),  # [N m] applied from here to the next row
        ("command", float, DOF),  # [N m] last received, NaN before the first and for one that is not seven numbers
        ("command_count", np.int64),  # sent up to that one, those among them that a newer one replaced unseen
        ("command_stamp_ns", np.int64),  # [ns] when it was sent, by the sender's wall clock; 0 where nobody says
        ("mode", np.int8),  # of the watchdog, as MODES numbers them
        ("wrench", float, 6),  # [N, N m] sum of the external wrenches in the world, each about its link's origin
    ]
)
CHUNK = 100  # rows; more at once, from locked memory, would take a millisecond


class PlantRecord:
    """Rows as they come, `save` when there are no more."""

    def __init__(self) -> None:
        self._chunks: list[np.ndarray] = []
        self._rows = 0

    def add(self, *row: Any) -> None:
        """One row, its values in the order of ROW."""
        if self._rows % CHUNK == 0:
            self._chunks.append(np.zeros(CHUNK, ROW))
        self._chunks[-1][self._rows % CHUNK] = row
        self._rows += 1

    def save(self, path: Path) -> None:
        """Write one array for each field of ROW, whole or not at all."""
        rows = np.concatenate([np.zeros(0, ROW), *self._chunks])[: self._rows]
        columns: dict[str, Any] = {name: rows[name] for name in ROW.names or ()}
        with whole_file(path) as part, part.open("wb") as file:
            np.savez(file, **columns)
