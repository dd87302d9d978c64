"""The controller as a ROS 2 lifecycle node: messages to arrays, arrays to messages, and who may ask for what when.

    configure    load and verify the model, start the solver process, make it solve once
    activate     watch the state stream for a second; refuse with every reason that speaks against moving
    deactivate   brake to rest, then fall silent

What the arm is asked to do, and when it is held, is decided in dvp_mpc.control; nothing here decides it.
"""

import functools
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PointStamped, PoseStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from rcl_interfaces.msg import SetParametersResult
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from dvp_mpc.control.controller import Controller
from dvp_mpc.control.intake import Intake
from dvp_mpc.control.planner_process import ProcessPlanner
from dvp_mpc.control.readiness import WATCH, Readiness
from dvp_mpc.control.realtime import REALTIME, prepare_thread, quiet_gc, raise_other_threads
from dvp_mpc.control.supervisor import State
from dvp_mpc.control.target import read_target
from dvp_mpc.errors import DvpError, GoalError, NotReady, UnknownChoice, UsageError
from dvp_mpc.models import load_model
from dvp_mpc.value import RiccatiValue
from dvp_mpc_ros import declared, graph, reports
from dvp_mpc_ros.command_loop import CommandLoop, StateReader
from dvp_mpc_ros.compat import Polled
from dvp_mpc_ros.parameters import Parameters
from dvp_mpc_ros.qos import LATCHED, NEWEST_RELIABLE, NEWEST_STATE

TERMINALS = ("value", "riccati", "zero")
REST_WITHIN = 1.0  # [s] HOLD stops an arm in a third of it
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
Callback = Callable[..., Any]


def _guarded(callback: Callback) -> Callback:
    """An exception in a callback would end the executor and with it the node: log it and latch a fault instead."""

    @functools.wraps(callback)
    def safe(self: "ControllerNode", *args: Any) -> Any:
        try:
            return callback(self, *args)
        except Exception as error:
            self.fail(f"{type(error).__name__} in {callback.__name__.strip('_')}: {error}")
            return args[-1] if len(args) == 2 else None  # a service must return its response

    return safe


def _transition(callback: Callback) -> Callback:
    """rclpy swallows what a transition raises: say it, and refuse the transition."""

    @functools.wraps(callback)
    def safe(self: "ControllerNode", state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return callback(self, state)
        except DvpError as error:
            self.refuse(f"{callback.__name__.removeprefix('on_')} refused: {error}")
        except Exception as error:
            self.refuse(f"{callback.__name__.removeprefix('on_')} failed: {type(error).__name__}: {error}")
        return FAILURE

    return safe


class ControllerNode(LifecycleNode):
    """One arm, one value, one command topic."""

    def __init__(self) -> None:
        super().__init__("mpc_controller")
        self._bad_parameters: dict[str, str] = {}
        declared.declare(self, Parameters, read_only=False, objections=self._bad_parameters)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self.loop: CommandLoop | None = None
        self._planner: ProcessPlanner | None = None
        self._objection = ""  # why the last transition was refused
        self._said = ""  # last safety state that was published
        self._target: tuple[str, Any] | None = None
        self._target_refused = ""
        self._safety = self.create_publisher(String, "~/safety_state", LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(1.0, self._publish_diagnostics)
        self._publish_safety()

    # --- lifecycle -------------------------------------------------------------------------------------------------

    @_transition
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and verify everything; the solver process has solved once when this succeeds."""
        if self._bad_parameters:
            raise UsageError("; ".join(self._bad_parameters.values()))
        chosen = self._chosen = declared.read(self, Parameters)
        self._check_discovery(chosen.require_closed_discovery)
        settings = chosen.controller
        if chosen.terminal not in TERMINALS:
            raise UnknownChoice("terminal", chosen.terminal, TERMINALS)
        if chosen.realtime not in REALTIME:
            raise UnknownChoice("realtime", chosen.realtime, REALTIME)
        self._task, value, card = load_model(chosen.model, chosen.arm or None)
        self._terminal = {"value": value, "riccati": RiccatiValue(), "zero": None}[chosen.terminal]
        terminal = self._terminal
        if chosen.fault_plan:
            terminal = self._arm_injector(chosen.fault_plan, terminal)
        if chosen.initial_goal:
            self._task.goal(np.array(chosen.initial_goal))
        goal = self._task.goal(np.array(chosen.initial_goal or self._task.arm.tool_in_world(self._task.arm.home)))
        prepare = functools.partial(prepare_thread, "try" if chosen.realtime == "enforce" else chosen.realtime, (), 70)
        self._planner = ProcessPlanner(self._task, goal, terminal, settings.mpc, prepare)
        self._open(chosen)
        if chosen.realtime != "off":
            raise_other_threads(60)  # the middleware's: states must come in whatever else the machine does
        self.get_logger().info(
            f"configured: {chosen.model} for {self._task.arm.name}, value of {card['date']}, {chosen.nodes} nodes, "
            f"{chosen.rate_hz:g} Hz, solver process {self._planner.pid}"
        )
        self._objection = ""
        return SUCCESS

    @_transition
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take over, if nothing speaks against it."""
        chosen = self._chosen
        assert self._planner is not None
        if self._planner.failure:
            self._planner.restart()
        objections = self._watch_before_moving()
        if not chosen.dry_run:
            objections += graph.objections_to_commands(self, self._publisher)
        if self._planner.failure:
            objections.append(self._planner.failure)
        if objections:
            raise NotReady("; ".join(objections))
        controller = Controller(
            self._task, self._terminal, self._first_goal(), chosen.controller, planner=self._planner
        )
        self.loop = CommandLoop(
            controller, self._reader, self._publisher, chosen.realtime, tuple(chosen.cpus), self._on_loop_death
        )
        self._quiet = quiet_gc()
        self._quiet.__enter__()
        try:
            self.loop.start()
        except BaseException:
            self.loop = None
            self._quiet.__exit__(None, None, None)
            raise
        self.get_logger().info(
            f"active{' (dry run)' if chosen.dry_run else ''}: commands on {self._publisher.topic_name}; {self.loop.granted}"
        )
        self._objection, self._target = "", None
        return SUCCESS

    @_transition
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Brake to rest, then fall silent."""
        self.come_to_rest()
        return SUCCESS

    @_transition
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give back what configure took."""
        self._close()
        return SUCCESS

    @_transition
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """From any state to the end."""
        self.come_to_rest()
        self._close()
        return SUCCESS

    @_transition
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Back to unconfigured, by way of rest."""
        self.come_to_rest()
        self._close()
        return SUCCESS

    def brake(self) -> None:
        """Begin to come to rest; may be called from any thread."""
        if (loop := self.loop) is not None:
            loop.controller.stop()

    def come_to_rest(self) -> None:
        """End the command loop with the arm at rest. The last command is the torque that holds it there."""
        loop, self.loop = self.loop, None
        if loop is None:
            return
        loop.controller.stop()
        until, still = time.monotonic() + REST_WITHIN, 0
        while loop.alive and time.monotonic() < until and still < 5:
            time.sleep(0.01)
            still = still + 1 if loop.controller.at_rest and loop.controller.state is State.STOPPING else 0
        if still < 5:
            self.get_logger().error("the arm did not come to rest within a second; commands end all the same")
        loop.stop()
        self._quiet.__exit__(None, None, None)
        self._publish_safety()

    def _open(self, chosen: Parameters) -> None:
        command_topic = "~/dry_run/commands" if chosen.dry_run else chosen.command_topic
        self._publisher = self.create_publisher(Float64MultiArray, command_topic, NEWEST_RELIABLE)
        self._states = self.create_subscription(
            JointState, chosen.joint_states_topic, lambda message: None, NEWEST_STATE, callback_group=Polled(), raw=True
        )
        self._reader = StateReader(self._states, Intake(self._task.arm.joint_names), self.get_clock())
        self._path = self.create_publisher(MarkerArray, "~/predicted_path", 1)
        self._targets = [
            self.create_subscription(PointStamped, "~/target_position", self._on_target_position, 1),
            self.create_subscription(PoseStamped, "~/target_pose", self._on_target_pose, 1),
        ]
        self._reset = self.create_service(Trigger, "~/reset_fault", self._on_reset_fault)
        # The first also says a changed state within 50 ms, and takes one target each: the rate of a flood does not matter.
        self._while_configured = [
            self.create_timer(0.05, self._serve_targets),
            self.create_timer(0.2, self._look_around),
            self.create_timer(0.1, self._publish_path),
        ]

    def _close(self) -> None:
        if self._planner is None:
            return
        self._planner.close()
        self._planner = None
        for timer in self._while_configured:
            self.destroy_timer(timer)
        for subscription in (*self._targets, self._states):
            self.destroy_subscription(subscription)
        for publisher in (self._publisher, self._path):
            self.destroy_publisher(publisher)
        self.destroy_service(self._reset)

    # --- before moving ---------------------------------------------------------------------------------------------

    def _watch_before_moving(self) -> list[str]:
        """Watch the state stream for a second, and the graph."""
        self._reader.publisher, self._reader.strangers = None, 0
        readiness, began, self._last_sample = Readiness(self._task.arm), time.monotonic(), None
        while (now := time.monotonic()) < began + WATCH:
            seen = self._reader.newest(now)
            if seen is not None:
                readiness.see(seen)
                self._last_sample = seen
            time.sleep(0.002)
        return graph.objections_to_states(self, self._states) + readiness.objections(WATCH)

    def _first_goal(self) -> np.ndarray:
        if self._chosen.initial_goal:
            return np.array(self._chosen.initial_goal)
        here = self._task.arm.tool_in_world(self._last_sample.q)
        try:
            self._task.goal(here)
        except GoalError as error:
            raise NotReady(f"the tool cannot be held where it is ({error}); move it, or set initial_goal") from error
        return here

    def _check_discovery(self, required: bool) -> None:
        open_range = os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET").upper() not in ("LOCALHOST", "OFF")
        secure = os.environ.get("ROS_SECURITY_ENABLE", "").lower() == "true"
        if secure and os.environ.get("ROS_SECURITY_STRATEGY", "").lower() != "enforce":
            raise NotReady("ROS_SECURITY_ENABLE is true but ROS_SECURITY_STRATEGY is not Enforce: it would fail open")
        if not open_range or secure:
            return
        text = "anybody on the network can command this arm: set ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST or use ROS security"
        if required:
            raise NotReady(f"require_closed_discovery: {text}")
        self.get_logger().warning(text)

    def _arm_injector(self, path: str, terminal: Any) -> Any:
        from dvp_mpc_ros.injection import inject_into_process

        self.get_logger().warning(f"faults of {path} will be injected into this process")
        return inject_into_process(path, terminal)

    # --- callbacks -------------------------------------------------------------------------------------------------

    def _on_set_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        fixed = [change.name for change in changes if change.name in Parameters.__dataclass_fields__]
        if fixed and self._planner is not None:
            return SetParametersResult(successful=False, reason=f"{fixed[0]} is fixed once the node is configured")
        for name in fixed:
            self._bad_parameters.pop(name, None)  # rclpy has checked the new value
        return SetParametersResult(successful=True)

    @_guarded
    def _on_target_position(self, message: PointStamped) -> None:
        self._target = ("target_position", message)

    @_guarded
    def _on_target_pose(self, message: PoseStamped) -> None:
        self._target = ("target_pose", message)

    @_guarded
    def _serve_targets(self) -> None:
        (target, self._target), loop = (self._target, None), self.loop
        if target is not None and loop is None:
            self._target_refused = f"{target[0]} refused: the node is not active"
        elif target is not None and loop is not None:
            name, message = target
            position, quaternion = (message.point, None) if name == "target_position" else _pose(message)
            stamp, frames = message.header.stamp, [*self._chosen.world_frames, self._task.arm.model.frames[1].name]
            try:
                point = read_target(
                    message.header.frame_id,
                    (position.x, position.y, position.z),
                    stamp.sec * 1_000_000_000 + stamp.nanosec,
                    self.get_clock().now().nanoseconds,
                    frames,
                    quaternion,
                )
                loop.controller.set_goal(point)
                self._target_refused = ""
            except GoalError as error:
                self._target_refused = f"{name} refused, the goal before is kept: {error}"
                self.get_logger().warning(self._target_refused)
        self._publish_safety()

    @_guarded
    def _on_reset_fault(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        loop = self.loop
        try:
            if loop is None:
                raise NotReady("the node is not active")
            objections = graph.objections_to_states(self, self._states)
            if objections:
                raise NotReady("; ".join(objections))
            self._reader.strangers = 0
            loop.controller.reset()
            response.success, response.message = True, "fault reset; the arm is armed again once it is at rest"
        except NotReady as error:
            response.success, response.message = False, str(error)
        return response

    @_guarded
    def _look_around(self) -> None:
        """Who else talks, and whether the solver lives."""
        loop = self.loop
        if loop is None or self._planner is None:
            return
        for stranger in graph.strangers(self, self._states, self._publisher, self._targets):
            loop.controller.fault(stranger)
        if loop.controller.state is State.FAULT and self._planner.failure not in ("", "the solver is starting"):
            self.get_logger().error(f"{self._planner.failure}; starting another; reset_fault when it is there")
            self._planner.restart()

    def _on_loop_death(self, error: BaseException) -> None:
        self.get_logger().fatal(f"the command loop ended: {type(error).__name__}: {error}")

    def fail(self, reason: str) -> None:
        """Latch a fault, if there is an arm to be held, and say it in any case."""
        self.get_logger().error(reason)
        if self.loop is not None:
            self.loop.controller.fault(reason)

    def refuse(self, reason: str) -> None:
        """Say why a transition does not take place."""
        self._objection = reason
        self.get_logger().error(reason)
        self._publish_safety()

    # --- reports ---------------------------------------------------------------------------------------------------

    def _publish_safety(self) -> None:
        text = reports.safety_text(self.loop.controller if self.loop else None, self._objection)
        if text != self._said:
            self._said = text
            self._safety.publish(String(data=text))
            if self.loop is not None:
                self.get_logger().info(f"safety state: {text}")

    @_guarded
    def _publish_diagnostics(self) -> None:
        pid = self._planner.pid if self._planner is not None else 0
        self._diagnostics.publish(reports.diagnostics(self, self.loop, self._said, self._target_refused, pid))

    @_guarded
    def _publish_path(self) -> None:
        if self.loop is not None and self._path.get_subscription_count() > 0:
            self._path.publish(reports.predicted_path(self.loop.controller, self.get_clock().now().to_msg()))


def _pose(message: PoseStamped) -> tuple[Any, tuple[float, ...]]:
    turn = message.pose.orientation
    return message.pose.position, (turn.x, turn.y, turn.z, turn.w)


def main() -> None:
    """Run the node until SIGINT or SIGTERM, then bring the arm to rest and exit with 0."""
    sys.setswitchinterval(2e-4)  # the command loop must not wait 5 ms for a callback to let go of Python's lock
    ending, (arrival, departure) = threading.Event(), socket.socketpair()
    departure.setblocking(False)
    signal.set_wakeup_fd(departure.fileno())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    # rclpy's own handlers would close the publishers at once, with the arm in motion.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = ControllerNode()

    def wait_for_signal() -> None:
        arrival.recv(1)  # a handler would have to wait until the executor lets go of the main thread
        ending.set()
        node.brake()

    threading.Thread(target=wait_for_signal, name="signals", daemon=True).start()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not ending.is_set():
        try:
            executor.spin_once(timeout_sec=0.05)
        except Exception as error:  # a message that cannot be read is raised here, outside of any callback
            node.fail(f"{type(error).__name__} in the executor: {error}")
    node.come_to_rest()
    node.trigger_shutdown()
    node.destroy_node()
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
