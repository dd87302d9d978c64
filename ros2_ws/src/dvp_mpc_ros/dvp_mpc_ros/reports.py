"""What the node says of itself: safety state, diagnostics, predicted path."""

from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Point
from rclpy.node import Node
from visualization_msgs.msg import Marker, MarkerArray

from dvp_mpc.control.controller import Controller
from dvp_mpc.control.supervisor import State
from dvp_mpc_ros.command_loop import CommandLoop

LEVELS = {State.TRACKING: DiagnosticStatus.OK, State.FAULT: DiagnosticStatus.ERROR}


def safety_text(loop: CommandLoop | None, objection: str) -> str:
    """The safety state with its reason, on one line."""
    if loop is None:
        return f"inactive: {objection}" if objection else "inactive"
    if loop.death:
        return f"{State.FAULT.value}: {loop.death}"
    controller = loop.controller
    return f"{controller.state.value}: {controller.reason}" if controller.reason else controller.state.value


def diagnostics(
    node: Node, loop: CommandLoop | None, safety: str, target_refused: str, solver_pid: int
) -> DiagnosticArray:
    """Rate, times, misses, refusals, state age, safety state and trust of an active controller."""
    status = DiagnosticStatus(name=f"{node.get_name()}: control", hardware_id=node.get_name(), message=safety)
    status.level = DiagnosticStatus.OK
    if loop is not None:
        state = State.FAULT if loop.death else loop.controller.state
        status.level = LEVELS.get(state, DiagnosticStatus.WARN)
        status.values = [KeyValue(key=key, value=str(value)) for key, value in _figures(loop, solver_pid).items()]
    if target_refused:
        status.values = [*status.values, KeyValue(key="target", value=target_refused)]
    array = DiagnosticArray(status=[status])
    array.header.stamp = node.get_clock().now().to_msg()
    return array


def _figures(loop: CommandLoop, solver_pid: int) -> dict[str, Any]:
    controller, clock = loop.controller, loop.loop
    statistics = controller.statistics
    figures: dict[str, Any] = {
        "rate_hz": f"{controller.rate_hz:g}",
        "ticks": clock.ticks,
        "missed_ticks": clock.missed,
        "rejected_plans": sum(statistics.rejected.values()),
        "rejected_plans_by_reason": dict(statistics.rejected),
        "refused_states": dict(statistics.refused),
        "state_age_ms": f"{1e3 * controller.state_age:.2f}",
        "safety_state": controller.state.value,
        "value_trusted": controller.trusted,
        "value_trust_score": f"{controller.trust_score:.3f}",  # at most 1 where it is trusted
        "steps_in_each_state": dict(statistics.states),
        "goal": "a target" if controller.goal.trained else "the posture of the activation",
        "goal_in_world": [round(float(x), 4) for x in controller.goal.tool],
        "rights": loop.granted,
        "solver_pid": solver_pid,
        # [s] on the machine's monotonic clock
        "transitions": "; ".join(f"{t:.4f} {state}" for t, state, _ in list(statistics.transitions)[-20:]),
    }
    for name, times in (("period", clock.gap_ms()), ("solve", statistics.solve_ms()), ("latency", loop.latency_ms())):
        figures |= {f"{name}_{key}_ms": f"{value:.3f}" for key, value in times.items()}
    return figures


def predicted_path(controller: Controller, stamp: Time) -> MarkerArray:
    """The tool along the horizon as a line, the goal as a sphere."""
    plan, arm = controller.plan, controller.task.arm
    path = Marker(ns="predicted path", id=0, type=Marker.LINE_STRIP, action=Marker.ADD)
    if plan is not None:
        path.points = [_point(arm.tool_in_world(x[:7])) for x in plan.solution.xs]
    goal = Marker(ns="goal", id=1, type=Marker.SPHERE, action=Marker.ADD)
    goal.pose.position = _point(controller.goal.tool)
    for marker, size in ((path, 0.005), (goal, 0.03)):
        marker.header.frame_id, marker.header.stamp = arm.model.frames[1].name, stamp
        marker.scale.x = marker.scale.y = marker.scale.z = size
        marker.color.g, marker.color.a = 0.8, 1.0
        marker.pose.orientation.w = 1.0
    return MarkerArray(markers=[path, goal])


def _point(xyz: Any) -> Point:
    return Point(x=float(xyz[0]), y=float(xyz[1]), z=float(xyz[2]))
