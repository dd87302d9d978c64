"""Objects that many tests look at and none changes: one arm, its task, a few goals, values and the linear task.

And what becomes of a test that runs in real time while the machine stands still: it is run again.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dvp_mpc.problem.arm import Arm, load_arm
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.systems import LinearTask
from dvp_mpc.problem.task import Goal, sample_starts
from dvp_mpc.value import Kind, Layout, Value
from dvp_mpc.value_file import Golden, save_value


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

    def make(seed: int = 0, hidden: tuple[int, ...] = (20, 16), nr: int = 18, **layout: int | Kind) -> Value:
        rng = np.random.default_rng(seed)
        shape = Layout(task.nx, task.nt, task.nc, hidden, nr, **layout)  # type: ignore[arg-type]
        spread = {"dx": 0.7, "dt": 0.3, "context": 0.6, "turn": 0.7, "y": 1.2, "b": 0.1}
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


@pytest.fixture(scope="session")
def facts() -> dict[str, Any]:
    """What a value file's card says of how it was made."""
    return {
        "accuracy": {"rel_error_median": 0.01},
        "training": {"seed": 0},
        "versions": {"numpy": np.__version__},
        "date": "2026-11-23",
        "command": "train",
    }


@pytest.fixture(scope="session")
def golden(task: ReachTask, goals: list[Goal]) -> Golden:
    """Three states, the last one beyond a limit."""
    x = sample_starts(task, np.random.default_rng(31), 3)
    x[2, 3] = task.state_limits[1][3] + 0.1
    t, Jt = zip(*(task.tool_jacobian(row) for row in x), strict=True)
    return Golden([goal.frame for goal in goals], x, np.array(t), np.array(Jt))


@pytest.fixture(scope="session")
def saved(
    tmp_path_factory: pytest.TempPathFactory, task: ReachTask, value: Value, golden: Golden, facts: dict[str, Any]
) -> Path:
    """A value file that is sound."""
    path = tmp_path_factory.mktemp("values") / "value.safetensors"
    save_value(path, value, task, golden, facts)
    return path


# A process on each processor, no part of what is tested, that wakes every 5 ms for a little work, and says when that
# was done more than 10 ms late: half of what the plant's watchdog waits for a command.
_WATCH = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
due = time.monotonic()
while os.getppid() == int(sys.argv[2]):
    time.sleep(max(0.0, due - time.monotonic()))
    for _ in range(2000):
        pass
    late = time.monotonic() - due
    if late > 0.01:
        os.write(1, f"{due} {late}\\n".encode())
        due += late
    due += 0.005
"""
_BEGIN, _STALLS = pytest.StashKey[float](), pytest.StashKey[Callable[[float], float]]()
_SAID = pytest.StashKey[set[str]]()  # how the tries so far failed, numbers left out
TRIES = 4  # as many as pyproject.toml allows, and the first


class MachineStalled(Exception):
    """A test in real time failed while the machine stood still: it says nothing of what it tests."""


@pytest.fixture(scope="session")
def stalls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[float], float]]:
    """stalls(begin): for how long the machine kept a process waiting since [s], 0 below 10 ms."""
    log = tmp_path_factory.mktemp("machine") / "stalls"
    with log.open("a") as file:
        watches = [
            subprocess.Popen([sys.executable, "-S", "-c", _WATCH, str(cpu), str(os.getpid())], stdout=file)
            for cpu in sorted(os.sched_getaffinity(0))[:8]
        ]

    def longest(begin: float) -> float:
        events = [tuple(map(float, line.split())) for line in log.read_text().splitlines()]
        return max((late for due, late in events if due + late > begin), default=0.0)

    yield longest
    for watch in watches:
        watch.kill()
        watch.wait()


@pytest.fixture(autouse=True)
def _in_real_time(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("realtime"):
        request.node.stash[_STALLS] = request.getfixturevalue("stalls")
        request.node.stash[_BEGIN] = time.monotonic()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """A failure in real time on a machine that stood still is MachineStalled, which is run again.

    The last one is skipped, unless all failed in the same way: chance is not that faithful, a wrong test is.
    """
    try:
        return (yield)
    except Exception as failure:
        if not item.get_closest_marker("realtime"):
            raise
        stall = item.stash[_STALLS](item.stash[_BEGIN])
        if stall == 0.0:
            raise
        item.stash.setdefault(_SAID, set()).add(re.sub(r"[\d.]+", "#", f"{type(failure).__name__}: {failure}"))
        said = f"the machine stood still for {1e3 * stall:.0f} ms"
        if getattr(item, "execution_count", 1) >= TRIES:
            if len(item.stash[_SAID]) == 1:
                raise
            pytest.skip(f"{said} in the last of {TRIES} tries, so nothing is known of: {str(failure)[:100]}")
        raise MachineStalled(said) from failure
