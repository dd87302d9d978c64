"""RealtimeLoop: a function called on absolute deadlines of the monotonic clock. It skips what it missed and never bursts.

deadline_k = start + k / rate        after a tick that ends past deadline_{k+1}: on to the next deadline that is ahead
"""

import ctypes
import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from dvp_mpc.control.statistics import percentiles_ms
from dvp_mpc.errors import NotReady, UnknownChoice

REALTIME = ("enforce", "try", "off")
PRIORITY = 80  # of 1 to 99; above most drivers' threads, below the kernel's own
WINDOW = 20_000  # gaps kept for the percentiles
MCL_CURRENT_AND_FUTURE = 3
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of mallopt(3)


class Granted(NamedTuple):
    """What the operating system gave."""

    fifo: bool
    memory_locked: bool
    cpus: tuple[int, ...]

    def __str__(self) -> str:
        return (
            f"SCHED_FIFO {'granted' if self.fifo else 'no'}, memory {'locked' if self.memory_locked else 'not locked'}, "
            f"processors {', '.join(map(str, self.cpus))}"
        )


def prepare_thread(mode: str, cpus: tuple[int, ...] = (), priority: int = PRIORITY) -> Granted:
    """Ask real-time rights for the calling thread and lock the memory of its process.

    mode: enforce, try or off. cpus: processors to stay on; none given, none asked. Raises UnknownChoice for another mode or a
    processor that is not there, and NotReady when rights are refused that are enforced.
    """
    if mode not in REALTIME:
        raise UnknownChoice("realtime", mode, REALTIME)
    there = os.sched_getaffinity(0)
    if not set(cpus) <= there:
        raise UnknownChoice("cpus", sorted(cpus), sorted(there))
    if cpus:
        os.sched_setaffinity(0, cpus)
    fifo = locked = False
    if mode != "off":
        # First, since it touches every page: some 10 ms that need not be taken from anybody.
        locked = _lock_memory()
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
            fifo = True
        except PermissionError:
            pass
    granted = Granted(fifo, locked, tuple(sorted(os.sched_getaffinity(0))))
    if mode == "enforce" and not (fifo and locked):
        raise NotReady(f"realtime = 'enforce' but the system gave: {granted}; see limits.conf (rtprio, memlock)")
    return granted


def _lock_memory() -> bool:
    """Lock all memory of the process, now and later; whether it was granted.

    Locked pages are filled as they are mapped, so memory that is given back and taken again costs: 15 ms for the copies of a
    message of 8 MB, which anybody may send, and 0.8 ms when it is kept.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(MCL_CURRENT_AND_FUTURE) != 0:
        return False
    if hasattr(libc, "mallopt"):  # glibc
        libc.mallopt(M_TRIM_THRESHOLD, -1)
        libc.mallopt(M_MMAP_MAX, 0)
    return True


def raise_threads(priority: int) -> bool:
    """SCHED_FIFO for every thread of this process; whether it was granted.

    A middleware's threads are made with the process's first node, long before anybody knows what rights are wanted. The main
    one holds Python's lock from time to time: were it an ordinary thread, any busy process could take its processor away
    meanwhile, and the loop would wait for that process. What the main one starts is ordinary all the same.
    """
    for name in os.listdir("/proc/self/task"):
        policy = os.SCHED_FIFO | (os.SCHED_RESET_ON_FORK if int(name) == os.getpid() else 0)
        try:
            os.sched_setscheduler(int(name), policy, os.sched_param(priority))
        except ProcessLookupError:
            continue  # it has ended
        except PermissionError:
            return False
    return True


@contextmanager
def quiet_gc() -> Iterator[None]:
    """No garbage collection inside: a full one takes tens of milliseconds. What is there already is never looked at again."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


class RealtimeLoop:
    """tick(now) at rate_hz, until stopped. Made ready; `run` is called in the thread that it shall own."""

    def __init__(
        self,
        rate_hz: float,
        tick: Callable[[float], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self.period = 1 / rate_hz
        self.ticks = 0
        self.missed = 0
        """Deadlines that passed without a tick."""
        self._tick, self._clock, self._sleep = tick, clock, sleep
        self._gaps = np.zeros(WINDOW)
        self._ending = threading.Event()

    def stop(self) -> None:
        """End `run` before its next tick; may be called from any thread, and from the tick."""
        self._ending.set()

    def run(self) -> None:
        """Tick until `stop`. An exception of the tick ends the loop and is raised."""
        deadline = self._clock()
        last = None
        while not self._ending.is_set():
            while (ahead := deadline - self._clock()) > 0:
                self._sleep(ahead)
            now = self._clock()
            if last is not None:
                self._gaps[(self.ticks - 1) % WINDOW] = now - last
            last = now
            self.ticks += 1
            self._tick(now)
            late = max(0, int((self._clock() - deadline) / self.period))
            self.missed += late
            deadline += (late + 1) * self.period

    def gap_ms(self) -> dict[str, float]:
        """p50, p99 and max of the time from tick to tick [ms], over the last WINDOW ticks."""
        return percentiles_ms(self._gaps[: max(0, min(self.ticks - 1, WINDOW))])
