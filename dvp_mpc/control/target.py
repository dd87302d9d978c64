"""Target: what a message asks the tool to do, checked before anything is computed from it. Pure and clock-free."""

from collections.abc import Sequence

import numpy as np

from dvp_mpc.errors import GoalError

OLDEST = 1.0  # [s] an older wish is from another situation
FUTURE = 0.1  # [s]
UNIT = 1e-3  # error of a quaternion's norm


def read_target(
    frame_id: str,
    position: Sequence[float],
    stamp_ns: int,
    clock_ns: int,
    frames: Sequence[str],
    quaternion: Sequence[float] | None = None,
) -> np.ndarray:
    """The point (3,) [m] in the world that a message names.

    frames: names under which the world goes, "" among them when a message may leave it out. stamp_ns 0 means now. A
    quaternion must be one, though goals are positions and it is not used. Raises GoalError with what is wrong.
    """
    if frame_id not in frames:
        raise GoalError(f"frame_id {frame_id!r} is none of: {', '.join(map(repr, frames))}", float("nan"))
    age = (clock_ns - stamp_ns) * 1e-9
    if stamp_ns != 0 and not -FUTURE <= age <= OLDEST:
        raise GoalError(f"stamp is {age:.3f} s old, allowed is {-FUTURE} to {OLDEST} s", float("nan"))
    if quaternion is not None:
        norm = float(np.linalg.norm(quaternion))
        if not abs(norm - 1) <= UNIT:
            raise GoalError(f"orientation has norm {norm:.4g}, a unit quaternion has 1", float("nan"))
    point = np.array(position, dtype=float)
    if point.shape != (3,) or not np.isfinite(point).all():
        raise GoalError(f"position {point.tolist()} is not three finite numbers [m]", float("nan"))
    return point
