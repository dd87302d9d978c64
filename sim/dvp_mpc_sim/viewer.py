"""Watching an arm in a browser: live while it moves, or from a log, as a page that plays by itself.

with BrowserView(arm) as view:
    print(view.url)
    simulate(plant, controller, ..., on_step=view.follow(plant, controller))

replay(log, arm, "replay.html")
"""

import time
import webbrowser
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType

import numpy as np
import pinocchio as pin

from dvp_mpc.control.controller import Controller
from dvp_mpc.control.mpc import Plan
from dvp_mpc.disturbance import ExternalWrench, acting
from dvp_mpc.files import whole_file
from dvp_mpc.problem.arm import Arm
from dvp_mpc.problem.arms import DOF
from dvp_mpc_sim.loop import Log, Plant
from dvp_mpc_sim.viewer_page import Command, Page, Server
from dvp_mpc_sim.viewer_scene import Push, Scene, transform

PICTURES_HZ = 30.0
TRAIL = 90
"""Pictures for which the tool's way stays in sight: 3 s."""
REST = np.zeros((0, 3))


class BrowserView:
    """An arm in a browser on this machine. A context manager: leaving it ends the page's server, and the page stands still.

    clock gives the time by which pictures are spaced [s].
    """

    def __init__(self, arm: Arm, *, open_browser: bool = False, clock: Callable[[], float] = time.perf_counter):
        self.arm = arm
        self._clock, self._next = clock, -np.inf
        self._scene, self._arrows = Scene(arm), 0
        self._trail: deque[np.ndarray] = deque(maxlen=TRAIL)
        self._server = Server()
        for command in self._scene.commands():
            self._server.send(command)
        self._server.caught_up(timeout=10.0)
        if open_browser:
            webbrowser.open(self.url)

    def __enter__(self) -> "BrowserView":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the server; a second call does nothing."""
        self._server.close()

    @property
    def url(self) -> str:
        """Where to look."""
        return self._server.url

    def wait_for_browser(self, timeout: float) -> bool:
        """Whether somebody looks, at the latest `timeout` [s] from now. Until then no picture is sent."""
        return self._server.wait_for_browser(timeout)

    @property
    def due(self) -> bool:
        """Whether `show` would send a picture now: it is time, and the last one has been taken."""
        return self._clock() >= self._next and self._server.caught_up()

    def show(
        self,
        q: np.ndarray,
        goal_in_world: np.ndarray,
        horizon_in_world: np.ndarray = REST,
        pushes: Sequence[Push] = (),
    ) -> None:
        """Send a picture, or return at once when it is not `due`. It takes about 1 ms and waits for nobody.

        q: (7,) [rad]; goal (3,) [m]; horizon (k, 3) [m], where the tool is predicted to be; pushes: points (3,) [m] and
        forces (3,) [N].
        """
        if not self.due:
            return
        self._next = self._clock() + 1 / PICTURES_HZ
        self._trail.append(self.arm.tool_in_world(q))
        for command in self._picture(q, goal_in_world, np.asarray(horizon_in_world), pushes):
            self._server.send(command)

    def follow(
        self, plant: Plant, controller: Controller, disturbances: Sequence[ExternalWrench] = ()
    ) -> Callable[[float], None]:
        """An `on_step` for `simulate` that shows the plant, the controller's goal and plan, and the pushes."""

        def on_step(t: float) -> None:
            if self.due:
                arm, (q, _) = plant.arm, plant.state()
                pushed = acting(disturbances, t + plant.dt / 2, partial(arm.rotation_in_world, q))
                pushes = [(point_in_world(arm, q, link), wrench[:3]) for link, wrench in pushed]
                self.show(q, controller.goal.tool, horizon_in_world(arm, controller.plan), pushes)

        return on_step

    def _picture(
        self, q: np.ndarray, goal_in_world: np.ndarray, horizon_in_world: np.ndarray, pushes: Sequence[Push]
    ) -> list[Command]:
        commands = list(self._scene.arrows(self._arrows, len(pushes)))
        self._arrows = max(self._arrows, len(pushes))
        placed = self._scene.placements(q, goal_in_world, pushes, self._arrows)
        commands += [transform(path, T) for path, T in placed.items()]
        return [*commands, self._scene.horizon(horizon_in_world), self._scene.trail(np.array(self._trail))]

    def play(self, log: Log) -> None:
        """Let the page play a log over and over; it has its own controls for that."""
        for command in film_commands(self._scene, log):
            self._server.send(command)

    def save_html(self, path: str | Path) -> None:
        """Write what the page shows to one file that opens anywhere, whole or not at all."""
        _write(self._server.page, path, self.arm.name)


def horizon_in_world(arm: Arm, plan: Plan | None) -> np.ndarray:
    """Where a plan brings the tool: (N + 1, 3) [m]; none without a plan."""
    return REST if plan is None else np.array([arm.tool_in_world(x[:DOF]) for x in plan.solution.xs])


def point_in_world(arm: Arm, q: np.ndarray, link: str | None) -> np.ndarray:
    """Origin of a link's frame, of the tool unless named: (3,) [m]."""
    if link is None:
        return arm.tool_in_world(q)
    data = arm.model.createData()
    pin.forwardKinematics(arm.model, data, q)
    return np.array(pin.updateFramePlacement(arm.model, data, arm.model.getFrameId(link)).translation)


def replay(log: Log, arm: Arm, path: str | Path) -> None:
    """Write one HTML file that plays a log over and over and needs nothing else, whole or not at all."""
    page, scene = Page(), Scene(arm)
    for command in [*scene.commands(), *film_commands(scene, log)]:
        page.send(command)
    _write(page, path, f"{arm.name}, {log.t[-1]:.1f} s")


def film_commands(scene: Scene, log: Log) -> list[Command]:
    """What makes a page with this scene play a log. The sum of its pushes is drawn at the tool, since no more is known."""
    rows = np.round(np.arange(0, log.t[-1] + log.dt / 2, 1 / PICTURES_HZ) / log.dt).astype(int)
    pictures = []
    for k in rows:
        pushes = [(log.tool_in_world[k], log.wrench_in_world[k, :3])]
        pictures.append(scene.placements(log.q[k], log.goal_in_world[k], pushes, arrows=1))
    animations = [
        {"path": path, "clip": _clip(np.array([picture[path] for picture in pictures]))} for path in pictures[0]
    ]
    endless = {"play": True, "repetitions": float("inf")}
    film: Command = {"type": "set_animation", "path": "", "animations": animations, "options": endless}
    still = [transform(path, T) for path, T in pictures[0].items()]
    return [*scene.arrows(0, 1), scene.trail(log.tool_in_world[rows]), *still, film]


def _clip(Ts: np.ndarray) -> Command:
    """Placements (n, 4, 4), one per picture, for three.js, which turns by quaternions and scales apart."""
    scales = np.linalg.norm(Ts[:, :3, :3], axis=1)
    turns = [pin.Quaternion(T[:3, :3] / scale).coeffs() for T, scale in zip(Ts, scales, strict=True)]
    tracks = [("position", "vector3", Ts[:, :3, 3]), ("quaternion", "quaternion", turns), ("scale", "vector3", scales)]
    return {
        "name": "log",
        "fps": PICTURES_HZ,
        "tracks": [
            {"name": f".{name}", "type": kind, "times": list(range(len(Ts))), "values": np.ravel(values).tolist()}
            for name, kind, values in tracks
        ],
    }


def _write(page: Page, path: str | Path, title: str) -> None:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        part.write_text(page.html(title), encoding="utf-8")
