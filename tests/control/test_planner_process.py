"""The solver in a process of its own: the same plans, and a death or hang that costs the caller nothing."""

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.control.planner import Planned, Solver
from dvp_mpc.control.planner_process import HUNG, PRELOAD, STARTING, ProcessPlanner
from dvp_mpc.errors import RunFailed
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.task import Goal, sample_starts
from dvp_mpc.value import GoalFrame, RiccatiValue

SETTINGS = MpcSettings(5)

Facts = Callable[[int], dict[str, str]]
WaitFor = Callable[..., bool]

pytestmark = pytest.mark.realtime


@pytest.fixture(scope="module")
def shared(task: ReachTask, goal: Goal) -> Iterator[ProcessPlanner]:
    planner = ProcessPlanner(task, goal, RiccatiValue(), SETTINGS)
    yield planner
    planner.close()


def answer(planner: ProcessPlanner) -> Planned:
    assert planner._child.pipe.poll(20.0)
    found = planner.newest()
    assert found is not None
    return found


def plans_again(planner: ProcessPlanner, goal: Goal, wait_for: WaitFor) -> bool:
    """Whether the solver that was restarted comes up and answers."""
    assert wait_for(lambda: not planner.failure)
    planner.request(3.0, goal.x, goal.u, goal, True)
    return answer(planner).t == 3.0


def test_plans_are_those_of_the_same_solver_here(shared: ProcessPlanner, task: ReachTask, goals: list[Goal]) -> None:
    here = Solver(task, goals[0], RiccatiValue(), SETTINGS)
    here(0.0, goals[0].x, goals[0].u, goals[0], True)  # as the child did to prove itself
    for k, x in enumerate(sample_starts(task, np.random.default_rng(3), 4)):
        wanted = here(0.005 * k, x, goals[0].u, goals[k // 2], k != 2)
        shared.request(0.005 * k, x, goals[0].u, goals[k // 2], k != 2)
        found = answer(shared)
        assert found.t == 0.005 * k
        assert found.plan is not None
        assert wanted.plan is not None
        np.testing.assert_allclose(found.plan.solution.us, wanted.plan.solution.us, rtol=1e-9, atol=1e-9)
    assert shared.newest() is None


def test_a_request_while_one_is_under_way_is_dropped(shared: ProcessPlanner, goal: Goal) -> None:
    shared.request(1.0, goal.x, goal.u, goal, True)
    shared.request(2.0, goal.x, goal.u, goal, True)
    assert answer(shared).t == 1.0
    time.sleep(0.05)
    assert shared.newest() is None


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGABRT])
def test_death_is_noticed_said_and_mended(task: ReachTask, goal: Goal, how: signal.Signals, wait_for: WaitFor) -> None:
    slowly = functools.partial(time.sleep, 0.5)  # or the new one may be there before it is asked for
    planner = ProcessPlanner(task, goal, RiccatiValue(), SETTINGS, slowly)
    try:
        assert planner.failure == ""
        os.kill(planner.pid, how)
        assert wait_for(lambda: planner.failure)
        assert how.name in planner.failure
        planner.request(0.0, goal.x, goal.u, goal, True)
        assert planner.newest() is None
        planner.restart()
        assert planner.failure == STARTING
        assert plans_again(planner, goal, wait_for)
    finally:
        planner.close()


def test_a_replacement_costs_far_less_than_a_fresh_interpreter(task: ReachTask, goal: Goal, wait_for: WaitFor) -> None:
    planner = ProcessPlanner(task, goal, RiccatiValue(), SETTINGS)
    try:
        took, fresh = [], []
        for _ in range(3):  # in turn, so that a busy machine slows both
            began = time.monotonic()
            planner.restart()
            assert wait_for(lambda: not planner.failure)
            took.append(time.monotonic() - began)
            began = time.monotonic()
            subprocess.run([sys.executable, "-c", f"import {PRELOAD[0]}"], check=True)
            fresh.append(time.monotonic() - began)
        assert min(took) < 0.4 * min(fresh)  # 0.1 on an idle machine, and the fresh one has not solved yet
    finally:
        planner.close()


def test_the_death_of_the_server_is_noticed_said_and_mended(
    task: ReachTask, goal: Goal, facts: Facts, wait_for: WaitFor
) -> None:
    planner = ProcessPlanner(task, goal, RiccatiValue(), SETTINGS)
    try:
        before = planner.pid
        server = int(facts(before)["PPid"])
        assert server != os.getpid()
        os.kill(server, signal.SIGKILL)
        assert wait_for(lambda: planner.failure)
        assert "with the server" in planner.failure
        assert wait_for(lambda: not facts(before))  # the child does not outlive it as an orphan
        planner.restart()
        assert plans_again(planner, goal, wait_for)
    finally:
        planner.close()


def test_a_hang_is_noticed(task: ReachTask, goal: Goal, wait_for: WaitFor) -> None:
    planner = ProcessPlanner(task, goal, RiccatiValue(), SETTINGS)
    try:
        os.kill(planner.pid, signal.SIGSTOP)
        began = time.monotonic()
        planner.request(0.0, goal.x, goal.u, goal, True)
        assert time.monotonic() - began < 0.1
        assert wait_for(lambda: planner.failure)
        assert time.monotonic() - began >= HUNG
        assert "no answer" in planner.failure
    finally:
        planner.close()


def test_an_answer_that_nobody_took_is_no_failure(task: ReachTask, goal: Goal) -> None:
    """As at the end of every loop: its last request is answered after it."""
    planner = ProcessPlanner(task, goal, RiccatiValue(), SETTINGS)
    try:
        planner.request(0.0, goal.x, goal.u, goal, True)
        time.sleep(2 * HUNG)
        assert not planner.failure
        assert planner.newest() is not None
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
