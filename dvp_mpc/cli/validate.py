"""`dvp-mpc validate`: the release gate of a value file."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from dvp_mpc.bars import BARS, Bars, bars_of, find_bars
from dvp_mpc.cli.output import Output
from dvp_mpc.errors import ModelFileError, UsageError, ValueMismatch
from dvp_mpc.models import DEFAULT_MODEL, find_model, load_model
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.studies.validation import FULL, QUICK, Check, validate
from dvp_mpc.value import Value
from dvp_mpc.value_file import Card


@dataclass(frozen=True)
class Validate:
    """Judge a value file before it moves an arm: is the file sound, is the value right, does its loop lose little, does the
    value fall along it, and does the score of its region tell inside from outside. All on states that training never saw.

    The exit code is 1 when a check fails.
    """

    model: Annotated[str, tyro.conf.Positional] = DEFAULT_MODEL
    """Value file, or the name of a shipped one."""
    quick: bool = False
    """Smaller samples, two minutes on one core: finds a value that is broken, not one that is a little worse."""
    arm: str | None = None
    """Arm to check against the model's, or the URDF that the model was made for; unset: the model's own."""
    bars: str | None = None
    """Preset whose bars count; unset: the one that the model was made by."""
    loss: Annotated[dict[int, tuple[float, float]] | None, tyro.conf.arg(metavar="N MEDIAN P95 ...")] = None
    """Bars of your own for the closed-loop loss: nodes, median, 95th percentile, once or more (0.001 is 0.1 %)."""
    seed: int = 2026
    """Seed of everything that is drawn."""
    jobs: Annotated[int, tyro.conf.arg(aliases=["-j"])] = -1
    """Worker processes; -1: one per core."""
    json: bool = False
    """Print one JSON object and nothing else."""

    def run(self, output: Output) -> int:
        """Check, print, judge."""
        began, sizes = time.monotonic(), QUICK if self.quick else FULL
        if self.bars is not None and self.loss is not None:
            raise UsageError("--bars and --loss: give one of them")
        chosen = None if self.bars is None else find_bars(self.bars)
        chosen = chosen if self.loss is None else Bars(self.loss)
        path = find_model(self.model)
        checks, bars_from = [], "none"
        loaded = self._load(path)
        if isinstance(loaded, ModelFileError):
            checks.append(Check("file: checks that refuse it", 1.0, 0.0, share=False, note=str(loaded)))
        else:
            task, value, card = loaded
            preset = card["training"].get("preset")
            bars = chosen or bars_of(preset, task)
            bars_from = "flags" if self.loss is not None else self.bars or str(preset)
            checks.append(Check("file: checks that refuse it", 0.0, 0.0, share=False, note="card, golden outputs"))
            with output.watch() as watch:
                checks += validate(task, value, bars, sizes, self.seed, self.jobs, watch)
        passed = all(check.passed for check in checks)
        output.report(
            {
                "model": str(path),
                "bars": bars_from,
                "quick": self.quick,
                "seed": self.seed,
                "sizes": sizes._asdict(),
                "checks": [check._asdict() | {"passed": check.passed} for check in checks],
                "passed": passed,
                "seconds": round(time.monotonic() - began, 1),
            }
        )
        head = ("check", "measured", "bar", "pass", "on")
        output.table(f"{path.name}: bars of {bars_from}, seed {self.seed}", head, [_cells(check) for check in checks])
        failed = [check.name for check in checks if not check.passed]
        output.say(f"FAILED: {', '.join(failed)}" if failed else f"{len(checks)} checks passed")
        if self.quick:
            output.say("samples: " + ", ".join(f"{name} {n}" for name, n in sizes._asdict().items()) + " (--quick)")
        return 0 if passed else 1

    def _load(self, path: Path) -> tuple[ReachTask, Value, Card] | ModelFileError:
        """The model, or what is wrong with its file. What is wrong with the request is raised."""
        try:
            return load_model(path, self.arm)
        except ModelFileError as error:
            if error.field == "arm" or (isinstance(error, ValueMismatch) and self.arm is not None):
                raise
            return error


def _cells(check: Check) -> tuple[str, ...]:
    sign = ">=" if check.least else "<="
    measured = "-" if check.measured is None else _number(check.measured, check.share)
    return (
        check.name,
        measured,
        f"{sign} {_number(check.bar, check.share)}",
        "yes" if check.passed else "NO",
        check.note,
    )


def _number(number: float, share: bool) -> str:
    return f"{100 * number:.4g} %" if share else f"{number:.3g}"


def how_to(model: str, preset: Any) -> str:
    """The command that validates a model."""
    return f"dvp-mpc validate {model}" + ("" if preset in BARS else f" --bars {next(iter(BARS))}")
