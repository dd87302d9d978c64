"""Rows of the table of faults: an arm that is not the one the controller believes in (F29).

Payload, friction, pushes, noise and the like (F42 to F47) are `dvp-mpc robustness promises`.
"""

import numpy as np

from dvp_mpc_sim.fault_table import Bound, Row, Trial
from dvp_mpc_sim.faulty_loop import HoldsLast
from dvp_mpc_sim.record import Record
from dvp_mpc_sim.scenario import MOVING, Scenario, basis


def gravity_flipped(seed: int) -> Trial:
    arm = Scenario(seed).task.arm

    def adds(torque: np.ndarray, q: np.ndarray, v: np.ndarray) -> np.ndarray:
        return torque + arm.gravity_torque(q)

    scene = Scenario(seed, duration=1.5, follower=HoldsLast)
    bare = Scenario(seed, duration=1.5, follower=HoldsLast, settings={"gravity_in_command": False})
    twice, never = scene.run(actuator=adds), bare.run()
    right = bare.run(actuator=adds)
    return basis(scene, right, twice, never) | {
        "armed": sum(bool(run.states() & MOVING) for run in (twice, never)),
        "fault_s": max(run.first("fault") for run in (twice, never)),
        "travel_at_fault_m": max(_travel(run, run.first("fault")) for run in (twice, never)),
    }


def _travel(run: Record, end: float) -> float:
    tool = run.tool_in_world[run.t <= end]
    return float(np.linalg.norm(tool - tool[0], axis=1).max())


ROWS = [
    Row(
        "F29",
        "gravity convention flipped, both ways",
        "refused while arming, 100 %",
        gravity_flipped,
        (Bound("armed", "sum", most=0), Bound("fault_s", most=0.5), Bound("travel_at_fault_m")),
        30,
        2,
    ),
]
