"""Real rclpy over real DDS; each test in a ROS domain of its own that no other process of this machine is in."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="the extra `ros` is not installed", exc_type=ModuleNotFoundError)

import rclpy
from dvp_mpc_ros.qos import NEWEST_RELIABLE, NEWEST_STATE
from dvp_mpc_ros.session import Session
from geometry_msgs.msg import WrenchStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String

COMMANDS = "/effort_controller/commands"
ALL_LATCHED = QoSProfile(depth=20, durability=DurabilityPolicy.TRANSIENT_LOCAL)

_next = os.getpid() % 100


def _free_domain() -> int:
    """A domain whose first participant's port is free: the port is 7410 + 250 domain."""
    global _next
    for _ in range(100):
        _next = _next % 100 + 1  # above 101 the ports reach those that Linux gives to anybody
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", 7410 + 250 * _next))
            except OSError:
                continue
            return _next
    raise RuntimeError("all ROS domains of this machine are taken")


@pytest.fixture(autouse=True)
def domain(monkeypatch: pytest.MonkeyPatch) -> int:
    """A domain of this test's own."""
    number = _free_domain()
    monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    return number


@pytest.fixture
def peer() -> Iterator["Peer"]:
    """A node that talks to the one under test."""
    peer = Peer()
    yield peer
    peer.close()


class Peer:
    """A node with its executor, in the test's process."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, signal_handler_options=SignalHandlerOptions.NO)
        self.node: Node = rclpy.create_node("peer", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Session]]:
    """start(controller parameters..., plant={...}): a session, ended with the test."""
    sessions: list[Session] = []

    def start(plant: dict[str, Any] | None = None, **controller: Any) -> Session:
        session = Session(tmp_path / f"session{len(sessions)}", plant or {}, controller)
        sessions.append(session)
        return session

    yield start
    for session in sessions:
        session.__exit__(None, None, None)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A controller without a plant, to be restarted with other parameters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", "101")  # the tests' own go to 100
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        session = Session(tmp_path_factory.mktemp("one"), {}, {})
    session.plant.end()
    yield session
    session.__exit__(None, None, None)


def command_line(parameters: dict[str, Any]) -> list[str]:
    words = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    return [sys.executable, "-m", "dvp_mpc_ros.plant_node", "--ros-args", *words]


class Plant:
    """The node under test, and what a test needs to meet it."""

    def __init__(self, peer: Any, folder: Path, **parameters: Any):
        self.peer, self.node, self._path = peer, peer.node, folder / "record.npz"
        self.states: list[JointState] = []
        self.modes: list[str] = []
        self.node.create_subscription(JointState, "joint_states", self.states.append, NEWEST_STATE)
        self.node.create_subscription(
            String, "/plant/mode", lambda message: self.modes.append(message.data), ALL_LATCHED
        )
        self._commands = self.node.create_publisher(Float64MultiArray, COMMANDS, NEWEST_RELIABLE)
        self._wrench = self.node.create_publisher(WrenchStamped, "/plant/wrench", 10)
        self._log = folder / "log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                command_line({"record": str(self._path), **parameters}), stdout=log, stderr=subprocess.STDOUT
            )
        assert self.until(lambda: self.states and self.modes and self._wrench.get_subscription_count() > 0, 20), (
            self.log
        )
        self.until(lambda: self._commands.get_subscription_count() > 0, 5)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Spin until the condition holds; False when the time is over."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end or self.process.poll() is not None:
                return False
            self.peer.executor.spin_once(timeout_sec=0.01)
        return True

    def command(self, torque: np.ndarray, seconds: float, rate_hz: float = 200) -> None:
        """Send a torque for a while, in real time where that is granted: a sender that stands still is another test."""
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
        begin, message = time.monotonic(), Float64MultiArray(data=np.asarray(torque, dtype=float).tolist())
        for k in range(round(seconds * rate_hz)):
            self._commands.publish(message)
            time.sleep(max(0.0, begin + (k + 1) / rate_hz - time.monotonic()))
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))

    def push(self, *wrench: float, link: str = "") -> None:
        message = WrenchStamped()
        message.header.frame_id = link
        force, torque = message.wrench.force, message.wrench.torque
        force.x, force.y, force.z, torque.x, torque.y, torque.z = map(float, wrench)  # an int would arrive as NaN
        self._wrench.publish(message)

    def end(self, number: signal.Signals = signal.SIGINT) -> dict[str, np.ndarray]:
        """End the node by a signal; its record."""
        self.process.send_signal(number)
        assert self.process.wait(10) == 0, self.log
        with np.load(self._path) as file:
            return dict(file)


@pytest.fixture
def plant_command() -> Callable[[dict[str, Any]], list[str]]:
    """plant_command(parameters): what starts a plant node."""
    return command_line


@pytest.fixture
def plant(peer: Any, tmp_path: Path) -> Iterator[Callable[..., Plant]]:
    """plant(**parameters): a running node."""
    plants: list[Plant] = []

    def start(**parameters: Any) -> Plant:
        plants.append(Plant(peer, tmp_path, **parameters))
        return plants[-1]

    yield start
    for each in plants:
        each.process.kill()
        each.process.wait()
