"""The command loop: newest joint state in, torque out, in a thread of its own that no executor can hold up."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from dvp_mpc.control.controller import Controller
from dvp_mpc.control.gate import Refusal
from dvp_mpc.control.intake import Intake, Sample
from dvp_mpc.control.realtime import Granted, RealtimeLoop, prepare_thread
from dvp_mpc.control.statistics import percentiles_ms
from dvp_mpc.control.supervisor import AGE_LIMIT, LOST, State
from dvp_mpc.errors import NotReady
from dvp_mpc.messages import JointMessage
from dvp_mpc_ros.compat import Polled, take_newest
from dvp_mpc_ros.qos import NEWEST_STATE

LARGEST_MESSAGE = 16_384  # [bytes] a joint state of 64 joints has 5 kB; 10^6 numbers take 21 ms to deserialise
WINDOW = 20_000
REST_WITHIN = 1.0  # [s] HOLD stops an arm in a third of it


class PolledClock:
    """Simulated time, polled like the states; the node's own clock stands still while its executor is busy."""

    def __init__(self, subscription: Subscription):
        self._subscription, self._ns = subscription, 0

    def __call__(self) -> int:
        """The newest simulated time [ns]."""
        if (taken := take_newest(self._subscription)) is not None:
            time_now = deserialize_message(taken[0], ClockMessage).clock
            self._ns = time_now.sec * 1_000_000_000 + time_now.nanosec
        return self._ns


def stamp_clock(node: Node, opened: ExitStack) -> Callable[[], int]:
    """The clock that stamps are on [ns]: the node's own, or the simulation's; what it needs is given back with `opened`."""
    if not node.get_parameter("use_sim_time").value:
        return lambda: int(node.get_clock().now().nanoseconds)
    clock = node.create_subscription(
        ClockMessage, "/clock", lambda message: None, NEWEST_STATE, callback_group=Polled(), raw=True
    )
    opened.callback(node.destroy_subscription, clock)
    return PolledClock(clock)


class StateReader:
    """The newest sample of a polled joint_states subscription."""

    def __init__(self, subscription: Subscription, intake: Intake, clock: Callable[[], int]):
        """clock: the time that stamps are on [ns]."""
        self._subscription, self._intake, self._clock = subscription, intake, clock
        self.publisher: bytes | None = None
        """Whose messages are taken; None: not yet known, or the middleware does not say."""
        self.strangers = 0
        """Messages of other publishers."""
        self._forgetting = False
        self.refused: Counter[str] = Counter()

    def forget(self) -> None:
        """Take the next publisher for the right one, as when the driver was started anew; may be called from any thread."""
        self._forgetting = True

    def newest(self, now: float) -> Sample | Refusal | None:
        """The newest message since the last call as a sample, why it is none, or None when none came."""
        if self._forgetting:
            self._forgetting, self.publisher, self.strangers = False, None, 0
        taken = take_newest(self._subscription)
        if taken is None:
            return None
        raw, info = taken
        sender = info.get("publisher_gid", {}).get("data")
        if self.publisher is None:
            self.publisher = sender
        elif sender != self.publisher:
            self.strangers += 1
            return None
        seen = self._read(raw, now)
        if isinstance(seen, Refusal):
            self.refused[seen.value] += 1
        return seen

    def _read(self, raw: bytes, now: float) -> Sample | Refusal:
        if len(raw) > LARGEST_MESSAGE:
            return Refusal.SHAPE
        message = deserialize_message(raw, JointState)
        stamp = message.header.stamp
        joints = JointMessage(
            message.name, message.position, message.velocity, stamp.sec * 1_000_000_000 + stamp.nanosec
        )
        return self._intake.read(joints, self._clock(), now)


class CommandLoop:
    """Steps a controller at its rate and publishes what it says."""

    def __init__(
        self,
        controller: Controller,
        reader: StateReader,
        publisher: Publisher,
        realtime: str,
        cpus: tuple[int, ...],
        on_death: Callable[[str], object],
    ):
        """on_death: called in the loop's thread, with the reason, when it ends by an exception."""
        self.controller, self._reader, self._publisher = controller, reader, publisher
        self.loop = RealtimeLoop(controller.rate_hz, self._tick)
        self._rights, self._on_death = (realtime, cpus), on_death
        self.granted: Granted | None = None
        self._ready = threading.Event()
        self._refused_rights: Exception | None = None
        self._command = Float64MultiArray()
        self._latencies, self._published = np.zeros(WINDOW), 0
        self.death = ""
        """Why it ended by itself, "" if it did not."""
        self._thread = threading.Thread(target=self._run, name="command loop", daemon=True)

    def start(self) -> None:
        """Begin. Raises what the request for real-time rights raises."""
        self._thread.start()
        self._ready.wait(5.0)
        if self._refused_rights is not None:
            raise self._refused_rights

    def brake(self) -> str:
        """Bring the arm to rest, and say why it is not known to have come to rest in time, "" if it is."""
        self.controller.stop()
        until, still = time.monotonic() + REST_WITHIN, 0
        while self.alive and time.monotonic() < until and still < 5:
            time.sleep(0.01)
            stopping = self.controller.state is State.STOPPING
            if stopping and self.controller.silent:
                return (
                    "where the arm is or what torque does to it is not known: none is given, its driver has to stop it"
                )
            still = still + 1 if stopping and self.controller.at_rest else 0
        late = "the arm did not come to rest within a second; commands end all the same"
        return "" if still == 5 else self.death or late

    def reset(self) -> None:
        """Leave FAULT, whoever publishes the states by now. Raises NotReady with the reason when it cannot be left."""
        if self.death:
            raise NotReady(f"{self.death}; deactivate and activate")
        self._reader.forget()
        until = time.monotonic() + LOST
        while self.controller.state_age > AGE_LIMIT and time.monotonic() < until:
            time.sleep(0.002)
        self.controller.reset()

    def stop(self, seconds: float = 1.0) -> None:
        """End after the tick under way."""
        self.loop.stop()
        self._thread.join(seconds)

    @property
    def alive(self) -> bool:
        """Whether it is ticking."""
        return self._thread.is_alive()

    def latency_ms(self) -> dict[str, float]:
        """p50, p99 and max of the time from a state's stamp to the command made of it [ms]."""
        return percentiles_ms(self._latencies[: min(self._published, WINDOW)])

    def _run(self) -> None:
        try:
            self.granted = prepare_thread(*self._rights)
        except Exception as error:
            self._refused_rights = error
            return
        finally:
            self._ready.set()
        try:
            self.loop.run()
        except BaseException as error:
            self.death = f"the command loop ended: {type(error).__name__}: {error}"
            self._on_death(self.death)

    def _tick(self, now: float) -> None:
        try:
            torque, measured = self._step(now)
        except Exception as error:  # whatever it is, the arm needs a torque in this very tick
            self.controller.fault(f"{type(error).__name__} in the command loop: {error}")
            torque, measured = self.controller.coast(now=now), None
        # A process that was frozen in this very step would give out, on waking, a torque for an arm that is elsewhere by now.
        if not self.controller.silent and time.monotonic() - now <= AGE_LIMIT:
            self._command.data = torque.tolist()
            self._publisher.publish(self._command)
        if measured is not None:
            self._latencies[self._published % WINDOW] = time.monotonic() - measured
            self._published += 1

    def _step(self, now: float) -> tuple[np.ndarray, float | None]:
        seen = self._reader.newest(now)
        if self._reader.strangers:
            self.controller.fault("a second publisher of joint states")
        if isinstance(seen, Sample):
            return self.controller.step(seen.t, seen.q, seen.v, now=now), seen.t
        if seen is not None:
            self.controller.statistics.refused[seen.value] += 1
        return self.controller.coast(now=now), None
