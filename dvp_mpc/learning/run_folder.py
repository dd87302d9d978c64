"""The folder of a training run: what makes it resumable and readable.

run.json                 the task's digest and the settings; another run does not get in
validation/              ground truth, in chunks
iterationN/labels/       its data, in chunks
iterationN/training.csv  losses over its steps
iterationN/fitted.npz    its weights and its row of the table, written last
table.csv                the table so far
probe.csv                closed loops with the value of each iteration (`dvp-mpc train` adds it)
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dvp_mpc.errors import UsageError
from dvp_mpc.files import DAMAGED, whole_file, writable_folder, write_table
from dvp_mpc.learning.settings import DvpSettings


class Row(NamedTuple):
    """One iteration in the table of a run."""

    iteration: int
    labels: int
    rejected_share: float
    bellman_residual: float
    policy_gradient_error: float
    rel_error_median: float
    gradient_error_median: float
    seconds_labels: float
    seconds_fit: float


class RunFolder:
    """Raises UsageError when the folder is not writable or holds a run of another task or other settings."""

    def __init__(self, path: Path, digest: str, settings: DvpSettings):
        self.path = writable_folder(path)
        identity = json.dumps({"digest": digest, **asdict(settings), "jobs": None}, indent=1)
        marker = path / "run.json"
        if marker.exists() and marker.read_bytes() != identity.encode():
            raise UsageError(f"{path} holds a run of another task or other settings; choose a new folder or remove it")
        with whole_file(marker) as part:
            part.write_text(identity)

    def labels(self, iteration: int) -> Path:
        """Where the data of an iteration go."""
        return self.path / f"iteration{iteration}" / "labels"

    @property
    def validation(self) -> Path:
        """Where the ground truth goes."""
        return self.path / "validation"

    def fitted(self, iteration: int) -> tuple[dict[str, np.ndarray], Row] | None:
        """Weights and row of a finished iteration, or None."""
        path = self._fitted(iteration)
        if not path.exists():
            return None
        try:
            with np.load(path) as file:
                arrays = {name: file[name] for name in file.files}
            numbers = arrays.pop("row").tolist()
            return arrays, Row(int(numbers[0]), int(numbers[1]), *numbers[2:])
        except DAMAGED as error:
            raise UsageError(f"{path} is damaged ({error}); remove it to fit this iteration again") from error

    def keep(self, weights: dict[str, np.ndarray], row: Row, curve: Sequence[dict[str, float]]) -> None:
        """Store a finished iteration."""
        write_table(self._fitted(row.iteration).with_name("training.csv"), list(curve[0]), [r.values() for r in curve])
        with whole_file(self._fitted(row.iteration)) as part, part.open("wb") as file:
            np.savez(file, allow_pickle=False, **weights, row=np.array(row, dtype=float))

    def write_table(self, rows: Sequence[Row]) -> None:
        """Write the table so far."""
        write_table(self.path / "table.csv", Row._fields, rows)

    def _fitted(self, iteration: int) -> Path:
        return self.path / f"iteration{iteration}" / "fitted.npz"
