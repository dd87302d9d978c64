"""What acts on the simulated arm from outside: commands that are polled, wrenches that are sent or planned."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import WrenchStamped
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from std_msgs.msg import Float64MultiArray

from dvp_mpc.disturbance import ExternalWrench, acting
from dvp_mpc.errors import BadSetting, UnknownChoice
from dvp_mpc.problem.arms import DOF
from dvp_mpc_ros.compat import take_newest

WRENCH_STEPS = 100  # of 1 ms
LARGEST_WRENCH = 1000.0  # [N], [N m] beyond what any arm lives to feel; the simulation would fly apart
LARGEST_COMMAND = 1024  # [bytes] seven numbers take 76; a flood of 10^6 would take 21 ms to deserialise


class CommandReader:
    """The newest torque of a polled subscription, and how many there were."""

    def __init__(self, subscription: Subscription):
        self._subscription = subscription
        self.torque = np.full(DOF, np.nan)
        """Last received: (7,) [N m]; NaN before the first and for a message that was not seven numbers."""
        self.sent = 0
        """Commands sent up to that one, with those that a newer one replaced before they were seen."""
        self.stamp_ns = 0
        """When that one was sent, by the sender's wall clock; 0 where the middleware does not say."""
        self.taken = 0
        self.unreadable = 0
        self._last: tuple[str, int] = ("", 0)  # by whom, its number

    def newest(self) -> np.ndarray | None:
        """The torque (7,) [N m] that came since the last call, if one came and it is seven numbers."""
        taken = take_newest(self._subscription)
        if taken is None:
            return None
        raw, info = taken
        self.taken += 1
        self.sent += self._sent_since(info)
        self.stamp_ns = int(info.get("source_timestamp") or 0)
        torque = _torque_in(raw)
        self.unreadable += torque is None
        self.torque = np.full(DOF, np.nan) if torque is None else torque
        return torque

    def _sent_since(self, info: dict[str, Any]) -> int:
        sender, number = str(info.get("publisher_gid")), info.get("publication_sequence_number")
        if not isinstance(number, int):
            return 1
        (before, last), self._last = self._last, (sender, number)
        return number - last if sender == before and number > last else 1


def _torque_in(raw: bytes) -> np.ndarray | None:
    if len(raw) > LARGEST_COMMAND:
        return None
    try:
        torque = np.array(deserialize_message(raw, Float64MultiArray).data, dtype=float)
    except Exception:  # of many types, for bytes that are no such message
        return None
    return torque if torque.shape == (DOF,) else None


class Wrenches:
    """Planned pushes, and the one that somebody sent last."""

    def __init__(self, links: Iterable[str], planned: Sequence[ExternalWrench]):
        self._links, self._planned = set(links), planned
        self._sent: tuple[str | None, np.ndarray] | None = None  # set by the thread that `send` is called in
        self._acting: tuple[str | None, np.ndarray] | None = None
        self._until = 0

    def send(self, message: WrenchStamped) -> None:
        """Let it act from the next step on. Raises UnknownChoice and BadSetting, and keeps the one before."""
        link, force, torque = message.header.frame_id, message.wrench.force, message.wrench.torque
        wrench = np.array([force.x, force.y, force.z, torque.x, torque.y, torque.z])
        if link and link not in self._links:
            raise UnknownChoice("link", link[:80], sorted(self._links))
        if not (np.abs(wrench) <= LARGEST_WRENCH).all():
            raise BadSetting("wrench", wrench.tolist(), f"must be finite and at most {LARGEST_WRENCH:g} N and N m")
        self._sent = (link or None, wrench)

    def at(self, step: int, rotation: Callable[[str | None], np.ndarray]) -> list[tuple[str | None, np.ndarray]]:
        """What acts during a step of 1 ms, in the world. A planned push is sampled in the middle of the step.

        rotation(link): (3, 3), from the axes of a link to the world's.
        """
        sent = self._sent
        if sent is not self._acting:
            self._acting, self._until = sent, step + WRENCH_STEPS
        middle = 1e-3 * (step + 0.5)
        wrenches = acting(self._planned, middle, rotation)
        return [*wrenches, sent] if sent is not None and step < self._until else wrenches
