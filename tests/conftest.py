"""Objects that many tests look at and none changes: one arm, its task, a few goals, values and the linear task."""

from collections.abc import Callable

import numpy as np
import pytest

from dvp_mpc.problem.arm import Arm, load_arm
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.systems import LinearTask
from dvp_mpc.problem.task import Goal
from dvp_mpc.value import Kind, Layout, Value


@pytest.fixture(scope="session")
def panda() -> Arm:
    return load_arm("panda")


@pytest.fixture(scope="session")
def task(panda: Arm) -> ReachTask:
    return ReachTask(panda)


@pytest.fixture(scope="session")
def goals(task: ReachTask) -> list[Goal]:
    rng = np.random.default_rng(20)
    return [task.sample_goal(rng) for _ in range(3)]


@pytest.fixture(scope="session")
def goal(goals: list[Goal]) -> Goal:
    return goals[0]


@pytest.fixture(scope="session")
def linear() -> LinearTask:
    """A double integrator: x = (position, speed), pushed ten times a second."""
    dt = 0.1
    A, B = np.array([[1, dt], [0, 1]]), np.array([[dt * dt / 2], [dt]])
    return LinearTask(A, B, Q=dt * np.diag([2.0, 0.5]), R=dt * np.array([[0.2]]), dt=dt)


@pytest.fixture(scope="session")
def make_value(task: ReachTask, goals: list[Goal]) -> Callable[..., Value]:
    """make_value(seed, **layout): a value for `task` with random weights of the size that training gives them."""

    def make(seed: int = 0, hidden: tuple[int, ...] = (20, 16), nr: int = 18, **layout: bool | Kind) -> Value:
        rng = np.random.default_rng(seed)
        shape = Layout(task.nx, task.nt, task.nc, hidden, nr, **layout)  # type: ignore[arg-type]
        spread = {"dx": 0.7, "dt": 0.3, "context": 0.6, "y": 1.2, "b": 0.1}
        weights = {"scale": np.ones(shape.nz), "mean": np.zeros(shape.nz)}
        for block, rows in shape.blocks.items():
            weights["scale"][rows] = spread[block]
        weights["mean"][shape.blocks["context"]] = np.mean([g.context for g in goals], axis=0)
        for name, size in shape.shapes.items():
            if name not in weights:
                weights[name] = rng.standard_normal(size) * (0.3 if name in "Sa" else 1 / np.sqrt(size[-1]))
        # A value file keeps float32: one that has been there and back is the one to test with.
        return Value(shape, task.state_limits, {k: w.astype(np.float32).astype(float) for k, w in weights.items()})

    return make


@pytest.fixture(scope="session")
def value(make_value: Callable[..., Value]) -> Value:
    return make_value()


@pytest.fixture(scope="session")
def slope() -> Callable[..., np.ndarray]:
    """slope(f, x, step): df/dx by central differences, the one judge of every derivative: (*f.shape, nx)."""

    def central(f: Callable[[np.ndarray], np.ndarray | float], x: np.ndarray, step: float = 1e-6) -> np.ndarray:
        columns = []
        for e in np.eye(len(x)):
            columns.append((np.array(f(x + step * e)) - np.array(f(x - step * e))) / (2 * step))
        return np.stack(columns, axis=-1)

    return central
