"""A log as an MCAP file: what others read from it is what was in the log."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dvp_mpc.errors import BadSetting
from dvp_mpc.problem.arm import Arm, load_arm

pytest.importorskip("mcap_ros2")
from dvp_mpc_sim.loop import Log
from dvp_mpc_sim.mcap_log import write_mcap
from mcap.reader import make_reader
from mcap.records import Channel, Message, Schema
from mcap_ros2.decoder import DecoderFactory

TYPES = {
    "/joint_states": "sensor_msgs/msg/JointState",
    "/tool": "geometry_msgs/msg/PointStamped",
    "/goal": "geometry_msgs/msg/PointStamped",
    "/wrench": "geometry_msgs/msg/WrenchStamped",
    "/tool_error_mm": "std_msgs/msg/Float64",
}
ROWS = 1200


@pytest.fixture(scope="module")
def panda() -> Arm:
    return load_arm("panda")


@pytest.fixture(scope="module")
def log() -> Log:
    """1.2 s of numbers of which no two are the same."""
    rng = np.random.default_rng(7)
    sizes = {"q": 7, "v": 7, "torque": 7, "tool_in_world": 3, "goal_in_world": 3, "wrench_in_world": 6}
    arrays = {name: rng.normal(size=(ROWS, size)) for name, size in sizes.items()}
    return Log(t=np.arange(ROWS) * 1e-3, control_period=1e-3, **arrays)


def decoded(path: Path) -> dict[str, list[tuple[int, Any]]]:
    """(log time [ns], message) by topic, in the order of the file."""
    found: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    with path.open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        for _, channel, message, decoded_message in reader.iter_decoded_messages(log_time_order=False):
            assert message.log_time == message.publish_time
            found[channel.topic].append((message.log_time, decoded_message))
    return found


def test_what_is_read_is_what_was_logged(log: Log, panda: Arm, tmp_path: Path) -> None:
    path = tmp_path / "new" / "log.mcap"
    write_mcap(log, panda, path)
    assert [file.name for file in path.parent.iterdir()] == ["log.mcap"]
    found = decoded(path)
    assert {topic: len(messages) for topic, messages in found.items()} == dict.fromkeys(TYPES, ROWS)
    for messages in found.values():
        assert [ns for ns, _ in messages] == [k * 1_000_000 for k in range(ROWS)]
    joints = [message for _, message in found["/joint_states"]]
    assert {tuple(message.name) for message in joints} == {panda.joint_names}
    for field, array in (("position", log.q), ("velocity", log.v), ("effort", log.torque)):
        np.testing.assert_array_equal([list(getattr(message, field)) for message in joints], array)
    for topic, array in (("/tool", log.tool_in_world), ("/goal", log.goal_in_world)):
        points = [message.point for _, message in found[topic]]
        np.testing.assert_array_equal([(point.x, point.y, point.z) for point in points], array)
        assert {message.header.frame_id for _, message in found[topic]} == {"world"}
    wrenches = [message.wrench for _, message in found["/wrench"]]
    components = [[getattr(part, axis) for part in (w.force, w.torque) for axis in "xyz"] for w in wrenches]
    np.testing.assert_array_equal(components, log.wrench_in_world)
    np.testing.assert_array_equal([message.data for _, message in found["/tool_error_mm"]], 1e3 * log.tool_error())
    for topic in set(TYPES) - {"/tool_error_mm"}:
        stamps = [(message.header.stamp.sec, message.header.stamp.nanosec) for _, message in found[topic]]
        assert stamps == [divmod(k * 1_000_000, 1_000_000_000) for k in range(ROWS)]


def raw(path: Path) -> list[tuple[Schema | None, Channel, Message]]:
    with path.open("rb") as file:
        return list(make_reader(file).iter_messages())


def test_schemas_are_whole_ros2_definitions(log: Log, panda: Arm, tmp_path: Path) -> None:
    write_mcap(log, panda, tmp_path / "log.mcap", rate_hz=10)
    with (tmp_path / "log.mcap").open("rb") as file:
        reader = make_reader(file)
        assert reader.get_header().profile == "ros2"
        summary = reader.get_summary()
    assert summary is not None
    schemas = {channel.topic: summary.schemas[channel.schema_id] for channel in summary.channels.values()}
    assert {topic: schema.name for topic, schema in schemas.items()} == TYPES
    assert {schema.encoding for schema in schemas.values()} == {"ros2msg"}
    assert {channel.message_encoding for channel in summary.channels.values()} == {"cdr"}
    simple = {"float64", "float64[]", "string", "string[]", "int32", "uint32"}
    for schema in schemas.values():
        lines = schema.data.decode().splitlines()
        defined = {line.removeprefix("MSG: ") for line in lines if line.startswith("MSG: ")}
        used = {line.split()[0] for line in lines if len(line.split()) == 2 and not line.startswith("MSG: ")}
        assert used - simple == defined, schema.name


def test_ros_itself_reads_the_messages(log: Log, panda: Arm, tmp_path: Path) -> None:
    """Definitions that were wrong in the same way for writer and reader would be found out here."""
    serialization = pytest.importorskip("rclpy.serialization")
    geometry, sensor, std = (pytest.importorskip(f"{name}_msgs.msg") for name in ("geometry", "sensor", "std"))
    path = tmp_path / "log.mcap"
    write_mcap(log, panda, path, rate_hz=100)
    classes = {
        "/joint_states": sensor.JointState,
        "/tool": geometry.PointStamped,
        "/goal": geometry.PointStamped,
        "/wrench": geometry.WrenchStamped,
        "/tool_error_mm": std.Float64,
    }
    found = defaultdict(list)
    for _, channel, message in raw(path):
        found[channel.topic].append(serialization.deserialize_message(message.data, classes[channel.topic]))
    np.testing.assert_array_equal([list(message.effort) for message in found["/joint_states"]], log.torque[::10])
    assert tuple(found["/joint_states"][0].name) == panda.joint_names
    np.testing.assert_array_equal(
        [message.wrench.torque.z for message in found["/wrench"]], log.wrench_in_world[::10, 5]
    )
    np.testing.assert_array_equal([message.point.y for message in found["/goal"]], log.goal_in_world[::10, 1])
    assert found["/tool"][101].header.stamp.sec == 1
    assert found["/tool_error_mm"][3].data == 1e3 * log.tool_error()[30]


@pytest.mark.parametrize(("rate_hz", "rows"), [(1000, range(ROWS)), (100, range(0, ROWS, 10)), (30, None)])
def test_lower_rate_takes_the_nearest_rows(
    rate_hz: float, rows: range | None, log: Log, panda: Arm, tmp_path: Path
) -> None:
    write_mcap(log, panda, tmp_path / "log.mcap", rate_hz=rate_hz)
    taken = [ns // 1_000_000 for ns, _ in decoded(tmp_path / "log.mcap")["/joint_states"]]
    assert taken == list(rows or [round(1000 * k / 30) for k in range(36)])


@pytest.mark.parametrize("rate_hz", [0.0, -5.0, 2000.0, float("nan")])
def test_rate_that_the_log_does_not_have_is_refused(rate_hz: float, log: Log, panda: Arm, tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="rate_hz"):
        write_mcap(log, panda, tmp_path / "log.mcap", rate_hz=rate_hz)
    assert not list(tmp_path.iterdir())


def test_file_appears_whole_or_not_at_all(
    log: Log, panda: Arm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> Callable[..., None]:
        raise KeyboardInterrupt

    monkeypatch.setattr("mcap.writer.Writer.add_message", fail)
    with pytest.raises(KeyboardInterrupt):
        write_mcap(log, panda, tmp_path / "log.mcap")
    assert not list(tmp_path.iterdir())
