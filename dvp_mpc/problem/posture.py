"""Goal postures: the posture nearest to home, within limits, whose tool is at a point.

Newton's method finds the nearest one in the valley where it begins. From home alone that is often another valley than the best:
behind the arm, or where a joint ends on the way. So several seeds are tried where asked for, always the same ones.
"""

import numpy as np
from scipy.stats import qmc

from dvp_mpc.problem.arm import Arm
from dvp_mpc.problem.arms import DOF

REACHED = 1e-6  # [m] tool error at which a goal posture counts as found; Newton's last step goes far below
STEPS = 150
SETTLED = 1e-9  # [rad] largest change of a joint in the last step
REGULAR = 1e-10 * np.eye(3)  # [m^2/rad^2] keeps a stretched arm's equations solvable


def nearest_posture(arm: Arm, point: np.ndarray, lower: np.ndarray, upper: np.ndarray, seeds: int = 1) -> np.ndarray:
    """The posture (7,) [rad] within lower and upper (7,) [rad]; where none reaches the point (3,) [m], the nearest found."""
    home = np.clip(arm.home, lower, upper)
    best, best_distance, best_miss = home, np.inf, np.inf
    for seed in _seeds(arm, point, home, lower, upper, seeds):
        q = _newton(arm, point, seed, lower, upper)
        miss = float(np.linalg.norm(point - arm.tool_in_world(q)))
        distance = float(np.linalg.norm(q - home))
        nearer = distance < best_distance - 1e-6  # what two seeds found alike is one posture, or rounding would choose
        if (miss < best_miss) if miss > REACHED else (best_miss > REACHED or nearer):
            best, best_distance, best_miss = q, distance, miss
    return best


def _seeds(
    arm: Arm, point: np.ndarray, home: np.ndarray, lower: np.ndarray, upper: np.ndarray, number: int
) -> list[np.ndarray]:
    """Home; home with its first joint turned to face the point; and then a sequence that fills the limits evenly."""
    seeds = [home]
    if number > 1:
        at_home = arm.tool_in_world(home)
        turn = np.arctan2(point[1], point[0]) - np.arctan2(at_home[1], at_home[0])
        facing = home.copy()
        facing[0] += (turn + np.pi) % (2 * np.pi) - np.pi
        seeds.append(np.clip(facing, lower, upper))
    if number > 2:
        spread = qmc.Halton(DOF, scramble=False).random(number - 1)[1:]  # its first point is a corner
        seeds += list(lower + spread * (upper - lower))
    return seeds


def _newton(arm: Arm, point: np.ndarray, seed: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Newton steps on the tool error, then what is left of the way home inside the null space of the tool Jacobian.

    A joint at its limit takes no part in a step that would push it out; the next step may take it back in. Far out, where
    the null space bends, whole steps home would circle for ever: later ones are short.
    """
    q = seed
    for k in range(STEPS):
        p, J = arm.tool_jacobian_in_world(q)
        pull, miss = (1.0 if k < 40 else 0.2) * (arm.home - q), point - p
        at_lower, at_upper = q <= lower, q >= upper
        for _ in range(DOF):
            step = J.T @ np.linalg.solve(J @ J.T + REGULAR, miss - J @ pull) + pull
            outward = (at_lower & (step < 0)) | (at_upper & (step > 0))
            if not outward.any():
                break
            J, pull = np.where(outward, 0.0, J), np.where(outward, 0.0, pull)
        step *= min(1.0, 0.3 / max(np.abs(step).max(), 1e-12))
        before, q = q, np.minimum(np.maximum(q + step, lower), upper)
        if np.abs(q - before).max() < SETTLED:
            break
    return q
