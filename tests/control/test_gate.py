"""The input gate: which samples are believed, and how soon a sensor that lies is found out."""

import numpy as np
import pytest

from dvp_mpc.control.gate import JUMP, RESYNC, Gate, Refusal
from dvp_mpc.problem.arm import Arm

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
        (0.5, HOME, REST, Refusal.REPEATED),
        (0.4, HOME, REST, Refusal.TIME),
        (10.5, HOME, REST, Refusal.TIME),
        (0.501, HOME, REST, None),
        (0.55, HOME, REST, None),
    ],
)
def test_gate(panda: Arm, t: float, q: np.ndarray, v: np.ndarray, reason: Refusal | None) -> None:
    gate = Gate(panda)
    assert gate(0.5, HOME, REST, 1e-3).refusal is None
    assert gate(t, q, v, 1e-3).refusal is reason


def test_gate_reports_what_the_stamps_say_beyond_the_steps(panda: Arm) -> None:
    gate = Gate(panda)
    gate(0.5, HOME, REST, 1e-3)
    assert gate(0.501, HOME, REST, 1e-3).late == pytest.approx(0, abs=1e-12)
    assert gate(0.541, HOME, REST, 1e-3).late == pytest.approx(0.039)


def test_gate_believes_posture_and_velocity_under_a_wrong_stamp_but_not_a_repeated_sample(panda: Arm) -> None:
    gate = Gate(panda)
    gate(0.5, HOME, REST, 1e-3)
    assert gate(0.5, HOME, REST, 1e-3).x is None
    np.testing.assert_array_equal(gate(7.0, HOME, REST, 1e-3).x, np.concatenate([HOME, REST]))


@pytest.mark.parametrize("step", [-5.0, 5.0, 3600.0, -3600.0])
def test_gate_takes_over_another_time_base_after_a_while_and_forgets_a_single_wild_stamp(
    panda: Arm, step: float
) -> None:
    gate = Gate(panda)
    for k in range(100):
        assert gate(k * 1e-3, HOME, REST, 1e-3).refusal is None
    assert gate(0.1 + step, HOME, REST, 1e-3).refusal is Refusal.TIME
    assert gate(0.101, HOME, REST, 1e-3).refusal is None
    refusals = [gate(0.102 + step + k * 1e-3, HOME, REST, 1e-3).refusal for k in range(400)]
    assert set(refusals[: round(RESYNC / 1e-3) - 1]) == {Refusal.TIME}
    assert set(refusals[round(RESYNC / 1e-3) :]) == {None}


def moving(k: int, speed: float = 0.3, period: float = 5e-3) -> tuple[float, np.ndarray, np.ndarray]:
    """Sample k of an arm whose first joint turns at a constant speed."""
    q, v = HOME.copy(), REST.copy()
    q[0], v[0] = speed * k * period, speed
    return k * period, q, v


def test_one_jump_is_ignored_and_a_jump_that_stays_is_an_alarm(panda: Arm) -> None:
    gate = Gate(panda)
    for k in range(20):
        assert gate(*moving(k), 5e-3)[0] is None
    t, q, v = moving(20)
    assert gate(t, q + 0.2, v, 5e-3).refusal is Refusal.JUMP
    assert gate(*moving(21), 5e-3) == (None, pytest.approx(np.concatenate(moving(21)[1:])), 0.0, "")
    verdicts = []
    for k in (22, 23, 24):
        t, q, v = moving(k)
        verdicts.append(gate(t, q + 0.2, v, 5e-3))
    assert [v.refusal for v in verdicts] == [Refusal.JUMP, None, None]
    assert [v.alarm for v in verdicts] == ["", "the state jumped", ""]


def test_two_jumps_that_contradict_each_other_are_both_ignored(panda: Arm) -> None:
    gate = Gate(panda)
    for k in range(5):
        gate(*moving(k), 5e-3)
    for k, away in ((5, 0.3), (6, -0.3), (7, 0.6)):
        t, q, v = moving(k)
        assert gate(t, q + away, v, 5e-3).refusal is Refusal.JUMP


@pytest.mark.parametrize("speed", [0.2, 1.0, -2.0])
def test_a_stuck_sensor_with_fresh_stamps_is_found_while_the_arm_moves(panda: Arm, speed: float) -> None:
    gate = Gate(panda)
    for k in range(40):
        assert gate(*moving(k, speed), 5e-3).refusal is None
    _, q, v = moving(40, speed)
    refusals = [gate(k * 5e-3, q, v, 5e-3).refusal for k in range(40, 60)]
    assert Refusal.DISAGREEMENT in refusals


def test_a_blow_is_no_disagreement(panda: Arm) -> None:
    """3 rad/s more from one sample to the next, then braking at the torque limit."""
    gate = Gate(panda)
    v, q = 0.0, 0.0
    for k in range(200):
        jolt = 3.0 if k == 50 else -0.1 if 50 < k <= 80 else 0.0
        q, v = q + 5e-3 * v + 5e-3 * jolt * 0.9, v + jolt  # the blow falls early in the period
        x, rate = HOME.copy(), REST.copy()
        x[0], rate[0] = q, v
        verdict = gate(k * 5e-3, x, rate, 5e-3)
        assert verdict.refusal is None
        assert verdict.alarm == ""


def test_after_a_gap_the_arm_may_be_elsewhere(panda: Arm) -> None:
    gate = Gate(panda)
    gate(*moving(0), 5e-3)
    t, q, v = moving(10)
    assert gate(t, q + JUMP + 0.9 * 2 * panda.velocity_limit[0] * 0.05, v, 0.05).refusal is None


def test_samples_of_uneven_age_are_no_disagreement(panda: Arm) -> None:
    """Polled every 5 ms, a sample may be fresh or 4 ms old; after a burst of losses the next gap is longer."""
    gate, rng = Gate(panda), np.random.default_rng(7)
    last = 0
    for k in range(1, 600):
        if rng.random() < 0.2:
            continue
        t, q, v = moving(1, 2.0, 5e-3 * k - rng.uniform(0, 0.004))
        assert gate(t, q, v, 5e-3 * (k - last)).refusal is None
        last = k
