"""Arms and physics engines: what is said of the plant is asked of every one of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dvp_mpc.problem.arm import ARMS, Arm, load_arm

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


@pytest.fixture
def branched_arm(tmp_path: Path) -> Arm:
    """A torso with two branches that engines number differently, and with two joints to lock."""
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
    urdf = tmp_path / "branched.urdf"
    urdf.write_text(BRANCHED.format(links=links, joints=joints))
    return load_arm(str(urdf), tool_frame="z3", locked={"j_z_turned": 0.7, "j_a_slid": 0.15})


@pytest.fixture(params=[*ARMS, "fingers open", "branched"])
def arm(request: pytest.FixtureRequest) -> Arm:
    if request.param == "branched":
        return request.getfixturevalue("branched_arm")
    if request.param == "fingers open":
        return load_arm("panda", locked={"panda_finger_joint1": 0.04, "panda_finger_joint2": 0.03})
    return load_arm(request.param)


@pytest.fixture(params=["bullet", "mujoco"])
def make_plant(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """make_plant(arm, *, dt, body): one of the physics engines."""
    if request.param == "bullet":
        pytest.importorskip("pybullet")
        from dvp_mpc_sim.bullet import BulletPlant

        return BulletPlant
    pytest.importorskip("mujoco")
    from dvp_mpc_sim.mujoco_plant import MujocoPlant

    return MujocoPlant
