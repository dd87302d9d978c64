"""The reaching task: its cost against a NumPy twin, its goals, its fingerprint and the exact value near a goal."""

import pickle
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest

from dvp_mpc.errors import BadSetting, GoalError
from dvp_mpc.problem.arm import Arm, load_arm
from dvp_mpc.problem.arms import DOF
from dvp_mpc.problem.ocp import build_problem
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.reach_settings import ReachBox, ReachWeights
from dvp_mpc.problem.solver import Status, make_solver, quasi_static_guess, solve
from dvp_mpc.problem.task import Goal, sample_starts
from dvp_mpc.value import RiccatiValue


def twin_residual(task: ReachTask, goal: Goal, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """rho with l(x, u) = dt/2 ||rho||^2, term by term as in the head of reach.py."""
    q, v, w = x[:DOF], x[DOF:], task.weights
    lower, upper = task.state_limits
    return np.concatenate(
        [
            np.sqrt(w.tool) * (task.arm.tool_in_world(q) - goal.tool),
            np.sqrt(w.posture) * (q - goal.x[:DOF]),
            np.sqrt(w.velocity) * v,
            np.sqrt(w.torque) * (u - task.arm.gravity_torque(q)),
            np.sqrt(w.limits) * (np.maximum(x - upper, 0) + np.minimum(x - lower, 0)),
        ]
    )


def twin_next(task: ReachTask, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Forward dynamics and a semi-implicit Euler step."""
    q, v, arm = x[:DOF], x[DOF:], task.arm
    v_next = v + task.dt * np.linalg.solve(arm.mass_matrix(q), u - arm.nonlinear_effects(q, v))
    return np.concatenate([q + task.dt * v_next, v_next])


def draw(task: ReachTask, rng: np.random.Generator, beyond: bool) -> tuple[np.ndarray, np.ndarray]:
    """A state, inside the soft limits or with two joints and two speeds beyond them, and a control."""
    lower, upper = task.state_limits
    x = rng.uniform(0.9 * lower + 0.1 * upper, 0.1 * lower + 0.9 * upper)
    if beyond:
        x[[1, DOF + 3]] = upper[[1, DOF + 3]] + rng.uniform(0.05, 0.3, 2)
        x[[4, DOF + 6]] = lower[[4, DOF + 6]] - rng.uniform(0.05, 0.3, 2)
    return x, rng.uniform(-task.arm.torque_limit, task.arm.torque_limit)


@pytest.fixture(scope="module", params=["inside", "beyond"])
def points(request: pytest.FixtureRequest, task: ReachTask) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(3)
    drawn = [draw(task, rng, request.param == "beyond") for _ in range(4)]
    excess = [np.any((x > task.state_limits[1]) | (x < task.state_limits[0])) for x, _ in drawn]
    assert excess == [request.param == "beyond"] * 4
    return drawn


@pytest.mark.parametrize("dt", [0.01, 0.04])
def test_running_cost_and_dynamics_are_those_of_the_twin(
    panda: Arm, goal: Goal, points: list[tuple[np.ndarray, np.ndarray]], dt: float
) -> None:
    task = ReachTask(panda, dt=dt)
    model = task.running_model(goal)
    data = model.createData()
    for x, u in points:
        model.calc(data, x, u)
        rho = twin_residual(task, goal, x, u)
        assert data.cost == pytest.approx(dt / 2 * rho @ rho, rel=1e-9)
        # Two ways to solve for an acceleration of order 1e3 rad/s^2; the armature of 0.1 keeps M well conditioned.
        assert data.xnext == pytest.approx(twin_next(task, x, u), rel=1e-9, abs=1e-10)


def test_running_derivatives(
    task: ReachTask, goal: Goal, points: list[tuple[np.ndarray, np.ndarray]], slope: Callable[..., np.ndarray]
) -> None:
    model, nx, dt = task.running_model(goal), task.nx, task.dt
    data = model.createData()
    for x, u in points:
        model.calc(data, x, u)
        model.calcDiff(data, x, u)
        xu = np.concatenate([x, u])
        F = slope(lambda z: twin_next(task, z[:nx], z[nx:]), xu)
        J = slope(lambda z: twin_residual(task, goal, z[:nx], z[nx:]), xu)
        rho = twin_residual(task, goal, x, u)
        gradient, hessian = dt * rho @ J, dt * J.T @ J  # Gauss-Newton
        # Central differences with step 1e-6 lose 1e-10 of the function's size; each bound is 1e-7 of the largest entry.
        for found, wanted in [
            (np.hstack([data.Fx, data.Fu]), F),
            (np.concatenate([data.Lx, data.Lu]), gradient),
            (np.block([[data.Lxx, data.Lxu], [data.Lxu.T, data.Luu]]), hessian),
        ]:
            assert found == pytest.approx(wanted, abs=1e-7 * np.abs(wanted).max())


def test_torque_bounds_are_the_arms(task: ReachTask, goal: Goal) -> None:
    model = task.running_model(goal)
    assert np.array_equal(model.u_ub, task.arm.torque_limit)
    assert np.array_equal(model.u_lb, -task.arm.torque_limit)


def test_goal_is_an_equilibrium_that_costs_nothing(task: ReachTask, goals: list[Goal]) -> None:
    for goal in goals:
        model = task.running_model(goal)
        data = model.createData()
        model.calc(data, goal.x, goal.u)
        model.calcDiff(data, goal.x, goal.u)
        assert data.cost == pytest.approx(0, abs=1e-20)  # squares of rounding errors of order 1e-14 (torques)
        assert data.xnext == pytest.approx(goal.x, abs=1e-12)
        assert np.concatenate([data.Lx, data.Lu]) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("dt", [0.0, -0.01, 0.2, float("nan")])
def test_time_step_out_of_range(panda: Arm, dt: float) -> None:
    with pytest.raises(BadSetting, match="dt"):
        ReachTask(panda, dt=dt)


BOX = ReachBox()


@pytest.mark.parametrize("bad", [[0.5, np.nan, 0.4], [0.5, np.inf, 0.4], [0.5, 0.4], [[0.5, 0.0, 0.4]], 0.5])
def test_goal_that_is_no_point(task: ReachTask, bad: object) -> None:
    with pytest.raises(GoalError, match="three finite coordinates") as error:
        task.goal(np.array(bad))
    assert np.isnan(error.value.distance)


def test_goal_outside_the_box_says_how_far(task: ReachTask) -> None:
    corner = np.array(BOX.goal_upper)
    with pytest.raises(GoalError, match=r"0\.050 m outside the trained box") as error:
        task.goal(corner + [0.03, 0.0, 0.04])
    assert error.value.distance == pytest.approx(0.05, rel=1e-9)


def test_goal_out_of_reach_says_how_far(panda: Arm) -> None:
    task = ReachTask(panda, box=ReachBox(goal_upper=(2.0, 0.4, 0.75)))
    with pytest.raises(GoalError, match="out of reach of 'panda'") as error:
        task.goal(np.array([1.5, 0.0, 0.4]))
    # 0.5541 m by bounded least squares from several postures; the error need not name the very nearest.
    assert 0.554 < error.value.distance < 0.6


def test_box_without_a_goal(task: ReachTask, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(task: ReachTask, point: np.ndarray) -> np.ndarray:
        raise GoalError("out of reach", 1.0)

    monkeypatch.setattr(ReachTask, "goal_posture", refuse)
    with pytest.raises(GoalError, match="no point of the goal box"):
        task.sample_goal(np.random.default_rng(0))


def with_armature(arm: Arm, joint: int, value: float) -> Arm:
    model = arm.model.copy()
    armature = arm.armature.copy()
    armature[joint] = value
    model.armature = armature
    return replace(arm, model=model)


def with_mass(arm: Arm, joint: int, factor: float) -> Arm:
    model = arm.model.copy()
    model.inertias[joint].mass *= factor
    return replace(arm, model=model)


def changed(value: object) -> object:
    if not value or isinstance(value, int):  # what is off, and counts
        return 2
    return tuple(1.01 * v for v in value) if isinstance(value, tuple) else 1.01 * value  # type: ignore[operator]


def with_limit(arm: Arm, name: str) -> Arm:
    model = arm.model.copy()
    limit = getattr(model, name).copy()
    limit[3] *= 1.01
    setattr(model, name, limit)
    return replace(arm, model=model)


LIMITS = ("lowerPositionLimit", "upperPositionLimit", "upperVelocityLimit", "upperEffortLimit")
CHANGES: dict[str, Callable[[ReachTask], ReachTask]] = {
    "dt": lambda t: replace(t, dt=0.011),
    "armature": lambda t: replace(t, arm=with_armature(t.arm, 6, 0.101)),
    "first link's mass": lambda t: replace(t, arm=with_mass(t.arm, 2, 1.01)),
    "last link's mass": lambda t: replace(t, arm=with_mass(t.arm, 7, 1.01)),
    "tool frame": lambda t: replace(t, arm=load_arm("panda", tool_frame="panda_hand")),
    "arm": lambda t: replace(t, arm=load_arm("xarm7")),
    "home": lambda t: replace(t, arm=replace(t.arm, home=t.arm.home + 0.01)),
}
for limit in LIMITS:
    CHANGES[limit] = lambda t, limit=limit: replace(t, arm=with_limit(t.arm, limit))  # type: ignore[misc]
for spec, holder in [(ReachWeights, "weights"), (ReachBox, "box")]:
    for item in fields(spec):
        CHANGES[f"{holder}.{item.name}"] = lambda t, holder=holder, name=item.name: replace(  # type: ignore[misc]
            t, **{holder: replace(getattr(t, holder), **{name: changed(getattr(getattr(t, holder), name))})}
        )


def test_digest_changes_with_everything_that_matters(task: ReachTask) -> None:
    digests = {"as it was": task.digest} | {name: change(task).digest for name, change in CHANGES.items()}
    twice = [(a, b) for a in digests for b in digests if a < b and digests[a] == digests[b]]
    assert twice == []


def test_digest_changes_with_nothing_else(task: ReachTask, goal: Goal) -> None:
    twin: ReachTask = pickle.loads(pickle.dumps(task))
    used = ReachTask(load_arm("panda"))
    used.goal(goal.tool)
    assert task.digest == twin.digest == used.digest == replace(task, dt=0.010).digest


def test_task_is_pickled_after_use(task: ReachTask, goal: Goal) -> None:
    task.running_model(goal)  # now it owns objects of Crocoddyl, which do not pickle
    twin: ReachTask = pickle.loads(pickle.dumps(task))
    assert np.array_equal(twin.goal(goal.tool).x, task.goal(goal.tool).x)


@pytest.mark.parametrize("name", ["panda", "xarm7", "talos_arm"])
def test_start_box_lies_inside_the_limits(name: str) -> None:
    task = ReachTask(load_arm(name))
    arm, (lower, upper) = task.arm, task.start_box
    assert (lower < upper).all()
    assert (lower[:DOF] >= arm.lower + task.box.margin - 1e-12).all()  # rounding
    assert (upper[:DOF] <= arm.upper - task.box.margin + 1e-12).all()
    assert (upper[DOF:] <= arm.velocity_limit).all()
    assert np.array_equal(lower[DOF:], -upper[DOF:])
    starts = sample_starts(task, np.random.default_rng(6), 50)
    assert starts.shape == (50, task.nx)
    assert ((starts >= lower) & (starts <= upper)).all()


def test_soft_limits_keep_the_margin(task: ReachTask) -> None:
    lower, upper = task.state_limits
    kept = 1 - task.weights.limit_margin
    assert upper[:DOF] - lower[:DOF] == pytest.approx(kept * (task.arm.upper - task.arm.lower), rel=1e-12)
    assert upper[DOF:] == pytest.approx(kept * task.arm.velocity_limit, rel=1e-12)
    assert upper[:DOF] + lower[:DOF] == pytest.approx(task.arm.upper + task.arm.lower, abs=1e-12)


def test_retargeted_node_is_a_fresh_one(task: ReachTask, goals: list[Goal]) -> None:
    old, new = goals[:2]
    moved, fresh = task.running_model(old), task.running_model(new)
    task.retarget(moved, new)
    rng = np.random.default_rng(7)
    for beyond in (False, True):
        x, u = draw(task, rng, beyond)
        answers = []
        for model in (moved, fresh):
            data = model.createData()
            model.calc(data, x, u)
            model.calcDiff(data, x, u)
            answers.append([data.cost, *data.Lx, *data.Lu, *np.ravel(data.Lxx), *data.xnext])
        assert answers[0] == answers[1]


def test_tool_map(task: ReachTask, slope: Callable[..., np.ndarray]) -> None:
    x = sample_starts(task, np.random.default_rng(8), 1)[0]
    t, Jt = task.tool_jacobian(x)
    assert np.array_equal(t, task.tool(x))
    assert slope(task.tool, x) == pytest.approx(Jt, abs=1e-8)  # rounding of differences with step 1e-6


def test_riccati_root_is_the_value_near_the_goal(task: ReachTask, goals: list[Goal]) -> None:
    """Against a solve over 10 s that ends in nothing: ten time constants of the slowest mode, so e^-20 is missing."""
    for goal in goals[:2]:
        away = 1e-4 * np.random.default_rng(9).standard_normal(task.nx)
        problem = build_problem(task, goal, goal.x + away, 1000, None)
        solver = make_solver(problem, 1e-16)  # the value itself is of order 1e-8
        assert solve(solver, *quasi_static_guess(problem, goal.u), iterations=50) is Status.CONVERGED
        bound = RiccatiValue().at(goal.frame)
        V, (Vx, Vxx) = (
            bound.cost(goal.x + away, np.zeros(3)),
            bound.derivatives(goal.x + away, np.zeros(3), np.zeros((3, 14))),
        )
        truth = [np.array(values[0]) for values in (solver.Vx, solver.Vxx)]
        # The dynamics' curvature over a distance of 1e-4 rad; linear in it.
        assert solver.cost == pytest.approx(V, rel=1e-3)
        assert truth[0] == pytest.approx(Vx, abs=1e-3 * np.abs(Vx).max())
        assert truth[1] == pytest.approx(Vxx, abs=1e-3 * np.abs(Vxx).max())
