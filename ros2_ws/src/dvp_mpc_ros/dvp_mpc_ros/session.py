"""A plant and a controller as two processes, driven through their ROS interfaces: what the demo and the fault rows share."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PointStamped, WrenchStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import String
from std_srvs.srv import Trigger

from dvp_mpc.errors import RunFailed
from dvp_mpc_ros.qos import LATCHED

PLANT, CONTROLLER = "dvp_mpc_ros.plant_node", "dvp_mpc_ros.controller_node"
START, TRANSITION, ARMED = 60.0, 30.0, 20.0  # [s]
ATTEMPTS, PAUSE = 3, 3.0  # [s] discovery may lose a word, which it says again after some 3 s
REACHED = {
    Transition.TRANSITION_CONFIGURE: "inactive",
    Transition.TRANSITION_ACTIVATE: "active",
    Transition.TRANSITION_DEACTIVATE: "inactive",
}
ACQUAINTANCE = 0.1  # [s] a service that we see may not see us yet, and its answer would go to nobody


class Process:
    """One node as a process of its own, its output in a file."""

    def __init__(
        self, module: str, parameters: Mapping[str, Any], folder: Path, name: str, environment: Mapping[str, str]
    ):
        self.name, self.log = name, folder / f"{name}.log"
        arguments = [word for key, value in parameters.items() for word in ("-p", f"{key}:={_yaml(value)}")]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, "--ros-args", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(environment),
                start_new_session=True,  # Ctrl-C is ours; they are ended in their order
            )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def end(self, seconds: float = 5.0) -> int:
        """SIGINT, then wait; the exit code. A process that does not end is killed, and gives -9."""
        if self.process.poll() is None:
            self.signal(signal.SIGINT)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()

    def last_words(self) -> str:
        """The end of its output."""
        return " | ".join(self.log.read_text(errors="replace").strip().splitlines()[-3:])


class Session:
    """Plant and controller, and a node that talks to both. A context: leaving it ends everything.

    The record of the plant is at folder/record.npz once `end` has returned.
    """

    def __init__(self, folder: Path, plant: Mapping[str, Any], controller: Mapping[str, Any]):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "record.npz").unlink(missing_ok=True)
        os.environ.setdefault("ROS_DOMAIN_ID", str(20 + os.getpid() % 80))
        os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        self.states: list[tuple[float, str]] = []
        """(monotonic time [s], safety state) as it changed."""
        self.figures: dict[str, str] = {}
        """The newest diagnostics of the controller."""
        self.reports = 0  # diagnostics that came
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
        self.node = rclpy.create_node("session", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.node.create_subscription(String, "/mpc_controller/safety_state", self._on_state, LATCHED)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._goal = self.node.create_publisher(PointStamped, "/mpc_controller/target_position", 1)
        self._wrench = self.node.create_publisher(WrenchStamped, "/plant/wrench", 1)
        self._environment = dict(os.environ)
        self.plant = Process(PLANT, {"record": str(folder / "record.npz"), **plant}, folder, "plant", self._environment)
        self.controller = Process(CONTROLLER, controller, folder, "controller", self._environment)

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def end(self) -> tuple[int, int]:
        """End controller and plant, in this order; their exit codes."""
        return self.controller.end(), self.plant.end()

    def restart_controller(self, controller: Mapping[str, Any], **environment: str) -> None:
        """End the controller, which must be able to end (a killed one haunts the graph for seconds), and start another."""
        self.controller.end()
        self.states.clear()
        self.figures.clear()
        self.controller = Process(CONTROLLER, controller, self.folder, "controller", self._environment | environment)

    def spin(self, seconds: float) -> None:
        """Let messages come in for a while."""
        self.spin_until(lambda: False, seconds)

    def spin_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Let messages come in until the condition holds; False when it does not in time."""
        until = time.monotonic() + seconds
        while not condition():
            if (left := until - time.monotonic()) <= 0:
                return False
            self._executor.spin_once(timeout_sec=min(left, 0.05))
        return True

    @property
    def safety_state(self) -> str:
        """The newest safety state, "" before the first."""
        return self.states[-1][1] if self.states else ""

    def take_over(self) -> None:
        """Configure and activate, once the plant runs, until the arm is tracked. Raises RunFailed with the reason."""
        if not self.spin_until(self._plant_runs, START):
            raise RunFailed(f"the plant does not start; {self._last_words()}")
        if not self.configure():
            self.spin(0.2)  # the reason comes on a topic, after the answer
            raise RunFailed(f"configure failed: {self.safety_state}")
        for _ in range(ATTEMPTS):
            if self.activate():
                break
            self.spin(PAUSE)
        else:
            raise RunFailed(f"activate failed: {self.safety_state}")
        if not self.spin_until(lambda: self.safety_state == "tracking", ARMED):
            raise RunFailed(f"the controller does not track: {self.safety_state}")

    def _plant_runs(self) -> bool:
        if self.plant.process.poll() is not None:
            raise RunFailed(f"the plant ended; {self._last_words()}")
        return self.node.count_publishers("/joint_states") > 0

    def configure(self) -> bool:
        """Ask the controller to configure; whether it did."""
        return self.change_state(Transition.TRANSITION_CONFIGURE, START)

    def activate(self) -> bool:
        """Ask the controller to take over; whether it did."""
        return self.change_state(Transition.TRANSITION_ACTIVATE)

    def deactivate(self) -> bool:
        """Ask the controller to come to rest and fall silent; whether it did."""
        return self.change_state(Transition.TRANSITION_DEACTIVATE)

    def change_state(self, transition: int, seconds: float = TRANSITION) -> bool:
        """Ask for a lifecycle transition; whether it took place. Raises RunFailed when nobody answers.

        An answer may be lost to a client that the service does not see yet. The state then says whether it was done; where it
        was not, it is asked again.
        """
        request = ChangeState.Request()
        request.transition.id = transition
        for _ in range(ATTEMPTS - 1):
            try:
                return self._change_state(request, seconds)
            except RunFailed:
                if self.controller.process.poll() is not None:
                    raise
                if self.lifecycle_state() == REACHED[transition]:
                    return True
        return self._change_state(request, seconds)

    def _change_state(self, request: Any, seconds: float) -> bool:
        return bool(self.call(ChangeState, "/mpc_controller/change_state", request, seconds).success)

    def lifecycle_state(self) -> str:
        """unconfigured, inactive, active or finalized."""
        return str(self.call(GetState, "/mpc_controller/get_state", GetState.Request()).current_state.label)

    def reset_fault(self) -> tuple[bool, str]:
        """Ask for a reset of a fault: whether it was done, and the answer."""
        answer = self.call(Trigger, "/mpc_controller/reset_fault", Trigger.Request())
        return bool(answer.success), str(answer.message)

    def call(self, kind: Any, name: str, request: Any, seconds: float = TRANSITION) -> Any:
        """Call a service and wait. Raises RunFailed when nobody answers, with the last words of the processes."""
        client: Any = self.node.create_client(kind, name)
        try:
            if not self.spin_until(client.service_is_ready, START):
                raise RunFailed(f"no service {name}; {self._last_words()}")
            self.spin(ACQUAINTANCE)
            future = client.call_async(request)
            if not self.spin_until(future.done, seconds):
                raise RunFailed(f"no answer from {name} within {seconds:g} s; {self._last_words()}")
            return future.result()
        finally:
            self.node.destroy_client(client)

    def send_goal(self, goal_in_world: np.ndarray) -> float:
        """Send a goal (3,) [m]; when [s, monotonic]."""
        message = PointStamped()
        message.header.stamp = self.node.get_clock().now().to_msg()
        message.point.x, message.point.y, message.point.z = map(float, goal_in_world)
        self._goal.publish(message)
        return time.monotonic()

    def push(self, force_in_world: np.ndarray) -> None:
        """Push the tool with (3,) [N] for the tenth of a second that the plant holds a wrench."""
        message = WrenchStamped()
        force = message.wrench.force
        force.x, force.y, force.z = map(float, force_in_world)
        self._wrench.publish(message)

    def record(self) -> dict[str, np.ndarray]:
        """What the plant recorded. Raises RunFailed when it left none."""
        path = self.folder / "record.npz"
        if not path.is_file():
            raise RunFailed(f"the plant left no record; {self._last_words()}")
        with np.load(path) as file:
            return {name: file[name] for name in file.files}

    def _last_words(self) -> str:
        return "; ".join(f"{p.name}: {p.last_words()}" for p in (self.plant, self.controller))

    def _on_state(self, message: String) -> None:
        self.states.append((time.monotonic(), message.data))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith("mpc_controller"):
                self.figures = {pair.key: pair.value for pair in status.values}
                self.reports += 1


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_yaml(entry) for entry in value) + "]"
    if isinstance(value, str) and not isinstance(yaml.safe_load(value), str):  # "off" is a boolean unless it is quoted
        return json.dumps(value)
    return repr(value) if isinstance(value, float) else str(value)
