"""Region: the score that decides which value ends the horizon."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvp_mpc.problem.arm import load_arm
from dvp_mpc.problem.arms import ARMS, DOF
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.region import Region
from dvp_mpc.problem.task import Goal, sample_starts

REGION = Region(
    lower=np.array([-1.0, 0.0]),
    upper=np.array([1.0, 4.0]),
    around=np.array([0.5, 0.0]),
    state_lower=np.array([-2.0, 0.0]),
    state_upper=np.array([2.0, 5.0]),
    goal_lower=np.array([0.2]),
    goal_upper=np.array([0.6]),
)


def goal_at(x: list[float], tool: float = 0.4) -> Goal:
    return Goal(np.array(x), np.zeros(1), np.array([tool]), np.zeros(1), np.eye(2))


@pytest.mark.parametrize(
    ("x", "goal", "score"),
    [
        ([0.0, 2.0], None, 0.0),
        ([1.0, 2.0], None, 1.0),
        ([-1.2, 2.0], None, 1.2),
        ([0.5, 4.4], None, 1.2),
        ([0.5, 2.0], goal_at([0.0, 2.0]), 0.5),
        ([0.5, 2.0], goal_at([0.0, 2.0], tool=0.64), 1.2),
        ([1.5, 2.0], goal_at([1.0, 2.0]), 1.0),  # the goal's own surroundings belong to it: [-1, 1.5]
        ([1.75, 2.0], goal_at([1.0, 2.0]), 1.2),
        ([-1.25, 2.0], goal_at([1.0, 2.0]), 1.2),
        ([2.0, 2.0], goal_at([1.9, 2.0]), 1.0),  # cut at the limit: [-1, 2]
    ],
)
def test_score_is_the_distance_in_half_widths(x: list[float], goal: Goal | None, score: float) -> None:
    assert REGION.score(np.array(x), goal) == pytest.approx(score, abs=1e-12)


@given(st.integers(0, DOF * 2 - 1), st.sampled_from([-1, 1]), st.floats(0, 3))
def test_the_farthest_coordinate_decides(i: int, side: int, far: float) -> None:
    region = ReachTask(load_arm("panda")).region
    middle, half = (region.lower + region.upper) / 2, (region.upper - region.lower) / 2
    x = middle.copy()
    x[i] += side * far * half[i]
    assert region.score(x) == pytest.approx(far, abs=1e-9)
    if far > 1e-9:
        assert region.farthest(x) == i


@pytest.mark.parametrize("coordinate", [0, 1])
def test_nan_is_never_inside(coordinate: int) -> None:
    x = np.array([0.0, 2.0])
    assert not REGION.score(x, goal_at([0.0, 2.0], tool=np.nan)) <= 1
    x[coordinate] = np.nan
    assert not REGION.score(x) <= 1
    assert not REGION.score(x, goal_at([0.0, 2.0])) <= 1


@pytest.mark.parametrize("name", ARMS)
def test_starts_and_goals_are_inside_and_no_posture_beyond_the_limits_is(name: str) -> None:
    task = ReachTask(load_arm(name))
    starts = sample_starts(task, np.random.default_rng(3), 200)
    assert max(task.region.score(x) for x in starts) <= 1
    assert (task.region.lower[:DOF] >= task.arm.lower).all()
    assert (task.region.upper[:DOF] <= task.arm.upper).all()


def test_an_arm_at_rest_at_its_goal_is_inside(task: ReachTask) -> None:
    """Some goal postures lie beyond all that motions from the start box pass through."""
    rng = np.random.default_rng([4, 1])
    goals = [task.sample_goal(rng) for _ in range(300)]
    assert max(task.region.score(goal.x, goal) for goal in goals) <= 1
    assert max(task.region.score(goal.x) for goal in goals) > 1


def test_a_goal_that_the_task_takes_is_inside(task: ReachTask) -> None:
    """Up to a micrometre outside the box, and reached to a micrometre."""
    upper = np.array(task.box.goal_upper)
    goal = task.goal(np.array([0.5, upper[1] + 0.9e-6, 0.4]))
    assert task.region.score(goal.x, goal) <= 1
    assert task.region.score(goal.x, replace(goal, tool=goal.tool + [0, 1e-3, 0])) > 1
