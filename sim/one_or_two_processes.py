"""One process or two? The command loop with its solver in the same process and in one of its own, side by side.

For each: the time from tick to tick and the tick itself over some seconds at 200 Hz in real time, and what comes out of the
loop in the second after the solver hangs.

    python sim/one_or_two_processes.py --seconds 10
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from dvp_mpc.control.controller import Controller, ControllerSettings
from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.control.planner import InlinePlanner, Planner, Solver
from dvp_mpc.control.planner_process import ProcessPlanner
from dvp_mpc.control.realtime import RealtimeLoop, prepare_thread, quiet_gc
from dvp_mpc.control.statistics import percentiles_ms
from dvp_mpc.control.torque import predict
from dvp_mpc.models import load_model
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.value import BoundValue, GoalFrame, ValueFunction

RATE = 200.0  # [Hz]
GOAL = np.array([0.5, 0.2, 0.4])


class Hangable:
    """A value whose next call never returns once `hang` is set."""

    def __init__(self, sound: ValueFunction):
        self._sound, self.hang = sound, False

    def at(self, goal: GoalFrame) -> BoundValue:
        bound = self._sound.at(goal)
        outer = self

        class Bound:
            def cost(self, x: np.ndarray, t: np.ndarray) -> float:
                return bound.cost(x, t)

            def derivatives(self, x: np.ndarray, t: np.ndarray, Jt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
                if outer.hang:
                    threading.Event().wait()
                return bound.derivatives(x, t, Jt)

        return Bound()


@dataclass(frozen=True)
class Study:
    """Flags."""

    seconds: float = 10.0
    """Of each run."""
    nodes: int = 10
    """Of the horizon."""

    def run(self) -> None:
        """Print the table."""
        task, value, _ = load_model("panda_reach")
        goal = task.goal(GOAL)
        settings = MpcSettings(self.nodes)
        hangable = Hangable(value)
        inline = InlinePlanner(Solver(task, goal, hangable, settings))
        process = ProcessPlanner(task, goal, value, settings)
        table = Table(
            "solver", "gap p50 / p99 / max ms", "tick p50 / p99 / max ms", "torques in the second after it hangs"
        )
        try:
            for name, planner, hang in (
                ("same process", inline, lambda: setattr(hangable, "hang", True)),
                ("own process", process, lambda: os.kill(process.pid, signal.SIGSTOP)),
            ):
                table.add_row(name, *measure(task, planner, settings, self.seconds, hang))
        finally:
            process.close()
        Console().print(table)
        os._exit(0)  # the thread of the first run hangs for ever


def measure(
    task: ReachTask, planner: Planner, settings: MpcSettings, seconds: float, hang: Callable[[], object]
) -> tuple[str, str, str]:
    """Cells of one row."""
    controller = Controller(task, None, GOAL, ControllerSettings(settings, RATE, RATE), planner=planner)
    x, ticks, times = np.concatenate([task.arm.home, np.zeros(7)]), [], []

    def tick(now: float) -> None:
        nonlocal x
        torque = controller.step(now, x[:7], x[7:], now=now)
        ticks.append(time.monotonic() - now)
        times.append(now)
        x = np.concatenate(predict(task.arm, x[:7], x[7:], torque, 1 / RATE))

    loop = RealtimeLoop(RATE, tick)

    def serve() -> None:
        prepare_thread("try")
        with quiet_gc():
            loop.run()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    time.sleep(seconds)
    gap, each = loop.gap_ms(), percentiles_ms(np.array(ticks))
    hang()
    struck = time.monotonic()
    time.sleep(1.0)
    after = sum(t > struck for t in times)
    loop.stop()
    thread.join(0.5)
    state = f"{controller.state.value}: {controller.reason}"
    return _cell(gap), _cell(each), f"{after} ({state})" if after > 5 else f"{after}: the loop hangs, too"


def _cell(values: dict[str, float]) -> str:
    return " / ".join(f"{values[key]:.3f}" for key in ("p50", "p99", "max"))


if __name__ == "__main__":
    tyro.cli(Study).run()
