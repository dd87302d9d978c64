"""The controller as a ROS 2 lifecycle node: messages to arrays, arrays to messages, and who may ask for what when.

    configure    load and verify the model, start the solver process, make it solve once
    activate     watch the state stream for a second; refuse with every reason that speaks against moving
    deactivate   brake to rest, then fall silent

What the arm is asked to do, and when it is held, is decided in dvp_mpc.control; nothing here decides it.
"""

import functools
import sys
from contextlib import ExitStack
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleState
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from dvp_mpc import native
from dvp_mpc.control.controller import Controller
from dvp_mpc.control.intake import Intake
from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.control.planner_process import STARTING, ProcessPlanner
from dvp_mpc.control.realtime import REALTIME, prepare_thread, quiet_gc, raise_threads
from dvp_mpc.control.supervisor import State
from dvp_mpc.errors import NotReady, UnknownChoice, UsageError
from dvp_mpc.models import load_model
from dvp_mpc.value import RiccatiValue, ValueFunction
from dvp_mpc_ros import declared, graph, reports, takeover
from dvp_mpc_ros.command_loop import CommandLoop, StateReader, stamp_clock
from dvp_mpc_ros.compat import Polled
from dvp_mpc_ros.guards import guarded, transition
from dvp_mpc_ros.parameters import Parameters
from dvp_mpc_ros.qos import LATCHED, NEWEST_RELIABLE, NEWEST_STATE
from dvp_mpc_ros.security import check_discovery
from dvp_mpc_ros.spin import BrakingNode, run
from dvp_mpc_ros.targets import Targets

TERMINALS = ("value", "riccati", "zero")
SOLVER_PRIORITY, NODE_PRIORITY = 70, 60  # below the loop's 80: what it waits for must not keep it from its deadline


class ControllerNode(BrakingNode):
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
        self._opened = ExitStack()  # what configure made, to be given back in reverse
        self._targets: Targets | None = None
        self._safety = self.create_publisher(String, "~/safety_state", LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(1.0, self._publish_diagnostics)
        self._publish_safety()

    # --- lifecycle -------------------------------------------------------------------------------------------------

    @transition
    def on_configure(self, state: LifecycleState) -> None:
        """Load and verify everything; the solver process has solved once when this succeeds."""
        if self._bad_parameters:
            raise UsageError("; ".join(self._bad_parameters.values()))
        chosen = self._chosen = declared.read(self, Parameters)
        if warning := check_discovery(chosen.require_closed_discovery):
            self.get_logger().warning(warning)
        if missing := native.load()[1]:
            self.get_logger().warning(
                f"the slower solver is used, which misses a step now and then: native code {missing}"
            )
        for name, choices in (("terminal", TERMINALS), ("realtime", REALTIME)):
            if getattr(chosen, name) not in choices:
                raise UnknownChoice(name, getattr(chosen, name), choices)
        settings = chosen.controller
        self._task, value, card = load_model(chosen.model, chosen.arm or None)
        terminals: dict[str, ValueFunction | None] = {"value": value, "riccati": RiccatiValue(), "zero": None}
        self._terminal = terminals[chosen.terminal]
        try:
            self._open(chosen, settings.mpc)
        except BaseException:
            self._close()
            raise
        self.get_logger().info(
            f"configured: {chosen.model} for {self._task.arm.name}, value of {card['date']}, {chosen.nodes} nodes, "
            f"{chosen.rate_hz:g} Hz"
        )
        self._objection = ""

    @transition
    def on_activate(self, state: LifecycleState) -> None:
        """Take over, if nothing speaks against it."""
        chosen = self._chosen
        assert self._planner is not None
        readiness, objections = takeover.watch_states(self, self._states, self._reader, self._task.arm)
        objections += self._objections_to_others()
        if failure := takeover.solver_failure(self._planner):
            objections.append(failure)
        if objections:
            raise NotReady("; ".join(objections))
        goal = takeover.first_goal(self._task, readiness.posture, chosen.initial_goal)
        controller = Controller(self._task, self._terminal, goal, chosen.controller, planner=self._planner)
        self.loop = CommandLoop(
            controller, self._reader, self._publisher, chosen.realtime, tuple(chosen.cpus), self.get_logger().fatal
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
        self._objection = ""
        if self._targets is not None:
            self._targets.forget()

    @transition
    def on_deactivate(self, state: LifecycleState) -> None:
        """Brake to rest, then fall silent."""
        self.come_to_rest()

    @transition
    def on_cleanup(self, state: LifecycleState) -> None:
        """Give back what configure took."""
        self._close()

    @transition
    def on_shutdown(self, state: LifecycleState) -> None:
        """From any state to the end."""
        self.come_to_rest()
        self._close()

    @transition
    def on_error(self, state: LifecycleState) -> None:
        """Back to unconfigured, by way of rest."""
        self.come_to_rest()
        self._close()

    def brake(self) -> None:
        """Begin to come to rest; may be called from any thread."""
        if (loop := self.loop) is not None:
            loop.controller.stop()

    def come_to_rest(self) -> None:
        """End the command loop with the arm at rest. The last command is the torque that holds it there."""
        loop, self.loop = self.loop, None
        if loop is None:
            return
        if failure := loop.brake():
            self.get_logger().error(failure)
        loop.stop()
        self._quiet.__exit__(None, None, None)
        self._publish_safety()

    def _open(self, chosen: Parameters, settings: MpcSettings) -> None:
        arm, opened = self._task.arm, self._opened
        first = takeover.first_goal(self._task, arm.home, chosen.initial_goal)
        terminal = self._arm_injector(chosen.fault_plan) if chosen.fault_plan else self._terminal
        # What is enforced is the loop's; a slow plan costs no torque.
        rights = "off" if chosen.realtime == "off" else "try"
        prepare = functools.partial(prepare_thread, rights, (), SOLVER_PRIORITY)
        self._planner = ProcessPlanner(self._task, first, terminal, settings, prepare)
        opened.callback(self._planner.close)
        topic = "~/dry_run/commands" if chosen.dry_run else chosen.command_topic
        self._publisher = self.create_publisher(Float64MultiArray, topic, NEWEST_RELIABLE)
        opened.callback(self.destroy_publisher, self._publisher)
        self._states = self.create_subscription(
            JointState, chosen.joint_states_topic, lambda message: None, NEWEST_STATE, callback_group=Polled(), raw=True
        )
        opened.callback(self.destroy_subscription, self._states)
        self._reader = StateReader(self._states, Intake(arm.joint_names), stamp_clock(self, opened))
        self._path = self.create_publisher(MarkerArray, "~/predicted_path", 1)
        opened.callback(self.destroy_publisher, self._path)
        self._targets = Targets(self, [*chosen.world_frames, arm.model.frames[1].name])
        opened.callback(self._targets.close)
        opened.callback(self.destroy_service, self.create_service(Trigger, "~/reset_fault", self._on_reset_fault))
        # A target each 50 ms at most, and a changed state is said within as much.
        for seconds, callback in ((0.05, self._serve), (0.2, self._look_around), (0.1, self._publish_path)):
            opened.callback(self.destroy_timer, self.create_timer(seconds, callback))
        if chosen.realtime != "off":
            raise_threads(NODE_PRIORITY)

    def _close(self) -> None:
        self._planner = self._targets = None
        self._opened.close()

    def _arm_injector(self, path: str) -> Any:
        from dvp_mpc_ros.injection import inject_into_process

        self.get_logger().warning(f"faults of {path} will be injected into this process")
        return inject_into_process(path, self._terminal)

    # --- callbacks -------------------------------------------------------------------------------------------------

    def _on_set_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        fixed = [change.name for change in changes if change.name in Parameters.__dataclass_fields__]
        if fixed and self._planner is not None:
            return SetParametersResult(successful=False, reason=f"{fixed[0]} is fixed once the node is configured")
        for name in fixed:
            self._bad_parameters.pop(name, None)  # rclpy has checked the new value
        return SetParametersResult(successful=True)

    @guarded
    def _serve(self) -> None:
        if self._targets is not None:
            self._targets.serve(self.loop.controller if self.loop is not None else None)
        self._publish_safety()

    @guarded
    def _on_reset_fault(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        loop = self.loop
        try:
            if loop is None:
                raise NotReady("the node is not active")
            objections = graph.objections_to_states(self, self._states) + self._objections_to_others()
            if objections:
                raise NotReady("; ".join(objections))
            loop.reset()
            response.success, response.message = True, "fault reset; the arm is armed again once it is at rest"
        except NotReady as error:
            response.success, response.message = False, str(error)
        return response

    @guarded
    def _look_around(self) -> None:
        """Who else talks, and whether the solver lives."""
        if self._planner is None or self._targets is None:
            return
        loop = self.loop
        if loop is not None:
            for stranger in graph.strangers(self, self._states, self._publisher, self._targets.subscriptions):
                loop.controller.fault(stranger)
        failure = self._planner.failure
        if failure not in ("", STARTING) and (loop is None or loop.controller.state is State.FAULT):
            self.get_logger().error(f"{failure}; starting another; the arm stays as it is until somebody asks")
            self._planner.restart()

    def _objections_to_others(self) -> list[str]:
        assert self._targets is not None
        found = graph.objections_to_targets(self, self._targets.subscriptions)
        return found if self._chosen.dry_run else found + graph.objections_to_commands(self, self._publisher)

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
        text = reports.safety_text(self.loop, self._objection)
        if text != self._said:
            self._said = text
            self._safety.publish(String(data=text))
            if self.loop is not None:
                self.get_logger().info(f"safety state: {text}")

    @guarded
    def _publish_diagnostics(self) -> None:
        pid = self._planner.pid if self._planner is not None else 0
        refused = self._targets.refused if self._targets is not None else ""
        self._diagnostics.publish(reports.diagnostics(self, self.loop, self._said, refused, pid))

    @guarded
    def _publish_path(self) -> None:
        if self.loop is not None and self._path.get_subscription_count() > 0:
            self._path.publish(reports.predicted_path(self.loop.controller, self.get_clock().now().to_msg()))


def main() -> int:
    """Run the node until SIGINT or SIGTERM; the exit code."""
    return run(ControllerNode)


if __name__ == "__main__":
    sys.exit(main())
