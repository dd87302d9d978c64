"""Controller: one state in, one torque out, at a fixed rate. The same object serves the simulator and the robot.

The ladder, from the best to the last resort:

    fresh plan with Riccati feedback -> the plan before, up to three plan periods -> HOLD; then always the limiter.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from dvp_mpc.control.mpc import MPC, MpcSettings, Plan
from dvp_mpc.control.statistics import Statistics
from dvp_mpc.control.supervisor import Limiter, State, hold_torque, predict, refuse
from dvp_mpc.errors import BadSetting
from dvp_mpc.problem.arm import DOF
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.value import ValueFunction

STATE_AGE_LIMIT = 0.02  # [s] a torque from an older state moves the hand by centimetres
PLAN_PERIODS = 3  # plan periods that an old plan may serve
ROUNDING = 1e-6  # [s]


class Estimate(NamedTuple):
    """The arm's state: as measured, or predicted from there with the torques that were given since."""

    t: float  # [s] of the measurement
    q: np.ndarray  # (7,) [rad]
    v: np.ndarray  # (7,) [rad/s]


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
            if not 1 <= getattr(self, name) <= 10_000:
                raise BadSetting(name, getattr(self, name), "must lie in [1, 10000] Hz")
        ratio = self.rate_hz / self.plan_hz
        if abs(ratio - round(ratio)) > 1e-9 or ratio < 1:
            raise BadSetting("plan_hz", self.plan_hz, f"must divide rate_hz = {self.rate_hz}")


class Controller:
    """(t, q, v) -> torque for one arm; the goal may change at any time.

    step never raises on bad input: it refuses the state, says so in the statistics, and brakes when states stay away.
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
        self._plan: Plan | None = None
        self._plan_time = 0.0
        self._until_plan = 0  # steps until the next plan is due
        self._state: Estimate | None = None
        self._unseen = 0  # steps since the last accepted state
        self._torque: np.ndarray | None = None

    @property
    def rate_hz(self) -> float:
        """Steps per second."""
        return self.settings.rate_hz

    @property
    def goal_in_world(self) -> np.ndarray:
        """Where the tool is being brought: (3,) [m]."""
        return self._mpc.goal.tool

    def set_goal(self, goal_in_world: np.ndarray) -> None:
        """Aim at another point (3,) [m]; raises GoalError and keeps the last goal when it cannot be taken."""
        self._mpc.retarget(self.task.goal(goal_in_world))

    def step(self, t: float, q: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Torque for the state (q, v): (7,), (7,) [rad, rad/s] measured at t [s]: (7,) [N m], gravity included."""
        began = self._clock()
        refusal = refuse(t, q, v, self._state.t if self._state else None)
        if refusal is None:
            self._state, self._unseen = Estimate(t, np.array(q, dtype=float), np.array(v, dtype=float)), 0
        else:
            self.statistics.refused[refusal.value] += 1
            self._unseen += 1
            if self._state is not None and self._torque is not None:
                estimate = predict(self.task.arm, self._state.q, self._state.v, self._torque, 1 / self.rate_hz)
                self._state = Estimate(self._state.t, *estimate)
        asked, self.state = self._ladder(t)
        if self._torque is None:  # the first torque has no predecessor: start from what carries the arm
            self._torque = self._hold()
        self._torque = self._limiter(asked, self._torque)
        self.statistics.stepped(self.state.value, missed=self._clock() - began > 1 / self.settings.rate_hz)
        return self._torque.copy()

    def _ladder(self, t: float) -> tuple[np.ndarray, State]:
        """What is asked for before the limiter, and what it rests on."""
        if self._state is None:
            return self._hold(), State.HOLD
        # Counted steps, or the clock where it says more: a state does not stay young because time stands still.
        age = self._unseen / self.settings.rate_hz
        if np.isfinite(t):
            age = max(age, t - self._state.t)
        now = self._state.t + age
        x = np.concatenate([self._state.q, self._state.v])
        self._until_plan -= 1
        if self._unseen == 0 and self._until_plan <= 0:
            self._until_plan = self._steps_per_plan
            self._replan(now, x)
        plan_age, period = now - self._plan_time, 1 / self.settings.plan_hz
        if self._plan is None or age > STATE_AGE_LIMIT or plan_age > PLAN_PERIODS * period + ROUNDING:
            return self._hold(), State.HOLD
        fresh = self._unseen == 0 and plan_age < period - ROUNDING
        return self._plan.torque(plan_age, x), State.TRACKING if fresh else State.DEGRADED

    def _hold(self) -> np.ndarray:
        if self._state is None:
            return np.zeros(DOF)
        return hold_torque(self.task.arm, self._state.q, self._state.v)

    def _replan(self, now: float, x: np.ndarray) -> None:
        began = self._clock()
        try:
            plan = self._mpc.plan(x, now - self._plan_time)
            reason = None if plan.status.usable else plan.status.name.lower()
        except Exception as error:  # whatever a solver or a value throws, the arm still needs a torque
            self._mpc.forget()
            reason = type(error).__name__
        self.statistics.solved(self._clock() - began)
        if reason is None:
            self._plan, self._plan_time = plan, now
        else:
            self.statistics.rejected[reason] += 1
