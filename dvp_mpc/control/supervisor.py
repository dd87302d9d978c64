"""The safety states of an active controller, as a pure machine: facts in, state out.

    ARMING --20 plans at rest under HOLD, blend 0.5 s--> TRACKING <--> DEGRADED
       \\________________________|__________________________/
                                 | state or plan too old, a jump, a sensor that contradicts itself, a loop that stood still
                                 v
      ARMING <--clear for 0.5 s and at rest-- HOLD --no state for 0.2 s, or a fourth recovery in 10 s--> FAULT (latched)
    TRACKING <--plans again for 25 ms (the solver alone had failed)--'

FAULT is left by `reset` only; STOPPING, entered by `stop`, brakes and stays. Not a certified safety function: it bounds what
this program asks of the arm, it cannot vouch for the arm.
"""

from collections import deque
from enum import Enum
from typing import NamedTuple

AGE_LIMIT = 0.02  # [s] a torque from an older state moves the hand by centimetres
ROUNDING = 1e-6  # [s]
BLEND = 0.5  # [s] from HOLD to the plan
PROVEN = 20  # accepted plans before the blend begins
RESTLESS = (
    0.1  # [rad/s] more than this while the hold torque should keep the arm still: torque means something else here
)
AT_REST = 0.05  # [rad/s]
CLEAR = 0.5  # [s] without a cause before HOLD is left
CLEAR_PLANS = 0.025  # [s] the same, when only the solver had failed
LOST = 0.2  # [s] without a state
RECOVERIES, RECOVERY_WINDOW = 3, 10.0  # [-], [s]


class State(str, Enum):
    """What the torque of a step rests on."""

    ARMING = "arming"
    """HOLD, then a blend from HOLD to the plan."""
    TRACKING = "tracking"
    """A fresh plan and a fresh state."""
    DEGRADED = "degraded"
    """An older plan, a predicted state, or a state outside the region that the value is trusted on."""
    HOLD = "hold"
    """Brake to rest and carry gravity, until the cause is gone."""
    FAULT = "fault"
    """The same, latched."""
    STOPPING = "stopping"
    """The same, on the way out."""


class Facts(NamedTuple):
    """What the machine needs to know about one step."""

    age: float
    """Since the last accepted state was measured [s]; infinite before the first."""
    plan_age: float
    """Since the state of the newest accepted plan [s]; infinite before the first."""
    plan_limit: float
    """Age up to which a plan may serve [s]."""
    plans: int
    """Plans accepted so far."""
    fastest: float
    """Largest joint speed [rad/s]."""
    degraded: str = ""
    """Why this is not tracking at its best."""
    alarm: str = ""
    """Why the arm must be held."""
    fatal: str = ""
    """Why the arm must be held until somebody has looked."""


class Supervisor:
    """armed: begin in TRACKING, for an arm whose state and torque are known to be right, as in simulation."""

    def __init__(self, *, armed: bool):
        self.state = State.TRACKING if armed else State.ARMING
        self.reason = "" if armed else "waiting for states and plans"
        self.blend = 1.0 if armed else 0.0
        """Share of the plan in the torque while ARMING: [0, 1]."""
        self.torque_misunderstood = False
        """Whether the hold torque itself is in doubt: the arm moved under it when it should not."""
        self._time = 0.0
        self._began: int | None = None  # plans that were there when the first fact of this arming came
        self._clear = 0.0
        self._only_plans = False
        self._recoveries: deque[float] = deque()

    def stop(self) -> None:
        """Brake and stay."""
        self.state, self.reason, self.blend = State.STOPPING, "stopping", 0.0

    def reset(self) -> None:
        """Leave FAULT, and nothing else, for HOLD, from where the arm is armed again."""
        if self.state is not State.FAULT:
            return
        self._recoveries.clear()
        self.torque_misunderstood = False
        self._hold(f"reset after: {self.reason}", only_plans=False)

    def __call__(self, elapsed: float, facts: Facts) -> State:
        """The state after `elapsed` seconds."""
        self._time += elapsed
        if facts.fatal and self.state not in (State.FAULT, State.STOPPING):  # which brakes already, and for good
            self._fail(facts.fatal)
        elif self.state is State.ARMING:
            self._arm(elapsed, facts)
        elif self.state in (State.TRACKING, State.DEGRADED):
            self._track(facts)
        elif self.state is State.HOLD:
            self._recover(elapsed, facts)
        return self.state

    def _arm(self, elapsed: float, facts: Facts) -> None:
        cause, only_plans = _cause(facts)
        if self._began is None:
            self._began = facts.plans
        if cause and self.blend > 0:
            self._hold(cause, only_plans)
        elif facts.age > LOST and self._time > LOST:
            self._fail("no state for 0.2 s")
        elif facts.plans - self._began < PROVEN or cause:
            self.reason = cause or "plans are being proven"
            if facts.fastest > RESTLESS and facts.age <= AGE_LIMIT:
                self.torque_misunderstood = True
                self._fail(
                    "the arm moves under the torque that should hold it: wrong gravity convention, payload, or a hand"
                )
        else:
            self.blend = min(1.0, self.blend + elapsed / BLEND)
            self.reason = "blending from hold to the plan"
            if self.blend >= 1:
                self._go(facts)

    def _track(self, facts: Facts) -> None:
        cause, only_plans = _cause(facts)
        if cause:
            self._hold(cause, only_plans)
        else:
            self._go(facts)

    def _recover(self, elapsed: float, facts: Facts) -> None:
        if facts.age > LOST:
            self._fail("no state for 0.2 s")
            return
        cause, only_plans = _cause(facts)
        if cause:
            self.reason, self._clear = cause, 0.0
            self._only_plans &= only_plans
            return
        self._clear += elapsed
        if self._only_plans and self._clear >= CLEAR_PLANS - ROUNDING:
            if self._may_recover():
                self._go(facts)
        elif self._clear >= CLEAR - ROUNDING and facts.fastest < AT_REST and self._may_recover():
            self.state, self.reason = State.ARMING, "the cause is gone"
            self.blend, self._began = 0.0, None

    def _may_recover(self) -> bool:
        while self._recoveries and self._time - self._recoveries[0] > RECOVERY_WINDOW:
            self._recoveries.popleft()
        if len(self._recoveries) == RECOVERIES:
            self._fail(f"more than {RECOVERIES} recoveries in {RECOVERY_WINDOW:.0f} s; last: {self.reason}")
            return False
        self._recoveries.append(self._time)
        return True

    def _go(self, facts: Facts) -> None:
        self.state = State.DEGRADED if facts.degraded else State.TRACKING
        self.reason, self.blend = facts.degraded, 1.0

    def _hold(self, reason: str, only_plans: bool) -> None:
        self.state, self.reason = State.HOLD, reason
        self.blend, self._clear, self._only_plans = 0.0, 0.0, only_plans

    def _fail(self, reason: str) -> None:
        self.state, self.reason, self.blend = State.FAULT, reason, 0.0


def _cause(facts: Facts) -> tuple[str, bool]:
    """Why the plan must not move the arm, "" if it may; and whether that is the solver's fault alone."""
    if facts.alarm:
        return facts.alarm, False
    if facts.age > AGE_LIMIT + ROUNDING:
        return f"state older than {1e3 * AGE_LIMIT:.0f} ms", False
    if facts.plan_age > facts.plan_limit:
        return f"plan older than {1e3 * facts.plan_limit:.0f} ms", True
    return "", False
