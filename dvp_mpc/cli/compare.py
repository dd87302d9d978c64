"""`dvp-mpc compare`: training runs side by side."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from dvp_mpc.cli.output import Output
from dvp_mpc.errors import BadSetting, UsageError
from dvp_mpc.files import DAMAGED, writable_folder


@dataclass(frozen=True)
class Compare:
    """Set training runs side by side: the settings in which they differ, their tables, and one picture of all."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of runs, as `dvp-mpc train` made them; finished or not."""
    out: Path = Path("runs", "compare")
    """Folder for the picture."""
    json: bool = False
    """Print one JSON object and nothing else."""

    def run(self, output: Output) -> int:
        """Read, print, draw."""
        from dvp_mpc.studies.training_plot import plot_comparison

        if len(self.runs) < 2:
            raise BadSetting("runs", [str(run) for run in self.runs], "name at least two folders of runs")
        names = [str(folder) for folder in self.runs]
        if len(set(names)) < len(names):
            raise BadSetting("runs", names, "name each folder once")
        found = {name: _read(folder) for name, folder in zip(names, self.runs, strict=True)}
        differing = _differences({name: settings for name, (settings, _) in found.items()})
        picture = writable_folder(self.out) / "compare.png"
        plot_comparison(dict(zip(names, self.runs, strict=True)), picture)
        output.report(
            {
                "differences": differing,
                "runs": {name: rows for name, (_, rows) in found.items()},
                "plot": str(picture),
            }
        )
        output.table(
            "what differs", ("setting", *names), [[key, *map(str, values)] for key, values in differing.items()]
        )
        keys = ("labels", "policy_gradient_error", "loss_1_median", "loss_1_worst", "loss_2_median", "loss_2_worst")
        rows = [
            [name, int(row["iteration"]), *(f"{row[key]:.3g}" for key in keys), f"{row['seconds']:.0f}"]
            for name, (_, table) in found.items()
            for row in table
        ]
        output.table("iterations", ("run", "iteration", *(key.replace("_", " ") for key in keys), "seconds"), rows)
        output.say(f"wrote {picture}")
        return 0


def _read(folder: Path) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """Settings, flattened, and one row for each iteration with its probe."""
    from dvp_mpc.studies.training_plot import read_columns

    try:
        settings = json.loads((folder / "run.json").read_text())
        table, probe = read_columns(folder / "table.csv"), read_columns(folder / "probe.csv")
        columns = table | probe | {"seconds": table["seconds_labels"] + table["seconds_fit"]}
        rows = [{key: float(values[k]) for key, values in columns.items()} for k in range(len(probe["iteration"]))]
    except DAMAGED as error:
        raise UsageError(f"{folder} is no folder of a run with a finished iteration: {error}") from error
    return dict(_flat(settings)), rows


def _flat(fields: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat = []
    for name, value in fields.items():
        flat += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]
    return flat


def _differences(settings: dict[str, dict[str, Any]]) -> dict[str, list[Any]]:
    """Settings that are not the same in all runs, with each run's own."""
    keys = list(dict.fromkeys(key for fields in settings.values() for key in fields))
    table = {key: [fields.get(key) for fields in settings.values()] for key in keys}
    return {key: values for key, values in table.items() if any(value != values[0] for value in values)}
