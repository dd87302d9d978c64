"""Statistics of a controller: what a user asks of a real-time loop, never a mean alone."""

from collections import Counter, deque

import numpy as np

WINDOW = 100_000  # solves kept for the percentiles; bounds the memory of a controller that runs for days


class Statistics:
    """Counts since the start, and percentiles over the last WINDOW solves."""

    def __init__(self) -> None:
        self.steps = 0
        self.solves = 0
        self.misses = 0
        """Steps that took longer than their period."""
        self.rejected: Counter[str] = Counter()
        """Plans that were not usable, by status."""
        self.refused: Counter[str] = Counter()
        """States that were not accepted, by reason."""
        self.states: Counter[str] = Counter()
        """Steps in each state of the supervisor."""
        self.transitions: deque[tuple[float, str, str]] = deque(maxlen=100)
        """(time [s], state, reason) of the last changes of state."""
        self._seconds = np.zeros(WINDOW)

    def stepped(self, state: str, *, missed: bool) -> None:
        """Note one step."""
        self.steps += 1
        self.states[state] += 1
        self.misses += missed

    def solved(self, seconds: float) -> None:
        """Note one solve."""
        self._seconds[self.solves % WINDOW] = seconds
        self.solves += 1

    def solve_ms(self) -> dict[str, float]:
        """p50, p99 and max of the solve time [ms]; NaN before the first solve."""
        seconds = self._seconds[: min(self.solves, WINDOW)]
        return percentiles_ms(seconds)


def percentiles_ms(seconds: np.ndarray) -> dict[str, float]:
    """p50, p99 and max of times given in seconds [ms]; NaN when there are none."""
    if len(seconds) == 0:
        return dict.fromkeys(("p50", "p99", "max"), float("nan"))
    p50, p99 = np.percentile(seconds, [50, 99])
    return {"p50": 1e3 * float(p50), "p99": 1e3 * float(p99), "max": 1e3 * float(np.max(seconds))}
