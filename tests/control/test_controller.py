"""Controller: the ladder from plan to HOLD, forced rung by rung, and the limits on every sample."""

from collections.abc import Callable

import numpy as np
import pytest

from dvp_mpc.control.controller import Controller, ControllerSettings
from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.control.supervisor import State
from dvp_mpc.control.torque import hold_torque, predict
from dvp_mpc.errors import BadSetting, GoalError, NotReady
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.value import GoalFrame, RiccatiValue

GOAL = np.array([0.5, 0.1, 0.4])
SETTINGS = ControllerSettings(MpcSettings(5), rate_hz=1000, plan_hz=200)


def run(
    task: ReachTask, controller: Controller, x: np.ndarray, steps: int, see: Callable[[int, np.ndarray], np.ndarray]
):
    """Close the loop on the model at 1 kHz; `see` is what the controller is told. Yields state, torque and mode."""
    for k in range(steps):
        seen = see(k, x)
        torque = controller.step(k * 1e-3, seen[:7], seen[7:])
        yield x, torque, controller.state
        x = np.concatenate(predict(task.arm, x[:7], x[7:], torque, 1e-3))


def truth(k: int, x: np.ndarray) -> np.ndarray:
    return x


def test_reaches_the_goal_within_all_limits(task: ReachTask, controller: Controller, state: np.ndarray) -> None:
    states, torques, modes = zip(*run(task, controller, state, 4000, truth), strict=True)
    assert np.linalg.norm(task.tool(states[-1]) - GOAL) < 2e-3
    assert set(modes) == {State.TRACKING}
    assert (np.abs(torques) <= task.arm.torque_limit).all()
    assert (np.abs(np.diff(torques, axis=0)) <= 1.0 + 1e-9).all()
    assert controller.statistics.solves == 800
    assert controller.statistics.solve_ms()["p50"] > 0


def test_three_lost_states_are_bridged_and_a_dead_stream_ends_in_hold(
    task: ReachTask, controller: Controller, state: np.ndarray
) -> None:
    lost = np.full(14, np.nan)

    def see(k: int, x: np.ndarray) -> np.ndarray:
        return lost if 100 <= k < 103 or k >= 300 else x

    states, torques, modes = zip(*run(task, controller, state, 1000, see), strict=True)
    assert set(modes[:100]) == {State.TRACKING}
    assert set(modes[100:103]) == {State.DEGRADED}
    assert set(modes[103:300]) == {State.TRACKING}
    assert set(modes[301:311]) == {State.DEGRADED}  # the last plan, made at 298, serves for 15 ms
    assert set(modes[321:498]) == {State.HOLD}
    assert set(modes[501:]) == {State.FAULT}
    assert np.isfinite(torques).all()
    assert (np.abs(np.diff(torques[:498], axis=0)) <= 1.0 + 1e-9).all()
    # Blind from 0.3 s on, the arm is nearly at rest when it is given up: HOLD brakes along its own prediction.
    assert np.abs(states[500][7:]).max() < 0.1
    assert controller.silent
    assert not np.any(torques[501:])
    assert controller.statistics.refused["not finite"] == 3 + 700


def test_time_that_stands_still_is_no_fresh_state(controller: Controller, state: np.ndarray) -> None:
    for _ in range(30):
        controller.step(1.0, state[:7], state[7:])
    assert controller.state is State.HOLD
    assert controller.statistics.refused["repeated or reordered"] == 29


@pytest.mark.parametrize("jump", [10.0, -5.0])
def test_a_clock_step_is_held_through_on_measured_states_and_tracking_resumes(
    task: ReachTask, controller: Controller, state: np.ndarray, jump: float
) -> None:
    """For good, not for one sample; the torque bias is there because a hold on predictions would run away with it."""
    x, bias = state, np.full(7, 1.0)
    modes = []
    for k in range(2000):
        torque = controller.step(k * 1e-3 + (jump if k >= 500 else 0.0), x[:7], x[7:])
        modes.append(controller.state)
        x = np.concatenate(predict(task.arm, x[:7], x[7:], torque + bias, 1e-3))
        if 530 < k < 1090:
            assert controller.state is State.HOLD
        if (
            k == 1090
        ):  # HOLD let the bias creep at M^-1 b 50 ms, 0.6 rad/s at the wrist; only an arm at rest is armed again
            assert 0.05 < np.abs(x[7:]).max() < 1.0
            bias, x = np.zeros(7), np.concatenate([x[:7], np.zeros(7)])
    assert State.ARMING in modes[1091:1200]
    assert modes[-1] is State.TRACKING


def test_one_wild_stamp_costs_one_sample(controller: Controller, state: np.ndarray) -> None:
    for k in range(100):
        controller.step(k * 1e-3 + (10.0 if k == 50 else 0.0), state[:7], np.zeros(7))
    assert controller.state is State.TRACKING
    assert controller.statistics.refused == {"time does not fit": 1}


def test_absurd_first_state_gives_finite_torque(task: ReachTask, controller: Controller, state: np.ndarray) -> None:
    v = np.zeros(7)
    v[0] = 1e160
    for k in range(10):
        torque = controller.step(k * 1e-3, state[:7], v if k == 0 else state[7:])
        assert np.isfinite(torque).all()


@pytest.mark.parametrize("bad", [None, "now", np.zeros(3), [[1], [2, 3]], object()])
def test_step_never_raises(controller: Controller, state: np.ndarray, bad: object) -> None:
    controller.step(0.0, state[:7], state[7:])
    for sample in ((bad, state[:7], state[7:]), (0.001, bad, state[7:]), (0.001, state[:7], bad)):
        assert np.isfinite(controller.step(*sample)).all()  # type: ignore[arg-type]
    assert controller.statistics.refused["shape"] >= 2


def test_misses_are_counted_against_the_period(task: ReachTask, state: np.ndarray) -> None:
    ticks = iter(np.arange(0, 1, 0.0004))  # every look at the clock is 0.4 ms after the one before
    slow = Controller(task, RiccatiValue(), GOAL, SETTINGS, clock=lambda: float(next(ticks)))
    for k in range(10):
        slow.step(k * 1e-3, state[:7], state[7:])
    # Four looks in a step that plans (1.2 ms), two in one that does not (0.4 ms); a plan every fifth step.
    assert slow.statistics.misses == 2
    assert slow.statistics.solve_ms() == pytest.approx({"p50": 0.4, "p99": 0.4, "max": 0.4})


class Switchable:
    """The Riccati value until it is broken."""

    broken = ""

    def at(self, frame: GoalFrame) -> "Switchable":
        self._sound = RiccatiValue().at(frame)
        return self

    def cost(self, x: np.ndarray, t: np.ndarray) -> float:
        return float("nan") if self.broken == "nan" else self._sound.cost(x, t)

    def derivatives(self, x: np.ndarray, t: np.ndarray, Jt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        Vx, Vxx = self._sound.derivatives(x, t, Jt)
        if self.broken == "raises":
            raise RuntimeError("a value that fails")
        return (Vx * np.nan, Vxx * np.nan) if self.broken else (Vx, Vxx)


@pytest.mark.parametrize("how", ["nan", "raises"])
def test_failing_solver_falls_back_to_the_last_plan_then_holds_then_recovers(
    task: ReachTask, state: np.ndarray, how: str
) -> None:
    value = Switchable()
    controller = Controller(task, value, GOAL, SETTINGS)
    modes = []
    for k, (_, torque, mode) in enumerate(run(task, controller, state, 400, truth)):
        value.broken = how if 99 <= k < 199 else ""
        modes.append(mode)
        assert np.isfinite(torque).all()
    assert set(modes[:100]) == {State.TRACKING}
    assert set(modes[100:110]) == {State.DEGRADED}  # plans at 100 and 105 fail; that of 95 serves until 110
    assert set(modes[111:200]) == {State.HOLD}
    assert set(modes[201:224]) == {State.HOLD}  # plans must come for 25 ms
    assert set(modes[226:]) == {State.TRACKING}
    assert sum(controller.statistics.rejected.values()) == 20


def test_first_torque_starts_from_what_carries_the_arm(
    task: ReachTask, controller: Controller, state: np.ndarray
) -> None:
    q, v = state[:7], np.zeros(7)
    first = controller.step(0.0, q, v)
    assert (np.abs(first - hold_torque(task.arm, q, v)) <= 1.0 + 1e-9).all()


def test_goal_changes_at_run_time_and_a_bad_one_changes_nothing(
    task: ReachTask, controller: Controller, state: np.ndarray
) -> None:
    list(run(task, controller, state, 50, truth))
    controller.set_goal(controller.goal.tool)  # what it says of itself, it takes
    with pytest.raises(GoalError, match="outside the trained box"):
        controller.set_goal(np.array([2.0, 0.0, 0.4]))
    with pytest.raises(GoalError, match="finite"):
        controller.set_goal(np.array([np.nan, 0.0, 0.4]))
    np.testing.assert_allclose(controller.goal.tool, GOAL, atol=1e-6)
    other = np.array([0.4, -0.2, 0.6])
    fresh = Controller(task, RiccatiValue(), GOAL, SETTINGS)
    fresh.set_goal(other)
    states = [x for x, _, _ in run(task, fresh, state, 4000, truth)]
    assert np.linalg.norm(task.tool(states[-1]) - other) < 2e-3


@pytest.mark.parametrize("how", ["stop", "fault"])
def test_stop_and_fault_bring_the_arm_to_rest(
    task: ReachTask, controller: Controller, state: np.ndarray, how: str
) -> None:
    speeds = []
    for k, (x, _, _) in enumerate(run(task, controller, state, 900, truth)):
        speeds.append(np.abs(x[7:]).max())
        if k == 300:
            controller.stop() if how == "stop" else controller.fault("somebody says so")
    assert speeds[300] > 0.3
    assert max(speeds[700:]) < 0.05
    assert controller.state is (State.STOPPING if how == "stop" else State.FAULT)
    assert controller.at_rest


def test_reset_is_refused_with_the_reason_or_leads_back_through_arming(
    task: ReachTask, controller: Controller, state: np.ndarray
) -> None:
    with pytest.raises(NotReady, match="no fault"):
        controller.reset()
    modes = []
    for k, (_, _, mode) in enumerate(run(task, controller, state, 3000, truth)):
        modes.append(mode)
        if k == 100:
            controller.fault("somebody says so")
        if k == 600:
            controller.reset()
    assert set(modes[101:600]) == {State.FAULT}
    assert modes[602] is State.HOLD
    assert State.ARMING in modes[1100:1200]
    assert modes[-1] is State.TRACKING


def test_rates_are_refused_by_name() -> None:
    with pytest.raises(BadSetting, match="plan_hz = 300"):
        ControllerSettings(rate_hz=1000, plan_hz=300)
    for rate_hz in (0, 50):  # a period of 20 ms is a loop that stood still
        with pytest.raises(BadSetting, match=rf"rate_hz = {rate_hz}.*\[100, 10000\]"):
            ControllerSettings(rate_hz=rate_hz, plan_hz=rate_hz)


def test_outside_the_region_the_riccati_value_ends_the_horizon_and_back_inside_the_learned_one(
    task: ReachTask, state: np.ndarray
) -> None:
    """The learned value here fails wherever it is asked, so every plan made outside shows that it was not."""
    value = Switchable()
    controller = Controller(task, value, GOAL, SETTINGS)
    x = state.copy()
    x[7:], x[0] = 0.0, task.region.upper[0] + 0.02  # the joint comes back by itself
    controller.step(0.0, x[:7], x[7:])
    assert controller.trust_score == pytest.approx(task.region.score(x, task.goal(GOAL)))
    assert 1 < controller.trust_score < 1.2
    assert not controller.trusted
    value.broken = "raises"
    steps_inside = 0
    for _, _, mode in run(task, controller, x, 2000, truth):
        steps_inside += controller.trusted
        if not controller.trusted:
            assert mode is State.DEGRADED
            assert "outside the region" in controller.reason
            assert not controller.statistics.rejected
        elif steps_inside == 20:
            break
    assert controller.statistics.solves - 5 > 5  # 4 or 5 of them were made inside
    assert controller.statistics.rejected["RuntimeError"] > 0
