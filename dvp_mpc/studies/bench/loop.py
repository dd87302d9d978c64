"""The controller in real time: `Controller.step` on absolute deadlines, fed with a motion that was recorded before.

A solver that plans at every step is the hardest case, and the one that 1 kHz is claimed for.
"""

import threading
import time
from typing import Any

import numpy as np

from dvp_mpc.control.controller import Controller, ControllerSettings
from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.control.realtime import Granted, RealtimeLoop, prepare_thread, quiet_gc
from dvp_mpc.control.torque import predict
from dvp_mpc.problem.arms import DOF
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.studies.bench.ticks import BENCH
from dvp_mpc.value import ValueFunction

LONGEST_MOTION = 10.0  # [s] then it is begun again, by a controller that knows nothing of it


def real_time_loop(
    task: ReachTask, value: ValueFunction | None, nodes: int, rate_hz: float, seconds: float, seed: int
) -> dict[str, Any]:
    """Run at rate_hz for `seconds`: misses, latency from state to torque, and what the system granted."""
    rng = np.random.default_rng([BENCH, seed])
    goal, start = task.sample_goal(rng).tool, task.arm.home
    settings = ControllerSettings(MpcSettings(nodes), rate_hz, plan_hz=rate_hz)
    steps = round(min(seconds, LONGEST_MOTION) * rate_hz)
    q, v = _motion(task, Controller(task, value, goal, settings), start, steps)
    controllers = [Controller(task, value, goal, settings) for _ in range(-(-round(seconds * rate_hz) // steps))]
    spent = np.zeros(len(controllers) * steps)
    loop: RealtimeLoop

    def tick(now: float) -> None:
        k = loop.ticks - 1
        controllers[k // steps].step((k % steps) / rate_hz, q[k % steps], v[k % steps])
        spent[k] = time.monotonic() - now
        if loop.ticks == len(spent):
            loop.stop()

    loop = RealtimeLoop(rate_hz, tick)
    granted: list[Granted] = []

    def run() -> None:
        granted.append(prepare_thread("try"))
        loop.run()

    thread = threading.Thread(target=run)
    with quiet_gc():
        thread.start()
        thread.join()
    rejected = sum(sum(controller.statistics.rejected.values()) for controller in controllers)
    p50, p99, p999 = 1e3 * np.percentile(spent, [50, 99, 99.9])
    return {
        "rate_hz": rate_hz,
        "nodes": nodes,
        "seconds": seconds,
        "ticks": loop.ticks,
        "misses": loop.missed,
        "latency_ms": {"p50": float(p50), "p99": float(p99), "p999": float(p999), "max": 1e3 * float(spent.max())},
        "gap_ms": loop.gap_ms(),
        "rejected_plans": rejected,
        "fifo": granted[0].fifo,
        "memory_locked": granted[0].memory_locked,
    }


def _motion(task: ReachTask, controller: Controller, q: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The arm under the controller, by its model: (steps, 7) [rad], (steps, 7) [rad/s]."""
    period, v = 1 / controller.rate_hz, np.zeros(DOF)
    qs, vs = [], []
    for k in range(steps):
        qs.append(q)
        vs.append(v)
        q, v = predict(task.arm, q, v, controller.step(k * period, q, v), period)
    return np.array(qs), np.array(vs)
