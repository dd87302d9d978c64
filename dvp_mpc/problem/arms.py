"""The arms that are known by name, and what their descriptions leave open."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

DOF = 7


@dataclass(frozen=True)
class Description:
    """Where an arm comes from and what its URDF leaves open."""

    source: str
    """An example-robot-data name, "pybullet_data:FILE", or the path of a URDF."""
    tool_frame: str
    """Frame whose origin is the tool."""
    home: tuple[float, ...] = (0.0,) * DOF
    """Posture from which goal postures are sought, in joint order [rad]."""
    locked: Mapping[str, float] | None = None
    """Joints taken out of the model, with the position they are held at [rad or m]."""
    armature: tuple[float, ...] = (0.1,) * DOF
    """Rotor inertia seen at each joint [kg m^2]; 0.1 is what MuJoCo Menagerie gives the Panda."""
    velocity_limit: tuple[float, ...] | None = None
    """Where the URDF's are not the maker's [rad/s]."""
    torque_limit: tuple[float, ...] | None = None
    """Where the URDF's are not the maker's [N m]."""


ARMS: dict[str, Description] = {
    "panda": Description(
        source="panda",
        tool_frame="panda_hand_tcp",
        home=(0.0, -np.pi / 4, 0.0, -3 * np.pi / 4, 0.0, np.pi / 2, np.pi / 4),
        locked={"panda_finger_joint1": 0.0, "panda_finger_joint2": 0.0},
    ),
    "xarm7": Description(source="xarm7", tool_frame="link_eef", home=(0.0, -0.3, 0.0, 1.2, 0.0, 1.5, 0.0)),
    "talos_arm": Description(
        source="talos_arm",
        tool_frame="gripper_left_base_link",
        home=(0.6, 0.0, -0.8, 0.0, 0.0, 0.1, -0.5),
        armature=(0.1,) * 6 + (0.01,),
    ),
    "iiwa": Description(
        source="pybullet_data:kuka_iiwa/model.urdf",
        tool_frame="lbr_iiwa_link_7",
        home=(0.0, 0.6, 0.0, -1.4, 0.0, 1.1, 0.0),
        # The URDF says 10 rad/s and 300 N m of every joint. These are the data sheet's of the LBR iiwa 14 R820.
        velocity_limit=(1.483, 1.483, 1.745, 1.308, 2.268, 2.356, 2.356),
        torque_limit=(320.0, 320.0, 176.0, 176.0, 110.0, 40.0, 40.0),
    ),
}
