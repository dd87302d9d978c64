"""The probe of a training run, and runs side by side."""

import json
from pathlib import Path

import numpy as np
import pytest

from dvp_mpc.cli import main
from dvp_mpc.problem.systems import LinearTask
from dvp_mpc.studies.probe import Probe
from dvp_mpc.studies.training_plot import read_columns
from dvp_mpc.value import GoalFrame, RiccatiValue

TINY = ["train", "--preset", "panda_reach_tiny", "--dvp.sampling.problems", "20", "--dvp.fit.steps", "5"]


class Twice(RiccatiValue):
    """Twice the goal's own value: a controller that overrates what is left."""

    def at(self, goal: GoalFrame) -> object:  # type: ignore[override]
        return super().at(goal._replace(root=np.sqrt(2) * goal.root))


def test_probe_finds_nothing_lost_by_the_exact_value_and_something_by_another(
    linear: LinearTask, tmp_path: Path
) -> None:
    probe = Probe(linear, starts=3)
    exact, other = probe(0, RiccatiValue()), probe(1, Twice())
    assert exact["loss_1_worst"] == pytest.approx(0, abs=1e-9)
    assert other["loss_1_median"] > other["loss_2_median"] > 1e-6
    probe.write(tmp_path / "probe.csv")
    columns = read_columns(tmp_path / "probe.csv")
    assert columns["iteration"].tolist() == [0, 1]
    assert columns["loss_1_worst"].tolist() == [exact["loss_1_worst"], other["loss_1_worst"]]


def test_two_runs_side_by_side(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folders = [tmp_path / name for name in ("a", "b")]
    for folder, iterations in zip(folders, ("1", "2"), strict=True):
        assert (
            main([*TINY, "--dvp.iterations", iterations, "--dvp.validation", "2", "--out", str(folder), "--json"]) == 0
        )
    capfd.readouterr()
    assert main(["compare", *map(str, folders), "--out", str(tmp_path / "both"), "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["differences"] == {"iterations": [1, 2]}
    assert [len(rows) for rows in report["runs"].values()] == [1, 2]
    assert all(np.isfinite(row["loss_1_median"]) for row in report["runs"][str(folders[1])])
    assert Path(report["plot"]).stat().st_size > 10_000


@pytest.mark.parametrize(
    ("runs", "words"),
    [(["a"], "at least two"), (["a", "a"], "each folder once"), (["a", "b"], "no folder of a run")],
)
def test_runs_that_cannot_be_compared(
    runs: list[str], words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *(str(tmp_path / run) for run in runs)]) == 2
    assert words in capfd.readouterr().err
