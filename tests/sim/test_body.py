"""What is said of a body holds in every physics engine, each against Pinocchio or against a law of mechanics.

Measured agreement is 1e-10 in Bullet for arms whose inertia tensors have off-diagonal entries, which it turns into principal
axes at the cost of some digits, and else 1e-14. The tolerance is 100 times wider.
"""

import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pinocchio as pin
import pytest
from dvp_mpc_sim.body import PAYLOAD, Body, plant_description

from dvp_mpc.errors import BadSetting, RunFailed, UnknownChoice
from dvp_mpc.problem.arm import Arm, load_arm
from dvp_mpc.problem.arms import ARMS

AGREEMENT = 1e-8
"""Relative to the largest entry, see above."""

MakePlant = Callable[..., Any]


def states(arm: Arm, rng: np.random.Generator, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(rng.uniform(arm.lower, arm.upper), rng.normal(size=7)) for _ in range(count)]


def assert_agree(ours: np.ndarray, truth: np.ndarray) -> None:
    np.testing.assert_allclose(ours, truth, rtol=0, atol=AGREEMENT * np.abs(truth).max() + 1e-12)


def acceleration(arm: Arm, q: np.ndarray, v: np.ndarray, applied: np.ndarray) -> np.ndarray:
    return np.array(pin.aba(arm.model, arm.model.createData(), q, v, applied))


def frame_jacobian(arm: Arm, q: np.ndarray, frame: str) -> np.ndarray:
    """(6, 7) of a frame's origin, in the axes of the world."""
    where = pin.LOCAL_WORLD_ALIGNED
    return np.array(pin.computeFrameJacobian(arm.model, arm.model.createData(), q, arm.model.getFrameId(frame), where))


def edited(arm: Arm, folder: Path, mass: np.ndarray, inertia: np.ndarray) -> Arm:
    """The arm that Pinocchio makes of the URDF with the n-th link that has mass made heavier, (n,) each."""
    tree = ET.parse(arm.urdf)
    heavy = [i for i in tree.iter("inertial") if float(i.find("mass").get("value")) > 0]
    for inertial, m, i in zip(heavy, mass, inertia, strict=False):
        inertial.find("mass").set("value", str(m * float(inertial.find("mass").get("value"))))
        tensor = inertial.find("inertia").attrib
        tensor.update({key: str(m * i * float(value)) for key, value in tensor.items()})
    tree.write(folder / "edited.urdf")
    return load_arm(str(folder / "edited.urdf"), tool_frame=arm.tool_frame, locked=arm.locked, armature=arm.armature)


def test_the_default_body_is_the_arm_of_the_controller(arm: Arm, make_plant: MakePlant) -> None:
    np.testing.assert_array_equal(Body().gravity_in_base, arm.model.gravity.linear)
    with make_plant(arm) as plant:
        for q, v in states(arm, np.random.default_rng(1), 20):
            plant.reset(q, v)
            assert_agree(plant.gravity_torque(q), arm.gravity_torque(q))
            assert_agree(plant.mass_matrix(q), arm.mass_matrix(q))
            np.testing.assert_allclose(plant.tool_in_world(), arm.tool_in_world(q), atol=1e-6)


def test_one_step_accelerates_as_pinocchio_with_torque_and_push(arm: Arm, make_plant: MakePlant) -> None:
    rng = np.random.default_rng(2)
    link = [frame.name for frame in arm.model.frames if frame.type == pin.BODY][-3]
    with make_plant(arm) as plant:
        for q, v in states(arm, rng, 10):
            torque, on_tool, on_link = rng.normal(size=7) * 5, rng.normal(size=6) * 10, rng.normal(size=6) * 10
            plant.reset(q, v)
            plant.step(torque, [(None, on_tool), (link, on_link)])
            q_next, v_next = plant.state()
            push = frame_jacobian(arm, q, arm.tool_frame).T @ on_tool + frame_jacobian(arm, q, link).T @ on_link
            truth = acceleration(arm, q, v, torque + push)
            np.testing.assert_allclose((v_next - v) / plant.dt, truth, atol=1e-7 * np.abs(truth).max())
            np.testing.assert_allclose(q_next, q + plant.dt * v_next, atol=1e-14)  # semi-implicit, no damping


def test_free_fall_is_pinocchios_with_the_same_integrator(arm: Arm, make_plant: MakePlant) -> None:
    q, v = arm.home.copy(), np.linspace(-1, 1, 7)
    with make_plant(arm) as plant:
        plant.reset(q, v)
        for _ in range(200):
            plant.step(np.zeros(7))
            v = v + plant.dt * acceleration(arm, q, v, np.zeros(7))
            q = q + plant.dt * v
        q_plant, v_plant = plant.state()
    assert np.abs(q - arm.home).max() > 0.1, "the arm fell"
    np.testing.assert_allclose(q_plant, q, atol=1e-8)
    np.testing.assert_allclose(v_plant, v, atol=1e-7)


def test_a_blow_on_any_link_becomes_momentum(arm: Arm, make_plant: MakePlant) -> None:
    """M v+ = J' p, for forces and for moments: of the tool, and of links on fixed joints, which MuJoCo has fused."""
    blow, q = np.array([1.0, -5.0, 2.0, 0.3, 0.2, -0.4]), arm.home
    _, root, *links = [frame for frame in arm.model.frames if frame.type in (pin.BODY, pin.FIXED_JOINT)]
    with make_plant(arm) as plant:
        for link in [None, *(frame.name for frame in links)]:
            for part in (blow * [1, 1, 1, 0, 0, 0], blow * [0, 0, 0, 1, 1, 1]):
                plant.reset(q)
                plant.step(arm.gravity_torque(q), [(link, part / plant.dt)])
                momentum = arm.mass_matrix(q) @ plant.state()[1]
                truth = frame_jacobian(arm, q, link or arm.tool_frame).T @ part
                np.testing.assert_allclose(momentum, truth, atol=1e-8, err_msg=str(link))
            plant.reset(q)
            data = arm.model.createData()
            pin.framesForwardKinematics(arm.model, data, q)
            place = data.oMf[arm.model.getFrameId(link or arm.tool_frame)].translation
            np.testing.assert_allclose(plant.link_in_world(link), place, atol=1e-6)
        with pytest.raises(UnknownChoice, match="link"):
            plant.step(np.zeros(7), [(root.name, blow)])


def test_push_ends_with_its_step(make_plant: MakePlant, panda: Arm) -> None:
    with make_plant(panda) as plant:
        plant.step(np.zeros(7), [(None, np.full(6, 30.0))])
        q, v = plant.state()
        plant.step(np.zeros(7))
        truth = acceleration(panda, q, v, np.zeros(7))
        np.testing.assert_allclose((plant.state()[1] - v) / plant.dt, truth, atol=1e-7 * np.abs(truth).max())


def test_no_end_stops_and_no_friction(make_plant: MakePlant, panda: Arm) -> None:
    with make_plant(panda) as plant:
        v = np.array([0, 0, 0, 0, 0, 0, 1.0])  # the last axis, near whose end stop nothing else moves the arm
        plant.reset(np.where(v > 0, panda.upper - 0.01, panda.home), v)
        for _ in range(100):
            q, v = plant.state()
            plant.step(panda.nonlinear_effects(q, v))
        assert plant.state()[0][6] > panda.upper[6] + 0.08
        assert plant.state()[1][6] == pytest.approx(1, abs=1e-3)


def test_gravity_compensation_at_rest_stays_at_rest(make_plant: MakePlant, panda: Arm) -> None:
    with make_plant(panda) as plant:
        for _ in range(1000):
            plant.step(panda.gravity_torque(plant.state()[0]))
        np.testing.assert_allclose(plant.state()[0], panda.home, atol=1e-8)


@pytest.mark.parametrize("centre", [(0.0, 0.0, 0.0), (0.03, -0.02, 0.1)])
def test_a_payload_is_a_sphere_at_its_centre(arm: Arm, make_plant: MakePlant, centre: tuple[float, ...]) -> None:
    mass, q = 1.7, arm.home
    J, R = frame_jacobian(arm, q, arm.tool_frame), arm.rotation_in_world(q)
    J[:3] -= pin.skew(R @ centre) @ J[3:]
    sphere = np.diag([mass] * 3 + [0.4 * mass * 0.04**2] * 3)
    with make_plant(arm, body=Body(payload=np.float64(mass), payload_in_tool=centre)) as plant:
        assert_agree(plant.gravity_torque(q), arm.gravity_torque(q) + J.T @ [0, 0, mass * 9.81, 0, 0, 0])
        assert_agree(plant.mass_matrix(q), arm.mass_matrix(q) + J.T @ sphere @ J)
        np.testing.assert_allclose(plant.tool_in_world(), arm.tool_in_world(q), atol=1e-6)
        with pytest.raises(UnknownChoice):
            plant.step(np.zeros(7), [(PAYLOAD, np.zeros(6))])


def test_a_payload_on_a_tool_that_is_named_by_its_joint(make_plant: MakePlant, panda: Arm) -> None:
    body = Body(payload=1.0)
    by_joint = load_arm("panda", tool_frame="panda_hand_tcp_joint")
    with make_plant(panda, body=body) as one, make_plant(by_joint, body=body) as other:
        np.testing.assert_array_equal(one.gravity_torque(panda.home), other.gravity_torque(panda.home))


def test_all_masses_times_a_factor(arm: Arm, make_plant: MakePlant) -> None:
    with make_plant(arm, body=Body(mass_factors=(1.2,))) as plant:
        assert_agree(plant.gravity_torque(arm.home), 1.2 * arm.gravity_torque(arm.home))
        rotors = np.diag(arm.armature)
        assert_agree(plant.mass_matrix(arm.home), 1.2 * (arm.mass_matrix(arm.home) - rotors) + rotors)


def test_each_mass_and_inertia_times_its_own_factor(arm: Arm, make_plant: MakePlant, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    mass, inertia = rng.uniform(0.7, 1.4, 40), np.tile([0.8, 1.5, 1.1], 14)
    truth = edited(arm, tmp_path, mass, inertia)
    body = Body(mass_factors=tuple(mass), inertia_factors=(0.8, 1.5, 1.1))
    with make_plant(arm, body=body) as plant:
        for q, _ in states(arm, rng, 3):
            assert_agree(plant.gravity_torque(q), truth.gravity_torque(q))
            assert_agree(plant.mass_matrix(q), truth.mass_matrix(q))


def test_inertia_alone_changes_no_gravity(make_plant: MakePlant, panda: Arm) -> None:
    with make_plant(panda, body=Body(inertia_factors=(1.5,))) as plant:
        assert_agree(plant.gravity_torque(panda.home), panda.gravity_torque(panda.home))
        more = plant.mass_matrix(panda.home) - panda.mass_matrix(panda.home)
        assert np.linalg.eigvalsh(more).min() > 0


def test_armature_adds_on_the_diagonal(make_plant: MakePlant, panda: Arm) -> None:
    with make_plant(panda, body=Body(armature_factors=(2.0, 0.5))) as plant:
        more = plant.mass_matrix(panda.home) - panda.mass_matrix(panda.home)
        np.testing.assert_allclose(more, np.diag(panda.armature * [1, -0.5, 1, -0.5, 1, -0.5, 1]), atol=1e-9)


def test_a_tilted_base_is_another_gravity(arm: Arm, make_plant: MakePlant) -> None:
    gravity = (2.0, -3.0, -9.0)
    model = arm.model.copy()
    model.gravity.linear = np.array(gravity)
    q, v = arm.home, np.linspace(-1, 1, 7)
    with make_plant(arm, body=Body(gravity_in_base=gravity)) as plant:
        assert_agree(plant.gravity_torque(q), pin.computeGeneralizedGravity(model, model.createData(), q))
        plant.reset(q, v)
        plant.step(np.zeros(7))
        truth = pin.aba(model, model.createData(), q, v, np.zeros(7))
        np.testing.assert_allclose((plant.state()[1] - v) / plant.dt, truth, atol=1e-7 * np.abs(truth).max())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("payload", -1.0),
        ("payload", np.inf),
        ("payload_in_tool", (0.0, 0.0)),
        ("payload_in_tool", (0.0, np.nan, 0.0)),
        ("mass_factors", (1.0, 0.0)),
        ("inertia_factors", (-1.0,)),
        ("armature_factors", (-0.1,)),
        ("coulomb", (np.nan,)),
        ("viscous", (1.0, -1.0)),
        ("gravity_in_base", (0.0, 0.0, 0.0, 9.81)),
    ],
)
def test_bad_fields_are_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(BadSetting, match=f"body.{field} = "):
        Body(**{field: value})


def test_a_body_of_arrays_is_one_of_tuples() -> None:
    assert Body(coulomb=np.ones(2), payload=1) == Body(coulomb=(1.0, 1.0), payload=1.0)
    assert hash(Body(mass_factors=[1.0])) == hash(Body(mass_factors=(1.0,)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_torque_that_is_not_finite_is_refused_by_name(make_plant: MakePlant, panda: Arm, bad: float) -> None:
    torque = np.zeros(7)
    torque[2] = bad
    with make_plant(panda) as plant, pytest.raises(RunFailed, match="panda_joint3"):
        plant.step(torque)


def test_wrong_requests_are_refused(make_plant: MakePlant, panda: Arm) -> None:
    with make_plant(panda) as plant:
        with pytest.raises(BadSetting, match="torque"):
            plant.step(np.zeros(6))
        with pytest.raises(UnknownChoice, match="panda_link4"):
            plant.step(np.zeros(7), [("elbow", np.zeros(6))])
    with pytest.raises(BadSetting, match="dt"):
        make_plant(panda, dt=0.0)


def test_the_description_has_no_meshes_unless_asked_for() -> None:
    for name in ARMS:
        description = plant_description(load_arm(name), Body(payload=1.0), visual=False)
        assert not list(description.iter("mesh"))
        assert not list(description.iter("visual"))
        assert not list(description.iter("collision"))
    drawn = plant_description(load_arm("iiwa"), Body(payload=1.0), visual=True)
    assert [s.get("radius") for s in drawn.iterfind(f"link[@name='{PAYLOAD}']/visual/geometry/sphere")] == ["0.04"]
