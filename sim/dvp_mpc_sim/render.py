"""Pictures: the scene around a simulated arm, and the PNG and GIF files made of them.

Everything is drawn by Bullet's software renderer, so no display is needed. Solids that Bullet draws coarsely, or not at
all, are turned on a lathe: a profile (r, z) revolved about z.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pybullet as p
from PIL import Image, ImageDraw, ImageFont

from dvp_mpc.files import whole_file

Colour = tuple[float, float, float, float]

ARM_COLOURS: tuple[Colour, Colour] = (0.93, 0.93, 0.91, 1), (0.30, 0.42, 0.53, 1)
"""Links in turn, so that the eye can count the joints."""
GOAL_COLOUR: Colour = (0.98, 0.42, 0.12, 1)
PUSH_COLOUR: Colour = (0.85, 0.10, 0.35, 1)
STAGE_COLOUR: Colour = (0.80, 0.82, 0.85, 1)
SKY = np.array([[208, 219, 230], [250, 251, 252]])
"""Background at the top and at the bottom, RGB."""

GOAL_RADIUS = 0.022
"""[m]"""
PUSH_LENGTH = 0.008
"""Length of an arrow per force [m/N]."""
PUSH_SHORTEST, PUSH_LONGEST = 0.09, 0.4
"""[m]"""
YAW, PITCH, FIELD_OF_VIEW = 45.0, -18.0, 45.0
"""Camera [deg]: from the front, half way to the side to which pushes go unless told otherwise, a little from above."""
UNDERGROUND = np.array([0.0, 0.0, -100.0])
UPRIGHT = (0.0, 0.0, 0.0, 1.0)


class Scene:
    """What a picture shows around an arm: a stage, the goal and an arrow for each push. Nothing collides.

    `pushes` holds points of attack (3,) [m] and forces (3,) [N] in the world. The camera is placed once, by the posture
    and the size of the arm at the time of construction.
    """

    def __init__(self, client: int, body: int):
        self._client, self._body = client, body
        self.pushes: Sequence[tuple[np.ndarray, np.ndarray]] = ()
        self._arrows: list[int] = []
        links = range(p.getNumJoints(body, physicsClientId=client))
        states = [p.getLinkState(body, i, computeForwardKinematics=1, physicsClientId=client) for i in links]
        origins = np.array([np.zeros(3), *(state[4] for state in states)])
        low, high = origins.min(axis=0), origins.max(axis=0)
        self._length = float(np.linalg.norm(np.diff(origins, axis=0), axis=1).sum())
        self._target = ((low + high) / 2).tolist()
        self._distance = 1.18 * self._length
        p.resetDebugVisualizerCamera(self._distance, YAW, PITCH, self._target, physicsClientId=client)
        self._paint_arm()
        angle = np.linspace(-np.pi / 2, np.pi / 2, 19)
        self._goal = self._solid(
            GOAL_RADIUS * np.column_stack([np.cos(angle), np.sin(angle)]), GOAL_COLOUR, UNDERGROUND
        )
        floor = low[2] - 0.2 * self._length if low[2] < -0.05 else -0.001  # an arm that hangs has its stage below it
        radius = 0.5 * self._length
        stage = np.array([(0, -0.03), (radius, -0.03), (radius, 0), (0, 0)])
        self._solid(stage, STAGE_COLOUR, np.array([0.7 * self._target[0], 0.7 * self._target[1], floor]))

    def _paint_arm(self) -> None:
        links = sorted({shape[1] for shape in p.getVisualShapeData(self._body, physicsClientId=self._client)})
        for i, link in enumerate(links):
            look = {"rgbaColor": ARM_COLOURS[i % 2], "specularColor": (0.3, 0.3, 0.3)}
            p.changeVisualShape(self._body, link, physicsClientId=self._client, **look)

    def _solid(self, profile: np.ndarray, colour: Colour, origin: np.ndarray, turn: tuple[float, ...] = UPRIGHT) -> int:
        vertices, normals, triangles = lathe(profile)
        shape = p.createVisualShape(
            p.GEOM_MESH,
            vertices=vertices.tolist(),
            normals=normals.tolist(),
            indices=triangles.ravel().tolist(),
            rgbaColor=colour,
            specularColor=(0, 0, 0),
            physicsClientId=self._client,
        )
        placement = {"basePosition": origin.tolist(), "baseOrientation": turn}
        return int(p.createMultiBody(baseVisualShapeIndex=shape, physicsClientId=self._client, **placement))

    def show_goal(self, goal_in_world: np.ndarray) -> None:
        """Put the sphere that marks the goal at (3,) [m]."""
        position = [float(x) for x in goal_in_world]
        p.resetBasePositionAndOrientation(self._goal, position, UPRIGHT, physicsClientId=self._client)

    def _draw_pushes(self) -> None:
        for arrow in self._arrows:
            p.removeBody(arrow, physicsClientId=self._client)
        self._arrows = []
        for point_in_world, force_in_world in self.pushes:
            size = float(np.linalg.norm(force_in_world))
            if size > 0:
                length = float(np.clip(PUSH_LENGTH * size, PUSH_SHORTEST, PUSH_LONGEST))
                profile = np.array([(0, -length), (0.011, -length), (0.011, -0.07), (0.028, -0.07), (0, 0)])
                turn = _turn_from_z(force_in_world / size)
                self._arrows.append(self._solid(profile, PUSH_COLOUR, point_in_world, turn))

    def picture(self, width: int, height: int, antialias: int = 2) -> np.ndarray:
        """The scene as it stands: (height, width, 3) uint8. Drawn antialias times larger and averaged."""
        self._draw_pushes()
        W, H = width * antialias, height * antialias
        rgba, segments = p.getCameraImage(
            W,
            H,
            p.computeViewMatrixFromYawPitchRoll(self._target, self._distance, YAW, PITCH, 0, 2),
            p.computeProjectionMatrixFOV(FIELD_OF_VIEW, width / height, 0.05, 10),
            lightDirection=(0.5, -0.6, 2.0),
            lightColor=(1, 1, 1),
            lightDistance=2,
            lightAmbientCoeff=0.58,
            lightDiffuseCoeff=0.47,
            lightSpecularCoeff=0.15,
            shadow=1,
            renderer=p.ER_TINY_RENDERER,
            physicsClientId=self._client,
        )[2:5:2]
        sky = np.linspace(SKY[0], SKY[1], H)[:, None, :]
        nothing = np.reshape(segments, (H, W, 1)) < 0
        rgb = np.where(nothing, sky, np.reshape(rgba, (H, W, 4))[..., :3])
        return np.asarray(rgb.reshape(height, antialias, width, antialias, 3).mean(axis=(1, 3)), dtype=np.uint8)


def lathe(profile: np.ndarray, sides: int = 48) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Solid of revolution about z of a profile (m, 2) = (r, z) [m] that runs upwards along the outside.

    Returns vertices (n, 3), outward normals (n, 3) and triangles (k, 3) int. Each band of the profile has vertices of
    its own: shared ones would round its edges off in the shading.
    """
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    around = np.column_stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)])
    up = np.array([0.0, 0.0, 1.0])
    i = 2 * np.arange(sides)
    band = np.concatenate([np.column_stack([i, i + 2, i + 1]), np.column_stack([i + 1, i + 2, i + 3])])
    vertices, normals, triangles = [], [], []
    for k, ((r0, z0), (r1, z1)) in enumerate(pairwise(profile)):
        rim = np.stack([r0 * around + z0 * up, r1 * around + z1 * up], axis=1).reshape(-1, 3)
        normal = ((z1 - z0) * around - (r1 - r0) * up) / np.hypot(r1 - r0, z1 - z0)
        vertices.append(rim)
        normals.append(np.repeat(normal, 2, axis=0))
        triangles.append(band + k * len(rim))
    return np.concatenate(vertices), np.concatenate(normals), np.concatenate(triangles)


def _turn_from_z(direction: np.ndarray) -> tuple[float, ...]:
    x, y, z = direction
    if z < -1 + 1e-9:
        return (1.0, 0.0, 0.0, 0.0)
    quaternion = np.array([-y, x, 0.0, 1.0 + z])  # half way between z and the direction
    return tuple((quaternion / np.linalg.norm(quaternion)).tolist())


def caption(picture: np.ndarray, text: str) -> np.ndarray:
    """The picture (H, W, 3) uint8 with a line of text in its lower left corner."""
    image = Image.fromarray(picture)
    height = image.height
    font = ImageFont.load_default(size=max(10, height // 24))
    ImageDraw.Draw(image).text((height // 24, height - height // 24), text, fill=(40, 52, 64), font=font, anchor="lb")
    return np.asarray(image)


def write_png(path: str | Path, picture: np.ndarray) -> None:
    """Write a picture (H, W, 3) uint8."""
    _write(Path(path), "PNG", Image.fromarray(picture))


def write_gif(path: str | Path, pictures: Sequence[np.ndarray], rate_hz: float) -> None:
    """Write a film of pictures (H, W, 3) uint8 that repeats for ever. GIF counts time in steps of 10 ms."""
    # One palette for all frames and no dithering: then what stands still is the same in each frame and costs no bytes.
    # The small bright things a picture is about would get no colour of their own by their area; they are given some
    sample = Image.fromarray(np.concatenate(pictures[:: max(1, len(pictures) // 6)])).quantize(112)
    shades = np.outer(np.linspace(0.55, 1, 8), np.concatenate([GOAL_COLOUR[:3], PUSH_COLOUR[:3]])) * 255
    palette = Image.new("P", (1, 1))
    palette.putpalette([*(sample.getpalette() or [])[: 3 * 112], *shades.astype(int).ravel().tolist()])
    frames = [Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    _write(Path(path), "GIF", frames[0], save_all=True, append_images=frames[1:], duration=1000 / rate_hz, loop=0)


def _write(path: Path, format: str, image: Image.Image, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        image.save(part, format=format, optimize=True, **options)
