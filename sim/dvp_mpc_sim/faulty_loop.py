"""The closed loop of the ROS nodes in simulated time, with everything between the two in reach of a fault.

    plant (1 kHz) -> message, stamped by the plant's clock -> injector -> a channel that keeps the newest
                  -> every period, unless the process is stopped: intake -> controller -> command
                  -> on its way for command_delay -> watchdog -> actuator -> plant

One thread and one time: a run is a pure function of its arguments. What depends on a real scheduler (cadence, signals, a
middleware) is not here.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np

from dvp_mpc.control.controller import Controller
from dvp_mpc.control.gate import Refusal
from dvp_mpc.control.intake import Intake
from dvp_mpc.disturbance import ExternalWrench, acting
from dvp_mpc.errors import UsageError
from dvp_mpc.faults import FaultPlan, Injector
from dvp_mpc.messages import JointMessage
from dvp_mpc.problem.arms import DOF
from dvp_mpc_sim.loop import Plant, plant_steps_per_tick
from dvp_mpc_sim.record import Record

Clock = Callable[[float], float]
Deliver = Callable[[float, JointMessage | None], list[JointMessage]]
EPOCH = 1_700_000_000.0  # [s] what both clocks read when the run begins: a wall clock's reading


class Follower(Protocol):
    """What stands between a command and the motors; `Watchdog` is one."""

    def command(self, t: float, torque: np.ndarray) -> None: ...
    def torque(self, t: float, q: np.ndarray, v: np.ndarray) -> np.ndarray: ...
    @property
    def mode(self) -> str: ...


class HoldsLast:
    """The usual effort controller: the last torque, for ever. What the watchdog is measured against."""

    mode = "follow"

    def __init__(self) -> None:
        self._last = np.zeros(DOF)

    def command(self, t: float, torque: np.ndarray) -> None:
        self._last = np.array(torque)

    def torque(self, t: float, q: np.ndarray, v: np.ndarray) -> np.ndarray:
        return self._last


class Read(NamedTuple):
    """What became of one message that the controller's process took from its channel."""

    t: float  # [s]
    stamp_ns: int
    refusal: Refusal | None


def _true_clock(t: float) -> float:
    return t + EPOCH


@dataclass
class FaultyLoop:
    """What is wrong in a run; the defaults are a healthy arm."""

    plan: FaultPlan = field(default_factory=FaultPlan)
    """Faults on the state stream."""
    deliver: Deliver | None = None
    """In place of the plan's injector: what arrives at t [s], given what was sent."""
    state_every: int = 1
    """Plant steps from one state message to the next."""
    names: Sequence[str] | None = None
    """Joint order of the messages; unset: the arm's own."""
    plant_clock: Clock = _true_clock
    """Reading of the plant's clock at t [s]: what stamps show."""
    receiver_clock: Clock = _true_clock
    """Reading of the receiver's clock at t [s]."""
    stopped: Sequence[tuple[float, float]] = ()
    """Spans [s] in which the controller's process does not run."""
    command_delay: float = 0.0
    """How long a command is on its way [s]."""
    actuator: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray] | None = None
    """(torque, q, v) -> what the motors really give: (7,) [N m]."""
    disturbances: Sequence[ExternalWrench] = ()
    """Pushes on the arm."""
    events: Mapping[float, Callable[[Controller], None]] = field(default_factory=dict)
    """What is done to the controller at t [s], once; a UsageError that it raises is counted, not raised."""

    def run(
        self,
        plant: Plant,
        controller: Controller,
        follower: Follower,
        duration: float,
        q0: np.ndarray,
        v0: np.ndarray | None = None,
        on_step: Callable[[float], None] | None = None,
    ) -> Record:
        """Close the loop for `duration` [s] from q0 (7,) [rad], v0 (7,) [rad/s]. on_step(t): before each plant step."""
        arm, hold = plant.arm, plant_steps_per_tick(controller.rate_hz, plant.dt)
        order = None if self.names is None else [list(arm.joint_names).index(name) for name in self.names]
        names = list(self.names or arm.joint_names)
        deliver, intake = self.deliver or Injector(self.plan).deliver, Intake(arm.joint_names)
        channel: JointMessage | None = None  # depth 1: only the newest arrival is kept
        on_the_way: deque[tuple[float, np.ndarray]] = deque()
        events = sorted(self.events.items())
        reads: list[Read] = []
        refused_events: Counter[str] = Counter()
        rows: list[tuple[object, ...]] = []
        command = np.full(DOF, np.nan)
        plant.reset(q0, v0)
        for k in range(round(duration / plant.dt)):
            t = k * plant.dt
            if on_step is not None:
                on_step(t)
            q, v = plant.state()
            sent = None
            if k % self.state_every == 0:
                at = slice(None) if order is None else order
                sent = JointMessage(names, q[at].tolist(), v[at].tolist(), round(self.plant_clock(t) * 1e9))
            for message in deliver(t, sent):
                channel = message
            while events and t >= events[0][0] - plant.dt / 2:
                try:
                    events.pop(0)[1](controller)
                except UsageError as error:
                    refused_events[type(error).__name__] += 1
            ticked = k % hold == 0 and not any(begin <= t < end for begin, end in self.stopped)
            published = False
            if ticked:
                sample = None
                if channel is not None:
                    read = intake.read(channel, round(self.receiver_clock(t) * 1e9), t)
                    sample = None if isinstance(read, Refusal) else read
                    reads.append(Read(t, channel.stamp_ns, read if isinstance(read, Refusal) else None))
                    channel = None
                torque = controller.coast(now=t) if sample is None else controller.step(*sample, now=t)
                published = not controller.silent
                if published:
                    command = np.array(torque)
                    on_the_way.append((t + self.command_delay, command))
            while on_the_way and on_the_way[0][0] <= t + plant.dt / 2:
                follower.command(t, on_the_way.popleft()[1])
            applied = np.array(follower.torque(t, q, v), dtype=float)
            row = (t, q, v, applied, command, ticked, published, plant.tool_in_world(), controller.goal.tool)
            rows.append(
                (*row, controller.state.value, controller.reason, str(getattr(follower.mode, "value", follower.mode)))
            )
            wrenches = acting(self.disturbances, t + plant.dt / 2, partial(arm.rotation_in_world, q))
            plant.step(applied if self.actuator is None else self.actuator(applied, q, v), wrenches)
        names_of_columns = [column.name for column in fields(Record)][: len(rows[0])]
        columns = dict(zip(names_of_columns, map(np.array, zip(*rows, strict=True)), strict=True))
        refused = Counter(read.refusal.value for read in reads if read.refusal is not None)
        return Record(
            **columns,
            period=hold * plant.dt,
            gravity_in_command=controller.settings.gravity_in_command,
            reads=reads,
            refused=refused + controller.statistics.refused,
            refused_events=refused_events,
        )
