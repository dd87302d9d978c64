"""The loop on a clock that the test owns: absolute deadlines, skipped and never made up for."""

import gc
import subprocess
import sys

import pytest

from dvp_mpc.control.realtime import RealtimeLoop, prepare_thread, quiet_gc
from dvp_mpc.errors import UnknownChoice


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def run(ticks: int, work: dict[int, float], oversleep: float = 0.0) -> tuple[list[float], RealtimeLoop]:
    """`ticks` ticks at 100 Hz, tick k of which takes work[k] seconds; the times at which they began, from 0."""
    clock, began = Clock(), []

    def tick(now: float) -> None:
        began.append(now - 100.0)
        clock.now += work.get(len(began) - 1, 0.001)
        if len(began) == ticks:
            loop.stop()

    loop = RealtimeLoop(100, tick, clock, lambda seconds: clock.sleep(seconds + oversleep))
    loop.run()
    return began, loop


def test_deadlines_are_absolute() -> None:
    began, loop = run(50, {}, oversleep=0.0005)
    assert began[1:] == pytest.approx([0.01 * k + 0.0005 for k in range(1, 50)])  # oversleeping does not add up
    assert loop.missed == 0
    assert loop.gap_ms()["p50"] == pytest.approx(10)


def test_a_long_tick_skips_and_never_bursts() -> None:
    began, loop = run(10, {3: 0.034})
    assert began == pytest.approx([0, 0.01, 0.02, 0.03, 0.07, 0.08, 0.09, 0.10, 0.11, 0.12])
    assert loop.missed == 3
    assert loop.gap_ms()["max"] == pytest.approx(40)


def test_an_exception_of_the_tick_is_raised() -> None:
    def tick(now: float) -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        RealtimeLoop(1000, tick).run()


def test_no_collection_inside() -> None:
    with quiet_gc():
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 0
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_rights_are_refused_by_name() -> None:
    with pytest.raises(UnknownChoice, match=r"realtime 'please'.*enforce, try, off"):
        prepare_thread("please")
    with pytest.raises(UnknownChoice, match="cpus"):
        prepare_thread("off", cpus=(4711,))
    assert not prepare_thread("off").fifo


RAISED = """
import os, subprocess, threading
from dvp_mpc.control.realtime import raise_threads
threading.Thread(target=threading.Event().wait, daemon=True).start()
granted = raise_threads(7)
policies = {os.sched_getscheduler(int(task)) & ~os.SCHED_RESET_ON_FORK for task in os.listdir("/proc/self/task")}
child = subprocess.Popen(["sleep", "10"])
print(granted, policies == {os.SCHED_FIFO}, os.sched_getscheduler(child.pid) == os.SCHED_OTHER)
child.kill()
"""


def test_every_thread_is_raised_and_nothing_that_they_start() -> None:
    found = subprocess.run([sys.executable, "-c", RAISED], capture_output=True, text=True, check=True).stdout.split()
    if found[0] == "False":
        pytest.skip("no rights to SCHED_FIFO here")
    assert found == ["True"] * 3
