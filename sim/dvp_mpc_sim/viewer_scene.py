"""Scene: what a page shows, as the films do: an arm on its stage, goal and pushes, and the way of the tool, past and predicted.

set once       meshes, colours, camera                          `commands`
moves          T(path): (4, 4), from a thing's axes to the world's     `placements`, a pure function of what happens
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from typing import Any

import meshcat.commands as mc
import meshcat.geometry as mg
import numpy as np
import pinocchio as pin

from dvp_mpc.problem.arm import Arm
from dvp_mpc_sim.render import (
    ARM_COLOURS,
    FIELD_OF_VIEW,
    GOAL_COLOUR,
    GOAL_RADIUS,
    PITCH,
    PUSH_COLOUR,
    PUSH_LENGTH,
    PUSH_LONGEST,
    PUSH_SHORTEST,
    SKY,
    STAGE_COLOUR,
    YAW,
    Colour,
    lathe,
)
from dvp_mpc_sim.viewer_page import Command

Push = tuple[np.ndarray, np.ndarray]
"""Point of attack (3,) [m] and force (3,) [N], both in the world."""

HORIZON_COLOUR: Colour = (0.10, 0.40, 0.95, 1)
TRAIL_COLOUR: Colour = (0.45, 0.60, 0.72, 1)
ARROW = 0.25
"""Length of the arrow that is scaled to each push [m]."""
NOTHING = 1e-6
"""Scale of an arrow without a push: a matrix of zeros has no rotation."""
CAMERA = "/Cameras/default/rotated"
LIGHTS = {
    "SpotLight": 0.55,
    "AmbientLight": 0.6,
    "PointLightNegativeX": 0.12,
    "PointLightPositiveX": 0.12,
    "FillLight": 0.2,
}
"""Intensities at which the stage is not yet white; the spotlight casts the shadow."""

SIDES = 8
_angle = np.linspace(0, 2 * np.pi, SIDES, endpoint=False)
RING = np.column_stack([np.cos(_angle), np.sin(_angle)])
_i, _j = np.arange(SIDES), np.roll(np.arange(SIDES), -1)
BAND = np.concatenate([np.column_stack([_i, _j, _i + SIDES]), np.column_stack([_j, _j + SIDES, _i + SIDES])])
_polar = np.linspace(-np.pi / 2, np.pi / 2, 7)
BALL, _, BALL_FACES = lathe(np.column_stack([np.cos(_polar), np.sin(_polar)]), sides=10)


class Scene:
    """The things that a page shows of one arm."""

    def __init__(self, arm: Arm):
        self._arm, self._model = arm, arm.model
        self._data = self._model.createData()
        pin.forwardKinematics(self._model, self._data, arm.home)
        tool = pin.updateFramePlacement(self._model, self._data, arm.tool_id)
        self._origins = np.array([np.zeros(3), *(M.translation for M in list(self._data.oMi)[1:]), tool.translation])
        self._length = float(np.linalg.norm(np.diff(self._origins, axis=0), axis=1).sum())

    def commands(self) -> Iterator[Command]:
        """Everything that is set once."""
        yield from self._surroundings()
        yield from self._arm_shapes()
        yield shape("/scene/goal", mg.Sphere(GOAL_RADIUS), GOAL_COLOUR)

    def _surroundings(self) -> Iterator[Command]:
        low, high = self._origins.min(axis=0), self._origins.max(axis=0)
        centre = (low + high) / 2
        # In this order a page that is loading never looks like anything else, since the server keeps the order of paths.
        for path in ("/Grid", "/Axes"):
            yield property_of(path, "visible", False)
        for name, colour in zip(("top_color", "bottom_color"), SKY / 255, strict=True):
            yield property_of("/Background", name, colour.tolist())
        for light, intensity in LIGHTS.items():
            yield property_of(f"/Lights/{light}/<object>", "intensity", intensity)
        yield property_of("/Lights/SpotLight", "visible", True)
        yield property_of("/Lights/SpotLight/<object>", "castShadow", True)
        yield {**mc.SetObject(mg.PerspectiveCamera(fov=FIELD_OF_VIEW, near=0.05)).lower(), "path": CAMERA}
        yaw, pitch = np.deg2rad([YAW, PITCH])
        behind = np.array([np.cos(pitch) * np.sin(yaw), -np.cos(pitch) * np.cos(yaw), -np.sin(pitch)])
        x, y, z = 1.3 * self._length * behind
        yield property_of(f"{CAMERA}/<object>", "position", [x, z, -y])  # below a node that turns z up into y up
        yield transform("/scene", _at(-centre))  # the camera turns about the origin, whatever meshcat is told
        floor = low[2] - 0.2 * self._length if low[2] < -0.05 else -0.001  # an arm that hangs has its stage below it
        radius = 0.5 * self._length
        vertices, _, triangles = lathe(np.array([(0, -0.03), (radius, -0.03), (radius, 0), (0, 0)]))
        yield shape("/scene/stage", mg.TriangularMeshGeometry(vertices, triangles), STAGE_COLOUR)
        yield transform("/scene/stage", _at(np.array([0.7 * centre[0], 0.7 * centre[1], floor])))
        yield property_of("/scene/stage/<object>", "castShadow", False)  # on itself it would be stripes

    def _arm_shapes(self) -> Iterator[Command]:
        links: list[str] = []
        for visual in self._visuals() or []:
            link, path = visual.name.rpartition("_")[0], f"/scene/arm/{visual.parentJoint}/{visual.name}"
            links += [] if link in links else [link]
            yield shape(path, _geometry(visual.geometry), ARM_COLOURS[links.index(link) % 2])
            yield transform(path, visual.placement.homogeneous @ np.diag([*visual.meshScale, 1.0]))
        if not links:
            yield from self._capsules()

    def _visuals(self) -> list[Any] | None:
        """The URDF's visual shapes; None when there are none or a mesh is missing."""
        root = ET.parse(self._arm.urdf).getroot()
        for link in root.findall("link"):
            for collision in link.findall("collision"):
                link.remove(collision)
        for mesh in root.iter("mesh"):
            name = str(mesh.get("filename")).removeprefix("package://").removeprefix("file://")
            found = next((folder / name for folder in self._arm.urdf.parents if (folder / name).is_file()), None)
            if found is None:
                return None
            mesh.set("filename", str(found))
        text = ET.tostring(root, encoding="unicode")
        return list(pin.buildGeomFromUrdfString(self._model, text, pin.GeometryType.VISUAL).geometryObjects)

    def _capsules(self) -> Iterator[Command]:
        tool = self._model.frames[self._arm.tool_id]
        ends = [(self._model.parents[i], self._model.jointPlacements[i]) for i in range(1, self._model.njoints)]
        for k, (joint, placement) in enumerate([*ends, (tool.parentJoint, tool.placement)]):
            radius = (0.05 - 0.003 * k) * self._length  # thinner by link, or two would share a surface at a joint
            if np.linalg.norm(placement.translation) > radius:
                geometry = strand(np.array([np.zeros(3), placement.translation]), 0.8 * radius, radius)
                yield shape(f"/scene/arm/{joint}/capsule{k}", geometry, ARM_COLOURS[k % 2])

    def arrows(self, first: int, stop: int) -> Iterator[Command]:
        """Arrows for pushes number first to stop - 1."""
        profile = np.array([(0, -ARROW), (0.011, -ARROW), (0.011, -0.07), (0.028, -0.07), (0, 0)])
        vertices, _, triangles = lathe(profile)
        for k in range(first, stop):
            yield shape(f"/scene/push/{k}", mg.TriangularMeshGeometry(vertices, triangles), PUSH_COLOUR)

    def horizon(self, points_in_world: np.ndarray) -> Command:
        """The predicted way of the tool, (k, 3) [m]: a line with a dot for each node, in front of everything."""
        # Else the hand would hide it. What is transparent is drawn last, and then nothing is in front.
        return shape(
            "/scene/horizon", strand(points_in_world, 0.002, 0.0055), HORIZON_COLOUR, transparent=True, depthTest=False
        )

    def trail(self, points_in_world: np.ndarray) -> Command:
        """The way of the tool so far, (k, 3) [m]."""
        return shape("/scene/trail", strand(points_in_world, 0.0018), TRAIL_COLOUR)

    def placements(
        self, q: np.ndarray, goal_in_world: np.ndarray, pushes: Sequence[Push], arrows: int
    ) -> dict[str, np.ndarray]:
        """Where everything is, by path: (4, 4). q: (7,) [rad], goal (3,) [m]; arrows without a push are too small to see."""
        pin.forwardKinematics(self._model, self._data, q)
        placed = {f"/scene/arm/{i}": M.homogeneous for i, M in enumerate(self._data.oMi) if i > 0}
        placed["/scene/goal"] = _at(goal_in_world)
        for k in range(arrows):
            placed[f"/scene/push/{k}"] = _arrow(*pushes[k]) if k < len(pushes) else _at(goal_in_world, NOTHING)
        return placed


def transform(path: str, T: np.ndarray) -> Command:
    """Put what is at `path` at T: (4, 4)."""
    return {"type": "set_transform", "path": path, "matrix": T.T.ravel().tolist()}


def property_of(path: str, name: str, value: object) -> Command:
    """Set a property of a three.js object."""
    return {"type": "set_property", "path": path, "property": name, "value": value}


def shape(path: str, geometry: mg.Geometry, colour: Colour, **look: bool) -> Command:
    """Put a shape at `path`, in place of what was there. look: more properties of its three.js material."""
    red, green, blue = (round(255 * part) for part in colour[:3])
    material = mg.MeshPhongMaterial(color=red << 16 | green << 8 | blue, shininess=20, specular=0x333333, **look)
    return {**mc.SetObject(geometry, material).lower(), "path": path}


def strand(points: np.ndarray, radius: float, bead: float | None = None) -> mg.TriangularMeshGeometry:
    """A round line through points (k, 3) [m], with a bead of this radius [m] on each; points may coincide."""
    along = np.diff(points, axis=0)
    along = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    aside = np.cross(along, np.where(np.abs(along[:, :1]) < 0.7, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]]))
    aside = aside / np.maximum(np.linalg.norm(aside, axis=1, keepdims=True), 1e-9)
    ring = radius * (RING[:, :1] * aside[:, None] + RING[:, 1:] * np.cross(along, aside)[:, None])
    tubes = np.stack([points[:-1, None] + ring, points[1:, None] + ring], axis=1)  # (k - 1, 2, SIDES, 3)
    vertices, triangles = _repeated(tubes.reshape(len(along), 2 * SIDES, 3), BAND)
    if bead is not None:
        balls, faces = _repeated(points[:, None] + bead * BALL, BALL_FACES)
        triangles = np.concatenate([triangles, faces + len(vertices)])
        vertices = np.concatenate([vertices, balls])
    return mg.TriangularMeshGeometry(vertices, triangles)


def _repeated(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solids (n, m, 3) that all have these triangles, as one: (n m, 3) and (n l, 3)."""
    n, m, _ = vertices.shape
    return vertices.reshape(-1, 3), (triangles + m * np.arange(n)[:, None, None]).reshape(-1, 3)


def _geometry(solid: Any) -> mg.Geometry:
    """What Pinocchio read, for meshcat."""
    if hasattr(solid, "num_tris"):
        faces = [(t[0], t[1], t[2]) for t in map(solid.tri_indices, range(solid.num_tris))]
        return mg.TriangularMeshGeometry(solid.vertices(), faces)
    if hasattr(solid, "halfSide"):
        return mg.Box((2 * solid.halfSide).tolist())
    if hasattr(solid, "halfLength"):
        r, h = solid.radius, solid.halfLength
        vertices, _, triangles = lathe(np.array([(0, -h), (r, -h), (r, h), (0, h)]))
        return mg.TriangularMeshGeometry(vertices, triangles)
    return mg.Sphere(solid.radius)


def _at(point: np.ndarray, scale: float = 1.0) -> np.ndarray:
    T = np.diag([scale, scale, scale, 1.0])
    T[:3, 3] = point
    return T


def _arrow(point: np.ndarray, force: np.ndarray) -> np.ndarray:
    """T that brings the arrow's tip to the point, along the force, as long as the force is strong."""
    size = float(np.linalg.norm(force))
    T = _at(point, np.clip(PUSH_LENGTH * size, PUSH_SHORTEST, PUSH_LONGEST) / ARROW if size > 0 else NOTHING)
    if size > 0:
        T[:3, :3] = T[:3, :3] @ pin.Quaternion.FromTwoVectors(np.array([0.0, 0.0, 1.0]), force / size).matrix()
    return T
