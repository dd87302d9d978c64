"""The browser view: what a page is told, that a browser hears it and nobody waits for one, and that a replay plays the log."""

import asyncio
import base64
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace as altered
from pathlib import Path
from typing import Any

import numpy as np
import pinocchio as pin
import pytest

from dvp_mpc.cli import main
from dvp_mpc.control.controller import Controller, ControllerSettings
from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.disturbance import ExternalWrench, Step
from dvp_mpc.problem.arm import Arm, load_arm
from dvp_mpc.problem.arms import ARMS
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.value import RiccatiValue

pytest.importorskip("pybullet")
pytest.importorskip("meshcat")
import umsgpack
from dvp_mpc_sim.bullet import BulletPlant
from dvp_mpc_sim.loop import Log, simulate
from dvp_mpc_sim.viewer import PICTURES_HZ, BrowserView, point_in_world, replay
from dvp_mpc_sim.viewer_page import Page
from dvp_mpc_sim.viewer_scene import ARROW, Scene, strand
from tornado.websocket import websocket_connect

GOAL = np.array([0.5, 0.1, 0.4])
FORCE = np.array([0.0, -20.0, 0.0])
Command = dict[str, Any]


class Browser:
    """Somebody who opens the page and hears what it is told."""

    def __init__(self, url: str):
        self.heard: list[Command] = []
        self._url = url.replace("http:", "ws:").replace("/static/", "/")
        self._thread = threading.Thread(target=lambda: asyncio.run(self._listen()), daemon=True)
        self._thread.start()

    async def _listen(self) -> None:
        connection = await websocket_connect(self._url, max_message_size=1 << 28)
        while (message := await connection.read_message()) is not None:
            self.heard.append(umsgpack.unpackb(message))

    def hears(self, condition: Callable[[list[Command]], bool], timeout: float = 10.0) -> bool:
        until = time.monotonic() + timeout
        while not condition(self.heard) and time.monotonic() < until:
            time.sleep(0.01)
        return condition(self.heard)


def matrices(commands: list[Command], path: str) -> list[np.ndarray]:
    return [
        np.reshape(command["matrix"], (4, 4)).T
        for command in commands
        if (command["type"], command["path"]) == ("set_transform", path)
    ]


def commands_in(html: str) -> list[Command]:
    texts = re.search(r"for \(const text of \[(.*?)\]\)", html, re.DOTALL)
    assert texts is not None
    return [umsgpack.unpackb(base64.b64decode(text)) for text in re.findall(r'"([^"]+)"', texts[1])]


def settled(view: BrowserView) -> bool:
    return view._server.caught_up(timeout=5.0)


@pytest.fixture(scope="module")
def panda() -> Arm:
    return load_arm("panda")


@pytest.fixture(scope="module")
def log(panda: Arm) -> Log:
    """Half a second at joint speeds that differ, with a push in the middle and another goal at the end."""
    t = np.arange(500) * 1e-3
    q = panda.home + t[:, None] * np.linspace(-1, 1, 7)
    tool = np.array([panda.tool_in_world(posture) for posture in q])
    wrench = np.zeros((500, 6))
    wrench[200:300, 1] = -20.0
    goal = np.where(t[:, None] < 0.4, GOAL, GOAL + 0.1)
    return Log(t, q, np.zeros((500, 7)), np.zeros((500, 7)), tool, goal, wrench, control_period=1e-3)


@pytest.mark.parametrize("name", ARMS)
def test_every_arm_is_drawn_with_its_meshes(name: str) -> None:
    arm = load_arm(name)
    shapes = [c for c in Scene(arm).commands() if c["type"] == "set_object" and c["path"].startswith("/scene/arm/")]
    assert {int(c["path"].split("/")[3]) for c in shapes} >= set(range(1, 7))
    assert not [c for c in shapes if "capsule" in c["path"]]
    assert sum(len(umsgpack.packb(c)) for c in shapes) > 100_000


def test_arm_without_its_meshes_is_drawn_as_capsules(panda: Arm, tmp_path: Path) -> None:
    alone = tmp_path / "panda.urdf"
    alone.write_text(panda.urdf.read_text())
    paths = [c["path"] for c in Scene(altered(panda, urdf=alone)).commands()]
    assert len([path for path in paths if "capsule" in path]) >= 4
    assert not [path for path in paths if path.endswith("link1_0")]


def test_things_are_where_the_arm_says(panda: Arm) -> None:
    q, tool = panda.home + 0.1, panda.tool_in_world(panda.home + 0.1)
    placed = Scene(panda).placements(q, GOAL, [(tool, FORCE)], arrows=2)
    frame = panda.model.frames[panda.tool_id]
    np.testing.assert_allclose(
        placed[f"/scene/arm/{frame.parentJoint}"] @ frame.placement.homogeneous @ [0, 0, 0, 1], [*tool, 1], atol=1e-12
    )
    np.testing.assert_array_equal(placed["/scene/goal"][:3, 3], GOAL)
    assert np.linalg.norm(placed["/scene/push/1"][:3, :3]) < 1e-5  # no second push, no arrow to be seen


@pytest.mark.parametrize("force", [FORCE, (0, 0, 30.0), (0, 0, -30.0), (8.0, 9.0, -10.0)])
def test_arrow_ends_at_the_point_and_goes_with_the_force(panda: Arm, force: tuple[float, ...]) -> None:
    size = np.linalg.norm(force)
    T = Scene(panda).placements(panda.home, GOAL, [(GOAL, np.array(force))], arrows=1)["/scene/push/0"]
    tip, tail = T @ [0, 0, 0, 1], T @ [0, 0, -ARROW, 1]
    np.testing.assert_allclose(tip[:3], GOAL, atol=1e-12)
    np.testing.assert_allclose((tip - tail)[:3], 0.008 * np.array(force), atol=1e-9)
    assert np.linalg.norm(tip - tail) == pytest.approx(0.008 * size)


def test_strand_is_a_tube_around_its_points_and_stands_points_that_coincide() -> None:
    points = np.array([[0, 0, 0], [0, 0, 1.0], [0, 0, 1.0], [0, 1.0, 1.0]])
    plain, beaded = strand(points, 0.01), strand(points, 0.01, 0.05)
    for mesh, thickness in ((plain, 0.01), (beaded, 0.05)):
        assert np.isfinite(mesh.vertices).all()
        assert mesh.faces.max() == len(mesh.vertices) - 1
        off = np.minimum(
            np.linalg.norm(mesh.vertices[:, :2], axis=1), np.linalg.norm(mesh.vertices[:, [0, 2]] - [0, 1], axis=1)
        )
        assert off.max() == pytest.approx(thickness, rel=1e-5)
    for few in (points[:0], points[:1]):  # before the first plan, and at the first picture
        strand(few, 0.01, 0.05).lower({})


def test_page_keeps_the_last_command_of_each_kind_in_order() -> None:
    page = Page()
    first = page.send({"type": "set_property", "path": "/a", "property": "visible", "value": False})
    assert first is not None
    assert page.send({"type": "set_property", "path": "/a", "property": "visible", "value": False}) is None
    page.send({"type": "set_transform", "path": "/a", "matrix": [1.0] * 16})
    page.send({"type": "set_property", "path": "/a", "property": "visible", "value": True})
    page.send({"type": "set_property", "path": "/a", "property": "color", "value": [1.0]})
    html = page.html("a title")
    assert [command.get("value") for command in commands_in(html)] == [True, None, [1.0]]
    assert "<title>a title</title>" in html
    assert not re.search(r"<script[^>]+src=|<link|@import", html)  # nothing to be fetched


def test_browser_hears_pictures_and_nobody_waits_for_it(panda: Arm, tmp_path: Path) -> None:
    now = 0.0
    q, tool, horizon = panda.home + 0.2, panda.tool_in_world(panda.home + 0.2), np.linspace(GOAL, GOAL + 0.1, 11)
    with BrowserView(panda, clock=lambda: now) as view:
        assert not view.wait_for_browser(timeout=0.2)
        assert not view.due  # nobody looks
        view.show(q, GOAL)
        browser = Browser(view.url)
        assert settled(view)
        assert view.due
        view.show(q, GOAL, horizon, [(tool, FORCE)])
        assert not view.due
        view.show(panda.home, GOAL)  # too early: no effect
        now = 1.01 / PICTURES_HZ
        assert settled(view)
        view.show(q, GOAL + 0.1, horizon[:2])
        assert settled(view)
        assert browser.hears(
            lambda heard: [c["path"] for c in heard].count("/scene/trail") == 2
        )  # a picture ends with it
        goals, arrows = matrices(browser.heard, "/scene/goal"), matrices(browser.heard, "/scene/push/0")
        np.testing.assert_allclose([T[:3, 3] for T in goals], [GOAL, GOAL + 0.1])
        np.testing.assert_allclose(arrows[0][:3, 3], tool, atol=1e-12)
        assert np.abs(arrows[1][:3, :3]).max() < 1e-5
        assert len(matrices(browser.heard, "/scene/arm/3")) == 1  # the arm stood still
        assert len([c for c in browser.heard if c["path"] == "/scene/horizon"]) == 2
        late = Browser(view.url)  # hears how things are, not how they came about
        assert late.hears(lambda heard: len(matrices(heard, "/scene/goal")) == 1)
        view.save_html(tmp_path / "new" / "scene.html")
    saved = commands_in((tmp_path / "new" / "scene.html").read_text())
    np.testing.assert_allclose(matrices(saved, "/scene/goal")[0][:3, 3], GOAL + 0.1)
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["scene.html"]
    view.close()


def test_view_follows_plant_controller_and_push(panda: Arm) -> None:
    controller = Controller(ReachTask(panda), RiccatiValue(), GOAL, ControllerSettings(MpcSettings(3)))
    push = ExternalWrench(Step((5.0, 0, 0)), link="panda_link4")
    with BrowserView(panda) as view, BulletPlant(panda) as plant:
        browser = Browser(view.url)
        assert view.wait_for_browser(timeout=10)
        run = {"q0": panda.home, "goals": GOAL, "disturbances": [push]}
        log = simulate(plant, controller, duration=0.3, on_step=view.follow(plant, controller, [push]), **run)
        assert settled(view)
        assert browser.hears(lambda heard: [c["path"] for c in heard].count("/scene/trail") > 1)
    postures = matrices(browser.heard, "/scene/arm/4")
    assert len(postures) < len(log.t) / 3  # far fewer than steps
    data = panda.model.createData()
    places = []
    for q in log.q:
        pin.forwardKinematics(panda.model, data, q)
        places.append(data.oMi[4].homogeneous)
    assert min(np.abs(postures[-1] - place).max() for place in places) < 1e-9
    tips = [T[:3, 3] for T in matrices(browser.heard, "/scene/push/0")]
    assert min(np.abs(tips[-1] - point_in_world(panda, q, "panda_link4")).max() for q in log.q) < 1e-9
    assert [c for c in browser.heard if c["path"] == "/scene/horizon"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/net/tcp")
def test_page_is_for_this_machine_alone_and_ends_with_its_maker() -> None:
    code = (
        "import time\nfrom dvp_mpc.problem.arm import load_arm\nfrom dvp_mpc_sim.viewer import BrowserView\n"
        "view = BrowserView(load_arm('panda'))\nprint(view.url, flush=True)\ntime.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = next(line for line in process.stdout if line.startswith("http"))
    port = int(re.findall(r":(\d+)/", url)[0])
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    assert {row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")} == {f"0100007F:{port:04X}"}
    process.send_signal(signal.SIGKILL)
    process.wait()
    until = time.monotonic() + 10
    while answers("127.0.0.1", port) and time.monotonic() < until:
        time.sleep(0.05)
    assert not answers("127.0.0.1", port)


def answers(host: str, port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex((host, port)) == 0


def test_replay_plays_the_log(panda: Arm, log: Log, tmp_path: Path) -> None:
    replay(log, panda, tmp_path / "new" / "replay.html")
    commands = commands_in((tmp_path / "new" / "replay.html").read_text())
    film = next(command for command in commands if command["type"] == "set_animation")
    assert film["options"] == {"play": True, "repetitions": float("inf")}
    clips = {animation["path"]: animation["clip"] for animation in film["animations"]}
    assert set(clips) == {*(f"/scene/arm/{i}" for i in range(1, 8)), "/scene/goal", "/scene/push/0"}
    tracks = {path: {track["name"]: track for track in clip["tracks"]} for path, clip in clips.items()}
    frames = tracks["/scene/arm/5"][".position"]["times"]
    assert frames == list(range(15))  # 30 a second of half a second
    data = panda.model.createData()
    for frame in frames:
        k = round(1000 * frame / PICTURES_HZ)
        pin.forwardKinematics(panda.model, data, log.q[k])
        at, turn = (tracks["/scene/arm/5"][name]["values"] for name in (".position", ".quaternion"))
        np.testing.assert_allclose(at[3 * frame : 3 * frame + 3], data.oMi[5].translation, atol=1e-12)
        found = pin.Quaternion(np.array(turn[4 * frame : 4 * frame + 4])).matrix()
        np.testing.assert_allclose(found, data.oMi[5].rotation, atol=1e-9)
        np.testing.assert_array_equal(
            tracks["/scene/goal"][".position"]["values"][3 * frame : 3 * frame + 3], log.goal_in_world[k]
        )
        seen = tracks["/scene/push/0"][".scale"]["values"][3 * frame] > 1e-3
        assert seen == (200 <= k < 300)


def test_command_line_shows_and_writes(tmp_path: Path) -> None:
    program = [Path(sys.executable).with_name("dvp-mpc"), "simulate", "--view", "--mcap", "--nodes", "2"]
    args = ["--duration", "0.4", "--disturbance", "impulse:2@0.1", "--out", "run"]
    process = subprocess.Popen([*program, *args], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = next(line for line in process.stdout if line.startswith("open http")).split()[1]
    browser = Browser(url)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "log.mcap" in said
    assert {"log.npz", "log.mcap"} <= {file.name for file in (tmp_path / "run").iterdir()}
    assert browser.hears(lambda heard: [c["path"] for c in heard].count("/scene/horizon") > 2)
    assert len(matrices(browser.heard, "/scene/arm/1")) > 2


@pytest.mark.parametrize(("flag", "module"), [("--view", "viewer"), ("--mcap", "mcap_log")])
def test_missing_extra_is_named(
    flag: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, f"dvp_mpc_sim.{module}", None)
    monkeypatch.chdir(tmp_path)
    assert main(["simulate", flag, "--duration", "0.1"]) == 2
    assert "needs the extra 'sim'" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())
