"""Parameters of the controller node; fixed once it is configured."""

from dataclasses import dataclass

from dvp_mpc.control.controller import ControllerSettings
from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc_ros.declared import parameter


@dataclass(frozen=True)
class Parameters:
    """One field for each parameter, under its name."""

    model: str = parameter("panda_reach", "Value file, or the name of a shipped one.")
    arm: str = parameter("", "Arm to check against the model's, or its URDF; empty: the model's own.")
    nodes: int = parameter(10, "Nodes of the horizon.", 1, 200)
    terminal: str = parameter("value", "Terminal cost: value (learned), riccati (of the goal) or zero.")
    rate_hz: float = parameter(200.0, "Torques per second.", 100.0, 1000.0)
    plan_hz: float = parameter(200.0, "Plans per second; must divide rate_hz.", 20.0, 1000.0)
    joint_states_topic: str = parameter("joint_states", "Where the state comes from (sensor_msgs/JointState).")
    command_topic: str = parameter(
        "/effort_controller/commands", "Where torque goes (std_msgs/Float64MultiArray, joint order of the model) [N m]."
    )
    gravity_in_command: bool = parameter(
        True, "Whether commands carry the arm's weight; false for a driver that adds it by itself."
    )
    offset_free: bool = parameter(
        False,
        "Estimate the torque that the model does not know of (payload, push, friction) and take it off.",
    )
    dry_run: bool = parameter(False, "Compute everything and publish on ~/dry_run/commands only.")
    initial_goal: list[float] = parameter([], "Goal on activation in the world [m]; empty: the arm stays where it is.")
    world_frames: list[str] = parameter([""], "frame_id under which targets are taken, beside the URDF's root.")
    realtime: str = parameter("try", "SCHED_FIFO and locked memory: enforce, try or off.")
    cpus: list[int] = parameter([], "Processors of the command loop; empty: any.")
    require_closed_discovery: bool = parameter(
        False, "Refuse to configure when anybody on the network can find this node and ROS security is off."
    )
    fault_plan: str = parameter("", "YAML file of faults to be injected into this process, for tests; empty: none.")

    @property
    def controller(self) -> ControllerSettings:
        """Settings of the controller. Raises BadSetting."""
        return ControllerSettings(
            MpcSettings(self.nodes),
            self.rate_hz,
            self.plan_hz,
            arming=True,
            gravity_in_command=self.gravity_in_command,
            offset_free=self.offset_free,
        )
