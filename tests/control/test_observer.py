"""MomentumObserver: it finds what acts and nothing else, as fast as it says; the controller with it has no offset."""

from dataclasses import replace

import numpy as np
import pytest

from dvp_mpc.control.controller import Controller, ControllerSettings
from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.control.observer import BANDWIDTH, MOST, MomentumObserver
from dvp_mpc.control.supervisor import State
from dvp_mpc.control.torque import hold_torque, predict
from dvp_mpc.problem.arm import Arm
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.value import RiccatiValue

DT = 0.005
GOAL = np.array([0.5, 0.1, 0.4])


def driven(arm: Arm, observer: MomentumObserver, d: np.ndarray, seconds: float) -> list[np.ndarray]:
    """The estimates while an arm that swings under a changing torque is disturbed by d (7,) [N m]."""
    x, estimates = np.concatenate([arm.home, np.zeros(7)]), []
    observer.step(x, None, 0.0)
    for k in range(round(seconds / DT)):
        swing = 6 * np.sin(2 * np.pi * 0.7 * k * DT + np.arange(7))
        torque = swing * arm.torque_limit / 87 + hold_torque(arm, x[:7], x[7:] / 2)
        for _ in range(20):  # the truth, finely: the observer sees only the ends
            x = np.concatenate(predict(arm, x[:7], x[7:], torque + d, DT / 20))
        observer.step(x, torque, DT)
        estimates.append(observer.disturbance.copy())
    assert np.abs(x[7:]).max() > 0.1, "the arm must have moved"
    return estimates


def test_momentum_changes_by_the_drift_when_no_torque_acts(panda: Arm) -> None:
    rng = np.random.default_rng(3)
    q, v, dt = panda.home + 0.3 * rng.standard_normal(7), rng.uniform(-2, 2, 7), 1e-6
    q2, v2 = predict(panda, q, v, np.zeros(7), dt)
    change = (panda.mass_matrix(q2) @ v2 - panda.mass_matrix(q) @ v) / dt
    np.testing.assert_allclose(change, panda.momentum_drift(q, v), atol=1e-3)


def test_without_a_disturbance_motion_looks_like_none(panda: Arm) -> None:
    estimates = driven(panda, MomentumObserver(panda), np.zeros(7), 1.5)
    assert np.abs(estimates).max() < 0.02  # [N m], of torques that reach 30


def test_a_constant_torque_is_found_with_the_time_constant_that_is_promised(panda: Arm) -> None:
    d = np.array([4.0, -12.0, 3.0, 8.0, -1.0, 1.5, 0.4])
    estimates = driven(panda, MomentumObserver(panda), d, 1.5)
    np.testing.assert_allclose(estimates[-1], d, atol=0.12)  # 1 % of the greatest
    after = 1 - np.exp(-BANDWIDTH * 10 * DT)
    np.testing.assert_allclose(estimates[9], after * d, atol=0.12)


def test_what_it_takes_for_a_disturbance_is_bounded(panda: Arm) -> None:
    observer = MomentumObserver(panda)
    x = np.concatenate([panda.home, np.zeros(7)])
    for _ in range(100):
        observer.step(x, panda.gravity_torque(panda.home) - 80.0, DT)
    np.testing.assert_allclose(observer.disturbance, MOST * panda.torque_limit)


def test_nothing_is_learned_from_a_gap_or_an_unknown_torque(panda: Arm) -> None:
    observer = MomentumObserver(panda)
    x = np.concatenate([panda.home, np.zeros(7)])
    for torque, elapsed in [(None, DT), (np.full(7, 50.0), 0.5), (np.full(7, 50.0), 0.0)]:
        observer.step(x, torque, elapsed)
        assert not observer.disturbance.any()


@pytest.mark.parametrize("offset_free", [False, True])
def test_the_tool_is_where_it_should_be_under_a_constant_torque(task: ReachTask, offset_free: bool) -> None:
    d = np.array([2.0, -8.0, 2.0, 5.0, -1.0, 1.0, 0.3])
    settings = replace(ControllerSettings(MpcSettings(5), rate_hz=200, plan_hz=200), offset_free=offset_free)
    controller = Controller(task, RiccatiValue(), GOAL, settings)
    x = np.concatenate([task.arm.home, np.zeros(7)])
    for k in range(800):
        torque = controller.step(k * DT, x[:7], x[7:])
        for _ in range(5):
            x = np.concatenate(predict(task.arm, x[:7], x[7:], torque + d, 1e-3))
    error = np.linalg.norm(task.tool(x) - GOAL)
    assert error < 1e-3 if offset_free else error > 5e-3
    assert controller.disturbance.any() == offset_free
    if offset_free:
        np.testing.assert_allclose(controller.disturbance, d, atol=0.05)


@pytest.mark.parametrize("lost", [6, 30])
def test_hold_carries_what_was_found(task: ReachTask, lost: int) -> None:
    """2 kg in the hand, `lost` samples of 5 ms do not come, and the hold torque of the model alone would let them sink."""
    settings = ControllerSettings(MpcSettings(5), rate_hz=200, plan_hz=200, offset_free=True)
    controller = Controller(task, RiccatiValue(), GOAL, settings)
    x, states, sunk = np.concatenate([task.arm.home, np.zeros(7)]), [], 0.0
    for k in range(1000):
        blind = 600 <= k < 600 + lost
        torque = controller.coast() if blind else controller.step(k * DT, x[:7], x[7:])
        for _ in range(5):
            payload = task.arm.tool_jacobian_in_world(x[:7])[1].T @ [0.0, 0.0, -2 * 9.81]
            x = np.concatenate(predict(task.arm, x[:7], x[7:], torque + payload, 1e-3))
        states.append(controller.state)
        sunk = max(sunk, GOAL[2] - task.tool(x)[2]) if k >= 600 else 0.0
    assert State.HOLD in states[600:]
    assert sunk < 2e-3
    assert states[-1] is State.TRACKING


def test_predictions_know_what_was_found(task: ReachTask) -> None:
    d = np.array([2.0, -8.0, 2.0, 5.0, -1.0, 1.0, 0.3])
    settings = ControllerSettings(MpcSettings(5), rate_hz=200, plan_hz=200, offset_free=True)
    controller = Controller(task, RiccatiValue(), GOAL, settings)
    x = np.concatenate([task.arm.home, np.zeros(7)])
    for k in range(600):
        blind = k >= 597  # three samples are lost
        torque = controller.coast() if blind else controller.step(k * DT, x[:7], x[7:])
        for _ in range(5):
            x = np.concatenate(predict(task.arm, x[:7], x[7:], torque + d, 1e-3))
    np.testing.assert_allclose(controller.disturbance, d, atol=0.1)
