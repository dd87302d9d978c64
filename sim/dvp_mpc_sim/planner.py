"""SimulatedPlanner: the solver as a process of its own, in simulated time.

It answers as `ProcessPlanner` does: not in the step that asks but in the next one, one request at a time, and after HUNG
without an answer it has failed. So the table of faults measures the controller as it runs on an arm, without a second
process and without a wall clock.
"""

from collections.abc import Callable

import numpy as np

from dvp_mpc.control.planner import Planned, Solver
from dvp_mpc.control.planner_process import HUNG
from dvp_mpc.problem.task import Goal


class SimulatedPlanner:
    """A solver whose answers take one step of `clock` [s], or as long as a stall lasts."""

    latency = 1
    """Plan periods from a request to the step that can use its answer."""

    def __init__(self, solver: Solver, clock: Callable[[], float]):
        self.solver = solver
        self.stalls: list[tuple[float, float]] = []
        """Spans [s] in which no answer comes out: a solver that hangs, or that is slow."""
        self.seen_not_finite = 0
        """Requests with a state that is not finite: the solver must never see one."""
        self.requests = 0
        self._clock = clock
        self._answer: Planned | None = None
        self._asked: float | None = None
        self._failure = ""

    @property
    def failure(self) -> str:
        """Why no more answers will come, "" if they will."""
        if not self._failure and self._asked is not None and self._clock() - self._asked > HUNG:
            self._failure = f"the solver gave no answer for {HUNG:g} s"
        return self._failure

    def die(self) -> None:
        """What becomes of a solver that aborts."""
        self._failure = "the solver process ended by signal SIGABRT"

    def request(self, t: float, x: np.ndarray, torque: np.ndarray, goal: Goal, trusted: bool) -> None:
        """Plan from state x (14,) that holds at t [s]; dropped while an answer is outstanding."""
        if self._asked is not None or self._failure:
            return
        self.requests += 1
        self.seen_not_finite += not np.isfinite(x).all()
        self._asked = self._clock()
        self._answer = self.solver(t, x, torque, goal, trusted)

    def newest(self) -> Planned | None:
        """The newest answer, once."""
        now = self._clock()
        if self._asked is None or self._failure or now <= self._asked:
            return None
        if any(begin <= now < end for begin, end in self.stalls):
            return None
        answer, self._answer, self._asked = self._answer, None, None
        return answer

    def restart(self) -> None:
        """Begin afresh after a failure."""
        self._failure, self._asked, self._answer = "", None, None

    def close(self) -> None:
        """Nothing to end."""
