"""MPC: warm starts, feedback between solves, a goal that moves, and solves that must not be used."""

from typing import Any

import numpy as np
import pytest

from dvp_mpc import native
from dvp_mpc.control.mpc import MPC, MpcSettings, Plan
from dvp_mpc.errors import BadSetting
from dvp_mpc.models import load_model
from dvp_mpc.problem.ocp import build_problem
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.solver import Status, Trajectory, make_solver, quasi_static_guess, solve
from dvp_mpc.problem.task import Goal, sample_starts
from dvp_mpc.studies.evaluation import EVALUATION, run_loop
from dvp_mpc.value import RiccatiValue


@pytest.fixture
def x0(task: ReachTask) -> np.ndarray:
    return sample_starts(task, np.random.default_rng(3), 1)[0]


@pytest.fixture
def solves(monkeypatch: pytest.MonkeyPatch) -> list[Status]:
    """What each call of the solver comes to."""
    seen: list[Status] = []
    solve_once = MPC._solve

    def watched(self: MPC, *args: Any, **kwargs: Any) -> Trajectory:
        seen.append((solution := solve_once(self, *args, **kwargs)).status)
        return solution

    monkeypatch.setattr(MPC, "_solve", watched)
    return seen


def test_first_plan_is_the_solution_of_the_short_problem(task: ReachTask, goal: Goal, x0: np.ndarray) -> None:
    plan = MPC(task, goal, RiccatiValue(), MpcSettings(5)).plan(x0, 0.0)
    solver = make_solver(build_problem(task, goal, x0, 5, RiccatiValue()))
    assert solve(solver, *quasi_static_guess(solver.problem, goal.u), iterations=100) is Status.CONVERGED
    assert plan.status is Status.CONVERGED
    np.testing.assert_allclose(plan.solution.us, np.array(solver.us.tolist()), atol=1e-6)  # th_stop leaves this much


def test_one_iteration_per_tick_tracks_the_converged_loop(task: ReachTask, goal: Goal, x0: np.ndarray) -> None:
    """The scheme lives on this: one Newton step per tick, warm-started, is as good as solving to convergence."""
    plant = task.running_model(goal)
    data = plant.createData()

    def loop(iterations: int) -> float:
        mpc, x, cost = MPC(task, goal, RiccatiValue(), MpcSettings(10, iterations)), x0, 0.0
        for _ in range(100):
            plan = mpc.plan(x, task.dt)
            assert plan.status.usable
            plant.calc(data, x, plan.torque(0.0, x))
            x, cost = np.array(data.xnext), cost + data.cost
        return cost

    assert loop(1) == pytest.approx(loop(30), rel=1e-3)


def test_a_step_that_keeps_its_promise_is_the_only_one(goal: Goal, solves: list[Status]) -> None:
    """A moving horizon promises much at every tick and makes it; a wrong state, far off, promises what it does not make."""
    task, value, _ = load_model("panda_reach")
    mpc = MPC(task, goal, value, MpcSettings(10))
    plan = mpc.plan(np.concatenate([task.arm.home, np.zeros(7)]), 0.0)
    solves.clear()
    promises = []
    for _ in range(10):
        plan = mpc.plan(plan.solution.xs[1], task.dt)
        promises.append(mpc._solver.stop)
    assert min(promises) > 10 * mpc.settings.again_above
    assert len(solves) == 10
    mpc.plan(plan.solution.xs[1] + np.concatenate([np.full(7, 0.3), np.full(7, 1.0)]), task.dt)
    assert len(solves) > 11


@pytest.mark.parametrize("nodes", [1, 10])
def test_a_gap_that_pays_is_closed_without_a_fresh_start(
    nodes: int, solves: list[Status], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From where the plan before believed the arm to be, the goal may be nearer than from any state that the arm can reach; the
    line search then leaves part of the gap open."""
    task, value, _ = load_model("panda_reach")
    rng = np.random.default_rng([7, 3])
    goal, x = task.sample_goal(rng), sample_starts(task, rng, 1)[0]
    fresh: list[object] = []
    guess = quasi_static_guess
    monkeypatch.setattr("dvp_mpc.control.mpc.quasi_static_guess", lambda *a: fresh.append(a) or guess(*a))
    mpc, plant = MPC(task, goal, value, MpcSettings(nodes)), task.running_model(goal)
    data, closed = plant.createData(), 0
    for _ in range(30):
        solves.clear()
        plan = mpc.plan(x, task.dt)
        assert plan.status.usable
        assert len(fresh) == 1, "the first plan's only"
        if Status.OPEN_GAPS in solves:
            closed += 1
            anew = MPC(task, goal, value, MpcSettings(nodes)).plan(x, 0.0)
            fresh.pop()
            assert plan.solution.cost == pytest.approx(anew.solution.cost, rel=1e-4)
        plant.calc(data, x, np.clip(plan.torque(0.0, x), plant.u_lb, plant.u_ub))
        x = np.array(data.xnext)
    assert closed > 1


@pytest.mark.skipif(native.load()[0] is None, reason=native.load()[1])
@pytest.mark.parametrize(("start", "nodes"), [(14, 2), (14, 5), (87, 1), (102, 1)])
def test_a_step_is_found_where_several_limits_are_met(start: int, nodes: int) -> None:
    """Four joints at their speed limits, two at their torque bounds: Crocoddyl's box QP finds no way on here, and a joint goes
    past its limit by 0.4 to 2 %. Starts of `evaluate`, where it was met."""
    task, value, _ = load_model("xarm7_workspace")
    rng = np.random.default_rng([EVALUATION, 2026, start])
    goal, x = task.sample_goal(rng), sample_starts(task, rng, 1)[0]
    loop = run_loop(task, goal, x, value, MpcSettings(nodes), 20)
    speeds = np.abs(loop.xs[6:, 7:]) / task.arm.velocity_limit
    assert 0.9 < speeds.max() < 0.97, "the barrier begins at 0.95"


def test_torque_departs_from_the_last_one_at_its_rate(task: ReachTask, goal: Goal, x0: np.ndarray) -> None:
    """Each node asks for what the torque can be on average while it lasts, and the horizon plans with no more than that."""
    rate, limit = 500.0, task.arm.torque_limit
    mpc = MPC(task, goal, RiccatiValue(), MpcSettings(4), torque_rate=rate)
    free = MPC(task, goal, RiccatiValue(), MpcSettings(4)).plan(x0, 0.0).solution
    torque = np.clip(task.arm.gravity_torque(x0[:7]), -limit, limit)
    for elapsed in (0.0, task.dt / 2):  # a fresh start, and one from the plan before
        solution = mpc.plan(x0, elapsed, torque).solution
        assert solution.status.usable
        away = np.abs(solution.us - torque).max(axis=1)
        reach = rate * (np.arange(4) * task.dt + task.dt / 2)
        assert (away <= reach + 1e-9).all()
        assert away[0] == pytest.approx(reach[0]), "this start asks for more at once"
        assert np.abs(free.us[0] - torque).max() > 2 * reach[0]
        model, x = task.running_model(goal), solution.xs[0]
        data = model.createData()
        for k, u in enumerate(solution.us):  # what is planned is where these torques lead
            model.calc(data, x, u)
            x = np.array(data.xnext)
            np.testing.assert_allclose(x, solution.xs[k + 1], atol=1e-9)


def test_a_plan_that_has_to_serve_longer_may_go_further(task: ReachTask, goal: Goal, x0: np.ndarray) -> None:
    mpc = MPC(task, goal, RiccatiValue(), MpcSettings(1), torque_rate=500.0)
    torque = task.arm.gravity_torque(task.arm.home)
    reach = [np.abs(mpc.plan(x0, elapsed, torque).solution.us[0] - torque).max() for elapsed in (1e-3, 8e-3, 0.5)]
    np.testing.assert_allclose(reach, [2.5, 4.0, 5.0])


def test_a_torque_that_is_still_under_way_at_the_end_is_seen(task: ReachTask, goal: Goal) -> None:
    swing = np.array([0.0, 40.0, 0, 0, 0, 0, 0])
    for nodes, away, said in ((2, 0.0, False), (2, 1.0, True), (10, 1.0, False)):
        mpc = MPC(task, goal, RiccatiValue(), MpcSettings(nodes), torque_rate=1000.0)
        assert mpc.under_way(mpc.plan(goal.x, 0.0, goal.u + away * swing)) is said
    # At a joint's own bound nothing is under way.
    fast = np.concatenate([task.arm.home, 0.9 * task.arm.velocity_limit])
    mpc = MPC(task, goal, RiccatiValue(), MpcSettings(2), torque_rate=1e9)
    plan = mpc.plan(fast, 0.0, goal.u)
    assert (np.abs(plan.solution.us[-1]) >= task.arm.torque_limit).any()
    assert not mpc.under_way(plan)


def test_a_rate_is_needed_to_depart_from_a_torque(task: ReachTask, goal: Goal, x0: np.ndarray) -> None:
    with pytest.raises(BadSetting, match="torque_rate"):
        MPC(task, goal, RiccatiValue(), MpcSettings(1)).plan(x0, 0.0, goal.u)


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_warm_start_may_be_read_between_nodes(task: ReachTask, goal: Goal, x0: np.ndarray, share: float) -> None:
    """Plans at four times the node rate: the shift is a fraction of a node, and one iteration is still nearly enough."""
    mpc = MPC(task, goal, RiccatiValue(), MpcSettings(10))
    first = mpc.plan(x0, 0.0)
    elapsed = share * task.dt
    x = (1 - share) * first.solution.xs[0] + share * first.solution.xs[1]
    quick = mpc.plan(x, elapsed)
    exact = MPC(task, goal, RiccatiValue(), MpcSettings(10)).plan(x, 0.0)
    step = np.abs(exact.solution.us[0] - first.solution.us[0]).max()
    assert np.abs(quick.solution.us[0] - exact.solution.us[0]).max() < 0.1 * max(step, 1e-3)


def test_torque_does_not_jump_when_a_new_plan_comes(task: ReachTask, goal: Goal) -> None:
    """Under a push the policy of one plan runs into that of the next; a reference in motion would be reset each time."""
    mpc = MPC(task, goal, RiccatiValue(), MpcSettings(10))
    first = mpc.plan(goal.x + 0.02, 0.0)
    push = np.concatenate([np.zeros(7), np.full(7, 0.02)])  # a speed that the plan knows nothing of
    x = 0.5 * (first.solution.xs[0] + first.solution.xs[1]) + push
    second = mpc.plan(x, task.dt / 2)
    jump = np.abs(second.torque(0.0, x) - first.torque(task.dt / 2, x)).max()
    assert jump < 0.2 * np.abs(first.solution.gains[0] @ push).max()


def test_torque_between_solves_is_the_planned_one_plus_feedback() -> None:
    xs, us = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 3.0]]), np.array([[1.0], [5.0]])
    gains = np.array([[[1.0, 0.0]], [[0.0, 2.0]]])
    plan = Plan(Trajectory(xs, us, gains, 0.0, Status.CONVERGED, 1), dt=0.01)
    np.testing.assert_allclose(plan.torque(0.0, np.array([0.5, 7.0])), [1.0 - 0.5])
    np.testing.assert_allclose(plan.torque(0.01, np.array([1.0, 2.5])), [5.0 - 2 * 0.5])
    np.testing.assert_allclose(plan.torque(9.0, np.array([9.0, 2.0])), [5.0])  # beyond the horizon the last node holds


def test_retargeting_gives_the_plan_of_a_fresh_controller(task: ReachTask, goals: list[Goal], x0: np.ndarray) -> None:
    moved = MPC(task, goals[0], RiccatiValue(), MpcSettings(5, iterations=60))
    moved.plan(x0, 0.0)
    moved.retarget(goals[1])
    fresh = MPC(task, goals[1], RiccatiValue(), MpcSettings(5, iterations=60))
    np.testing.assert_allclose(
        moved.plan(x0, 0.0).solution.us, fresh.plan(x0, 0.0).solution.us, atol=2e-3
    )  # N m, of 40


def test_nan_state_gives_no_usable_plan_and_leaves_no_trace(task: ReachTask, goal: Goal, x0: np.ndarray) -> None:
    mpc = MPC(task, goal, RiccatiValue(), MpcSettings(5))
    mpc.plan(x0, 0.0)
    assert not mpc.plan(np.full(task.nx, np.nan), task.dt).status.usable
    after = mpc.plan(x0, task.dt)
    np.testing.assert_array_equal(
        after.solution.us, MPC(task, goal, RiccatiValue(), MpcSettings(5)).plan(x0, 0.0).solution.us
    )


def test_broken_value_gives_no_usable_plan(task: ReachTask, goal: Goal, x0: np.ndarray) -> None:
    class Broken:
        def at(self, frame: object) -> "Broken":
            return self

        def cost(self, x: np.ndarray, t: np.ndarray) -> float:
            return float("nan")

        def derivatives(self, x: np.ndarray, t: np.ndarray, Jt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return np.full(14, np.nan), np.full((14, 14), np.nan)

    assert not MPC(task, goal, Broken(), MpcSettings(3)).plan(x0, 0.0).status.usable


@pytest.mark.parametrize("field", ["nodes", "iterations", "again_at_most", "first_iterations"])
def test_settings_are_refused_by_name(field: str) -> None:
    with pytest.raises(BadSetting, match=f"{field} = -1"):
        MpcSettings(**{field: -1})
