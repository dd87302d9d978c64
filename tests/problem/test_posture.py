"""Goal postures: within limits, at the point, the nearest of several, the same every time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dvp_mpc.errors import GoalError
from dvp_mpc.presets import PRESETS
from dvp_mpc.problem.arm import Arm
from dvp_mpc.problem.arms import DOF
from dvp_mpc.problem.posture import REACHED, nearest_posture
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.reach_settings import ReachBox, ReachWeights
from dvp_mpc.problem.task import sample_starts

BOX = ReachBox()
coordinates = st.tuples(*(st.floats(low, high) for low, high in zip(BOX.goal_lower, BOX.goal_upper, strict=True)))
ARMS = ("panda", "xarm7", "iiwa")


@pytest.fixture(scope="module", params=ARMS)
def whole(request: pytest.FixtureRequest) -> ReachTask:
    """The whole workspace of an arm."""
    return PRESETS[f"{request.param}_workspace"].task()


def reachable(task: ReachTask, n: int) -> np.ndarray:
    """Points (n, 3) that some posture within the soft limits reaches, above the base plane and beside the column."""
    lower, upper = (limit[:DOF] for limit in task.state_limits)
    rng, points = np.random.default_rng(31), []
    while len(points) < n:
        point = task.arm.tool_in_world(rng.uniform(lower, upper))
        if point[2] > 0 and np.hypot(*point[:2]) > task.box.column:
            points.append(point)
    return np.array(points)


def test_most_of_what_an_arm_reaches_is_found(whole: ReachTask) -> None:
    lower, upper = (limit[:DOF] for limit in whole.state_limits)
    missed = 0
    for point in reachable(whole, 60):
        q = nearest_posture(whole.arm, point, lower, upper, whole.box.postures)
        assert ((q >= lower) & (q <= upper)).all()
        missed += np.linalg.norm(whole.arm.tool_in_world(q) - point) > REACHED
    assert missed <= 3


def test_more_seeds_are_never_farther_from_home_and_repeat_themselves(whole: ReachTask) -> None:
    lower, upper = (limit[:DOF] for limit in whole.state_limits)
    for point in reachable(whole, 12):
        found = [nearest_posture(whole.arm, point, lower, upper, seeds) for seeds in (1, 2, 4, 4)]
        assert np.array_equal(found[2], found[3])
        misses = [np.linalg.norm(whole.arm.tool_in_world(q) - point) for q in found]
        distances = [np.linalg.norm(q - whole.arm.home) for q in found]
        for few, many in ((0, 1), (1, 2)):
            if misses[few] <= REACHED:
                assert misses[many] <= REACHED
                assert distances[many] <= distances[few] + 1e-6


def test_goals_keep_off_the_column_and_say_so(whole: ReachTask) -> None:
    rng = np.random.default_rng(32)
    for _ in range(10):
        assert np.hypot(*whole.sample_goal(rng).tool[:2]) >= whole.box.column
    with pytest.raises(GoalError, match=r"is 0\.100 m from the vertical through the base, must be 0\.15 m"):
        whole.goal(np.array([0.0, 0.1, 0.6]))


def test_starts_can_stop_before_the_soft_limits(whole: ReachTask) -> None:
    """At the deceleration that the box names, from every start, with speeds up to the arm's own limits among them."""
    x = sample_starts(whole, np.random.default_rng(33), 2000)
    (lower, upper), q, v = whole.state_limits, x[:, :DOF], x[:, DOF:]
    assert whole.box.braking is not None
    stop = q + np.sign(v) * v**2 / (2 * whole.box.braking)
    inside = (q > lower[:DOF]) & (q < upper[:DOF])
    assert ((stop <= upper[:DOF] + 1e-9) & (stop >= lower[:DOF] - 1e-9))[inside].all()
    assert (np.abs(v).max(0) > 0.98 * whole.arm.velocity_limit).all()
    assert (q.max(0) > upper[:DOF] - 0.1).all()
    assert (q.min(0) < lower[:DOF] + 0.1).all()
    cut = sample_starts(ReachTask(whole.arm), np.random.default_rng(33), 5)
    assert np.array_equal(cut, ReachTask(whole.arm).stoppable(cut))


def test_reach_is_an_upper_bound(whole: ReachTask) -> None:
    base, reach = whole.arm.reach
    assert all(np.linalg.norm(point - base) <= reach for point in reachable(whole, 100))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(coordinates)
def test_goal_posture(task: ReachTask, point: tuple[float, ...]) -> None:
    wanted = np.array(point)
    q = task.goal_posture(wanted)  # the Panda reaches all of the box: none of 3000 points was refused
    assert task.arm.tool_in_world(q) == pytest.approx(wanted, abs=1e-6)
    lower, upper = (limit[:DOF] for limit in task.state_limits)
    assert (q >= lower).all()
    assert (q <= upper).all()
    assert np.array_equal(q, task.goal_posture(wanted))


@pytest.mark.parametrize(
    "point", [(0.645, 0.385, 0.724), (0.663, -0.394, 0.739), (0.696, -0.4, 0.166), (0.696, -0.377, 0.707)]
)
def test_goal_posture_in_the_far_corners(task: ReachTask, point: tuple[float, ...]) -> None:
    """Nearly stretched out, where whole steps home inside the null space circle for ever."""
    assert task.arm.tool_in_world(task.goal_posture(np.array(point))) == pytest.approx(np.array(point), abs=1e-6)


def test_goal_posture_is_continuous(task: ReachTask) -> None:
    """Along lines through the box in steps of 2 mm no joint jumps: a change of branch is of order 1 rad."""
    rng, steps = np.random.default_rng(4), 40
    for _ in range(6):
        start = rng.uniform(np.add(BOX.goal_lower, 0.1), np.subtract(BOX.goal_upper, 0.1))
        along = rng.standard_normal(3)
        along /= np.linalg.norm(along)
        postures = [task.goal_posture(start + 2e-3 * k * along) for k in range(-steps // 2, steps // 2)]
        # Slope below 10 rad/m: largest measured 4.4, over 400 points of the whole box.
        assert np.linalg.norm(np.diff(postures, axis=0), axis=1).max() < 10 * 2e-3


@pytest.mark.parametrize("margin", [0.02, 0.6])
def test_goal_posture_is_the_nearest_to_home(panda: Arm, margin: float) -> None:
    """The gradient of ||q - home||^2 / 2 lies in the row space of J, but for joints that a limit holds back."""
    task = ReachTask(panda, ReachWeights(limit_margin=margin))
    lower, upper = (limit[:DOF] for limit in task.state_limits)
    rng, at_limit = np.random.default_rng(5), 0
    for point in rng.uniform((0.35, -0.25, 0.3), (0.6, 0.25, 0.6), (20, 3)):
        q = task.goal_posture(point)
        J, held = panda.tool_jacobian_in_world(q)[1], (q <= lower) | (q >= upper)
        at_limit += held.any()
        away = q - panda.home
        multiplier = np.linalg.lstsq(J[:, ~held].T, away[~held], rcond=None)[0]
        left = away - J.T @ multiplier
        assert left[~held] == pytest.approx(0, abs=1e-8)  # the iteration stops at steps of 1e-11 rad
        outward = np.where(q >= upper, 1.0, -1.0)
        assert (left[held] * outward[held] <= 1e-8).all()  # moving back inside would lead away from home
    assert (at_limit > 0) == (margin > 0.1)  # or else the wide margin would test nothing new
