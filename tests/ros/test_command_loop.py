"""The command loop alone: what it does not publish."""

import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")  # the extra 'ros'

from dvp_mpc_ros.command_loop import CommandLoop

from dvp_mpc.control.supervisor import AGE_LIMIT


@pytest.mark.parametrize(("frozen", "published"), [(0.0, 1), (AGE_LIMIT + 0.005, 0)])
def test_a_torque_that_was_on_its_way_while_the_process_was_frozen_is_not_published(
    frozen: float, published: int
) -> None:
    def coast(now: float) -> np.ndarray:
        time.sleep(frozen)
        return np.ones(7)

    sent: list[Any] = []
    controller: Any = SimpleNamespace(rate_hz=200.0, silent=False, coast=coast)
    reader: Any = SimpleNamespace(newest=lambda now: None, strangers=0)
    publisher: Any = SimpleNamespace(publish=sent.append)
    loop = CommandLoop(controller, reader, publisher, "off", (), lambda error: None)
    loop._tick(time.monotonic())
    assert len(sent) == published
