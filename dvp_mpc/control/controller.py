"""Controller: one state in, one torque out, at a fixed rate. The same object serves the simulator and the robot.

The ladder, from the best to the last resort:

    fresh plan with Riccati feedback -> the plan before, up to three plan periods -> HOLD; then always the limiter.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from dvp_mpc.control.mpc import MPC, MpcSettings, Plan
from dvp_mpc.control.statistics import Statistics
from dvp_mpc.control.supervisor import Gate, Limiter, State, hold_torque, predict
from dvp_mpc.errors import BadSetting
from dvp_mpc.problem.arm import DOF
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.task import Goal
from dvp_mpc.value import ValueFunction

AGE_LIMIT = 0.02  # [s] a torque from an older state moves the hand by centimetres
PLAN_PERIODS = 3  # plan periods that an old plan may serve, within AGE_LIMIT
ROUNDING = 1e-6  # [s]


@dataclass(frozen=True)
class ControllerSettings:
    """Rates and solver effort."""

    mpc: MpcSettings = field(default_factory=MpcSettings)
    """The short problem."""
    rate_hz: float = 1000.0
    """Steps per second; each gives one torque."""
    plan_hz: float = 200.0
    """Plans per second; between them the Riccati gain of the last plan closes the loop."""

    def __post_init__(self) -> None:
        for name in ("rate_hz", "plan_hz"):
            if not 20 <= getattr(self, name) <= 10_000:
                raise BadSetting(name, getattr(self, name), "must lie in [20, 10000] Hz")
        ratio = self.rate_hz / self.plan_hz
        if abs(ratio - round(ratio)) > 1e-9 or ratio < 1:
            raise BadSetting("plan_hz", self.plan_hz, f"must divide rate_hz = {self.rate_hz}")


class Controller:
    """(t, q, v) -> torque for one arm; the goal may change at any time.

    step never raises on bad input: it refuses the state, says so in the statistics, and brakes when states stay away.
    One thread steps it; set_goal may be called from another.
    """

    def __init__(
        self,
        task: ReachTask,
        terminal: ValueFunction | None,
        goal_in_world: np.ndarray,
        settings: ControllerSettings,
        clock: Callable[[], float] = time.perf_counter,
    ):
        self.task, self.settings = task, settings
        self.statistics = Statistics()
        self.state = State.HOLD
        self._clock = clock
        self._mpc = MPC(task, task.goal(goal_in_world), terminal, settings.mpc)
        self._steps_per_plan = round(settings.rate_hz / settings.plan_hz)
        self._limiter = Limiter(task.arm.torque_limit, 1 / settings.rate_hz)
        self._gate = Gate(task.arm, 1 / settings.rate_hz)
        self._time = 0.0  # [s] our own: steps, and what the stamps say beyond them
        self._x: np.ndarray | None = None  # (14,) as measured, or predicted from there with the torques given since
        self._unseen = 0  # steps since the last accepted state
        self._plan: Plan | None = None
        self._plan_time = 0.0
        self._until_plan = 0  # steps until the next plan is due
        self._next_goal: Goal | None = None
        self._torque: np.ndarray | None = None

    @property
    def rate_hz(self) -> float:
        """Steps per second."""
        return self.settings.rate_hz

    @property
    def goal_in_world(self) -> np.ndarray:
        """Where the tool is being brought: (3,) [m]."""
        return (self._next_goal or self._mpc.goal).tool

    def set_goal(self, goal_in_world: np.ndarray) -> None:
        """Aim at another point (3,) [m]; raises GoalError and keeps the last goal when it cannot be taken."""
        self._next_goal = self.task.goal(
            goal_in_world
        )  # taken by the next step: a plan is never changed while it is made

    def step(self, t: float, q: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Torque for the state (q, v): (7,), (7,) [rad, rad/s] measured at t [s]: (7,) [N m], gravity included."""
        began = self._clock()
        if self._next_goal is not None:
            goal, self._next_goal = self._next_goal, None
            self._mpc.retarget(goal)
        self._see(t, q, v)
        asked, self.state = self._ladder()
        if self._torque is None:  # the first torque has no predecessor: start from what carries the arm
            start = np.zeros(DOF) if self._x is None else self.task.arm.gravity_torque(self._x[:DOF])
            self._torque = np.clip(start, -self.task.arm.torque_limit, self.task.arm.torque_limit)
        self._torque = self._limiter(asked, self._torque)
        self.statistics.stepped(self.state.value, missed=self._clock() - began > 1 / self.settings.rate_hz)
        return self._torque.copy()

    def _see(self, t: float, q: np.ndarray, v: np.ndarray) -> None:
        period = 1 / self.settings.rate_hz
        verdict = self._gate(t, q, v)
        self._time += period + verdict.late
        if verdict.refusal is not None:
            self.statistics.refused[verdict.refusal.value] += 1
        self._unseen = 0 if verdict.refusal is None else self._unseen + 1
        if verdict.x is not None:
            self._x = verdict.x
        elif self._x is not None and self._torque is not None:
            self._x = np.concatenate(predict(self.task.arm, self._x[:DOF], self._x[DOF:], self._torque, period))

    def _ladder(self) -> tuple[np.ndarray, State]:
        """What is asked for before the limiter, and what it rests on."""
        if self._x is None:
            return np.zeros(DOF), State.HOLD
        period = 1 / self.settings.plan_hz
        self._until_plan -= 1
        if self._unseen == 0 and self._until_plan <= 0:
            self._until_plan = self._steps_per_plan
            self._replan(self._x)
        age, plan_age = self._unseen / self.settings.rate_hz, self._time - self._plan_time
        plan_limit = min(PLAN_PERIODS * period, max(period, AGE_LIMIT))
        if self._plan is None or age > AGE_LIMIT + ROUNDING or plan_age > plan_limit + ROUNDING:
            return hold_torque(self.task.arm, self._x[:DOF], self._x[DOF:]), State.HOLD
        fresh = self._unseen == 0 and plan_age < period - ROUNDING
        return self._plan.torque(plan_age, self._x), State.TRACKING if fresh else State.DEGRADED

    def _replan(self, x: np.ndarray) -> None:
        began = self._clock()
        try:
            plan = self._mpc.plan(x, self._time - self._plan_time)
            reason = None if plan.status.usable else plan.status.name.lower()
        except Exception as error:  # whatever a solver or a value throws, the arm still needs a torque
            self._mpc.forget()
            reason = type(error).__name__
        self.statistics.solved(self._clock() - began)
        if reason is None:
            self._plan, self._plan_time = plan, self._time
        else:
            self.statistics.rejected[reason] += 1
