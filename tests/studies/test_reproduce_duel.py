"""Figures 7 and 8: the quick path, what is counted, and verdicts on results that are made up."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

from dvp_mpc.studies.reproduce import fig7, fig8
from dvp_mpc.studies.reproduce.duel import STARTS, STATES, _Counted, optimum, problem
from dvp_mpc.studies.reproduce.duel_settings import QUICK
from dvp_mpc.studies.reproduce.figure import Json, Verdict, Work

TRUTH = [10.0, 20.0, 30.0]


def seven(dvp: list[float], ppo: list[float]) -> Json:
    """A result of figure 7 whose values are these."""

    def curve(values: list[float]) -> Json:
        return [{"steps": 1, "seconds": 1.0, "values": values}]

    curves = {"paper": curve(dvp), "ours": curve(dvp), "ppo": curve(ppo)}
    return {"truth": TRUTH, "curves": curves, "policy": 0.1, "exploring": 0.2}


@pytest.mark.parametrize(
    ("dvp", "ppo", "verdict"),
    [
        ([10.1, 19.0, 31.0], [20.0, 32.0, 45.0], Verdict.HOLDS),
        ([10.1, 19.0, 31.0], [8.0, 17.0, 26.0], Verdict.PARTLY),  # PPO is further off, but too low
        ([15.0, 30.0, 45.0], [10.5, 20.5, 30.5], Verdict.PARTLY),  # PPO is nearer
        ([15.0, 30.0, 45.0], [20.0, 9.0, 25.0], Verdict.NOT),  # nearer, low and without the shape
    ],
)
def test_figure_7_is_judged_by_its_bars(dvp: list[float], ppo: list[float], verdict: Verdict) -> None:
    assert fig7.summarise(QUICK, [seven(dvp, ppo)] * 2).verdict is verdict


def test_one_bad_seed_misses_a_bar() -> None:
    good, bad = seven([10.1, 19.0, 31.0], [20.0, 32.0, 45.0]), seven([40.0, 50.0, 60.0], [20.0, 32.0, 45.0])
    assert fig7.summarise(QUICK, [good, good, bad]).verdict is Verdict.PARTLY


def eight(dvp: float, ppo: float) -> Json:
    """A result of figure 8 in which every measure is this."""
    measures = {
        name: {"loss": [x] * 3, "variation": [x] * 3, "roughness": [x] * 3}
        for name, x in (("paper", dvp), ("ours", dvp), ("ppo", ppo))
    }
    return {"rows": measures, "exploring": {"loss": [ppo], "variation": [ppo]}}


def test_figure_8_is_judged_by_its_bars() -> None:
    assert fig8.summarise(QUICK, [eight(0.1, 0.5)] * 2).verdict is Verdict.HOLDS
    missed = fig8.summarise(QUICK, [eight(0.5, 0.1)] * 2)
    assert missed.verdict is Verdict.NOT
    assert len(missed.remarks) == 4  # three bars, and that PPO is smoother than the optimum
    assert "slack" in missed.remarks[-1]
    mixed = deepcopy(eight(0.1, 0.5))
    mixed["rows"]["ppo"]["variation"] = [0.01] * 3
    assert fig8.summarise(QUICK, [mixed]).verdict is Verdict.PARTLY


def test_smoothness_of_known_motions() -> None:
    t = np.arange(60.0)
    assert fig8.roughness(np.stack([t, 2 * t], 1)[None]) == pytest.approx([0.0])
    assert fig8.roughness((t**2)[None, :, None]) == pytest.approx([4.0])  # second difference 2
    assert fig8.variation(np.array([0.0, 1.0, 0.0, 3.0])[None, :, None]) == pytest.approx([5.0])


def test_evaluations_are_counted_with_their_derivatives() -> None:
    task, goal = problem(QUICK)
    count = [0]
    node = _Counted(task.base, task.discount, count, 6).running_model(goal)
    data, x, u = node.createData(), np.ones(3), np.ones(2)
    node.calc(data, x, u)
    assert count == [1]
    node.calcDiff(data, x, u)
    assert count == [7]
    plain = task.running_model(goal)
    other = plain.createData()
    plain.calc(other, x, u)
    assert (data.cost, data.xnext.tolist()) == (other.cost, other.xnext.tolist())


def test_the_optimum_is_no_dearer_than_standing_still() -> None:
    task, goal = problem(QUICK)
    cost, xs, _ = optimum(task, goal, np.array([0.5, 0.1, 0.2]), 200)
    still = (0.25 + 0.01 + 0.04) / 2 / (1 - task.discount)
    assert 0 < cost < still / 3
    assert np.abs(xs[-1, [0, 2]]).max() < 1e-3


def test_the_optimum_leaves_the_saddle_beside_the_goal() -> None:
    """Standing still is stationary there, and costs 200."""
    task, goal = problem(QUICK)
    beside, next_to_it = (optimum(task, goal, np.array(x0), 200)[0] for x0 in ([0.0, 2.0, 0.0], [0.01, 2.0, 0.01]))
    assert beside == pytest.approx(next_to_it, rel=0.01)
    assert beside < 80


def test_what_judges_was_never_trained_on() -> None:
    dvp = pytest.importorskip("dvp_mpc.learning.dvp")
    assert not {STATES, STARTS} & {dvp.TRAINING, dvp.VALIDATION, dvp.FITTING}


def test_quick_figures_run(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("stable_baselines3")
    for figure in (fig7, fig8):
        result = figure.compute(QUICK, Work(0, True, tmp_path))
        summary = figure.summarise(QUICK, [result])
        assert summary.verdict in Verdict
        assert summary.numbers
        figure.plot(QUICK, [result], tmp_path / "plot.png")
        assert (tmp_path / "plot.png").stat().st_size > 10_000
