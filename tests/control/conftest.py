"""A controller without learning, a state from which it has something to do, and what is seen of processes."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dvp_mpc.control.controller import Controller, ControllerSettings
from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.task import sample_starts
from dvp_mpc.value import RiccatiValue


@pytest.fixture
def controller(task: ReachTask) -> Controller:
    return Controller(task, RiccatiValue(), np.array([0.5, 0.1, 0.4]), ControllerSettings(MpcSettings(5)))


@pytest.fixture
def state(task: ReachTask) -> np.ndarray:
    return sample_starts(task, np.random.default_rng(5), 1)[0]


@pytest.fixture(scope="session")
def wait_for() -> Callable[..., bool]:
    """wait_for(condition, seconds=20): whether it came to hold."""

    def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> bool:
        until = time.monotonic() + seconds
        while not condition() and time.monotonic() < until:
            time.sleep(0.002)
        return bool(condition())

    return wait_for


@pytest.fixture(scope="session")
def facts() -> Callable[[int], dict[str, str]]:
    """facts(pid): what the system says of a process; nothing of one that has ended."""

    def facts(pid: int) -> dict[str, str]:
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            return {}
        found = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        return {} if found["State"].startswith(("Z", "X")) else found  # nobody may be there to bury an orphan

    return facts
