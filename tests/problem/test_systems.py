"""The paper's systems move as Gymnasium's do, and every derivative is the slope of what it claims to be."""

import pickle
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest

from dvp_mpc.problem.classic import Cartpole, Pendulum
from dvp_mpc.problem.ocp import build_problem
from dvp_mpc.problem.solver import Status, make_solver, quasi_static_guess, solve
from dvp_mpc.problem.systems import OriginTask, Unicycle
from dvp_mpc.problem.task import sample_starts

SYSTEMS = (Unicycle(), Pendulum(), Cartpole())


def roll(task: OriginTask, x: np.ndarray, us: np.ndarray) -> np.ndarray:
    model = task.running_model(task.origin)
    data, xs = model.createData(), [x]
    for u in us:
        model.calc(data, xs[-1], u)
        xs.append(np.array(data.xnext))
    return np.array(xs)


def test_pendulum_moves_as_gymnasiums() -> None:
    rng = np.random.default_rng(0)
    env: Any = gymnasium.make("Pendulum-v1").unwrapped
    for _ in range(20):
        x, us = rng.uniform([-np.pi, -1], [np.pi, 1]), rng.uniform(-2, 2, (20, 1))
        env.reset(seed=0)
        env.state, theirs = x.copy(), [x]
        for u in us:
            env.step(u)
            theirs.append(np.array(env.state))
        theirs = np.array(theirs)
        assert np.abs(theirs[:, 1]).max() < 8, "its speed limit, which ours has not, must stay out of this"
        np.testing.assert_allclose(roll(Pendulum(), x, us), theirs, atol=1e-12)


def gymnasium_cartpole(x: np.ndarray, us: np.ndarray, integrator: str) -> np.ndarray:
    """Its state in our order; its push is as strong as ours, instead of 10 N either way."""
    env: Any = gymnasium.make("CartPole-v1").unwrapped
    env.reset(seed=0)
    env.kinematics_integrator, env.theta_threshold_radians, env.x_threshold = integrator, np.inf, np.inf
    env.state, xs = x[[0, 2, 1, 3]], [x]
    for (u,) in us:
        env.force_mag = abs(u)
        env.step(int(u > 0))
        xs.append(np.array(env.state)[[0, 2, 1, 3]])
    return np.array(xs)


def test_cartpole_moves_as_gymnasiums() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        x, us = rng.uniform(-1, 1, 4) * [1, np.pi, 2, 3], rng.uniform(-10, 10, (50, 1))
        ours = roll(Cartpole(), x, us)
        np.testing.assert_allclose(ours, gymnasium_cartpole(x, us, "semi-implicit-euler"), atol=1e-9)


def test_cartpole_differs_from_explicit_euler_by_a_step_of_its_acceleration() -> None:
    x, us = np.array([0.5, 0.3, -0.4, 0.2]), np.full((1, 1), 3.0)
    ours, theirs = roll(Cartpole(), x, us), gymnasium_cartpole(x, us, "euler")
    dt = Cartpole().dt
    np.testing.assert_allclose((ours - theirs)[1], [*(dt * (ours[1] - x)[2:]), 0, 0], atol=1e-15)
    assert 0 < np.abs(ours - theirs).max() < 0.005


@pytest.mark.parametrize("task", SYSTEMS, ids=lambda task: type(task).__name__)
def test_derivatives_of_a_node(task: OriginTask, slope: Callable[..., np.ndarray]) -> None:
    model, rng = task.running_model(task.origin), np.random.default_rng(2)
    data, nx, nu = model.createData(), task.nx, task.nu

    def node(z: np.ndarray) -> np.ndarray:
        other = model.createData()
        model.calc(other, z[:nx], z[nx:])
        return np.concatenate([np.array(other.xnext), [other.cost]])

    for _ in range(5):
        z = rng.uniform(-2, 2, nx + nu)
        model.calc(data, z[:nx], z[nx:])
        model.calcDiff(data, z[:nx], z[nx:])
        found = slope(node, z)
        Fu = np.reshape(data.Fu, (nx, nu))
        np.testing.assert_allclose(np.hstack([data.Fx, Fu]), found[:nx], atol=1e-7)
        np.testing.assert_allclose(np.concatenate([data.Lx, np.atleast_1d(data.Lu)]), found[nx], atol=1e-7)


@pytest.mark.parametrize(
    ("task", "scale"),
    [(Unicycle(), 0.5), (Pendulum(w_u=1.0), 0.05), (Cartpole(w_u=1.0), 0.02)],
    ids=lambda x: str(x)[:8],
)
def test_cost_is_the_papers(task: OriginTask, scale: float) -> None:
    model, rng = task.running_model(task.origin), np.random.default_rng(3)
    data, x, u = model.createData(), rng.normal(size=task.nx), rng.normal(size=task.nu)
    model.calc(data, x, u)
    assert data.cost == pytest.approx(scale * (x @ x + u @ u), rel=1e-12)


@pytest.mark.parametrize("task", SYSTEMS, ids=lambda task: type(task).__name__)
def test_goal_is_an_equilibrium_that_costs_nothing(task: OriginTask) -> None:
    model, goal = task.running_model(task.origin), task.origin
    data = model.createData()
    model.calc(data, goal.x, goal.u)
    np.testing.assert_allclose(data.xnext, goal.x, atol=1e-15)
    assert data.cost == 0
    assert pickle.loads(pickle.dumps(task)).digest == task.digest


@pytest.mark.parametrize("task", SYSTEMS, ids=lambda task: type(task).__name__)
def test_problems_from_the_box_are_solved(task: OriginTask) -> None:
    for x0 in sample_starts(task, np.random.default_rng(4), 10):
        problem = build_problem(task, task.origin, x0, 40, None)
        guess = quasi_static_guess(problem, task.origin.u)
        assert solve(make_solver(problem), *guess, iterations=200) is Status.CONVERGED


def test_riccati_root_where_there_is_one() -> None:
    assert not Unicycle().origin.root.any()
    for task in (Pendulum(), Cartpole()):
        assert np.linalg.eigvalsh(task.origin.root @ task.origin.root.T).min() > 0
