"""Arms: what is read from a robot description, and what is refused."""

import pickle
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dvp_mpc.errors import ArmError, BadSetting, UnknownChoice
from dvp_mpc.problem.arm import Arm, load_arm
from dvp_mpc.problem.arms import ARMS, DOF

LINK = '<link name="{}"><inertial><mass value="1"/><inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/></inertial></link>'
JOINT = """<joint name="j{0}" type="{type}"><parent link="l{0}"/><child link="l{1}"/><origin xyz="0 0 0.1"/>
  <axis xyz="{axis}"/>{limit}</joint>"""
LIMIT = '<limit lower="-1" upper="1" effort="10" velocity="2"/>'


def write_chain(folder: Path, joints: int = DOF, third: str = "revolute", third_limit: str = LIMIT) -> str:
    """A chain of links l0, l1, ... whose third joint is special; the path of its URDF."""
    links = "".join(LINK.format(f"l{i}") for i in range(joints + 1))
    rows = []
    for i in range(joints):
        special = i == 2
        axis, kind = ("0 0 1", "0 1 0")[i % 2], third if special else "revolute"
        rows.append(JOINT.format(i, i + 1, type=kind, axis=axis, limit=third_limit if special else LIMIT))
    path = folder / "chain.urdf"
    path.write_text(f'<robot name="chain">{links}{"".join(rows)}</robot>')
    return str(path)


def load_or_skip(name: str) -> Arm:
    if name == "iiwa":
        pytest.importorskip("pybullet_data")
    return load_arm(name)


@pytest.mark.parametrize("name", ARMS)
def test_every_arm_loads(name: str) -> None:
    arm = load_or_skip(name)
    assert len(arm.joint_names) == DOF
    assert arm.joint_names == tuple(arm.model.names[i] for i in range(1, DOF + 1))  # the order of Pinocchio's vectors
    assert arm.model.nq == arm.model.nv == DOF
    for limit in (arm.velocity_limit, arm.torque_limit, arm.upper - arm.lower):
        assert limit.shape == (DOF,)
        assert np.isfinite(limit).all()
        assert (limit > 0).all()
    assert (arm.home >= arm.lower).all()
    assert (arm.home <= arm.upper).all()
    assert np.array_equal(arm.armature, ARMS[name].armature)
    assert arm.model.frames[arm.tool_id].name == ARMS[name].tool_frame


def test_joint_order_is_that_of_the_description(panda: Arm) -> None:
    assert panda.joint_names == tuple(f"panda_joint{i}" for i in range(1, 8))
    assert panda.torque_limit == pytest.approx([87] * 4 + [12] * 3)  # Franka's data sheet


def test_mass_matrix_has_the_armature(panda: Arm) -> None:
    bare = panda.model.copy()
    bare.armature = np.zeros(DOF)
    without = Arm("bare", bare, panda.urdf, panda.tool_frame, panda.home, {})
    difference = panda.mass_matrix(panda.home) - without.mass_matrix(panda.home)
    assert difference == pytest.approx(np.diag(panda.armature), abs=1e-12)  # rounding of sums of order 1


def test_any_urdf_by_path() -> None:
    named = load_arm("xarm7")
    arm = load_arm(str(named.urdf), tool_frame="link5")
    assert arm.joint_names == named.joint_names
    assert arm.tool_frame == "link5"
    assert not np.allclose(arm.tool_in_world(named.home), named.tool_in_world(named.home), atol=0.01)


def test_arm_by_path_goes_by_its_robots_name(tmp_path: Path) -> None:
    arm = load_arm(write_chain(tmp_path), tool_frame="l7", home=np.full(DOF, 0.5), armature=[0.2] * DOF)
    assert arm.name == "chain"
    assert arm.home == pytest.approx(0.5)
    assert arm.armature == pytest.approx(0.2)


@pytest.mark.parametrize("field", ["home", "armature"])
@pytest.mark.parametrize("numbers", [[0.1] * 6, [0.1] * 6 + [np.nan], []])
def test_home_and_armature_are_seven_numbers(field: str, numbers: list[float]) -> None:
    with pytest.raises(BadSetting, match=f"{field} = .*7 finite numbers"):
        load_arm("panda", **{field: numbers})  # type: ignore[arg-type]


def test_negative_armature() -> None:
    with pytest.raises(BadSetting, match=r"armature = .*none negative"):
        load_arm("panda", armature=[-0.1] * DOF)


def test_locked_joint_is_held_where_it_was_asked_to_be(panda: Arm) -> None:
    open_hand = load_arm("panda", tool_frame="panda_leftfinger", locked=dict.fromkeys(panda.locked, 0.04))
    shut_hand = load_arm("panda", tool_frame="panda_leftfinger")
    apart = np.linalg.norm(open_hand.tool_in_world(panda.home) - shut_hand.tool_in_world(panda.home))
    assert apart == pytest.approx(0.04, abs=1e-9)  # a sliding joint: the finger moves by just as much


@pytest.mark.parametrize("name", ["nobody", "panda.xml", ""])
def test_unknown_arm(name: str) -> None:
    with pytest.raises(UnknownChoice, match="panda, xarm7, talos_arm, iiwa") as error:
        load_arm(name)
    assert (error.value.field, error.value.value) == ("arm", name)


@pytest.mark.parametrize("options", [{"tool_frame": "tip"}, {"locked": {"thumb": 0.0}}])
def test_unknown_name_lists_those_that_exist(options: dict[str, object]) -> None:
    with pytest.raises(UnknownChoice) as error:
        load_arm("panda", **options)  # type: ignore[arg-type]
    assert "panda_hand" in error.value.choices or "panda_joint1" in error.value.choices


def test_path_needs_a_tool_frame(tmp_path: Path) -> None:
    with pytest.raises(UnknownChoice) as error:
        load_arm(write_chain(tmp_path))
    assert "l7" in error.value.choices


def test_fingers_left_free() -> None:
    with pytest.raises(ArmError, match=r"9 joints .*panda_finger_joint1.* needs 7"):
        load_arm("panda", locked={})


def test_continuous_joint(tmp_path: Path) -> None:
    with pytest.raises(ArmError, match=r"nq = 8 but nv = 7; joints without limits: j2$"):
        load_arm(write_chain(tmp_path, third="continuous"), tool_frame="l7")


def test_too_few_joints(tmp_path: Path) -> None:
    with pytest.raises(ArmError, match=r"6 joints .* needs 7"):
        load_arm(write_chain(tmp_path, joints=6), tool_frame="l6")


@pytest.mark.parametrize(
    ("limit", "named"),
    [
        ('<limit lower="0" upper="0" effort="10" velocity="2"/>', "position limits"),
        ('<limit lower="-1" upper="1" effort="10" velocity="0"/>', "velocity limit"),
        ('<limit lower="-1" upper="1" effort="0" velocity="2"/>', "torque limit"),
    ],
)
def test_limit_left_at_zero(tmp_path: Path, limit: str, named: str) -> None:
    with pytest.raises(ArmError, match=rf"{named} missing or not positive for joint j2$"):
        load_arm(write_chain(tmp_path, third_limit=limit), tool_frame="l7")


def test_limit_left_out(tmp_path: Path) -> None:
    with pytest.raises(ArmError):
        load_arm(write_chain(tmp_path, third_limit=""), tool_frame="l7")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ArmError, match=r"nothing\.urdf: no such URDF file"):
        load_arm(str(tmp_path / "nothing.urdf"), tool_frame="tip")


@pytest.mark.parametrize("text", ["", "no xml", "<robot/>", '<robot name="half"><link name="a">'])
def test_file_that_is_no_urdf(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.urdf"
    path.write_text(text)
    with pytest.raises(ArmError, match=r"broken\.urdf"):
        load_arm(str(path), tool_frame="tip")


@pytest.mark.parametrize("name", ARMS)
def test_tool_jacobian(name: str, slope: Callable[..., np.ndarray]) -> None:
    arm, rng = load_or_skip(name), np.random.default_rng(2)
    for q in rng.uniform(arm.lower, arm.upper, (5, DOF)):
        p, J = arm.tool_jacobian_in_world(q)
        assert np.array_equal(p, arm.tool_in_world(q))
        # central differences with step 1e-6 of a map of order 1: 1e-12 by curvature, 1e-10 by rounding
        assert slope(arm.tool_in_world, q) == pytest.approx(J, abs=1e-8)


def test_results_are_copies(panda: Arm) -> None:
    calls = (panda.tool_in_world, panda.gravity_torque, panda.mass_matrix, lambda q: panda.tool_jacobian_in_world(q)[1])
    for call in calls:
        first = call(panda.home)
        kept = first.copy()
        call(panda.home + 0.3)
        assert np.array_equal(first, kept)


def test_pickling(panda: Arm) -> None:
    fresh = len(pickle.dumps(replace(panda)))
    panda.tool_in_world(panda.home)  # now it owns scratch data, which stay here
    text = pickle.dumps(panda)
    assert len(text) < 1.1 * fresh  # Pinocchio's data would more than double it
    twin = pickle.loads(text)
    assert twin.joint_names == panda.joint_names
    assert np.array_equal(twin.mass_matrix(panda.home), panda.mass_matrix(panda.home))
    assert np.array_equal(twin.tool_in_world(panda.home), panda.tool_in_world(panda.home))
    assert twin.locked == panda.locked


def test_sliding_joint_is_refused(tmp_path: Path) -> None:
    """Seven joints, one of them prismatic: every number for it would be in the wrong unit."""
    tree = ET.parse(load_arm("xarm7").urdf)
    next(joint for joint in tree.getroot().findall("joint") if joint.get("name") == "joint4").set("type", "prismatic")
    urdf = tmp_path / "slider.urdf"
    tree.write(urdf)
    with pytest.raises(ArmError, match="not revolute: joint4"):
        load_arm(str(urdf), tool_frame="link_eef")
