"""Rows of the table of faults: an arm that is not the one the controller believes in (F29, F42 to F47)."""

from typing import Any

import numpy as np

from dvp_mpc.disturbance import ExternalWrench, Impulse, Step
from dvp_mpc.problem.arm import DOF
from dvp_mpc_sim.fault_table import Bound, Row, Trial
from dvp_mpc_sim.faulty_loop import HoldsLast
from dvp_mpc_sim.mismatch import friction, inertia, payload
from dvp_mpc_sim.record import Record
from dvp_mpc_sim.scenario import ARMED, MOVING, Scenario, basis, noisy

END = 6.0  # [s] of a run that is to settle


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


def unknown_payload(seed: int) -> Trial:
    mass = float(Scenario(seed).rng.uniform(0.2, 2.0))
    loose: dict[str, Any] = {"duration": END, "mismatch": payload(mass)}
    run = Scenario(seed, arming=False, follower=HoldsLast, **loose).run()
    armed = Scenario(seed, **loose).run()
    return basis(Scenario(seed), None, run, armed) | {
        "unstable": float(not _at_rest(run)),
        "error_m": run.tool_error()[-1],
        "refused_while_arming": float("fault" in armed.states()),
    }


def other_dynamics(seed: int) -> Trial:
    rng = Scenario(seed).rng
    rubs = friction(rng.uniform(0.0, 0.3, DOF), rng.uniform(0.0, 0.5, DOF))
    run = Scenario(
        seed, duration=END, arming=False, follower=HoldsLast, mismatch=inertia(rng.uniform(0.8, 1.2, 12))
    ).run(actuator=rubs)
    return basis(Scenario(seed), None, run) | {
        "missed_1_cm": float(run.tool_error()[-1] > 0.01),
        "error_m": run.tool_error()[-1],
        "unstable": float(not _at_rest(run)),
    }


def noise(seed: int) -> Trial:
    scene = Scenario(seed, duration=4.5)
    run = scene.run(deliver=noisy(seed))
    torque = run.commanded[run.published & (run.t > 3.0)]
    window = np.ones(5) / 5  # 25 ms: what is faster than 40 Hz is left
    slow = np.stack([np.convolve(column, window, mode="same") for column in torque.T], axis=1)
    fast = (torque - slow)[5:-5] / scene.task.arm.torque_limit
    return basis(scene, None, run) | {
        "fast_torque_share": float(np.sqrt((fast**2).mean(axis=0)).max()),
        "error_m": run.tool_error()[-1],
        "left_tracking": float(run.states(ARMED) != {"tracking"}),
    }


def impulse(seed: int) -> Trial:
    scene = Scenario(seed, duration=5.0)
    d = scene.rng.standard_normal(3)
    out, runs = {}, []
    for size in (1, 2, 5):
        x, y, z = (size * d / np.linalg.norm(d)).tolist()
        run = scene.run(disturbances=[ExternalWrench(Impulse((x, y, z), start=2.8))])
        runs.append(run)
        out[f"missed_at_{size}_N_s"] = float(_late(run, 2.9 + 2.0))
        out[f"faults_at_{size}_N_s"] = float(bool(run.states() & {"hold", "fault"}))
    return basis(scene, scene.clean(), *runs) | out


def push(seed: int) -> Trial:
    scene = Scenario(seed, duration=8.0)
    d = scene.rng.standard_normal(3)
    x, y, z = (20 * d / np.linalg.norm(d)).tolist()
    run = scene.run(disturbances=[ExternalWrench(Step((x, y, z), start=2.8, stop=5.8))])
    pushed = (run.t >= 2.8) & (run.t < 5.8)
    rest = scene.task.tool(np.concatenate([run.q[2799], np.zeros(DOF)]))
    return basis(scene, None, run) | {
        "away_m": float(np.linalg.norm(run.tool_in_world[pushed] - rest, axis=1).max()),
        "missed": float(_late(run, 5.8 + 2.0)),
        "faults": float(bool(run.states() & {"hold", "fault"})),
    }


def biased(seed: int) -> Trial:
    bias = Scenario(seed).rng.choice([-1.0, 1.0], DOF)
    faults: dict[str, Any] = {"actuator": lambda torque, q, v: torque + bias, "command_delay": 0.002}
    run = Scenario(seed, duration=END, arming=False, follower=HoldsLast).run(**faults)
    armed = Scenario(seed, duration=END).run(**faults)
    return basis(Scenario(seed), None, run, armed) | {
        "unstable": float(not _at_rest(run)),
        "error_m": run.tool_error()[-1],
        "refused_while_arming": float("fault" in armed.states()),
    }


def _at_rest(run: Record) -> bool:
    """Whether the last half second passes without motion."""
    return bool((np.abs(run.v[run.t > run.t[-1] - 0.5]) < 0.05).all())


def _late(run: Record, by: float) -> bool:
    return bool((run.tool_error()[run.t >= by] > 0.01).any())


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
    Row(
        "F42",
        "unknown payload to 2 kg",
        "at rest in 100 of 100",
        unknown_payload,
        (Bound("unstable", "sum", most=0), Bound("error_m"), Bound("refused_while_arming", "sum")),
        100,
        2,
        extra=True,
    ),
    Row(
        "F43",
        "friction, inertia of each link +-20 %",
        "within 1 cm in >= 99 of 100",
        other_dynamics,
        (Bound("missed_1_cm", "mean", most=0.01), Bound("error_m"), Bound("unstable", "sum", most=0)),
        100,
        2,
        extra=True,
    ),
    Row(
        "F44",
        "noise of 1e-4 rad, 1e-2 rad/s",
        "torque above 40 Hz <= 5 % of the limit",
        noise,
        (Bound("fast_torque_share", most=0.05), Bound("error_m"), Bound("left_tracking", "sum", most=0)),
        20,
        2,
        extra=True,
    ),
    Row(
        "F45",
        "impulse at the hand of 1, 2, 5 N s",
        "within 1 cm after 2 s: 100, 100, 95 of 100",
        impulse,
        (
            Bound("missed_at_1_N_s", "mean", most=0),
            Bound("missed_at_2_N_s", "mean", most=0),
            Bound("missed_at_5_N_s", "mean", most=0.05),
            *(Bound(f"faults_at_{n}_N_s", "sum") for n in (1, 2, 5)),
        ),
        100,
        2,
        extra=True,
    ),
    Row(
        "F46",
        "push of 20 N for 3 s",
        "away <= 15 cm, within 1 cm after 2 s",
        push,
        (Bound("away_m", most=0.15), Bound("missed", "sum", most=0), Bound("faults", "sum")),
        20,
        1,
        extra=True,
    ),
    Row(
        "F47",
        "torque bias of 1 N m, commands 2 ms late",
        "at rest in >= 99 of 100",
        biased,
        (Bound("unstable", "mean", most=0.01), Bound("error_m"), Bound("refused_while_arming", "sum")),
        100,
        2,
        extra=True,
    ),
]
