"""What comes from outside, before anybody has judged it."""

from collections.abc import Sequence
from typing import NamedTuple


class JointMessage(NamedTuple):
    """What a joint_states message says; none of it can be relied on, not even that the three have one length."""

    names: Sequence[str]
    position: Sequence[float]  # [rad]
    velocity: Sequence[float]  # [rad/s]
    stamp_ns: int  # [ns] on the sender's clock
