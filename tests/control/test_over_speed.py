"""A joint above its speed limit: a fault if it lasts, none if it does not."""

import numpy as np

from dvp_mpc.control.controller import Controller
from dvp_mpc.control.supervisor import State
from dvp_mpc.control.torque import predict
from dvp_mpc.problem.reach import ReachTask


def driven(task: ReachTask, controller: Controller, state: np.ndarray, share: float) -> tuple[np.ndarray, list[State]]:
    """A motor that takes joint 1 to this share of its limit from 0.3 s to 0.4 s; speeds (n, 7) [rad/s] and states."""
    x, speeds, modes = state, [], []
    for k in range(900):
        torque = controller.step(k * 1e-3, x[:7], x[7:])
        speeds.append(x[7:])
        modes.append(controller.state)
        x = np.concatenate(predict(task.arm, x[:7], x[7:], torque, 1e-3))
        if 300 <= k < 400:
            pace = share * task.arm.velocity_limit[0]
            x[7] += np.clip(pace - x[7], -0.1, 0.1)
    return np.array(speeds), modes


def test_a_joint_that_is_driven_above_its_limit_is_a_latched_fault_that_brakes(
    task: ReachTask, controller: Controller, state: np.ndarray
) -> None:
    speeds, modes = driven(task, controller, state, 1.2)
    above = int(np.flatnonzero(speeds[:, 0] > task.arm.velocity_limit[0])[0])
    assert modes.index(State.FAULT) == above + 20
    assert set(modes[above + 20 :]) == {State.FAULT}
    assert set(modes[:300]) == {State.TRACKING}
    assert controller.reason.startswith(f"joint {task.arm.joint_names[0]} at 2.")
    assert np.abs(speeds[-1]).max() < 0.05


def test_a_joint_that_is_driven_to_just_below_its_limit_is_no_fault(
    task: ReachTask, controller: Controller, state: np.ndarray
) -> None:
    speeds, modes = driven(task, controller, state, 0.97)
    assert speeds[:, 0].max() > 0.9 * task.arm.velocity_limit[0]
    assert set(modes) <= {State.TRACKING, State.DEGRADED}


def test_one_noisy_speed_is_no_fault(task: ReachTask, controller: Controller, state: np.ndarray) -> None:
    spike = np.concatenate([np.zeros(7), 1.5 * task.arm.velocity_limit])

    x, modes = state, []
    for k in range(600):
        seen = x + spike * (k in (100, 300, 301))
        torque = controller.step(k * 1e-3, seen[:7], seen[7:])
        modes.append(controller.state)
        x = np.concatenate(predict(task.arm, x[:7], x[7:], torque, 1e-3))
    assert State.FAULT not in modes
