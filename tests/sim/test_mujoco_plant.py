"""MujocoPlant where it is not like BulletPlant, and how far the two are apart."""

from pathlib import Path

import numpy as np
import pytest
from dvp_mpc_sim.body import Body
from dvp_mpc_sim.loop import Plant

from dvp_mpc.errors import RunFailed
from dvp_mpc.problem.arm import Arm, load_arm

pytest.importorskip("mujoco")
from dvp_mpc_sim.mujoco_plant import MujocoPlant

INERTIAS = {
    "payload": 1.3,
    "payload_in_tool": (0.01, 0.02, 0.05),
    "mass_factors": (1.1, 0.9, 1.2),
    "inertia_factors": (1.3, 0.8),
    "armature_factors": (1.2, 0.7),
    "gravity_in_base": (1.0, 2.0, -9.0),
}
DRY, WET = {"coulomb": (2.0, 1.0, 0.5)}, {"viscous": (1.0, 0.5, 0.3)}


def driven(plant: Plant, arm: Arm) -> tuple[np.ndarray, np.ndarray]:
    """Half a second of torques and pushes at random: q and v, (500, 7) each."""
    rng, rows = np.random.default_rng(5), []
    plant.reset(arm.home, np.linspace(-0.5, 0.5, 7))
    for _ in range(500):
        torque = arm.gravity_torque(arm.home) + rng.normal(size=7) * [10, 10, 5, 5, 2, 2, 1]
        plant.step(torque, [(None, 5 * rng.normal(size=6))])
        rows.append(plant.state())
    q, v = (np.array(column) for column in zip(*rows, strict=True))
    return q, v


# Measured over the six arms: 1e-10 rad and 1e-9 rad/s without dry friction; with it MuJoCo's constraint gives way by 1e-4,
# 1e-6 rad and 2e-5 rad/s; with both MuJoCo decides what sticks before the viscous share is taken off, 4e-5 rad, 5e-3 rad/s.
@pytest.mark.parametrize(
    ("body", "apart_q", "apart_v"),
    [
        (Body(), 1e-8, 1e-7),
        (Body(**INERTIAS), 1e-8, 1e-7),
        (Body(**INERTIAS, **WET), 1e-8, 1e-7),
        (Body(**INERTIAS, **DRY), 1e-5, 2e-4),
        (Body(**INERTIAS, **DRY, **WET), 3e-4, 3e-2),
    ],
    ids=["nominal", "inertias", "viscous", "dry", "both"],
)
def test_two_engines_move_one_body(arm: Arm, body: Body, apart_q: float, apart_v: float) -> None:
    pytest.importorskip("pybullet")
    from dvp_mpc_sim.bullet import BulletPlant

    with BulletPlant(arm, body=body) as bullet, MujocoPlant(arm, body=body) as mujoco:
        (q, v), (q_mujoco, v_mujoco) = driven(bullet, arm), driven(mujoco, arm)
    assert np.abs(q - arm.home).max() > 0.05, "the arm moved"
    np.testing.assert_allclose(q_mujoco, q, atol=apart_q)
    np.testing.assert_allclose(v_mujoco, v, atol=apart_v)


def test_a_run_is_repeatable_to_the_last_bit() -> None:
    """Also on the same plant: nothing of a run outlives a reset."""
    arm, body = load_arm("panda"), Body(**INERTIAS, **DRY, **WET)
    with MujocoPlant(arm, body=body) as one, MujocoPlant(arm, body=body) as other:
        first, again, elsewhere = driven(one, arm), driven(one, arm), driven(other, arm)
    np.testing.assert_array_equal(again, first)
    np.testing.assert_array_equal(elsewhere, first)


def test_questions_do_not_disturb_the_motion() -> None:
    arm = load_arm("xarm7")
    with MujocoPlant(arm) as asked, MujocoPlant(arm) as left_alone:
        for plant in (asked, left_alone):
            plant.step(np.zeros(7))
        asked.gravity_torque(arm.home + 0.3)
        asked.mass_matrix(arm.home - 0.3)
        for plant in (asked, left_alone):
            plant.step(np.zeros(7))
        np.testing.assert_array_equal(asked.state(), left_alone.state())


def test_joints_go_by_name(branched_arm: Arm) -> None:
    with MujocoPlant(branched_arm) as plant:
        assert plant._dof.tolist() != sorted(plant._dof), "here MuJoCo numbers the joints in another order"
        q = np.linspace(-0.6, 0.6, 7)
        plant.reset(q, 2 * q)
        np.testing.assert_array_equal(plant.state(), [q, 2 * q])


def test_the_state_is_the_callers_own() -> None:
    with MujocoPlant(load_arm("panda")) as plant:
        q, v = plant.state()
        before = q.copy(), v.copy()
        plant.step(np.zeros(7))
        np.testing.assert_array_equal((q, v), before)


def test_a_motion_that_diverges_is_no_silent_return_to_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # where MuJoCo leaves its log
    arm = load_arm("panda")
    with MujocoPlant(arm) as plant:
        plant.step(np.full(7, 1e300))
        with pytest.raises(RunFailed, match="diverged"):
            plant.step(np.full(7, 1e300))
        plant.reset(arm.home)
        plant.step(arm.gravity_torque(arm.home))
        assert np.abs(plant.state()[1]).max() < 1e-12


def test_an_inertia_that_no_solid_has_is_refused_with_mujocos_reason(branched_arm: Arm) -> None:
    text = branched_arm.urdf.read_text()
    branched_arm.urdf.write_text(text.replace('ixx="0.03"', 'ixx="0.3"'))
    with pytest.raises(RunFailed, match=r"cannot load .*inertia"):
        MujocoPlant(branched_arm)
