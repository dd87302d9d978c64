"""outside: what it places really lies outside, and it says so of a region that is wrong."""

from dataclasses import replace

import numpy as np
import pytest

from dvp_mpc.models import load_model
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.region import Region
from dvp_mpc.studies.outside import BEYOND, outside, placed_outside

SEED = 556  # of no other study


def drawn(task: ReachTask, **sides: np.ndarray) -> ReachTask:
    other = replace(task)
    other.__dict__["region"] = replace(task.region, **sides)  # where cached_property keeps it
    return other


def test_one_coordinate_lies_outside_by_a_fifth_and_each_gets_its_turn(task: ReachTask) -> None:
    seen = set()
    for x, goal in placed_outside(task, np.random.default_rng(1), 400):
        assert task.region.score(x, goal) == pytest.approx(1 + BEYOND, abs=1e-9)
        lower, upper = task.region.bounds(goal)
        out = np.flatnonzero((x < lower) | (x > upper))
        assert len(out) <= 1
        seen.add(int(out[0]) if len(out) else "goal")
    assert seen == {*range(14), "goal"}


def test_shipped_value_keeps_both_bars() -> None:
    task, value, _ = load_model("panda_reach")
    found = outside(task, value, placed=500, motions=6, seed=SEED, jobs=1)
    assert found.detected >= 0.95
    assert found.false_alarms <= 0.005
    assert (found.placed, found.motions, found.ticks) == (500, 6, 6 * 201)
    assert 0.3 < found.largest_score <= 1


def test_a_region_drawn_too_tight_gives_false_alarms() -> None:
    task, value, _ = load_model("panda_reach")
    lower, upper = task.start_box
    found = outside(drawn(task, lower=lower, upper=upper, around=np.zeros(14)), value, 10, motions=4, seed=SEED, jobs=1)
    assert found.false_alarms > 0.02
    assert found.motions_with_alarms >= 1
    assert found.largest_score > 1


def test_a_score_that_sees_nothing_detects_nothing(task: ReachTask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Region, "score", lambda self, x, goal=None: 0.0)
    _, value, _ = load_model("panda_reach")
    assert outside(task, value, placed=50, motions=1, seed=SEED, jobs=1).detected == 0
