"""Body: what the plant really is, said once for every physics engine.

    M v+ = M v + dt (tau + J'w - h - B v+ + f)          one step of an arm with friction
    v+_i = 0 and |f_i| <= c_i,  or  f_i = -c_i sign(v+_i)    dry friction holds a joint, or opposes its sliding

Masses, inertias and the payload go into the URDF that `plant_description` makes and every engine loads; armature, friction
and gravity are numbers that an engine is given, since a URDF has no place for them or engines read that place differently.
"""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from math import isfinite
from pathlib import Path

import numpy as np
import pinocchio as pin

from dvp_mpc.errors import BadSetting, RunFailed
from dvp_mpc.problem.arm import Arm
from dvp_mpc.problem.arms import DOF

LinkWrench = tuple[str | None, np.ndarray]
"""A link, or None for the tool frame, and the wrench (6,) [N, N m] in the world on the origin of its frame."""

PAYLOAD = "dvp_mpc_payload"
"""Name of the link that the payload is."""
PAYLOAD_RADIUS = 0.04
"""[m]"""
SWEEPS = 100
"""At most so many in a step. Measured: 2 while all joints slide, 1 while all stick, about 8 and at most 82 in between."""


@dataclass(frozen=True)
class Body:
    """What the plant is; the defaults are the model that the controller has.

    A tuple that is taken in turn begins anew where it is shorter than what it is for: (1.2,) holds for all. The empty one
    changes nothing. Other sequences of numbers are made into tuples.
    """

    payload: float = 0.0
    """Mass of a solid sphere, 4 cm in radius, fixed to the tool frame [kg]."""
    payload_in_tool: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Its centre [m]."""
    mass_factors: tuple[float, ...] = ()
    """Times mass and inertia of each link that has mass, in the URDF's order, the base included; taken in turn."""
    inertia_factors: tuple[float, ...] = ()
    """Times the rotational inertia of each such link about its centre of mass, on top of the above; taken in turn."""
    armature_factors: tuple[float, ...] = ()
    """Times the rotor inertia of each joint; taken in turn."""
    coulomb: tuple[float, ...] = ()
    """Dry friction of each joint, the same at rest and in motion [N m]; taken in turn."""
    viscous: tuple[float, ...] = ()
    """Friction per velocity of each joint [N m s/rad]; taken in turn."""
    # Spelt out, and not "as the arm's model has it": that is this vector for every URDF, since Pinocchio puts it there,
    # and a Body is then whole without an arm. A test holds the two together.
    gravity_in_base: tuple[float, float, float] = (0.0, 0.0, -9.81)
    """[m/s^2]; another direction is a base that stands tilted."""

    def __post_init__(self) -> None:
        if not (isfinite(self.payload) and self.payload >= 0):
            raise BadSetting("body.payload", self.payload, "must be finite and not negative [kg]")
        object.__setattr__(self, "payload", float(self.payload))
        for name in ("payload_in_tool", "gravity_in_base"):
            self._settle(name, lambda x: True, "must be three finite numbers", count=3)
        for name in ("mass_factors", "inertia_factors"):
            self._settle(name, lambda x: x > 0, "must be finite and positive")
        for name in ("armature_factors", "coulomb", "viscous"):
            self._settle(name, lambda x: x >= 0, "must be finite and not negative")

    def _settle(self, name: str, allowed: Callable[[float], bool], requirement: str, count: int | None = None) -> None:
        values = tuple(float(value) for value in getattr(self, name))
        if count not in (None, len(values)) or not all(isfinite(value) and allowed(value) for value in values):
            raise BadSetting(f"body.{name}", values, requirement)
        object.__setattr__(self, name, values)

    def armature(self, arm: Arm) -> np.ndarray:
        """Rotor inertia of each joint: (7,) [kg m^2]."""
        return arm.armature * _in_turn(self.armature_factors, 1.0)

    @property
    def coulomb_torque(self) -> np.ndarray:
        """Dry friction of each joint: (7,) [N m]."""
        return _in_turn(self.coulomb, 0.0)

    @property
    def viscous_rate(self) -> np.ndarray:
        """Friction per velocity of each joint: (7,) [N m s/rad]."""
        return _in_turn(self.viscous, 0.0)


NOMINAL = Body()
"""The arm as the controller has it."""


def _in_turn(values: Sequence[float], otherwise: float) -> np.ndarray:
    return np.resize(values, DOF) if values else np.full(DOF, otherwise)


def checked_torque(arm: Arm, torque: np.ndarray) -> np.ndarray:
    """The torque (7,) [N m] as a plant takes it. Raises BadSetting for a wrong shape, RunFailed for one that is not finite."""
    torque = np.asarray(torque, dtype=float)
    if torque.shape != (DOF,):
        raise BadSetting("torque", torque.shape, f"the arm takes {DOF} torques")
    if not np.isfinite(torque).all():
        joint = int(np.argmin(np.isfinite(torque)))
        raise RunFailed(f"torque of joint {arm.joint_names[joint]} is {torque[joint]}: the plant takes finite ones")
    return torque


def friction_torque(
    M: np.ndarray, v: np.ndarray, net: np.ndarray, coulomb: np.ndarray, viscous: np.ndarray, dt: float
) -> np.ndarray:
    """f - B v+ of the equations above, for an engine that has no friction of its own: (7,) [N m].

    M (7, 7) [kg m^2] is the joint-space inertia, v (7,) [rad/s] the velocity before the step, net (7,) [N m] all other
    torque, tau + J'w - h.

    Both kinds are taken at the end of the step. For dry friction nothing else lets a joint stick: at a time step of 1 ms a
    law of v, smooth or not, lets it creep or chatter. Viscous friction taken at the beginning gains energy where
    dt B > 2 M, and MuJoCo takes it at the end, too.
    """
    D = M + dt * np.diag(viscous)
    momentum = M @ v + dt * net  # D v+ = momentum + dt f
    W = np.linalg.inv(D)
    f = np.clip(-momentum / dt, -coulomb, coulomb)  # the answer already when every joint can be held
    v_next = W @ (momentum + dt * f)
    # Projected Gauss-Seidel: each joint in turn is stopped, or slowed as far as its friction goes, the others held fixed.
    joints = np.flatnonzero(coulomb)
    for _ in range(SWEEPS):
        change = 0.0
        for i in joints:
            f_i = min(max(f[i] - v_next[i] / (dt * W[i, i]), -coulomb[i]), coulomb[i])
            v_next += dt * (f_i - f[i]) * W[i]
            change = max(change, abs(f_i - f[i]))
            f[i] = f_i
        if change <= 1e-8 * coulomb.max():  # leaves a held joint less than 1e-9 rad/s
            break
    return f - viscous * v_next


def plant_description(arm: Arm, body: Body, *, visual: bool) -> ET.Element:
    """URDF of the body, such that an engine builds from it what Pinocchio builds from the arm's.

    Locked joints are welded and there are no end stops. A mesh that cannot be found is drawn as a small sphere; without
    visual there are no meshes at all.
    """
    root = ET.parse(arm.urdf).getroot()
    for link in root.findall("link"):
        _remove(link, "collision", *([] if visual else ["visual"]))
        if link.find("inertial") is None:
            link.append(ET.fromstring(_MASSLESS))  # Bullet would give it 1 kg
        for geometry in link.findall("visual/geometry"):
            _find_mesh(geometry, arm.urdf)
    for joint in root.findall("joint"):
        if joint.get("name") in arm.locked:
            _weld(joint, arm.locked[str(joint.get("name"))])
        elif joint.get("type") == "revolute":
            joint.set("type", "continuous")  # the way to tell Bullet that there are no end stops
    _scale(root, body)
    if body.payload > 0:
        _carry(root, arm.tool_frame, body, visual)
    return root


_MASSLESS = '<inertial><mass value="0"/><inertia ixx="0" ixy="0" ixz="0" iyy="0" iyz="0" izz="0"/></inertial>'


def _scale(root: ET.Element, body: Body) -> None:
    factors = zip(cycle(body.mass_factors or (1.0,)), cycle(body.inertia_factors or (1.0,)), strict=False)
    inertials = [link.find("inertial") for link in root.findall("link")]
    heavy = [inertial for inertial in inertials if inertial is not None and _number(inertial, "mass", "value") > 0]
    for inertial, (by_mass, by_inertia) in zip(heavy, factors, strict=False):
        _multiply(inertial.find("mass"), ["value"], by_mass)
        _multiply(inertial.find("inertia"), ["ixx", "ixy", "ixz", "iyy", "iyz", "izz"], by_mass * by_inertia)


def _multiply(element: ET.Element | None, keys: Sequence[str], factor: float) -> None:
    if element is not None and factor != 1:  # leave the file's own digits where nothing changes
        for key in keys:
            element.set(key, repr(factor * float(element.get(key, "0"))))


def _number(inertial: ET.Element, tag: str, key: str) -> float:
    element = inertial.find(tag)
    return 0.0 if element is None else float(element.get(key, "0"))


def _carry(root: ET.Element, tool_frame: str, body: Body, visual: bool) -> None:
    link = ET.SubElement(root, "link", name=PAYLOAD)
    if visual:
        ET.SubElement(ET.SubElement(ET.SubElement(link, "visual"), "geometry"), "sphere", radius=repr(PAYLOAD_RADIUS))
    inertial = ET.SubElement(link, "inertial")
    ET.SubElement(inertial, "mass", value=repr(body.payload))
    about_any_axis = repr(0.4 * body.payload * PAYLOAD_RADIUS**2)
    ET.SubElement(inertial, "inertia", ixx=about_any_axis, iyy=about_any_axis, izz=about_any_axis)
    for off_diagonal in ("ixy", "ixz", "iyz"):
        inertial[1].set(off_diagonal, "0")
    # The tool is the frame of a link or, as Pinocchio has it, of a joint: then its child's.
    children = {
        str(joint.get("name")): child.get("link") for joint in root.iter("joint") for child in joint.iter("child")
    }
    links = [element.get("name") for element in root.iter("link")]
    joint = ET.SubElement(root, "joint", name=f"{PAYLOAD}_joint", type="fixed")
    ET.SubElement(joint, "parent", link=tool_frame if tool_frame in links else str(children[tool_frame]))
    ET.SubElement(joint, "child", link=PAYLOAD)
    ET.SubElement(joint, "origin", xyz=" ".join(map(repr, body.payload_in_tool)))


def _remove(element: ET.Element, *tags: str) -> None:
    for child in [child for child in element if child.tag in tags]:
        element.remove(child)


def _weld(joint: ET.Element, position: float) -> None:
    origin, axis = joint.find("origin"), joint.find("axis")
    direction = _vector(axis, "xyz", (1.0, 0.0, 0.0))
    direction /= np.linalg.norm(direction)
    placement = pin.SE3(pin.rpy.rpyToMatrix(_vector(origin, "rpy")), _vector(origin, "xyz"))
    if joint.get("type") == "prismatic":
        placement = placement * pin.SE3(np.eye(3), position * direction)
    else:
        placement = placement * pin.SE3(pin.exp3(position * direction), np.zeros(3))
    joint.set("type", "fixed")
    _remove(joint, "origin", "axis", "limit")
    rpy, xyz = pin.rpy.matrixToRpy(placement.rotation), placement.translation
    ET.SubElement(joint, "origin", xyz=" ".join(map(repr, xyz.tolist())), rpy=" ".join(map(repr, rpy.tolist())))


def _vector(element: ET.Element | None, key: str, default: Sequence[float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    text = None if element is None else element.get(key)
    return np.array(default if text is None else [float(number) for number in text.split()])


def _find_mesh(geometry: ET.Element, urdf: Path) -> None:
    mesh = geometry.find("mesh")
    if mesh is None:
        return
    name = str(mesh.get("filename")).removeprefix("package://").removeprefix("file://")
    found = next((folder / name for folder in urdf.parents if (folder / name).is_file()), None)
    if found is not None:
        mesh.set("filename", str(found))
    else:
        geometry.remove(mesh)
        ET.SubElement(geometry, "sphere", radius="0.04")
