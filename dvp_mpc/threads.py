"""What a process that is one of several is started with: one thread in every numerical library, and no ear for Ctrl-C."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
"""Environment variables, for processes that are yet to load the libraries."""


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """A process that begins meanwhile never sees SIGINT, which is for its caller; that one gets it afterwards."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # goes through fork and exec
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
