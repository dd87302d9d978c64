"""Arms and physics engines: what is said of the plant is asked of every one of them. And studies of robustness, made up."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from dvp_mpc_sim.robustness.wilson import wilson

from dvp_mpc.problem.arm import Arm, load_arm
from dvp_mpc.problem.arms import ARMS

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


@pytest.fixture
def row() -> Callable[..., dict[str, Any]]:
    """row(success, level, controller, **other): a made-up row of 100 seeds of a robustness study."""
    return _row


@pytest.fixture
def sweep() -> Callable[..., list[dict[str, Any]]]:
    """sweep(successes, controller, **other): rows of one controller at the levels 1, 2, 3, ..."""
    return _sweep


@pytest.fixture
def study() -> list[dict[str, Any]]:
    """Two engines, four cases, five controllers, three levels."""
    return [
        one
        for engine in ("bullet", "mujoco")
        for case in ("impulse", "push", "payload", "delay")
        for name in ("value N=2", "value N=10", "zero N=100", "computed torque", "my own")
        for one in _sweep((1.0, 0.95, 0.5), name, engine=engine, case=case, title=f"{case} of something")
    ]


@pytest.fixture
def curve() -> dict[str, Any]:
    """A deviation over time."""
    return {"t": [0.0, 1.0, 2.0], "p5": [0.1, 0.1, 0.0], "p50": [0.2, 0.2, 0.0], "p95": [0.3, float("nan"), 0.1]}


def _row(success: float, level: float = 1.0, controller: str = "value N=10", **other: Any) -> dict[str, Any]:
    """A made-up row of 100 seeds."""
    successes = round(100 * success)
    low, high = wilson(successes, 100)
    spread = {"median": 0.1, "p95": None, "max": None}
    return {
        "engine": "bullet",
        "case": "impulse",
        "title": "impulse at the hand",
        "unit": "N s",
        "level": level,
        "controller": controller,
        "nodes": int(found[1]) if (found := re.search(r"N=(\d+)", controller)) else 0,
        "seeds": 100,
        "successes": successes,
        "success": success,
        "success_low": low,
        "success_high": high,
        **dict.fromkeys(("peak_deviation_m", "settling_time_s", "final_error_m", "cost_ratio"), spread),
        "peak_torque_share": {"median": 0.1, "p95": 0.25},
        "peak_torque_rate": {"median": 100.0, "p95": 250.0},
        "violations": 0,
        "states_s": {"tracking": 5.9, "hold": 0.1},
        "tick_ms": {"p50": 0.5, "p99": 1.1},
        "bars": [],
        **other,
    }


def _sweep(successes: Sequence[float], controller: str = "value N=10", **other: Any) -> list[dict[str, Any]]:
    """Rows of one controller at the levels 1, 2, 3, ..."""
    return [_row(success, float(i + 1), controller, **other) for i, success in enumerate(successes)]
