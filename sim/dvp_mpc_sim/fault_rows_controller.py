"""Rows of the table of faults: limits, goals, the limiter and activation (F12 to F18, F30, F31)."""

from functools import partial
from typing import Any

import numpy as np

from dvp_mpc.control.controller import Controller, ControllerSettings
from dvp_mpc.control.torque import MOMENT, TORQUE_RATE, Limiter, hold_torque
from dvp_mpc.errors import GoalError
from dvp_mpc.problem.arms import DOF
from dvp_mpc_sim.fault_table import Bound, Row, Trial
from dvp_mpc_sim.faulty_loop import HoldsLast
from dvp_mpc_sim.record import Record
from dvp_mpc_sim.scenario import MOVING, PERIOD, Scenario, basis, holds, model


def beyond_limit(seed: int) -> Trial:
    arm = model()[0].arm
    joint, upper = seed % DOF, bool(seed % 2)
    edge = (arm.upper if upper else arm.lower)[joint]
    away = 1.0 if upper else -1.0
    runs = []
    for excess in (0.004, 0.0088 + 0.02 * np.random.default_rng(seed).random()):
        start = np.concatenate([arm.home, np.zeros(DOF)])
        start[joint] = edge + away * excess
        runs.append(Scenario(seed, duration=1.0, start=start, arming=False, follower=HoldsLast, far=0.0).run())
    slight, far = runs
    scene = Scenario(seed)
    why = set(slight.reason[slight.state == "fault"].astype(str))
    return basis(scene, None, slight, far) | {
        "faults_within_0.0087_rad": float(any("outside its limits" in reason for reason in why)),
        "stopped_for_speed": float(any("rad/s is above its limit" in reason for reason in why)),
        "outward_rad": float((away * (slight.q[:, joint] - edge)).max() - 0.004),
        "fault_beyond_s": far.first("fault"),
        "tracked_beyond": len(far.states() & MOVING),
    }


def over_speed(seed: int) -> Trial:
    arm = model()[0].arm
    joint, sign = seed % DOF, 1.0 if seed % 2 else -1.0
    start = np.concatenate([arm.home, np.zeros(DOF)])
    start[joint] -= 0.3 * sign
    start[DOF + joint] = 1.25 * sign * arm.velocity_limit[joint]
    scene = Scenario(seed, duration=1.5, start=start, arming=False, follower=HoldsLast)
    run = scene.run()
    fast = np.abs(run.v) > arm.velocity_limit
    last = np.flatnonzero(fast.any(axis=1))[-1]
    drives = 0.0
    for k in np.flatnonzero(run.published & fast[:, joint]):
        over = sign * (run.commanded[k] - arm.nonlinear_effects(run.q[k], run.v[k]))[joint]
        held = k > 0 and abs(run.commanded[k, joint] - run.commanded[k - 1, joint]) >= TORQUE_RATE * run.period - 1e-6
        drives += float(
            over > 1e-9 and k > 0 and not held
        )  # the first torque starts from gravity and comes at the rate limit
    fast_motor, slow_motor, measured = runaway(Scenario(seed), joint)
    return (
        basis(scene, Scenario(seed).clean(), run, fast_motor, slow_motor)
        | {"below_limit_s": float(run.t[last] + run.dt), "driving_samples": drives}
        | measured
    )


RUNS_ON = 30  # [ms] above the limit, the plant's steps: what light joints lose within MOMENT is no fault


class Runaway:
    """A motor that gives all it has, from `begin` until its joint is at `share` of its speed limit, and has been above the
    limit for RUNS_ON if it goes there; then it obeys again."""

    def __init__(self, joint: int, share: float):
        self._joint, self._share, self._way = joint, share, 0.0
        self._waits, self._above = True, 0

    def begin(self, controller: Controller) -> None:
        """Now."""
        self._waits = False

    def __call__(self, torque: np.ndarray, q: np.ndarray, v: np.ndarray) -> np.ndarray:
        arm, i, given = model()[0].arm, self._joint, torque.copy()
        if not self._waits and self._way == 0.0:  # the way that is longer, or it would meet a position limit first
            self._way = 1.0 if q[i] < (arm.lower + arm.upper)[i] / 2 else -1.0
        speed = self._way * v[i] / arm.velocity_limit[i]
        self._above += speed > 1
        if self._way and speed >= self._share and (self._share <= 1 or self._above >= RUNS_ON):
            self._waits, self._way = True, 0.0
        return np.where(np.arange(DOF) == i, self._way * arm.torque_limit, given) if self._way else given


def runaway(scene: Scenario, joint: int) -> tuple[Record, Record, Trial]:
    """A motor takes its joint to 1.6 times its limit at least, in motion; and to 0.9 times, which is no fault."""
    arm, begin, runs = scene.task.arm, 1.0, []
    for share in (1.6, 0.9):
        motor = Runaway(joint, share)
        runs.append(scene.run(actuator=motor, events={begin: motor.begin}))
    fast, slow = runs
    above = np.abs(fast.v) > arm.velocity_limit  # a joint's motor turns its neighbours too
    fault = fast.first("fault", begin)
    rows = np.flatnonzero(fast.ticked & (fast.t >= fault))
    named = len(rows) > 0 and any(
        f"{arm.joint_names[i]} at" in str(fast.reason[rows[0]]) for i in np.flatnonzero(above[rows[0]])
    )
    measured = {
        "fault_s": fault - float(fast.t[above.any(axis=1)][0]),
        "rest_s": fast.stopped(fault) - fault if len(rows) else np.inf,
        "moved_after": float(len(fast.states(fault) & MOVING)),
        "named": float(named),
        "faults_at_0.9": float("fault" in slow.states()),
        "speed_share_at_0.9": float(np.abs(slow.v[slow.t >= begin, joint]).max() / arm.velocity_limit[joint]),
    }
    return fast, slow, measured


def bad_goal(seed: int) -> Trial:
    scene = Scenario(seed)
    task, rng = scene.task, scene.rng
    controller = Controller(task, None, scene.goals[0], ControllerSettings(rate_hz=1 / PERIOD, plan_hz=1 / PERIOD))
    before, refused, changed, silent = controller.goal.tool.copy(), 0, 0, 0
    for k in range(100):
        point: Any = rng.uniform(-2, 2, 3)
        if k % 4 == 0:
            point[rng.integers(3)] = rng.choice([np.nan, np.inf, -np.inf])
        elif k % 4 == 1:
            point = [point[:2], np.append(point, 0.0), point * 1e9, np.zeros((3, 1))][int(rng.integers(4))]
        elif k % 4 == 2:  # just outside the box
            lower, upper = np.array(task.box.goal_lower), np.array(task.box.goal_upper)
            point, axis = rng.uniform(lower, upper), int(rng.integers(3))
            point[axis] = (
                (upper[axis] + rng.uniform(1e-4, 1)) if rng.random() < 0.5 else lower[axis] - rng.uniform(1e-4, 1)
            )
        else:
            point[0] = -abs(point[0])  # behind the arm
        try:
            controller.set_goal(point)
        except GoalError as error:
            refused += 1
            silent += not str(error)
        changed += not np.array_equal(controller.goal.tool, before)
    return {"asked": 100, "taken": 100 - refused, "changed": changed, "silent": silent}


def unreachable_goal(seed: int) -> Trial:
    scene = Scenario(seed, duration=6.0)
    far = scene.goals[0] + np.array([1.0, 0, 0]) * scene.rng.uniform(0.5, 3)
    run = scene.run(events={1.0: lambda controller: controller.set_goal(far)})
    clean = scene.clean() if seed % 10 == 0 else None
    return basis(scene, clean, run) | {
        "rest_s": run.stopped(1.0) - 1.0,
        "flagged": run.refused_events["GoalError"],
        "final_error_m": run.tool_error()[-1],
    }


def goal_steps(seed: int) -> Trial:
    scene = Scenario(seed, duration=5.0, goal_every=1.5, far=0.5)
    clean = scene.clean()
    rng = scene.rng
    points = [scene.task.sample_goal(rng).tool for _ in range(10)]
    flood = {round(1.0 + k * 1e-3, 4): partial(_aim, point=points[int(rng.integers(len(points)))]) for k in range(500)}
    flooded = Scenario(seed, duration=3.0).run(events=flood)
    arm = scene.task.arm
    beyond = sum(int((run.q < arm.lower - 1e-9).sum() + (run.q > arm.upper + 1e-9).sum()) for run in (clean, flooded))
    fast = sum(int((np.abs(run.v) > arm.velocity_limit + 1e-9).sum()) for run in (clean, flooded))
    return basis(scene, clean, flooded) | {
        "position_violations": beyond,
        "speed_violations": fast,
        "holds": holds(clean) + holds(flooded),
    }


def _aim(controller: Controller, point: np.ndarray) -> None:
    controller.set_goal(point)


def any_torque(seed: int) -> Trial:
    arm, rng = model()[0].arm, np.random.default_rng(seed)
    n = 10_000
    limiter, torque = Limiter(arm.torque_limit, PERIOD), arm.gravity_torque(arm.home)
    asked = rng.standard_normal((n, DOF)) * 10 ** rng.uniform(-12, 12, (n, 1))
    odd = np.array([np.nan, np.inf, -np.inf, 1e9, -1e9, 0.0, -0.0, 5e-324, 1.8e308])
    asked[::2] = np.where(rng.random((n // 2, DOF)) < 0.5, rng.choice(odd, (n // 2, DOF)), asked[::2])
    broken = 0
    for row in asked:
        before, torque = torque, limiter(row, torque)
        step = np.abs(torque - before) <= TORQUE_RATE * PERIOD + 1e-9
        broken += not (np.isfinite(torque) & (np.abs(torque) <= arm.torque_limit) & step).all()
    return {"samples": n, "violations": broken}


def activation(seed: int) -> Trial:
    scene = Scenario(seed)
    run = scene.clean()
    arm = scene.task.arm
    ask = run.commanded[run.published]
    first = np.abs(ask[0] - hold_torque(arm, run.q[0], run.v[0])).max()
    blend = run.published & (run.state == "arming") & (run.reason == "blending from hold to the plan")
    begin, end = float(run.t[blend][0]), run.first("tracking")
    inside = run.published & (run.t >= begin - PERIOD) & (run.t < end)
    return basis(scene, run) | {
        "first_step_N_m": float(first),
        "largest_step_N_m": float(np.abs(np.diff(run.commanded[inside], axis=0)).max()),
        "blend_s": end - begin,
    }


ROWS = [
    Row(
        "F12",
        "q past its limit",
        "0 outward torque; FAULT beyond 0.0087 rad, 100 %",
        beyond_limit,
        (
            Bound("faults_within_0.0087_rad", "sum", most=0),
            Bound("stopped_for_speed", "sum"),  # on the way back, far outside the region, with the Riccati value: F13
            Bound("outward_rad"),
            Bound("fault_beyond_s", most=PERIOD),
            Bound("tracked_beyond", "sum", most=0),
        ),
        28,
        7,
    ),
    Row(
        "F13",
        "over-speed",
        "only decelerating torque, below the limit in 200 ms; FAULT after 20 ms + 2P, joint named, at rest <= 0.5 s",
        over_speed,
        (
            Bound("below_limit_s", most=0.2),
            Bound("driving_samples", "sum", most=0),
            Bound("fault_s", most=MOMENT + 2 * PERIOD),
            Bound("rest_s", most=0.5),
            Bound("moved_after", "sum", most=0),
            Bound("named", "min", least=1),
            Bound("faults_at_0.9", "sum", most=0),
            Bound("speed_share_at_0.9", "min", least=0.85),
        ),
        28,
        7,
    ),
    Row(
        "F16",
        "bad target",
        "1000 of 1000 refused with a reason, the last one kept",
        bad_goal,
        (
            Bound("asked", "sum"),
            Bound("taken", "sum", most=0),
            Bound("changed", "sum", most=0),
            Bound("silent", "sum", most=0),
        ),
        10,
        10,
    ),
    Row(
        "F17",
        "unreachable target",
        "at rest and flagged within 5 s, 100 of 100",
        unreachable_goal,
        (Bound("rest_s", most=5.0), Bound("flagged", "min", least=1), Bound("final_error_m")),
        100,
        1,
    ),
    Row(
        "F18",
        "target steps of 0.5 m, targets at 1 kHz",
        "0 limit violations",
        goal_steps,
        (
            Bound("position_violations", "sum", most=0),
            Bound("speed_violations", "sum", most=0),
            Bound("holds", "sum", most=0),
        ),
        12,
        1,
    ),
    Row(
        "F30",
        "any torque into the limiter",
        "invariant on 10^6 samples",
        any_torque,
        (Bound("samples", "sum"),),
        100,
        5,
    ),
    Row(
        "F31",
        "activation",
        "first step <= 1 N m, blend >= 0.5 s",
        activation,
        (Bound("first_step_N_m", most=1.0), Bound("largest_step_N_m"), Bound("blend_s", "min", least=0.5 - PERIOD)),
        40,
        4,
    ),
]
