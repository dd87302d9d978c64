"""Faults that the controller process does to itself, on purpose and by a plan: signals, and a solver that fails."""

import os
import signal
import threading
import time
from dataclasses import dataclass

from dvp_mpc.fault_plan import FaultPlan
from dvp_mpc.faults import FailingValue
from dvp_mpc.value import RiccatiValue, ValueFunction


@dataclass(frozen=True)
class SecondsSince:
    """A clock that pickles; the monotonic clock is the same in every process of a machine."""

    start: float

    def __call__(self) -> float:
        return time.monotonic() - self.start


def inject_into_process(path: str, terminal: ValueFunction | None) -> ValueFunction | None:
    """Start the plan's clock: its signals go to this process, and the returned terminal value fails as it says.

    A plan with solver faults needs a terminal value to put them in: where there is none, it gets the Riccati value.
    """
    plan = FaultPlan.load(path)
    for fault in plan.faults:
        if fault.kind == "signal":
            number = signal.Signals[fault.parameters["signal"]]
            timer = threading.Timer(fault.start, os.kill, (os.getpid(), number))
            timer.daemon = True
            timer.start()
    if not any(fault.kind == "solver" for fault in plan.faults):
        return terminal
    return FailingValue(terminal or RiccatiValue(), plan, SecondsSince(time.monotonic()))
