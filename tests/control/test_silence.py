"""A controller that gives no torque out because nobody knows where the arm is, or what torque does to it."""

import numpy as np
import pytest

from dvp_mpc.control.controller import Controller, ControllerSettings
from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.control.supervisor import State
from dvp_mpc.control.torque import predict
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.value import RiccatiValue

GOAL = np.array([0.5, 0.1, 0.4])


def test_without_any_state_it_asks_for_nothing(task: ReachTask, controller: Controller) -> None:
    np.testing.assert_array_equal(controller.step(0.0, np.full(7, np.nan), np.zeros(7)), np.zeros(7))
    assert controller.state is State.HOLD


@pytest.mark.parametrize(("silence", "bound"), [(1, True), (15, True), (40, False)])
def test_only_a_silence_that_outlasts_the_driver_is_a_new_beginning(
    controller: Controller, state: np.ndarray, silence: int, bound: bool
) -> None:
    """For 20 ms the driver holds the last torque, so the next one is still bound to it. [ms]"""
    last, silent, k = np.zeros(7), 0, 0
    while silent < silence:
        seen = state if k < 5 else np.full(14, np.nan)
        torque = controller.step(k * 1e-3, seen[:7], seen[7:])
        silent = silent + 1 if controller.silent else 0
        last, k = last if silent else torque, k + 1
    elsewhere = state[:7] + 0.6 * np.where(state[:7] > 0, -1, 1)
    while controller.silent:
        torque = controller.step(k * 1e-3, elsewhere, np.zeros(7))
        silent, k = silent + 1, k + 1
    assert silent <= silence + 5
    assert (np.abs(torque - last).max() <= 1.0 + 1e-9) == bound


@pytest.mark.parametrize("silence", [1.0, 6.0])
def test_stopping_does_not_wake_a_fault_that_lost_the_arm(
    task: ReachTask, controller: Controller, state: np.ndarray, silence: float
) -> None:
    """Nobody has known for `silence` [s] where the arm is, so no torque can be right on the way out either."""
    x = state
    for k in range(300):
        x = np.concatenate(predict(task.arm, x[:7], x[7:], controller.step(k * 1e-3, x[:7], x[7:]), 1e-3))
    for _ in range(round(silence * 1000)):
        controller.coast()
    assert controller.silent
    controller.stop()
    for _ in range(1000):
        assert not np.any(controller.coast())
        assert controller.silent
    assert controller.state is State.STOPPING
    assert np.isfinite(controller.trust_score)


def test_stopping_does_not_wake_a_fault_that_found_torque_misunderstood(task: ReachTask, state: np.ndarray) -> None:
    controller = Controller(task, RiccatiValue(), GOAL, ControllerSettings(MpcSettings(5), arming=True))
    x = np.concatenate([state[:7], np.zeros(7)])
    for k in range(200):
        torque = controller.step(k * 1e-3, x[:7], x[7:])
        if controller.silent:
            break
        gravity = task.arm.gravity_torque(x[:7])  # which this driver adds by itself
        x = np.concatenate(predict(task.arm, x[:7], x[7:], torque + gravity, 1e-3))
    assert "wrong gravity convention" in controller.reason
    controller.stop()
    for k in range(200, 1200):
        assert not np.any(controller.step(k * 1e-3, x[:7], np.zeros(7)))
        assert controller.silent
    assert controller.state is State.STOPPING
