"""BulletPlant against Pinocchio: two engines that read one URDF must move the same arm.

Measured agreement is 1e-10 for arms whose inertia tensors have off-diagonal entries, which Bullet turns into principal
axes at the cost of some digits, and 1e-14 for the iiwa, whose tensors are diagonal. The tolerance is 100 times wider.
"""

import sys
from pathlib import Path

import numpy as np
import pinocchio as pin
import pytest

from dvp_mpc.errors import BadSetting, RunFailed, UnknownChoice
from dvp_mpc.problem.arm import ARMS, Arm, load_arm

p = pytest.importorskip("pybullet")
from dvp_mpc_sim.bullet import BulletPlant, bullet_description  # noqa: E402

AGREEMENT = 1e-8
"""Relative to the largest entry, see above."""

BRANCHED = """<robot name="branched">
  <link name="base"/>
  {links}
  {joints}
</robot>"""
LINK = """<link name="{name}"><visual><geometry><mesh filename="package://nowhere/{name}.stl"/></geometry></visual>
  <inertial><origin xyz="0.02 0.01 {z}" rpy="0.3 -0.2 0.5"/><mass value="{mass}"/>
    <inertia ixx="0.03" iyy="0.02" izz="0.015" ixy="0.002" ixz="-0.001" iyz="0.003"/></inertial></link>"""
JOINT = """<joint name="{name}" type="{type}"><parent link="{parent}"/><child link="{child}"/>
  <origin xyz="0.01 0.02 0.2" rpy="{rpy}"/><axis xyz="{axis}"/>
  <limit lower="-2" upper="2" effort="50" velocity="3"/><dynamics damping="2" friction="1"/></joint>"""


def branched_arm(folder: Path) -> Arm:
    """A torso with two branches that the two engines number differently, and with two joints to lock."""
    # name, type, parent, child, rpy, axis; the file names the branch z before the branch a.
    table = [
        ("j_torso", "revolute", "base", "torso", "0 0 0", "0 0 1"),
        ("j_z1", "revolute", "torso", "z1", "0.4 0 0", "0 1 0"),
        ("j_z_turned", "revolute", "z1", "zt", "0.3 0.2 0.1", "3 0 4"),
        ("j_z2", "revolute", "zt", "z2", "0 0.7 0", "1 0 0"),
        ("j_z3", "revolute", "z2", "z3", "0 0 0", "0 0 1"),
        ("j_a1", "revolute", "torso", "a1", "-0.4 0 0.3", "0 1 0"),
        ("j_a_slid", "prismatic", "a1", "as", "0.5 0 0", "0 0.6 0.8"),
        ("j_a2", "revolute", "as", "a2", "0 0 0.2", "1 0 0"),
        ("j_a3", "revolute", "a2", "a3", "0 0.3 0", "0 0 1"),
    ]
    links = "".join(LINK.format(name=row[3], z=0.05 + 0.01 * i, mass=1 + 0.3 * i) for i, row in enumerate(table))
    keys = ("name", "type", "parent", "child", "rpy", "axis")
    joints = "".join(JOINT.format(**dict(zip(keys, row, strict=True))) for row in table)
    urdf = folder / "branched.urdf"
    urdf.write_text(BRANCHED.format(links=links, joints=joints))
    return load_arm(str(urdf), tool_frame="z3", locked={"j_z_turned": 0.7, "j_a_slid": 0.15})


@pytest.fixture(params=[*ARMS, "fingers open", "branched"])
def arm(request: pytest.FixtureRequest, tmp_path: Path) -> Arm:
    if request.param == "branched":
        return branched_arm(tmp_path)
    if request.param == "fingers open":
        return load_arm("panda", locked={"panda_finger_joint1": 0.04, "panda_finger_joint2": 0.03})
    return load_arm(request.param)


def states(arm: Arm, rng: np.random.Generator, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(rng.uniform(arm.lower, arm.upper), rng.normal(size=7)) for _ in range(count)]


def assert_agree(ours: np.ndarray, truth: np.ndarray) -> None:
    np.testing.assert_allclose(ours, truth, rtol=0, atol=AGREEMENT * np.abs(truth).max() + 1e-12)


def pinocchio_acceleration(arm: Arm, q: np.ndarray, v: np.ndarray, applied: np.ndarray) -> np.ndarray:
    return np.array(pin.aba(arm.model, arm.model.createData(), q, v, applied))


def frame_jacobian(arm: Arm, q: np.ndarray, frame: str) -> np.ndarray:
    """(6, 7) of a frame's origin, in the axes of the world."""
    where = pin.LOCAL_WORLD_ALIGNED
    return np.array(pin.computeFrameJacobian(arm.model, arm.model.createData(), q, arm.model.getFrameId(frame), where))


def test_gravity_mass_and_tool_are_pinocchios(arm: Arm) -> None:
    with BulletPlant(arm) as plant:
        for q, v in states(arm, np.random.default_rng(1), 20):
            plant.reset(q, v)
            assert_agree(plant.gravity_torque(q), arm.gravity_torque(q))
            assert_agree(plant.mass_matrix(q), arm.mass_matrix(q))
            np.testing.assert_allclose(plant.tool_in_world(), arm.tool_in_world(q), atol=1e-6)


def test_one_step_accelerates_as_pinocchio_with_torque_and_push(arm: Arm) -> None:
    rng = np.random.default_rng(2)
    link = [frame.name for frame in arm.model.frames if frame.type == pin.BODY][-3]
    with BulletPlant(arm) as plant:
        for q, v in states(arm, rng, 10):
            torque, on_tool, on_link = rng.normal(size=7) * 5, rng.normal(size=6) * 10, rng.normal(size=6) * 10
            plant.reset(q, v)
            plant.step(torque, [(None, on_tool), (link, on_link)])
            q_next, v_next = plant.state()
            push = frame_jacobian(arm, q, arm.tool_frame).T @ on_tool + frame_jacobian(arm, q, link).T @ on_link
            truth = pinocchio_acceleration(arm, q, v, torque + push)
            np.testing.assert_allclose((v_next - v) / plant.dt, truth, atol=1e-7 * np.abs(truth).max())
            np.testing.assert_allclose(q_next, q + plant.dt * v_next, atol=1e-14)  # semi-implicit, no damping


def test_push_agrees_with_bullets_own_external_force() -> None:
    arm, force = load_arm("talos_arm"), np.array([3.0, -20.0, 8.0])  # a tool whose centre of mass is off its origin
    with BulletPlant(arm) as ours, BulletPlant(arm) as bullets:
        ours.step(np.zeros(7), [(None, np.concatenate([force, np.zeros(3)]))])
        index, point = bullets._link_index(None), bullets.tool_in_world().tolist()
        client = bullets._client
        p.applyExternalForce(bullets._body, index, force.tolist(), point, p.WORLD_FRAME, physicsClientId=client)
        # Bullet alone has no rotor inertia: take its acceleration as the answer of the arm without armature.
        p.stepSimulation(physicsClientId=client)
        q, push = arm.home, frame_jacobian(arm, arm.home, arm.tool_frame)[:3].T @ force
        M = arm.mass_matrix(q)
        bare = np.linalg.solve(M - np.diag(arm.armature), push - arm.gravity_torque(q))
        np.testing.assert_allclose(bullets.state()[1] / bullets.dt, bare, atol=1e-5 * np.abs(bare).max())
        np.testing.assert_allclose(M @ ours.state()[1] / ours.dt, push - arm.gravity_torque(q), atol=1e-6)


def test_impulse_becomes_momentum() -> None:
    arm, impulse = load_arm("panda"), np.array([1.0, -5.0, 2.0, 0, 0, 0])
    with BulletPlant(arm) as plant:
        plant.step(arm.gravity_torque(arm.home), [(None, impulse / plant.dt)])
        momentum = arm.mass_matrix(arm.home) @ plant.state()[1]
        np.testing.assert_allclose(momentum, frame_jacobian(arm, arm.home, arm.tool_frame).T @ impulse, atol=1e-8)


def test_push_ends_with_its_step() -> None:
    arm = load_arm("panda")
    with BulletPlant(arm) as plant:
        plant.step(np.zeros(7), [(None, np.full(6, 30.0))])
        q, v = plant.state()
        plant.step(np.zeros(7))
        truth = pinocchio_acceleration(arm, q, v, np.zeros(7))
        np.testing.assert_allclose((plant.state()[1] - v) / plant.dt, truth, atol=1e-7 * np.abs(truth).max())


def test_free_fall_is_pinocchios_with_the_same_integrator(arm: Arm) -> None:
    q, v = arm.home.copy(), np.linspace(-1, 1, 7)
    with BulletPlant(arm) as plant:
        plant.reset(q, v)
        for _ in range(200):
            plant.step(np.zeros(7))
            v = v + plant.dt * pinocchio_acceleration(arm, q, v, np.zeros(7))
            q = q + plant.dt * v
        q_bullet, v_bullet = plant.state()
    assert np.abs(q - arm.home).max() > 0.1, "the arm fell"
    np.testing.assert_allclose(q_bullet, q, atol=1e-8)
    np.testing.assert_allclose(v_bullet, v, atol=1e-7)


def test_armature_matters() -> None:
    """The tests above could not fail if the rotor inertia were small."""
    arm = load_arm("panda")
    bare = arm.model.copy()
    bare.armature = np.zeros(7)
    rest = np.zeros(7)
    with_rotors = pinocchio_acceleration(arm, arm.home, rest, rest)
    assert np.abs(pin.aba(bare, bare.createData(), arm.home, rest, rest) - with_rotors).max() > 1.0


def test_joints_go_by_name(tmp_path: Path) -> None:
    arm = branched_arm(tmp_path)
    with BulletPlant(arm) as plant:
        names = [p.getJointInfo(plant._body, i, physicsClientId=plant._client)[1].decode() for i in plant._joints]
        assert names == list(arm.joint_names)
        assert plant._joints != sorted(plant._joints), "here Bullet numbers the joints in another order"
        q = np.linspace(-0.6, 0.6, 7)
        plant.reset(q, 2 * q)
        np.testing.assert_array_equal(plant.state(), [q, 2 * q])


def test_no_end_stops_and_no_friction() -> None:
    arm = load_arm("panda")
    with BulletPlant(arm) as plant:
        v = np.array([0, 0, 0, 0, 0, 0, 1.0])  # the last axis, near whose end stop nothing else moves the arm
        plant.reset(np.where(v > 0, arm.upper - 0.01, arm.home), v)
        for _ in range(100):
            q, v = plant.state()
            plant.step(arm.nonlinear_effects(q, v))
        assert plant.state()[0][6] > arm.upper[6] + 0.08
        assert plant.state()[1][6] == pytest.approx(1, abs=1e-3)


def test_gravity_compensation_at_rest_stays_at_rest() -> None:
    arm = load_arm("panda")
    with BulletPlant(arm) as plant:
        for _ in range(1000):
            plant.step(arm.gravity_torque(plant.state()[0]))
        np.testing.assert_allclose(plant.state()[0], arm.home, atol=1e-8)


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


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_torque_that_is_not_finite_is_refused_by_name(bad: float) -> None:
    torque = np.zeros(7)
    torque[2] = bad
    with BulletPlant(load_arm("panda")) as plant, pytest.raises(RunFailed, match="panda_joint3"):
        plant.step(torque)


@pytest.mark.skipif(sys.platform != "linux", reason="DISPLAY is a matter of X")
def test_window_without_a_display_is_refused_and_does_not_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(RunFailed, match="DISPLAY"):
        BulletPlant(load_arm("iiwa"), gui=True)


def test_wrong_requests_are_refused() -> None:
    arm = load_arm("panda")
    with BulletPlant(arm) as plant:
        with pytest.raises(BadSetting, match="torque"):
            plant.step(np.zeros(6))
        with pytest.raises(UnknownChoice, match="panda_link4"):
            plant.step(np.zeros(7), [("elbow", np.zeros(6))])
        with pytest.raises(BadSetting, match="visual=True"):
            plant.render()
    with pytest.raises(BadSetting, match="dt"):
        BulletPlant(arm, dt=0.0)


def test_physics_only_reads_no_mesh() -> None:
    for name in ARMS:
        description = bullet_description(load_arm(name), visual=False)
        assert not list(description.iter("mesh"))
        assert not list(description.iter("collision"))


def test_arm_is_in_the_picture(arm: Arm) -> None:
    """Meshes are found and drawn; where there are none, as in the branched arm, spheres stand in."""
    with BulletPlant(arm, visual=True) as plant:
        picture = plant.render(160, 120, antialias=1)
        p.removeBody(plant._body, physicsClientId=plant._client)
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
