"""ProcessPlanner: the solver in a process of its own.

Crocoddyl's solve holds Python's lock for its whole length, and an assertion in C++ ends the process. In one process with
the loop, a solver that hangs or aborts would take the torque with it. Here it takes itself: the loop goes on with the last
plan, then HOLD, then FAULT. Requests and answers are some kB through a pipe, with one request under way at most, so that
no write ever waits. Its replacement is forked from a server that has imported Crocoddyl: a fresh interpreter would do so for
a second, on the cores of the loop that holds the arm meanwhile.
"""

import pickle
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from dvp_mpc.control.fork_server import SERVER_GONE, forked, packed
from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.control.planner import Planned, Solver
from dvp_mpc.errors import RunFailed
from dvp_mpc.problem.task import Goal, Task
from dvp_mpc.value import ValueFunction

HUNG = 0.2  # [s] without an answer; a solve takes 1 ms, the first one 20 ms
STARTING = "the solver is starting"
START = 60.0  # [s] the server has to import, and the child to solve once
PRELOAD = ("dvp_mpc.control.planner",)


@dataclass(eq=False)
class _Child:
    """One solver process and what is known of it."""

    process: Any
    pipe: Connection
    goal: Goal
    """The goal that it has."""
    ready: bool = False
    asked: float | None = None
    """When the request under way was made [s]."""
    failure: str = ""


class ProcessPlanner:
    """Plans from a child process. Made ready: the child has solved once when the constructor returns.

    Raises RunFailed when the child cannot start or its first plan, at rest at the goal, is not usable. One thread asks and
    looks; another may call restart.
    """

    latency = 1
    """Plan periods from a request to the step that can use its answer."""

    def __init__(
        self,
        task: Task,
        goal: Goal,
        terminal: ValueFunction | None,
        settings: MpcSettings,
        prepare: Callable[[], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        """prepare: called in the child once it can solve, to set its priority; it must pickle."""
        self._arguments, self._first_goal = packed((task, goal, terminal, settings, prepare)), goal
        self._clock = clock
        self._child = self._start()
        try:
            self._child.pipe.poll(START)
            if self.failure:
                raise RunFailed(self.failure)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Of the child."""
        return int(self._child.process.pid)

    @property
    def failure(self) -> str:
        """Why no answers will come, "" if they will."""
        child = self._child
        if not (child.ready or child.failure):
            self._look_whether_ready(child)
        if child.ready and not child.failure:
            if not child.process.is_alive():
                child.failure = f"the solver process ended {_how(child.process.exitcode)}"
            elif child.asked is not None and self._clock() - child.asked > HUNG and not _answered(child):
                child.failure = f"the solver gave no answer for {HUNG:g} s"
        return child.failure or ("" if child.ready else STARTING)

    def request(self, t: float, x: np.ndarray, torque: np.ndarray, goal: Goal, trusted: bool) -> None:
        """Plan from state x that holds at t [s]; dropped while an answer is outstanding or the child is gone."""
        child = self._child
        if child.asked is not None or not child.ready or child.failure:
            return
        try:
            child.pipe.send((t, x, torque, None if goal is child.goal else goal, trusted))
        except OSError:
            return  # `failure` says it
        child.goal, child.asked = goal, self._clock()

    def newest(self) -> Planned | None:
        """The newest answer, once."""
        child = self._child
        if child.asked is None:
            return None
        try:
            if not child.pipe.poll():
                return None
            answer: Planned = child.pipe.recv()
        except (OSError, EOFError, pickle.UnpicklingError):
            return None
        child.asked = None
        return answer

    def restart(self) -> None:
        """Replace the child; `failure` is "" when the new one has solved.

        Returns in milliseconds, or in the second or two that a new server takes where that had been killed as well. Not for
        a thread with real-time rights, which that server would inherit.
        """
        old, self._child = self._child, self._start()
        _end(old)

    def close(self) -> None:
        """End the child, by force where it must be."""
        _end(self._child)

    def _start(self) -> _Child:
        process, pipe = forked(_serve, self._arguments, PRELOAD, "solver")
        return _Child(process, pipe, goal=self._first_goal)

    def _look_whether_ready(self, child: _Child) -> None:
        try:
            if not child.pipe.poll():
                return
            first: Planned = child.pipe.recv()
        except (OSError, EOFError):
            child.failure = "the solver process ended before its first plan"
            return
        if first.plan is None:
            child.failure = f"the solver's first plan was refused: {first.refusal}"
        child.ready = True


def _answered(child: _Child) -> bool:
    """Whether an answer lies there that nobody has taken, as after the end of a loop."""
    try:
        return child.pipe.poll()
    except OSError:
        return False


def _how(code: int | None) -> str:
    if code == SERVER_GONE:
        return "with the server that it was forked from"
    return f"by {signal.Signals(-code).name}" if code is not None and code < 0 else f"with exit code {code}"


def _end(child: _Child) -> None:
    child.pipe.close()
    child.process.kill()  # it owns nothing that needs care
    child.process.join(2.0)


def _serve(
    pipe: Connection,
    task: Task,
    goal: Goal,
    terminal: ValueFunction | None,
    settings: MpcSettings,
    prepare: Callable[[], object] | None,
) -> None:
    """Answer requests until the pipe closes."""
    solver = Solver(task, goal, terminal, settings)
    first = solver(0.0, goal.x, goal.u, goal, True)
    if prepare is not None:  # not before: building takes 50 ms, and the loop may need the processor
        prepare()
    pipe.send(first)
    while True:
        try:
            t, x, torque, news, trusted = pipe.recv()
            goal = goal if news is None else news
            pipe.send(solver(t, x, torque, goal, trusted))
        except (OSError, EOFError):
            return
