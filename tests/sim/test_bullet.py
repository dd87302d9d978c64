"""BulletPlant where it is not like other plants; what holds for all of them is in test_body.py."""

import sys

import numpy as np
import pinocchio as pin
import pytest

from dvp_mpc.errors import BadSetting, RunFailed
from dvp_mpc.problem.arm import Arm, load_arm

p = pytest.importorskip("pybullet")
from dvp_mpc_sim.bullet import BulletPlant  # noqa: E402


def pinocchio_acceleration(arm: Arm, q: np.ndarray, v: np.ndarray, applied: np.ndarray) -> np.ndarray:
    return np.array(pin.aba(arm.model, arm.model.createData(), q, v, applied))


def frame_jacobian(arm: Arm, q: np.ndarray, frame: str) -> np.ndarray:
    """(6, 7) of a frame's origin, in the axes of the world."""
    where = pin.LOCAL_WORLD_ALIGNED
    return np.array(pin.computeFrameJacobian(arm.model, arm.model.createData(), q, arm.model.getFrameId(frame), where))


def test_push_agrees_with_bullets_own_external_force() -> None:
    arm, force = load_arm("talos_arm"), np.array([3.0, -20.0, 8.0])  # a tool whose centre of mass is off its origin
    with BulletPlant(arm) as ours, BulletPlant(arm) as bullets:
        ours.step(np.zeros(7), [(None, np.concatenate([force, np.zeros(3)]))])
        index, point = bullets._link_index(None), bullets.tool_in_world().tolist()
        client = bullets._client
        p.applyExternalForce(bullets._robot, index, force.tolist(), point, p.WORLD_FRAME, physicsClientId=client)
        # Bullet alone has no rotor inertia: take its acceleration as the answer of the arm without armature.
        p.stepSimulation(physicsClientId=client)
        q, push = arm.home, frame_jacobian(arm, arm.home, arm.tool_frame)[:3].T @ force
        M = arm.mass_matrix(q)
        bare = np.linalg.solve(M - np.diag(arm.armature), push - arm.gravity_torque(q))
        np.testing.assert_allclose(bullets.state()[1] / bullets.dt, bare, atol=1e-5 * np.abs(bare).max())
        np.testing.assert_allclose(M @ ours.state()[1] / ours.dt, push - arm.gravity_torque(q), atol=1e-6)


def test_armature_matters() -> None:
    """The tests of plants against Pinocchio could not fail if the rotor inertia were small."""
    arm = load_arm("panda")
    bare = arm.model.copy()
    bare.armature = np.zeros(7)
    rest = np.zeros(7)
    with_rotors = pinocchio_acceleration(arm, arm.home, rest, rest)
    assert np.abs(pin.aba(bare, bare.createData(), arm.home, rest, rest) - with_rotors).max() > 1.0


def test_joints_go_by_name(branched_arm: Arm) -> None:
    with BulletPlant(branched_arm) as plant:
        names = [p.getJointInfo(plant._robot, i, physicsClientId=plant._client)[1].decode() for i in plant._joints]
        assert names == list(branched_arm.joint_names)
        assert plant._joints != sorted(plant._joints), "here Bullet numbers the joints in another order"
        q = np.linspace(-0.6, 0.6, 7)
        plant.reset(q, 2 * q)
        np.testing.assert_array_equal(plant.state(), [q, 2 * q])


def test_plants_live_apart() -> None:
    arm = load_arm("iiwa")
    with BulletPlant(arm) as one, BulletPlant(arm, dt=2e-3) as other:
        one.step(np.full(7, 10.0))
        np.testing.assert_array_equal(other.state(), [arm.home, np.zeros(7)])
        assert one.state()[1].any()


def test_closed_plant_frees_its_client() -> None:
    with BulletPlant(load_arm("iiwa")) as plant:
        client = plant._client
    assert not p.isConnected(client)
    plant.close()


@pytest.mark.skipif(sys.platform != "linux", reason="DISPLAY is a matter of X")
def test_window_without_a_display_is_refused_and_does_not_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(RunFailed, match="DISPLAY"):
        BulletPlant(load_arm("iiwa"), gui=True)


def test_a_plant_without_visuals_draws_nothing(panda: Arm) -> None:
    with BulletPlant(panda) as plant, pytest.raises(BadSetting, match="visual=True"):
        plant.render()


def test_arm_is_in_the_picture(arm: Arm) -> None:
    """Meshes are found and drawn; where there are none, as in the branched arm, spheres stand in."""
    with BulletPlant(arm, visual=True) as plant:
        picture = plant.render(160, 120, antialias=1)
        p.removeBody(plant._robot, physicsClientId=plant._client)
        empty = plant._scene.picture(160, 120, antialias=1) if plant._scene else picture
    assert picture.shape == (120, 160, 3)
    assert picture.dtype == np.uint8
    changed = (np.abs(picture.astype(int) - empty).max(axis=2) > 20).mean()
    assert 0.005 < changed < 0.6


def test_goal_and_push_are_in_the_picture() -> None:
    arm = load_arm("iiwa")
    with BulletPlant(arm, visual=True) as plant:
        bare = plant.render(160, 120, antialias=1).astype(int)
        plant.show_goal(plant.tool_in_world() + np.array([0.2, -0.3, 0.1]))
        with_goal = plant.render(160, 120, antialias=1).astype(int)
        plant.step(arm.gravity_torque(arm.home), [(None, np.array([0, -50.0, 0, 0, 0, 0]))])
        with_push = plant.render(160, 120, antialias=1).astype(int)
        plant.step(arm.gravity_torque(arm.home), [(None, np.zeros(6))])
        after = plant.render(160, 120, antialias=1).astype(int)

    def orange(picture: np.ndarray) -> int:
        return int(((picture[..., 0] - picture[..., 2] > 80) & (picture[..., 1] > picture[..., 2] + 15)).sum())

    def crimson(picture: np.ndarray) -> int:
        return int(((picture[..., 0] - picture[..., 1] > 80) & (picture[..., 1] < picture[..., 2])).sum())

    assert orange(bare) == 0
    assert orange(with_goal) > 10
    assert crimson(with_goal) == 0
    assert crimson(with_push) > 10
    assert crimson(after) == 0
