"""A log as ROS 2 messages in an MCAP file, which Foxglove and PlotJuggler open; no ROS is needed to write it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mcap_ros2.writer import Writer

from dvp_mpc.errors import BadSetting
from dvp_mpc.files import whole_file
from dvp_mpc.problem.arm import Arm
from dvp_mpc_sim.loop import Log

WORLD = "world"
"""The frame of every point and of the wrench's axes."""

_RULE = "=" * 80
_TIME = f"{_RULE}\nMSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n"
_HEADER = f"{_RULE}\nMSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n{_TIME}"
_POINT = f"{_RULE}\nMSG: geometry_msgs/Point\nfloat64 x\nfloat64 y\nfloat64 z\n"
_VECTOR = f"{_RULE}\nMSG: geometry_msgs/Vector3\nfloat64 x\nfloat64 y\nfloat64 z\n"
_WRENCH = f"{_RULE}\nMSG: geometry_msgs/Wrench\ngeometry_msgs/Vector3 force\ngeometry_msgs/Vector3 torque\n{_VECTOR}"
_DEFINITIONS = {
    "sensor_msgs/msg/JointState": (
        f"std_msgs/Header header\nstring[] name\nfloat64[] position\nfloat64[] velocity\nfloat64[] effort\n{_HEADER}"
    ),
    "geometry_msgs/msg/PointStamped": f"std_msgs/Header header\ngeometry_msgs/Point point\n{_HEADER}{_POINT}",
    "geometry_msgs/msg/WrenchStamped": f"std_msgs/Header header\ngeometry_msgs/Wrench wrench\n{_HEADER}{_WRENCH}",
    "std_msgs/msg/Float64": "float64 data\n",
}


class Topic(NamedTuple):
    """One channel of the file."""

    name: str
    type: str
    message: Callable[[int, int], dict[str, Any]]  # of a row and its time [ns]


def write_mcap(log: Log, arm: Arm, path: str | Path, *, rate_hz: float | None = None) -> None:
    """Write a log to an .mcap file, whole or not at all, every row of it or rate_hz of them a second.

        /joint_states   sensor_msgs/JointState        [rad, rad/s, N m]
        /tool, /goal    geometry_msgs/PointStamped    [m]
        /wrench         geometry_msgs/WrenchStamped   [N, N m], the log's sum, along the world's axes
        /tool_error_mm  std_msgs/Float64              [mm]

    Times count from the log's beginning. Writing 4 s of 1 kHz takes a third of a second. Raises BadSetting for a rate that the
    log does not have.
    """
    if rate_hz is not None and not 0 < rate_hz <= (1 + 1e-9) / log.dt:
        raise BadSetting("rate_hz", rate_hz, f"must lie in (0, {1 / log.dt:g}] Hz")
    spacing = log.dt if rate_hz is None else 1 / rate_hz
    rows = np.round(np.arange(0, log.t[-1] - log.t[0] + log.dt / 2, spacing) / log.dt).astype(int)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part, part.open("wb") as file, Writer(file) as writer:
        schemas = {name: writer.register_msgdef(name, text) for name, text in _DEFINITIONS.items()}
        topics = _topics(log, arm)
        for count, k in enumerate(rows):
            ns = round(1e9 * log.t[k])
            for topic in topics:
                message, schema = topic.message(k, ns), schemas[topic.type]
                writer.write_message(topic.name, schema, message, log_time=ns, publish_time=ns, sequence=count)


def _topics(log: Log, arm: Arm) -> list[Topic]:
    names, error_mm = list(arm.joint_names), 1e3 * log.tool_error()

    def joint_state(k: int, ns: int) -> dict[str, Any]:
        state = {"position": log.q[k].tolist(), "velocity": log.v[k].tolist(), "effort": log.torque[k].tolist()}
        return {"header": _header(ns, ""), "name": names, **state}

    def wrench(k: int, ns: int) -> dict[str, Any]:
        force, moment = log.wrench_in_world[k, :3], log.wrench_in_world[k, 3:]
        return {"header": _header(ns, WORLD), "wrench": {"force": _xyz(force), "torque": _xyz(moment)}}

    def point(points: np.ndarray) -> Callable[[int, int], dict[str, Any]]:
        return lambda k, ns: {"header": _header(ns, WORLD), "point": _xyz(points[k])}

    return [
        Topic("/joint_states", "sensor_msgs/msg/JointState", joint_state),
        Topic("/tool", "geometry_msgs/msg/PointStamped", point(log.tool_in_world)),
        Topic("/goal", "geometry_msgs/msg/PointStamped", point(log.goal_in_world)),
        Topic("/wrench", "geometry_msgs/msg/WrenchStamped", wrench),
        Topic("/tool_error_mm", "std_msgs/msg/Float64", lambda k, ns: {"data": float(error_mm[k])}),
    ]


def _header(ns: int, frame: str) -> dict[str, Any]:
    sec, nanosec = divmod(ns, 1_000_000_000)
    return {"stamp": {"sec": sec, "nanosec": nanosec}, "frame_id": frame}


def _xyz(vector: np.ndarray) -> dict[str, float]:
    return dict(zip("xyz", vector.tolist(), strict=True))
