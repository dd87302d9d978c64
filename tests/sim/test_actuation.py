"""Motors: what each error does to a torque, and nothing else."""

import numpy as np
import pytest
from dvp_mpc_sim.actuation import Actuation

from dvp_mpc.errors import BadSetting
from dvp_mpc.problem.arm import Arm

REST = np.zeros(7)


def through(actuation: Actuation, arm: Arm, torques: list[np.ndarray]) -> np.ndarray:
    motors = actuation.motors(arm, 1e-3)
    return np.array([motors(torque, REST, REST) for torque in torques])


def test_ideal_motors_give_what_is_asked(panda: Arm) -> None:
    asked = [np.linspace(-200, 200, 7) * np.sin(k) for k in range(20)]
    np.testing.assert_array_equal(through(Actuation(), panda, asked), asked)


def test_slow_motors_climb_at_their_rate_and_arrive(panda: Arm) -> None:
    given = through(Actuation(rate=500.0), panda, [REST] + 20 * [np.full(7, 4.0)])
    np.testing.assert_allclose(np.diff(given[:9], axis=0), 0.5)
    np.testing.assert_array_equal(given[9:], np.full((12, 7), 4.0))


def test_weak_motors_saturate_at_their_share_and_come_back_at_once(panda: Arm) -> None:
    given = through(Actuation(share=0.5), panda, [np.full(7, 1e3), np.ones(7)])
    np.testing.assert_array_equal(given, [panda.torque_limit / 2, np.ones(7)])


def test_bias_is_added_after_all_limits(panda: Arm) -> None:
    bias = tuple(range(7))
    given = through(Actuation(bias=bias, share=0.5), panda, [np.full(7, 1e3)])
    np.testing.assert_array_equal(given[0], panda.torque_limit / 2 + bias)


def test_noise_has_its_spread_and_comes_from_the_seed(panda: Arm) -> None:
    one, same, other = (through(Actuation(noise=0.3, seed=s), panda, 3000 * [REST]) for s in (1, 1, 2))
    np.testing.assert_allclose(one.std(axis=0), 0.3, rtol=0.07)
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)


@pytest.mark.parametrize("field", ["delay", "noise", "rate", "share"])
@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_bad_settings_are_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(BadSetting, match=f"actuation.{field}"):
        Actuation(**{field: value})
