"""One trial: an arm, a start, a goal and what is wrong, all drawn from a seed; one controller; and what came of it.

The loop is the ROS nodes' own in simulated time (faulty_loop.py): a controller at 200 Hz whose plans come from a solver
process, one period late; a plant at 1 kHz. Every controller of the comparison runs in the same `Controller`, with its gate,
limiter and safety states: only the plans differ.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import numpy as np

from dvp_mpc.control.controller import Controller, ControllerSettings
from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.control.planner import Planner, Solver
from dvp_mpc.errors import RunFailed
from dvp_mpc.models import load_model
from dvp_mpc.problem.arms import DOF
from dvp_mpc.problem.optimum import TICKS, optimal_cost, running_cost
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.task import Goal, sample_starts
from dvp_mpc.value import Value
from dvp_mpc_sim.computed_torque import ComputedTorquePlanner
from dvp_mpc_sim.episode import make_plant, terminal_cost
from dvp_mpc_sim.faulty_loop import FaultyLoop, HoldsLast
from dvp_mpc_sim.loop import SETTLED
from dvp_mpc_sim.planner import SimulatedPlanner
from dvp_mpc_sim.record import Record
from dvp_mpc_sim.robustness.case import COMPUTED_TORQUE, Case, ControllerSpec
from dvp_mpc_sim.robustness.conditions import Circle, conditions

ROBUSTNESS = 501  # first word of the seed; training, evaluation, simulation and faults have others
PERIOD = 0.005  # [s] of the controller
LONG = 50  # [nodes] from here on a plan each node is all that a core gives, not one each period
FAR = 0.25  # [m] from the tool's start to the goal, at least: there is something to disturb
MOVE_GOAL_EVERY = 0.02  # [s]
CURVE_EVERY = 20  # rows of the plant
AT_REST = 0.05  # [rad/s]
Trial = dict[str, Any]


@lru_cache(maxsize=2)
def _model(name: str) -> tuple[ReachTask, Value]:
    task, value, _ = load_model(name)
    return task, value


@lru_cache(maxsize=64)
def _start(model: str, seed: int) -> tuple[np.ndarray, Goal, float]:
    """Start (14,) at rest, goal, and the optimal cost between them, NaN if none was found."""
    task, _ = _model(model)
    rng = np.random.default_rng([ROBUSTNESS, seed])
    x0 = sample_starts(task, rng, 1)[0]
    x0[DOF:] = 0.0
    for _ in range(100):
        goal = task.sample_goal(rng)
        if np.linalg.norm(goal.tool - task.tool(x0)) > FAR:
            break
    return x0, goal, optimal_cost(task, goal, x0)


def run_trial(model: str, engine: str, spec: ControllerSpec, case: Case, level: float, seed: int) -> Trial:
    """Run and judge; see `judge` for what is measured."""
    task, value = _model(model)
    x0, goal, optimum = _start(model, seed)
    gravity = float(np.linalg.norm(task.arm.model.gravity.linear))
    wrong = conditions(case.entries[level], (ROBUSTNESS, seed, 1), gravity)
    now = [0.0]
    controller = _controller(spec, task, value, goal, lambda: now[0])
    loop = FaultyLoop(
        plan=wrong.stream,
        command_delay=wrong.actuation.delay,
        actuator=wrong.actuation.motors(task.arm, 1e-3),
        disturbances=wrong.pushes,
        events={} if wrong.goal is None else _moves(wrong.goal, goal, case.duration),
    )

    def on_step(t: float) -> None:
        now[0] = t

    with make_plant(engine, task.arm, wrong.body) as plant:
        try:
            record = loop.run(plant, controller, HoldsLast(), case.duration, x0[:DOF], x0[DOF:], on_step)
        except RunFailed:  # the plant's state is finite no more
            return diverged(controller, case)
    return judge(task, record, controller, case, level, optimum)


def _controller(
    spec: ControllerSpec, task: ReachTask, value: Value, goal: Goal, clock: Callable[[], float]
) -> Controller:
    settings = ControllerSettings(MpcSettings(max(spec.nodes, 1)), rate_hz=1 / PERIOD, plan_hz=1 / PERIOD)
    settings = replace(settings, offset_free=spec.observer)
    planner: Planner
    if spec.terminal == COMPUTED_TORQUE:
        planner = ComputedTorquePlanner(task.arm)
    else:
        if spec.nodes >= LONG:
            settings = replace(settings, plan_hz=1 / task.dt)
        solver = Solver(task, goal, terminal_cost(spec.terminal, value), settings.mpc, time.perf_counter)
        planner = SimulatedPlanner(solver, clock)
    return Controller(task, None, goal.tool, settings, clock=lambda: 0.0, planner=planner)


def _moves(circle: Circle, goal: Goal, duration: float) -> dict[float, Callable[[Controller], None]]:
    def aim(point: np.ndarray, controller: Controller) -> None:
        controller.set_goal(point)

    times = np.arange(MOVE_GOAL_EVERY, duration, MOVE_GOAL_EVERY)
    return {float(t): partial(aim, goal.tool + circle.at(float(t))) for t in times}


def judge(task: ReachTask, record: Record, controller: Controller, case: Case, level: float, optimum: float) -> Trial:
    """The figures of one run. Errors are distances of the tool from its goal [m]; None stands for never or infinite."""
    t, error, by = record.t, record.tool_error(), case.over(level)
    late, begun = error[t >= by], error[t >= case.begins(level)]
    outside = np.flatnonzero(error > SETTLED)
    settled = 0 if len(outside) == 0 else int(outside[-1]) + 1
    settling = None if settled == len(t) else max(0.0, float(t[settled]) - case.settling_from(level))
    published = record.commanded[record.published]
    steps = np.abs(np.diff(published, axis=0)) / record.period
    ticked = record.state[record.ticked]
    solve = controller.statistics.solve_ms()
    trial = {
        "success": bool((late <= SETTLED).all()),
        "peak_deviation_m": _finite(begun.max()),
        "settling_time_s": settling,
        "final_error_m": _finite(error[-1]),
        "cost_ratio": _finite(_cost(task, record) / optimum),
        "peak_torque_share": _finite((np.abs(published) / task.arm.torque_limit).max()),
        "peak_torque_rate": _finite(steps.max()),
        "fast_torque_share": _finite(fast_torque(record, task.arm.torque_limit, by)),
        "at_rest": bool((np.abs(record.v[t > t[-1] - 0.5]) < AT_REST).all()),
        "violations": record.violations(task.arm),
        "position_violations": int(((record.q < task.arm.lower) | (record.q > task.arm.upper)).any(axis=1).sum()),
        "velocity_violations": int((np.abs(record.v) > task.arm.velocity_limit).any(axis=1).sum()),
        "states_s": {str(name): float((ticked == name).sum() * record.period) for name in np.unique(ticked)},
        "solve_ms": {name: _finite(solve[name]) for name in ("p50", "p99", "max")},
        "rejected": sum(controller.statistics.rejected.values()),
    }
    if case.curve:
        trial["error_m"] = np.round(error[::CURVE_EVERY], 7).tolist()
        trial["tool_m"] = np.round(record.tool_in_world[::CURVE_EVERY], 7).tolist()
    return trial


def diverged(controller: Controller, case: Case) -> Trial:
    """The figures of a run that no plant could carry to its end: everything is infinite, and no limit was kept to the end."""
    infinite = ("peak_deviation_m", "settling_time_s", "final_error_m", "cost_ratio")
    infinite_torque = ("peak_torque_share", "peak_torque_rate", "fast_torque_share")
    violations = ("violations", "position_violations", "velocity_violations")
    solve = controller.statistics.solve_ms()
    instants = round(case.duration / (CURVE_EVERY * 1e-3))
    nowhere = {"error_m": [None] * instants, "tool_m": [[None] * 3] * instants} if case.curve else {}
    return {
        **nowhere,
        "success": False,
        "at_rest": False,
        **dict.fromkeys((*infinite, *infinite_torque)),
        **dict.fromkeys(violations, 1),
        "states_s": {str(name): count * PERIOD for name, count in controller.statistics.states.items()},
        "solve_ms": {name: _finite(solve[name]) for name in ("p50", "p99", "max")},
        "rejected": sum(controller.statistics.rejected.values()),
    }


def fast_torque(record: Record, limit: np.ndarray, begin: float) -> float:
    """Torque above 40 Hz from `begin` [s] on, root mean square over the limit, of the worst joint [-]."""
    torque = record.commanded[record.published & (record.t >= begin)]
    window = np.ones(5) / 5  # 25 ms
    if len(torque) < 3 * len(window):
        return 0.0
    slow = np.stack([np.convolve(column, window, mode="same") for column in torque.T], axis=1)
    return float(np.sqrt((((torque - slow)[5:-5] / limit) ** 2).mean(axis=0)).max())


def _cost(task: ReachTask, record: Record) -> float:
    """Closed-loop cost over the span of the optimum; NaN where nothing was commanded yet."""
    rows = slice(0, round(TICKS * task.dt / record.dt))
    x = np.hstack([record.q, record.v])[rows]
    return running_cost(task, x, record.applied[rows], record.goal_in_world[rows], record.dt)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
