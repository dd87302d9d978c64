"""The solver in a process of its own: the same plans, and a death or hang that costs the caller nothing."""

import os
import signal
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.control.planner import Planned, Solver
from dvp_mpc.control.planner_process import HUNG, ProcessPlanner
from dvp_mpc.errors import RunFailed
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.task import Goal, sample_starts
from dvp_mpc.value import GoalFrame, RiccatiValue

SETTINGS = MpcSettings(5)


@pytest.fixture(scope="module")
def shared(task: ReachTask, goal: Goal) -> Iterator[ProcessPlanner]:
    planner = ProcessPlanner(task, goal, RiccatiValue(), SETTINGS)
    yield planner
    planner.close()


def answer(planner: ProcessPlanner) -> Planned:
    assert wait_for(lambda: planner._child.pipe.poll())
    found = planner.newest()
    assert found is not None
    return found


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.002)
    return bool(condition())


def test_plans_are_those_of_the_same_solver_here(shared: ProcessPlanner, task: ReachTask, goals: list[Goal]) -> None:
    here = Solver(task, goals[0], RiccatiValue(), SETTINGS)
    here(0.0, goals[0].x, goals[0], True)  # as the child did to prove itself
    for k, x in enumerate(sample_starts(task, np.random.default_rng(3), 4)):
        wanted = here(0.005 * k, x, goals[k // 2], k != 2)
        shared.request(0.005 * k, x, goals[k // 2], k != 2)
        found = answer(shared)
        assert found.t == 0.005 * k
        assert found.plan is not None
        assert wanted.plan is not None
        np.testing.assert_allclose(found.plan.solution.us, wanted.plan.solution.us, rtol=1e-9, atol=1e-9)
    assert shared.newest() is None


def test_a_request_while_one_is_under_way_is_dropped(shared: ProcessPlanner, goal: Goal) -> None:
    shared.request(1.0, goal.x, goal, True)
    shared.request(2.0, goal.x, goal, True)
    assert answer(shared).t == 1.0
    time.sleep(0.05)
    assert shared.newest() is None


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGABRT])
def test_death_is_noticed_said_and_mended(task: ReachTask, goal: Goal, how: signal.Signals) -> None:
    planner = ProcessPlanner(task, goal, RiccatiValue(), SETTINGS)
    try:
        assert planner.failure == ""
        os.kill(planner.pid, how)
        assert wait_for(lambda: planner.failure)
        assert how.name in planner.failure
        planner.request(0.0, goal.x, goal, True)
        assert planner.newest() is None
        planner.restart()
        assert planner.failure == "the solver is starting"
        assert wait_for(lambda: not planner.failure)
        planner.request(3.0, goal.x, goal, True)
        assert answer(planner).t == 3.0
    finally:
        planner.close()


def test_a_hang_is_noticed(task: ReachTask, goal: Goal) -> None:
    planner = ProcessPlanner(task, goal, RiccatiValue(), SETTINGS)
    try:
        os.kill(planner.pid, signal.SIGSTOP)
        began = time.monotonic()
        planner.request(0.0, goal.x, goal, True)
        assert time.monotonic() - began < 0.1
        assert wait_for(lambda: planner.failure)
        assert time.monotonic() - began >= HUNG
        assert "no answer" in planner.failure
    finally:
        planner.close()


class Raising:
    """A value that fails from the first call; importable, so that it reaches the child."""

    def at(self, frame: GoalFrame) -> "Raising":
        return self

    def cost(self, x: np.ndarray, t: np.ndarray) -> float:
        raise ValueError("no value here")

    def derivatives(self, x: np.ndarray, t: np.ndarray, Jt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raise ValueError("no value here")


def test_a_solver_that_cannot_plan_is_refused_at_the_start(task: ReachTask, goal: Goal) -> None:
    with pytest.raises(RunFailed):
        ProcessPlanner(task, goal, Raising(), SETTINGS)
