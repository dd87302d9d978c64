"""The plant node as a process, over DDS; judged by the record that it leaves."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytest.importorskip("pybullet")

from dvp_mpc_ros.qos import NEWEST_STATE
from dvp_mpc_sim.watchdog import Follow
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState

from dvp_mpc.disturbance import parse_disturbance
from dvp_mpc.problem.arm import Arm

NO_COMMAND, FOLLOW, BRAKE = range(len(Follow))
Record = dict[str, np.ndarray]

pytestmark = pytest.mark.realtime


def seconds(state: JointState) -> float:
    """Stamp of a joint state [s]."""
    return state.header.stamp.sec + 1e-9 * state.header.stamp.nanosec


def last_command(record: Record) -> int:
    """Row in which the last command came."""
    return int(np.flatnonzero(np.diff(record["command_count"], prepend=0))[-1])


def test_states_at_1_khz_of_an_arm_that_is_held(plant: Callable[..., Any], panda: Arm) -> None:
    node = plant()
    node.until(lambda: False, 1.5)
    assert node.modes == ["no command"], "published before anybody listened, and latched"
    state = node.states[-1]
    assert tuple(state.name) == panda.joint_names
    np.testing.assert_allclose(state.position, panda.home, atol=1e-6)
    np.testing.assert_allclose(state.effort, panda.gravity_torque(panda.home), atol=1e-3)
    assert abs(time.time_ns() - state.header.stamp.sec * 1_000_000_000 - state.header.stamp.nanosec) < 5e9
    record = node.end()
    gaps = np.diff(record["t"])
    assert (gaps > 0).all()
    assert len(gaps) / (record["t"][-1] - record["t"][0]) > 800  # 999 on a machine that does nothing else
    assert np.percentile(gaps, 90) < 2e-3
    assert (np.diff(record["stamp_ns"]) > 0).all()
    assert (record["mode"] == NO_COMMAND).all()
    assert np.isnan(record["command"]).all()
    np.testing.assert_allclose(record["q"], np.tile(panda.home, (len(gaps) + 1, 1)), atol=1e-6)


def stop_and_come_back(node: Any, panda: Arm) -> Record:
    """120 commands that carry the arm, 60 that set it in motion, silence, 20 of a sender who does not know that he was
    lost, silence until the arm rests, 60 that carry it where it is, and silence."""
    carry = panda.gravity_torque(panda.home)
    node.command(carry, 0.6)
    node.command(carry + np.array([3.0, 0, 0, 0, 0, 0, 0]), 0.3)
    node.until(lambda: False, 0.1)
    node.command(carry + 8, 0.1)
    node.until(lambda: False, 0.5)
    node.command(panda.gravity_torque(np.array(node.states[-1].position)), 0.3)
    node.until(lambda: False, 0.1)
    return node.end(signal.SIGTERM)


def stalled(record: Record) -> bool:
    """Whether the machine left out 15 ms of the commands, or of the plant's steps: then the watchdog had to strike."""
    t, came = record["t"], np.flatnonzero(np.diff(record["command_count"], prepend=0))
    before, after = record["command_count"][came[:-1]], record["command_count"][came[1:]]
    meant = ((before <= 180) & (after > 180)) | ((before <= 200) & (after > 200))
    return bool(np.diff(t[came])[~meant].max() > 0.015 or np.diff(t).max() > 0.015)


def test_commands_are_followed_until_they_stop_and_again_once_armed(plant: Callable[..., Any], panda: Arm) -> None:
    for _ in range(5):
        node = plant()
        record = stop_and_come_back(node, panda)
        if not stalled(record):
            break
    mode, count, t = record["mode"], record["command_count"], record["t"]
    assert node.modes == ["no command", "follow", "brake", "follow", "brake"]
    assert count[-1] == 260
    follow = mode == FOLLOW
    np.testing.assert_array_equal(record["torque"][follow], record["command"][follow])
    assert follow.sum() > 1000
    stops = np.flatnonzero(np.diff((mode == BRAKE).astype(int)) == 1) + 1
    assert count[stops].tolist() == [180, 260]
    for row in stops:
        last = np.flatnonzero(np.diff(count[: row + 1]))[-1] + 1
        late = (t[row] - t[row - 1]) - 1e-3  # of this one step, by the machine
        assert row - last <= 20
        assert 0.0195 < t[row] - t[last] <= 0.0206 + max(late, 0.0)
    speed = np.abs(record["v"]).max(axis=1)
    assert speed[stops[0]] > 0.1, "the arm was in motion when the commands stopped"
    back = np.flatnonzero(count > 200)[0]
    assert (speed[back - 20 : back] < 0.05).all()
    assert not follow[stops[0] : back].any(), "nor is a command followed that comes back too early"
    assert count[back - 1] == 200, "and twenty of them did"


def test_commands_at_100_hz_do_not_brake(plant: Callable[..., Any], panda: Arm) -> None:
    """The control of the test above: gaps of 10 ms change nothing."""
    node = plant()
    node.command(panda.gravity_torque(panda.home), 1.0, rate_hz=100)
    record = node.end()
    begin = int(np.flatnonzero(record["mode"] == FOLLOW)[0])
    gaps = np.diff(record["t"][np.flatnonzero(np.diff(record["command_count"], prepend=0))])
    braked = (record["mode"][begin : last_command(record)] == BRAKE).any()
    assert braked == (gaps.max() > 0.0195)


def test_commands_that_are_none_are_counted_and_not_followed(plant: Callable[..., Any], panda: Arm) -> None:
    node, carry = plant(), panda.gravity_torque(panda.home)
    node.command(carry, 0.3)
    bad = [np.zeros(6), np.full(7, np.nan), np.full(7, 1e9), np.zeros(0), np.zeros(100_000)]
    for torque in bad:
        node.command(torque, 0.03, rate_hz=100)
    node.until(lambda: node.modes[-1] == "brake", 2)
    record = node.end()
    assert node.modes == ["no command", "follow", "brake"]
    assert np.isfinite(record["torque"]).all()
    assert "refused" in node.log
    np.testing.assert_allclose(record["q"][-1], panda.home, atol=1e-3)


def test_a_wrench_acts_for_a_tenth_of_a_second_in_the_world(plant: Callable[..., Any], panda: Arm) -> None:
    node = plant()
    before = panda.tool_in_world(np.array(node.states[-1].position))
    for refused in ([np.nan] * 6, [1e6, 0, 0, 0, 0, 0], [np.inf] + [0.0] * 5):
        node.push(*refused)
    node.push(0, 0, 50, 0, 0, 0, link="elbow")
    node.until(lambda: False, 0.3)
    node.push(0, -30, 0, 0, 0, 0)
    node.until(lambda: False, 0.3)
    after = panda.tool_in_world(np.array(node.states[-1].position))
    node.push(0, 0, 0, 0, 0, 2, link="panda_link4")
    node.until(lambda: False, 0.05)
    node.push(5, 0, 0, 0, 0, 0, link="panda_link4")
    node.until(lambda: False, 0.3)
    record = node.end()
    wrench = record["wrench"]
    assert (np.abs(wrench[:, 1]) > 0).sum() == 100
    np.testing.assert_allclose(wrench.sum(axis=0)[:3] * 1e-3, [0.5, -3.0, 0.0], atol=1e-12)  # [N s]
    assert 0 < (wrench[:, 5] != 0).sum() < 100, "the next message takes its place"
    assert (after - before)[1] < -0.01
    assert np.abs((after - before)[[0, 2]]).max() < 0.5 * abs((after - before)[1])
    assert "elbow" in node.log
    assert "panda_link4" in node.log
    assert node.log.count("must be finite") == 3


def test_a_seeded_file_of_disturbances_is_what_acts(plant: Callable[..., Any], tmp_path: Path, panda: Arm) -> None:
    file = tmp_path / "pushes.yaml"
    file.write_text(yaml.safe_dump({"seed": 7, "disturbances": ["random:5", "push:20@0.1-0.2/+x"]}))
    node = plant(disturbance_file=file, disturbance="impulse:1@0.3")
    node.until(lambda: False, 0.8)
    record = node.end()
    pushes = [parse_disturbance("random:5", seed=7), parse_disturbance("push:20@0.1-0.2/+x")]
    pushes.append(parse_disturbance("impulse:1@0.3"))
    expected = [sum(p.profile.wrench(1e-3 * (k + 0.5)) for p in pushes) for k in range(len(record["t"]))]
    np.testing.assert_allclose(record["wrench"], expected, atol=1e-9)


def test_simulated_time_on_request(plant: Callable[..., Any], peer: Any) -> None:
    clocks: list[int] = []
    peer.node.create_subscription(
        Clock, "/clock", lambda m: clocks.append(m.clock.sec * 10**9 + m.clock.nanosec), NEWEST_STATE
    )
    node = plant(publish_clock="true", arm="iiwa", model="''")
    node.until(lambda: len(clocks) > 20, 5)
    record = node.end()
    assert node.states[-1].name[0].startswith("lbr_iiwa")
    np.testing.assert_array_equal(record["stamp_ns"], 1_000_000 * np.arange(1, len(record["t"]) + 1))
    assert set(clocks) <= set(record["stamp_ns"].tolist())


def test_a_fault_plan_acts_on_the_states_only(plant: Callable[..., Any], tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    faults = [{"kind": "off", "start": 3.0, "duration": 0.2}, {"kind": "garbage", "start": 3.3, "duration": 0.2}]
    plan.write_text(yaml.safe_dump({"seed": 1, "faults": [*faults, {"kind": "jump", "start": 3.6, "by": 0.5}]}))
    node = plant(fault_plan=plan, publish_clock="true")
    node.until(lambda: 3.8 < seconds(node.states[-1]) < 9, 10)
    seen = [seconds(message) for message in node.states]
    record = node.end()
    assert not [stamp for stamp in seen if 3.002 < stamp < 3.2]
    assert [stamp for stamp in seen if 2.0 < stamp < 3.0], "the control"
    jumped = [m.position[0] for m, stamp in zip(node.states, seen, strict=True) if 3.61 < stamp < 9]
    assert jumped
    np.testing.assert_allclose(jumped, 0.5, atol=1e-3)
    np.testing.assert_allclose(record["q"][:, 0], 0.0, atol=1e-3)


def test_start_is_as_asked_and_parameters_cannot_be_changed(plant: Callable[..., Any], peer: Any) -> None:
    q0, v0 = [0.1, -0.7, 0.1, -2.2, 0.1, 1.5, 0.7], [0.4, -0.3, 0.2, 0.5, 0.0, -0.4, 0.3]
    node = plant(q0=q0, v0=v0)
    client = peer.node.create_client(SetParameters, "/plant/set_parameters")
    assert node.until(client.service_is_ready, 5)
    wish = Parameter("command_topic", Parameter.Type.STRING, "/other").to_parameter_msg()
    future = client.call_async(SetParameters.Request(parameters=[wish]))
    assert node.until(future.done, 5)
    assert not future.result().results[0].successful
    assert "read-only" in future.result().results[0].reason
    node.until(lambda: False, 0.5)
    record = node.end()
    np.testing.assert_array_equal(record["q"][0], q0)
    np.testing.assert_array_equal(record["v"][0], v0)
    assert (np.abs(record["v"][500:]) < 0.05).all(), "an arm that nobody commands comes to rest"


def test_nothing_is_left_of_a_record_by_a_kill(plant: Callable[..., Any], tmp_path: Path) -> None:
    node = plant()
    node.process.kill()
    assert node.process.wait(5) == -signal.SIGKILL
    assert not list(tmp_path.glob("*.npz*"))


def test_wrong_parameters_end_it_with_one_line_and_2(plant_command: Callable[..., list[str]]) -> None:
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"model": "nothing"}, ["nothing", "panda_reach"]),
        ({"q0": "hello"}, ["q0", "DOUBLE_ARRAY"]),
        ({"seed": "-1"}, ["seed", "-1"]),
        ({"command_topic": "'a b'"}, ["a b"]),
    ]
    begun = [
        (subprocess.Popen(plant_command(p), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True), p, words)
        for p, words in cases
    ]
    for process, parameters, words in begun:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 2, (parameters, errors)
        assert len(errors.strip().splitlines()) == 1, (parameters, errors)
        assert errors.startswith("plant_node: ")
        assert not [word for word in words if word not in errors], errors
