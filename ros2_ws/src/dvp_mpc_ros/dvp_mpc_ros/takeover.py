"""Before an arm is moved: what must be seen, known and alive. Each watch waits, and says what speaks against it."""

import time
from collections.abc import Sequence

import numpy as np
from rclpy.node import Node
from rclpy.subscription import Subscription

from dvp_mpc.control.planner_process import STARTING, ProcessPlanner
from dvp_mpc.control.readiness import WATCH, Readiness
from dvp_mpc.problem.arm import Arm
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.task import Goal
from dvp_mpc_ros import graph
from dvp_mpc_ros.command_loop import StateReader

PATIENCE = 0.8  # [s] for a driver that is only just starting
ACQUAINTANCE = 5.0  # [s] for one that may not see us yet: a lost word of discovery is said again after some 3 s
SOLVER_WITHIN = 10.0  # [s]


def watch_states(node: Node, states: Subscription, reader: StateReader, arm: Arm) -> tuple[Readiness, list[str]]:
    """Watch the state stream for a second, from its first message on, and then the graph; what speaks against moving."""
    reader.forget()
    readiness = Readiness(arm)
    heard = _watch(reader, readiness, PATIENCE, until_heard=True)
    if not heard and not graph.objections_to_states(node, states):
        heard = _watch(reader, readiness, ACQUAINTANCE, until_heard=True)
    if heard:
        _watch(reader, readiness, WATCH)
    return readiness, graph.objections_to_states(node, states) + readiness.objections(WATCH)


def _watch(reader: StateReader, readiness: Readiness, seconds: float, until_heard: bool = False) -> bool:
    """Show the states that come to `readiness`; whether any came."""
    heard, until = False, time.monotonic() + seconds
    while (now := time.monotonic()) < until and not (heard and until_heard):
        if (seen := reader.newest(now)) is not None:
            heard = True
            readiness.see(seen)
        else:
            time.sleep(0.002)
    return heard


def first_goal(task: ReachTask, q: np.ndarray, asked: Sequence[float]) -> Goal:
    """The goal (3,) [m] that is asked for; unasked, an arm in the posture q (7,) [rad] is to stay there. Raises GoalError."""
    return task.goal(np.array(asked)) if asked else task.stay(q)


def solver_failure(planner: ProcessPlanner) -> str:
    """Why there is no solver, after another was given time to start; "" if there is one."""
    if planner.failure not in ("", STARTING):
        planner.restart()
    until = time.monotonic() + SOLVER_WITHIN
    while planner.failure == STARTING and time.monotonic() < until:
        time.sleep(0.02)
    return planner.failure
