"""The controller alone, for an arm whose driver publishes joint_states and takes effort commands.

ros2 launch dvp_mpc_ros controller.launch.py config:=/path/to/arm.yaml dry_run:=true
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, OpaqueFunction, RegisterEventHandler
from launch.conditions import IfCondition
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.substitutions import FindPackageShare
from lifecycle_msgs.msg import Transition

CONFIG = PathJoinSubstitution([FindPackageShare("dvp_mpc_ros"), "config", "panda.yaml"])


def generate_launch_description() -> LaunchDescription:
    """Arguments and node."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "config", default_value=CONFIG, description="YAML file of the controller's parameters."
            ),
            DeclareLaunchArgument("model", default_value="", description="In place of the model that config names."),
            DeclareLaunchArgument("arm", default_value="", description="In place of the arm that config names."),
            DeclareLaunchArgument(
                "dry_run",
                default_value="",
                description="true or false, in place of what config says: compute, do not move.",
            ),
            DeclareLaunchArgument(
                "autostart", default_value="false", description="Configure and activate at once: the arm then moves."
            ),
            OpaqueFunction(function=_controller),
        ]
    )


def _controller(context: LaunchContext) -> list:
    given = {name: LaunchConfiguration(name).perform(context) for name in ("model", "arm")}
    instead: dict[str, object] = {name: text for name, text in given.items() if text}
    dry_run = LaunchConfiguration("dry_run").perform(context).lower()
    if dry_run not in ("", "true", "false"):
        raise ValueError(f"dry_run = {dry_run!r}: must be true or false")
    if dry_run:
        instead["dry_run"] = dry_run == "true"
    controller = LifecycleNode(
        package="dvp_mpc_ros",
        executable="controller_node",
        name="mpc_controller",
        namespace="",
        output="screen",
        parameters=[LaunchConfiguration("config").perform(context), *([instead] if instead else [])],
    )
    wanted = IfCondition(LaunchConfiguration("autostart"))
    # Only on the way from configuring: a node that somebody deactivates, or that refused, must not be activated again.
    once_configured = OnStateTransition(
        target_lifecycle_node=controller,
        start_state="configuring",
        goal_state="inactive",
        entities=[_change(controller, Transition.TRANSITION_ACTIVATE)],
    )
    return [
        RegisterEventHandler(once_configured, condition=wanted),
        controller,
        _change(controller, Transition.TRANSITION_CONFIGURE, condition=wanted),
    ]


def _change(node: LifecycleNode, transition: int, **options: object) -> EmitEvent:
    event = ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition)
    return EmitEvent(event=event, **options)
