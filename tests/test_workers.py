"""Results of worker processes, for those who cannot go on without all of them."""

import os
import signal

import pytest

from dvp_mpc.errors import RunFailed
from dvp_mpc.workers import results


def _square(k: int) -> int:
    return k * k


def _die_at_two(k: int) -> int:
    if k == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return k


def test_every_result_comes_once() -> None:
    assert sorted(results(_square, range(5), 2)) == [0, 1, 4, 9, 16]


def test_a_dead_worker_is_an_error_that_names_its_task() -> None:
    with pytest.raises(RunFailed, match="a worker process died in 2"):
        list(results(_die_at_two, range(5), 2))


def _interrupt_itself(k: int) -> int:
    os.kill(os.getpid(), signal.SIGINT)
    return k


def test_workers_do_not_hear_an_interrupt_that_is_for_their_caller() -> None:
    """Ctrl-C goes to the whole group; a worker that was just starting wrote a traceback for it."""
    assert sorted(results(_interrupt_itself, range(5), 2)) == list(range(5))
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])  # here it is heard
