"""The demonstration: plant and controller as two processes, two goals, a blow, and what the plant recorded of it."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from dvp_mpc_sim.watchdog import Follow

from dvp_mpc.control.torque import TORQUE_RATE
from dvp_mpc.errors import RunFailed
from dvp_mpc.models import load_model
from dvp_mpc.problem.arm import Arm
from dvp_mpc_ros.plant_record import MODES
from dvp_mpc_ros.session import Session

DEMO = 401  # first word of the seed
GOAL_TIME = 4.0  # [s] for each goal
BLOW = 50.0  # [N] for 0.1 s, 1.5 s after the second goal was sent
TOLERANCE = 1e-9
PLANT_STEP = 1e-3  # [s]


def run_demo(
    folder: Path,
    *,
    model: str = "panda_reach",
    nodes: int = 10,
    rate_hz: float = 200.0,
    seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Two goals of 4 s each, 5 N s at the tool in the second; the report. Raises RunFailed when a step of it fails."""
    task, _, _ = load_model(model)
    rng = np.random.default_rng([DEMO, seed])
    goals = [task.sample_goal(rng).tool for _ in range(2)]
    direction = rng.standard_normal(3)
    parameters = {"model": model, "nodes": nodes, "rate_hz": rate_hz, "plan_hz": min(rate_hz, 200.0)}
    with Session(folder, {"model": model}, parameters) as session:
        say("starting")
        session.take_over()
        sent = []
        for k, goal in enumerate(goals):
            say(f"goal {k + 1} of {len(goals)}: ({', '.join(f'{x:.2f}' for x in goal)}) m")
            sent.append(session.send_goal(goal))
            if k == 1:
                session.spin(1.5)
                say(f"a blow of {BLOW / 10:g} N s")
                session.push(BLOW * direction / np.linalg.norm(direction))
            session.spin_until(lambda: False, sent[-1] + GOAL_TIME - time.monotonic())
        session.spin(1.1)  # for diagnostics that have seen all of it
        figures = dict(session.figures)
        say("deactivating")
        if not session.deactivate():
            raise RunFailed(f"deactivate failed: {session.safety_state}")
        codes = session.end()
        record = session.record()
    errors = [_tool_error(task.arm, record, goal, at + GOAL_TIME) for goal, at in zip(goals, sent, strict=True)]
    violations = count_violations(task.arm, record, 1 / rate_hz)
    gaps = command_gaps_ms(record)
    return {
        "tool_error_final_m": errors,
        "violations": sum(violations.values()),
        "violations_by_kind": violations,
        "period_ms": 1e3 / rate_hz,
        "gap_ms": {key: float(value) for key, value in zip(("p50", "p99", "max"), gaps, strict=True)},
        "misses": int(figures.get("missed_ticks", -1)),
        "ticks": int(figures.get("ticks", -1)),
        "latency_ms": {key: float(figures.get(f"latency_{key}_ms", "nan")) for key in ("p50", "p99")},
        "solve_ms": {key: float(figures.get(f"solve_{key}_ms", "nan")) for key in ("p50", "p99", "max")},
        "safety_states": time_in_states(figures.get("steps_in_each_state", "{}"), rate_hz),
        "exit_codes": {"controller": codes[0], "plant": codes[1]},
        "rights": figures.get("rights", ""),
        "plant_real_time": _real_time(record),
        "watchdog_braked_s": _braked(record, sent[0], sent[-1] + GOAL_TIME),
        "goals_in_world": [goal.tolist() for goal in goals],
        "seed": seed,
        "nodes": nodes,
        "run_dir": str(folder),
    }


def count_violations(arm: Arm, record: dict[str, np.ndarray], period: float) -> dict[str, int]:
    """How often a command that reached the plant broke the invariant: not finite, beyond a bound, faster than the torque
    rate, or pushing outward beyond a position limit by more than carries the arm."""
    came = np.flatnonzero(np.diff(record["command_count"], prepend=0) > 0)
    commands, counts, stamps = (record[name][came] for name in ("command", "command_count", "command_stamp_ns"))
    # One may have come and gone between two polls of the plant; and after a silence the torque begins anew.
    allowed = TORQUE_RATE * np.maximum(np.diff(counts) * period, np.diff(stamps) * 1e-9)
    steps = np.abs(np.diff(commands, axis=0)) - allowed[:, None]
    outward = 0
    beyond = (record["q"] >= arm.upper) | (record["q"] <= arm.lower)
    for k in np.flatnonzero(beyond.any(axis=1)):
        extra = record["command"][k] - arm.nonlinear_effects(record["q"][k], record["v"][k])
        outward += bool((beyond[k] & (extra * np.sign(record["q"][k] - arm.home) > TOLERANCE)).any())
    return {
        "not_finite": int((~np.isfinite(commands)).any(axis=1).sum()),
        "beyond_torque_limit": int((np.abs(commands) > arm.torque_limit + TOLERANCE).any(axis=1).sum()),
        "beyond_torque_rate": int((steps > TOLERANCE).any(axis=1).sum()),
        "outward_at_limit": outward,
    }


def command_gaps_ms(record: dict[str, np.ndarray]) -> np.ndarray:
    """p50, p99 and max of the time between two commands by the sender's own stamps [ms]."""
    stamps = np.unique(record["command_stamp_ns"])
    gaps = np.diff(stamps[stamps > 0]) * 1e-6
    return np.percentile(gaps, [50, 99, 100]) if len(gaps) else np.full(3, np.nan)


def time_in_states(steps: str, rate_hz: float) -> dict[str, float]:
    """Seconds in each safety state, from the diagnostics' count of steps."""
    counts = {}
    for entry in steps.strip("{}").split(","):
        if ":" in entry:
            name, count = entry.split(":")
            counts[name.strip(" '")] = int(count) / rate_hz
    return counts


def _braked(record: dict[str, np.ndarray], begin: float, end: float) -> float:
    """For how long the plant's own watchdog, which waits 20 ms for a command, held the arm between two times [s]."""
    meanwhile = (record["t"] >= begin) & (record["t"] <= end)
    return float((record["mode"][meanwhile] == MODES[Follow.BRAKE]).sum() * PLANT_STEP)


def _real_time(record: dict[str, np.ndarray]) -> float:
    """Simulated time of the plant as a share of the time that passed: below 1 where the machine had no time for it."""
    t = record["t"]
    return (len(t) - 1) * PLANT_STEP / float(t[-1] - t[0])


def _tool_error(arm: Arm, record: dict[str, np.ndarray], goal: np.ndarray, at: float) -> float:
    row = min(int(np.searchsorted(record["t"], at)), len(record["t"]) - 1)
    return float(np.linalg.norm(arm.tool_in_world(record["q"][row]) - goal))
