"""Torques without a plan: the limiter, the hold torque and the guard, and what must be true whatever comes in."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dvp_mpc.control.torque import HOLD_TIME, MOMENT, Limiter, SpeedWatch, guarded, hold_torque, predict
from dvp_mpc.problem.arm import Arm

LIMIT = np.array([87.0] * 4 + [12.0] * 3)
ANY = arrays(float, 7, elements=st.floats(allow_nan=True, allow_infinity=True))


@given(st.lists(ANY, min_size=1, max_size=20))
def test_whatever_is_asked_the_torque_is_finite_bounded_and_rate_limited(asked: list[np.ndarray]) -> None:
    limiter, torque = Limiter(LIMIT, period=1e-3), np.zeros(7)
    for wish in asked:
        following = limiter(wish, torque)
        assert np.isfinite(following).all()
        assert (np.abs(following) <= LIMIT).all()
        assert (np.abs(following - torque) <= 1.0 + 1e-12).all()
        torque = following


@given(ANY, ANY)
def test_whatever_went_before_the_torque_is_finite_and_bounded(asked: np.ndarray, before: np.ndarray) -> None:
    following = Limiter(LIMIT, period=1e-3)(asked, before)
    assert np.isfinite(following).all()
    assert (np.abs(following) <= LIMIT).all()


def test_a_torque_within_the_limits_passes_unchanged() -> None:
    asked = np.linspace(-0.9, 0.9, 7)
    np.testing.assert_array_equal(Limiter(LIMIT, 1e-3)(asked, np.zeros(7)), asked)


def test_hold_brakes_exponentially_and_then_carries_gravity(panda: Arm) -> None:
    rng = np.random.default_rng(0)
    q, v = panda.home + 0.3 * rng.standard_normal(7), rng.uniform(-2, 2, 7)
    dt, start = 1e-4, (q.copy(), v.copy())
    for _ in range(2000):
        q, v = predict(panda, q, v, hold_torque(panda, q, v), dt)
    decay = np.exp(-0.2 / HOLD_TIME)
    np.testing.assert_allclose(v, start[1] * decay, atol=0.02 * decay)  # first order in dt / HOLD_TIME
    np.testing.assert_allclose(q, start[0] + HOLD_TIME * start[1] * (1 - decay), atol=2 * dt)
    np.testing.assert_allclose(hold_torque(panda, q, np.zeros(7)), panda.gravity_torque(q), atol=1e-12)


@given(st.floats(-1, 1), st.floats(-3, 3), ANY)
def test_beyond_a_limit_nothing_pushes_outward(panda: Arm, away: float, speed: float, wish: np.ndarray) -> None:
    q, v = panda.home.copy(), np.zeros(7)
    q[1], v[2] = panda.upper[1] + away, speed
    asked, carrying, braking = guarded(panda, wish, q, v), panda.nonlinear_effects(q, v), hold_torque(panda, q, v)
    if q[1] >= panda.upper[1]:
        assert np.isnan(asked[1]) or asked[1] <= carrying[1]
    if abs(speed) > panda.velocity_limit[2]:
        assert np.isnan(asked[2]) or np.sign(speed) * (asked[2] - braking[2]) <= 0
    elif q[1] < panda.upper[1]:
        np.testing.assert_array_equal(asked, wish)


def test_a_speed_above_the_limit_is_said_once_it_lasts(panda: Arm) -> None:
    dt, watch = 0.005, SpeedWatch(panda)
    slow, fast = 0.999 * panda.velocity_limit, panda.velocity_limit.copy()
    fast[4] *= -1.01
    steps = round(MOMENT / dt)
    assert [watch(fast, dt) for _ in range(steps)] == [""] * steps
    assert watch(slow, dt) == ""  # from the beginning
    assert [watch(fast, dt) for _ in range(steps)] == [""] * steps
    assert watch(fast, dt) == "joint panda_joint5 at -2.64 rad/s is above its limit of 2.61"
    assert watch(slow, dt) == ""


def test_one_sample_above_the_limit_is_noise_however_slow_the_loop(panda: Arm) -> None:
    watch = SpeedWatch(panda)
    for _ in range(10):
        assert watch(2 * panda.velocity_limit, 0.05) == ""
        assert watch(0 * panda.velocity_limit, 0.05) == ""
    assert watch(2 * panda.velocity_limit, 0.05) == ""
    assert watch(2 * panda.velocity_limit, 0.05) != ""
