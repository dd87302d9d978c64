"""`dvp-mpc train`: from nothing to a frozen value."""

import datetime
import importlib.metadata
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.progress import Progress, TaskID

from dvp_mpc.cli.interrupt import Interrupt
from dvp_mpc.cli.output import Output
from dvp_mpc.errors import BadSetting, UsageError
from dvp_mpc.files import writable_folder
from dvp_mpc.models import golden_of
from dvp_mpc.presets import PRESETS, Preset
from dvp_mpc.studies.probe import NODES, Probe
from dvp_mpc.value import ValueFunction
from dvp_mpc.value_file import save_value
from dvp_mpc.workers import Workers, unordered

PACKAGES = ("dvp-mpc", "crocoddyl", "pin", "example-robot-data", "numpy", "scipy", "torch", "pytorch-optimizer")


class Backend(str, Enum):
    """Who solves the problems; the labels are the same."""

    LOCAL = "local"
    RAY = "ray"


@dataclass(frozen=True)
class Train:
    """Make a value by Differential Value Programming and freeze it into one file.

    A run that was stopped goes on where it was when the same command is given again. Every number of the preset is a flag.
    """

    preset: str = "panda_reach"
    """Preset whose numbers are the defaults of the flags below."""
    settings: Annotated[Preset, tyro.conf.arg(name="")] = field(default_factory=lambda: PRESETS["panda_reach"])
    out: Path | None = None
    """Folder of the run, with its data, curves and table; unset: runs/train/PRESET."""
    model: Path | None = None
    """File for the frozen value; unset: PRESET.safetensors in the folder of the run."""
    backend: Annotated[Backend, tyro.conf.EnumChoicesFromValues] = Backend.LOCAL
    """Who solves the problems: processes of this machine, or a Ray cluster (extra 'ray'). Has no influence on the result."""
    address: str | None = None
    """The Ray cluster: "auto", the one that this machine is part of; HOST:PORT of its head node; "local", one that is started
    here and ends with the run. Unset: auto."""
    json: bool = False
    """Print one JSON object and nothing else."""

    def __post_init__(self) -> None:
        if self.address is not None and self.backend is not Backend.RAY:
            raise BadSetting("address", self.address, "names a Ray cluster; add --backend ray")

    def run(self, output: Output) -> int:
        """Train, freeze, report."""
        try:
            from dvp_mpc.learning import dvp
        except ImportError as error:
            raise UsageError(f"training needs the extra 'train' (pip install '.[train]'): {error}") from error
        from dvp_mpc.studies.training_plot import plot_training

        began = time.monotonic()
        task = self.settings.task()
        folder = self.out or Path("runs", "train", self.preset)
        if self.model is not None and self.model.is_dir():
            raise UsageError(f"--model {self.model} is a folder; name a file in it")
        path = self.model or folder / f"{self.preset}.safetensors"
        writable_folder(path.parent)
        with self._workers() as workers, output.progress() as progress, Interrupt() as interrupt:
            watch = _Watch(progress, interrupt, Probe(task), folder)
            run = dvp.run(task, self.settings.dvp, folder, watch, workers=workers)
        seconds = time.monotonic() - began
        plot_training(folder, folder / "training.png")
        facts = {
            "accuracy": run.accuracy._asdict(),
            "training": {
                "preset": self.preset,
                "settings": json.loads(json.dumps(asdict(self.settings.dvp))),
                "iterations": len(run.rows),
                "kept_iteration": run.best,
                "seconds": round(sum(row.seconds_labels + row.seconds_fit for row in run.rows), 1),
                "cores": os.cpu_count(),
            },
            "versions": _versions(),
            "date": datetime.date.today().isoformat(),
            "command": shlex.join(["dvp-mpc", *sys.argv[1:]]),
        }
        card = save_value(path, run.value, task, golden_of(task), facts)
        rows = [row._asdict() for row in run.rows]
        output.report({"rows": rows, "card": card, "seconds": seconds, "run_dir": str(folder), "model": str(path)})
        cells = [[_cell(value) for value in row] for row in run.rows]
        output.table(f"{self.preset}: iteration {run.best} kept", [name.replace("_", " ") for name in rows[0]], cells)
        for file in (folder / "table.csv", folder / "probe.csv", folder / "training.png", path):
            output.say(f"wrote {file}")
        output.say(f"done in {seconds:.0f} s")
        return 0

    @contextmanager
    def _workers(self) -> Iterator[Workers]:
        if self.backend is Backend.LOCAL:
            yield unordered
            return
        from dvp_mpc.cluster import ray_cluster, ray_unordered  # raises UsageError without ray

        with ray_cluster(self.address or "auto", self.settings.dvp.jobs):
            yield ray_unordered


class _Watch:
    """Progress bars of a run."""

    def __init__(self, progress: Progress, interrupt: Interrupt, probe: Probe, folder: Path):
        self._progress, self._interrupt, self._probe, self._folder = progress, interrupt, probe, folder
        self._bars: dict[str, TaskID] = {}

    def _update(self, what: str, done: int, total: int, note: str) -> None:
        self._interrupt.look()
        if what not in self._bars:
            self._bars[what] = self._progress.add_task(what, total=total, note="")
        self._progress.update(self._bars[what], completed=done, note=note)

    def labels(self, what: str, done: int, total: int, rejected: int) -> None:
        self._update(what, done, total, f"{rejected} rejected" if rejected else "")

    def step(self, iteration: int, steps: int, row: dict[str, float]) -> None:
        note = f"loss {row['loss']:.2e}, held out {row['validation']:.2e}"
        self._update(f"iteration {iteration}: training", int(row["step"]) + 1, steps, note)

    def died(self, workers: int) -> None:
        print(f"dvp-mpc: {workers} workers died; their chunks were solved again", file=sys.stderr)

    def row(self, row: Any, value: ValueFunction) -> None:
        found = self._probe(row.iteration, value)
        self._probe.write(self._folder / "probe.csv")
        losses = ", ".join(
            f"N={n} loses {100 * found[f'loss_{n}_median']:.2f} %, at worst {100 * found[f'loss_{n}_worst']:.2f} %"
            for n in NODES
        )
        error, residual = row.policy_gradient_error, row.bellman_residual
        self._progress.print(
            f"iteration {row.iteration}: policy error {error:.2e}, Bellman residual {residual:.2e}; {losses}"
        )


def _versions() -> dict[str, str]:
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {**found, "python": sys.version.split()[0]}


def _cell(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3g}"
