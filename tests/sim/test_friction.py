"""Friction of a body, as every physics engine shows it: it holds, it takes power, and it never gives any."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from dvp_mpc_sim.body import Body, friction_torque

from dvp_mpc.problem.arm import Arm

FLOATING = {"gravity_in_base": (0.0, 0.0, 0.0)}
SIGNS = np.array([1, -1, 1, 1, -1, 1, -1])

MakePlant = Callable[..., Any]


def test_dry_friction_holds_the_arm_below_its_limit(arm: Arm, make_plant: MakePlant) -> None:
    """Against gravity's remainder and a load of 0.9 of its limit: no creep in Bullet, a known one in MuJoCo."""
    load, q = 0.9 * 2.0 * SIGNS, arm.home
    creep = 1e-4 * 1e-3 * np.linalg.inv(arm.mass_matrix(q)).diagonal() * np.abs(load)  # [rad/s], see mujoco_plant.py
    allowed = 1.1 * creep.max() if "mujoco" in make_plant.__module__ else 1e-12
    with make_plant(arm, body=Body(coulomb=(2.0,))) as plant:
        fastest = 0.0
        for _ in range(500):
            plant.step(arm.gravity_torque(q) + load)
            fastest = max(fastest, np.abs(plant.state()[1]).max())
        assert fastest < allowed


def test_above_its_limit_a_joint_accelerates_by_the_difference(arm: Arm, make_plant: MakePlant) -> None:
    q, M = arm.home, arm.mass_matrix(arm.home)
    with make_plant(arm, body=Body(coulomb=(3.0,))) as plant:
        for i in range(7):
            plant.reset(q)
            plant.step(arm.gravity_torque(q) + 4.0 * np.eye(7)[i])
            truth = np.eye(7)[i] * plant.dt * 1.0 / M[i, i]  # the other joints hold
            np.testing.assert_allclose(plant.state()[1], truth, atol=1e-3 * truth.max())


def test_sliding_and_viscous_friction_in_one_step(arm: Arm, make_plant: MakePlant) -> None:
    coulomb, viscous = np.linspace(1, 3, 7), np.linspace(2, 0.5, 7)
    v = 0.5 * SIGNS
    with make_plant(arm, body=Body(coulomb=tuple(coulomb), viscous=tuple(viscous))) as plant:
        plant.reset(arm.home, v)
        plant.step(np.zeros(7))
        v_next = plant.state()[1]
        assert (np.sign(v_next) == SIGNS).all()
        net = -arm.nonlinear_effects(arm.home, v) - coulomb * SIGNS - viscous * v_next
        np.testing.assert_allclose(arm.mass_matrix(arm.home) @ (v_next - v) / plant.dt, net, atol=1e-6)


@pytest.mark.parametrize(("coulomb", "viscous"), [(1.0, 0.0), (0.0, 2.0), (0.5, 1.0)])
def test_friction_takes_power(make_plant: MakePlant, panda: Arm, coulomb: float, viscous: float) -> None:
    """The kinetic energy of a floating arm falls by c |v| + B v^2 per time."""

    def energy(q: np.ndarray, v: np.ndarray) -> float:
        return float(v @ panda.mass_matrix(q) @ v / 2)

    with make_plant(panda, body=Body(coulomb=(coulomb,), viscous=(viscous,), **FLOATING)) as plant:
        plant.reset(panda.home, 0.8 * SIGNS)
        before, lost = energy(*plant.state()), 0.0
        for _ in range(200):
            speed = np.abs(plant.state()[1])
            plant.step(np.zeros(7))
            middle = (speed + np.abs(plant.state()[1])) / 2
            lost += plant.dt * float(coulomb * middle.sum() + viscous * middle @ middle)
        assert lost > 0.2 * before
        assert before - energy(*plant.state()) == pytest.approx(lost, rel=0.02)
        for _ in range(4000 if coulomb else 0):
            plant.step(np.zeros(7))
        assert not coulomb or np.abs(plant.state()[1]).max() < 1e-9, "dry friction stops the arm, and in finite time"


def test_viscous_friction_is_stable_beyond_any_step(make_plant: MakePlant, panda: Arm) -> None:
    with make_plant(panda, body=Body(viscous=(1e5,), **FLOATING)) as plant:
        plant.reset(panda.home, SIGNS)
        for _ in range(10):
            plant.step(np.zeros(7))
        assert np.abs(plant.state()[1]).max() < 1e-6


def test_the_law_of_friction_is_kept(arm: Arm) -> None:
    """|f| <= c; a joint that moves is opposed by all of c, one that is opposed by less stands."""
    rng, dt = np.random.default_rng(4), 1e-3
    held = slid = 0
    for _ in range(200):
        q, v = rng.uniform(arm.lower, arm.upper), rng.normal(size=7)
        M, net, viscous = arm.mass_matrix(q), 5 * rng.normal(size=7), rng.uniform(0, 2, 7)
        v, coulomb = v * rng.choice([0.0, 1e-3, 1e-2, 1.0]), rng.uniform(0, 5, 7) * rng.choice([0, 1], 7)
        friction = friction_torque(M, v, net, coulomb, viscous, dt)
        v_next = v + dt * np.linalg.solve(M, net + friction)
        f = friction + viscous * v_next
        stands = np.abs(f) < coulomb - 1e-6
        assert (np.abs(f) <= coulomb + 1e-9).all()
        assert (np.abs(v_next[stands]) < 1e-9).all()
        assert (f[~stands] * v_next[~stands] <= 1e-9).all()
        held, slid = held + stands.sum(), slid + (~stands & (coulomb > 0)).sum()
    assert min(held, slid) > 100, "both kinds were met"
