"""The command loop alone: what it does not publish, and how its end is told."""

import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")  # the extra 'ros'

from dvp_mpc_ros.command_loop import CommandLoop
from dvp_mpc_ros.reports import safety_text

from dvp_mpc.control.supervisor import AGE_LIMIT, State
from dvp_mpc.errors import NotReady


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


def test_the_death_of_the_loop_is_a_fault_that_is_said_and_cannot_be_reset() -> None:
    def broken(now: float) -> np.ndarray:
        raise ZeroDivisionError("broken on purpose")

    controller: Any = SimpleNamespace(
        rate_hz=200.0, silent=False, coast=broken, fault=lambda reason: None, state=State.TRACKING, reason=""
    )
    reader: Any = SimpleNamespace(newest=lambda now: None, strangers=0)
    said: list[str] = []
    loop = CommandLoop(controller, reader, SimpleNamespace(), "off", (), said.append)  # type: ignore[arg-type]
    assert safety_text(loop, "") == "tracking"
    loop.start()
    loop._thread.join(5.0)
    assert said == ["the command loop ended: ZeroDivisionError: broken on purpose"]
    assert safety_text(loop, "") == f"fault: {said[0]}"
    with pytest.raises(NotReady, match="deactivate and activate"):
        loop.reset()
