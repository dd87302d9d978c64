"""Planner: where plans come from. The controller asks and looks; it never waits.

InlinePlanner     solves in `request` itself: simulation, studies, a loop that owns its whole period
ProcessPlanner    solves in a process of its own (planner_process.py): the death or hang of a solver costs no torque
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np

from dvp_mpc.control.mpc import MPC, MpcSettings, Plan
from dvp_mpc.control.torque import TORQUE_RATE
from dvp_mpc.problem.task import Goal, Task
from dvp_mpc.value import RiccatiValue, ValueFunction

LONGER_NODES = 10  # at least, where what a value says of the end of a short horizon is not to be relied on


class Policy(Protocol):
    """What a plan is to a controller."""

    def torque(self, age: float, x: np.ndarray) -> np.ndarray:
        """Torque (7,) [N m] in the state x (14,), `age` [s] after the state that was planned from."""


class Planned(NamedTuple):
    """What became of a request."""

    t: float
    """When the state of the request held [s]."""
    plan: Policy | None
    """None when there is no usable one."""
    refusal: str
    """Why there is none."""
    seconds: float
    """Solve time."""


class Planner(Protocol):
    """What a controller asks of a planner; only one thread may use it."""

    def request(self, t: float, x: np.ndarray, torque: np.ndarray, goal: Goal, trusted: bool) -> None:
        """Plan from state x (14,) that holds at t [s]. Dropped when the last request is still being worked on.

        torque: what acts (7,) [N m] when the plan begins to, and cannot jump.
        trusted: whether the value may end the problem; if not, the Riccati value of the goal does.
        """

    def newest(self) -> Planned | None:
        """The newest answer, once."""

    @property
    def latency(self) -> int:
        """Plan periods from a request to the step that can use its answer."""

    @property
    def failure(self) -> str:
        """Why no more answers will come, "" if they will."""

    def restart(self) -> None:
        """Begin afresh after a failure; `failure` is "" once it can plan again."""

    def close(self) -> None:
        """End it."""


class Solver:
    """One state in, one answer out; whatever a solver or a value throws becomes a refusal."""

    def __init__(
        self,
        task: Task,
        goal: Goal,
        terminal: ValueFunction | None,
        settings: MpcSettings,
        clock: Callable[[], float] = time.perf_counter,
    ):
        self._clock = clock
        self._mpc = {True: MPC(task, goal, terminal, settings, TORQUE_RATE)}
        self._mpc[False] = self._mpc[True]
        self._longer: MPC | None = None
        if terminal is not None:
            longer = replace(settings, nodes=max(settings.nodes, LONGER_NODES))
            # Outside the region that it was made for, a learned value can point anywhere; the Riccati value never does. But it
            # knows no limits: one node with it throws joints past their speeds, over some nodes the barrier is seen.
            self._mpc[False] = MPC(task, goal, RiccatiValue(), longer, TORQUE_RATE)
            # No value knows of the torque rate. Two nodes see 20 ms; a torque that has to swing by 40 N m needs twice that.
            if longer != settings:
                self._longer = MPC(task, goal, terminal, longer, TORQUE_RATE)
        self._last = (0.0, True)

    def __call__(self, t: float, x: np.ndarray, torque: np.ndarray, goal: Goal, trusted: bool) -> Planned:
        """Solve once; see Planner.request."""
        began = self._clock()
        mpc, (before, same) = self._mpc[trusted], self._last
        if mpc.goal is not goal:
            mpc.retarget(goal)
        if same is not trusted:
            mpc.forget()
        self._last = (t, trusted)
        try:
            plan = mpc.plan(x, t - before, torque)
            if self._longer is not None:
                if trusted and plan.status.usable and mpc.under_way(plan):
                    plan = _lengthened(self._longer, plan, t - before, torque, goal)
                else:
                    self._longer.forget()
            refusal = "" if plan.status.usable else plan.status.name.lower()
        except Exception as error:
            mpc.forget()
            refusal = type(error).__name__
        return Planned(t, None if refusal else plan, refusal, self._clock() - began)


def _lengthened(longer: MPC, short: Plan, elapsed: float, torque: np.ndarray, goal: Goal) -> Plan:
    if longer.goal is not goal:
        longer.retarget(goal)
    plan = longer.lengthen(short, elapsed, torque)
    return plan if plan.status.usable else short


class InlinePlanner:
    """Solves in the caller."""

    latency = 0
    failure = ""

    def __init__(self, solver: Solver):
        self._solver = solver
        self._answer: Planned | None = None

    def request(self, t: float, x: np.ndarray, torque: np.ndarray, goal: Goal, trusted: bool) -> None:
        self._answer = self._solver(t, x, torque, goal, trusted)

    def newest(self) -> Planned | None:
        answer, self._answer = self._answer, None
        return answer

    def restart(self) -> None:
        pass

    def close(self) -> None:
        pass
