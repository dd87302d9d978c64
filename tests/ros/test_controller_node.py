"""The controller node from outside: what it refuses and why, who may interrupt it, and how it ends."""

import signal
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")  # the extra 'ros'

import rclpy
from dvp_mpc_ros.qos import NEWEST_STATE
from dvp_mpc_ros.session import Session
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from visualization_msgs.msg import MarkerArray

from dvp_mpc.errors import RunFailed
from dvp_mpc.models import load_model

Start = Callable[..., Session]

pytestmark = pytest.mark.realtime


def log(session: Session) -> str:
    return session.controller.log.read_text(errors="replace")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"model": "/no/such/file.safetensors"}, ["no such file", "shipped:", "panda_brisk, panda_reach"]),
        ({"model": "../../etc/passwd"}, ["passwd"]),
        ({"arm": "xarm7"}, ["arm", "panda", "xarm7"]),
        ({"nodes": 0}, ["nodes", "0"]),
        ({"rate_hz": "fast"}, ["rate_hz"]),
        ({"plan_hz": 130.0}, ["plan_hz = 130", "must divide"]),
        ({"terminal": "none"}, ["terminal 'none'", "value, riccati, zero"]),
        ({"realtime": "please"}, ["realtime 'please'", "enforce, try, off"]),
        ({"initial_goal": [3.0, 0.0, 0.5]}, ["outside the trained box"]),
        ({"fault_plan": "/no/plan.yaml"}, ["/no/plan.yaml", "no such file"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_configure_refuses_by_name_and_the_node_lives_on(
    node: Session, parameters: dict[str, Any], words: list[str]
) -> None:
    node.restart_controller(parameters)
    assert not node.configure()
    assert node.spin_until(lambda: "refused" in node.safety_state, 20.0)
    for word in words:
        assert word in node.safety_state
    assert node.lifecycle_state() == "unconfigured"
    assert "Traceback" not in log(node)


def test_a_transition_whose_answer_was_lost_is_looked_up_or_asked_again(
    node: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Session.call

    def lose(times: int) -> None:
        left = [times]

        def lossy(self: Session, kind: Any, name: str, request: Any, *seconds: float) -> Any:
            answer = call(self, kind, name, request, *seconds)
            if name.endswith("change_state") and left[0]:
                left[0] -= 1
                raise RunFailed("no answer")
            return answer

        monkeypatch.setattr(Session, "call", lossy)

    node.restart_controller({"nodes": 0})
    lose(1)
    assert not node.configure(), "refused, and refused again"
    node.restart_controller({})
    lose(1)
    assert node.configure(), "it was done, as the state says"
    node.restart_controller({"nodes": 0})
    lose(9)
    with pytest.raises(RunFailed, match="no answer"):
        node.configure()


def test_a_bad_parameter_can_be_put_right(node: Session) -> None:
    node.restart_controller({"nodes": 0})
    assert not node.configure()
    assert set_parameter(node, "nodes", 0)[0] is False
    assert set_parameter(node, "nodes", 2)[0] is True
    assert node.configure()
    fixed, why = set_parameter(node, "nodes", 3)
    assert not fixed
    assert "nodes is fixed once the node is configured" in why


def set_parameter(session: Session, name: str, value: int) -> tuple[bool, str]:
    entry = Parameter(name=name, value=ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=value))
    request = SetParameters.Request(parameters=[entry])
    result = session.call(SetParameters, "/mpc_controller/set_parameters", request).results[0]
    return result.successful, result.reason


def test_activation_is_refused_with_every_reason(start: Start) -> None:
    session = start(joint_states_topic="/nowhere", command_topic="/elsewhere")
    assert session.configure()
    began = time.monotonic()
    assert not session.activate()
    assert time.monotonic() - began < 2.0
    session.spin_until(lambda: "refused" in session.safety_state, 2.0)
    for words in ("nobody publishes on /nowhere", "no joint state came", "nobody listens on /elsewhere"):
        assert words in session.safety_state
    assert session.lifecycle_state() == "inactive"


def test_activation_is_refused_to_a_moving_arm_and_before_a_deaf_listener(start: Start) -> None:
    # Not one push: on a slow machine the arm would have come to rest against it before anybody asks.
    session = start(plant={"disturbance": "sine:60@1Hz"})
    session.node.create_subscription(
        Float64MultiArray,
        "/effort_controller/commands",
        lambda message: None,
        QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL),
    )
    assert session.configure()
    assert not session.activate()
    session.spin_until(lambda: "refused" in session.safety_state, 2.0)
    assert "moves at" in session.safety_state
    assert "cannot hear this node" in session.safety_state


def test_joint_states_in_another_order_with_more_joints_make_no_difference(start: Start) -> None:
    """A robot's joint_state_broadcaster sorts by name and adds the fingers."""
    session = start(joint_states_topic="/shuffled")
    names = [f"panda_joint{i}" for i in (5, 1, 7, 3, 2, 6, 4)]
    relay = session.node.create_publisher(JointState, "/shuffled", 1)

    def pass_on(message: JointState) -> None:
        order = [list(message.name).index(name) for name in names]
        shuffled = JointState(header=message.header, name=[*names, "panda_finger_joint1"])
        shuffled.position = [*(message.position[i] for i in order), float("nan")]
        shuffled.velocity = [*(message.velocity[i] for i in order), float("nan")]
        relay.publish(shuffled)

    session.node.create_subscription(JointState, "/joint_states", pass_on, NEWEST_STATE)
    session.take_over()
    session.spin(0.3)
    assert session.safety_state in ("tracking", "degraded: no new plan")


def test_a_publisher_that_is_there_but_still_silent_is_waited_for(start: Start) -> None:
    session = start(joint_states_topic="/late")
    relay, begin = session.node.create_publisher(JointState, "/late", 1), float("inf")

    def pass_on(message: JointState) -> None:
        if time.monotonic() > begin:
            relay.publish(message)

    session.node.create_subscription(JointState, "/joint_states", pass_on, NEWEST_STATE)
    assert session.configure(), session.safety_state
    begin = time.monotonic() + 2.0
    assert session.activate(), session.safety_state
    assert time.monotonic() > begin


def test_dry_run_moves_nothing(start: Start) -> None:
    session = start(dry_run=True)
    heard: list[Any] = []
    session.node.create_subscription(Float64MultiArray, "/mpc_controller/dry_run/commands", heard.append, 1)
    session.take_over()
    session.spin(0.5)
    assert len(heard) > 50
    task, _, _ = load_model("panda_reach")
    np.testing.assert_allclose(heard[-1].data, task.arm.gravity_torque(task.arm.home), atol=0.5)
    session.end()
    assert (session.record()["mode"] == 0).all()  # the plant never heard a command


def test_a_plant_that_is_told_nonsense_about_gravity_does_not_follow(start: Start) -> None:
    """Its driver does not add gravity; what would let the arm fall is no arming to its watchdog."""
    session = start(gravity_in_command=False)
    assert session.configure(), session.safety_state
    assert session.activate(), (session.spin(0.2), session.safety_state)
    session.spin(1.0)
    session.end()
    assert (session.record()["mode"] == 0).all()
    assert np.abs(session.record()["v"]).max() < 0.01


def test_path_and_diagnostics(start: Start) -> None:
    session = start()
    paths: list[MarkerArray] = []
    session.node.create_subscription(MarkerArray, "/mpc_controller/predicted_path", paths.append, 1)
    session.take_over()
    assert session.spin_until(lambda: bool(paths) and len(paths[-1].markers[0].points) == 11, 20.0)
    assert session.spin_until(lambda: session.figures.get("safety_state") == "tracking", 20.0)
    wanted = "rate_hz ticks missed_ticks rejected_plans state_age_ms safety_state value_trusted rights period_p99_ms"
    assert set(wanted.split()) <= session.figures.keys()
    assert 0 < float(session.figures["value_trust_score"]) <= 1


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_rest_with_exit_code_0(start: Start, how: signal.Signals) -> None:
    session = start()
    session.take_over()
    session.send_goal(np.array([0.5, 0.3, 0.3]))
    session.spin(0.5)
    session.controller.signal(how)
    assert session.controller.process.wait(20.0) == 0  # how soon is measured by row F32 of `dvp-mpc faults`
    ended = time.monotonic()
    session.spin(0.2)
    session.end()
    record = session.record()
    assert (record["t"] > ended).any()
    assert (np.abs(record["v"][record["t"] > ended]) < 0.05).all()


@pytest.mark.parametrize("callback", ["_serve", "_look_around", "_publish_path", "_publish_diagnostics"])
def test_an_exception_in_any_callback_is_a_latched_fault_of_a_living_node(
    monkeypatch: pytest.MonkeyPatch, callback: str
) -> None:
    from dvp_mpc_ros import controller_node

    faults: list[str] = []
    loop = SimpleNamespace(controller=SimpleNamespace(fault=faults.append))

    rclpy.init()
    try:
        node = controller_node.ControllerNode()
        node.loop = loop  # type: ignore[assignment]
        broken = getattr(controller_node.ControllerNode, callback).__wrapped__

        def explode(self: Any, *args: Any) -> None:
            raise ZeroDivisionError("broken on purpose")

        monkeypatch.setattr(controller_node.ControllerNode, callback, controller_node.guarded(explode))
        getattr(node, callback)(*([None] * (broken.__code__.co_argcount - 1)))
        assert faults == ["ZeroDivisionError in explode: broken on purpose"]
        node.destroy_node()
    finally:
        rclpy.try_shutdown()


def test_simulated_time_is_for_stamps_only(start: Start) -> None:
    """Its clock begins at zero and falls behind the real one; the loop does not care."""
    session = start(plant={"publish_clock": True}, use_sim_time=True)
    session.take_over()
    session.spin(1.5)
    assert int(session.figures["ticks"]) > 150
    assert "stamp" not in session.figures["refused_states"]
