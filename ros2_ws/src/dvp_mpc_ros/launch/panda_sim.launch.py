"""The simulated arm and the controller.

ros2 launch dvp_mpc_ros panda_sim.launch.py autostart:=true rviz:=true
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

SHARE = FindPackageShare("dvp_mpc_ros")


def generate_launch_description() -> LaunchDescription:
    """Arguments, plant, controller, and what rviz needs."""
    model, arm = LaunchConfiguration("model"), LaunchConfiguration("arm")
    plant = Node(
        package="dvp_mpc_ros",
        executable="plant_node",
        name="plant",
        output="screen",
        parameters=[
            {
                "model": ParameterValue(model, value_type=str),
                "arm": ParameterValue(arm, value_type=str),
                "record": ParameterValue(LaunchConfiguration("record"), value_type=str),
                "gui": ParameterValue(LaunchConfiguration("gui"), value_type=bool),
            }
        ],
    )
    controller = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([SHARE, "launch", "controller.launch.py"])),
        launch_arguments={
            "config": LaunchConfiguration("config"),
            "model": model,
            "arm": arm,
            "autostart": LaunchConfiguration("autostart"),
        }.items(),
    )
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "model", default_value="panda_reach", description="Value file, or a shipped one's name."
            ),
            DeclareLaunchArgument(
                "arm", default_value="", description="Arm or URDF; unset: the one the value was made for."
            ),
            DeclareLaunchArgument(
                "config",
                default_value=PathJoinSubstitution([SHARE, "config", "panda.yaml"]),
                description="YAML file of the controller's parameters; model and arm above come before it.",
            ),
            DeclareLaunchArgument("autostart", default_value="true", description="Configure and activate at once."),
            DeclareLaunchArgument(
                "record", default_value="", description="The plant writes this .npz file when it ends."
            ),
            DeclareLaunchArgument("gui", default_value="false", description="Open Bullet's window."),
            DeclareLaunchArgument("rviz", default_value="false", description="Open rviz."),
            plant,
            controller,
            OpaqueFunction(function=_viewer, condition=IfCondition(LaunchConfiguration("rviz"))),
        ]
    )


def _viewer(context: LaunchContext) -> list:
    from dvp_mpc_ros.description import robot_description

    text = robot_description(*(LaunchConfiguration(name).perform(context) for name in ("model", "arm")))
    rviz = PathJoinSubstitution([SHARE, "rviz", "panda.rviz"])
    return [
        Node(
            package="robot_state_publisher",
            executable="robot_state_publisher",
            parameters=[{"robot_description": ParameterValue(text, value_type=str)}],
        ),
        Node(package="rviz2", executable="rviz2", arguments=["-d", rviz]),
    ]
