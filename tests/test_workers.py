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
