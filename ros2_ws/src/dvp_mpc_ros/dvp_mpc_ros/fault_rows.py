"""Rows of the table of faults that need processes and DDS: what happens to whole nodes, measured on the plant's record.

Each trial is a plant and a controller of their own, armed and on their way to a goal half a metre off when the fault comes.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rclpy
from dvp_mpc_sim.fault_table import Bound, Row, Trial
from dvp_mpc_sim.watchdog import Follow
from geometry_msgs.msg import PointStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from dvp_mpc.errors import RunFailed
from dvp_mpc_ros.demo import command_gaps_ms
from dvp_mpc_ros.fault_session import UNDER_WAY, first_after, hand_travel, judged, stopped_after, tracking, transitions
from dvp_mpc_ros.plant_record import MODES
from dvp_mpc_ros.session import Session

COMMANDS = "/effort_controller/commands"
HELD = ("hold", "fault", "stopping")


# --- F9: a flood -------------------------------------------------------------------------------------------------------

_FLOOD = """
import rclpy, sys, time
from array import array
from sensor_msgs.msg import JointState
rclpy.init(); node = rclpy.create_node("flood"); pub = node.create_publisher(JointState, "joint_states", 1)
message = JointState(name=["x"], position=array("d", bytes(8 * int(sys.argv[1]))))
until = time.monotonic() + 6
while time.monotonic() < until:
    message.header.stamp = node.get_clock().now().to_msg(); pub.publish(message); time.sleep(0.1)
"""


def flood(seed: int) -> Trial:
    """A stranger floods the state topic. He is also a second publisher, so the arm is held; its torque must keep coming."""
    with tracking(seed, goal=False) as (session, arm):
        began = time.monotonic()
        stranger = subprocess.Popen([sys.executable, "-c", _FLOOD, str(10**6)])
        session.spin(5.0)
        changes = transitions(session)
        stranger.wait()
        record, trial = judged(session, arm)
    during = {name: rows[record["t"] >= began] for name, rows in record.items()}
    _, p99, most = command_gaps_ms(during)
    return trial | {"gap_p99_ms": p99, "gap_max_ms": most, "held": float(first_after(changes, began, HELD) < np.inf)}


# --- F14, F15: who else is there ---------------------------------------------------------------------------------------


def second_publisher(seed: int) -> Trial:
    """A second publisher while tracking (on states, targets, commands in turn), and one before activation."""
    kind, topic = (
        (JointState, "/joint_states"),
        (PointStamped, "/mpc_controller/target_position"),
        (Float64MultiArray, COMMANDS),
    )[seed % 3]
    with tracking(seed) as (session, arm):
        began = time.monotonic()
        stranger = rclpy.create_node("stranger", context=session.node.context)
        stranger.create_publisher(kind, topic, 1)
        changes = transitions(session)
        session.deactivate()
        refused = not session.activate()
        why = session.safety_state
        stranger.destroy_node()
        _, trial = judged(session, arm)
    alone = float(topic != "/mpc_controller/target_position" and "publish" in why and refused)
    expected = alone if topic != "/mpc_controller/target_position" else 1.0  # targets may be sent by several in turn
    return trial | {
        "held_s": first_after(changes, began, HELD),
        "latched": float(changes[-1][1] == "fault"),
        "refused": expected,
    }


def unheard(seed: int) -> Trial:
    """Activation without states, without a listener, or with one that cannot hear."""
    topics = ({"joint_states_topic": "/nowhere"}, {"command_topic": "/nowhere"}, {})[seed % 3]
    words = ("nobody publishes on /nowhere", "nobody listens on /nowhere", "cannot hear this node")[seed % 3]
    with tempfile.TemporaryDirectory() as folder, Session(Path(folder), {}, topics) as session:
        if not session.configure():
            raise RunFailed(session.safety_state)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        if not topics:
            session.node.create_subscription(Float64MultiArray, COMMANDS, lambda message: None, latched)
        session.spin(1.0)
        began = time.monotonic()
        refused = not session.activate()
        took = time.monotonic() - began
        session.spin_until(lambda: words in session.safety_state, 1.0)
        return {
            "refused": float(refused),
            "named": float(words in session.safety_state),
            "answer_s": took,
            "inactive": float(session.lifecycle_state() == "inactive"),
        }


# --- F22, F23: the solver dies or hangs --------------------------------------------------------------------------------


def solver_lost(seed: int) -> Trial:
    """SIGABRT or SIGSTOP to the solver process, in motion; then a reset."""
    number = (signal.SIGABRT, signal.SIGSTOP)[seed % 2]
    with tracking(seed) as (session, arm):
        session.spin_until(lambda: "solver_pid" in session.figures, 2.0)
        session.send_goal(arm.tool_in_world(arm.home))  # the wait was long: on the way again
        session.spin(UNDER_WAY)
        struck = time.monotonic()
        signal_to(int(session.figures["solver_pid"]), number)
        changes = transitions(session)
        active_alone = any(state in ("tracking", "degraded", "arming") for at, state in changes if at > struck + 0.05)
        back = session.spin_until(lambda: session.reset_fault()[0], 20.0)
        tracks = session.spin_until(lambda: session.safety_state == "tracking", 5.0)
        record, trial = judged(session, arm)
    gaps = {name: rows[record["t"] >= struck] for name, rows in record.items()}
    return trial | {
        "hold_s": first_after(changes, struck, HELD),
        "fault_s": first_after(changes, struck, ("fault",)),
        "stop_s": stopped_after({k: r[record["t"] < struck + 1.0] for k, r in record.items()}, struck),
        "resumed_alone": float(active_alone),
        "tracks_after_reset": float(back and tracks),
        "gap_p99_ms": float(command_gaps_ms(gaps)[1]),
    }


def signal_to(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process."""
    os.kill(pid, number)


# --- F32, F33, F34: the node ends, is killed, is frozen ----------------------------------------------------------------


def asked_to_end(seed: int) -> Trial:
    """Deactivation, SIGINT and SIGTERM in turn, in motion."""
    how = (None, signal.SIGINT, signal.SIGTERM)[seed % 3]
    with tracking(seed) as (session, arm):
        began, code = time.monotonic(), 0
        if how is None:
            done = session.deactivate()
        else:
            session.controller.signal(how)
            code = session.controller.process.wait(10)
            done = True
        took = time.monotonic() - began
        record, trial = judged(session, arm)
    return trial | {
        "stop_s": stopped_after(record, began),
        "end_s": took,
        "exit_code": float(abs(code)),
        "refused": float(not done),
    }


def killed(seed: int) -> Trial:
    """SIGKILL in motion: the plant's own watchdog is all that is left."""
    with tracking(seed) as (session, arm):
        session.controller.signal(signal.SIGKILL)
        session.controller.process.wait(10)
        session.spin(1.5)
        record, trial = judged(session, arm)
    last = record["t"][np.flatnonzero(np.diff(record["command_count"]) > 0)[-1] + 1]
    brakes = record["t"][np.flatnonzero((record["mode"] == MODES[Follow.BRAKE]) & (record["t"] > last))[0]]
    return trial | {
        "brake_s": float(brakes - last),
        "stop_s": stopped_after(record, last),
        "travel_m": hand_travel(arm, record, last, last + 1.5),
    }


def frozen(seed: int) -> Trial:
    """SIGSTOP for a while, SIGCONT: no resume without a new arming."""
    pause = (0.05, 0.3, 1.0)[seed % 3]
    with tracking(seed) as (session, arm):
        session.controller.signal(signal.SIGSTOP)
        time.sleep(pause)
        awake = time.monotonic()
        session.controller.signal(signal.SIGCONT)
        changes = transitions(session)
        record, trial = judged(session, arm)
    after = [state for at, state in changes if at >= awake - 0.01]
    between = after[: after.index("arming")] if "arming" in after else after
    return trial | {
        "held": float(bool(after) and after[0] in HELD),
        "tracked_before_arming": float(sum(state in ("tracking", "degraded") for state in between)),
        "braked": float((record["mode"] == MODES[Follow.BRAKE]).any()),
    }


# --- F37: no processor left --------------------------------------------------------------------------------------------


def hogs(seed: int) -> Trial:
    """Two busy processes beside, with real-time rights where they are granted, and without."""
    trial: Trial = {}
    for realtime in ("try", "off"):
        with tracking(seed, goal=False, realtime=realtime) as (session, arm):
            busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
            try:
                session.spin(1.2)
                before = int(session.figures["missed_ticks"]), int(session.figures["ticks"])
                session.spin(6.0)
                after = int(session.figures["missed_ticks"]), int(session.figures["ticks"])
                fifo = "SCHED_FIFO granted" in session.figures["rights"]
            finally:
                for process in busy:
                    process.kill()
            _, judged_ = judged(session, arm)
        share = (after[0] - before[0]) / max(1, after[0] - before[0] + after[1] - before[1])
        name = "fifo" if realtime == "try" and fifo else "no_fifo"
        trial[f"miss_percent_{name}"] = 100 * share
        trial["violations"] = trial.get("violations", 0.0) + judged_["violations"]
    return trial


ROWS = (
    Row(
        "F9", "flood of 10^6 elements at 10 Hz", "gap between commands p99 <= 10 ms, max <= 20 ms", flood,
        (Bound("gap_p99_ms", most=10), Bound("gap_max_ms", most=20), Bound("held")), 5, 1, alone=True,
    ),
    Row(
        "F14", "second publisher", "HOLD <= 1 s, latched; activation refused", second_publisher,
        (Bound("held_s", most=1), Bound("latched", "min", least=1), Bound("refused", "min", least=1)), 21, 3, alone=True,
    ),
    Row(
        "F15", "missing topic, incompatible QoS", "activation refused within 2 s, cause named", unheard,
        (Bound("refused", "min", least=1), Bound("named", "min", least=1), Bound("answer_s", most=2),
         Bound("inactive", "min", least=1)), 6, 3, alone=True,
    ),
    Row(
        "F22", "solver aborts (even seeds) or hangs (odd): F22, F23", "HOLD <= 25 ms, at rest <= 0.5 s, no resume alone",
        solver_lost,
        (Bound("hold_s", most=0.025), Bound("fault_s"), Bound("stop_s", most=0.5), Bound("resumed_alone", most=0),
         Bound("tracks_after_reset", "min", least=1), Bound("gap_p99_ms", most=6)), 10, 2, alone=True,
    ),
    Row(
        "F32", "deactivate, SIGINT, SIGTERM in motion", "at rest <= 0.5 s, ended <= 2 s, exit code 0", asked_to_end,
        (Bound("stop_s", most=0.5), Bound("end_s", most=2), Bound("exit_code", most=0), Bound("refused", most=0)),
        12, 3, alone=True,
    ),
    Row(
        "F33", "kill -9 of the node", "the plant brakes <= 21 ms after the last command, hand travels <= 15 cm", killed,
        (Bound("brake_s", most=0.0215), Bound("stop_s", most=0.5), Bound("travel_m", most=0.15)), 10, 1, alone=True,
    ),
    Row(
        "F34", "SIGSTOP, SIGCONT", "0 tracking samples before a new arming", frozen,
        (Bound("held", "min", least=1), Bound("tracked_before_arming", most=0), Bound("braked", "min", least=1)),
        9, 3, alone=True,
    ),
    Row(
        "F37", "two CPU hogs", "with SCHED_FIFO misses <= 1 %; without, the invariant", hogs,
        (Bound("miss_percent_fifo", most=1), Bound("miss_percent_no_fifo")), 3, 1, alone=True,
    ),
)  # fmt: skip
