"""Rows of the table of faults: states that do not come, come late or are not true (F1 to F4, F10, F11)."""

from dvp_mpc.faults import FaultPlan
from dvp_mpc_sim.fault_table import Bound, Row, Trial
from dvp_mpc_sim.record import Record
from dvp_mpc_sim.scenario import ARMED, HOLDING, LATEST_HOLD, PERIOD, Scenario, basis, holds, one_fault

HOLD = Bound("hold_s", most=LATEST_HOLD)


def dead_stream(seed: int) -> Trial:
    scene = Scenario(seed)
    clean = scene.clean()
    t0 = scene.moving_at(clean, fastest=seed % 2 == 0)
    run = scene.run(plan=one_fault(seed, "off", start=t0))
    return basis(scene, clean, run) | {
        "hold_s": run.first(HOLDING, t0) - t0,
        "fault_s": run.first("fault", t0) - t0,
        "stop_s": run.stopped(t0) - t0,
        "travel_m": run.travel(t0),
    }


def burst_loss(seed: int) -> Trial:
    scene = Scenario(seed, duration=3.0)
    period = round(PERIOD / 1e-3)  # messages to a sample
    every = 8 * period
    bursts = [one_fault(seed, "intermittent", start=ARMED, burst=n * period, every=every) for n in (1, 2, 3)]
    clean, *runs = scene.clean(), *(scene.run(plan=plan) for plan in bursts)
    longer = scene.run(plan=one_fault(seed, "intermittent", start=ARMED, burst=6 * period, every=2 * every))
    return basis(scene, clean, *runs, longer) | {
        "bursts": 3 * (scene.duration - ARMED) / (every * 1e-3),
        "holds": sum(holds(run) for run in runs),
        "holds_at_6_samples": holds(longer),
    }


def random_loss(seed: int) -> Trial:
    scene = Scenario(seed, duration=5.0, goal_every=2.5)
    clean = scene.clean()
    out: Trial = {}
    runs = []
    for share in (10, 30):
        plan = one_fault(seed, "intermittent", start=ARMED, loss=share / 100)
        run = scene.run(plan=plan)
        out[f"error_ratio_{share}"] = mean_error(run) / mean_error(clean)
        # A sensor that is no faster than the controller loses whole samples; the plant's is five times as fast.
        slow = scene.run(plan=plan, state_every=round(PERIOD / 1e-3))
        out[f"holds_{share}_at_node_rate"] = holds(slow)
        out[f"faults_{share}_at_node_rate"] = float("fault" in slow.states())
        runs += [run, slow]
    return basis(scene, clean, *runs) | out | {"faults": sum("fault" in run.states() for run in runs[::2])}


def mean_error(run: Record) -> float:
    """Mean distance from tool to goal once armed [m]."""
    return float(run.tool_error()[run.t >= ARMED].mean())


def delay(seed: int) -> Trial:
    scene = Scenario(seed, duration=4.5)
    clean = scene.clean()
    small = scene.run(plan=one_fault(seed, "delayed", by=scene.rng.uniform(0.005, 0.010)))
    t0 = scene.moving_at(clean)
    large = scene.run(plan=one_fault(seed, "delayed", start=t0, by=scene.rng.uniform(0.0215, 0.1)))
    return basis(scene, clean, small, large) | {
        "final_error_ratio": small.tool_error()[-1] / clean.tool_error()[-1],
        "final_error_clean_m": clean.tool_error()[-1],
        "final_error_m": small.tool_error()[-1],
        "holds_when_small": holds(small),
        "hold_when_large_s": large.first(HOLDING, t0) - t0,
        "stop_when_large_s": large.stopped(t0) - t0,
        "tracked_when_large": len(large.states(t0 + 0.03) & {"tracking", "degraded"}),
    }


def stuck(seed: int) -> Trial:
    scene = Scenario(seed)
    clean = scene.clean()
    t0 = scene.moving_at(clean)
    run = scene.run(plan=one_fault(seed, "stuck", start=t0))
    long = Scenario(seed, duration=7.5, goal_every=2.0)
    quiet = long.run(plan=one_fault(seed, "noise") if seed % 2 else FaultPlan())
    return basis(scene, clean, run, quiet) | {
        "hold_s": run.first(HOLDING, t0) - t0,
        "stop_s": run.stopped(t0) - t0,
        "false_alarms": holds(quiet),
        "watched_s": long.duration,
    }


def state_jump(seed: int) -> Trial:
    scene = Scenario(seed)
    clean = scene.clean()
    t0, rng = PERIOD * round(scene.moving_at(clean) / PERIOD), scene.rng
    jump = {"joint": int(rng.integers(7)), "by": float(rng.uniform(0.1, 0.5) * rng.choice([-1, 1]))}
    once = scene.run(plan=one_fault(seed, "jump", start=t0, duration=PERIOD, **jump))
    for_good = scene.run(plan=one_fault(seed, "jump", start=t0, **jump))
    return basis(scene, clean, once, for_good) | {
        "holds_after_one": holds(once),
        "samples_to_hold": (for_good.first(HOLDING, t0) - t0) / PERIOD + 1,
    }


ROWS = [
    Row(
        "F1",
        "state stream dies",
        "HOLD <= 25 ms, FAULT <= 205 ms, STOP <= 0.5 s",
        dead_stream,
        (HOLD, Bound("fault_s", most=0.2 + PERIOD), Bound("stop_s", most=0.5), Bound("travel_m")),
        40,
        2,
    ),
    Row(
        "F2",
        "bursts of 1, 2 and 3 lost samples",
        "0 HOLD in 100 bursts or more",
        burst_loss,
        (Bound("bursts", "sum", least=100), Bound("holds", "sum", most=0), Bound("holds_at_6_samples", "min", least=1)),
        12,
        1,
    ),
    Row(
        "F3",
        "random loss of 10 and 30 %, 60 s",
        "0 FAULT, tracking error <= 1.2x, 2x",
        random_loss,
        (
            Bound("faults", "sum", most=0),
            Bound("error_ratio_10", most=1.2),
            Bound("error_ratio_30", most=2.0),
            Bound("holds_10_at_node_rate", "sum"),
            Bound("holds_30_at_node_rate", "sum"),
            Bound("faults_30_at_node_rate", "sum"),
        ),
        15,
        1,
    ),
    Row(
        "F4",
        "delay of 5 to 10 ms; above 20 ms",
        "final error <= 1.2x; HOLD <= 25 ms",
        delay,
        (
            Bound("final_error_ratio", most=1.2),
            Bound("final_error_clean_m"),
            Bound("final_error_m"),
            Bound("holds_when_small", "sum", most=0),
            Bound("stop_when_large_s"),
            Bound("hold_when_large_s", most=LATEST_HOLD),
            Bound("tracked_when_large", most=0),
        ),
        20,
        1,
    ),
    Row(
        "F10",
        "stuck sensor with fresh stamps",
        "HOLD <= 100 ms while moving; 0 false alarms in 10 min",
        stuck,
        (Bound("hold_s", most=0.1), Bound("stop_s"), Bound("false_alarms", "sum", most=0), Bound("watched_s", "sum")),
        80,
        1,
    ),
    Row(
        "F11",
        "state jump",
        "one sample ignored, HOLD <= 3 samples",
        state_jump,
        (Bound("holds_after_one", "sum", most=0), Bound("samples_to_hold", most=3)),
        30,
        2,
    ),
]
