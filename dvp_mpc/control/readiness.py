"""Readiness: what must be true before an arm is moved. Pure and clock-free.

A controller that is asked to take over looks at the state stream for a while, says everything that speaks against it, and
takes over only when nothing does.
"""

from collections import Counter

import numpy as np

from dvp_mpc.control.gate import Refusal
from dvp_mpc.control.intake import Sample
from dvp_mpc.control.supervisor import AT_REST
from dvp_mpc.problem.arm import Arm

WATCH = 1.0  # [s]
LEAST_RATE = 50.0  # [Hz] below this a state is always older than it may be
REFUSED_SHARE = 0.05  # of all messages


class Readiness:
    """Collects what was seen of a state stream; `objections` judges it."""

    def __init__(self, arm: Arm):
        self._arm = arm
        self._samples: list[Sample] = []
        self._refused: Counter[str] = Counter()

    def see(self, seen: Sample | Refusal) -> None:
        """Note what one message gave."""
        if isinstance(seen, Sample):
            self._samples.append(seen)
        else:
            self._refused[seen.value] += 1

    @property
    def posture(self) -> np.ndarray:
        """Of the newest sample: (7,) [rad]; there is one when there are no objections."""
        return self._samples[-1].q

    def objections(self, seconds: float) -> list[str]:
        """Why the arm should not be moved after watching for `seconds`; empty when it may."""
        accepted, refused = len(self._samples), sum(self._refused.values())
        if accepted + refused == 0:
            return ["no joint state came"]
        found = []
        if refused > REFUSED_SHARE * (accepted + refused):
            counts = ", ".join(f"{reason} ({n})" for reason, n in self._refused.most_common())
            found.append(f"{refused} of {accepted + refused} joint states were refused: {counts}")
        if accepted < LEAST_RATE * seconds:
            found.append(f"joint states come {accepted / seconds:.0f} times a second, needed are {LEAST_RATE:.0f}")
        if self._samples:
            found += self._about_the_arm()
        return found

    def _about_the_arm(self) -> list[str]:
        q, v = (np.array([getattr(sample, name) for sample in self._samples]) for name in ("q", "v"))
        found = []
        for i, joint in enumerate(self._arm.joint_names):
            if np.abs(v[:, i]).max() >= AT_REST:
                found.append(f"joint {joint} moves at {np.abs(v[:, i]).max():.2f} rad/s")
            low, high = self._arm.lower[i], self._arm.upper[i]
            if not (low <= q[:, i].min() and q[:, i].max() <= high):
                found.append(f"joint {joint} at {q[-1, i]:.3f} rad is outside its limits [{low:.3f}, {high:.3f}]")
            elif np.ptp(q[:, i]) > AT_REST:
                found.append(f"joint {joint} moved by {np.ptp(q[:, i]):.3f} rad")
        return found
