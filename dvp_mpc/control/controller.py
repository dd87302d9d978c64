"""Controller: one state in, one torque out, at a fixed rate. The same object serves the simulator and the robot.

The ladder, from the best to the last resort:

    fresh plan with Riccati feedback -> the plan before, up to three plan periods -> HOLD; then always the limiter.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from dvp_mpc.control.estimate import Estimate
from dvp_mpc.control.gate import Gate
from dvp_mpc.control.mpc import MpcSettings, Plan
from dvp_mpc.control.observer import MomentumObserver
from dvp_mpc.control.planner import InlinePlanner, Planned, Planner, Policy, Solver
from dvp_mpc.control.statistics import Statistics
from dvp_mpc.control.supervisor import AGE_LIMIT, LOST, ROUNDING, Facts, State, Supervisor
from dvp_mpc.control.torque import Limiter, SpeedWatch, beyond_limits, guarded, hold_torque
from dvp_mpc.errors import BadSetting, NotReady
from dvp_mpc.problem.arms import DOF
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.task import Goal
from dvp_mpc.value import ValueFunction

PLAN_PERIODS = 3  # plan periods that an old plan may serve, within AGE_LIMIT


@dataclass(frozen=True)
class ControllerSettings:
    """Rates and solver effort."""

    mpc: MpcSettings = field(default_factory=MpcSettings)
    """The short problem."""
    rate_hz: float = 1000.0
    """Steps per second; each gives one torque."""
    plan_hz: float = 200.0
    """Plans per second; between them the Riccati gain of the last plan closes the loop."""
    arming: bool = False
    """Begin in ARMING: prove twenty plans at rest, then blend from HOLD to the plan. For an arm that is real."""
    gravity_in_command: bool = True
    """Whether the torque given out carries the arm's weight; False for a driver that adds it by itself."""
    offset_free: bool = False
    """Estimate the torque that the model does not know of (payload, push, bias) and take it off, in every state."""

    def __post_init__(self) -> None:
        for name, least in (("rate_hz", 100), ("plan_hz", 20)):  # two steps within AGE_LIMIT: one late step is no alarm
            if not least <= getattr(self, name) <= 10_000:
                raise BadSetting(name, getattr(self, name), f"must lie in [{least}, 10000] Hz")
        ratio = self.rate_hz / self.plan_hz
        if abs(ratio - round(ratio)) > 1e-9 or ratio < 1:
            raise BadSetting("plan_hz", self.plan_hz, f"must divide rate_hz = {self.rate_hz}")


class Controller:
    """(t, q, v) -> torque for one arm; the goal may change at any time.

    step never raises on bad input: it refuses the state, says so in the statistics, and brakes when states stay away.
    One thread steps it; set_goal, stop, fault and reset may be called from others.
    """

    def __init__(
        self,
        task: ReachTask,
        terminal: ValueFunction | None,
        goal: np.ndarray | Goal,
        settings: ControllerSettings,
        clock: Callable[[], float] = time.perf_counter,
        planner: Planner | None = None,
    ):
        """goal: a point, as set_goal takes it, or task.stay(q), to begin with the arm where it is.

        planner: where plans come from, closed by whoever made it; None: solve in step, with this terminal value.
        """
        self.task, self.settings = task, settings
        self.statistics = Statistics()
        self._clock = clock
        self._goal = goal if isinstance(goal, Goal) else task.goal(goal)
        self._planner = planner or InlinePlanner(Solver(task, self._goal, terminal, settings.mpc, clock))
        self._period = 1 / settings.rate_hz
        self._steps_per_plan = round(settings.rate_hz / settings.plan_hz)
        self._limiter = Limiter(task.arm.torque_limit, self._period)
        self._gate, self._speeding = Gate(task.arm), SpeedWatch(task.arm)
        self._supervisor = Supervisor(armed=not settings.arming)
        self._now, self._begun = 0.0, False  # [s] the caller's, or counted from 0
        self._estimate = Estimate(task.arm, self._period)
        self._fresh = False  # whether this step brought an accepted state
        self._observer = MomentumObserver(task.arm) if settings.offset_free else None
        self._plan: Policy | None = None
        self._plan_time, self._plans, self._until_plan = -np.inf, 0, 0  # steps until the next plan is due
        self._asked = np.full(DOF, np.nan)  # the torque that the last step wanted
        self._torque: np.ndarray | None = None  # the last one given, gravity included
        self._silence = 0.0  # [s] since then
        self._commands: deque[Callable[[], None]] = deque()  # from other threads, taken by the next step
        self._fatal = self._alarm = ""

    @property
    def rate_hz(self) -> float:
        """Steps per second."""
        return self.settings.rate_hz

    @property
    def state(self) -> State:
        """What the last torque rests on."""
        return self._supervisor.state

    @property
    def reason(self) -> str:
        """Why the state is not TRACKING, "" if it is."""
        return self._supervisor.reason

    @property
    def plan(self) -> Plan | None:
        """The newest accepted plan, if an MPC made it."""
        return self._plan if isinstance(self._plan, Plan) else None

    @property
    def disturbance(self) -> np.ndarray:
        """What is believed to act on the joints besides what the model knows: (7,) [N m]; zero unless settings.offset_free."""
        return np.zeros(DOF) if self._observer is None else self._observer.disturbance

    @property
    def at_rest(self) -> bool:
        """Whether the arm stands still, as far as is known."""
        return self._estimate.at_rest

    @property
    def state_age(self) -> float:
        """Since the last accepted state was measured, at the last step [s]."""
        return self._now - self._estimate.measured_at

    @property
    def silent(self) -> bool:
        """Whether no torque should be given out at all: nobody knows where the arm is, not yet or not any more, or the arm
        does not take torque as it is meant.

        HOLD on predictions stops the arm within 0.3 s; after that its prediction and the arm drift apart, and what carries the
        one throws the other: 2 rad/s a second later. A driver that hears nothing can brake on its own sensors.
        """
        unknown = self._supervisor.torque_misunderstood or self.state_age > LOST
        return self._estimate.x is None or (unknown and self.state in (State.FAULT, State.STOPPING))

    @property
    def trust_score(self) -> float:
        """How far out of the region that the value is trusted on state and goal lie: at most 1 inside; NaN: no state yet."""
        return np.nan if self._estimate.x is None else self.task.region.score(self._estimate.x, self._goal)

    @property
    def trusted(self) -> bool:
        """Whether the value is trained on goals like this one, and state and goal lie in the region that it is trusted on."""
        return self._goal.trained and self.trust_score <= 1

    @property
    def goal(self) -> Goal:
        """What the arm is being brought to."""
        return self._goal

    def set_goal(self, goal_in_world: np.ndarray) -> None:
        """Aim at another point (3,) [m]; raises GoalError and keeps the last goal when it cannot be taken."""
        self._goal = self.task.goal(goal_in_world)  # one assignment: the next request takes it

    def stop(self) -> None:
        """Brake and stay at rest (STOPPING)."""
        self._commands.append(self._supervisor.stop)

    def fault(self, reason: str) -> None:
        """Latch a fault that was noticed outside."""
        self._fatal = reason

    def reset(self) -> None:
        """Leave FAULT for HOLD, from where the arm is armed again. Raises NotReady when it cannot be left, with the reason."""
        if self.state is not State.FAULT:
            raise NotReady(f"no fault to reset: the state is {self.state.value}")
        if self._planner.failure:
            raise NotReady(f"{self._planner.failure}; the solver must be restarted first")
        if self.state_age > AGE_LIMIT:
            raise NotReady("there is no fresh state of the arm")
        if self._estimate.x is not None and (text := beyond_limits(self.task.arm, self._estimate.x[:DOF])):
            raise NotReady(text)
        self._fatal = ""
        self._commands.append(self._supervisor.reset)

    def step(self, t: float, q: np.ndarray, v: np.ndarray, *, now: float | None = None) -> np.ndarray:
        """Torque (7,) [N m] for the state (q, v): (7,), (7,) [rad, rad/s] measured at t [s].

        now: the present on the time base of t [s]; unset: counted in steps from one call to the next, and t is now.
        """
        began, elapsed = self._clock(), self._advance(now)
        verdict = self._gate(t, q, v, elapsed)
        if now is None:
            self._now += verdict.late
        if verdict.refusal is not None:
            self.statistics.refused[verdict.refusal.value] += 1
        self._alarm = self._alarm or verdict.alarm
        self._fresh = verdict.refusal is None
        if verdict.x is None:
            self._estimate.predict(elapsed, self._now)
        elif self._fresh:
            self._estimate.measure(self._now if now is None else float(t), verdict.x, self._now)
        else:
            self._estimate.believe(verdict.x)
        return self._act(began, elapsed)

    def coast(self, *, now: float | None = None) -> np.ndarray:
        """Torque (7,) [N m] for a step to which no new state came."""
        began, elapsed = self._clock(), self._advance(now)
        self._gate.wait(elapsed)
        self._fresh = False
        self._estimate.predict(elapsed, self._now)
        return self._act(began, elapsed)

    def _advance(self, now: float | None) -> float:
        first, self._begun = not self._begun, True
        elapsed = self._period if now is None or first else max(0.0, float(now) - self._now)
        self._now = self._now + elapsed if now is None else float(now)
        self._alarm = "the loop stood still" if elapsed > AGE_LIMIT + ROUNDING else ""
        return elapsed

    def _act(self, began: float, elapsed: float) -> np.ndarray:
        while self._commands:
            self._commands.popleft()()
        if self._observer is not None and self._estimate.x is not None:
            self._observer.step(self._estimate.x, None if self._alarm else self._torque, elapsed)
        self._plan_ahead()
        before = self.state
        if self._supervisor(elapsed, self._facts(elapsed)) is not before:
            self.statistics.transitions.append((self._now, self.state.value, self.reason))
        self._asked = self._ask()
        self._silence += elapsed
        if self.silent:
            if self._silence > AGE_LIMIT + ROUNDING:
                self._torque = None  # no driver holds the last one any longer: the next begins anew
            torque = np.zeros(DOF)
        else:
            self._silence = 0.0
            torque = self._torque = self._limiter(self._asked, self._previous())
            self._estimate.gave(self._now, torque + self.disturbance)
        self.statistics.stepped(self.state.value, missed=self._clock() - began > self._period)
        if self.settings.gravity_in_command or self.silent or self._estimate.x is None:
            return torque.copy()
        return torque - self.task.arm.gravity_torque(self._estimate.x[:DOF])

    def _previous(self) -> np.ndarray:
        """The torque before this one; the first has none and starts from what carries the arm."""
        if self._torque is not None or self._estimate.x is None:
            return np.zeros(DOF) if self._torque is None else self._torque
        limit = self.task.arm.torque_limit
        return np.clip(self.task.arm.gravity_torque(self._estimate.x[:DOF]), -limit, limit)

    def _plan_ahead(self) -> None:
        self._take(self._planner.newest())  # first, since a planner takes no request before its answer was taken
        self._until_plan -= 1
        if self._fresh and self._estimate.x is not None and self._until_plan <= 0:
            self._until_plan = self._steps_per_plan
            ahead = self._planner.latency / self.settings.plan_hz  # until then the torque goes on to what was asked for
            torque = self._limiter(self._asked, self._previous(), ahead) + self.disturbance
            self._planner.request(self._now, self._estimate.x, torque, self._goal, self.trusted)
            if self._planner.latency == 0:
                self._take(self._planner.newest())

    def _take(self, answer: Planned | None) -> None:
        if answer is None:
            return
        self.statistics.solved(answer.seconds)
        if answer.plan is None:
            self.statistics.rejected[answer.refusal] += 1
        else:
            self._plan, self._plan_time, self._plans = answer.plan, answer.t, self._plans + 1

    def _facts(self, elapsed: float) -> Facts:
        now, period = self._now, 1 / self.settings.plan_hz
        age, plan_age = now - self._estimate.measured_at, now - self._plan_time
        degraded = ""
        if self._estimate.x is not None and self._goal.trained and not self.trusted:
            degraded = "outside the region that the value is trusted on"
        elif not self._fresh and age > 1.5 * self._period:  # a sample that is a little late is not missing
            degraded = "no new state"
        elif plan_age > (1 + self._planner.latency) * period - ROUNDING:
            degraded = "no new plan"
        fatal = self._fatal or self._planner.failure
        if self._fresh and self._estimate.x is not None:  # what is only predicted latches nothing
            speeding = self._speeding(self._estimate.x[DOF:], elapsed)
            fatal = fatal or beyond_limits(self.task.arm, self._estimate.x[:DOF]) or speeding
        fastest = np.inf if self._estimate.x is None else float(np.abs(self._estimate.x[DOF:]).max())
        limit = min((PLAN_PERIODS + self._planner.latency) * period, max(period, AGE_LIMIT)) + self._period / 2
        return Facts(age, plan_age, limit, self._plans, fastest, degraded, self._alarm, fatal)

    def _ask(self) -> np.ndarray:
        """The torque that is wanted, before the limiter."""
        if self._estimate.x is None:
            return np.zeros(DOF)
        q, v, share = self._estimate.x[:DOF], self._estimate.x[DOF:], self._supervisor.blend
        torque = hold_torque(self.task.arm, q, v) if share < 1 else np.zeros(DOF)
        if share > 0 and self._plan is not None:
            planned = self._plan.torque(self._now - self._plan_time, self._estimate.x)
            torque = (1 - share) * torque + share * planned
        return guarded(self.task.arm, torque - self.disturbance, q, v)
