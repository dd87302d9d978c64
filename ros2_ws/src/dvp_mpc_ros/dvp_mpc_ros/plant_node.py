"""The PyBullet arm as a ROS 2 node: 1 kHz, a process of its own, and a watchdog that trusts no controller.

    state -> joint_states -> newest command, if one came -> watchdog -> step of 1 ms      on absolute deadlines

A step that comes too late is left out, not made up for: simulated time then falls behind real time, and the node says by how
much. The executor has a thread of its own, which serves parameters and ~/wrench.

The axes of ~/wrench are those of the world, whatever link its frame_id names, as in Gazebo. One message acts for 0.1 s of
simulated time or until the next: F newtons are an impulse of F / 10 newton seconds.
"""

import signal
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rclpy
from dvp_mpc_sim import watchdog
from dvp_mpc_sim.watchdog import Follow, Watchdog
from geometry_msgs.msg import WrenchStamped
from rclpy.exceptions import NameValidationException, ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String

from dvp_mpc.control.realtime import RealtimeLoop, prepare_thread, quiet_gc
from dvp_mpc.errors import BadSetting, DvpError, NotReady, RunFailed, UsageError
from dvp_mpc.files import writable_folder
from dvp_mpc.messages import JointMessage
from dvp_mpc.problem.arm import Arm
from dvp_mpc.problem.arms import DOF
from dvp_mpc_ros.compat import Polled
from dvp_mpc_ros.declared import declare, read
from dvp_mpc_ros.plant_inputs import CommandReader, Wrenches
from dvp_mpc_ros.plant_parameters import PlantParameters
from dvp_mpc_ros.plant_record import MODES, PlantRecord
from dvp_mpc_ros.qos import LATCHED, NEWEST_STATE
from dvp_mpc_ros.spin import leave

if TYPE_CHECKING:
    from dvp_mpc_sim.bullet import BulletPlant

STEP_NS = 1_000_000  # [ns]
PRIORITY = 90  # above the controller's: a real arm does not wait for its controller's processor
LIMIT = watchdog.LIMIT - 0.5e-9 * STEP_NS  # [s] half a step short, or a late wake-up would decide between 20 and 21 ms


class PlantNode(Node):
    """Made ready; `run` simulates until `stop`."""

    def __init__(self) -> None:
        super().__init__("plant")
        declare(self, PlantParameters, read_only=True)
        chosen = self._chosen = read(self, PlantParameters)
        chosen.check_realtime()
        self._arm = arm = chosen.load_arm()
        self._start = chosen.start(arm)
        self._deliver = _injector(chosen.fault_plan) if chosen.fault_plan else None
        self._record_path = _record_path(chosen.record) if chosen.record else None
        self._record = PlantRecord()
        self._watchdog = Watchdog(arm, LIMIT)
        self._loop = RealtimeLoop(1e9 / STEP_NS, self._tick)
        self._state = JointState()
        self._names = list(arm.joint_names)
        self._step, self._torque, self._mode_said = 0, np.zeros(DOF), ""
        self._skips_said = 0
        self._wrenches = Wrenches((frame.name for frame in arm.model.frames), chosen.disturbances())
        self._states = self.create_publisher(JointState, "joint_states", NEWEST_STATE)
        self._modes = self.create_publisher(String, "~/mode", LATCHED)
        self._clock_out = self.create_publisher(Clock, "/clock", NEWEST_STATE) if chosen.publish_clock else None
        commands = self.create_subscription(
            Float64MultiArray, chosen.command_topic, _no_callback, NEWEST_STATE, callback_group=Polled(), raw=True
        )
        self._commands, self._topic = CommandReader(commands), commands.topic_name
        self.create_subscription(WrenchStamped, "~/wrench", self._on_wrench, 10)
        self.create_timer(1.0, self._say_skips)
        self._plant = _bullet(arm, chosen.gui)
        self._plant.reset(*self._start)

    def _warm_up(self) -> None:
        """Do once what every step does: the first time takes 10 ms."""
        q, v = self._start
        for _ in range(2):
            self._plant.reset(q, v)
            torque = Watchdog(self._arm).torque(0.0, *self._plant.state())
            self._plant.step(torque, [(None, np.zeros(6))])
        self._plant.reset(q, v)
        self._say_mode(self._watchdog.mode)

    def take_rights(self) -> None:
        """Ask real-time rights for the calling thread and those that it starts. Raises NotReady when they are enforced and
        refused."""
        granted = prepare_thread(self._chosen.realtime, priority=PRIORITY)
        self.get_logger().info(
            f"{self._arm.name} with tool {self._arm.tool_frame}: commands from {self._topic}; {granted}"
        )

    def run(self) -> None:
        """Simulate until `stop`, in the calling thread."""
        try:
            self._warm_up()
            with quiet_gc():
                self._loop.run()
        finally:
            self._plant.close()
            self._summarise()
            if self._record_path is not None:
                self._record.save(self._record_path)

    def stop(self) -> None:
        """End `run`; may be called from any thread."""
        self._loop.stop()

    def _tick(self, now: float) -> None:
        plant, simulated_ns = self._plant, self._step * STEP_NS
        q, v = plant.state()
        stamp_ns = self.get_clock().now().nanoseconds if self._clock_out is None else simulated_ns + STEP_NS
        self._publish(stamp_ns, simulated_ns * 1e-9, q, v)
        command = self._commands.newest()
        if command is not None:
            self._watchdog.command(now, command)
        self._torque = self._watchdog.torque(now, q, v)
        self._say_mode(self._watchdog.mode)
        wrenches = self._wrenches.at(self._step, partial(self._arm.rotation_in_world, q))
        if self._record_path is not None:
            self._record.add(
                now,
                stamp_ns,
                q,
                v,
                self._torque,
                self._commands.torque,
                self._commands.sent,
                self._commands.stamp_ns,
                MODES[self._watchdog.mode],
                sum((wrench for _, wrench in wrenches), np.zeros(6)),
            )
        plant.step(self._torque, wrenches)
        self._step += 1

    def _publish(self, stamp_ns: int, simulated: float, q: np.ndarray, v: np.ndarray) -> None:
        if self._clock_out is not None:  # first, so that no state comes from the future
            clock = Clock()
            _set_time(clock.clock, stamp_ns)
            self._clock_out.publish(clock)
        message = JointMessage(self._names, q.tolist(), v.tolist(), stamp_ns)
        for sent in [message] if self._deliver is None else self._deliver(simulated, message):
            self._send(sent)

    def _send(self, sent: JointMessage) -> None:
        state = self._state
        state.name, state.effort = sent.names, self._torque.tolist()
        state.position, state.velocity = sent.position, sent.velocity
        _set_time(state.header.stamp, sent.stamp_ns)
        self._states.publish(state)

    def _on_wrench(self, message: WrenchStamped) -> None:
        try:
            self._wrenches.send(message)
        except UsageError as error:
            self.get_logger().warning(f"~/wrench refused: {error}")

    def _say_mode(self, mode: Follow) -> None:
        if mode.value != self._mode_said:
            self._mode_said = mode.value
            self._modes.publish(String(data=mode.value))

    def _say_skips(self) -> None:
        skips = self._loop.missed
        if skips > self._skips_said:
            self.get_logger().warning(
                f"{skips - self._skips_said} steps skipped in the last second, {skips} since the start: "
                f"simulated time is {skips * STEP_NS * 1e-6:g} ms behind"
            )
            self._skips_said = skips

    def _summarise(self) -> None:
        gap = self._loop.gap_ms()
        self.get_logger().info(
            f"{self._step} steps, {self._loop.missed} skipped, from step to step p50 {gap['p50']:.3f}, "
            f"p99 {gap['p99']:.3f}, max {gap['max']:.3f} ms; {self._commands.taken} commands taken, "
            f"{self._watchdog.refused + self._commands.unreadable} refused"
        )


def _bullet(arm: Arm, gui: bool) -> "BulletPlant":
    try:
        from dvp_mpc_sim.bullet import BulletPlant  # not at the top: it prints a line, also before an error of one line
    except ImportError as error:
        raise UsageError(f"the plant needs PyBullet: install the extra 'sim' ({error})") from error
    return BulletPlant(arm, gui=gui)


def _set_time(stamp: Any, ns: int) -> None:
    seconds, stamp.nanosec = divmod(ns, 1_000_000_000)
    stamp.sec = (seconds + 2**31) % 2**32 - 2**31  # a faulty stamp may be any number; the field is an int32


def _injector(path: str) -> Any:
    from dvp_mpc.faults import FaultPlan, Injector

    return Injector(FaultPlan.load(path)).deliver


def _record_path(text: str) -> Path:
    path = Path(text)
    if path.suffix != ".npz" or path.is_dir():
        raise BadSetting("record", text, "must be the path of an .npz file")
    writable_folder(path.parent)
    return path


def _no_callback(message: Any) -> None:
    """Of a subscription that is polled."""


def _serve(node: PlantNode, ending: threading.Event) -> None:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not ending.is_set():
        try:
            executor.spin_once(timeout_sec=0.1)
        except Exception as error:  # a message that cannot be read is no reason to drop the arm
            node.get_logger().error(f"{type(error).__name__} in the executor: {error}")
    executor.shutdown()


def _simulate(ending: threading.Event) -> None:
    try:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        node = PlantNode()
    except (ParameterException, NameValidationException, RuntimeError) as error:  # the last: what rcl cannot parse
        raise UsageError(" ".join(str(error).split())) from error
    node.take_rights()
    # Started after that, it has them too: whoever holds Python's lock at a lower priority holds up the steps.
    server = threading.Thread(target=_serve, args=(node, ending), name="executor")
    server.start()

    def end(*_: Any) -> None:
        ending.set()
        node.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    if ending.is_set():
        node.stop()  # the signal came while the node was being made
    try:
        node.run()
    finally:
        ending.set()
        server.join()
        node.destroy_node()


def main() -> int:
    """Run the node until SIGINT or SIGTERM. 0: ended as asked, 1: the simulation failed, 2: started wrongly."""
    sys.setswitchinterval(1e-4)  # a step must not wait 5 ms for the executor's thread to let go of Python's lock
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    try:
        _simulate(ending)
    except DvpError as error:
        print(f"plant_node: {error}", file=sys.stderr)
        leave(1 if isinstance(error, (RunFailed, NotReady)) else 2)
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
