"""A controller without learning, and a state from which it has something to do."""

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
