"""The limiter and the hold torque: what must be true whatever comes in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dvp_mpc.control.supervisor import HOLD_TIME, RESYNC, Gate, Limiter, Refusal, hold_torque, predict
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


HOME, REST = np.zeros(7), np.zeros(7)
HOME[3], HOME[5] = -1.0, 1.0


@pytest.mark.parametrize(
    ("t", "q", "v", "reason"),
    [
        (0.501, np.zeros(6), REST, Refusal.SHAPE),
        (0.501, HOME, np.zeros((7, 1)), Refusal.SHAPE),
        (None, HOME, REST, Refusal.SHAPE),
        (0.501, ["a"] * 7, REST, Refusal.SHAPE),
        (0.501, [[1], [2, 3]], REST, Refusal.SHAPE),
        (0.501, np.full(7, np.nan), REST, Refusal.NOT_FINITE),
        (0.501, HOME, np.full(7, np.inf), Refusal.NOT_FINITE),
        (np.nan, HOME, REST, Refusal.NOT_FINITE),
        (0.501, HOME + 100, REST, Refusal.RANGE),
        (0.501, HOME, np.full(7, 1e160), Refusal.RANGE),
        (0.5, HOME, REST, Refusal.TIME),
        (0.4, HOME, REST, Refusal.TIME),
        (10.5, HOME, REST, Refusal.TIME),
        (0.501, HOME, REST, None),
        (0.55, HOME, REST, None),
    ],
)
def test_gate(panda: Arm, t: float, q: np.ndarray, v: np.ndarray, reason: Refusal | None) -> None:
    gate = Gate(panda, 1e-3)
    assert gate(0.5, HOME, REST).refusal is None
    assert gate(t, q, v).refusal is reason


def test_gate_reports_what_the_stamps_say_beyond_the_steps(panda: Arm) -> None:
    gate = Gate(panda, 1e-3)
    gate(0.5, HOME, REST)
    assert gate(0.501, HOME, REST).late == pytest.approx(0, abs=1e-12)
    assert gate(0.541, HOME, REST).late == pytest.approx(0.039)


def test_gate_believes_posture_and_velocity_under_a_wrong_stamp_but_not_a_repeated_sample(panda: Arm) -> None:
    gate = Gate(panda, 1e-3)
    gate(0.5, HOME, REST)
    assert gate(0.5, HOME, REST).x is None
    np.testing.assert_array_equal(gate(7.0, HOME, REST).x, np.concatenate([HOME, REST]))


@pytest.mark.parametrize("step", [-5.0, 5.0, 3600.0, -3600.0])
def test_gate_takes_over_another_time_base_after_a_while_and_forgets_a_single_wild_stamp(
    panda: Arm, step: float
) -> None:
    gate = Gate(panda, 1e-3)
    for k in range(100):
        assert gate(k * 1e-3, HOME, REST).refusal is None
    assert gate(0.1 + step, HOME, REST).refusal is Refusal.TIME
    assert gate(0.101, HOME, REST).refusal is None
    refusals = [gate(0.102 + step + k * 1e-3, HOME, REST).refusal for k in range(400)]
    assert set(refusals[: round(RESYNC / 1e-3) - 1]) == {Refusal.TIME}
    assert set(refusals[round(RESYNC / 1e-3) :]) == {None}
