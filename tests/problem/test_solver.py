"""solve: every status is forced once, and what it calls usable is what it says."""

from types import SimpleNamespace

import crocoddyl
import numpy as np
import pytest

from dvp_mpc import native
from dvp_mpc.problem.ocp import build_problem
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.solver import Status, make_solver, quasi_static_guess, solve, trajectory
from dvp_mpc.problem.systems import LinearTask
from dvp_mpc.problem.task import Goal, sample_starts
from dvp_mpc.value import BoundValue, GoalFrame, RiccatiValue, Value


@pytest.fixture(scope="module")
def start(task: ReachTask) -> np.ndarray:
    return sample_starts(task, np.random.default_rng(12), 1)[0]


class Broken:
    """A quadratic value with one answer replaced, from the call `good_for` on."""

    def __init__(self, answer: str, bad: float, good_for: int = 0):
        self.answer, self.bad, self.good_for = answer, bad, good_for

    def at(self, goal: GoalFrame) -> BoundValue:
        self.sound = RiccatiValue().at(goal)
        return self

    def cost(self, x: np.ndarray, t: np.ndarray) -> float:
        self.good_for -= 1
        return self.bad if self.answer == "V" and self.good_for < 0 else self.sound.cost(x, t)

    def derivatives(self, x: np.ndarray, t: np.ndarray, Jt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        Vx, Vxx = self.sound.derivatives(x, t, Jt)
        return (Vx * self.bad if self.answer == "Vx" else Vx), (Vxx * self.bad if self.answer == "Vxx" else Vxx)


def test_solver_stack_works() -> None:
    """crocoddyl 3.2.1 with pinocchio 4.1 imports, and then fails or aborts here; see the pins."""
    from dvp_mpc.problem.arm import load_arm

    state = crocoddyl.StateMultibody(load_arm("panda").model)
    assert crocoddyl.ResidualModelControlGrav(state).nr == state.nv
    task = ReachTask(load_arm("panda"))
    goal = task.goal(np.array([0.5, 0.1, 0.4]))
    problem = build_problem(task, goal, np.concatenate([task.arm.home, np.zeros(7)]), 3, None)
    solver = make_solver(problem)
    assert solve(solver, *quasi_static_guess(problem, goal.u), iterations=20) is Status.CONVERGED


def test_converged(task: ReachTask, goal: Goal, start: np.ndarray) -> None:
    problem = build_problem(task, goal, start, 20, RiccatiValue())
    solver = make_solver(problem)
    status = solve(solver, *quasi_static_guess(problem, goal.u), iterations=100)
    found = trajectory(solver, status)
    assert status is found.status is Status.CONVERGED
    assert status.usable
    assert 1 <= found.iterations < 100
    assert found.xs.shape == (21, task.nx)
    assert found.us.shape == (20, task.nu)
    assert found.gains.shape == (20, task.nu, task.nx)
    assert np.array_equal(found.xs[0], start)
    model, total = problem.runningModels[0], 0.0
    data = model.createData()
    for x, u, after in zip(found.xs, found.us, found.xs[1:], strict=False):
        model.calc(data, x, u)
        assert data.xnext == pytest.approx(after, abs=1e-12)  # the solver rolled out the very same node
        total += data.cost
    total += RiccatiValue().at(goal.frame).cost(found.xs[-1], np.zeros(3))
    assert found.cost == pytest.approx(total, rel=1e-12)


def test_iteration_limit_is_usable_but_no_label(task: ReachTask, goal: Goal, start: np.ndarray) -> None:
    problem = build_problem(task, goal, start, 20, RiccatiValue())
    solver, (_, us) = make_solver(problem), quasi_static_guess(problem, goal.u)
    status = solve(solver, problem.rollout(us), us, iterations=1, feasible=True)
    assert status is Status.ITERATION_LIMIT
    assert status.usable
    assert trajectory(solver, status).iterations == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
@pytest.mark.parametrize("joint", [0, 6, 13])
@pytest.mark.parametrize("iterations", [1, 30])
@pytest.mark.filterwarnings("ignore:.*encountered in matmul:RuntimeWarning")
def test_bad_start_is_never_usable(
    task: ReachTask, goal: Goal, start: np.ndarray, bad: float, joint: int, iterations: int
) -> None:
    x0 = start.copy()
    x0[joint] = bad
    problem = build_problem(task, goal, x0, 5, RiccatiValue())
    solver = make_solver(problem)
    for xs, us in [quasi_static_guess(problem, goal.u), ([goal.x] * 6, [goal.u] * 5)]:
        status = solve(solver, xs, us, iterations=iterations)
        assert not status.usable
        assert not trajectory(solver, status).status.usable


@pytest.mark.parametrize("nodes", [1, 5])
@pytest.mark.parametrize("iterations", [1, 30])
@pytest.mark.parametrize(
    ("terminal", "status"),
    [
        (Broken("V", np.nan), Status.NOT_FINITE),
        (Broken("V", np.inf), Status.NOT_FINITE),
        (Broken("V", -np.inf), Status.NOT_FINITE),
        (Broken("V", np.nan, good_for=1), Status.OPEN_GAPS),  # sound at the guess, NaN wherever the solver tries to go
        (Broken("Vx", np.nan), Status.NO_ITERATION),
        (Broken("Vxx", np.nan), Status.NO_ITERATION),
        (Broken("Vxx", np.inf), Status.NO_ITERATION),
    ],
    ids=["V nan", "V inf", "V -inf", "V nan later", "Vx nan", "Vxx nan", "Vxx inf"],
)
def test_broken_value_is_never_usable(
    task: ReachTask, goal: Goal, start: np.ndarray, terminal: Broken, status: Status, iterations: int, nodes: int
) -> None:
    broken = Broken(terminal.answer, terminal.bad, terminal.good_for)  # a fresh count of calls
    problem = build_problem(task, goal, start, nodes, broken)
    solver = make_solver(problem)
    assert solve(solver, *quasi_static_guess(problem, goal.u), iterations=iterations) is status
    assert not status.usable
    assert not trajectory(solver, status).status.usable


def test_nan_in_the_gains_is_seen(task: ReachTask, goal: Goal, start: np.ndarray) -> None:
    """`solve` looks at the cost; `trajectory` looks at every number that a controller would use."""
    problem = build_problem(task, goal, start, 1, Broken("Vxx", np.nan))
    solver = make_solver(problem)
    solve(solver, *quasi_static_guess(problem, goal.u), iterations=1)
    assert trajectory(solver, Status.CONVERGED).status is Status.NOT_FINITE


@pytest.mark.skipif(native.load()[0] is None, reason=native.load()[1])
@pytest.mark.parametrize("system", ["arm", "linear"])
def test_compiled_way_into_a_solver_and_out_of_it_is_the_other_one(
    system: str, task: ReachTask, goal: Goal, linear: LinearTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, from one node on, where NumPy and Crocoddyl are fond of losing a dimension, and with one control."""
    which, aim = (task, goal) if system == "arm" else (linear, linear.origin)
    for nodes in (1, 2, 7):
        found = []
        for compiled in (native.load()[0], None):
            problem = build_problem(which, aim, aim.x + 0.1, nodes, RiccatiValue())
            solver = make_solver(problem)
            with monkeypatch.context() as patch:
                patch.setattr("dvp_mpc.problem.solver._compiled", compiled)
                first = trajectory(solver, solve(solver, *quasi_static_guess(problem, aim.u), iterations=2))
                found += [first, trajectory(solver, solve(solver, first.xs, first.us, iterations=3, feasible=True))]
        for ours, theirs in zip(found[:2], found[2:], strict=True):
            assert ours.xs.shape == (nodes + 1, which.nx)
            assert ours.gains.shape == (nodes, which.nu, which.nx)
            for name in ("xs", "us", "gains"):
                np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
            assert (ours.status, ours.cost, ours.iterations) == (theirs.status, theirs.cost, theirs.iterations)


@pytest.mark.skipif(native.load()[0] is None, reason=native.load()[1])
def test_compiled_solve_refuses_a_guess_of_another_length(task: ReachTask, goal: Goal) -> None:
    solver = make_solver(build_problem(task, goal, goal.x, 3, None))
    with pytest.raises(ValueError, match="does not fit the horizon"):
        solve(solver, np.zeros(4 * task.nx - 1), np.zeros((3, task.nu)), iterations=1)


def test_wrong_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crocoddyl is not known to do this; a solver that did would move the arm along somebody else's plan."""
    monkeypatch.setattr("dvp_mpc.problem.solver._compiled", None)  # it would not take what is no solver
    problem = SimpleNamespace(x0=np.zeros(2))
    solver = SimpleNamespace(
        problem=problem, cost=1.0, iter=1, isFeasible=True, xs=[np.ones(2)], solve=lambda *guess: True
    )
    assert solve(solver, [], [], iterations=1) is Status.WRONG_START
    solver.xs = [np.zeros(2)]
    assert solve(solver, [], [], iterations=1) is Status.CONVERGED


def test_open_gaps_of_a_shortened_step(task: ReachTask, goal: Goal) -> None:
    """From a guess that follows from nothing one iteration often takes half a step, which leaves half of each gap."""
    rng, seen = np.random.default_rng(13), []
    for _ in range(30):
        guess = sample_starts(task, rng, 7)
        problem = build_problem(task, goal, guess[6], 5, RiccatiValue())
        solver = make_solver(problem)
        status = solve(solver, list(guess[:6]), [0 * goal.u] * 5, iterations=1)
        model = problem.runningModels[0]
        data, gaps = model.createData(), []
        for x, u, after in zip(solver.xs, solver.us, solver.xs[1:], strict=False):
            model.calc(data, x, u)
            gaps.append(np.abs(data.xnext - after).max())
        assert (max(gaps) < 1e-9) == status.usable  # closed to rounding, or open by a share of gaps of order 1
        seen.append(status)
    assert {Status.OPEN_GAPS, Status.ITERATION_LIMIT} <= set(seen)


def test_trajectories_are_copies(task: ReachTask, goal: Goal, start: np.ndarray) -> None:
    problem = build_problem(task, goal, start, 5, RiccatiValue())
    solver = make_solver(problem)
    first = trajectory(solver, solve(solver, *quasi_static_guess(problem, goal.u), iterations=30))
    kept = [a.copy() for a in (first.xs, first.us, first.gains)]
    problem.x0 = goal.x
    second = trajectory(solver, solve(solver, *quasi_static_guess(problem, goal.u), iterations=30))
    for before, now, other in zip(
        kept, (first.xs, first.us, first.gains), (second.xs, second.us, second.gains), strict=True
    ):
        assert np.array_equal(before, now)
        assert not np.allclose(before, other)


def test_torque_bounds_hold(task: ReachTask, goal: Goal) -> None:
    """Full speed ahead on every joint: braking asks for all that some joints have."""
    bound, touched = task.arm.torque_limit, False
    for sign in (-1, 1):
        x0 = np.concatenate([task.arm.home, sign * 0.95 * task.arm.velocity_limit])
        problem = build_problem(task, goal, x0, 30, RiccatiValue())
        solver = make_solver(problem)
        for iterations in (1, 100):
            found = trajectory(solver, solve(solver, *quasi_static_guess(problem, goal.u), iterations=iterations))
            assert (np.abs(found.us) <= bound).all()
            touched |= bool((np.abs(found.us) == bound).any())
    assert touched


def test_guess_stays_at_the_start(task: ReachTask, goal: Goal, start: np.ndarray) -> None:
    at_rest = np.concatenate([start[:7], np.zeros(7)])
    xs, us = quasi_static_guess(build_problem(task, goal, at_rest, 4, None), goal.u)
    assert len(xs) == len(us) + 1 == 5
    assert all(np.array_equal(x, at_rest) for x in xs)
    assert us[0] == pytest.approx(task.arm.gravity_torque(start[:7]), abs=1e-6)  # found by a few Newton steps


def test_tail_of_an_optimum_is_optimal(task: ReachTask, goal: Goal, start: np.ndarray) -> None:
    """Bellman's principle: solving again from node k of a solution gives its tail."""
    problem = build_problem(task, goal, start, 40, RiccatiValue())
    solver = make_solver(problem, 1e-13)
    whole = trajectory(solver, solve(solver, *quasi_static_guess(problem, goal.u), iterations=200))
    assert whole.status is Status.CONVERGED
    for k in (1, 13, 39):
        tail_problem = build_problem(task, goal, whole.xs[k], 40 - k, RiccatiValue())
        tail_solver = make_solver(tail_problem, 1e-13)
        tail = trajectory(tail_solver, solve(tail_solver, *quasi_static_guess(tail_problem, goal.u), iterations=200))
        assert tail.status is Status.CONVERGED
        # Gauss-Newton stops when the expected decrease is 1e-13, so u is exact to the root of that over the curvature.
        assert tail.xs == pytest.approx(whole.xs[k:], abs=1e-5)


@pytest.mark.parametrize("nodes", [1, 2, 10])
def test_short_horizon_with_the_true_value_is_a_long_one(linear: LinearTask, nodes: int) -> None:
    goal = linear.origin
    bound, none = RiccatiValue().at(goal.frame), np.zeros(0)
    for x0 in sample_starts(linear, np.random.default_rng(14), 5):
        short = build_problem(linear, goal, x0, nodes, RiccatiValue())
        long = build_problem(linear, goal, x0, 600, None)  # a minute; the slowest mode decays within two seconds
        found = []
        for problem in (short, long):
            solver = make_solver(problem)
            status = solve(solver, *quasi_static_guess(problem, goal.u), iterations=20)
            assert status is Status.CONVERGED
            found.append(trajectory(solver, status))
        a, b = found
        assert a.cost == pytest.approx(b.cost, rel=1e-9)
        assert a.cost == pytest.approx(bound.cost(x0, none), rel=1e-9)
        assert a.us[0] == pytest.approx(b.us[0], rel=1e-7, abs=1e-9)  # the solver regularises with 1e-9
        assert a.xs == pytest.approx(b.xs[: nodes + 1], rel=1e-7, abs=1e-9)


def test_learned_value_closes_the_same_problem(task: ReachTask, goal: Goal, start: np.ndarray, value: Value) -> None:
    """A network in the terminal node takes no step that the solver could not answer for."""
    problem = build_problem(task, goal, start, 5, value)
    solver = make_solver(problem)
    status = solve(solver, *quasi_static_guess(problem, goal.u), iterations=100)
    assert status is Status.CONVERGED
