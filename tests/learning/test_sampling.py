"""Starts of training problems: each kind where it says."""

import numpy as np
import pytest

from dvp_mpc.learning.sampling import follow, sample_training_start
from dvp_mpc.learning.settings import Starts
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.systems import LinearTask
from dvp_mpc.problem.task import Goal
from dvp_mpc.value import GoalFrame, RiccatiValue, ValueFunction

NONE = {"near": 0.0, "wide": 0.0, "kicked": 0.0, "loop": 0.0}


def draw(task: ReachTask, goal: Goal, n: int, value: ValueFunction | None = None, **shares: float) -> np.ndarray:
    rng, starts = np.random.default_rng(91), Starts(**{**NONE, **shares})
    return np.array([sample_training_start(task, goal, starts, value, rng) for _ in range(n)])


def test_rest_comes_from_the_trusted_box(task: ReachTask, goal: Goal) -> None:
    lower, upper = task.start_box
    x = draw(task, goal, 200)
    assert ((x >= lower) & (x <= upper)).all()
    # 200 uniform draws leave 5 % at an end free with a chance of 14 x 2 x 0.95^200 = 1e-3; the seed is fixed.
    assert ((x.min(0) < lower + 0.05 * (upper - lower)) & (x.max(0) > upper - 0.05 * (upper - lower))).all()


def test_near_starts_are_near_on_every_scale(task: ReachTask, goal: Goal) -> None:
    half = (task.start_box[1] - task.start_box[0]) / 2
    away = np.abs((draw(task, goal, 200, near=1.0) - goal.x) / half).max(axis=1)
    assert (away <= 1).all()
    assert np.median(away) == pytest.approx(0.1, rel=0.3)  # log-uniform from 1 to 100 %
    assert away.min() < 0.02


def test_wide_starts_leave_the_box_but_not_the_limits(task: ReachTask, goal: Goal) -> None:
    x = draw(task, goal, 200, wide=1.0)
    (low, high), (lower, upper) = task.state_limits, task.start_box
    assert ((x >= low) & (x <= high)).all()
    assert ((x < lower) | (x > upper)).any(axis=1).mean() > 0.9  # 14 coordinates, each outside with a chance of 1/4


def test_kicked_starts_stop_where_they_leave_the_limits(task: ReachTask, goal: Goal) -> None:
    x = draw(task, goal, 100, kicked=1.0)
    lower, upper = task.state_limits
    beyond = ((x < lower) | (x > upper)).any(axis=1)
    assert 0.05 < beyond.mean() < 1
    for row in x:  # at most one step beyond; gravity and Coriolis forces are below the torque bounds here
        inverse = np.abs(np.linalg.inv(task.arm.mass_matrix(row[:7])))
        step = task.dt * inverse @ (2 * task.arm.torque_limit)
        assert (np.abs(row[7:]) <= upper[7:] + step).all()


def test_loop_starts_move_on_toward_the_goal(task: ReachTask, goal: Goal) -> None:
    before = draw(task, goal, 12, near=1.0)
    after = draw(task, goal, 12, RiccatiValue(), near=1.0, loop=1.0)
    bound = RiccatiValue().at(goal.frame)
    assert np.array_equal(draw(task, goal, 1, near=1.0)[0], before[0])
    # The first pair starts from the same draw; the others follow other numbers, so only the first is compared.
    assert bound.cost(after[0], goal.tool) < bound.cost(before[0], goal.tool)


def test_no_loop_without_a_learned_value(task: ReachTask, goal: Goal) -> None:
    assert np.array_equal(draw(task, goal, 10, None, loop=1.0), draw(task, goal, 10, None))


def test_seed_decides(task: ReachTask, goal: Goal) -> None:
    shares = {"near": 0.25, "wide": 0.25, "kicked": 0.25, "loop": 0.5}
    assert np.array_equal(
        draw(task, goal, 10, RiccatiValue(), **shares), draw(task, goal, 10, RiccatiValue(), **shares)
    )


@pytest.mark.parametrize("kind", ["near", "wide", "kicked", "loop"])
def test_every_kind_works_without_limits_or_bounds(linear: LinearTask, kind: str) -> None:
    x = draw(linear, linear.origin, 20, RiccatiValue(), **{kind: 1.0})  # type: ignore[arg-type]
    assert x.shape == (20, 2)
    assert np.isfinite(x).all()
    assert np.ptp(x, axis=0).min() > 0


def test_following_the_exact_value_is_the_optimal_motion(linear: LinearTask) -> None:
    """Each step obeys the dynamics and takes from the cost-to-go just what it costs."""
    V, x0 = RiccatiValue().at(linear.origin.frame), np.array([1.0, -0.5])
    xs, us = follow(linear, linear.origin, x0, RiccatiValue(), 2, 30)
    assert (xs.shape, us.shape) == ((31, 2), (30, 1))
    model = linear.running_model(linear.origin)
    data = model.createData()
    for x, u, after in zip(xs, us, xs[1:], strict=False):
        model.calc(data, x, u)
        assert np.array(data.xnext) == pytest.approx(after, abs=1e-12)
        assert data.cost + V.cost(after, np.zeros(0)) == pytest.approx(V.cost(x, np.zeros(0)), rel=1e-9)


def test_following_ends_where_a_solve_fails(linear: LinearTask) -> None:
    class Spent(RiccatiValue):
        """Good for the first step only: then it is not finite any more."""

        calls = 0

        def at(self, goal: GoalFrame) -> "Spent":
            self._inside = super().at(goal)
            return self

        def cost(self, x: np.ndarray, t: np.ndarray) -> float:
            return self._inside.cost(x, t) if abs(x[0]) > 0.95 else float("nan")

        def derivatives(self, x: np.ndarray, t: np.ndarray, Jt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return self._inside.derivatives(x, t, Jt)

    xs, us = follow(linear, linear.origin, np.array([1.0, 0.0]), Spent(), 1, 30)
    assert 0 < len(us) < 30
    assert len(xs) == len(us) + 1
    assert np.isfinite(xs).all()
