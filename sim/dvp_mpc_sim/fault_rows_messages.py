"""Rows of the table of faults: messages that are no measurement (F5 to F8)."""

import numpy as np

from dvp_mpc.control.intake import Intake, Sample
from dvp_mpc.faults import FaultPlan, Injector
from dvp_mpc.messages import JointMessage
from dvp_mpc_sim.fault_table import Bound, Row, Trial
from dvp_mpc_sim.faulty_loop import EPOCH
from dvp_mpc_sim.scenario import ARMED, HOLDING, LATEST_HOLD, PERIOD, Scenario, basis, one_fault

HOLD = Bound("hold_s", most=LATEST_HOLD)
STAMPS = {"zero": "stamp zero", "future": "stamp in the future", "old": "stamp too old", "other clock": "stamp too old"}


def reordered(seed: int) -> Trial:
    scene = Scenario(seed, duration=3.0)
    kind = ("reorder", "duplicate")[seed % 2]
    clean = scene.clean()
    late = scene.rng.integers(5, 15) * 1e-3  # older than the sample before, or the same
    run = scene.run(plan=one_fault(seed, kind, start=ARMED, share=0.5, by=float(late)))
    newest, accepted, offered = 0, 0, 0
    for read in run.reads:
        offered += read.stamp_ns <= newest
        accepted += read.stamp_ns <= newest and read.refusal is None
        newest = max(newest, read.stamp_ns)
    return basis(scene, clean, run) | {
        "offered": offered,
        "accepted": accepted,
        "faults": float("fault" in run.states()),
    }


def wrong_stamp(seed: int) -> Trial:
    scene = Scenario(seed, duration=2.2)
    how = list(STAMPS)[seed % 4]
    clean = scene.clean()
    by = float(10 ** scene.rng.uniform(-0.7, 5))  # 0.2 s to a day
    t0 = 0.8
    run = scene.run(plan=one_fault(seed, "stamp", start=t0, duration=1.25, how=how, by=by))
    hit = [read for read in run.reads if t0 - 1e-9 <= read.t < t0 + 1.25 - 1e-9]
    return basis(scene, clean, run) | {
        "offered": len(hit),
        "not_dropped_for_its_reason": sum(read.refusal is None or read.refusal.value != STAMPS[how] for read in hit),
        "hold_s": run.first(HOLDING, t0) - t0,
    }


def not_finite(seed: int) -> Trial:
    scene = Scenario(seed)
    clean = scene.clean()
    t0, rng = scene.moving_at(clean), scene.rng
    where, value = str(rng.choice(["position", "velocity"])), str(rng.choice(["nan", "inf", "-inf"]))
    joint = int(rng.integers(7))
    plan = one_fault(seed, "nan", start=t0, where=where, value=value, joint=joint)
    run, _, planner = scene.watched(plan=plan)
    return basis(scene, clean, run) | {
        "hold_s": run.first(HOLDING, t0) - t0,
        "seen_by_solver": planner.seen_not_finite,
        "dropped": run.refused["not finite"],
    }


def fuzzed(seed: int) -> Trial:
    scene = Scenario(seed, duration=1.2)
    names = scene.task.arm.joint_names
    shuffled = [str(name) for name in scene.rng.permutation(names)]

    def with_fingers(t: float, message: JointMessage | None) -> list[JointMessage]:
        if message is None:
            return []
        more = ["finger1", *message.names, "finger2"]
        return [message._replace(names=more, position=[0, *message.position, 9], velocity=[5, *message.velocity, 0])]

    clean, run = scene.clean(), scene.run(names=shuffled)
    both = scene.run(names=shuffled, deliver=with_fingers)
    difference = max(float(np.nanmax(np.abs(other.commanded - clean.commanded))) for other in (run, both))
    _, controller, _ = scene.watched()
    raised = accepted = 0
    intake = Intake(names)
    injector = Injector(
        FaultPlan.read({"seed": seed, "faults": [{"kind": "garbage"}, {"kind": "wrong"}][:: 1 - 2 * (seed % 2)]})
    )
    only = Injector(FaultPlan.read({"seed": seed, "faults": [{"kind": "wrong" if seed % 2 else "garbage"}]}))
    for k in range(1000):
        t = scene.duration + k * PERIOD
        stamp = round((EPOCH + t) * 1e9)
        sound = JointMessage(names, scene.x0[:7].tolist(), [0.0] * 7, stamp)
        for message in (injector if k % 4 == 0 else only).deliver(t, sound):
            try:
                read = intake.read(message, stamp, t)
                good = isinstance(read, Sample)
                torque = controller.step(*read, now=t) if isinstance(read, Sample) else controller.coast(now=t)
                accepted += good
                raised += not np.isfinite(torque).all()
            except Exception:
                raised += 1
    return basis(scene, clean, run, both) | {
        "fuzzed": 1000,
        "exceptions": raised,
        "passed_the_intake": accepted,
        "torque_difference_N_m": difference,
    }


ROWS = [
    Row(
        "F5",
        "reordered, duplicated",
        "0 of 1000 or more accepted",
        reordered,
        (Bound("accepted", "sum", most=0), Bound("offered", "sum", least=1000), Bound("faults", "sum")),
        16,
        8,
    ),
    Row(
        "F6",
        "stamp zero, future, old, other clock",
        "1000 of 1000 dropped, each for its reason",
        wrong_stamp,
        (Bound("offered", "sum", least=1000), Bound("not_dropped_for_its_reason", "sum", most=0), HOLD),
        16,
        4,
    ),
    Row(
        "F7",
        "NaN or infinity in q or v",
        "dropped, HOLD <= 25 ms, 0 seen by the solver",
        not_finite,
        (HOLD, Bound("seen_by_solver", "sum", most=0), Bound("dropped", "min", least=1)),
        30,
        2,
    ),
    Row(
        "F8",
        "wrong names, sizes, order, duplicates",
        "0 exceptions in 10^4; torque of any order the same to 1e-12",
        fuzzed,
        (
            Bound("fuzzed", "sum"),
            Bound("exceptions", "sum", most=0),
            Bound("torque_difference_N_m", most=1e-12),
            Bound("passed_the_intake", "sum"),
        ),
        10,
        2,
    ),
]
