"""Wilson's interval of a share, with p = successes / n:

    (p + z^2 / 2n  -+  z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)

The textbook's p -+ z sqrt(p (1 - p) / n) has no width at 0 and at n successes, which is where a robustness study lives.
"""

import math

from dvp_mpc.errors import BadSetting


def wilson(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """(low, high), both in [0, 1]: the shares from which `successes` of `n` is no further than z standard deviations.

    z = 1.96 gives 95 %. Without a trial nothing is known: (0, 1).
    """
    if not 0 <= successes <= n:
        raise BadSetting("successes", successes, f"must be from 0 to the number of trials, {n}")
    if n == 0:
        return 0.0, 1.0
    p, shrink = successes / n, 1 + z**2 / n
    centre = (p + z**2 / (2 * n)) / shrink
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / shrink
    # The ends are exact in the mathematics only; 0.9999999 would print as "below 100 %".
    return 0.0 if successes == 0 else centre - half, 1.0 if successes == n else centre + half
