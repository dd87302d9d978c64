"""Rows of the table of faults: the solver, the process and its clocks (F20, F21, F33 to F39)."""

from dataclasses import replace

import numpy as np

from dvp_mpc.faults import FaultPlan
from dvp_mpc_sim.fault_table import Bound, Row, Trial
from dvp_mpc_sim.faulty_loop import HoldsLast
from dvp_mpc_sim.planner import SimulatedPlanner
from dvp_mpc_sim.record import Record
from dvp_mpc_sim.scenario import HOLDING, LATEST_HOLD, MOVING, PERIOD, Scenario, basis, holds, one_fault


def failing_solver(seed: int) -> Trial:
    how, length = ("nan", "raise")[seed % 2], 0.1
    scene = Scenario(seed)
    clean = scene.clean()
    t0 = PERIOD * round(scene.moving_at(clean) / PERIOD)
    run = replace(scene, solver_faults=one_fault(seed, "solver", start=t0, duration=length, how=how)).run()

    poisoned: list[float] = []

    def poison(t: float, planner: SimulatedPlanner) -> None:
        mpc = planner.solver._mpc[True]
        if t >= t0 - 1e-9 and not poisoned and mpc._last is not None:
            mpc._last = replace(mpc._last, xs=np.nan * mpc._last.xs)
            poisoned.append(t)

    warm, controller, _ = scene.watched(at_step=poison)
    hold = run.first(HOLDING, t0)
    return basis(scene, clean, run, warm) | {
        # The request of t0 is the first that fails; its answer was due a period later.
        "cycles_on_the_old_plan": round((hold - t0) / PERIOD) - 1,
        "states_before_hold": len(run.states(t0 + PERIOD, hold) - MOVING),
        "tracking_again_s": run.first("tracking", t0 + length) - t0 - length,
        "holds_after_warm_start_of_nan": holds(warm),
        "rejected_warm_start": sum(controller.statistics.rejected.values()),
    }


def late_plans(seed: int) -> Trial:
    scene = Scenario(seed)
    clean = scene.clean()
    t0 = PERIOD * round(scene.moving_at(clean) / PERIOD)
    out, runs = {}, []
    for missed in (1, 2, 3, 4, 8):
        run = scene.run(stalls=[(t0, t0 + missed * PERIOD)])
        runs.append(run)
        out[f"holds_at_{missed}_misses"] = float(holds(run))
        if missed == 8:
            out["hold_s"] = run.first(HOLDING, t0) - t0
            out["tracking_again_s"] = run.first("tracking", t0 + missed * PERIOD) - t0 - missed * PERIOD
    hung = scene.run(stalls=[(t0, np.inf)])
    return (
        basis(scene, clean, *runs, hung)
        | out
        | {
            "hung_hold_s": hung.first(HOLDING, t0) - t0,
            "hung_fault_s": hung.first("fault", t0) - t0,
            "hung_stop_s": hung.stopped(t0) - t0,
        }
    )


def killed(seed: int) -> Trial:
    scene = Scenario(seed, duration=4.0, goal_every=1.5, far=0.4)
    clean = scene.clean()
    t0 = scene.moving_at(clean, fastest=True)
    run = scene.run(stopped=[(t0, np.inf)])
    braking = run.t[(run.t >= t0) & (run.mode == "brake")]
    last = float(run.t[run.published][-1])
    loose = replace(scene, follower=HoldsLast).run(stopped=[(t0, np.inf)])
    return basis(scene, clean, run) | {
        "speed_rad_s": float(np.abs(run.v[run.t >= t0][0]).max()),
        "brake_s": float(braking[0]) - last if len(braking) else np.inf,
        "travel_m": run.travel(t0),
        "stop_s": run.stopped(t0) - t0,
        "travel_without_watchdog_m": loose.travel(t0),
    }


def frozen(seed: int) -> Trial:
    scene = Scenario(seed, duration=3.5)
    clean = scene.clean()
    t0, gap = scene.moving_at(clean), float(scene.rng.uniform(0.026, 1.0))
    run = scene.run(stopped=[(t0, t0 + gap)])
    armed = min(run.first("arming", t0 + gap), run.t[-1])
    short = scene.run(stopped=[(t0, t0 + 0.012)])
    resumed = (run.mode[1:] == "follow") & (run.mode[:-1] != "follow")
    return basis(scene, clean, run) | {
        "tracking_after_gap": len(run.states(t0 + gap, armed) & MOVING),
        "rearmed_s": run.first("arming", t0 + gap) - t0 - gap,
        "faults": float("fault" in run.states()),
        "resumed_in_motion": int((np.abs(run.v[1:]).max(axis=1) >= 0.05)[resumed].sum()),
        "holds_after_12_ms": holds(short),
    }


def clock_step(seed: int) -> Trial:
    scene = Scenario(seed, duration=3.0)
    t0, by = 1.0, (5.0, -5.0, 3600.0, -3600.0)[seed % 4]
    clean = scene.clean()

    def clock(t: float) -> float:
        return t + 1.7e9 + by * (t >= t0)

    way = one_fault(seed, "delayed", start=0.2, by=0.003)  # so that a message is under way when both clocks step
    both = scene.run(plan=way, plant_clock=clock, receiver_clock=clock)
    ours = scene.run(plan=way, receiver_clock=clock)
    gaps = [np.diff(run.t[run.published]).max() / PERIOD for run in (both, ours)]
    return basis(scene, clean, both, ours) | {
        "gap_periods": float(max(gaps)),
        "holds_when_both_step": holds(both),
        "hold_when_one_steps_s": ours.first(HOLDING, t0) - t0,
        "tracked_on_a_foreign_clock": len(ours.states(t0 + 0.03) & MOVING),
    }


def flapping(seed: int) -> Trial:
    scene = Scenario(seed, duration=12.0, goal_every=2.0)
    stream = {
        "seed": seed,
        "faults": [{"kind": "off", "start": float(t), "duration": 0.06} for t in np.arange(1.5, 12, 1.9)],
    }
    solver = {
        "seed": seed,
        "faults": [{"kind": "solver", "start": float(t), "duration": 0.06} for t in np.arange(1.5, 12, 0.5)],
    }
    runs = [scene.run(plan=FaultPlan.read(stream)), replace(scene, solver_faults=FaultPlan.read(solver)).run()]
    clean = scene.clean()
    return basis(scene, clean, *runs) | {
        "recoveries_in_10_s": max(_recoveries(run) for run in runs),
        "latched": min(float(run.state[-1] == "fault") for run in runs),
        "left_the_fault": max(len(run.states(run.first("fault")) - {"fault"}) for run in runs),
    }


def _recoveries(run: Record) -> int:
    """The most recoveries from HOLD in any 10 s."""
    held = run.state == "hold"
    times = run.t[1:][held[:-1] & ~held[1:] & (run.state[1:] != "fault")]
    return max((int(((times >= t) & (times < t + 10.0)).sum()) for t in times), default=0)


ROWS = [
    Row(
        "F20",
        "NaN value, NaN warm start, exception in the solver",
        "old plan <= 3 cycles, then HOLD; tracking again <= 100 ms",
        failing_solver,
        (
            Bound("cycles_on_the_old_plan", most=3),
            Bound("states_before_hold", most=0),
            Bound("tracking_again_s", most=0.1),
            Bound("holds_after_warm_start_of_nan", "sum", most=0),
            Bound("rejected_warm_start", "sum"),
        ),
        24,
        2,
    ),
    Row(
        "F21",
        "deadline misses of the solver",
        "0 HOLD at 1 and 2 misses; HOLD <= 25 ms when plans stay away",
        late_plans,
        (
            *(Bound(f"holds_at_{n}_misses", "sum", most=0) for n in (1, 2)),
            Bound("holds_at_3_misses", "sum"),
            Bound("holds_at_4_misses", "sum"),
            Bound("hold_s", most=LATEST_HOLD),
            Bound("tracking_again_s", most=0.1),
            Bound("hung_hold_s", most=LATEST_HOLD),
            Bound("hung_fault_s"),
            Bound("hung_stop_s", most=0.5),
        ),
        12,
        1,
    ),
    Row(
        "F33",
        "kill -9 of the controller, on the plant's side",
        "brake <= 21 ms after the last command, hand <= 15 cm",
        killed,
        (
            Bound("speed_rad_s", "mean"),
            Bound("brake_s", most=0.021),
            Bound("travel_m", most=0.15),
            Bound("stop_s", most=0.5),
            Bound("travel_without_watchdog_m", "mean", least=0.15),
        ),
        25,
        2,
    ),
    Row(
        "F34",
        "SIGSTOP, SIGCONT",
        "0 tracking samples after a gap above 20 ms, before a new arming",
        frozen,
        (
            Bound("tracking_after_gap", "sum", most=0),
            Bound("resumed_in_motion", "sum", most=0),
            Bound("rearmed_s"),
            Bound("faults", "sum"),
            Bound("holds_after_12_ms", "sum", most=0),
        ),
        25,
        2,
    ),
    Row(
        "F36",
        "clock step of 5 s, 1 h",
        "no gap above 2 periods; 0 HOLD when both clocks step",
        clock_step,
        (
            Bound("gap_periods", most=2),
            Bound("holds_when_both_step", "sum", most=0),
            Bound("hold_when_one_steps_s", most=LATEST_HOLD),
            Bound("tracked_on_a_foreign_clock", "sum", most=0),
        ),
        12,
        2,
    ),
    Row(
        "F39",
        "fault flapping",
        "<= 3 recoveries in 10 s, then FAULT, latched",
        flapping,
        (Bound("recoveries_in_10_s", most=3), Bound("latched", "min", least=1), Bound("left_the_fault", "sum", most=0)),
        8,
        1,
    ),
]
