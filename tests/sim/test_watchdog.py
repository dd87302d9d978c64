"""The plant's watchdog: whose torque the arm gets, when, and when again."""

from collections.abc import Callable

import numpy as np
import pytest
from dvp_mpc_sim.bullet import BulletPlant
from dvp_mpc_sim.watchdog import LIMIT, NEAR, Follow, Watchdog
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from dvp_mpc.control.supervisor import AT_REST
from dvp_mpc.control.torque import hold_torque
from dvp_mpc.errors import BadSetting
from dvp_mpc.problem.arm import Arm, load_arm
from dvp_mpc.problem.arms import ARMS

REST = np.zeros(7)
STEP = 1e-3  # [s]


def armed(arm: Arm, t: float = 0.0) -> Watchdog:
    """A watchdog that follows since t."""
    watchdog = Watchdog(arm)
    watchdog.command(t, arm.gravity_torque(arm.home))
    watchdog.torque(t, arm.home, REST)
    assert watchdog.mode is Follow.FOLLOW
    return watchdog


def test_without_a_command_the_arm_is_held(panda: Arm) -> None:
    watchdog = Watchdog(panda)
    assert watchdog.mode is Follow.NO_COMMAND
    for v in (REST, np.full(7, 0.3)):
        np.testing.assert_allclose(watchdog.torque(1e9, panda.home, v), hold_torque(panda, panda.home, v))
    assert watchdog.mode is Follow.NO_COMMAND


def test_a_command_near_the_holding_torque_of_an_arm_at_rest_is_followed(panda: Arm) -> None:
    watchdog, command = Watchdog(panda), panda.gravity_torque(panda.home) + 0.9 * NEAR
    watchdog.command(1.0, command)
    np.testing.assert_array_equal(watchdog.torque(1.0, panda.home, REST), command)
    assert watchdog.mode is Follow.FOLLOW


def test_once_armed_any_command_within_the_limits_is_followed_at_any_speed(panda: Arm) -> None:
    watchdog, rng = armed(panda), np.random.default_rng(1)
    for k in range(100):
        command = rng.uniform(-1, 1, 7) * panda.torque_limit
        watchdog.command(0.01 * k, command)
        np.testing.assert_array_equal(watchdog.torque(0.01 * k, panda.home, rng.normal(size=7)), command)
    assert watchdog.accepted == 101


@pytest.mark.parametrize(
    "away",
    [lambda arm: (1.01 * NEAR * np.eye(7)[3], REST), lambda arm: (REST, 1.01 * AT_REST * np.eye(7)[6])],
    ids=["command", "moving"],
)
@pytest.mark.parametrize("before", [Follow.NO_COMMAND, Follow.BRAKE])
def test_no_arming_far_from_the_holding_torque_or_in_motion(
    panda: Arm, before: Follow, away: Callable[[Arm], tuple[np.ndarray, np.ndarray]]
) -> None:
    offset, v = away(panda)
    watchdog = Watchdog(panda) if before is Follow.NO_COMMAND else armed(panda)
    watchdog.torque(1.0, panda.home, v)
    assert watchdog.mode is before
    brake = hold_torque(panda, panda.home, v)
    for k in range(100):
        watchdog.command(2 + STEP * k, brake + offset)
        np.testing.assert_array_equal(watchdog.torque(2 + STEP * k, panda.home, v), brake)
    assert watchdog.mode is before
    watchdog.command(3, panda.gravity_torque(panda.home))
    watchdog.torque(3, panda.home, REST)
    assert watchdog.mode is Follow.FOLLOW, "and it can be armed"


@pytest.mark.parametrize("start", [0.0, 1e-9, 17.123456, 86400.0 * 365])
def test_a_command_lives_for_20_ms_and_the_brake_comes_with_the_next_step(panda: Arm, start: float) -> None:
    watchdog, v = armed(panda, start), np.full(7, 0.2)
    command = panda.gravity_torque(panda.home) + 8
    watchdog.command(start, command)
    for k in range(21):
        np.testing.assert_array_equal(watchdog.torque(start + k * STEP, panda.home, v), command)
    brake = watchdog.torque(start + 21 * STEP, panda.home, v)
    np.testing.assert_allclose(brake, hold_torque(panda, panda.home, v))
    assert watchdog.mode is Follow.BRAKE
    assert LIMIT == 0.02


def test_a_dead_command_does_not_arm(panda: Arm) -> None:
    watchdog = Watchdog(panda)
    watchdog.command(0.0, panda.gravity_torque(panda.home))
    watchdog.torque(0.021, panda.home, REST)
    assert watchdog.mode is Follow.NO_COMMAND


def test_a_command_that_comes_back_after_a_pause_must_arm_anew(panda: Arm) -> None:
    """As after SIGSTOP and SIGCONT of the sender: the first command after the pause is not followed."""
    watchdog = armed(panda)
    watchdog.torque(0.5, panda.home, REST)
    watchdog.command(0.501, panda.gravity_torque(panda.home) + 20)
    np.testing.assert_allclose(watchdog.torque(0.501, panda.home, REST), panda.gravity_torque(panda.home))
    assert watchdog.mode is Follow.BRAKE


@pytest.mark.parametrize(
    "bad",
    [
        np.full(7, np.nan),
        np.array([0, 0, np.inf, 0, 0, 0, 0]),
        np.zeros(6),
        np.zeros(8),
        np.zeros((7, 1)),
        np.zeros(0),
        np.array(1.0),
        np.full(7, 1e9),
        np.array([0, 0, 0, 0, 12.1, 0, 0]),
    ],
    ids=["nan", "inf", "six", "eight", "column", "empty", "scalar", "huge", "above one limit"],
)
def test_a_command_that_no_arm_could_follow_is_refused_counted_and_keeps_nothing_alive(
    panda: Arm, bad: np.ndarray
) -> None:
    watchdog = armed(panda)
    for k in range(30):
        watchdog.command(STEP * k, bad)
        watchdog.torque(STEP * k, panda.home, REST)
    assert (watchdog.refused, watchdog.accepted) == (30, 1)
    assert watchdog.mode is Follow.BRAKE


def test_a_torque_at_the_limit_is_within(panda: Arm) -> None:
    watchdog = armed(panda)
    watchdog.command(0.001, -panda.torque_limit)
    np.testing.assert_array_equal(watchdog.torque(0.001, panda.home, REST), -panda.torque_limit)


def test_nobody_can_change_a_command_that_was_given_or_got(panda: Arm) -> None:
    watchdog, command = armed(panda), panda.gravity_torque(panda.home)
    watchdog.command(0.001, command)
    expected = command.copy()
    command[:] = 80.0
    watchdog.torque(0.001, panda.home, REST)[:] = 80.0
    np.testing.assert_array_equal(watchdog.torque(0.002, panda.home, REST), expected)


@settings(max_examples=200, deadline=None)
@given(
    torque=arrays(float, st.one_of(st.just((7,)), array_shapes(max_dims=2, max_side=9)), elements=st.floats(width=64)),
    v=arrays(float, 7, elements=st.floats(-10, 10)),
    age=st.floats(0, 0.05),
)
def test_whatever_is_commanded_the_motors_get_finite_torque_within_the_limits(
    torque: np.ndarray, v: np.ndarray, age: float
) -> None:
    panda = load_arm("panda")
    watchdog = armed(panda)
    watchdog.command(0.001, torque)
    given = watchdog.torque(0.001 + age, panda.home, v)
    assert given.shape == (7,)
    assert (np.abs(given) <= panda.torque_limit + 1e-5).all()


@pytest.mark.parametrize("name", ARMS)
def test_the_brake_stops_every_arm_from_motion_within_half_a_second(name: str) -> None:
    arm = load_arm(name)
    watchdog = armed(arm)
    rng = np.random.default_rng(3)
    with BulletPlant(arm) as plant:
        for _ in range(5):
            plant.reset(arm.home, 0.5 * rng.uniform(-1, 1, 7))
            for k in range(500):
                plant.step(watchdog.torque(1 + STEP * k, *plant.state()))
            assert (np.abs(plant.state()[1]) < AT_REST).all()


def test_a_controller_killed_in_motion_leaves_less_than_15_cm(panda: Arm) -> None:
    """The last command, of a torque that was speeding the arm up, acts for 20 ms; then the brake."""
    watchdog = armed(panda)
    with BulletPlant(panda) as plant:
        plant.reset(panda.home, np.array([1.0, 0.8, 0.0, 0.8, 0.0, 0.5, 0.0]))
        q, v = plant.state()
        watchdog.command(0.0, np.clip(panda.nonlinear_effects(q, v) + 10, -panda.torque_limit, panda.torque_limit))
        start, braked = plant.tool_in_world(), None
        for k in range(1000):
            plant.step(watchdog.torque(STEP * k, *plant.state()))
            if watchdog.mode is Follow.BRAKE and braked is None:
                braked = STEP * k
        assert braked == pytest.approx(0.021)
        assert np.linalg.norm(plant.tool_in_world() - start) < 0.15
        assert (np.abs(plant.state()[1]) < AT_REST).all()


def test_a_limit_that_is_none_is_refused(panda: Arm) -> None:
    for bad in (0.0, -1.0, np.nan):
        with pytest.raises(BadSetting, match="limit"):
            Watchdog(panda, bad)
