"""Intake: from what a joint_states message says to a sample in our joint order, on our time base. Pure and clock-free.

t = now - (clock - stamp)        both clocks read at receipt: a step of the clock spoils one sample, not the stream
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dvp_mpc.control.gate import Refusal
from dvp_mpc.messages import JointMessage

MOST_JOINTS = 64  # a longer message is no arm, and not worth a loop
OLDEST = 0.1  # [s] beyond this a stamp is of another clock; younger ones are judged by their age
FUTURE = 0.005  # [s] by which clocks of two machines may disagree


class Sample(NamedTuple):
    """A measured state on the receiver's monotonic time base."""

    t: float  # [s]
    q: np.ndarray  # (7,) [rad]
    v: np.ndarray  # (7,) [rad/s]


class Intake:
    """Reads messages that name at least these joints, in any order."""

    def __init__(self, joint_names: Sequence[str]):
        self._names = tuple(joint_names)
        self._order: tuple[tuple[str, ...], np.ndarray] | None = None  # of the last message, which is that of the next
        self._last_stamp = 0

    def read(self, message: JointMessage, clock_ns: int, now: float) -> Sample | Refusal:
        """The sample, or why there is none. clock_ns: the clock that stamps are on; now [s]: monotonic. Never raises."""
        try:
            return self._read(message, clock_ns, now)
        except (TypeError, ValueError, OverflowError, AttributeError):
            return Refusal.SHAPE

    def _read(self, message: JointMessage, clock_ns: int, now: float) -> Sample | Refusal:
        n = len(message.names)
        if n > MOST_JOINTS or len(message.position) != n or len(message.velocity) != n:
            return Refusal.SHAPE
        order = self._order_of(tuple(message.names))
        if order is None:
            return Refusal.NAMES
        stamp = int(message.stamp_ns)
        if stamp == 0:
            return Refusal.STAMP_ZERO
        age = (clock_ns - stamp) * 1e-9
        if age < -FUTURE:
            return Refusal.STAMP_FUTURE
        if age > OLDEST:
            return Refusal.STAMP_OLD
        if 0 <= self._last_stamp - stamp < OLDEST * 1e9:  # further back it is the clock that stepped
            return Refusal.REPEATED
        q, v = (np.array(values, dtype=float)[order] for values in (message.position, message.velocity))
        if not (np.isfinite(q).all() and np.isfinite(v).all()):
            return Refusal.NOT_FINITE
        self._last_stamp = stamp
        return Sample(now - max(age, 0.0), q, v)

    def _order_of(self, names: tuple[str, ...]) -> np.ndarray | None:
        if self._order is None or self._order[0] != names:
            if len(set(names)) != len(names) or not set(self._names) <= set(names):
                return None
            self._order = names, np.array([names.index(joint) for joint in self._names])
        return self._order[1]
